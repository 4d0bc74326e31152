"""The manager of one kernel, for asyncio programs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from typing import TYPE_CHECKING, Any

from kernelyard._manager_traits import Future, ManagerTraits
from kernelyard.types import LaunchRequest

if TYPE_CHECKING:
    import zmq

    from kernelyard._plugins import Relay
    from kernelyard.wire.client import AsyncKernelClient

__all__ = ["AsyncKernelManager", "start_new_async_kernel"]


class AsyncKernelManager(ManagerTraits):
    """Starts, watches, restarts and ends one kernel.

    Use it on one event loop. It starts no threads of its own, and never blocks the loop. Everything it raises is a
    `kernelyard.errors.KernelyardError`, or a TypeError for an argument that does not exist.
    """

    _client_class = "kernelyard.AsyncKernelClient"
    _clients_share_loop = False

    async def start_kernel(self, **kwargs: Any) -> None:
        """Start a kernel, and return when its process (container, pod) has been launched.

        If it fails or is cancelled, nothing is left of it.

        Args:
            **kwargs: `kernel_name` (str): the kernelspec. `cwd` (str): the directory to start in. `env` (dict): the
                whole environment; by default this process's. `extra_arguments` (list of str): appended to the
                command. `independent` (bool): whether it is meant to outlive this process. `stdout`, `stderr`: where
                its output goes; by default into a log that error messages quote. `kernel_id` (str).
                `transport_encryption` (str). `provisioner_config` (dict) and `resources` (dict): override the
                kernelspec's. Any other name must be a placeholder in the kernelspec's argv.

        Raises:
            NoSuchKernel: there is no such kernelspec.
            KernelSpecError: the kernelspec cannot be used.
            ProvisionerError: its provisioner is not installed, is broken, or refuses the settings.
            LaunchError: it could not be started, and why.
            KernelStateError: one runs already, or (KernelBusyError) another operation is under way.
        """
        prepared: dict[str, Any] = {}

        async def prepare() -> tuple[Relay, LaunchRequest]:
            cmd, left = await self.pre_start_kernel(**kwargs)
            prepared.update(left)
            relay, launch = self._launch(cmd, left)
            return relay, launch.request

        await self._kernel.start(prepare)
        await self.post_start_kernel(**prepared)

    async def pre_start_kernel(self, **kwargs: Any) -> tuple[list[str], dict[str, Any]]:
        """Prepare a start; a subclass may override it to change the command or the arguments.

        Args:
            **kwargs: what `start_kernel` was given.

        Returns:
            The command, with `{connection_file}` still to be filled in, and the arguments that are left.
        """
        return self._prepare(kwargs)

    async def post_start_kernel(self, **kwargs: Any) -> None:
        """Be called after a start; does nothing, for a subclass to override.

        Args:
            **kwargs: what `pre_start_kernel` returned.
        """

    async def wait_for_ready(self, timeout: float | None = 60) -> None:
        """Return when the kernel answers on its channels.

        Args:
            timeout: seconds to wait; None = no limit.

        Raises:
            KernelStartError: it ended first; the error says how, with its last lines.
            KernelNotReadyError: it runs, but did not answer in time.
        """
        client: AsyncKernelClient = self.control_client()
        client.start_channels(stdin=False, hb=False, control=False)
        try:
            await client.wait_for_ready(timeout)
        finally:
            client.stop_channels()

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:
        """End the kernel, and return as soon as it has ended and nothing is left of it.

        Asks it to interrupt what it runs and to end; after half of `shutdown_wait_time` sends SIGTERM, after all of
        it kills it. A start or restart that is under way is cancelled. Without a kernel it does nothing. Cancelling
        it kills the kernel.

        Args:
            now: whether to kill it at once.
            restart: whether the caller will start another in its place: the connection file is kept then.
        """
        await self._kernel.shutdown(now=now, restart=restart)

    async def restart_kernel(self, now: bool = False, newports: bool = False, **kwargs: Any) -> None:
        """End the kernel and start another in its place; the same clients go on with it.

        Cancelling it leaves no kernel: the old one has been asked to end by then.

        Args:
            now: whether to kill the old one at once.
            newports: whether to choose new ports; those that were configured stay.
            **kwargs: as for `start_kernel`; given ones replace those of the last start.

        Raises:
            KernelNotRunningError: it was never started.
            KernelBusyError: another operation is under way.
            LaunchError: the new one could not be started; nothing is left of either.
        """
        self._kernel.check_restartable()
        await self._kernel.restart(*self._changed(kwargs), now=now, new_ports=newports)

    async def kill_kernel(self) -> None:
        """Kill the kernel at once, whatever it or this manager is doing, and remove what is left of it."""
        await self._kernel.shutdown(now=True)

    async def interrupt_kernel(self) -> None:
        """Interrupt what the kernel runs: by SIGINT, or by a message if its kernelspec says so.

        Raises:
            KernelNotRunningError: there is no kernel.
            KernelBusyError: it is being started, restarted or stopped.
        """
        await self._kernel.interrupt()

    async def signal_kernel(self, signum: int) -> None:
        """Send a signal to the kernel and its children.

        Args:
            signum: the signal's number.

        Raises:
            KernelNotRunningError: there is no kernel.
            KernelBusyError: it is being started, restarted or stopped.
        """
        await self._kernel.signal(signum)

    async def is_alive(self) -> bool:
        """Return whether the kernel's process runs now; for one that somebody else owns, whether it answers."""
        return await self._kernel.is_alive()

    async def request_shutdown(self, restart: bool = False) -> None:
        """Ask the kernel to end, and do not wait: the first stage of a shutdown.

        Args:
            restart: whether another will be started in its place.
        """
        await self._kernel.request_shutdown(restart=restart)

    async def finish_shutdown(
        self,
        waittime: float | None = None,
        pollinterval: float = 0.1,  # noqa: ARG002 - jupyter_client's; here the end is an event
        restart: bool = False,
    ) -> None:
        """Wait for the end of a kernel that was asked to end, then end it by force: the second stage.

        Args:
            waittime: seconds to wait in all; by default `shutdown_wait_time`.
            pollinterval: has no effect: the end of the kernel is an event here.
            restart: whether another will be started in its place.
        """
        wait_time = self.shutdown_wait_time if waittime is None else waittime
        await self._kernel.finish_shutdown(wait_time, restart=restart)

    async def cleanup_resources(self, restart: bool = False) -> None:
        """Remove what is left of a kernel that has ended: the last stage.

        Args:
            restart: whether another will be started in its place.
        """
        await self._kernel.cleanup(restart=restart)

    def client(self, **kwargs: Any) -> AsyncKernelClient:
        """Return a new client of this kernel. Its channels are not started.

        Args:
            **kwargs: arguments of the client's class that replace what is known here.
        """
        client: AsyncKernelClient = self._make_client(self.client_factory, kwargs)
        return client

    def _new_future(self) -> Future:
        try:
            return asyncio.get_running_loop().create_future()
        except RuntimeError:  # no loop runs yet, as in jupyter_client
            return concurrent.futures.Future()

    async def call_back(self, event: str) -> None:
        """Run the callbacks of an event on the loop; what one raises is logged."""
        for callback in list(self._callbacks[event]):
            try:
                result = callback()
                if inspect.isawaitable(result):
                    await result
            except Exception:  # a callback may raise anything, and must not stop a kernel
                self.log.exception("a callback for %r failed", event)

    def _socket_context(self) -> zmq.Context[Any]:
        import zmq.asyncio

        return zmq.asyncio.Context(self.context)


async def start_new_async_kernel(
    startup_timeout: float = 60, kernel_name: str = "python3", **kwargs: Any
) -> tuple[AsyncKernelManager, AsyncKernelClient]:
    """Start a kernel and return its manager and a client that it answers to.

    Args:
        startup_timeout: seconds that it has to answer.
        kernel_name: the kernelspec.
        **kwargs: as for `AsyncKernelManager.start_kernel`.

    Raises:
        KernelyardError: it could not be started or did not answer; nothing is left of it.
    """
    manager = AsyncKernelManager(kernel_name=kernel_name)
    await manager.start_kernel(**kwargs)
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=startup_timeout)
    except BaseException:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
        raise
    return manager, client
