"""`Session`, and its understanding with jupyter_client's."""

from __future__ import annotations

from collections.abc import Iterator

import jupyter_client.session
import pytest
import zmq
from kernelyard.errors import InvalidSignatureError
from kernelyard.wire.session import Session


@pytest.fixture
def pair() -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    left, right = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    left.bind("inproc://pair")
    right.connect("inproc://pair")
    yield left, right
    context.destroy(linger=0)


OURS = Session(key=b"key")
THEIRS = jupyter_client.session.Session(key=b"key")


#: The first large buffer that is sent without a copy starts pyzmq's one thread for giving them back.
starts_pyzmqs_thread = pytest.mark.leaks_elsewhere


@starts_pyzmqs_thread
@pytest.mark.parametrize(("sender", "receiver"), [(OURS, THEIRS), (THEIRS, OURS), (OURS, OURS)])
@pytest.mark.parametrize("copy", [True, False])
def test_messages_pass_between_our_session_and_jupyter_clients(pair, sender, receiver, copy):
    left, right = pair
    parent = sender.msg("execute_request", {"code": "1"})
    big = bytes(range(256)) * 1000
    sent = sender.send(
        left,
        "comm_msg",
        {"data": {"x": 1}},
        parent=parent,
        ident=[b"who"],
        buffers=[b"small", memoryview(big)],
        metadata={"m": 1},
    )
    right.poll(10_000)
    identities, message = receiver.recv(right, copy=copy)
    assert identities == [b"who"]
    assert message["header"]["msg_id"] == sent["header"]["msg_id"]
    assert message["header"]["date"] == sent["header"]["date"]
    assert message["parent_header"]["msg_id"] == parent["msg_id"]
    assert (message["content"], message["metadata"]) == ({"data": {"x": 1}}, {"m": 1})
    assert [bytes(buffer) for buffer in message["buffers"]] == [b"small", big]


def test_our_messages_have_the_same_layout_as_jupyter_clients():
    ours, theirs = OURS.msg("status", {"a": 1}), THEIRS.msg("status", {"a": 1})
    assert ours.keys() == theirs.keys()
    assert ours["header"].keys() == theirs["header"].keys()
    assert ours["header"]["version"] == theirs["header"]["version"]
    assert ours["header"]["date"].utcoffset() == theirs["header"]["date"].utcoffset()
    received = [s.deserialize(s.feed_identities(s.serialize(s.msg("status")))[1]) for s in (OURS, THEIRS)]
    assert received[0].keys() == received[1].keys()


def test_nothing_there_is_none_and_none(pair):
    assert OURS.recv(pair[0]) == (None, None)


def test_a_message_that_comes_twice_is_refused_and_by_a_clone_accepted():
    frames = OURS.feed_identities(Session(key=b"key").serialize(OURS.msg("status")))[1]
    OURS.deserialize(frames)
    with pytest.raises(InvalidSignatureError):
        OURS.deserialize(frames)
    assert OURS.clone().deserialize(frames)["msg_type"] == "status"


def test_a_clone_is_the_same_sender_and_gives_no_message_id_twice():
    twin = OURS.clone()
    assert (twin.session, twin.key, twin.username) == (OURS.session, OURS.key, OURS.username)
    assert twin.msg_id != OURS.msg_id


def test_the_key_and_the_scheme_can_be_set():
    session = Session()
    assert session.sign([b"{}"]) == b""
    session.key = b"key"
    assert session.sign([b"{}"]) == THEIRS.sign([b"{}"])
    session.signature_scheme = "hmac-sha512"
    assert len(session.sign([b"{}"])) == 128
    with pytest.raises(ValueError, match="hmac-"):
        session.signature_scheme = "rot13"


def test_a_buffer_that_cannot_be_sent_is_refused():
    with pytest.raises(ValueError, match="contiguous"):
        OURS.send(None, "comm_msg", buffers=[memoryview(b"abcdef")[::2]])
    with pytest.raises(TypeError):
        OURS.send(None, "comm_msg", buffers=["text"])


@starts_pyzmqs_thread
def test_the_sending_of_a_large_buffer_can_be_followed(pair):
    left, right = pair
    message = OURS.send(left, "comm_msg", buffers=[bytes(1_000_000)], track=True)
    right.poll(10_000)
    right.recv_multipart()
    message["tracker"].wait(timeout=10)
    assert message["tracker"].done


def test_the_key_is_not_in_the_repr():
    assert "s3cret" not in repr(Session(key=b"s3cret"))
