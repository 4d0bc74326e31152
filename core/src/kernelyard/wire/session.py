"""`Session`: who sends messages, and with which key. For programs that write or read messages themselves."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import zmq

from kernelyard.wire import message as wire
from kernelyard.wire.message import Message, ReplayGuard, Signer

__all__ = ["Session"]

#: Bytes from which on a buffer is sent without a copy: below, a copy is cheaper than the bookkeeping.
COPY_THRESHOLD = 65536


class Session:
    """Builds, signs, sends, receives and verifies messages.

    Args:
        key: the key of the connection file; empty = messages are neither signed nor verified.
        session: the session's id; by default a new random one.
        username: the name in the headers; by default that of the user.
        signature_scheme: "hmac-" and the name of a hash function of hashlib.
        digest_history_size: how many signatures to remember, to refuse a message that comes twice. 0 = none.

    Attributes:
        session: the id that stands in the header of every message.
        username: the name that stands in it.
        metadata: the metadata of every message.
        digest_history_size: as given.

    Raises:
        ValueError: hashlib has no such hash function.
    """

    def __init__(
        self,
        key: bytes = b"",
        session: str | None = None,
        username: str | None = None,
        signature_scheme: str = "hmac-sha256",
        digest_history_size: int = 65536,
    ) -> None:
        self.session = str(uuid.uuid4()) if session is None else session
        self.username = wire.default_username() if username is None else username
        self.metadata: dict[str, Any] = {}
        self.digest_history_size = digest_history_size
        self._signer = Signer(key, signature_scheme)
        self._guard = ReplayGuard(digest_history_size)
        self._numbers = itertools.count()

    @property
    def bsession(self) -> bytes:
        """The session's id as bytes."""
        return self.session.encode()

    @property
    def signer(self) -> Signer:
        """What signs the messages; a new one whenever the key changes."""
        return self._signer

    @property
    def key(self) -> bytes:
        """The key that signs the messages; may be set."""
        return self._signer.key

    @key.setter
    def key(self, key: bytes | str) -> None:
        self._signer = Signer(key.encode() if isinstance(key, str) else key, self._signer.scheme)

    @property
    def signature_scheme(self) -> str:
        """How messages are signed; may be set."""
        return self._signer.scheme

    @signature_scheme.setter
    def signature_scheme(self, scheme: str) -> None:
        self._signer = Signer(self._signer.key, scheme)

    @property
    def msg_id(self) -> str:
        """A new message id, each time."""
        return f"{self.session}_{os.getpid()}_{next(self._numbers)}"

    def clone(self) -> Session:
        """Return a session with the same id and key, and a memory of its own for the messages it received."""
        twin = Session(self.key, self.session, self.username, self.signature_scheme, self.digest_history_size)
        twin.metadata = dict(self.metadata)
        twin._numbers = self._numbers  # two sessions of one id must not give a message id twice
        return twin

    def msg_header(self, msg_type: str) -> dict[str, Any]:
        """Return the header of a new message."""
        return wire.new_header(self.msg_id, msg_type, self.username, self.session)

    def msg(
        self,
        msg_type: str,
        content: Mapping[str, Any] | None = None,
        parent: Mapping[str, Any] | None = None,
        header: dict[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Message:
        """Return a new message.

        Args:
            msg_type: its type.
            content: its content; None = empty.
            parent: the message that it answers, or that one's header; None = none.
            header: its header; None = a new one.
            metadata: metadata to add to the session's.
        """
        header = self.msg_header(msg_type) if header is None else header
        return wire.build(header, content, parent, {**self.metadata, **(metadata or {})})

    def sign(self, msg_list: Sequence[bytes]) -> bytes:
        """Return the signature of the header, parent header, metadata and content frames; empty without a key."""
        return self._signer.sign(msg_list)

    def serialize(self, msg: Mapping[str, Any], ident: bytes | Sequence[bytes] | None = None) -> list[bytes]:
        """Return the frames of a message, signed, without its buffers.

        Args:
            msg: the message.
            ident: a routing identity or several, to put before it.
        """
        return wire.serialise(msg, self._signer, _identities(ident))

    def deserialize(self, msg_list: Sequence[Any], content: bool = True, copy: bool = True) -> Message:  # noqa: ARG002 - `copy` is part of jupyter_client's signature; frames of both kinds are told apart here
        """Verify and read the frames of a message, from the signature on.

        Args:
            msg_list: the frames, as `feed_identities` returns them.
            content: whether to read the content too, or to leave it encoded.
            copy: accepted, not needed: frames of both kinds are read.

        Raises:
            MessageError: it is no message, or its signature is wrong or was received before.
        """
        return wire.parse(msg_list, self._signer, self._guard, content=content)

    def feed_identities(self, msg_list: Sequence[Any], copy: bool = True) -> tuple[list[bytes], list[Any]]:  # noqa: ARG002 - as in deserialize
        """Split received frames into the routing identities and the rest.

        Raises:
            MalformedMessageError: the delimiter is missing.
        """
        return wire.split(msg_list)

    def send(
        self,
        stream: Any,
        msg_or_type: Message | str,
        content: Mapping[str, Any] | None = None,
        parent: Mapping[str, Any] | None = None,
        ident: bytes | Sequence[bytes] | None = None,
        buffers: Sequence[Any] | None = None,
        track: bool = False,
        header: dict[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Message:
        """Send a message, and return it.

        Args:
            stream: a ZeroMQ socket, or what has a `send_multipart` as one; None = send nothing.
            msg_or_type: a message, or the type of a new one.
            content: the new message's content.
            parent: what it answers.
            ident: a routing identity or several.
            buffers: binary data to send after it; large ones are not copied, so do not change them meanwhile.
            track: whether to follow the sending of large buffers in the returned message's "tracker".
            header: the new message's header.
            metadata: the new message's metadata.

        Raises:
            TypeError: a buffer is not one, or the message holds something that JSON cannot.
            ValueError: a buffer is not contiguous.
        """
        if isinstance(msg_or_type, str):
            message = self.msg(msg_or_type, content, parent, header, metadata)
        else:
            message = msg_or_type
            buffers = message.get("buffers") if buffers is None else buffers
        views = contiguous(buffers or ())
        frames: list[Any] = [*self.serialize(message, ident), *views]
        message["tracker"] = None
        if stream is not None:
            stream = _plain_socket(stream)
            if any(view.nbytes >= COPY_THRESHOLD for view in views):
                follow = {"track": True} if track and isinstance(stream, zmq.Socket) else {}
                message["tracker"] = stream.send_multipart(frames, copy=False, **follow)
            else:
                stream.send_multipart(frames)
        if message["tracker"] is None:
            message["tracker"] = zmq.MessageTracker()  # one that is done
        return message

    def recv(
        self, socket: Any, mode: int = zmq.NOBLOCK, content: bool = True, copy: bool = True
    ) -> tuple[list[bytes] | None, Message | None]:
        """Receive a message.

        Args:
            socket: a ZeroMQ socket, or a stream on one.
            mode: `zmq.NOBLOCK`, or 0 to wait.
            content: whether to read the content too, or to leave it encoded.
            copy: whether to copy the frames; without, large buffers stay where ZeroMQ has them.

        Returns:
            The routing identities and the message; None and None if there is none.

        Raises:
            MessageError: it is no message, or its signature is wrong or was received before.
        """
        socket = _plain_socket(
            getattr(socket, "socket", socket) if not isinstance(socket, zmq.Socket) else socket
        )
        try:
            frames = socket.recv_multipart(mode, copy=copy)
        except zmq.Again:
            return None, None
        identities, rest = wire.split(frames)
        return identities, self.deserialize(rest, content=content)


def contiguous(buffers: Sequence[Any]) -> list[memoryview]:
    """Return views of the buffers of a message.

    Raises:
        TypeError: one has not the buffer protocol.
        ValueError: one is not contiguous, so that ZeroMQ cannot send it.
    """
    views = [memoryview(buffer) for buffer in buffers]
    for index, view in enumerate(views):
        if not view.contiguous:
            raise ValueError(f"buffer {index} of the message is not contiguous")
    return views


def _identities(ident: bytes | Sequence[bytes] | None) -> Sequence[bytes]:
    if ident is None:
        return ()
    return [ident] if isinstance(ident, bytes) else ident


def _plain_socket(stream: Any) -> Any:
    """Return the blocking socket below one of an event loop's, whose methods would return futures."""
    if isinstance(stream, zmq.Socket) and type(stream) is not zmq.Socket:
        return zmq.Socket.shadow(stream.underlying)
    return stream
