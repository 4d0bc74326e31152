"""The managers and helpers for programs without an event loop: thin facades over the same state machine.

They may be called from any thread, also from one in which an asyncio loop runs. The state machine lives on
kernelyard's background loop; see `kernelyard._portal`.
"""

from __future__ import annotations

import concurrent.futures
import threading
import weakref
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

from kernelyard._manager_traits import Future, ManagerTraits
from kernelyard._multi_traits import MultiTraits
from kernelyard._portal import Portal
from kernelyard.manager import AsyncKernelManager
from kernelyard.multi import AsyncMultiKernelManager
from kernelyard.types import LaunchRequest

if TYPE_CHECKING:
    from kernelyard._blocking_client import BlockingKernelClient
    from kernelyard._plugins import Relay

__all__ = ["KernelManager", "MultiKernelManager", "run_kernel", "start_new_kernel"]

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def _documented_by(original: Callable[..., Any]) -> Callable[[F], F]:
    """Give a facade's method the docstring of the method that it calls."""

    def copy(method: F) -> F:
        method.__doc__ = original.__doc__
        return method

    return copy


class KernelManager(ManagerTraits):
    """Starts, watches, restarts and ends one kernel.

    Everything it raises is a `kernelyard.errors.KernelyardError`, or a TypeError for an argument that does not exist.
    """

    _client_class = "kernelyard.BlockingKernelClient"
    _clients_share_loop = True

    def __init__(self, **kwargs: Any) -> None:
        self._lease_lock = threading.Lock()
        self._lease: Portal | None = None
        self._lease_ends: weakref.finalize[..., Any] | None = None
        self._calls = 0
        super().__init__(**kwargs)

    @_documented_by(AsyncKernelManager.start_kernel)
    def start_kernel(self, **kwargs: Any) -> None:
        self._kernel.check_startable()
        cmd, kwargs = self.pre_start_kernel(**kwargs)
        relay, launch = self._launch(cmd, kwargs)

        async def prepare() -> tuple[Relay, LaunchRequest]:
            return relay, launch.request

        self._call(self._kernel.start, prepare)
        self.post_start_kernel(**kwargs)

    @_documented_by(AsyncKernelManager.pre_start_kernel)
    def pre_start_kernel(self, **kwargs: Any) -> tuple[list[str], dict[str, Any]]:
        return self._prepare(kwargs)

    @_documented_by(AsyncKernelManager.post_start_kernel)
    def post_start_kernel(self, **kwargs: Any) -> None: ...

    @_documented_by(AsyncKernelManager.wait_for_ready)
    def wait_for_ready(self, timeout: float | None = 60) -> None:
        self._call(AsyncKernelManager.wait_for_ready, self, timeout)  # type: ignore[arg-type]  # it uses ManagerTraits only

    @_documented_by(AsyncKernelManager.shutdown_kernel)
    def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:
        self._call(self._kernel.shutdown, now=now, restart=restart)

    @_documented_by(AsyncKernelManager.restart_kernel)
    def restart_kernel(self, now: bool = False, newports: bool = False, **kwargs: Any) -> None:
        self._kernel.check_restartable()
        self._call(self._kernel.restart, *self._changed(kwargs), now=now, new_ports=newports)

    @_documented_by(AsyncKernelManager.kill_kernel)
    def kill_kernel(self) -> None:
        self._call(self._kernel.shutdown, now=True)

    @_documented_by(AsyncKernelManager.interrupt_kernel)
    def interrupt_kernel(self) -> None:
        self._call(self._kernel.interrupt)

    @_documented_by(AsyncKernelManager.signal_kernel)
    def signal_kernel(self, signum: int) -> None:
        self._call(self._kernel.signal, signum)

    @_documented_by(AsyncKernelManager.is_alive)
    def is_alive(self) -> bool:
        if self._kernel.handle is None and not self._kernel.is_foreign:
            return False
        return self._call(self._kernel.is_alive)

    @_documented_by(AsyncKernelManager.request_shutdown)
    def request_shutdown(self, restart: bool = False) -> None:
        self._call(self._kernel.request_shutdown, restart=restart)

    @_documented_by(AsyncKernelManager.finish_shutdown)
    def finish_shutdown(
        self,
        waittime: float | None = None,
        pollinterval: float = 0.1,  # noqa: ARG002 - jupyter_client's; here the end is an event
        restart: bool = False,
    ) -> None:
        wait_time = self.shutdown_wait_time if waittime is None else waittime
        self._call(self._kernel.finish_shutdown, wait_time, restart=restart)

    @_documented_by(AsyncKernelManager.cleanup_resources)
    def cleanup_resources(self, restart: bool = False) -> None:
        self._call(self._kernel.cleanup, restart=restart)

    @_documented_by(AsyncKernelManager.client)
    def client(self, **kwargs: Any) -> BlockingKernelClient:
        client: BlockingKernelClient = self._make_client(self.client_factory, kwargs)
        return client

    def _call(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one of the state machine's operations on the background loop.

        The lease on the loop is held as long as there is a kernel to watch or a call under way.
        """
        with self._lease_lock:
            if self._lease is None:
                self._lease = Portal()
                self._lease_ends = weakref.finalize(self, self._lease.close)
            portal = self._lease
            self._calls += 1
        try:
            return portal.call(function, *args, **kwargs)
        finally:
            with self._lease_lock:
                self._calls -= 1
                idle = self._calls == 0 and self._kernel.is_settled
                ends = self._lease_ends
                if idle:
                    self._lease = self._lease_ends = None
            if idle and ends is not None:
                ends()

    def _new_future(self) -> Future:
        return concurrent.futures.Future()

    async def call_back(self, event: str) -> None:
        """Run the callbacks of an event in a thread, where they may call this manager; what one raises is logged."""
        from kernelyard.wire.interactive import in_daemon_thread

        for callback in list(self._callbacks[event]):
            try:
                await in_daemon_thread(callback)
            except Exception:  # a callback may raise anything, and must not stop a kernel
                self.log.exception("a callback for %r failed", event)


class MultiKernelManager(MultiTraits[KernelManager]):
    """Starts, watches, restarts and ends many kernels, each known by its id."""

    _manager_class = "kernelyard.KernelManager"

    @_documented_by(AsyncMultiKernelManager.start_kernel)
    def start_kernel(self, *, kernel_name: str | None = None, **kwargs: Any) -> str:
        manager, _, kernel_id = self.pre_start_kernel(kernel_name, kwargs)
        self._starting[kernel_id] = manager
        try:
            manager.start_kernel(**kwargs)
        finally:
            del self._starting[kernel_id]
        self._kernels[kernel_id] = manager
        return kernel_id

    @_documented_by(AsyncMultiKernelManager.shutdown_kernel)
    def shutdown_kernel(self, kernel_id: str, now: bool = False, restart: bool = False) -> None:
        manager = self.get_kernel(kernel_id)
        manager.shutdown_kernel(now=now, restart=restart)
        if not restart and self._kernels.get(kernel_id) is manager:
            del self._kernels[kernel_id]
            self._external.pop(kernel_id, None)

    @_documented_by(AsyncMultiKernelManager.shutdown_all)
    def shutdown_all(self, now: bool = False) -> None:
        for starting in list(self._starting.values()):
            starting.shutdown_kernel(now=now)
        owned = [kernel_id for kernel_id, manager in self._kernels.items() if manager.owns_kernel]
        errors: list[Exception] = []
        if owned:
            with concurrent.futures.ThreadPoolExecutor(min(len(owned), 32)) as pool:
                for end in [pool.submit(self.shutdown_kernel, kernel_id, now=now) for kernel_id in owned]:
                    try:
                        end.result()
                    except Exception as error:  # noqa: BLE001 - raised below, when the others have ended too
                        errors.append(error)
        for kernel_id in [i for i, m in self._kernels.items() if not m.owns_kernel]:
            del self._kernels[kernel_id]
        self._external.clear()
        for other in errors[1:]:
            self.log.error("shutdown_all: %s", other)
        if errors:
            raise errors[0]

    @_documented_by(AsyncMultiKernelManager.restart_kernel)
    def restart_kernel(self, kernel_id: str, now: bool = False, **kwargs: Any) -> None:
        self.get_kernel(kernel_id).restart_kernel(now=now, **kwargs)

    @_documented_by(AsyncMultiKernelManager.kill_kernel)
    def kill_kernel(self, kernel_id: str) -> None:
        self.get_kernel(kernel_id).kill_kernel()
        self._kernels.pop(kernel_id, None)

    @_documented_by(AsyncMultiKernelManager.interrupt_kernel)
    def interrupt_kernel(self, kernel_id: str) -> None:
        self.get_kernel(kernel_id).interrupt_kernel()

    @_documented_by(AsyncMultiKernelManager.signal_kernel)
    def signal_kernel(self, kernel_id: str, signum: int) -> None:
        self.get_kernel(kernel_id).signal_kernel(signum)

    @_documented_by(AsyncMultiKernelManager.is_alive)
    def is_alive(self, kernel_id: str) -> bool:
        return self.get_kernel(kernel_id).is_alive()

    @_documented_by(AsyncMultiKernelManager.request_shutdown)
    def request_shutdown(self, kernel_id: str, restart: bool = False) -> None:
        self.get_kernel(kernel_id).request_shutdown(restart=restart)

    @_documented_by(AsyncMultiKernelManager.finish_shutdown)
    def finish_shutdown(
        self, kernel_id: str, waittime: float | None = None, pollinterval: float = 0.1, restart: bool = False
    ) -> None:
        self.get_kernel(kernel_id).finish_shutdown(waittime, pollinterval, restart)

    @_documented_by(AsyncMultiKernelManager.cleanup_resources)
    def cleanup_resources(self, kernel_id: str, restart: bool = False) -> None:
        self.get_kernel(kernel_id).cleanup_resources(restart=restart)


def start_new_kernel(
    startup_timeout: float = 60, kernel_name: str = "python3", **kwargs: Any
) -> tuple[KernelManager, BlockingKernelClient]:
    """Start a kernel and return its manager and a client that it answers to.

    Args:
        startup_timeout: seconds that it has to answer.
        kernel_name: the kernelspec.
        **kwargs: as for `KernelManager.start_kernel`.

    Raises:
        KernelyardError: it could not be started or did not answer; nothing is left of it.
    """
    manager = KernelManager(kernel_name=kernel_name)
    manager.start_kernel(**kwargs)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=startup_timeout)
    except BaseException:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        raise
    return manager, client


@overload
def run_kernel(
    *, in_process: Literal[False] = False, connection_file: None = None, **kwargs: Any
) -> AbstractContextManager[BlockingKernelClient]: ...


@overload
def run_kernel(*, in_process: Literal[True], connection_file: str | None = None) -> None: ...


def run_kernel(
    *, in_process: bool = False, connection_file: str | None = None, **kwargs: Any
) -> AbstractContextManager[BlockingKernelClient] | None:
    """Run a kernel for the length of a `with` block, or a Python kernel in this process.

    Args:
        in_process: False: start a kernel, to be used as ``with run_kernel() as client:``; it is killed at the end of
            the block. True: run a Python kernel in this process and its main thread, and return None when a client
            has shut it down.
        connection_file: with `in_process`, where to write the connection file; by default ipykernel decides.
        **kwargs: without `in_process`, as for `start_new_kernel`.

    Raises:
        KernelyardError: the kernel could not be started or did not answer; nothing is left of it.
        LaunchError: with `in_process`, ipykernel is not installed.
        TypeError: arguments of one way given with the other.
    """
    if in_process:
        if kwargs:
            raise TypeError(
                f"run_kernel(in_process=True) takes only connection_file, got {', '.join(kwargs)}"
            )
        from kernelyard._in_process import run_in_process

        run_in_process(connection_file)
        return None
    if connection_file is not None:
        raise TypeError("run_kernel() takes connection_file only with in_process=True")
    return _running(**kwargs)


@contextmanager
def _running(**kwargs: Any) -> Generator[BlockingKernelClient, None, None]:
    manager, client = start_new_kernel(**kwargs)
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
