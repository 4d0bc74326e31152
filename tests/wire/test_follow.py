"""A client and the life of its kernel: the link to a manager, restarts, moves, ends."""

from __future__ import annotations

import asyncio
import time

import pytest
from kernelyard._blocking_client import BlockingKernelClient
from kernelyard.errors import KernelDiedError, KernelStartError
from kernelyard.wire.client import AsyncKernelClient

from tests.wire.conftest import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
def kernel(start_kernel):
    return start_kernel()


@pytest.fixture
async def linked(kernel):
    """A client of a kernel of its own, with a link to its process."""
    async with AsyncKernelClient(connection=kernel.connection, kernel=kernel) as client:
        await client.wait_for_ready(PATIENCE)
        yield client


async def restart(kernel, client, connection=None):
    """Do what a manager does."""
    kernel.kill()
    client.renew()
    kernel.start(connection)
    client.follow(kernel.connection)


async def test_the_link_is_told_of_the_client_and_of_the_first_answer(kernel, linked):
    assert kernel.clients == [linked]
    assert kernel.answers > 0


async def test_a_restart_at_the_same_ports_is_followed(kernel, linked):
    channel = linked.shell_channel
    await linked.run("x = 1")
    await restart(kernel, linked, kernel.connection)
    await linked.wait_for_ready(PATIENCE)
    assert (await linked.run("x")).error.ename == "NameError"
    assert linked.shell_channel is channel


async def test_a_move_to_other_ports_and_another_key_is_followed(kernel, linked):
    unread = linked.execute("'before'")
    while not await linked.shell_channel.msg_ready():
        await asyncio.sleep(0.001)
    before = linked.connection
    await restart(kernel, linked)
    assert linked.connection != before
    await linked.wait_for_ready(PATIENCE)
    assert (await linked.run("6 * 7")).data == {"text/plain": "42"}
    assert await linked.hb_channel.beat(PATIENCE)
    # what had come before is there still
    assert (await linked.get_shell_msg(timeout=0))["parent_header"]["msg_id"] == unread


async def test_a_request_that_failed_with_the_old_kernel_does_not_reach_the_new_one(kernel, linked):
    linked.execute("import time; time.sleep(60)")
    failing = linked.execute("x = 1", reply=True)
    await restart(kernel, linked, kernel.connection)
    meant_for_the_next = linked.execute("y = 1", reply=True)
    with pytest.raises(KernelDiedError):
        await failing
    assert (await meant_for_the_next)["content"]["status"] == "ok"
    assert (await linked.run("'x' in globals(), 'y' in globals()")).data == {"text/plain": "(False, True)"}


async def test_a_request_without_wait_for_ready_after_a_move_is_not_lost(kernel, linked):
    await restart(kernel, linked)
    assert (await linked.run("6 * 7", timeout=PATIENCE)).data == {"text/plain": "42"}


#: The pause is for the kernel's own threads, which die with it: what they have not sent nobody gets.
DIE = "import os, time; print('last words', flush=True); time.sleep(0.3); os._exit(3)"


async def test_the_end_of_the_kernel_ends_what_waits_for_it(kernel, linked):
    waiting = [
        linked.execute("import time; print('busy', flush=True); time.sleep(60)", reply=True),
        asyncio.ensure_future(linked.run("1")),
        asyncio.ensure_future(linked.execute_interactive("1")),
    ]
    while (await linked.get_iopub_msg(PATIENCE))["content"].get("text") != "busy\n":
        pass
    kernel.process.kill()
    start = time.perf_counter()
    for each in waiting:
        with pytest.raises(KernelDiedError) as raised:
            await each
        assert raised.value.exit_status.exit_code == -9
    assert time.perf_counter() - start < 5
    assert not await linked.is_alive()


async def test_the_last_outputs_come_before_the_news_of_the_end(linked):
    seen = []
    with pytest.raises(KernelDiedError, match="code 3"):  # noqa: PT012 - the error comes from the loop itself
        async for output in linked.outputs(DIE):
            seen.append(output["text"])  # noqa: PERF401 - a comprehension would lose them with the error
    assert seen == ["last words\n"]


async def test_a_shutdown_that_is_waited_for_is_answered(linked):
    reply = await linked.shutdown(reply=True, timeout=PATIENCE)
    assert reply["content"]["status"] == "ok"
    with pytest.raises(KernelDiedError, match="code 0"):
        await linked.execute("1", reply=True)


async def test_a_kernel_that_cannot_start_is_reported_with_its_exit_code(start_kernel):
    import sys

    kernel = start_kernel(sys.executable, "-c", "import sys; sys.exit(7)")
    async with AsyncKernelClient(connection=kernel.connection, kernel=kernel) as client:
        with pytest.raises(KernelStartError, match="code 7") as raised:
            await client.wait_for_ready(PATIENCE)
    assert raised.value.exit_status.exit_code == 7


async def test_a_client_started_before_the_kernel_reaches_it(tmp_path):
    from tests.wire.conftest import running_kernel

    with running_kernel(tmp_path / "kernel") as kernel:
        kernel.kill()
        async with AsyncKernelClient(connection=kernel.connection) as client:
            early = client.execute("6 * 7", reply=True)
            kernel.start(kernel.connection)
            await client.wait_for_ready(PATIENCE)
            assert (await early)["content"]["status"] == "ok"


def test_a_blocking_client_is_told_of_the_end_too(kernel):
    with BlockingKernelClient(connection=kernel.connection, kernel=kernel) as client:
        client.wait_for_ready(PATIENCE)
        seen = []
        with pytest.raises(KernelDiedError):
            seen.extend(output["text"] for output in client.outputs(DIE))
        assert not client.is_alive()
        with pytest.raises(KernelDiedError):
            client.run("1")
