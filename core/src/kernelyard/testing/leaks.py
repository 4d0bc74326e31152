"""A guard that fails a test which leaves something behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

__all__ = ["LeakGuard", "no_leaks"]

#: Seconds that what was told to end gets to end.
GRACE = 5.0

#: Idle threads of pools that belong to an event loop, and end with it.
_POOLS = ("AnyIO worker thread", "asyncio_")


class LeakGuard:
    """Compares what this process holds with what it held when the guard was made.

    It sees processes (children of this process, and theirs), threads of Python, open file descriptors, tasks of the
    running event loop, and files.

    Args:
        directories: where no new file may be left.
    """

    def __init__(self, *directories: Path) -> None:
        self._views: dict[str, Callable[[], set[str]]] = {
            "process": _processes,
            "thread": _threads,
            "file descriptor": _descriptors,
            "task": _tasks,
            "file": lambda: _files(directories),
        }
        self._before = {kind: view() for kind, view in self._views.items()}

    def leaks(self) -> list[str]:
        """Return what is there now, and was not when the guard was made."""
        gc.collect()
        return [
            f"{kind}: {leaked}"
            for kind, view in self._views.items()
            for leaked in sorted(view() - self._before[kind])
        ]

    async def check(self, grace: float = GRACE) -> None:
        """Fail the test if something is left.

        Args:
            grace: seconds to give to what is ending already; 0 = none.
        """
        deadline = time.monotonic() + grace
        while left := self.leaks():
            if time.monotonic() >= deadline:
                pytest.fail("left behind:\n  " + "\n  ".join(left))
            await asyncio.sleep(0.02)  # a thread or a descriptor of another's has no event for its end


@pytest.fixture
async def no_leaks(anyio_backend: object) -> AsyncIterator[LeakGuard]:  # noqa: ARG001 - the loop to run in
    """Fail the test if it leaves processes, threads, file descriptors or tasks behind.

    Import it in a conftest.py, or where it is used; for files as well, make a `LeakGuard` with their directories.
    """
    guard = LeakGuard()
    yield guard
    await guard.check()


def _processes() -> set[str]:
    found = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found.add(f"{child.pid} ({child.name()}, started {child.create_time()})")
    return found


def _threads() -> set[str]:
    return {f"{t.name} ({t.ident})" for t in threading.enumerate() if not t.name.startswith(_POOLS)}


def _descriptors() -> set[str]:
    directory = Path("/proc/self/fd")
    if not directory.is_dir():
        return set()
    found = set()
    for descriptor in directory.iterdir():
        with suppress(OSError):  # the one that lists the directory
            target = str(descriptor.readlink())
            if target != f"/proc/{os.getpid()}/fd":
                found.add(f"{descriptor.name} -> {target}")
    return found


def _tasks() -> set[str]:
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # no loop runs here
        return set()
    # anyio's test runner has a task for each of its calls into the loop.
    return {f"{task.get_name()}: {_what(task)}" for task in tasks if "TestRunner" not in _what(task)}


def _what(task: asyncio.Task[object]) -> str:
    return getattr(task.get_coro(), "__qualname__", repr(task))


def _files(directories: Sequence[Path]) -> set[str]:
    return {str(found) for directory in directories for found in directory.rglob("*")}
