"""The `wrapped` provisioner: a kernel is a process of this machine, started through a command wrapper such as nice."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kernelyard import ExitReason, ExitStatus, KernelHandle, LaunchRequest, hookimpl
from kernelyard.config import ProvisionerConfig
from kernelyard.connection import remove_connection_file, reserve_ports, write_connection_file
from kernelyard.errors import CommandNotFoundError, LaunchError, ProvisionerError, UnknownHandleError
from kernelyard.types import JSONValue
from traitlets import List, Unicode

__all__ = ["WrappedProvisioner"]

KEEPER = str(Path(__file__).with_name("keeper.py"))
OUTPUT_LINES = 50  # that an exit status has, at most


class WrappedProvisioner(ProvisionerConfig):
    """Starts each kernel through a wrapper. All that it knows of a kernel is in the kernel's directory."""

    wrapper = List(
        Unicode(),
        default_value=["nice", "-n", "10"],
        help="The command that runs the kernel's command, which is appended to it; empty = none.",
    ).tag(config=True)

    @hookimpl
    async def kernelyard_launch(self, request: LaunchRequest) -> KernelHandle:
        # A thread cannot be cancelled: if this task is, let the thread finish, and take back what it did.
        launching = asyncio.create_task(asyncio.to_thread(launch, request))
        try:
            return await asyncio.shield(launching)
        except asyncio.CancelledError:
            await self.kernelyard_cleanup(await launching)
            raise

    @hookimpl
    async def kernelyard_poll(self, handle: KernelHandle) -> ExitStatus | None:
        _, directory = place_of(handle)
        keeper_runs = holds_lock(directory)  # asked first: the ending is written before the lock is let go
        ending = read(directory / "ending")
        if not ending:
            lost = ExitStatus(reason=ExitReason.LOST, hint="Nobody who saw how the kernel ended is left.")
            return None if keeper_runs else lost
        how = json.loads(ending)
        reason = ExitReason.SIGNAL if "signal" in how else ExitReason.EXIT_CODE
        if how == {"exit_code": 0}:
            reason = ExitReason.CLEAN
        return ExitStatus(reason=reason, output=last_lines(directory, OUTPUT_LINES), **how)

    @hookimpl
    async def kernelyard_signal(self, handle: KernelHandle, signum: int) -> None:
        group, _ = place_of(handle)
        if await self.kernelyard_poll(handle) is None:
            try:
                os.killpg(group, signum)
            except OSError as error:
                raise ProvisionerError(f"Signal {signum} cannot be sent: {error.strerror}.") from error

    @hookimpl
    async def kernelyard_kill(self, handle: KernelHandle) -> None:
        _, directory = place_of(handle)
        await self.kernelyard_signal(handle, signal.SIGKILL)
        while holds_lock(directory):  # noqa: ASYNC110 - that a lock is let go is no event
            await asyncio.sleep(0.01)

    @hookimpl
    async def kernelyard_cleanup(self, handle: KernelHandle, restart: bool = False) -> None:
        _, directory = place_of(handle)
        await self.kernelyard_kill(handle)
        shutil.rmtree(directory, ignore_errors=True)
        remove_connection_file(None if restart else handle.connection_file)

    # What a provisioner may offer besides. Without `wait`, the core asks `poll` again and again.

    @hookimpl
    async def kernelyard_logs(self, handle: KernelHandle, tail: int) -> Sequence[str]:
        _, directory = place_of(handle)
        return last_lines(directory, tail)

    @hookimpl
    async def kernelyard_plan(self, request: LaunchRequest) -> Mapping[str, JSONValue]:
        return {"argv": command(request), "not_enforced": sorted(request.resources.asked())}


def command(request: LaunchRequest) -> list[str]:
    return [*request.settings["wrapper"], *request.command()]


def launch(request: LaunchRequest) -> KernelHandle:
    """Start the keeper, which starts the kernel; it takes as long as a small Python program."""
    if request.connection.transport != "tcp":
        raise LaunchError(
            "The provisioner 'wrapped' starts kernels with tcp only.", hint='Set transport="tcp".'
        )
    environment = {**(os.environ if request.inherit_env else {}), **request.env}
    for program in (command(request)[0], request.argv[0]):
        if shutil.which(program, path=environment.get("PATH")) is None:
            what = f"Kernel {request.kernel_name!r} could not be started: there is no command {program!r}."
            raise CommandNotFoundError(what, command=program, hint="Install it, or correct the kernel.json.")
    with reserve_ports(request.connection.ip, request.connection.ports) as reservation:
        connection = request.connection.with_ports(reservation.ports)
        write_connection_file(request.connection_file, connection)
        place = Path(request.connection_file).parent
        directory = tempfile.mkdtemp(prefix=f"kernel-{request.kernel_id}-", dir=place)
        try:
            keeper = subprocess.run(
                [sys.executable, "-I", "-S", KEEPER, directory, *command(request)],
                cwd=request.cwd,
                env=environment,
                pass_fds=reservation.filenos,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if not keeper.stdout.strip().isdigit():
                raise LaunchError(f"Kernel {request.kernel_name!r} could not be started: {keeper.stdout}")
        except BaseException:
            shutil.rmtree(directory)
            remove_connection_file(request.connection_file)
            raise
    return KernelHandle(
        provisioner=request.provisioner,
        kernel_id=request.kernel_id,
        ref={"pid": int(keeper.stdout), "directory": directory},
        connection=connection,
        connection_file=request.connection_file,
        started=time.time(),
    )


def place_of(handle: KernelHandle) -> tuple[int, Path]:
    """The kernel's process group and directory."""
    group, directory = handle.ref.get("pid"), handle.ref.get("directory")
    if not isinstance(group, int) or not isinstance(directory, str):
        raise UnknownHandleError(f"The handle of kernel {handle.kernel_id} is not one of a wrapped kernel.")
    return group, Path(directory)


def holds_lock(directory: Path) -> bool:
    """Whether the keeper runs: it holds a lock on this file until the last process of the kernel has ended."""
    try:
        with (directory / "ending").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def last_lines(directory: Path, count: int) -> tuple[str, ...]:
    lines = read(directory / "log").splitlines()
    return tuple(lines[max(0, len(lines) - count) :])
