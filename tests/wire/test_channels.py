"""What arrives on a channel: hostile messages, floods, forgotten clients. The other end is the test's own."""

from __future__ import annotations

import asyncio
import gc
import logging
import queue
import warnings

import pytest
from kernelyard.errors import KernelStateError
from kernelyard.wire import channels
from kernelyard.wire.client import AsyncKernelClient

from tests.wire.conftest import PATIENCE

pytestmark = pytest.mark.anyio


async def test_a_message_with_a_wrong_signature_is_dropped_and_logged(puppet, puppet_client, caplog):
    forged = puppet.frames("stream", {"name": "stdout", "text": "forged"})
    forged[5] = forged[5].replace(b"forged", b"forgxd")
    puppet.publish(forged)
    puppet.publish(puppet.frames("stream", {"name": "stdout", "text": "true"}))
    with caplog.at_level(logging.WARNING):
        assert (await puppet_client.get_iopub_msg(PATIENCE))["content"]["text"] == "true"
    assert "unauthentic message on iopub" in caplog.text
    assert "forg" not in caplog.text


async def test_a_replayed_message_is_dropped(puppet, puppet_client):
    frames = puppet.frames("status", {"n": 1})
    for each in (frames, frames, puppet.frames("status", {"n": 2})):
        puppet.publish(each)
    assert [(await puppet_client.get_iopub_msg(PATIENCE))["content"]["n"] for _ in range(2)] == [1, 2]


async def test_two_clients_of_one_session_are_no_replay_to_each_other(puppet, puppet_client):
    async with AsyncKernelClient(connection=puppet.connection, session=puppet_client.session) as other:
        puppet.sockets["hb"].close()  # its pings are not what this is about
        await other.hb_channel.beat(0.01)
        for client in (puppet_client, other):
            client.kernel_info()
        await puppet.request()
        await puppet.request()
        puppet.publish(puppet.frames("status", {"n": 1}))
        assert (await puppet_client.get_iopub_msg(PATIENCE))["content"] == {"n": 1}
        assert (await other.get_iopub_msg(PATIENCE))["content"] == {"n": 1}


@pytest.mark.parametrize(
    "frames",
    [[b"x"], [b"<IDS|MSG>"], [b"<IDS|MSG>", b"sig", b"{}"], [b"x"] * 5000, [b"<IDS|MSG>"] + [b""] * 5000],
)
async def test_what_is_no_message_is_dropped(puppet, puppet_client, frames):
    puppet.sockets["iopub"].send_multipart(frames)
    puppet.publish(puppet.frames("status", {"n": 2}))
    assert (await puppet_client.get_iopub_msg(PATIENCE))["content"]["n"] == 2


async def test_content_of_the_wrong_kind_does_not_harm_who_waits(puppet, puppet_client):
    running = asyncio.ensure_future(puppet_client.run("1"))
    identities, asked = await puppet.request()
    puppet.sockets["shell"].send_multipart([*identities, *puppet.frames("kernel_info_reply", {}, asked)])
    puppet.publish(puppet.frames("status", {"execution_state": ["idle"]}, asked))
    identities, request = await puppet.request()
    assert request["msg_type"] == "execute_request"
    for kind in ("stream", "display_data", "execute_result", "error", "clear_output", "execute_input"):
        puppet.publish(puppet.frames(kind, {"text": 1, "data": [], "name": {}, "traceback": 5}, request))
    puppet.sockets["shell"].send_multipart([*identities, *puppet.frames("execute_reply", {}, request)])
    puppet.publish(puppet.frames("status", {"execution_state": "idle"}, request))
    result = await asyncio.wait_for(running, PATIENCE)
    assert not result.ok


async def test_a_lost_subscription_is_noticed_and_asked_for_again(puppet):
    """A kernel's first answers may be published before it knows of the subscription."""
    async with AsyncKernelClient(connection=puppet.connection) as client:
        ready = asyncio.ensure_future(client.wait_for_ready(PATIENCE))
        for _ in range(3):
            identities, request = await puppet.request()
            puppet.sockets["shell"].send_multipart(
                [*identities, *puppet.frames("kernel_info_reply", {}, request)]
            )
        assert not ready.done()
        await puppet.subscribed()
        puppet.publish(puppet.frames("status", {"execution_state": "idle"}, request))
        await ready


async def test_a_full_channel_loses_nothing(puppet, puppet_client, monkeypatch):
    """Messages that nobody fetches stay with ZeroMQ when the queue is full, and come when there is room."""
    monkeypatch.setattr(channels, "QUEUE_LIMIT", 10)
    for n in range(500):
        puppet.publish(puppet.frames("status", {"n": n}))
    await asyncio.sleep(0.1)
    assert len(puppet_client.iopub_channel._messages) == 10
    numbers = [(await puppet_client.get_iopub_msg(PATIENCE))["content"]["n"] for _ in range(500)]
    assert numbers == list(range(500))


async def test_a_full_channel_does_not_keep_a_request_waiting(puppet, puppet_client, monkeypatch, caplog):
    monkeypatch.setattr(channels, "QUEUE_LIMIT", 10)
    for n in range(50):
        puppet.publish(puppet.frames("status", {"n": n}))
    await puppet_client.get_iopub_msg(PATIENCE)
    running = asyncio.ensure_future(puppet_client.run("1"))
    identities, request = await puppet.request()
    puppet.sockets["shell"].send_multipart(
        [*identities, *puppet.frames("execute_reply", {"status": "ok"}, request)]
    )
    puppet.publish(puppet.frames("status", {"execution_state": "idle"}, request))
    assert (await asyncio.wait_for(running, PATIENCE)).ok
    assert "oldest are dropped" in caplog.text
    assert [m["content"]["n"] for m in await puppet_client.iopub_channel.get_msgs()] == list(range(40, 50))


async def test_several_may_wait_on_one_channel(puppet, puppet_client):
    waiting = [asyncio.ensure_future(puppet_client.get_iopub_msg(PATIENCE)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    for n in range(2):
        puppet.publish(puppet.frames("status", {"n": n}))
    assert {(await each)["content"]["n"] for each in waiting[1:]} == {0, 1}


async def test_a_message_is_not_lost_with_a_cancelled_waiter(puppet, puppet_client):
    waiting = asyncio.ensure_future(puppet_client.get_iopub_msg(PATIENCE))
    await asyncio.sleep(0.01)
    puppet.publish(puppet.frames("status", {"n": 1}))
    channel = puppet_client.iopub_channel
    while not channel._messages:
        channel._receive()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await puppet_client.get_iopub_msg(0))["content"]["n"] == 1


async def test_a_message_that_is_there_is_found_without_waiting(puppet, puppet_client):
    puppet.publish(puppet.frames("status", {"n": 1}))
    while True:
        try:
            message = await puppet_client.get_iopub_msg(timeout=0)
        except queue.Empty:
            continue
        assert message["content"]["n"] == 1
        break


async def test_sending_swallows_no_news_of_arrivals(puppet, puppet_client):
    """ZeroMQ tells of an arrival once, and any call on the socket may take that: sends beside receives."""
    count = 300

    async def answer_all():
        for _ in range(count):
            identities, request = await puppet.request()
            puppet.sockets["shell"].send_multipart(
                [*identities, *puppet.frames("kernel_info_reply", {}, request)]
            )

    answering = asyncio.ensure_future(answer_all())
    replies = []
    for _ in range(count):
        replies.append(puppet_client.kernel_info(reply=True, timeout=PATIENCE))
        await asyncio.sleep(0)
    await asyncio.gather(*replies)
    await answering


async def test_a_forgotten_client_warns_and_leaves_no_socket_behind(puppet):
    client = AsyncKernelClient(connection=puppet.connection)
    client.start_channels()
    sockets = [channel.socket for channel in client._channels.values()]
    await puppet.subscribed()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del client
        gc.collect()
        await asyncio.sleep(0)  # the loop closes them
        assert all(socket.closed for socket in sockets)
        said = {str(warning.message) for warning in caught}
        caught.clear()  # a warning holds what it is about
        del sockets
        gc.collect()
    assert "unclosed channel of a kernel client" in said


async def test_a_stopped_channel_says_so(puppet, puppet_client):
    puppet_client.stop_channels()
    with pytest.raises(KernelStateError, match="iopub channel is not running"):
        await puppet_client.get_iopub_msg()


async def test_the_heartbeat_notices_silence_and_new_life(puppet, puppet_client):
    heartbeat = puppet_client.hb_channel
    heartbeat.time_to_dead = 0.05
    assert heartbeat.is_beating()  # nobody has asked yet
    await asyncio.sleep(0.1)
    assert not heartbeat.is_beating()
    assert not await puppet_client.is_alive()
    ping = await puppet.receive("hb")
    assert ping[1:] == [b"", b"ping"]
    puppet.sockets["hb"].send_multipart(ping)
    assert await heartbeat.beat(PATIENCE)
    assert heartbeat.is_beating()
