"""ZeroMQ sockets: how to connect one to a channel, and how to have one on an asyncio loop."""

from __future__ import annotations

import asyncio
import atexit
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from kernelyard.types import Channel, ConnectionInfo
from kernelyard.wire.message import DELIMITER, MAX_FRAMES

__all__ = ["LoopSocket", "connect"]

SOCKET_TYPES: dict[Channel, int] = {
    "shell": zmq.DEALER,
    "control": zmq.DEALER,
    "stdin": zmq.DEALER,
    "iopub": zmq.SUB,
    "hb": zmq.DEALER,  # a REQ socket would be stuck after one ping that is not answered
}

#: Milliseconds between two attempts to connect, at first and at last: a kernel that begins to listen is found soon,
#: and one that never comes back costs its client less than half a percent of a processor.
RECONNECT_MS = (10, 50)

#: Messages of iopub that ZeroMQ holds for a program that is busy, before it loses some.
IOPUB_HIGH_WATER = 100_000

#: Bytes that a frame from a kernel may have. ZeroMQ ends the connection of one that sends a larger one, before it is
#: held in memory, and connects again.
MAX_FRAME_BYTES = 2**30

#: As plain numbers: arithmetic with the members of an enumeration takes longer than a call into ZeroMQ.
_NOBLOCK = int(zmq.NOBLOCK)
_POLLIN = int(zmq.POLLIN)

#: Frames before a message's buffers: the signature and four of JSON.
_COPIED = 5

#: The sockets that loops watch. Held here, since the garbage collector might otherwise finalise an abandoned
#: client's ZeroMQ context before its sockets, and would then wait for them for ever.
_open: set[zmq.Socket[bytes]] = set()

#: Milliseconds for which a program that ends without stopping its clients still tries to send what waits.
EXIT_LINGER_MS = 100


def connect(
    context: zmq.Context[zmq.Socket[bytes]],
    connection: ConnectionInfo,
    channel: Channel,
    identity: bytes | None = None,
    *,
    kind: int | None = None,
) -> zmq.Socket[bytes]:
    """Return a socket that is connected, or keeps trying to connect, to a channel of a kernel.

    Args:
        context: the ZeroMQ context to make it in.
        connection: where the kernel is, and its Curve keys if it has some.
        channel: which channel.
        identity: the routing identity; shell and stdin of a client need the same one. None = any.
        kind: the ZeroMQ type of the socket; None = the one that the clients here use for this channel.

    Raises:
        ValueError: the channel's port is not known.
        zmq.ZMQError: the address cannot be used, or this libzmq has no CURVE.
    """
    if not connection.port(channel):
        raise ValueError(f"the {channel} port of the kernel is not known")
    socket = context.socket(SOCKET_TYPES[channel] if kind is None else kind)
    try:
        socket.linger = 1000
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS[0])
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MS[1])
        if ":" in connection.ip:
            socket.setsockopt(zmq.IPV6, 1)
        if identity is not None:
            socket.setsockopt(zmq.ROUTING_ID, identity)
        if connection.curve_publickey is not None and connection.curve_secretkey is not None:
            # Jupyter's connection files hold one pair, which both ends use.
            socket.setsockopt(zmq.CURVE_SERVERKEY, connection.curve_publickey.encode())
            socket.setsockopt(zmq.CURVE_PUBLICKEY, connection.curve_publickey.encode())
            socket.setsockopt(zmq.CURVE_SECRETKEY, connection.curve_secretkey.encode())
        if channel == "iopub":
            socket.setsockopt(zmq.RCVHWM, IOPUB_HIGH_WATER)
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        elif channel != "hb":
            # Requests wait here for a kernel that does not listen yet, instead of being refused.
            socket.setsockopt(zmq.SNDHWM, 0)
        socket.connect(connection.url(channel))
    except BaseException:
        socket.close(linger=0)
        raise
    return socket


class LoopSocket:
    """A ZeroMQ socket that an asyncio loop watches.

    ZeroMQ tells of events by the edge: once, when something *may* have changed, and any call on the socket may
    swallow that. So whoever is called reads until nothing is left, and `send` looks again afterwards.

    Args:
        socket: the socket; closed by `close`.
        receive: a method, called when there may be something to receive. It is held weakly, so that an object that
            nobody closes can still be collected.

    Raises:
        RuntimeError: no asyncio loop runs in this thread, or one that cannot watch file descriptors.
    """

    def __init__(self, socket: zmq.Socket[bytes], receive: Callable[[], None]) -> None:
        self.socket = socket
        self.loop = asyncio.get_running_loop()
        self._fd: int = socket.getsockopt(zmq.FD)  # type: ignore[assignment]  # the type depends on the option
        self._receive = weakref.WeakMethod(receive)
        self._ready = weakref.ref(self)  # the loop must not keep this object alive: see __del__
        self._watching = False
        self.resume()
        _open.add(socket)

    def resume(self) -> None:
        """Watch the socket, and look at once whether there is something."""
        if self._watching:
            return
        try:
            self.loop.add_reader(self._fd, _look, self._ready)
        except NotImplementedError:
            raise RuntimeError(
                f"{type(self.loop).__name__} cannot watch ZeroMQ sockets. On Windows, run the client on a "
                "selector loop: asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)."
            ) from None
        self._watching = True
        self.again()

    def pause(self) -> None:
        """Leave what arrives to ZeroMQ, whose own limit then applies."""
        if self._watching:
            self._watching = False
            self.loop.remove_reader(self._fd)

    def again(self) -> None:
        """Have `receive` called again by the loop, after others had their turn."""
        self.loop.call_soon(_look, self._ready)

    def send(self, frames: Sequence[Any], *, copy: bool = True) -> None:
        """Send a message without waiting.

        Raises:
            zmq.Again: the socket's queue is full.
        """
        self.socket.send_multipart(frames, _NOBLOCK, copy=copy)
        if self._watching and self._has_message():
            self.again()

    def _has_message(self) -> bool:
        return bool(int(self.socket.getsockopt(zmq.EVENTS)) & _POLLIN)

    def receive_frames(self) -> list[Any] | None:
        """Receive a message without waiting; its buffers are not copied. None = there is none.

        At most `MAX_FRAMES` frames and one of the message are kept, so that a reader can tell that there were more.
        """
        if not self._has_message():
            return None
        frames: list[Any] = []
        copied: int | None = None
        more = True
        while more:
            frame = self.socket.recv(_NOBLOCK, copy=False)
            more = frame.more
            if copied is None or copied > 0:
                part: Any = frame.bytes
                if copied is not None:
                    copied -= 1
                elif part == DELIMITER:
                    copied = _COPIED
            else:
                part = frame.buffer
            if len(frames) <= MAX_FRAMES:
                frames.append(part)
        return frames

    def close(self, linger: int = 0) -> None:
        """Stop watching and close the socket. May be called twice.

        Args:
            linger: milliseconds for which ZeroMQ still tries to send what waits.
        """
        if not self.loop.is_closed():
            self.pause()
        _close(self.socket, linger)

    def __del__(self) -> None:
        # Collected without close(): in any thread, so that only the loop itself may clean up.
        if not self.socket.closed:
            warnings.warn("unclosed channel of a kernel client", ResourceWarning, source=self, stacklevel=2)
            if self.loop.is_closed():
                _close(self.socket, 0)
            else:
                self.loop.call_soon_threadsafe(_dispose, self.loop, self._fd, self.socket)


def _look(reference: weakref.ref[LoopSocket]) -> None:
    watched = reference()
    if watched is not None and not watched.socket.closed:
        receive = watched._receive()  # noqa: SLF001 - a method in all but its reference to self
        if receive is not None:
            receive()


def _dispose(loop: asyncio.AbstractEventLoop, fd: int, socket: zmq.Socket[bytes]) -> None:
    loop.remove_reader(fd)
    _close(socket, 0)


def _close(socket: zmq.Socket[bytes], linger: int) -> None:
    _open.discard(socket)
    if not socket.closed:
        socket.close(linger=linger)


@atexit.register
def _close_all() -> None:
    """Let a program end that has not stopped its clients: a context waits for its sockets, for ever if need be."""
    for socket in list(_open):
        _close(socket, EXIT_LINGER_MS)
