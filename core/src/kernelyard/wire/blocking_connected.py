"""A blocking client's channels and attributes: an async client on the background loop, asked from any thread."""

# ruff: noqa: D102 - documented_as gives each method the documentation of the async one

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Generic, Literal, ParamSpec, TypeVar

import zmq

from kernelyard._portal import Portal
from kernelyard.types import ConnectionInfo
from kernelyard.wire.blocking_channels import BlockingHeartbeat, BlockingMessageChannel
from kernelyard.wire.client import AsyncKernelClient
from kernelyard.wire.link import KernelLink
from kernelyard.wire.message import Message
from kernelyard.wire.session import Session

__all__ = ["BlockingConnectedClient", "documented_as"]

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
T = TypeVar("T")


def documented_as(method: Callable[..., Any]) -> Callable[[F], F]:
    """Give a method the documentation of the async one."""

    def document(function: F) -> F:
        function.__doc__ = method.__doc__
        return function

    return document


class _Mirrored(Generic[T]):
    """An attribute that is the async client's."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, client: BlockingConnectedClient | None, owner: type | None = None) -> T:
        if client is None:
            return self  # type: ignore[return-value]  # on the class, only documentation tools look
        value: T = getattr(client._async, self._name)  # noqa: SLF001 - the class's own helper
        return value

    def __set__(self, client: BlockingConnectedClient, value: T) -> None:
        setattr(client._async, self._name, value)  # noqa: SLF001 - as above


class BlockingConnectedClient:
    """The channels of a blocking client. Its arguments are `AsyncKernelClient`'s."""

    connection_file: _Mirrored[str] = _Mirrored()
    session: _Mirrored[Session] = _Mirrored()
    connection: _Mirrored[ConnectionInfo] = _Mirrored()
    transport: _Mirrored[Literal["tcp", "ipc"]] = _Mirrored()
    ip: _Mirrored[str] = _Mirrored()
    shell_port: _Mirrored[int] = _Mirrored()
    iopub_port: _Mirrored[int] = _Mirrored()
    stdin_port: _Mirrored[int] = _Mirrored()
    control_port: _Mirrored[int] = _Mirrored()
    hb_port: _Mirrored[int] = _Mirrored()
    curve_publickey: _Mirrored[str | None] = _Mirrored()
    curve_secretkey: _Mirrored[str | None] = _Mirrored()
    kernel_name: _Mirrored[str] = _Mirrored()
    context: _Mirrored[zmq.Context[Any]] = _Mirrored()
    allow_stdin: _Mirrored[bool] = _Mirrored()
    parent: _Mirrored[Any] = _Mirrored()
    config: _Mirrored[Any] = _Mirrored()
    log: _Mirrored[Any] = _Mirrored()

    def __init__(
        self,
        *,
        connection_file: str | os.PathLike[str] | None = None,
        connection: ConnectionInfo | None = None,
        context: zmq.Context[Any] | None = None,
        session: Session | None = None,
        kernel: KernelLink | None = None,
        transport: Literal["tcp", "ipc"] | None = None,
        ip: str | None = None,
        shell_port: int | None = None,
        iopub_port: int | None = None,
        stdin_port: int | None = None,
        control_port: int | None = None,
        hb_port: int | None = None,
        key: bytes | str | None = None,
        signature_scheme: str | None = None,
        curve_publickey: bytes | str | None = None,
        curve_secretkey: bytes | str | None = None,
        kernel_name: str | None = None,
        parent: Any = None,
        config: Any = None,
        log: Any = None,
    ) -> None:
        self._portal: Portal | None = None
        self._async = AsyncKernelClient(
            connection_file=connection_file,
            connection=connection,
            context=context,
            session=session,
            kernel=kernel,
            transport=transport,
            ip=ip,
            shell_port=shell_port,
            iopub_port=iopub_port,
            stdin_port=stdin_port,
            control_port=control_port,
            hb_port=hb_port,
            key=key,
            signature_scheme=signature_scheme,
            curve_publickey=curve_publickey,
            curve_secretkey=curve_secretkey,
            kernel_name=kernel_name,
            parent=parent,
            config=config,
            log=log,
        )
        self._shell = BlockingMessageChannel(self._async.shell_channel, self._call)
        self._iopub = BlockingMessageChannel(self._async.iopub_channel, self._call)
        self._stdin = BlockingMessageChannel(self._async.stdin_channel, self._call)
        self._control = BlockingMessageChannel(self._async.control_channel, self._call)
        self._hb = BlockingHeartbeat(self._async.hb_channel, self._call)

    def __repr__(self) -> str:
        return repr(self._async).replace(type(self._async).__name__, type(self).__name__, 1)

    def __del__(self) -> None:
        portal = getattr(self, "_portal", None)
        if portal is None:
            return
        self._portal = None
        warnings.warn(f"unstopped {self!r}", ResourceWarning, source=self, stacklevel=2)
        with suppress(RuntimeError):  # at the end of the program the loop may be gone
            portal.loop.call_soon_threadsafe(self._async.stop_channels)
        portal.close()

    def _call(self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an async function on the client's loop."""
        portal = self._portal
        if portal is not None:
            return portal.call(function, *args, **kwargs)
        passing = Portal()
        try:
            return passing.call(function, *args, **kwargs)
        finally:
            passing.close()

    # Channels ---------------------------------------------------------------------------------------------------

    @documented_as(AsyncKernelClient.start_channels)
    def start_channels(
        self,
        shell: bool = True,
        iopub: bool = True,
        stdin: bool = True,
        hb: bool = True,
        control: bool = True,
    ) -> None:
        async def start() -> None:
            self._async.start_channels(shell, iopub, stdin, hb, control)

        portal = self._portal
        if portal is None:
            portal = Portal()
        try:
            portal.call(start)
        except BaseException:
            if self._portal is None:
                portal.close()
            raise
        self._portal = portal

    @documented_as(AsyncKernelClient.stop_channels)
    def stop_channels(self) -> None:
        async def stop() -> None:
            self._async.stop_channels()

        portal = self._portal
        if portal is not None:
            portal.call(stop)
            self._portal = None
            portal.close()

    @property
    def channels_running(self) -> bool:
        """Whether any channel runs."""
        return self._async.channels_running

    @property
    def shell_channel(self) -> BlockingMessageChannel:
        """The channel of requests to run code and of questions about it."""
        return self._shell

    @property
    def iopub_channel(self) -> BlockingMessageChannel:
        """The channel of outputs and of the kernel's state."""
        return self._iopub

    @property
    def stdin_channel(self) -> BlockingMessageChannel:
        """The channel of the kernel's questions for input."""
        return self._stdin

    @property
    def control_channel(self) -> BlockingMessageChannel:
        """The channel of requests that do not wait for running code."""
        return self._control

    @property
    def hb_channel(self) -> BlockingHeartbeat:
        """The heartbeat channel."""
        return self._hb

    # Connection -------------------------------------------------------------------------------------------------

    @property
    def ports(self) -> list[int]:
        """The ports of shell, stdin, iopub, heartbeat and control, in this order."""
        return self._async.ports

    @documented_as(AsyncKernelClient.get_connection_info)
    def get_connection_info(self, session: bool = False) -> dict[str, Any]:
        return self._async.get_connection_info(session)

    @documented_as(AsyncKernelClient.load_connection_info)
    def load_connection_info(self, info: Mapping[str, Any]) -> None:
        self._async.load_connection_info(info)

    @documented_as(AsyncKernelClient.load_connection_file)
    def load_connection_file(self, connection_file: str | os.PathLike[str] | None = None) -> None:
        self._async.load_connection_file(connection_file)

    @documented_as(AsyncKernelClient.write_connection_file)
    def write_connection_file(self) -> None:
        self._async.write_connection_file()

    # Messages ---------------------------------------------------------------------------------------------------

    @documented_as(AsyncKernelClient.get_shell_msg)
    def get_shell_msg(self, timeout: float | None = None) -> Message:
        return self._shell.get_msg(timeout)

    @documented_as(AsyncKernelClient.get_iopub_msg)
    def get_iopub_msg(self, timeout: float | None = None) -> Message:
        return self._iopub.get_msg(timeout)

    @documented_as(AsyncKernelClient.get_stdin_msg)
    def get_stdin_msg(self, timeout: float | None = None) -> Message:
        return self._stdin.get_msg(timeout)

    @documented_as(AsyncKernelClient.get_control_msg)
    def get_control_msg(self, timeout: float | None = None) -> Message:
        return self._control.get_msg(timeout)

    @documented_as(AsyncKernelClient.is_alive)
    def is_alive(self) -> bool:
        return self._call(self._async.is_alive)

    @documented_as(AsyncKernelClient.wait_for_ready)
    def wait_for_ready(self, timeout: float | None = None) -> None:
        self._call(self._async.wait_for_ready, timeout)
