"""Messages as values: built, signed, parsed, verified."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime, timedelta, timezone
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernelyard.errors import InvalidSignatureError, MalformedMessageError, MessageError
from kernelyard.wire.message import (
    DELIMITER,
    ReplayGuard,
    Signer,
    build,
    new_header,
    parse,
    serialise,
    split,
)

SIGNER = Signer(b"the key")
HEADER = {
    "msg_id": "id-1",
    "msg_type": "status",
    "username": "ada",
    "session": "s-1",
    "date": "2024-05-06T07:08:09.123456Z",
    "version": "5.4",
}
GOLDEN = [
    (
        b'{"msg_id":"id-1","msg_type":"status","username":"ada","session":"s-1",'
        b'"date":"2024-05-06T07:08:09.123456Z","version":"5.4"}'
    ),
    b"{}",
    b'{"m":1}',
    b'{"execution_state":"idle"}',
]


def signed(parts: list[bytes], signer: Signer = SIGNER) -> list[bytes]:
    return [signer.sign(parts), *parts]


def changed(index: int, part: bytes) -> list[bytes]:
    parts = list(GOLDEN)
    parts[index] = part
    return signed(parts)


def test_the_frames_on_the_wire_are_those_of_the_protocol():
    message = build(dict(HEADER), {"execution_state": "idle"}, metadata={"m": 1})
    signature = hmac.new(b"the key", b"".join(GOLDEN), hashlib.sha256).hexdigest().encode()
    assert serialise(message, SIGNER, [b"route"]) == [b"route", b"<IDS|MSG>", signature, *GOLDEN]


def test_what_was_serialised_is_parsed_back():
    parent = build(new_header("id-0", "execute_request", "ada", "s-1"), {"code": "1"})
    message = build(new_header("id-1", "status", "ada", "s-1"), {"x": [1, "ä", None]}, parent, {"m": 2})
    identities, frames = split(serialise(message, SIGNER, [b"a", b"b"]))
    assert identities == [b"a", b"b"]
    assert parse(frames, SIGNER) == {**message, "buffers": []}
    assert message["parent_header"]["msg_id"] == "id-0"


def test_dates_become_datetimes_with_a_time_zone():
    date = parse(signed(GOLDEN), SIGNER)["header"]["date"]
    assert date == datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=timezone.utc)


@pytest.mark.parametrize("date", ["yesterday", "2024-13-01T00:00:00Z", 12, None, ["2024"]])
def test_a_date_that_cannot_be_read_stays_as_it_is(date):
    frames = changed(0, json.dumps({**HEADER, "date": date}).encode())
    assert parse(frames, SIGNER)["header"]["date"] == date


def test_a_date_without_time_zone_is_local():
    frames = changed(0, json.dumps({**HEADER, "date": "2024-05-06T07:08:09"}).encode())
    date = parse(frames, SIGNER)["header"]["date"]
    assert date.replace(tzinfo=None) == datetime(2024, 5, 6, 7, 8, 9)  # noqa: DTZ001 - the zone was taken off
    assert date.tzinfo is not None


def test_buffers_are_views_and_not_copies():
    buffer = bytearray(b"0123")
    message = parse([*signed(GOLDEN), buffer], SIGNER)
    buffer[0:1] = b"X"
    assert bytes(message["buffers"][0]) == b"X123"


def test_values_that_json_does_not_know_are_written_plainly():
    content = {
        "date": datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))),
        "utc": datetime(2024, 1, 2, tzinfo=timezone.utc),
        "path": PurePosixPath("/a/b"),
        "bytes": b"\x00\xff",
        "set": {1},
        "nan": [float("nan"), float("inf"), 1.5],
        "surrogate": "\ud800",
    }
    frames = split(serialise(build(dict(HEADER), content), SIGNER))[1]
    assert parse(frames, SIGNER)["content"] == {
        "date": "2024-01-02T03:04:05+02:00",
        "utc": "2024-01-02T00:00:00Z",
        "path": "/a/b",
        "bytes": "AP8=",
        "set": [1],
        "nan": [None, None, 1.5],
        "surrogate": "\ud800",
    }


def test_a_value_that_cannot_be_written_is_refused():
    with pytest.raises(TypeError, match="object"):
        serialise(build(dict(HEADER), {"x": object()}), SIGNER)


@pytest.mark.parametrize("scheme", ["hmac-sha256", "hmac-sha1", "hmac-md5", "hmac-blake2b", "hmac-sha3_512"])
def test_every_hash_function_of_hashlib_signs(scheme):
    signer = Signer(b"k", scheme)
    assert parse(signed(GOLDEN, signer), signer)["msg_id"] == "id-1"
    with pytest.raises(InvalidSignatureError):
        parse(signed(GOLDEN), signer)


@pytest.mark.parametrize("scheme", ["sha256", "hmac-nonsense", "hmac-", "", "hmac-shake_128"])
def test_an_unknown_signature_scheme_is_refused(scheme):
    with pytest.raises(ValueError, match="hmac-sha256"):
        Signer(b"k", scheme)


@pytest.mark.parametrize("index", range(4))
def test_a_message_that_was_tampered_with_is_refused(index):
    frames = signed(GOLDEN)
    frames[index + 1] = frames[index + 1].replace(b"}", b" }")
    with pytest.raises(InvalidSignatureError, match="wrong"):
        parse(frames, SIGNER)


def test_a_message_without_signature_is_refused():
    with pytest.raises(InvalidSignatureError, match="no signature"):
        parse([b"", *GOLDEN], SIGNER)


def test_without_a_key_nothing_is_verified():
    assert parse([b"whatever", *GOLDEN], Signer(b""))["msg_id"] == "id-1"


def test_a_replay_is_refused():
    guard = ReplayGuard()
    parse(signed(GOLDEN), SIGNER, guard)
    with pytest.raises(InvalidSignatureError, match="replay"):
        parse(signed(GOLDEN), SIGNER, guard)


def test_a_message_that_was_only_peeked_at_is_no_replay():
    guard = ReplayGuard()
    assert parse(signed(GOLDEN), SIGNER, guard, content=False)["content"] == GOLDEN[3]
    assert parse(signed(GOLDEN), SIGNER, guard)["content"] == {"execution_state": "idle"}


def test_the_memory_for_replays_is_bounded_and_forgets_the_oldest():
    guard = ReplayGuard(size=3)
    messages = [changed(2, b'{"n":%d}' % n) for n in range(5)]
    for frames in messages:
        parse(frames, SIGNER, guard)
    parse(messages[0], SIGNER, guard)
    with pytest.raises(InvalidSignatureError, match="replay"):
        parse(messages[4], SIGNER, guard)


def test_a_refused_message_is_not_remembered():
    """Or else a forger could keep a real message out by sending its signature first."""
    guard = ReplayGuard()
    frames = signed(GOLDEN)
    with pytest.raises(InvalidSignatureError):
        parse([frames[0], b"{}", b"{}", b"{}", b"{}"], SIGNER, guard)
    parse(frames, SIGNER, guard)


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (signed(GOLDEN)[:4], "5 frames"),
        (changed(0, b"nonsense"), "header is not JSON"),
        (changed(0, b"[]"), "header is not a JSON object"),
        (changed(0, b"{}"), "no msg_id"),
        (changed(0, b'{"msg_id": 1, "msg_type": "x"}'), "msg_id that is not text"),
        (changed(0, b'{"msg_id": "1"}'), "no msg_type"),
        (changed(1, b'{"msg_id": ["unhashable"]}'), "parent_header has a msg_id"),
        (changed(1, b'"text"'), "parent_header is not a JSON object"),
        (changed(2, b"1"), "metadata is not a JSON object"),
        (changed(3, b"[1]"), "content is not a JSON object"),
        (changed(3, b""), "content is not JSON"),
        (changed(3, b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "content is nested too deeply"),
    ],
)
def test_what_is_not_a_message_is_malformed(frames, why):
    with pytest.raises(MalformedMessageError, match=why):
        parse(frames, SIGNER)


def test_a_message_beyond_the_limits_is_malformed():
    with pytest.raises(MalformedMessageError, match="more than 6 frames"):
        parse([*signed(GOLDEN), b"1", b"2"], SIGNER, max_frames=6)
    with pytest.raises(MalformedMessageError, match="more than 100 bytes"):
        parse(signed(GOLDEN), SIGNER, max_json_bytes=100)


def test_frames_without_a_delimiter_are_malformed():
    with pytest.raises(MalformedMessageError, match="delimiter"):
        split([b"a", b"b"])


def test_a_null_for_the_parent_header_is_no_parent():
    assert parse(changed(1, b"null"), SIGNER)["parent_header"] == {}


def test_a_wrong_byte_in_a_text_does_not_lose_the_message():
    assert parse(changed(3, b'{"text":"a\xffb"}'), SIGNER)["content"] == {"text": "a\ufffdb"}


json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["msg_id", "msg_type", "date", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)
part = st.binary(max_size=40) | json_like.map(lambda value: json.dumps(value).encode())


@given(st.lists(part, max_size=8))
def test_no_bytes_make_parsing_raise_anything_but_a_message_error(parts):
    for key in (b"", b"key"):
        signer = Signer(key)
        try:
            message = parse([signer.sign(parts[:4]), *parts], signer, ReplayGuard())
        except MessageError:
            continue
        assert isinstance(message["msg_id"], str)


@given(st.lists(st.binary(max_size=12) | st.just(DELIMITER), max_size=8))
def test_no_frames_make_splitting_raise_anything_but_a_message_error(frames):
    try:
        identities, rest = split(frames)
    except MalformedMessageError:
        assert DELIMITER not in frames
    else:
        assert [*identities, DELIMITER, *rest] == frames
