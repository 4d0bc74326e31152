"""Print when a process ends, as the clock that all processes of the machine share shows it.

A process of its own: a thread would wait for the interpreter while the code that is measured runs.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time

__all__ = ["EndOf"]


class EndOf:
    """Notes when a process ends. Make it before the process can end.

    Args:
        pid: the process.
    """

    def __init__(self, pid: int) -> None:
        self._watcher = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, str(pid)], stdout=subprocess.PIPE, text=True
        )
        self._next_line()

    def _next_line(self) -> str:
        if self._watcher.stdout is None:
            raise AssertionError("it was started with a pipe")
        return self._watcher.stdout.readline()

    def time(self) -> float:
        """Wait for the end, and return when it was, in the seconds of `time.monotonic`."""
        ended = float(self._next_line())
        self._watcher.communicate()
        return ended


def main(pid: int) -> None:
    process = os.pidfd_open(pid)
    print("watching", flush=True)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.poll()
    print(time.monotonic(), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
