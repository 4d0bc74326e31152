"""Looking after processes on Linux: events through pidfds, identities through /proc, and no state of our own.

A kernel that this process started stays a zombie from its end until it is swept. That keeps three things true: its
exit status can be asked for any number of times; its pid, and so its group's number, cannot be given to a stranger;
and processes that are not its parent can read the status in /proc.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from kernelyard_local._process import MARK, Ending, ProcessId

__all__ = ["PidfdProcesses", "available"]

#: Seconds that processes get to end after SIGKILL: only one that hangs in the operating system needs more.
SWEEP_TIMEOUT = 5.0

#: How often an empty environment is read before it is taken for one that is empty.
_ENVIRONMENT_READS = 100

_TO_GROUP = 4  # PIDFD_SIGNAL_PROCESS_GROUP, since Linux 6.9

# ioctl(PIDFD_GET_INFO) and its answer, since Linux 6.13: a mask, the cgroup's id, eleven ids, the wait status.
_GET_INFO = 0xC040FF0B
_INFO = struct.Struct("=QQ11Ii")
_INFO_HAS_EXIT = 8  # PIDFD_INFO_EXIT, since Linux 6.15


def available() -> bool:
    """Return whether this is a Linux with pidfds (5.4 and later), that Python can use."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return False
    try:
        with _closing(os.pidfd_open(os.getpid())):
            return _stat(os.getpid()) is not None
    except OSError:  # a sandbox that does not know, or forbids, the system call
        return False


class _Stat(NamedTuple):
    """What is needed of /proc/<pid>/stat."""

    state: str
    group: int
    start_time: int
    wait_status: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses, and may hold anything.
    fields = text[text.rindex(b")") + 2 :].split()
    return _Stat(fields[0].decode(), int(fields[2]), int(fields[19]), int(fields[49]))


@cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _opened(process: ProcessId) -> Iterator[int | None]:
    """A pidfd of the process, or None if nothing is left of it."""
    if process.boot_id != _boot_id():
        yield None
        return
    try:
        fd = os.pidfd_open(process.pid)
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.EINVAL):  # EINVAL: the number is a thread's now
            raise
        yield None
        return
    with _closing(fd):
        # In this order: who has the number after the pidfd was opened, and is older, had it when it was opened.
        now = _stat(process.pid)
        yield fd if now is not None and now.start_time == process.start_time else None


def _has_ended(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


async def _readable(fd: int) -> None:
    """Return when the process of a pidfd has ended. An event loop allows one reader per descriptor."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _tell, ended)
    try:
        await ended
    finally:
        loop.remove_reader(fd)


def _tell(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def _ending(fd: int, process: ProcessId) -> Ending:
    """How a process that has ended did."""
    try:
        told = os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return Ending(_strangers_returncode(fd, process))
    if told is None:  # only a parent that traces it can be in the way
        return Ending(None)
    return Ending(told.si_status if told.si_code == os.CLD_EXITED else -told.si_status)


def _strangers_returncode(fd: int, process: ProcessId) -> int | None:
    """The return code of a process that is not our child."""
    zombie = _stat(process.pid)
    if zombie is not None and zombie.start_time == process.start_time:
        with suppress(FileNotFoundError):
            # /proc shows a 0 to those who may not know.
            if Path(f"/proc/{process.pid}").stat().st_uid == os.geteuid():
                return os.waitstatus_to_exitcode(zombie.wait_status)
    with suppress(OSError):  # an older kernel
        request = _INFO.pack(_INFO_HAS_EXIT, 0, *[0] * 11, 0)
        mask, *_, wait_status = _INFO.unpack(fcntl.ioctl(fd, _GET_INFO, request))
        if mask & _INFO_HAS_EXIT:
            return os.waitstatus_to_exitcode(wait_status)
    return None


def _signal_group(fd: int, process: ProcessId, signum: int) -> None:
    with suppress(ProcessLookupError):
        try:
            signal.pidfd_send_signal(fd, signum, None, _TO_GROUP)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # An older kernel, or no such signal. The pidfd's process was seen alive or unreaped a moment ago, so
            # the number of the group is still its own.
            os.killpg(process.pid, signum)


def _reap(fd: int) -> None:
    with suppress(ChildProcessError):  # another process's child: its parent, or init, does it
        os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)


def _group_is_empty(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _environment(pid: int) -> list[bytes]:
    """The environment of a process, NAME=VALUE each. One that is just being executed has none yet: it is read again."""
    for _ in range(_ENVIRONMENT_READS):
        told = Path(f"/proc/{pid}/environ").read_bytes()
        if told:
            return told.split(b"\0")
        os.sched_yield()
    return []


def _open_member(pid: int, process: ProcessId, mark: str | None) -> int | None:
    """Open a pidfd on a process if it is of the group; the caller closes it.

    Args:
        pid: the process that may be of the group.
        process: the group's leader.
        mark: what its environment must have as `MARK`; None = it is certain that the group is the leader's own.
    """
    seen = _stat(pid)
    if seen is None or seen.group != process.pid or seen.start_time < process.start_time:
        return None
    with ExitStack() as undo, suppress(OSError):  # gone, or somebody else's
        fd = os.pidfd_open(pid)
        undo.callback(os.close, fd)
        if mark is not None and f"{MARK}={mark}".encode() not in _environment(pid):
            return None
        now = _stat(pid)
        if now is not None and now.start_time == seen.start_time:
            undo.pop_all()
            return fd
    return None


async def _end_members(process: ProcessId, mark: str | None) -> None:
    for pid in [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]:  # noqa: ASYNC240 - /proc does not block
        fd = _open_member(pid, process, mark)
        if fd is None:
            continue
        with _closing(fd):
            # To all of the group, so that none escapes by forking: while it has this member it is the kernel's.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await _readable(fd)


class PidfdProcesses:
    """Processes of a Linux machine. It holds nothing: every call finds the process again."""

    description = "ends are noticed through pidfds"

    def adopt(self, child: subprocess.Popen[bytes]) -> ProcessId:
        """See `Processes`."""
        # From here on the pidfd functions alone look after the process. A Popen object that thinks its child runs
        # would warn when it is dropped, and the subprocess module would then reap the child behind our back.
        child.returncode = 0
        stat = _stat(child.pid)
        if stat is None:
            raise ProcessLookupError(errno.ESRCH, f"process {child.pid} was reaped by somebody else")
        return ProcessId(child.pid, stat.start_time, _boot_id())

    def exists(self, process: ProcessId) -> bool:
        """See `Processes`."""
        with _opened(process) as fd:
            return fd is not None

    def ending(self, process: ProcessId) -> Ending | None:
        """See `Processes`."""
        with _opened(process) as fd:
            if fd is None:
                return Ending(None)
            return _ending(fd, process) if _has_ended(fd) else None

    async def wait(self, process: ProcessId) -> Ending:
        """See `Processes`. Each waiter has a pidfd of its own, so there may be many."""
        with _opened(process) as fd:
            if fd is None:
                return Ending(None)
            await _readable(fd)
            return _ending(fd, process)

    def send(self, process: ProcessId, signum: int) -> None:
        """See `Processes`."""
        with _opened(process) as fd:
            if fd is not None and not _has_ended(fd):
                _signal_group(fd, process, signum)

    async def kill(self, process: ProcessId) -> None:
        """See `Processes`."""
        with _opened(process) as fd:
            if fd is not None:
                _signal_group(fd, process, signal.SIGKILL)
                await _readable(fd)

    async def sweep(self, process: ProcessId, mark: str) -> bool:
        """See `Processes`."""
        with _opened(process) as fd:
            found = fd is not None
            if fd is not None:
                _signal_group(fd, process, signal.SIGKILL)
                await _readable(fd)
                _reap(fd)
        if process.boot_id != _boot_id() or _group_is_empty(process.pid):
            return True
        # Its children outlive it by a moment; or for long, if it ended, and was reaped, before anybody swept.
        try:
            await asyncio.wait_for(_end_members(process, None if found else mark), SWEEP_TIMEOUT)
        except asyncio.TimeoutError:
            return False
        return True

    def end_now(self, process: ProcessId) -> None:
        """See `Processes`."""
        with _opened(process) as fd:
            if fd is not None:
                _signal_group(fd, process, signal.SIGKILL)
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                poll.poll(1000)
                _reap(fd)
