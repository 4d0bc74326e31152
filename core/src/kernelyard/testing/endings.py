"""What the contract says about how a kernel ends: poll, wait, signal, kill, cleanup."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
from collections.abc import Callable
from contextlib import suppress

import anyio
import pytest

from kernelyard._plugins import Relay
from kernelyard.errors import ProvisionerError, UnknownHandleError
from kernelyard.testing.place import Launch, Leftovers, Place, Program, TalkTo
from kernelyard.testing.sentences import covers
from kernelyard.types import ExitReason, KernelHandle

__all__ = ["EndingContract"]

# Programs that are interrupted after they have said something do not flush what they say: ipykernel sends it on a
# moment later, when they sleep already. An interrupt while it flushes is lost once in some hundred times.

_DEAF = """
import signal, time
for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(signum, signal.SIG_IGN)
print("deaf")
while True:
    time.sleep(3600)
"""

_WITH_CHILD = """
import subprocess, sys
command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(3600)"]
child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
child.stdout.readline()
print("both run")
"""


class EndingContract(Place):
    """Tests of `kernelyard_poll`, `kernelyard_wait`, `kernelyard_signal`, `kernelyard_kill`, `kernelyard_cleanup`."""

    pytestmark = pytest.mark.anyio

    # poll and wait --------------------------------------------------------------------------------------------

    @covers("poll", "Say whether the kernel still runs", "Returns None while it runs", "It returns at once")
    @covers("wait", "Return how the kernel ended", "Without this hook")
    @pytest.mark.parametrize("code", [0, 3, 255])
    async def test_exit_code_is_told_however_often_it_is_asked(
        self, relay: Relay, launch: Launch, program: Program, start_timeout: float, code: int
    ) -> None:
        """By wait and by poll alike."""
        handle = await launch(program(f"import os; print('bye', flush=True); os._exit({code})"))
        with anyio.fail_after(start_timeout):
            status = await relay.wait(handle)
            assert [await relay.poll(handle) for _ in range(3)] == [status] * 3
            assert await relay.wait(handle) == status
        assert status.exit_code == code
        assert status.signal is None
        assert status.reason == (ExitReason.CLEAN if code == 0 else ExitReason.EXIT_CODE)
        assert status.output[-1:] == ("bye",)

    @covers("poll", "Returns None while it runs")
    async def test_signal_that_ended_the_kernel_is_told(
        self, relay: Relay, launch: Launch, program: Program, start_timeout: float
    ) -> None:
        """An end by a signal has its number, and no exit code."""
        handle = await launch(program("import os, signal; os.kill(os.getpid(), signal.SIGABRT)"))
        with anyio.fail_after(start_timeout):
            status = await relay.wait(handle)
        assert (status.reason, status.signal, status.exit_code) == (ExitReason.SIGNAL, signal.SIGABRT, None)

    @covers("poll", "A kernel whose exit code cannot be known any more")
    async def test_kernel_of_which_nothing_is_left_is_lost(
        self, relay: Relay, launch: Launch, idle: list[str], start_timeout: float
    ) -> None:
        """After its cleanup nobody knows how it ended, but that it did."""
        handle = await launch(idle)
        with anyio.fail_after(start_timeout):
            await relay.kill(handle)
            await relay.cleanup(handle)
            assert await _reason(relay, handle) == ExitReason.LOST

    @covers("wait", "Several callers may wait")
    async def test_several_wait_and_one_that_gives_up_does_not_disturb_the_others(
        self, relay: Relay, launch: Launch, idle: list[str], start_timeout: float
    ) -> None:
        """All of them are told the same."""
        handle = await launch(idle)
        waiters = [asyncio.create_task(relay.wait(handle)) for _ in range(4)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        with suppress(asyncio.CancelledError):
            await waiters[0]
        assert await relay.poll(handle) is None
        with anyio.fail_after(start_timeout):
            await relay.kill(handle)
            told = await asyncio.gather(*waiters[1:])
        assert told == [await relay.poll(handle)] * 3

    # signal ---------------------------------------------------------------------------------------------------

    @covers("signal", "Deliver a signal", "On return the signal is on its way")
    async def test_interrupt_stops_running_code_and_not_the_kernel(
        self, relay: Relay, launch: Launch, ipykernel: list[str], talk_to: TalkTo
    ) -> None:
        """As a person does who presses the stop button."""
        handle = await launch(ipykernel)
        async with talk_to(handle) as talk:
            request = await talk.begin("import time\nprint('begun')\ntime.sleep(3600)", "begun")
            await relay.signal(handle, signal.SIGINT)
            assert (await talk.finish(request))["ename"] == "KeyboardInterrupt"
            assert (await talk.run("print('still here')")).strip() == "still here"
        assert await relay.poll(handle) is None

    @covers("signal", "Deliver a signal")
    async def test_signal_reaches_the_children(
        self, relay: Relay, launch: Launch, ipykernel: list[str], talk_to: TalkTo, has_process_groups: bool
    ) -> None:
        """A program that a cell started is interrupted with the cell."""
        if not has_process_groups:
            pytest.skip("signals do not reach the children here")
        handle = await launch(ipykernel)
        async with talk_to(handle) as talk:
            # Waiting for the child here would be a race: whoever is interrupted while it reaps loses the status.
            request = await talk.begin(f"{_WITH_CHILD}\nimport time; time.sleep(3600)", "both run")
            await relay.signal(handle, signal.SIGINT)
            assert (await talk.finish(request))["status"] == "error"
            assert (await talk.run("print(child.wait())")).strip() == str(-signal.SIGINT)

    @covers("signal", "A kernel that has ended already is no error")
    async def test_signal_to_an_ended_kernel_is_no_error(
        self, relay: Relay, launch: Launch, program: Program, start_timeout: float
    ) -> None:
        """And changes nothing, also when nothing of it is left."""
        handle = await launch(program("raise SystemExit(7)"))
        with anyio.fail_after(start_timeout):
            status = await relay.wait(handle)
            await relay.signal(handle, signal.SIGTERM)
            assert await relay.poll(handle) == status
            await relay.cleanup(handle)
            await relay.signal(handle, signal.SIGTERM)

    @covers("signal", "A kernel that has ended already is no error")
    async def test_nobody_else_is_harmed_under_the_id_of_a_kernel_that_is_gone(
        self, relay: Relay, handle_of_a_stranger: tuple[KernelHandle, Callable[[], bool]]
    ) -> None:
        """Neither by a signal, nor by a kill or a cleanup."""
        handle, is_unharmed = handle_of_a_stranger
        assert await _reason(relay, handle) == ExitReason.LOST
        await relay.signal(handle, signal.SIGTERM)
        await relay.kill(handle)
        await relay.cleanup(handle)
        assert is_unharmed()

    @covers("signal", "ProvisionerError: the place cannot deliver")
    async def test_impossible_signal_is_refused(self, relay: Relay, launch: Launch, idle: list[str]) -> None:
        """The kernel goes on."""
        handle = await launch(idle)
        with pytest.raises(ProvisionerError) as caught:
            await relay.signal(handle, 4711)
        assert caught.value.kernel_id == handle.kernel_id
        assert await relay.poll(handle) is None

    # kill -----------------------------------------------------------------------------------------------------

    @covers("kill", "End the kernel", "On return the kernel no longer runs")
    async def test_kill_ends_a_kernel_that_ignores_signals(
        self, relay: Relay, launch: Launch, ipykernel: list[str], talk_to: TalkTo
    ) -> None:
        """And poll knows at once."""
        handle = await launch(ipykernel)
        async with talk_to(handle) as talk:
            await talk.begin(_DEAF, "deaf")
            await relay.signal(handle, signal.SIGTERM)
            await relay.kill(handle)
            status = await relay.poll(handle)
        assert status is not None
        assert status.signal == signal.SIGKILL

    @covers("kill", "A kernel that has ended already is no error")
    async def test_kill_of_an_ended_kernel_is_no_error(
        self, relay: Relay, launch: Launch, program: Program, start_timeout: float
    ) -> None:
        """It may be called any number of times, and how the kernel ended stays what it was."""
        handle = await launch(program("raise SystemExit(7)"))
        with anyio.fail_after(start_timeout):
            status = await relay.wait(handle)
            await relay.kill(handle)
            await relay.kill(handle)
            assert await relay.poll(handle) == status
            await relay.cleanup(handle)
            await relay.kill(handle)

    # cleanup --------------------------------------------------------------------------------------------------

    @covers("kill", "End the kernel")
    @covers("cleanup", "Remove what is left", "On return nothing of it remains")
    async def test_nothing_remains_of_a_kernel_and_its_children(
        self,
        relay: Relay,
        launch: Launch,
        ipykernel: list[str],
        talk_to: TalkTo,
        leftovers: Leftovers,
    ) -> None:
        """No process of its group, and no file."""
        handle = await launch(ipykernel)
        async with talk_to(handle) as talk:
            await talk.run(_WITH_CHILD)
            assert await leftovers(handle)
            await relay.kill(handle)
            await relay.cleanup(handle)
        assert await leftovers(handle) == []

    @covers("cleanup", "On return nothing of it remains")
    async def test_children_that_outlive_the_kernel_are_removed(
        self, relay: Relay, launch: Launch, program: Program, leftovers: Leftovers, start_timeout: float
    ) -> None:
        """A kernel that ends by itself does not take them along."""
        code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)'])"
        handle = await launch(program(code))
        with anyio.fail_after(start_timeout):
            assert (await relay.wait(handle)).exit_code == 0
            await relay.cleanup(handle)
        assert await leftovers(handle) == []

    @covers("cleanup", "With `restart=True` it may keep")
    async def test_cleanup_for_a_restart_can_be_made_a_whole_one(
        self, relay: Relay, launch: Launch, idle: list[str], leftovers: Leftovers, start_timeout: float
    ) -> None:
        """A restart that is given up leaves nothing."""
        handle = await launch(idle)
        with anyio.fail_after(start_timeout):
            await relay.kill(handle, restart=True)
            await relay.cleanup(handle, restart=True)
            await relay.cleanup(handle)
        assert await leftovers(handle) == []

    @covers("cleanup", "It may be called any number of times")
    async def test_cleanup_may_be_repeated_and_overlap(
        self, relay: Relay, launch: Launch, idle: list[str], leftovers: Leftovers, start_timeout: float
    ) -> None:
        """Also by two at the same time."""
        handle = await launch(idle)
        with anyio.fail_after(start_timeout):
            await relay.kill(handle)
            await asyncio.gather(relay.cleanup(handle), relay.cleanup(handle))
            await relay.cleanup(handle)
        assert await leftovers(handle) == []

    # every hook -----------------------------------------------------------------------------------------------

    @covers("poll", "UnknownHandleError")
    @covers("signal", "UnknownHandleError")
    @covers("kill", "UnknownHandleError")
    @covers("cleanup", "UnknownHandleError")
    @covers("wait", "UnknownHandleError")
    @covers("attach", "UnknownHandleError")
    @covers("logs", "UnknownHandleError")
    @pytest.mark.parametrize("hook", ["poll", "signal", "kill", "cleanup", "wait", "attach", "logs"])
    @pytest.mark.parametrize("ref", [{}, {"pid": "4711", "container": 1, "pod": None}])
    async def test_handle_of_another_kind_of_place_is_unknown(
        self,
        *,
        relay: Relay,
        launch: Launch,
        idle: list[str],
        start_timeout: float,
        hook: str,
        ref: dict[str, int | str | None],
    ) -> None:
        """It is an error, not an exit."""
        if not relay.offers(hook):
            pytest.skip(f"there is no hook {hook}")
        handle = dataclasses.replace(await launch(idle), ref=ref)
        more = {"signal": (signal.SIGTERM,), "logs": (10,)}.get(hook, ())
        with anyio.fail_after(start_timeout), pytest.raises(UnknownHandleError):
            await getattr(relay, hook)(handle, *more)


async def _reason(relay: Relay, handle: KernelHandle) -> ExitReason | None:
    status = await relay.poll(handle)
    return None if status is None else status.reason
