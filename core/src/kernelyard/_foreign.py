"""A kernel that somebody else started, known by its connection only: what can be done to it goes over its channels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from kernelyard._lifecycle import Lifecycle
from kernelyard.errors import KernelNotOwnedError, KernelNotReadyError
from kernelyard.types import LaunchRequest

if TYPE_CHECKING:
    from kernelyard._plugins import Relay
    from kernelyard.wire.client import AsyncKernelClient

__all__ = ["ForeignKernel"]

#: Seconds without a heartbeat after which a kernel that was asked to end counts as gone.
HEARTBEAT_PATIENCE = 0.2

_OWNERS_PART = "Ask the program that started it, or start a kernel of your own with another manager."


class ForeignKernel(Lifecycle):
    """The operations of `Lifecycle` on a kernel that has another owner.

    Interrupt and shutdown go over the control channel, liveness is asked of the heartbeat; what only an owner can do
    is refused with `KernelNotOwnedError`.
    """

    is_foreign = True

    def check_startable(self) -> None:
        """Refuse: this manager is for a kernel that runs already."""
        raise self._refusal("start")

    async def start(
        self,
        prepare: Callable[[], Awaitable[tuple[Relay, LaunchRequest]]],  # noqa: ARG002 - the owner's signature
    ) -> None:
        """Refuse: this manager is for a kernel that runs already."""
        raise self._refusal("start")

    def check_restartable(self) -> None:
        """Refuse: only who started a kernel knows how to start it again."""
        raise self._refusal("restart")

    async def restart(
        self,
        relay: Relay | None = None,  # noqa: ARG002 - the owner's signature
        request: LaunchRequest | None = None,  # noqa: ARG002 - the owner's signature
        *,
        now: bool,  # noqa: ARG002 - the owner's signature
        new_ports: bool,  # noqa: ARG002 - the owner's signature
    ) -> None:
        """Refuse: only who started a kernel knows how to start it again."""
        raise self._refusal("restart")

    async def signal(self, signum: int) -> None:
        """Refuse: there is no way but the channels to this kernel."""
        raise self._refusal(f"send signal {signum} to")

    async def interrupt(self) -> None:
        """Ask the kernel over its control channel to interrupt what it runs, and wait for its answer."""
        await self._ask("interrupt", lambda client: client.interrupt(reply=True, timeout=self._patience))

    async def shutdown(self, *, now: bool, restart: bool = False) -> None:  # noqa: ARG002 - the owner's signature
        """Ask the kernel over its control channel to end, and wait until its heartbeat stops."""
        if not await self.is_alive():
            return
        await self._ask(
            "shut down", lambda client: client.shutdown(restart=restart, reply=True, timeout=self._patience)
        )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while await self.is_alive(HEARTBEAT_PATIENCE):
            if loop.time() > deadline:
                raise KernelNotReadyError(
                    f"The kernel agreed to end, and still runs after {self._patience} s.", hint=_OWNERS_PART
                )

    async def request_shutdown(self, *, restart: bool) -> None:
        """Ask the kernel over its control channel to end, and wait for its answer."""
        await self.shutdown(now=False, restart=restart)

    async def finish_shutdown(self, wait_time: float, *, restart: bool) -> None:
        """Do nothing: it is not ours to end by force."""

    async def cleanup(self, *, restart: bool) -> None:
        """Do nothing: the connection file is its owner's."""

    async def is_alive(self, patience: float = 1.0) -> bool:
        """Return whether the kernel answers on its heartbeat channel within so many seconds."""
        client = self._owner.control_client()
        client.start_channels(shell=False, iopub=False, stdin=False, control=False, hb=True)
        try:
            return await client.hb_channel.beat(patience)
        finally:
            client.stop_channels()

    @property
    def _patience(self) -> float:
        return self._owner.shutdown_wait_time

    async def _ask(self, doing: str, request: Callable[[AsyncKernelClient], Any]) -> None:
        # A client for each request: whoever uses this manager may do so on another event loop each time.
        client = self._owner.control_client()
        client.start_channels(shell=False, iopub=False, stdin=False, hb=False, control=True)
        try:
            await request(client)
        except TimeoutError as error:
            raise KernelNotReadyError(
                f"Cannot {doing} the kernel: it did not answer on its control channel within {self._patience} s.",
                hint="It may have ended, be stuck, or not know this request.",
            ) from error
        finally:
            client.stop_channels()

    def _refusal(self, doing: str) -> KernelNotOwnedError:
        return KernelNotOwnedError(f"Cannot {doing} the kernel: another program owns it.", hint=_OWNERS_PART)
