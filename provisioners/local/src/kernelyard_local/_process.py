"""A process as a value, how to start one, and what a platform must offer to look after one.

`_pidfd.py` does it on Linux, with the operating system's events; `_portable.py` does it elsewhere.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

__all__ = ["MARK", "Ending", "ProcessId", "Processes", "discard", "platform_processes", "spawn"]

#: The environment variable by which the processes of a kernel are known when the kernel's own one has gone.
MARK = "KERNELYARD_KERNEL_ID"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process of one machine since one boot: unlike a bare pid, it never comes to mean another process.

    The process leads a group of its own, which has the same number.

    Attributes:
        pid: its number.
        start_time: when it started: clock ticks since boot on Linux, seconds since the epoch elsewhere, 0 = unknown.
        boot_id: the boot of the machine in which `start_time` counts; empty where the platform has no name for it.
    """

    pid: int
    start_time: int
    boot_id: str

    def to_ref(self) -> dict[str, int | str]:
        """Return plain data for a handle."""
        return {
            "pid": self.pid,
            "pgid": self.pid,
            "start_time": self.start_time,
            "boot_id": self.boot_id,
        }

    @classmethod
    def from_ref(cls, ref: Mapping[str, Any]) -> ProcessId:
        """Read what `to_ref` returned.

        Raises:
            KeyError: a part is missing.
            ValueError: a part is not what it must be.
        """
        pid, start_time, boot_id = ref["pid"], ref["start_time"], ref["boot_id"]
        # Numbers below 2 are no kernel's: to signals, 0 and -1 mean "my own group" and "everybody".
        if type(pid) is not int or type(start_time) is not int or not isinstance(boot_id, str) or pid < 2:  # noqa: PLR2004 - said above
            raise ValueError(f"pid {pid!r}, start time {start_time!r} and boot {boot_id!r} name no process")
        return cls(pid, start_time, boot_id)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended.

    Attributes:
        returncode: the exit code, or the negative of the signal that ended it, or None: nobody knows any more.
    """

    returncode: int | None


class Processes(Protocol):
    """What looks after processes that lead a group. All of it may be called by any process, but for `adopt`."""

    description: str
    """How an end is noticed, for people."""

    def adopt(self, child: subprocess.Popen[bytes]) -> ProcessId:
        """Take over a child of this process that was just started.

        Raises:
            ProcessLookupError: it has ended already, and something else in this process has reaped it.
        """

    def exists(self, process: ProcessId) -> bool:
        """Return whether anything is left of it: it runs, or its parent has not been told of its end."""

    def ending(self, process: ProcessId) -> Ending | None:
        """Return how it ended, or None while it runs."""

    async def wait(self, process: ProcessId) -> Ending:
        """Return how it ended, as soon as it has."""

    def send(self, process: ProcessId, signum: int) -> None:
        """Signal its group; nothing happens if it has ended.

        Raises:
            OSError: this platform, or this process's rights, do not allow it.
        """

    async def kill(self, process: ProcessId) -> None:
        """Kill its group, and return when it has ended. Raises what `send` raises."""

    async def sweep(self, process: ProcessId, mark: str) -> bool:
        """Kill what is left of its group, reap it, and return whether all of it has ended.

        Args:
            process: the process.
            mark: what the environment of its children has as `MARK`.
        """

    def end_now(self, process: ProcessId) -> None:
        """Kill and reap it without an event loop, for the end of this process."""


@cache
def platform_processes() -> Processes:
    """Return the best that this platform offers."""
    if sys.platform == "linux":
        from kernelyard_local._pidfd import PidfdProcesses, available

        if available():
            return PidfdProcesses()
    from kernelyard_local._portable import PortableProcesses

    return PortableProcesses()


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | None,
    stdout: Any,
    stderr: Any,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process in a session and a group of its own, and return as soon as it runs the command: in 1 to 2 ms.

    Args:
        command: the program and its arguments.
        env: its whole environment; its PATH is where the program is looked for.
        cwd: its directory, or None for this process's.
        stdout: a file descriptor, a file object, or one of subprocess's constants.
        stderr: the same.
        pass_fds: the file descriptors that it inherits.

    Raises:
        OSError: it cannot be started; `filename` is `cwd` if the directory is the reason.
        ValueError: a zero byte in the command or in the environment.
    """
    options: dict[str, Any] = {"start_new_session": True, "pass_fds": pass_fds}
    if os.name == "nt":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined,unused-ignore]  # exists on Windows only
    return subprocess.Popen(
        command,
        env=dict(env),
        cwd=None if cwd is None else Path(cwd),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        **options,
    )


def discard(child: subprocess.Popen[bytes]) -> None:
    """Kill and reap a child of this process that was just started. It needs no file descriptor."""
    if os.name == "nt":
        child.kill()
        return
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # not yet reaped, so the number is its own
    with suppress(ChildProcessError):
        os.waitpid(child.pid, 0)
