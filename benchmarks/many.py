"""Many kernels at once, and many messages at once."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jupyter_client.blocking.client
import jupyter_client.multikernelmanager
import kernelyard
import psutil

from benchmarks.figures import Bound, Figure, in_turn, median
from benchmarks.raw import IPYKERNEL, RawKernel, running

__all__ = ["displays", "kernels"]

KERNELS = 50
MESSAGES = 3000


def kernels(pairs: int, directory: Path, count: int = KERNELS) -> Iterator[Figure]:  # noqa: ARG001 - each benchmark gets a directory
    """Start kernels at once with one manager until all answer, then shut all down."""
    ends: dict[str, list[float]] = {"ours": [], "theirs": []}

    def run(side: str, manager_class: Any) -> float:
        started, ended = asyncio.run(_start_and_end(manager_class, count))
        ends[side].append(ended)
        return started

    sides: dict[str, Callable[[], float]] = {
        "ours": partial(run, "ours", kernelyard.AsyncMultiKernelManager),
        "theirs": partial(run, "theirs", jupyter_client.multikernelmanager.AsyncMultiKernelManager),
    }
    samples = in_turn(sides, pairs, warm_up=0)
    yield Figure(
        name=f"{count} kernels started at once, until all answer",
        ours=median(samples, "ours", 1),
        theirs=median(samples, "theirs", 1),
        unit="s",
        bound=Bound(1.05),
    )
    yield Figure(
        name=f"shutdown_all of {count} kernels",
        ours=median(ends, "ours", 1),
        theirs=median(ends, "theirs", 1),
        unit="s",
    )


async def _start_and_end(manager_class: Any, count: int) -> tuple[float, float]:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    manager = manager_class()
    try:
        begin = time.perf_counter()
        theirs = manager_class.__module__.startswith("jupyter_client")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} if theirs else {}
        ids = await asyncio.gather(*(manager.start_kernel(**quiet) for _ in range(count)))
        await asyncio.gather(*(_answers(manager.get_kernel(i)) for i in ids))
        started = time.perf_counter() - begin
    finally:
        begin = time.perf_counter()
        await manager.shutdown_all()
        ended = time.perf_counter() - begin
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    if left:
        raise RuntimeError(f"{manager_class.__module__} left {left} behind")
    return started, ended


async def _answers(manager: Any) -> None:
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=120)
    finally:
        client.stop_channels()


def displays(pairs: int, directory: Path, count: int = MESSAGES) -> Iterator[Figure]:
    """Receive many displays: how much processor time the client takes for it."""
    with running(IPYKERNEL, directory) as kernel:
        sides = {
            "ours": partial(_received, kernelyard.BlockingKernelClient, kernel, count),
            "theirs": partial(_received, jupyter_client.blocking.client.BlockingKernelClient, kernel, count),
        }
        samples = in_turn(sides, pairs)
    yield Figure(
        name=f"{count} displays received, the client's processor time",
        ours=median(samples, "ours"),
        theirs=median(samples, "theirs"),
        bound=Bound(0.75),
    )


def _received(client_class: Any, kernel: RawKernel, count: int) -> float:
    client = client_class(connection_file=str(kernel.connection_file))
    client.load_connection_file()
    client.start_channels()
    seen: list[str] = []
    try:
        client.wait_for_ready(timeout=30)
        begin = time.process_time()
        client.execute_interactive(
            f"for i in range({count}): display({{'text/plain': 'x' * 100}}, raw=True)",
            allow_stdin=False,
            output_hook=lambda message: seen.append(message["header"]["msg_type"]),
        )
        taken = time.process_time() - begin
    finally:
        client.stop_channels()
    if seen.count("display_data") != count:
        raise RuntimeError(f"{client_class.__module__} got {seen.count('display_data')} of {count} displays")
    return taken
