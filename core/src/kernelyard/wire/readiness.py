"""Whether a client's kernel is alive, and when it is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kernelyard.errors import KernelDiedError, KernelNotReadyError, KernelStartError, KernelStateError
from kernelyard.wire import requests
from kernelyard.wire.exchange import Exchange
from kernelyard.wire.message import Message
from kernelyard.wire.requesting import RequestingClient

__all__ = ["ReadyClient"]

#: Seconds to wait for iopub after the kernel's first reply, before asking again; doubled each time, up to _SLOWEST.
_FIRST_LOOK = 0.005
#: Seconds to wait for a reply before asking again: a request may be lost with a kernel that is being replaced.
_FIRST_REPLY = 0.5
_SLOWEST = 5.0

#: Lines of its output that are quoted when a kernel does not answer.
_SHOWN_LINES = 20


class ReadyClient(RequestingClient):
    """Knows whether the kernel lives, and waits until it answers."""

    async def is_alive(self) -> bool:
        """Return whether the kernel runs.

        Its manager knows. A client without one asks the heartbeat, for at most `hb_channel.time_to_dead` seconds;
        without a heartbeat channel it cannot tell, and says yes.
        """
        if self._kernel is not None:
            return await self._kernel.is_alive()
        return await self._hb.beat() if self._hb.is_alive() else True

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Return when the kernel answers, and its outputs arrive.

        What the kernel published about its own start, in answer to nobody, is dropped from the iopub channel.

        Args:
            timeout: seconds; None = no limit.

        Raises:
            KernelStartError: the kernel ended before it answered.
            KernelNotReadyError: it did not answer in that time.
            KernelStateError: the shell or iopub channel is not running.
        """
        self._iopub.heard = False
        try:
            await self._until_listening(timeout)
        except TimeoutError as error:
            hint = "It may still be starting, be busy, or not be at this address."
            lines = [] if self._kernel is None else await self._kernel.logs(_SHOWN_LINES)
            if lines:
                hint = "\n".join(["The kernel's last lines:", *(f"  {line}" for line in lines), hint])
            raise KernelNotReadyError(str(error), hint=hint, **self._who()) from None
        except KernelDiedError as error:
            how = "" if error.exit_status is None else f": {error.exit_status.describe()}"
            message = f"The kernel ended before it answered{how}."
            raise KernelStartError(message, exit_status=error.exit_status, **self._who()) from error
        self._iopub.discard(lambda message: not message["parent_header"])

    async def _until_listening(self, timeout: float | None) -> float | None:
        """Return when the kernel answers and iopub delivers; at once if iopub has since the channels were started.

        Returns:
            The seconds that are left of the timeout.

        Raises:
            TimeoutError: not in that time.
            KernelDiedError: the kernel ended before.
        """
        if self._iopub.heard:
            return timeout
        if not self._iopub.is_alive():
            raise KernelStateError("The iopub channel is not running.", hint="Call start_channels() first.")
        loop = asyncio.get_running_loop()
        start = loop.time()
        asked: list[Exchange] = []
        try:
            await asyncio.wait_for(self._ask_until_listening(asked), timeout)
        except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
            raise TimeoutError(f"The kernel did not answer within {timeout:g} s.") from None
        finally:
            for exchange in asked:
                exchange.abandon()
        return None if timeout is None else max(0.0, timeout - (loop.time() - start))

    async def _ask_until_listening(self, asked: list[Exchange]) -> None:
        """Ask for a reply; then, as long as nothing has come on iopub, again.

        A subscription takes a moment to reach the kernel, and what the kernel publishes before that is lost.
        """
        loop = asyncio.get_running_loop()
        progress = asyncio.Event()
        replied = False

        def on_reply(_: Message) -> None:
            nonlocal replied
            replied = True
            progress.set()

        def ask() -> None:
            request = self._message(requests.kernel_info())
            hooks = {"on_output": lambda _: progress.set(), "on_reply": on_reply, "on_end": progress.set}
            asked.append(self._begin(request, "shell", **hooks))

        async def ask_until(reached: Callable[[], bool], pause: float) -> None:
            while True:
                deadline = loop.time() + pause
                while loop.time() < deadline:
                    for exchange in asked:
                        if exchange.done.done():
                            exchange.done.result()  # raises what ended it, if it was an error
                    if reached():
                        return
                    progress.clear()
                    timer = loop.call_at(deadline, progress.set)
                    try:
                        await progress.wait()
                    finally:
                        timer.cancel()
                if not replied and self._kernel is not None:
                    await self._kernel.waited_in_vain()
                ask()
                pause = min(pause * 2, _SLOWEST)

        ask()
        await ask_until(lambda: replied, _FIRST_REPLY)
        await ask_until(lambda: self._iopub.heard, _FIRST_LOOK)
