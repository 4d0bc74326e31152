"""What a launch request means for a process of this machine."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kernelyard.errors import CommandNotFoundError, LaunchError
from kernelyard.types import LaunchRequest

from kernelyard_local._process import MARK

__all__ = ["command", "environment", "log_path", "needs_log", "start_error"]

#: Variables that are about the manager's own process, and would mislead the kernel.
_MANAGERS_OWN = ("PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "JPY_PARENT_PID", "JPY_INTERRUPT_EVENT")


def command(request: LaunchRequest) -> list[str]:
    """Return the command, with a leading ~ in any of its parts filled in.

    Raises:
        LaunchError: there is none.
    """
    argv = [os.path.expanduser(part) for part in request.command()]  # noqa: PTH111 - any text, not only paths
    if not argv or not argv[0]:
        raise LaunchError(
            f"Kernelspec {request.kernel_name!r} names no command.", hint="Its kernel.json needs `argv`."
        )
    return argv


def environment(request: LaunchRequest) -> dict[str, str]:
    """Return the whole environment of the kernel's process."""
    variables = dict(os.environ) if request.inherit_env else {}
    for name in _MANAGERS_OWN:
        variables.pop(name, None)
    variables.update(request.env)
    variables[MARK] = request.kernel_id
    if not request.independent and os.name != "nt":
        # ipykernel, and kernels that follow it, end by themselves when this is no longer their parent's pid.
        variables["JPY_PARENT_PID"] = str(os.getpid())
    return variables


def needs_log(request: LaunchRequest) -> bool:
    """Return whether some of the kernel's output has no other place to go."""
    return takes_log(request.stdout) or takes_log(request.stderr)


def takes_log(stream: Any) -> bool:
    """Return whether a stream goes to the kernel's log: where none is given, and where it is `subprocess.PIPE`.

    A pipe of subprocess's own would fill up, since nobody here reads it; programs written for jupyter_client that ask
    for one want the output kept off their terminal, and find it in the log.
    """
    return stream is None or (type(stream) is int and stream == subprocess.PIPE)


#: Where logs are, beside the connection files; removed with the last one.
LOG_DIRECTORY = "kernelyard-logs"


def log_path(request: LaunchRequest) -> Path:
    """Return where the kernel's log is: in a directory beside its connection file.

    Not in the same one: `jupyter console --existing ID` takes the first file there that has the id in its name.
    """
    name = re.sub(r"[^\w.-]", "_", request.kernel_id)
    return Path(request.connection_file).absolute().parent / LOG_DIRECTORY / f"kernel-{name}.log"


def start_error(request: LaunchRequest, argv: Sequence[str], error: OSError) -> LaunchError:
    """Say why the operating system did not start the process, in the kernelspec's terms."""
    what = f"Kernel {request.kernel_name!r} could not be started"
    cwd = request.cwd
    # The system's error is the same for a directory and for a command that does not exist.
    if cwd is not None and not (Path(cwd).is_dir() and os.access(cwd, os.X_OK)):
        return LaunchError(
            f"{what}: its working directory {cwd!r} cannot be entered: {error.strerror}.",
            hint="Make the directory, or pass another `cwd`.",
        )
    hints: dict[Any, str] = {
        errno.ENOENT: "Install the program, or correct `argv` in the kernel.json. A script may also lack the "
        "interpreter that its first line names.",
        errno.EACCES: f"Make it executable: chmod +x {argv[0]}",
        errno.ENOEXEC: "A script needs a first line that names its interpreter, such as #!/bin/sh.",
    }
    if error.errno in hints:
        return CommandNotFoundError(
            f"{what}: its command {argv[0]!r} cannot be run: {error.strerror}.",
            command=argv[0],
            hint=hints[error.errno],
        )
    return LaunchError(f"{what}: {error.strerror or error}.")
