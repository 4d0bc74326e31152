"""The hooks of the `local` provisioner: a kernel is a process of this machine."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelyard.config import ProvisionerConfig
from kernelyard.connection import remove_connection_file, write_connection_file
from kernelyard.errors import LaunchError, ProvisionerError, UnknownHandleError
from kernelyard.hookspecs import hookimpl
from kernelyard.types import ExitStatus, JSONValue, KernelHandle, LaunchRequest
from traitlets import Int

from kernelyard_local import _at_exit
from kernelyard_local._endpoints import endpoints
from kernelyard_local._limits import OomCounter, limit, not_enforced, rlimits
from kernelyard_local._output import exit_status, last_lines, open_log, read_tail, remove_log
from kernelyard_local._process import Ending, ProcessId, discard, platform_processes, spawn
from kernelyard_local._request import command, environment, log_path, needs_log, start_error, takes_log

__all__ = ["LocalProvisioner"]


class LocalProvisioner(ProvisionerConfig):
    """Runs each kernel as a process of this machine, in a process group of its own."""

    #: Paths of the kernel are paths of this machine: see KernelManager.resolve_path().
    shares_filesystem = True

    output_lines = Int(
        200, min=0, help="Lines of the kernel's output that an exit status keeps, at most. 0 = none."
    ).tag(config=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        # Kernels that this object killed, until their cleanup: not the system, whatever it counted meanwhile. Without
        # it, as in another process, only that distinction is lost.
        self._killed: set[ProcessId] = set()

    @hookimpl
    async def kernelyard_launch(self, request: LaunchRequest) -> KernelHandle:
        """See `kernelyard.hookspecs`. A cancellation finds it before it has done anything: the rest takes 1 to 2 ms."""
        await asyncio.sleep(0)
        with ExitStack() as undo:
            try:
                handle = self._launch(request, undo)
            except LaunchError as error:
                error.kernel_id, error.provisioner = request.kernel_id, request.provisioner
                raise
            except (OSError, ValueError) as error:
                raise LaunchError(
                    f"Kernel {request.kernel_name!r} could not be started: {error}.",
                    kernel_id=request.kernel_id,
                    provisioner=request.provisioner,
                ) from error
            undo.pop_all()
        unlimited = not_enforced(request.resources)
        if unlimited:
            self.log.warning(
                "kernel %s: a process of this machine cannot be held to: %s",
                *(request.kernel_id, ", ".join(unlimited)),
            )
        return handle

    def _launch(self, request: LaunchRequest, undo: ExitStack) -> KernelHandle:
        """Start the process, and put on `undo` what takes it back."""
        argv = command(request)
        oom = OomCounter.of_this_process()
        with endpoints(request) as (endpoint, inherited), _streams(request, undo) as streams:
            connection = dataclasses.replace(
                endpoint, kernel_name=endpoint.kernel_name or request.kernel_name
            )
            undo.callback(remove_connection_file, request.connection_file, connection)
            write_connection_file(request.connection_file, connection)
            try:
                child = spawn(
                    argv,
                    env=environment(request),
                    cwd=request.cwd,
                    stdout=streams.stdout,
                    stderr=streams.stderr,
                    pass_fds=inherited,
                )
            except OSError as error:
                raise start_error(request, argv, error) from error
            undo.callback(discard, child)
            process = platform_processes().adopt(child)
        limit(process.pid, request.resources)
        handle = KernelHandle(
            provisioner=request.provisioner,
            kernel_id=request.kernel_id,
            ref={
                **process.to_ref(),
                "log": streams.log,
                "log_start": streams.log_start,
                "output_lines": int(request.settings.get("output_lines", self.output_lines)),
                "oom_counter": oom.path,
                "oom_start": oom.start,
            },
            connection=connection,
            connection_file=request.connection_file,
            started=time.time(),
        )
        if not request.independent:
            _at_exit.remember(process, _end_at_exit(process, handle))
        return handle

    @hookimpl
    async def kernelyard_poll(self, handle: KernelHandle) -> ExitStatus | None:
        """See `kernelyard.hookspecs`."""
        with _explained(handle):
            ending = platform_processes().ending(_process(handle))
        return None if ending is None else self._status(handle, ending)

    @hookimpl
    async def kernelyard_wait(self, handle: KernelHandle) -> ExitStatus:
        """See `kernelyard.hookspecs`."""
        with _explained(handle):
            return self._status(handle, await platform_processes().wait(_process(handle)))

    def _status(self, handle: KernelHandle, ending: Ending) -> ExitStatus:
        oom = OomCounter(str(handle.ref.get("oom_counter", "")), _number(handle, "oom_start"))
        return exit_status(
            ending.returncode,
            _output(handle, _number(handle, "output_lines")),
            oom_killed=0 if _process(handle) in self._killed else oom.risen(),
        )

    @hookimpl
    async def kernelyard_signal(self, handle: KernelHandle, signum: int) -> None:
        """See `kernelyard.hookspecs`. The signal goes to the kernel's process group."""
        with _explained(handle):
            platform_processes().send(_process(handle), signum)

    @hookimpl
    async def kernelyard_kill(self, handle: KernelHandle) -> None:
        """See `kernelyard.hookspecs`."""
        process = _process(handle)
        with _explained(handle):
            if platform_processes().ending(process) is None:
                self._killed.add(process)
            await platform_processes().kill(process)

    @hookimpl
    async def kernelyard_cleanup(self, handle: KernelHandle, restart: bool) -> None:
        """See `kernelyard.hookspecs`. For a restart the log and the connection file stay."""
        process = _process(handle)
        with _explained(handle):
            if not await platform_processes().sweep(process, handle.kernel_id):
                self.log.warning("kernel %s: processes of its group do not end", handle.kernel_id)
        self._killed.discard(process)
        _at_exit.forget(process)
        _remove_files(handle, restart=restart)

    @hookimpl
    async def kernelyard_attach(self, handle: KernelHandle) -> KernelHandle:
        """See `kernelyard.hookspecs`. A process of this machine is reached as it is."""
        process = _process(handle)
        with _explained(handle):
            if platform_processes().exists(process):
                return handle
        raise UnknownHandleError(
            f"Nothing is left of kernel {handle.kernel_id}: its process {process.pid} is gone.",
            kernel_id=handle.kernel_id,
            provisioner=handle.provisioner,
        )

    @hookimpl
    async def kernelyard_logs(self, handle: KernelHandle, tail: int) -> Sequence[str]:
        """See `kernelyard.hookspecs`. Nothing if the caller of the launch took the output elsewhere."""
        _process(handle)
        return _output(handle, tail)

    @hookimpl
    async def kernelyard_check(self) -> Mapping[str, JSONValue]:
        """See `kernelyard.hookspecs`."""
        import importlib.metadata  # takes longer to import than a kernel to launch

        return {
            "ok": True,
            "version": importlib.metadata.version("kernelyard-local"),
            "detail": f"{platform.system()} {platform.release()}; {platform_processes().description}",
        }

    @hookimpl
    async def kernelyard_plan(self, request: LaunchRequest) -> Mapping[str, JSONValue]:
        """See `kernelyard.hookspecs`."""
        variables = environment(request)
        return {
            "argv": list(command(request)),
            "cwd": request.cwd or str(Path.cwd()),
            "environment": sorted(name for name in variables if variables[name] != os.environ.get(name)),
            "inherits_environment": request.inherit_env,
            "transport": request.connection.transport,
            "ip": request.connection.ip,
            "connection_file": request.connection_file,
            "log": str(log_path(request)) if needs_log(request) else None,
            "rlimits": dict(rlimits(request.resources)),
            "not_enforced": not_enforced(request.resources),
        }


@dataclass(frozen=True)
class _Streams:
    """Where a kernel's output goes.

    Attributes:
        stdout: what takes its standard output.
        stderr: what takes its standard error.
        log: the path of the log, if one of them goes there.
        log_start: the size of the log so far, in bytes: a restarted kernel adds to it.
    """

    stdout: Any
    stderr: Any
    log: str | None = None
    log_start: int = 0


@contextmanager
def _streams(request: LaunchRequest, undo: ExitStack) -> Iterator[_Streams]:
    if not needs_log(request):
        yield _Streams(request.stdout, request.stderr)
        return
    path = log_path(request)
    undo.callback(remove_log, path)
    log, size = open_log(path)
    try:
        yield _Streams(
            log if takes_log(request.stdout) else request.stdout,
            log if takes_log(request.stderr) else request.stderr,
            str(path),
            size,
        )
    finally:
        os.close(log)


def _process(handle: KernelHandle) -> ProcessId:
    try:
        return ProcessId.from_ref(handle.ref)
    except (KeyError, ValueError) as error:
        raise UnknownHandleError(
            f"The handle of kernel {handle.kernel_id} is not one of a local process: {error}",
            kernel_id=handle.kernel_id,
            provisioner=handle.provisioner,
        ) from error


@contextmanager
def _explained(handle: KernelHandle) -> Iterator[None]:
    """Turn what the operating system refuses into an error that names the kernel."""
    try:
        yield
    except OSError as error:
        raise ProvisionerError(
            f"Kernel {handle.kernel_id}, process {handle.ref['pid']}: {error.strerror or error}.",
            kernel_id=handle.kernel_id,
            provisioner=handle.provisioner,
        ) from error


def _output(handle: KernelHandle, count: int) -> tuple[str, ...]:
    log = handle.ref.get("log")
    if not isinstance(log, str):
        return ()
    tail, cut = read_tail(Path(log), _number(handle, "log_start"))
    return last_lines(tail, cut=cut, count=count)


def _number(handle: KernelHandle, key: str) -> int:
    value = handle.ref.get(key, 0)
    return value if isinstance(value, int) else 0


def _remove_files(handle: KernelHandle, *, restart: bool = False) -> None:
    remove_connection_file(None if restart else handle.connection_file, handle.connection)
    log = handle.ref.get("log")
    if isinstance(log, str) and not restart:
        remove_log(Path(log))


def _end_at_exit(process: ProcessId, handle: KernelHandle) -> Callable[[], None]:
    def end() -> None:
        with suppress(OSError):  # the process exits; nobody is there to hear of it
            platform_processes().end_now(process)
            _remove_files(handle)

    return end
