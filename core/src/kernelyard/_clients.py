"""The clients of one kernel: those that go where it goes, and the state machine's own."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from kernelyard.types import ConnectionInfo

if TYPE_CHECKING:
    from kernelyard.wire.client import AsyncKernelClient

__all__ = ["Clients"]


class Clients:
    """Who is connected to a kernel from here.

    Args:
        make: makes a new client whose channels are not started.
    """

    def __init__(self, make: Callable[[], AsyncKernelClient]) -> None:
        self._make = make
        self._known: weakref.WeakSet[AsyncKernelClient] = weakref.WeakSet()
        self._control: AsyncKernelClient | None = None

    def __len__(self) -> int:
        return len(self._known)

    def add(self, client: AsyncKernelClient) -> None:
        """Remember a client, to tell it where the kernel is after a restart."""
        self._known.add(client)

    def discard(self, client: AsyncKernelClient) -> None:
        """Forget a client."""
        self._known.discard(client)

    def renew(self) -> None:
        """The kernel has ended: what was on its way to it must not reach the next one on the same ports."""
        self.close_control()
        for client in list(self._known):
            client.renew()

    def follow(self, connection: ConnectionInfo) -> None:
        """The kernel is there now."""
        for client in list(self._known):
            client.follow(connection)

    def control(self) -> AsyncKernelClient:
        """Return the state machine's own client, with its control channel running."""
        if self._control is None:
            self._control = self._make()
            self._control.start_channels(shell=False, iopub=False, stdin=False, hb=False, control=True)
        return self._control

    def close_control(self) -> None:
        """Close the state machine's own client, without sending what it has not sent yet."""
        if self._control is not None:
            control, self._control = self._control, None
            control.abandon()
