"""What a client asks of the manager that owns its kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kernelyard.errors import Whose
from kernelyard.types import ConnectionInfo, ExitStatus

if TYPE_CHECKING:
    from kernelyard.wire.client import AsyncKernelClient

__all__ = ["KernelLink"]


class KernelLink(Protocol):
    """The way from a client to its kernel's manager. All of it runs on the event loop of both."""

    async def is_alive(self) -> bool:
        """Return whether the kernel runs."""

    async def wait_exit(self) -> ExitStatus:
        """Return how the kernel that runs now ends, when it does, for whatever reason; at once if none runs."""

    def current(self) -> ConnectionInfo | None:
        """Return where the kernel is now, or None if there is none."""

    def who(self) -> Whose:
        """Return `kernel_id` and `provisioner`, to be put into an error."""

    async def logs(self, tail: int) -> list[str]:
        """Return the last lines that the kernel printed, oldest first; none if that is not known."""

    async def waited_in_vain(self) -> None:
        """Be told, now and then, that a client still waits for a kernel's first answer."""

    def answered(self) -> None:
        """Be told that the kernel has answered. Cheap, and called more than once."""

    def register(self, client: AsyncKernelClient) -> None:
        """Be told of a client that wants `follow` called when the kernel moves. It is not kept alive by this."""

    def unregister(self, client: AsyncKernelClient) -> None:
        """Be told that a client has stopped its channels. May be called for one that is not registered."""
