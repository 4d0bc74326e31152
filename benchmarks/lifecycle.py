"""Starting, shutting down and restarting a kernel with the blocking classes, and getting an answer of one that runs."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jupyter_client.blocking.client
import jupyter_client.ioloop.manager
import jupyter_client.manager
import kernelyard

from benchmarks.figures import Bound, Figure, best, in_turn, median, seconds
from benchmarks.raw import IPYKERNEL, RawClient, RawKernel, running
from benchmarks.watch_process import EndOf

__all__ = ["deaths", "readiness", "restart", "shutdown", "start"]

MANAGERS: dict[str, Any] = {"ours": kernelyard.KernelManager, "theirs": jupyter_client.manager.KernelManager}
CLIENTS: dict[str, Any] = {
    "ours": kernelyard.BlockingKernelClient,
    "theirs": jupyter_client.blocking.client.BlockingKernelClient,
}


def start(pairs: int, directory: Path) -> Iterator[Figure]:
    """From nothing to a kernel that answers."""

    def bare() -> float:
        begin = time.perf_counter()
        kernel = RawKernel(IPYKERNEL, directory)
        client = RawClient(kernel.connection)
        client.ask_kernel_info()
        taken = time.perf_counter() - begin
        client.close()
        kernel.kill()
        return taken

    def managed(side: str) -> float:
        begin = time.perf_counter()
        with _ready(MANAGERS[side]()):
            return time.perf_counter() - begin

    samples = in_turn(
        {"ours": partial(managed, "ours"), "theirs": partial(managed, "theirs"), "floor": bare}, pairs
    )
    yield Figure(
        name="start to ready",
        ours=median(samples, "ours"),
        theirs=median(samples, "theirs"),
        floor=median(samples, "floor"),
        bound=Bound(1.0),
    )


@contextmanager
def _ready(manager: Any) -> Iterator[tuple[Any, Any]]:
    """Have a kernel, and a client that it answers to."""
    # By default ours writes what a kernel prints to a log, and theirs to this terminal.
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} if _is_theirs(manager) else {}
    manager.start_kernel(**quiet)
    try:
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            yield manager, client
        finally:
            client.stop_channels()
    finally:
        manager.shutdown_kernel(now=True)


def shutdown(pairs: int, directory: Path) -> Iterator[Figure]:  # noqa: ARG001 - each benchmark gets a directory
    """From the request to its return, and what of that is after the end of the process."""
    after: dict[str, list[float]] = {"ours": [], "theirs": []}

    def graceful(side: str) -> float:
        with _ready(MANAGERS[side]()) as (manager, client):
            client.stop_channels()
            end = EndOf(_pid(manager))
            taken = seconds(manager.shutdown_kernel)
            after[side].append(time.monotonic() - end.time())
            return taken

    def at_once(side: str) -> float:
        with _ready(MANAGERS[side]()) as (manager, client):
            client.stop_channels()
            return seconds(lambda: manager.shutdown_kernel(now=True))

    whole = in_turn({side: partial(graceful, side) for side in MANAGERS}, pairs)
    yield Figure(
        name="graceful shutdown, from the process's end to the return",
        ours=median(after, "ours"),
        theirs=median(after, "theirs"),
        best=best(after, "ours"),
        bound=Bound(10, of="ours"),
    )
    yield Figure(name="graceful shutdown, in all", ours=median(whole, "ours"), theirs=median(whole, "theirs"))
    now = in_turn({side: partial(at_once, side) for side in MANAGERS}, pairs)
    yield Figure(
        name="shutdown now=True, in all",
        ours=median(now, "ours"),
        theirs=median(now, "theirs"),
        best=best(now, "ours"),
        bound=Bound(20, of="ours"),
    )


def restart(pairs: int, directory: Path) -> Iterator[Figure]:  # noqa: ARG001 - each benchmark gets a directory
    """The call, and the time until the new kernel has run a cell for the same client.

    `wait_for_ready` would not do: jupyter_client's may be content with what the old kernel said.
    """
    until_ready: dict[str, list[float]] = {"ours": [], "theirs": []}

    def restarted(side: str) -> float:
        with _ready(MANAGERS[side]()) as (manager, client):
            begin = time.perf_counter()
            manager.restart_kernel()
            called = time.perf_counter() - begin
            client.wait_for_ready(timeout=60)
            client.execute("pass", reply=True, timeout=60)
            until_ready[side].append(time.perf_counter() - begin)
            return called

    calls = in_turn({side: partial(restarted, side) for side in MANAGERS}, pairs)
    yield Figure(
        name="restart, until the call returns", ours=median(calls, "ours"), theirs=median(calls, "theirs")
    )
    yield Figure(
        name="restart, until the new kernel has run a cell",
        ours=median(until_ready, "ours"),
        theirs=median(until_ready, "theirs"),
        bound=Bound(1.0),
    )


def readiness(pairs: int, directory: Path) -> Iterator[Figure]:
    """How long `wait_for_ready` of a new client takes when the kernel has been running for long."""
    with running(IPYKERNEL, directory) as kernel:

        def waited(client_class: Any) -> float:
            client = client_class(connection_file=str(kernel.connection_file))
            client.load_connection_file()
            client.start_channels()
            try:
                return seconds(lambda: client.wait_for_ready(timeout=30))
            finally:
                client.stop_channels()

        samples = in_turn({side: partial(waited, CLIENTS[side]) for side in CLIENTS}, pairs)
    yield Figure(
        name="wait_for_ready of a new client, kernel warm",
        ours=median(samples, "ours"),
        theirs=median(samples, "theirs"),
        best=best(samples, "ours"),
        bound=Bound(20, of="ours"),
    )


def deaths(pairs: int, directory: Path) -> Iterator[Figure]:  # noqa: ARG001 - each benchmark gets a directory
    """From SIGKILL to the callback for "dead". jupyter_client's restarter looks every 3 seconds."""
    samples = in_turn({"ours": _our_notice, "theirs": _their_notice}, pairs, warm_up=0)
    yield Figure(
        name="noticing a killed kernel, kill -9 to callback",
        ours=median(samples, "ours"),
        theirs=median(samples, "theirs"),
        best=best(samples, "ours"),
        bound=Bound(50, of="ours"),
    )


def _our_notice() -> float:
    manager = kernelyard.KernelManager(autorestart=True, restart_limit=0)
    with _ready(manager):
        return _notice(manager, manager.add_restart_callback)


def _their_notice() -> float:
    """Its restarter needs a tornado loop, here in a thread."""
    import asyncio

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def call(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> Any:
        return function(**kwargs)

    def on_loop(function: Callable[..., Any], **kwargs: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(call(function, kwargs), loop).result()

    try:
        manager: Any = jupyter_client.ioloop.manager.IOLoopKernelManager()
        manager.start_kernel = partial(on_loop, manager.start_kernel)  # where the restarter begins to look
        with _ready(manager):
            manager._restarter.restart_limit = 0  # noqa: SLF001 - nothing public leads to it
            return _notice(manager, manager.add_restart_callback)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _notice(manager: Any, add_callback: Callable[[Callable[[], None], str], None]) -> float:
    noticed = threading.Event()
    when: list[float] = []

    def note() -> None:
        when.append(time.perf_counter())
        noticed.set()

    add_callback(note, "dead")
    begin = time.perf_counter()
    os.kill(_pid(manager), signal.SIGKILL)
    if not noticed.wait(30):
        raise TimeoutError("nobody noticed that the kernel was killed")
    return when[0] - begin


def _is_theirs(manager: Any) -> bool:
    return isinstance(manager, jupyter_client.manager.KernelManager)


def _pid(manager: Any) -> int:
    if _is_theirs(manager):
        return int(manager.provisioner.pid)
    return int(manager.handle.ref["pid"])
