"""What the contract says about other processes, and other objects: a handle is all they need."""

from __future__ import annotations

import asyncio
import signal

import anyio
import pytest

from kernelyard._plugins import Relay
from kernelyard.testing._stranger import call
from kernelyard.testing.place import Launch, Leftovers, MakeRequest, Place, TalkTo
from kernelyard.testing.sentences import covers
from kernelyard.types import ExitReason, ExitStatus, KernelHandle

__all__ = ["ElsewhereContract"]


class ElsewhereContract(Place):
    """Tests of the rule that a provisioner keeps no state per kernel that it could not rebuild from the handle."""

    pytestmark = pytest.mark.anyio

    async def test_fresh_provisioner_takes_an_old_handle(
        self,
        launch: Launch,
        idle: list[str],
        fresh_provisioner: object,
        leftovers: Leftovers,
        start_timeout: float,
    ) -> None:
        """As after a restart of the program that uses it."""
        handle = await launch(idle)
        other = Relay("under-test", fresh_provisioner, plugins=())
        with anyio.fail_after(start_timeout):
            assert await other.poll(handle) is None
            await other.kill(handle)
            status = await other.wait(handle)
            assert status.signal == signal.SIGKILL
            await other.cleanup(handle)
        assert await leftovers(handle) == []

    async def test_another_process_polls_signals_kills_and_cleans_up(
        self,
        *,
        relay: Relay,
        launch: Launch,
        idle: list[str],
        provisioner_path: str,
        leftovers: Leftovers,
        start_timeout: float,
    ) -> None:
        """While the process that launched the kernel looks on."""
        handle = await launch(idle)
        with anyio.fail_after(start_timeout):
            assert await call(provisioner_path, "poll", handle=handle) is None
            await call(provisioner_path, "signal", handle=handle, signum=int(signal.SIGTERM))
            status = await relay.wait(handle)
            assert status.signal == signal.SIGTERM
            await call(provisioner_path, "kill", handle=handle)
            await call(provisioner_path, "cleanup", handle=handle)
            await relay.cleanup(handle)
        assert await leftovers(handle) == []

    async def test_another_process_waits_and_learns_how_the_kernel_ended(
        self,
        *,
        relay: Relay,
        launch: Launch,
        ipykernel: list[str],
        talk_to: TalkTo,
        provisioner_path: str,
        reports_exit_code_to_strangers: bool,
    ) -> None:
        """As far as the place can tell it."""
        handle = await launch(ipykernel)
        async with talk_to(handle) as talk:
            waiting = asyncio.create_task(call(provisioner_path, "wait", handle=handle))
            # When this one has its answer, the other process has long begun.
            assert await call(provisioner_path, "poll", handle=handle) is None
            await talk.send("import os; os._exit(5)")
            told = ExitStatus.from_dict(await waiting)
            assert (await relay.wait(handle)).exit_code == 5
        if reports_exit_code_to_strangers:
            assert told.exit_code == 5
        else:
            assert told.exit_code == 5 or told.reason == ExitReason.LOST

    @covers("attach", "Do what this process needs", "Returns the handle with a connection")
    async def test_kernel_of_a_process_that_crashed_is_taken_over(
        self,
        *,
        relay: Relay,
        make_request: MakeRequest,
        ipykernel: list[str],
        talk_to: TalkTo,
        provisioner_path: str,
        leftovers: Leftovers,
        start_timeout: float,
    ) -> None:
        """It runs on, its variables are there, and it can be ended and cleaned up from here."""
        request = make_request(ipykernel, independent=True)
        with anyio.fail_after(start_timeout):
            handle = KernelHandle.from_dict(await call(provisioner_path, "launch", request=request))
            assert await relay.poll(handle) is None
            attached = await relay.attach(handle)
            async with talk_to(attached) as talk:
                assert (await talk.run("answer = 6 * 7; print(answer)")).strip() == "42"
                waiting = asyncio.create_task(relay.wait(attached))
                await asyncio.sleep(0)
                await relay.kill(attached)
            status = await waiting
            assert status.signal == signal.SIGKILL or status.reason == ExitReason.LOST
            await relay.cleanup(attached)
        assert await leftovers(attached) == []
