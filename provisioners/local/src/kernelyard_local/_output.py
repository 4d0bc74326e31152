"""What a kernel printed, and what it says about the kernel's end: pure functions, but for the reading."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from contextlib import suppress
from pathlib import Path

from kernelyard.connection import tells_of_port_conflict
from kernelyard.types import ExitReason, ExitStatus, signal_name

__all__ = ["exit_status", "last_lines", "open_log", "read_tail", "remove_log"]

#: Bytes of a log's end that are read at most.
TAIL_LIMIT = 65536

#: How often to try to open a log whose directory comes and goes with other kernels'.
_OPEN_TRIES = 5

#: Lines from the end in which the cause of a failure is looked for.
_CAUSE_LINES = 10


def open_log(path: Path) -> tuple[int, int]:
    """Open a log that only its owner can read, for adding to it. Its directory is made if it is missing.

    Returns:
        A file descriptor, and the size of the log, in bytes.

    Raises:
        OSError: it cannot be opened, or is a link, a pipe or anything but a file.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    # A kernel can put a pipe in the place of its log: opening that to write would wait for a reader for ever.
    flags |= getattr(os, "O_NONBLOCK", 0)
    log = -1
    for attempt in range(_OPEN_TRIES):
        try:
            log = os.open(path, flags, 0o600)
            break
        except FileNotFoundError:
            if attempt == _OPEN_TRIES - 1:
                raise
            with suppress(FileExistsError):  # another process makes, or removes, the directory just now
                path.parent.mkdir(parents=True, mode=0o700)
    told = os.fstat(log)
    if not stat.S_ISREG(told.st_mode):
        os.close(log)
        raise OSError(errno.EINVAL, f"the log {path} is not a regular file")
    if hasattr(os, "set_blocking") and sys.platform != "win32":
        os.set_blocking(log, True)
    return log, told.st_size


def remove_log(path: Path) -> None:
    """Remove a log, and its directory with the last one. What is gone already is no error."""
    path.unlink(missing_ok=True)
    with suppress(OSError):  # gone already, or not empty
        path.parent.rmdir()


def read_tail(path: Path, start: int) -> tuple[bytes, bool]:
    """Read the end of a log.

    Args:
        path: the log.
        start: the byte at which the kernel's part of it begins.

    Returns:
        Its last bytes, and whether there are more before them. Nothing if there is no log.
    """
    # A kernel can put anything in the place of its log: a link, or a pipe whose reader would wait for ever.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with suppress(OSError), os.fdopen(os.open(path, flags), "rb") as log:
        seen = os.fstat(log.fileno())
        if stat.S_ISREG(seen.st_mode):
            start = start if start <= seen.st_size else 0
            begin = max(start, seen.st_size - TAIL_LIMIT)
            log.seek(begin)
            return log.read(TAIL_LIMIT), begin > start
    return b"", False


def last_lines(tail: bytes, *, cut: bool, count: int) -> tuple[str, ...]:
    """Return the last lines of a log, oldest first, without line ends.

    Args:
        tail: the end of the log.
        cut: whether the log has more before it, so that its first line may be a part of one.
        count: how many lines at most.
    """
    lines = tail.decode(errors="replace").removesuffix("\n").split("\n") if tail else []
    if cut and len(lines) > 1:
        del lines[0]
    return tuple(line.removesuffix("\r") for line in lines[max(0, len(lines) - count) :])


_MISSING_MODULE = re.compile(
    r"^(?:(?P<python>/\S+): |ModuleNotFoundError: )No module named '?(?P<module>[\w.]+)'?"
)
_PACKAGES = {"ipykernel_launcher": "ipykernel"}


def _hint(lines: tuple[str, ...]) -> str:
    for line in reversed(lines):
        missing = _MISSING_MODULE.match(line)
        if missing is not None:
            top = missing["module"].partition(".")[0]
            python = missing["python"] or "python"
            return (
                f"The kernel's Python lacks the module {missing['module']}. "
                f"Try: {python} -m pip install {_PACKAGES.get(top, top)}"
            )
    return ""


def exit_status(returncode: int | None, output: tuple[str, ...], *, oom_killed: int = 0) -> ExitStatus:
    """Say how a kernel ended.

    Args:
        returncode: its exit code, or the negative of a signal, or None if nobody knows any more.
        output: its last lines.
        oom_killed: how many processes of its control group the system killed for lack of memory since it started.
    """
    if returncode is None:
        return ExitStatus(
            reason=ExitReason.LOST,
            output=output,
            hint="Its process is gone, and only the process that had started it could learn how it ended.",
        )
    if returncode < 0:
        return _killed(-returncode, output, oom_killed)
    if returncode == 0:
        return ExitStatus(reason=ExitReason.CLEAN, exit_code=0, output=output)
    last = output[-_CAUSE_LINES:]
    if tells_of_port_conflict(output):
        return ExitStatus(
            reason=ExitReason.PORT_CONFLICT,
            exit_code=returncode,
            output=output,
            hint="A port of the kernel was taken by another program. Restart it with new ports.",
        )
    return ExitStatus(reason=ExitReason.EXIT_CODE, exit_code=returncode, output=output, hint=_hint(last))


def _killed(signum: int, output: tuple[str, ...], oom_killed: int) -> ExitStatus:
    if oom_killed and signal_name(signum) == "SIGKILL":
        return ExitStatus(
            reason=ExitReason.OOM,
            signal=signum,
            output=output,
            events=(f"The system killed {oom_killed} process(es) of the control group for lack of memory.",),
            hint="Use less memory, or give the machine or the container more.",
        )
    hint = ""
    if signal_name(signum) == "SIGSEGV":
        hint = "A crash in native code. PYTHONFAULTHANDLER=1 in a Python kernel's environment shows where."
    return ExitStatus(reason=ExitReason.SIGNAL, signal=signum, output=output, hint=hint)
