"""What a kernel's state machine asks of the manager that owns it, and tells it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from kernelyard._supervise import Supervisor
from kernelyard.types import ConnectionInfo

if TYPE_CHECKING:
    from kernelyard.wire.client import AsyncKernelClient

__all__ = ["Owner"]


class Owner(Protocol):
    """A manager, as its kernel's state machine sees it.

    Attributes:
        log: where to tell what nobody is waiting for.
        shutdown_wait_time: seconds that a kernel has to end by itself.
        stable_start_time: seconds of life after which a kernel counts as started, even if no client of ours asked.
    """

    log: logging.Logger | logging.LoggerAdapter[Any]
    shutdown_wait_time: float
    stable_start_time: float

    def supervisor(self) -> Supervisor | None:
        """Return who decides about restarts after a death, or None if nobody does."""

    def begin(self) -> None:
        """Be told that an operation has begun: `ready` is a fresh future from now on."""

    def end(self, error: BaseException | None) -> None:
        """Be told that the operation has ended, and how."""

    def connected(self, connection: ConnectionInfo) -> None:
        """Be told where the channels are, after each launch."""

    def released(self) -> None:
        """Be told that nothing of the kernel is left."""

    def idle(self) -> None:
        """Be told that there is neither a kernel nor a client with open channels any more."""

    def control_client(self) -> AsyncKernelClient:
        """Return a new client of the kernel, whose channels are not started."""

    async def call_back(self, event: str) -> None:
        """Run the callbacks of an event, "restart" or "dead"."""
