"""Messages of the Jupyter protocol as values: build, serialise, sign, parse and verify them. No sockets here.

A message in a program is a plain dict with the keys header, msg_id, msg_type, parent_header, metadata, content and
buffers. On the wire it is a list of frames::

    identities..., <IDS|MSG>, signature, header, parent_header, metadata, content, buffers...

The four in the middle are JSON, and the signature is the HMAC of their bytes. Nothing that arrives is trusted:
`parse` raises a `MessageError` for whatever is not a message, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import numbers
import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import PurePath
from typing import Any, TypeAlias

from kernelyard.errors import InvalidSignatureError, MalformedMessageError

__all__ = [
    "DELIMITER",
    "MAX_FRAMES",
    "MAX_JSON_BYTES",
    "PROTOCOL_VERSION",
    "Message",
    "ReplayGuard",
    "Signer",
    "build",
    "new_header",
    "parse",
    "serialise",
    "split",
]

PROTOCOL_VERSION = "5.4"

#: The frame that ends the routing identities.
DELIMITER = b"<IDS|MSG>"

#: Frames that a message may have, buffers included.
MAX_FRAMES = 4096

#: Bytes that the four JSON frames of a message may have together. Large data belongs into buffers.
MAX_JSON_BYTES = 256 * 1024 * 1024

Message: TypeAlias = dict[str, Any]
"""A message in a program: header, msg_id, msg_type, parent_header, metadata, content, buffers."""

_SIGNED_FRAMES = 4

#: The most frequent of all frames: most messages have no metadata, and requests no parent.
_NOTHING = b"{}"

#: Bytes that a parent header may have to be remembered.
_REMEMBERED_BYTES = 1024


# JSON -----------------------------------------------------------------------------------------------------------


def _plain(value: object) -> Any:  # noqa: PLR0911 - one for each kind of value
    """Say in JSON's types what JSON has no type for."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"a message cannot hold {type(value).__name__}: {value!r}")


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
_ascii_encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_plain)
_decoder = json.JSONDecoder()
_WHITE_SPACE = " \t\n\r"


def _encode(value: Any) -> bytes:
    if value == {}:
        return _NOTHING
    try:
        text = _encoder.encode(value)
    except ValueError:
        # JSON has no NaN and no infinity; null is what other languages' encoders write for them.
        text = _encoder.encode(_without_nan(value))
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can hold only as an escape
        return _ascii_encoder.encode(_without_nan(value)).encode()


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return value


def _decode(frame: bytes, what: str) -> Any:
    # Kernels relay what programs print: a wrong byte in a text is no reason to lose the message.
    text = frame.decode("utf-8", "replace").strip(_WHITE_SPACE)
    try:
        value, end = _decoder.raw_decode(text)
    except ValueError as error:
        raise MalformedMessageError(f"the {what} is not JSON: {error}") from None
    except RecursionError:
        raise MalformedMessageError(f"the {what} is nested too deeply") from None
    if end != len(text):
        raise MalformedMessageError(f"the {what} is not JSON: something follows its end, at character {end}")
    return value


# Signatures -----------------------------------------------------------------------------------------------------


class Signer:
    """Signs the frames of messages with a key.

    Args:
        key: the key; empty = messages have no signature.
        scheme: "hmac-" and the name of a hash function of hashlib.

    Raises:
        ValueError: the scheme is not of that form, or hashlib has no such function.
    """

    __slots__ = ("_template", "key", "scheme")

    def __init__(self, key: bytes, scheme: str = "hmac-sha256") -> None:
        self.key = key
        self.scheme = scheme
        prefix, _, name = scheme.partition("-")
        if prefix != "hmac" or name not in hashlib.algorithms_available or name.startswith("shake"):
            raise ValueError(
                f"signature_scheme must be 'hmac-' and a hash function of hashlib, such as 'hmac-sha256'; "
                f"got {scheme!r}"
            )
        self._template = hmac.new(key, digestmod=name) if key else None

    def sign(self, frames: Iterable[bytes]) -> bytes:
        """Return the signature of the frames, as hexadecimal text; empty without a key."""
        if self._template is None:
            return b""
        digest = self._template.copy()
        for frame in frames:
            digest.update(frame)
        return digest.hexdigest().encode("ascii")

    def verify(self, signature: bytes, frames: Iterable[bytes]) -> None:
        """Check a signature, in a time that does not depend on where it is wrong.

        Raises:
            InvalidSignatureError: it is missing or wrong.
        """
        if self._template is None:
            return
        if not signature:
            raise InvalidSignatureError("the message has no signature")
        if not hmac.compare_digest(signature, self.sign(frames)):
            raise InvalidSignatureError("the signature is wrong")


class ReplayGuard:
    """Remembers the signatures of the last messages, and refuses them a second time.

    Args:
        size: how many to remember; the oldest are forgotten first. 0 = none, so that nothing is refused.
    """

    __slots__ = ("_order", "_seen", "size")

    def __init__(self, size: int = 65536) -> None:
        self.size = size
        self._seen: set[bytes] = set()
        self._order: deque[bytes] = deque()

    def check(self, signature: bytes) -> None:
        """Refuse a signature that was remembered.

        Raises:
            InvalidSignatureError: it was.
        """
        # 64 bits tell the signatures apart, and cost half the memory. Only valid signatures ever get in here.
        if signature[:16] in self._seen:
            raise InvalidSignatureError("the signature was used before: the message is a replay")

    def remember(self, signature: bytes) -> None:
        """Remember a signature that was found to be valid."""
        if self.size <= 0:
            return
        if len(self._order) >= self.size:
            self._seen.discard(self._order.popleft())
        start = signature[:16]
        self._seen.add(start)
        self._order.append(start)


# Messages out ---------------------------------------------------------------------------------------------------


def new_header(msg_id: str, msg_type: str, username: str, session: str) -> dict[str, Any]:
    """Return the header of a new message; its date is now."""
    return {
        "msg_id": msg_id,
        "msg_type": msg_type,
        "username": username,
        "session": session,
        "date": datetime.now(timezone.utc),
        "version": PROTOCOL_VERSION,
    }


def build(
    header: dict[str, Any],
    content: Mapping[str, Any] | None = None,
    parent: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Message:
    """Return a message.

    Args:
        header: its header, from `new_header`.
        content: its content.
        parent: the message that it answers, or that message's header; None = none.
        metadata: its metadata.
    """
    parent_header: Mapping[str, Any] = {} if not parent else parent.get("header", parent)
    return {
        "header": header,
        "msg_id": header["msg_id"],
        "msg_type": header["msg_type"],
        "parent_header": dict(parent_header),
        "content": {} if content is None else content,
        "metadata": {} if metadata is None else dict(metadata),
    }


def serialise(message: Mapping[str, Any], signer: Signer, identities: Sequence[bytes] = ()) -> list[bytes]:
    """Return the frames of a message, signed, but without its buffers.

    Args:
        message: the message. Its content may be encoded already (bytes, or text of JSON), as in a relay.
        signer: signs it.
        identities: routing identities to put before it.

    Raises:
        TypeError: the message holds something that JSON cannot.
    """
    content = message.get("content")
    if isinstance(content, str):
        packed = content.encode()
    elif isinstance(content, bytes):
        packed = content
    elif content is None or isinstance(content, Mapping):
        packed = _encode({} if content is None else content)
    else:
        raise TypeError(f"the content of a message is a dict, got {type(content).__name__}")
    frames = [
        _encode(message["header"]),
        _encode(message["parent_header"]),
        _encode(message["metadata"]),
        packed,
    ]
    return [*identities, DELIMITER, signer.sign(frames), *frames]


# Messages in ----------------------------------------------------------------------------------------------------


def split(frames: Sequence[Any]) -> tuple[list[bytes], list[Any]]:
    """Split what was received into the routing identities, and the frames from the signature on.

    Raises:
        MalformedMessageError: the delimiter is missing.
    """
    for index, frame in enumerate(frames):
        # Comparing lengths first spares a long frame's copy.
        if len(frame) == len(DELIMITER) and bytes(frame) == DELIMITER:
            return [bytes(identity) for identity in frames[:index]], list(frames[index + 1 :])
    raise MalformedMessageError("not a Jupyter message: no delimiter among its frames")


def parse(
    frames: Sequence[Any],
    signer: Signer,
    guard: ReplayGuard | None = None,
    *,
    content: bool = True,
    max_frames: int = MAX_FRAMES,
    max_json_bytes: int = MAX_JSON_BYTES,
) -> Message:
    """Verify and read a message.

    Args:
        frames: the frames from the signature on: `bytes`, or anything with the buffer protocol.
        signer: knows the key.
        guard: refuses replays; None = does not.
        content: whether to read the content; if not, it stays encoded, and the message is not remembered as seen.
        max_frames: how many frames the message may have.
        max_json_bytes: bytes that the JSON frames may have together.

    Returns:
        The message. Its buffers are memoryviews of the frames, not copies. The dates in its headers are
        `datetime` values where they can be read, and else what they were.

    Raises:
        MalformedMessageError: it is no message, or one beyond the limits.
        InvalidSignatureError: its signature is missing or wrong, or it was received before.
    """
    if len(frames) <= _SIGNED_FRAMES:
        raise MalformedMessageError(f"a message has at least 5 frames after its delimiter, got {len(frames)}")
    if len(frames) > max_frames:
        raise MalformedMessageError(f"more than {max_frames} frames")
    if sum(map(len, frames[: _SIGNED_FRAMES + 1])) > max_json_bytes:
        raise MalformedMessageError(f"more than {max_json_bytes} bytes of JSON")
    signature, *signed = map(bytes, frames[: _SIGNED_FRAMES + 1])
    signer.verify(signature, signed)
    if guard is not None and signer.key:
        guard.check(signature)
    header = _header(signed[0], "header")
    for name in ("msg_id", "msg_type"):
        if not isinstance(header.get(name), str):
            raise MalformedMessageError(f"the header has no {name}, or one that is not text")
    message: Message = {
        "header": header,
        "msg_id": header["msg_id"],
        "msg_type": header["msg_type"],
        "parent_header": _parent_header(signed[1]),
        "metadata": _object(signed[2], "metadata"),
        "content": _object(signed[3], "content") if content else signed[3],
        "buffers": [memoryview(frame) for frame in frames[_SIGNED_FRAMES + 1 :]],
    }
    if guard is not None and signer.key and content:
        guard.remember(signature)
    return message


def _object(frame: bytes, what: str) -> dict[str, Any]:
    if frame == _NOTHING:
        return {}
    value = _decode(frame, what)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedMessageError(f"the {what} is not a JSON object")
    return value


def _header(frame: bytes, what: str) -> dict[str, Any]:
    header = _object(frame, what)
    # A message is routed by these: they must be what dictionaries can look up.
    for name in ("msg_id", "msg_type"):
        if name in header and not isinstance(header[name], str):
            raise MalformedMessageError(f"the {what} has a {name} that is not text")
    date = header.get("date")
    if isinstance(date, str):
        header["date"] = _read_date(date)
    return header


def _parent_header(frame: bytes) -> dict[str, Any]:
    # All that a kernel says about a request has the same one: reading it once halves the work for short messages.
    if len(frame) > _REMEMBERED_BYTES:
        return _header(frame, "parent_header")
    return dict(_remembered_parent_header(frame))


@lru_cache(maxsize=32)
def _remembered_parent_header(frame: bytes) -> dict[str, Any]:
    return _header(frame, "parent_header")


def _read_date(text: str) -> datetime | str:
    try:
        date = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
        return date if date.tzinfo is not None else date.astimezone()
    except (ValueError, OverflowError, OSError):  # unreadable, or a year that the platform cannot do
        return text


def default_username() -> str:
    """Return the name of the user, for the headers of messages."""
    return os.environ.get("USER", "username")
