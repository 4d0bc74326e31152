"""A client's channels: started and stopped together, moved with the kernel, and failed when it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Generator
from typing import Any, Literal

import zmq

from kernelyard.errors import KernelDiedError, KernelStateError, Whose
from kernelyard.types import Channel, ConnectionInfo, ExitStatus
from kernelyard.wire.channels import MessageChannel
from kernelyard.wire.endpoint import Endpoint
from kernelyard.wire.exchange import Exchange, Exchanges
from kernelyard.wire.heartbeat import HeartbeatChannel
from kernelyard.wire.link import KernelLink
from kernelyard.wire.message import Message, ReplayGuard
from kernelyard.wire.session import Session
from kernelyard.wire.sockets import connect

__all__ = ["ConnectedClient"]

#: Seconds between a kernel's end and the failure of what waits for it: its last messages may still be on their way
#: through ZeroMQ.
LAST_WORDS = 0.01

#: Milliseconds for which the end of an owned ZeroMQ context waits for requests to get out.
LINGER_MS = 100


class Done:
    """The outcome of a call that has acted already: it may be awaited, or not."""

    def __await__(self) -> Generator[None, None, None]:
        return iter(())  # type: ignore[return-value]  # an empty iterator is an awaitable that never waits


class ConnectedClient(Endpoint):
    """The channels of a client, on the event loop on which they are started. Its arguments are AsyncKernelClient's.

    Attributes:
        allow_stdin: whether code may ask for input, unless a request says otherwise; `start_channels` sets it.
        parent: the object that made this client, or None.
        config: accepted for programs that give one, and not used.
        log: where to say which messages were dropped.
    """

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
        super().__init__(
            connection_file=connection_file,
            connection=connection,
            session=session,
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
        )
        self.allow_stdin = True
        self.parent = parent
        self.config = config
        self.log = logging.getLogger("kernelyard.client") if log is None else log
        self._context = context
        self._owns_context = context is None
        self._kernel = kernel
        #: Where the manager said last that the kernel is: what differs from it was the caller's wish.
        self._seen = None if kernel is None else kernel.current()
        self._exchanges = Exchanges()
        self._watcher: asyncio.Task[None] | None = None
        self._identity = b""
        guard = ReplayGuard(self.session.digest_history_size)

        def channel(name: Channel) -> MessageChannel:
            heard = self._on_reply if name in ("shell", "control") else None
            return MessageChannel(
                name,
                session=self.session,
                guard=guard,
                exchanges=self._exchanges,
                connect=self._connect,
                on_message=heard,
                log=self.log,
            )

        self._shell, self._iopub = channel("shell"), channel("iopub")
        self._stdin, self._control = channel("stdin"), channel("control")
        self._hb = HeartbeatChannel(self._connect)

    def __repr__(self) -> str:
        state = "running" if self.channels_running else "stopped"
        return f"<{type(self).__name__} of {self.connection.url('shell')}, channels {state}>"

    # Channels ---------------------------------------------------------------------------------------------------

    @property
    def context(self) -> zmq.Context[Any]:
        """The ZeroMQ context: the one that was given, or one of the client's own, until `stop_channels`."""
        if self._context is None or self._context.closed:
            self._context, self._owns_context = zmq.Context(), True
        return self._context

    @context.setter
    def context(self, context: zmq.Context[Any]) -> None:
        self._context, self._owns_context = context, False

    @property
    def shell_channel(self) -> MessageChannel:
        """The channel of requests to run code and of questions about it."""
        return self._shell

    @property
    def iopub_channel(self) -> MessageChannel:
        """The channel of outputs and of the kernel's state."""
        return self._iopub

    @property
    def stdin_channel(self) -> MessageChannel:
        """The channel of the kernel's questions for input."""
        return self._stdin

    @property
    def control_channel(self) -> MessageChannel:
        """The channel of requests that do not wait for running code."""
        return self._control

    @property
    def hb_channel(self) -> HeartbeatChannel:
        """The heartbeat channel."""
        return self._hb

    @property
    def _channels(self) -> dict[Channel, MessageChannel]:
        return {"shell": self._shell, "iopub": self._iopub, "stdin": self._stdin, "control": self._control}

    @property
    def channels_running(self) -> bool:
        """Whether any channel runs."""
        return self._hb.is_alive() or any(channel.is_alive() for channel in self._channels.values())

    def start_channels(
        self,
        shell: bool = True,
        iopub: bool = True,
        stdin: bool = True,
        hb: bool = True,
        control: bool = True,
    ) -> Done:
        """Connect to the kernel. It need not be there yet: requests wait for it. Channels that run go on as they are.

        Acts at once; what it returns may be awaited.

        Args:
            shell: whether to start this channel; so the others.
            iopub: as above.
            stdin: as above; without it, code may not ask for input.
            hb: as above.
            control: as above.

        Raises:
            RuntimeError: no asyncio loop runs in this thread.
            ValueError: a port is not known, or the connection file is not one.
            OSError: the connection file cannot be read.
        """
        asyncio.get_running_loop()
        self._come_along()
        current = None if self._kernel is None else self._kernel.current()
        if current is not None and current != self._seen:
            self.follow(current)  # it has moved while no channel ran
        if self.connection_file and not self.connection.is_complete:
            self.load_connection_file()
        if not self.channels_running:
            self._new_identity()
        wanted: dict[Channel, bool] = {"iopub": iopub, "shell": shell, "stdin": stdin, "control": control}
        for name, start in wanted.items():
            if start:
                self._channels[name].start()
        if hb:
            self._hb.start()
        self.allow_stdin = stdin
        if self._kernel is not None:
            self._kernel.register(self)  # type: ignore[arg-type]  # AsyncKernelClient is the only one there is
        return Done()

    def stop_channels(self) -> Done:
        """Disconnect from the kernel; requests that were sent still get out. Messages that came can still be fetched.

        Acts at once; what it returns may be awaited. May be called twice. Those who wait for a reply get a
        KernelStateError.
        """
        self._disconnect(LINGER_MS if self._owns_context else 1000)
        return Done()

    def abandon(self) -> None:
        """Disconnect like `stop_channels`, but drop the requests that have not got out. For the kernel's manager."""
        self._disconnect(0)

    def _disconnect(self, linger: int) -> None:
        if self._watcher is not None:
            if not self._watcher.get_loop().is_closed():
                self._watcher.cancel()
            self._watcher = None
        for channel in self._channels.values():
            channel.stop(linger if channel in (self._shell, self._control) else 0)
        self._hb.stop()
        self._exchanges.clear(_stopped)
        if self._owns_context and self._context is not None:
            context, self._context = self._context, None
            context.term()
        if self._kernel is not None:
            self._kernel.unregister(self)  # type: ignore[arg-type]  # AsyncKernelClient is the only one there is

    def renew(self) -> None:
        """Be told that the kernel has ended, and that another will be started in its place.

        The kernel's manager calls it, on the client's loop. Requests that did not get out are dropped: they must not
        reach the next kernel, as their senders are told that they failed. Those that are sent from now on wait for it.
        """
        self._exchanges.epoch += 1
        self._exchanges.prune()
        self._iopub.heard = False
        if self.channels_running:
            self._new_identity()
            for channel in (self._shell, self._stdin, self._control):
                channel.reopen()

    def follow(self, connection: ConnectionInfo) -> None:
        """Go on with a kernel that was restarted or has moved. The kernel's manager calls it, on the client's loop.

        The channels stay the same objects, with the messages that they hold.

        Args:
            connection: where the kernel is now.
        """
        before = self.connection
        self.connection = self._seen = connection
        self._iopub.heard = False
        if connection != before and self.channels_running:
            self._new_identity()
            for channel in self._channels.values():
                channel.reopen()
            self._hb.reopen()

    def _who(self) -> Whose:
        return {} if self._kernel is None else self._kernel.who()

    def _new_identity(self) -> None:
        # Never the same twice: a kernel may still hold the connection of before, and refuse a second of its name.
        self._identity = uuid.uuid4().hex.encode()

    def _connect(self, channel: Channel) -> zmq.Socket[bytes]:
        # A kernel asks for input from the stdin connection that has the same identity as the shell one.
        identity = self._identity if channel in ("shell", "stdin", "control") else None
        return connect(self.context, self.connection, channel, identity)

    def _on_reply(self, message: Message) -> None:
        if self._kernel is not None and message["msg_type"] == "kernel_info_reply":
            self._kernel.answered()

    # Requests ---------------------------------------------------------------------------------------------------

    def _come_along(self) -> None:
        """Go on on the loop that runs now, if the channels were started on one that does not run any more."""
        running = asyncio.get_running_loop()
        channels: list[MessageChannel | HeartbeatChannel] = [*self._channels.values(), self._hb]
        loops = {channel.loop for channel in channels if channel.loop is not None} - {running}
        if not loops:
            return
        if any(loop.is_running() for loop in loops):
            raise KernelStateError(
                "The client's channels run on another event loop.",
                hint="Make another client on this loop: manager.client().",
                **self._who(),
            )
        self._watcher = None  # it ended with its loop
        self._exchanges.clear(_stopped)
        self._exchanges.prune()
        self._new_identity()
        for channel in channels:
            channel.reopen()

    def _begin(self, request: Message, channel: Channel, **how: Any) -> Exchange:
        """Send a request whose answers somebody waits for. The arguments are those of `Exchange`."""
        self._come_along()
        exchange = self._exchanges.begin(request, channel, **how)
        try:
            self._channels[channel].send(request)
        except BaseException:
            exchange.abandon()
            self._exchanges.forget(exchange)
            raise
        self._iopub.resume()
        self._channels[channel].resume()
        if self._kernel is not None and (self._watcher is None or self._watcher.done()):
            self._watcher = asyncio.get_running_loop().create_task(_watch(self._kernel, self._exchanges))
        return exchange

    async def get_shell_msg(self, timeout: float | None = None) -> Message:
        """Return the next message on shell that no request of this client waits for.

        Args:
            timeout: seconds to wait for one; 0 = only if it is there already, None = no limit.

        Raises:
            queue.Empty: none came in that time.
            KernelStateError: the channel is not running.
        """
        self._come_along()
        return await self._shell.get_msg(timeout)

    async def get_iopub_msg(self, timeout: float | None = None) -> Message:
        """Return the next message on iopub that no request of this client waits for.

        Args:
            timeout: seconds to wait for one; 0 = only if it is there already, None = no limit.

        Raises:
            queue.Empty: none came in that time.
            KernelStateError: the channel is not running.
        """
        self._come_along()
        return await self._iopub.get_msg(timeout)

    async def get_stdin_msg(self, timeout: float | None = None) -> Message:
        """Return the next message on stdin that no request of this client waits for.

        Args:
            timeout: seconds to wait for one; 0 = only if it is there already, None = no limit.

        Raises:
            queue.Empty: none came in that time.
            KernelStateError: the channel is not running.
        """
        self._come_along()
        return await self._stdin.get_msg(timeout)

    async def get_control_msg(self, timeout: float | None = None) -> Message:
        """Return the next message on control that no request of this client waits for.

        Args:
            timeout: seconds to wait for one; 0 = only if it is there already, None = no limit.

        Raises:
            queue.Empty: none came in that time.
            KernelStateError: the channel is not running.
        """
        self._come_along()
        return await self._control.get_msg(timeout)


async def _watch(kernel: KernelLink, exchanges: Exchanges) -> None:
    """Fail what waits for a kernel when it ends. It knows no client, which it would keep alive."""
    while True:
        epoch = exchanges.epoch
        status = await kernel.wait_exit()
        # Requests to the next kernel may have been sent already, if that was quick.
        doomed = exchanges.waiting(epoch)
        # Not a wait for something: what the kernel said last has this long to arrive.
        await asyncio.sleep(LAST_WORDS)
        for exchange in doomed:
            if not exchange.done.done():
                exchange.fail(_died(kernel, status, exchange))
        if not exchanges.waiting(exchanges.epoch):
            return


def _died(kernel: KernelLink, status: ExitStatus, exchange: Exchange) -> KernelDiedError:
    message = f"The kernel ended before {exchange.what} was over: {status.describe()}."
    return KernelDiedError(message, exit_status=status, **kernel.who())


def _stopped(exchange: Exchange) -> KernelStateError:
    return KernelStateError(f"The client's channels were stopped before {exchange.what} was over.")
