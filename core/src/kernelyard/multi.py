"""The manager of many kernels, for asyncio programs."""

from __future__ import annotations

import asyncio
from typing import Any

from traitlets import Bool

from kernelyard._multi_traits import MultiTraits
from kernelyard.manager import AsyncKernelManager

__all__ = ["AsyncMultiKernelManager"]


class AsyncMultiKernelManager(MultiTraits[AsyncKernelManager]):
    """Starts, watches, restarts and ends many kernels, each known by its id."""

    _manager_class = "kernelyard.AsyncKernelManager"

    use_pending_kernels = Bool(
        default_value=False,
        help="Whether start_kernel returns the id at once, and shutdown_kernel does not wait for the kernel's end: "
        "the manager's `ready` future tells how it went.",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pending_kernels: dict[str, asyncio.Task[None]] = {}

    async def start_kernel(self, *, kernel_name: str | None = None, **kwargs: Any) -> str:
        """Start a kernel.

        Args:
            kernel_name: the kernelspec; None = `default_kernel_name`.
            **kwargs: as for `AsyncKernelManager.start_kernel`.

        Returns:
            The new kernel's id.

        Raises:
            KernelyardError: it could not be started, and why; nothing is left of it.
            DuplicateKernelError: there is a kernel of the `kernel_id` that was given.
        """
        manager, _, kernel_id = self.pre_start_kernel(kernel_name, kwargs)
        if self.use_pending_kernels:
            manager.begin()  # so that `ready` is there, and pending, from now on
            self._kernels[kernel_id] = manager
            self._pend(kernel_id, self._start_pending(manager, kwargs))
            return kernel_id
        self._starting[kernel_id] = manager
        try:
            await manager.start_kernel(**kwargs)
        finally:
            del self._starting[kernel_id]
        self._kernels[kernel_id] = manager
        return kernel_id

    async def shutdown_kernel(self, kernel_id: str, now: bool = False, restart: bool = False) -> None:
        """End a kernel and take it off the list. A start that is under way is cancelled.

        Args:
            kernel_id: the kernel's id.
            now: whether to kill it at once.
            restart: whether the caller will start another in its place: then it stays on the list.

        Raises:
            KeyError: there is none of that id.
        """
        manager = self.get_kernel(kernel_id)
        stopping = self._shut_down(kernel_id, manager, now=now, restart=restart)
        if self.use_pending_kernels and not manager.is_idle:
            self._pend(kernel_id, stopping)
        else:
            await stopping

    async def shutdown_all(self, now: bool = False) -> None:
        """End all kernels, at the same time, also those that are being started.

        Args:
            now: whether to kill them at once.

        Raises:
            KernelyardError: one could not be ended; all others are by then.
        """
        # Kernels of other programs are not ours to end.
        owned = {i: m for i, m in {**self._starting, **self._kernels}.items() if m.owns_kernel}
        ends = [
            self._shut_down(kernel_id, manager, now=now, restart=False)
            for kernel_id, manager in owned.items()
        ]
        results = await asyncio.gather(*ends, return_exceptions=True)
        for kernel_id in [i for i, m in self._kernels.items() if not m.owns_kernel]:
            del self._kernels[kernel_id]
        self._external.clear()
        pending = list(self._pending_kernels.values())
        if pending:
            await asyncio.wait(pending)
        errors = [result for result in results if isinstance(result, BaseException)]
        for error in errors[1:]:
            self.log.error("shutdown_all: %s", error)
        if errors:
            raise errors[0]

    async def restart_kernel(self, kernel_id: str, now: bool = False, **kwargs: Any) -> None:
        """End a kernel and start another in its place, under the same id.

        Args:
            kernel_id: the kernel's id.
            now: whether to kill the old one at once.
            **kwargs: as for `AsyncKernelManager.restart_kernel`.

        Raises:
            KeyError: there is none of that id.
        """
        await self.get_kernel(kernel_id).restart_kernel(now=now, **kwargs)

    async def kill_kernel(self, kernel_id: str) -> None:
        """Kill a kernel at once, and take it off the list.

        Args:
            kernel_id: the kernel's id.

        Raises:
            KeyError: there is none of that id.
        """
        await self.get_kernel(kernel_id).kill_kernel()
        self._kernels.pop(kernel_id, None)

    async def interrupt_kernel(self, kernel_id: str) -> None:
        """Interrupt what a kernel runs.

        Args:
            kernel_id: the kernel's id.

        Raises:
            KeyError: there is none of that id.
        """
        await self.get_kernel(kernel_id).interrupt_kernel()

    async def signal_kernel(self, kernel_id: str, signum: int) -> None:
        """Send a signal to a kernel and its children.

        Args:
            kernel_id: the kernel's id.
            signum: the signal's number.

        Raises:
            KeyError: there is none of that id.
        """
        await self.get_kernel(kernel_id).signal_kernel(signum)

    async def is_alive(self, kernel_id: str) -> bool:
        """Return whether a kernel's process runs now.

        Args:
            kernel_id: the kernel's id.

        Raises:
            KeyError: there is none of that id.
        """
        return await self.get_kernel(kernel_id).is_alive()

    async def request_shutdown(self, kernel_id: str, restart: bool = False) -> None:
        """Ask a kernel to end, and do not wait.

        Args:
            kernel_id: the kernel's id.
            restart: whether another will be started in its place.
        """
        await self.get_kernel(kernel_id).request_shutdown(restart=restart)

    async def finish_shutdown(
        self, kernel_id: str, waittime: float | None = None, pollinterval: float = 0.1, restart: bool = False
    ) -> None:
        """Wait for the end of a kernel that was asked to end, then end it by force.

        Args:
            kernel_id: the kernel's id.
            waittime: seconds to wait in all; by default the manager's `shutdown_wait_time`.
            pollinterval: has no effect.
            restart: whether another will be started in its place.
        """
        await self.get_kernel(kernel_id).finish_shutdown(waittime, pollinterval, restart)

    async def cleanup_resources(self, kernel_id: str, restart: bool = False) -> None:
        """Remove what is left of a kernel that has ended.

        Args:
            kernel_id: the kernel's id.
            restart: whether another will be started in its place.
        """
        await self.get_kernel(kernel_id).cleanup_resources(restart=restart)

    async def _shut_down(
        self, kernel_id: str, manager: AsyncKernelManager, *, now: bool, restart: bool
    ) -> None:
        await manager.shutdown_kernel(now=now, restart=restart)
        if not restart and self._kernels.get(kernel_id) is manager:
            del self._kernels[kernel_id]
            self._external.pop(kernel_id, None)

    async def _start_pending(self, manager: AsyncKernelManager, kwargs: dict[str, Any]) -> None:
        try:
            await manager.start_kernel(**kwargs)
        except BaseException as error:
            manager.end(
                error
            )  # one that the state machine never saw, such as a kernelspec that does not exist
            raise

    def _pend(self, kernel_id: str, operation: Any) -> None:
        """Run an operation in the background; its error is in the manager's `ready`, and is logged."""
        task = asyncio.get_running_loop().create_task(operation)
        self._pending_kernels[kernel_id] = task

        def done(task: asyncio.Task[None]) -> None:
            if self._pending_kernels.get(kernel_id) is task:
                del self._pending_kernels[kernel_id]
            if not task.cancelled() and (error := task.exception()) is not None:
                self.log.error("kernel %s: %s", kernel_id, error)

        task.add_done_callback(done)
