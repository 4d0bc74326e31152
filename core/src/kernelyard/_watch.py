"""Waiting for one kernel's end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from kernelyard.errors import KernelyardError
from kernelyard.types import ExitReason, ExitStatus, KernelHandle

if TYPE_CHECKING:
    from kernelyard._plugins import Relay

__all__ = ["Watch"]


class Watch:
    """The one task that awaits a kernel's end, and the future that all others await instead.

    Args:
        relay: the plugins in charge of the kernel.
        handle: the kernel, launched just now.
        place: completes what the provisioner says of the end by what only the core knows; called once.
        instead: asked first; if it says yes, another kernel runs in the place of this one, and nobody is told.
        after: called, and awaited, when the future is done; an error of ours that it raises is logged.
        log: where that is told.
    """

    def __init__(
        self,
        relay: Relay,
        handle: KernelHandle,
        place: Callable[[ExitStatus, float], ExitStatus],
        instead: Callable[[KernelHandle, ExitStatus], Awaitable[bool]],
        after: Callable[[KernelHandle, ExitStatus, float], Awaitable[None]],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._relay, self._handle, self._log = relay, handle, log
        self._place, self._instead, self._after = place, instead, after
        self._launched = time.monotonic()
        self._begin()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[ExitStatus | None] = loop.create_future()
        self._task = loop.create_task(self._watch(self._ended), name="kernelyard watch")

    async def _watch(self, ended: asyncio.Future[ExitStatus | None]) -> None:
        try:
            status = await self._relay.wait(self._handle)
        except KernelyardError as error:
            self._log.exception("kernel %s cannot be watched any more", self._handle.kernel_id)
            status = ExitStatus(reason=ExitReason.LOST, hint=str(error))
        lived = time.monotonic() - self._launched
        status = self._place(status, lived)
        if await self._instead(self._handle, status):
            ended.set_result(None)
            return
        ended.set_result(status)
        try:
            await self._after(self._handle, status, lived)
        except KernelyardError:
            self._log.exception("kernel %s: what follows its end failed", self._handle.kernel_id)

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

    async def over(self) -> None:
        """Wait until all that follows from the kernel's end was done."""
        await asyncio.wait([self._task])

    def come_along(self) -> bool:
        """Go on on the loop that runs now, if the one before does not run any more; say whether it moved."""
        before = self.loop
        if self.has_ended or before is asyncio.get_running_loop() or before.is_running():
            return False
        if not before.is_closed():
            self._task.cancel()
        self._begin()
        return True
