"""Waiting for one kernel's end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from kernelyard.errors import KernelyardError, UnknownHandleError
from kernelyard.types import ExitReason, ExitStatus, KernelHandle

if TYPE_CHECKING:
    from kernelyard._plugins import Relay

__all__ = ["Watch"]

#: Seconds for which a place may refuse to tell about a kernel before that counts as lost.
PATIENCE = 60.0
#: Seconds between two tries: first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Watch:
    """The one task that awaits a kernel's end, and the future that all others await instead.

    Args:
        relay: the plugins in charge of the kernel.
        handle: the kernel, launched just now.
        place: completes what the provisioner says of the end by what only the core knows; called once.
        instead: asked first; if it says yes, another kernel runs in the place of this one, and nobody is told.
        tell: called, and awaited, when the future is done: tells the observers.
        after: called, and awaited, after that; an error of ours that it raises is logged.
        log: where that is told.
    """

    def __init__(
        self,
        relay: Relay,
        handle: KernelHandle,
        place: Callable[[KernelHandle, ExitStatus, float], ExitStatus],
        instead: Callable[[KernelHandle, ExitStatus], Awaitable[bool]],
        tell: Callable[[KernelHandle, ExitStatus], Awaitable[None]],
        after: Callable[[KernelHandle, ExitStatus, float], Awaitable[None]],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._relay, self._handle, self._log = relay, handle, log
        self._place, self._instead, self._tell, self._after = place, instead, tell, after
        self._launched = time.monotonic()
        self._begin()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[ExitStatus | None] = loop.create_future()
        self._told: asyncio.Future[None] = loop.create_future()
        self._task = loop.create_task(self._watch(self._ended), name="kernelyard watch")

    async def _watch(self, ended: asyncio.Future[ExitStatus | None]) -> None:
        status = await self._end()
        lived = time.monotonic() - self._launched
        status = self._place(self._handle, status, lived)
        if await self._instead(self._handle, status):
            ended.set_result(None)
            return
        ended.set_result(status)
        await self._tell(self._handle, status)
        self._told.set_result(None)
        try:
            await self._after(self._handle, status, lived)
        except KernelyardError:
            self._log.exception("kernel %s: what follows its end failed", self._handle.kernel_id)

    async def _end(self) -> ExitStatus:
        """Wait for the kernel's end. A place that cannot be asked for a while is no end of the kernel's."""
        failed_since: float | None = None
        pause = FIRST_PAUSE
        while True:
            asked = time.monotonic()
            try:
                return await self._relay.wait(self._handle)
            except KernelyardError as error:
                now = time.monotonic()
                if failed_since is None or now - asked > LONGEST_PAUSE:  # it could be asked in between
                    failed_since, pause = now, FIRST_PAUSE
                if isinstance(error, UnknownHandleError) or now - failed_since > PATIENCE:
                    self._log.exception("kernel %s cannot be watched any more", self._handle.kernel_id)
                    return ExitStatus(reason=ExitReason.LOST, hint=str(error))
                self._log.warning("kernel %s cannot be watched just now: %s", self._handle.kernel_id, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the kernel is watched on."""
        return self._task.get_loop()

    @property
    def has_ended(self) -> bool:
        """Whether the kernel is known to have ended."""
        return self._ended.done()

    @property
    def is_over(self) -> bool:
        """Whether the kernel has ended, and all that follows from it was done."""
        return self._task.done()

    async def status(self) -> ExitStatus | None:
        """Return how the kernel ended, as soon as it has; None if another was started instead, unnoticed."""
        return await asyncio.shield(self._ended)

    async def ends_within(self, seconds: float) -> bool:
        """Wait up to so many seconds for the kernel's end, and say whether it came; 0 = do not wait."""
        if not self._ended.done() and seconds > 0:
            await asyncio.wait([self._ended], timeout=seconds)
        return self._ended.done()

    async def told(self) -> None:
        """If the kernel has ended, wait until its observers were told."""
        if self.has_ended and not self._told.done():
            await asyncio.wait([self._told])

    def come_along(self) -> bool:
        """Go on on the loop that runs now, if the one before does not run any more; say whether it moved."""
        before = self.loop
        if self.has_ended or before is asyncio.get_running_loop() or before.is_running():
            return False
        if not before.is_closed():
            self._task.cancel()
        self._begin()
        return True
