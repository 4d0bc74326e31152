"""What `execute_interactive("pass")` costs above a bare round trip, for all four clients."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jupyter_client.asynchronous.client
import jupyter_client.blocking.client
import kernelyard

from benchmarks.figures import Bound, Figure, differences, in_turn, median, seconds
from benchmarks.raw import ECHO, IPYKERNEL, RawClient, RawKernel, running

__all__ = ["with_echo_kernel", "with_ipykernel"]

#: Requests in each turn of each side, after some that do not count.
REQUESTS = 20
WARM_UP = 5

BLOCKING = {
    "ours": kernelyard.BlockingKernelClient,
    "theirs": jupyter_client.blocking.client.BlockingKernelClient,
}
ASYNC = {"ours": kernelyard.AsyncKernelClient, "theirs": jupyter_client.asynchronous.client.AsyncKernelClient}

#: The arguments: none, and those of a program that wants each message itself.
WAYS: Mapping[str, dict[str, Any]] = {
    "": {},
    " with a hook": {"allow_stdin": False, "output_hook": lambda _: None},
}


def with_echo_kernel(pairs: int, directory: Path) -> Iterator[Figure]:
    """Measure with a kernel that answers at once, so that the clients are most of what is measured."""
    yield from _against("echo kernel", ECHO, pairs, directory)


def with_ipykernel(pairs: int, directory: Path) -> Iterator[Figure]:
    """Measure with a real kernel."""
    yield from _against("ipykernel", IPYKERNEL, pairs, directory)


def _against(name: str, command: Sequence[str], pairs: int, directory: Path) -> Iterator[Figure]:
    with running(command, directory) as kernel:
        sides: dict[str, Callable[[], float]] = {"floor": partial(_raw, kernel)}
        for way, arguments in WAYS.items():
            for side in ("ours", "theirs"):
                sides[f"{side} blocking{way}"] = partial(_blocking, BLOCKING[side], kernel, arguments)
                sides[f"{side} async{way}"] = partial(_on_a_loop, ASYNC[side], kernel, arguments)
        samples = in_turn(sides, pairs)
    for way in WAYS:
        for kind in ("blocking", "async"):
            yield Figure(
                name=f"execute_interactive above the floor: {name}, {kind}{way}",
                ours=differences(samples, f"ours {kind}{way}", "floor"),
                theirs=differences(samples, f"theirs {kind}{way}", "floor"),
                floor=median(samples, "floor"),
                bound=Bound(0.5),
            )


# One client is connected at a time: each gets what the kernel publishes, also about the requests of the others.


def _raw(kernel: RawKernel) -> float:
    client = RawClient(kernel.connection)
    try:
        client.wait_for_iopub()
        return _typical(lambda: client.execute("pass"))
    finally:
        client.close()


def _blocking(client_class: Any, kernel: RawKernel, arguments: Mapping[str, Any]) -> float:
    client = client_class(connection_file=str(kernel.connection_file))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=30)
        return _typical(lambda: client.execute_interactive("pass", **arguments))
    finally:
        client.stop_channels()


def _typical(run: Callable[[], object]) -> float:
    for _ in range(WARM_UP):
        run()
    return _typical_of([seconds(run) for _ in range(REQUESTS)])


def _typical_of(taken: Sequence[float]) -> float:
    """The lower quartile: what else the machine does makes requests slower, and never faster."""
    return statistics.quantiles(taken, n=4)[0]


def _on_a_loop(client_class: Any, kernel: RawKernel, arguments: Mapping[str, Any]) -> float:
    async def measured() -> float:
        client = client_class(connection_file=str(kernel.connection_file))
        client.load_connection_file()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=30)
            taken = []
            for _ in range(WARM_UP + REQUESTS):
                start = time.perf_counter()
                await client.execute_interactive("pass", **arguments)
                taken.append(time.perf_counter() - start)
            return _typical_of(taken[WARM_UP:])
        finally:
            client.stop_channels()

    return asyncio.run(measured())
