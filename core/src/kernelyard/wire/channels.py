"""A channel of a client: a socket on the loop, and the queue of the messages that nobody was waiting for."""

from __future__ import annotations

import asyncio
import logging
import queue
from collections import deque
from collections.abc import Callable
from typing import Any

import zmq

from kernelyard.errors import KernelStateError, MalformedMessageError, MessageError
from kernelyard.types import Channel
from kernelyard.wire.exchange import Exchanges
from kernelyard.wire.message import Message, ReplayGuard, Signer, parse, serialise, split
from kernelyard.wire.session import COPY_THRESHOLD, Session, contiguous
from kernelyard.wire.sockets import LoopSocket

__all__ = ["QUEUE_LIMIT", "MessageChannel"]

#: Messages that a channel holds for `get_msg`. A channel that is full is not read until there is room, so that
#: ZeroMQ's own limits apply; unless a request waits for messages on it.
QUEUE_LIMIT = 100_000

#: Messages to take in one go, before the loop's other callbacks get their turn.
_BATCH = 200


class MessageChannel:
    """The shell, control, stdin or iopub channel of a client.

    A message that answers a waiting request goes there; others stay in a queue for `get_msg`. What is not a valid
    message is dropped and logged.

    Args:
        name: which channel.
        session: writes the messages, and knows the key.
        guard: refuses replays; one for all channels of a client.
        exchanges: the client's waiting requests.
        connect: makes the channel's socket.
        on_message: called with every valid message, before it goes its way.
        log: where to say what was dropped.

    Attributes:
        heard: whether a message has come since the channel was started, or last asked to listen anew.
    """

    def __init__(
        self,
        name: Channel,
        *,
        session: Session,
        guard: ReplayGuard,
        exchanges: Exchanges,
        connect: Callable[[Channel], zmq.Socket[bytes]],
        on_message: Callable[[Message], None] | None = None,
        log: Any = None,
    ) -> None:
        self.name = name
        self.session = session
        self.heard = False
        self._guard = guard
        self._exchanges = exchanges
        self._connect = connect
        self._on_message = on_message
        self._log = logging.getLogger(__name__) if log is None else log
        self._watched: LoopSocket | None = None
        self._messages: deque[Message] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._receiving = False
        self._told_full = False

    def __repr__(self) -> str:
        state = "stopped" if self._watched is None else "running"
        return f"<{self.name} channel, {state}, {len(self._messages)} messages waiting>"

    @property
    def socket(self) -> zmq.Socket[bytes] | None:
        """The ZeroMQ socket, or None while the channel is stopped. Reading from it takes messages from the client."""
        return None if self._watched is None else self._watched.socket

    def start(self) -> None:
        """Connect. A channel that runs goes on as it is."""
        if self._watched is None:
            self.heard = False
            self._watched = LoopSocket(self._connect(self.name), self._receive)

    def stop(self, linger: int = 1000) -> None:
        """Disconnect. Messages that have been received stay in the queue. May be called twice.

        Args:
            linger: milliseconds for which ZeroMQ still tries to send what waits.
        """
        if self._watched is not None:
            watched, self._watched = self._watched, None
            watched.close(linger)
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_exception(self._stopped())
            self._waiters.clear()

    close = stop

    def reopen(self) -> None:
        """Connect anew, to where the kernel is now.

        The queue, and those who wait on it, stay. What has arrived is received; what was not sent yet is dropped.
        """
        if self._watched is not None:
            self._receive()
            old, self._watched = self._watched, None
            old.close(linger=0)
            self.start()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that the channel runs on, or None while it is stopped."""
        return None if self._watched is None else self._watched.loop

    def is_alive(self) -> bool:
        """Return whether the channel runs; that says nothing about the kernel."""
        return self._watched is not None

    def send(self, msg: Message) -> None:
        """Send a message, without waiting for the kernel to be there.

        Args:
            msg: the message, from `Session.msg`; its "buffers", if it has some, are sent too. Large ones are not
                copied, so do not change them meanwhile.

        Raises:
            KernelStateError: the channel is stopped.
            TypeError: the message holds something that JSON cannot.
        """
        if self._watched is None:
            raise self._stopped()
        frames: list[Any] = serialise(msg, self.session.signer)
        views = contiguous(msg.get("buffers") or ())
        frames += views
        self._watched.send(frames, copy=not any(view.nbytes >= COPY_THRESHOLD for view in views))

    async def get_msg(self, timeout: float | None = None) -> Message:
        """Return the next message.

        Args:
            timeout: seconds to wait for one; 0 = only if it is there already, None = no limit.

        Raises:
            queue.Empty: none came in that time.
            KernelStateError: the channel is stopped, and no message is left.
        """
        self._receive()  # what has come, but was not noticed by the loop yet
        if not self._messages:
            await self._wait_for_message(timeout)
        return self._next()

    async def _wait_for_message(self, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while not self._messages:
            if self._watched is None:
                raise self._stopped()
            if deadline is not None and deadline <= loop.time():
                raise queue.Empty
            waiter = loop.create_future()
            timer = None if deadline is None else loop.call_at(deadline, _expire, waiter)
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                # Woken and cancelled at once: the message that it was woken for is somebody else's now.
                if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                    self._wake()
                raise
            finally:
                if timer is not None:
                    timer.cancel()
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    async def get_msgs(self) -> list[Message]:
        """Return all messages that are there, without waiting."""
        self._receive()
        return [self._next() for _ in range(len(self._messages))]

    async def msg_ready(self) -> bool:
        """Return whether a message is there."""
        self._receive()
        return bool(self._messages)

    def discard(self, unwanted: Callable[[Message], bool]) -> None:
        """Drop messages from the queue."""
        self._messages = deque(message for message in self._messages if not unwanted(message))

    def resume(self) -> None:
        """Read on, though the queue is full, because somebody waits for messages on this channel."""
        if self._watched is not None:
            self._watched.resume()

    def _next(self) -> Message:
        message = self._messages.popleft()
        if self._watched is not None and len(self._messages) < QUEUE_LIMIT:
            self._watched.resume()
        return message

    def _stopped(self) -> KernelStateError:
        return KernelStateError(
            f"The {self.name} channel is not running.", hint="Call start_channels() first."
        )

    def _receive(self) -> None:
        """Take what has arrived."""
        if self._receiving:
            return
        self._receiving = True
        try:
            for _ in range(_BATCH):
                watched = self._watched
                if watched is None:
                    return
                if len(self._messages) >= QUEUE_LIMIT and not self._exchanges.waiting(self._exchanges.epoch):
                    watched.pause()
                    return
                try:
                    frames = watched.receive_frames()
                except zmq.ContextTerminated:
                    self.stop(linger=0)  # whoever gave the context has ended it
                    return
                if frames is None:
                    return
                self._take(frames)
            if self._watched is not None:
                self._watched.again()
        finally:
            self._receiving = False

    def _take(self, frames: list[Any]) -> None:
        signer: Signer = self.session.signer
        try:
            message = parse(split(frames)[1], signer, self._guard)
        except MessageError as error:
            kind = "malformed" if isinstance(error, MalformedMessageError) else "unauthentic"
            self._log.warning("Dropped a %s message on %s: %s.", kind, self.name, error)
            return
        self.heard = True
        if self._on_message is not None:
            self._on_message(message)
        if message["msg_type"] == "iopub_welcome":
            return  # from the kernel's socket to ours (JEP 65); a program has no use for it
        if not self._exchanges.offer(self.name, message):
            self._keep(message)

    def _keep(self, message: Message) -> None:
        if len(self._messages) >= QUEUE_LIMIT:
            self._messages.popleft()
            if not self._told_full:
                self._told_full = True
                self._log.warning(
                    "%d messages on %s were not fetched with get_msg; from now on the oldest are dropped.",
                    QUEUE_LIMIT,
                    self.name,
                )
        self._messages.append(message)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(queue.Empty())
