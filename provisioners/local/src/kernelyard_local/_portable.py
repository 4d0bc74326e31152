"""Looking after processes where there are no pidfds (macOS, Windows, old or sandboxed Linux): a thread waits for each.

It is weaker than `_pidfd.py` in this: only the process that launched a kernel learns how it ended; other processes
see that it is gone, by asking again and again; on Windows they cannot see or reach it at all, and there are no
signals but the one that ends it.
"""

from __future__ import annotations

import asyncio
import calendar
import concurrent.futures
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

from kernelyard_local._process import Ending, ProcessId

__all__ = ["PortableProcesses"]

#: Seconds between two looks at a process that is not a child of ours.
LOOK_INTERVAL = 0.1

#: Seconds that processes get to end after SIGKILL.
SWEEP_TIMEOUT = 5.0

_WINDOWS = sys.platform == "win32"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _start_time(pid: int) -> int | None:
    """Return when a process started, in seconds since the epoch, 0 if that is not known, None if there is none."""
    if _WINDOWS:
        return 0
    command = ["ps", "-o", "lstart=", "-o", "state=", "-p", str(pid)]
    env = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    told = subprocess.run(command, env=env, capture_output=True, text=True, check=False).stdout.strip()
    started, _, state = told.rpartition(" ")
    if not started or state.startswith("Z"):
        return None
    _, month, day, clock, year = started.split()
    hour, minute, second = (int(part) for part in clock.split(":"))
    # Not with strptime, which reads the names of months in the program's language.
    return calendar.timegm((int(year), _MONTHS.index(month) + 1, int(day), hour, minute, second))


def _end(child: subprocess.Popen[bytes]) -> None:
    if _WINDOWS:
        child.kill()
        return
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


class _Child:
    """A child of this process, and the thread that waits for it."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.process = child
        self.ended: concurrent.futures.Future[Ending] = concurrent.futures.Future()
        self.ended.set_running_or_notify_cancel()  # from now on no waiter that is cancelled cancels it for the others
        self._thread = threading.Thread(target=self._wait, name=f"kernel-{child.pid}", daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        self.ended.set_result(Ending(self.process.wait()))


class PortableProcesses:
    """Processes of a machine of any kind. It holds the children of this process, from their start to their sweep."""

    description = "ends are noticed by a waiting thread for each kernel"

    def __init__(self) -> None:
        self._children: dict[ProcessId, _Child] = {}

    def adopt(self, child: subprocess.Popen[bytes]) -> ProcessId:
        """See `Processes`."""
        process = ProcessId(child.pid, _start_time(child.pid) or 0, "")
        self._children[process] = _Child(child)
        return process

    def exists(self, process: ProcessId) -> bool:
        """See `Processes`."""
        return process in self._children or self._stranger_runs(process)

    def ending(self, process: ProcessId) -> Ending | None:
        """See `Processes`."""
        child = self._children.get(process)
        if child is not None:
            return child.ended.result() if child.ended.done() else None
        return None if self._stranger_runs(process) else Ending(None)

    async def wait(self, process: ProcessId) -> Ending:
        """See `Processes`."""
        child = self._children.get(process)
        if child is not None:
            return await asyncio.wrap_future(child.ended)
        while self._stranger_runs(process):  # noqa: ASYNC110 - no event tells of it here
            await asyncio.sleep(LOOK_INTERVAL)
        return Ending(None)

    def send(self, process: ProcessId, signum: int) -> None:
        """See `Processes`."""
        if self.ending(process) is not None:
            return
        if _WINDOWS:
            if signum != signal.SIGTERM:
                raise OSError(errno.ENOSYS, "Windows has no signals; a kernel there can only be ended")
            self._children[process].process.terminate()
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signum)

    async def kill(self, process: ProcessId) -> None:
        """See `Processes`."""
        self.send(process, signal.SIGTERM if _WINDOWS else signal.SIGKILL)
        await self.wait(process)

    async def sweep(self, process: ProcessId, mark: str) -> bool:  # noqa: ARG002 - strangers' marks cannot be read here
        """See `Processes`."""
        known = self.exists(process)
        await self.kill(process)
        self._children.pop(process, None)
        if _WINDOWS or not known:
            return True
        deadline = time.monotonic() + SWEEP_TIMEOUT
        with suppress(ProcessLookupError, PermissionError):  # PermissionError on macOS: only zombies are left
            while time.monotonic() < deadline:
                os.killpg(process.pid, signal.SIGKILL)
                await asyncio.sleep(LOOK_INTERVAL)
            return False
        return True

    def end_now(self, process: ProcessId) -> None:
        """See `Processes`."""
        child = self._children.pop(process, None)
        if child is None or child.ended.done():
            return
        _end(child.process)
        concurrent.futures.wait([child.ended], timeout=1)

    def _stranger_runs(self, process: ProcessId) -> bool:
        if _WINDOWS:
            raise OSError(errno.ENOSYS, "kernels of another process cannot be seen on Windows")
        started = _start_time(process.pid)
        return started is not None and started == process.start_time
