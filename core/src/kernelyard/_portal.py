"""The background event loop on which the sync classes run the async ones.

One thread with one loop serves the whole process. It is started for the first lease and ends with the last, so a
program that has stopped its kernels and clients has no thread of ours left.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any, ParamSpec, TypeVar

__all__ = ["Portal"]

P = ParamSpec("P")
T = TypeVar("T")


class _LoopThread(threading.Thread):
    """A thread with an event loop, from `start` to `end`."""

    def __init__(self) -> None:
        super().__init__(name="kernelyard", daemon=True)
        self._running: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._ending = asyncio.Event()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop; waits until it runs."""
        return self._running.result()

    def run(self) -> None:
        try:
            # ZeroMQ's sockets need a loop that can watch descriptors; the default one of Windows cannot.
            new_loop = asyncio.SelectorEventLoop if sys.platform == "win32" else asyncio.new_event_loop
            loop = new_loop()
            try:
                loop.run_until_complete(self._serve())
            finally:
                _wind_up(loop)
        except BaseException as error:
            if self._running.done():
                raise
            self._running.set_exception(error)

    async def _serve(self) -> None:
        self._running.set_result(asyncio.get_running_loop())
        await self._ending.wait()

    def end(self) -> None:
        """Cancel what the loop still runs, and wait for the end of the thread."""
        self.loop.call_soon_threadsafe(self._ending.set)
        self.join()


def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what a loop still runs, let it clean up, and close the loop."""
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


class _Background:
    """The one loop of this process, and how many lease it."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector may close a lease while this thread holds it.
        self._lock = threading.RLock()
        self._thread: _LoopThread | None = None
        self._leases = 0

    def lease(self) -> _LoopThread:
        with self._lock:
            self._leases += 1
            try:
                if self._thread is None:
                    self._thread = _LoopThread()
                    self._thread.start()
            except BaseException:
                self._leases -= 1
                self._thread = None
                raise
            return self._thread

    def give_back(self) -> None:
        ended = None
        with self._lock:
            self._leases -= 1
            if self._leases == 0:
                ended, self._thread = self._thread, None
        if ended is not None:
            ended.end()


_background = _Background()
_leases: weakref.WeakSet[Portal] = weakref.WeakSet()


def _close_all() -> None:
    """Let the loop end in order when the program does: its ZeroMQ sockets would keep their context waiting."""
    for lease in list(_leases):
        lease.close()


@cache
def _close_all_at_exit() -> None:
    import zmq  # noqa: F401 - what is registered last runs first: before pyzmq closes its contexts under the loop

    atexit.register(_close_all)


def _forget_parents_loop() -> None:
    """A forked child has the parent's thread object, but not its thread."""
    global _background  # noqa: PLW0603 - the one loop of this process
    _background = _Background()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents_loop)


class Portal:
    """A lease on the background event loop.

    Any thread may use it, but the loop's own. Close it when the last object that lives on the loop is done with it.
    """

    def __init__(self) -> None:
        _close_all_at_exit()
        self._background = _background
        self._thread = self._background.lease()
        try:
            self.loop = self._thread.loop
        except BaseException:
            self._background.give_back()
            raise
        self._closing = threading.Lock()
        self._open = True
        _leases.add(self)

    def call(self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an async function on the loop, and return its result or raise its error.

        An exception that arrives in this thread while it waits (KeyboardInterrupt) cancels the function, and is
        raised when the function has cleaned up.

        Raises:
            RuntimeError: called from the loop's own thread, which would wait for itself for ever.
        """
        if self._background is not _background:
            raise RuntimeError(
                "This object belongs to the process that forked this one, where its event loop runs. Make a new one here."
            )
        if threading.get_ident() == self._thread.ident:
            name = getattr(function, "__qualname__", function)
            raise RuntimeError(
                f"{name}: a blocking call on kernelyard's own event loop (from a callback, probably) would wait for "
                "itself for ever. Use the async class there, or call it from another thread."
            )
        result: concurrent.futures.Future[T] = concurrent.futures.Future()
        tasks: list[asyncio.Task[T]] = []

        def start() -> None:
            tasks.append(self.loop.create_task(function(*args, **kwargs)))
            tasks[0].add_done_callback(finish)

        def finish(task: asyncio.Task[T]) -> None:
            if task.cancelled():
                result.set_exception(concurrent.futures.CancelledError())
            elif (error := task.exception()) is not None:
                result.set_exception(error)
            else:
                result.set_result(task.result())

        self.loop.call_soon_threadsafe(start)
        try:
            return result.result()
        except BaseException:
            if not result.done():
                # `start` was queued before, so there is a task by the time that this runs.
                self.loop.call_soon_threadsafe(lambda: tasks[0].cancel())  # noqa: PLW0108 - looked up then, not now
                concurrent.futures.wait([result])
            raise

    def close(self) -> None:
        """Give the lease back; the thread ends with the last one. May be called twice, and from any thread."""
        with self._closing:
            if not self._open:
                return
            self._open = False
        if self._background is not _background:
            return  # of the parent of this forked process
        if threading.get_ident() == self._thread.ident:
            # The garbage collector may run anywhere; the last lease waits for the loop's thread to end.
            threading.Thread(target=self._background.give_back, daemon=True).start()
        else:
            self._background.give_back()
