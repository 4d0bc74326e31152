"""Runs one kernel and writes down how it ended: `keeper.py DIRECTORY COMMAND...`, a process of its own.

It prints the kernel's process id, and holds a lock on DIRECTORY/ending for as long as it runs. Into that file it writes
how the kernel ended. So anybody who knows the directory can tell whether the kernel runs, and how it ended.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # from linux/prctl.h: orphans among our descendants become our children


def main(directory: str, command: list[str]) -> None:
    if os.fork() > 0:
        os._exit(0)  # whoever started us need not wait for us, and we do not end with them
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    with Path(directory, "ending").open("w") as ending, Path(directory, "log").open("w") as log:
        fcntl.flock(ending, fcntl.LOCK_EX)
        try:
            # The reserved ports are inherited: close_fds=False.
            kernel = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                close_fds=False,
            )
        except OSError as error:
            print(f"{command[0]!r} cannot be run: {error.strerror}")
            return
        print(kernel.pid, flush=True)
        for stream in (1, 2):  # whoever reads them has what it waited for
            os.dup2(log.fileno(), stream)
        # Not reaped yet: until then the kernel's process id, and its group's, are nobody else's.
        ended = os.waitid(os.P_PID, kernel.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        by_exit = ended.si_code == os.CLD_EXITED
        json.dump({"exit_code" if by_exit else "signal": ended.si_status}, ending)
        ending.flush()
        with contextlib.suppress(ChildProcessError):  # raised when nobody of the group is left
            os.killpg(kernel.pid, signal.SIGKILL)
            while True:
                os.waitpid(-kernel.pid, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
