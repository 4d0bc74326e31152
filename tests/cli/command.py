"""The real command, as a subprocess: with pipes, or at a terminal of its own."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

CTRL_C, CTRL_D = "\x03", "\x04"

#: Seconds after which a test gives up on the command.
PATIENCE = 60.0

COMMAND = (sys.executable, "-m", "kernelyard")

#: Makes the terminal on standard input the one of this session, so that its Ctrl-C comes as a signal.
_TAKE_TERMINAL = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


@dataclass(frozen=True)
class Result:
    """What a finished command left: its exit status, and what it wrote."""

    status: int
    out: str
    err: str


def kernelyard(*args: str, piped: str | None = None, env: Mapping[str, str] | None = None) -> Result:
    """Run the command to its end; `piped` is its standard input, which is empty if that is None."""
    done = subprocess.run(
        [*COMMAND, *args],
        input=(piped or "").encode(),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, **(env or {})},
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def start(
    *args: str, before: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start the command with pipes to read from; `before` are words to put before it, such as of a shell."""
    return subprocess.Popen(
        [*before, *COMMAND, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )


class Terminal:
    """The command at a terminal, with a person who types and reads."""

    def __init__(self, *args: str, env: Mapping[str, str] | None = None) -> None:
        self._master, slave = os.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *COMMAND, *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **(env or {})},
        )
        os.close(slave)
        self.screen = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)

    def type(self, text: str) -> None:
        """Type something; `CTRL_C` and `CTRL_D` are keys too."""
        os.write(self._master, text.encode())

    def see(self, text: str) -> None:
        """Wait until a text has appeared since the last one that was seen."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.screen:
            assert self._read(deadline), f"{text!r} did not appear in {self.screen!r}"
        self.screen = self.screen[self.screen.index(text) + len(text) :]

    def end(self) -> int:
        """Read what is still written, and return the exit status."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self._process.wait(PATIENCE)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError(f"nothing came; on the screen: {self.screen!r}")
        try:
            more = os.read(self._master, 65536)
        except OSError:  # Linux's word for the end: nobody has the terminal open any more
            return False
        self.screen += more.decode(errors="replace")
        return bool(more)


def processes_with(name: str, value: str) -> list[str]:
    """Return the processes that run with an environment variable of that value, besides this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(name) == value:
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.Error:  # it has ended, or is not ours to look at
            continue
    return found
