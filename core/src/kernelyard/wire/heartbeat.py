"""The heartbeat channel: asks, when somebody wants to know, whether the kernel's process answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import zmq

from kernelyard.types import Channel
from kernelyard.wire.sockets import LoopSocket

__all__ = ["HeartbeatChannel"]


class HeartbeatChannel:
    """Pings the kernel on demand. With nobody asking it costs nothing.

    Args:
        connect: makes the channel's socket.

    Attributes:
        time_to_dead: seconds after which a kernel that does not answer counts as dead.
    """

    def __init__(self, connect: Callable[[Channel], zmq.Socket[bytes]]) -> None:
        self.time_to_dead = 1.0
        self._connect = connect
        self._watched: LoopSocket | None = None
        self._paused = False
        self._asked: float | None = None  # when the ping was sent that has no answer yet
        self._answered: float | None = None  # when the last answer came
        self._waiters: set[asyncio.Future[bool]] = set()

    @property
    def socket(self) -> zmq.Socket[bytes] | None:
        """The ZeroMQ socket, or None while the channel is stopped."""
        return None if self._watched is None else self._watched.socket

    def start(self) -> None:
        """Connect. A channel that runs goes on as it is."""
        if self._watched is None:
            self._asked = self._answered = None
            self._watched = LoopSocket(self._connect("hb"), self._receive)

    def stop(self) -> None:
        """Disconnect. May be called twice."""
        if self._watched is not None:
            watched, self._watched = self._watched, None
            watched.close()
            self._answer(alive=False)

    close = stop

    def reopen(self) -> None:
        """Connect anew, to where the kernel is now."""
        if self._watched is not None:
            old, self._watched = self._watched, None
            old.close()
            self.start()
            if self._waiters:
                self._ping()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that the channel runs on, or None while it is stopped."""
        return None if self._watched is None else self._watched.loop

    def is_alive(self) -> bool:
        """Return whether the channel runs; for the kernel, ask `is_beating` or `beat`."""
        return self._watched is not None

    def pause(self) -> None:
        """Let `is_beating` say no until `unpause`, as programs expect that pause the heartbeat."""
        self._paused = True

    def unpause(self) -> None:
        """Undo `pause`."""
        self._paused = False

    def is_beating(self) -> bool:
        """Return whether the kernel answered the last ping, without waiting.

        A kernel that has not been asked yet is believed to live until a ping stays unanswered for `time_to_dead`.
        If the last answer is older than that, a new ping goes out, for the next time.
        """
        if self._watched is None or self._paused:
            return False
        self._receive()
        now = self._watched.loop.time()
        if self._asked is not None:
            alive = now - self._asked < self.time_to_dead
            if not alive:
                self._ping(first=self._asked)  # the old one may have been lost with a kernel that is replaced
            return alive
        if self._answered is None or now - self._answered >= self.time_to_dead:
            self._ping()
        return True

    async def beat(self, timeout: float | None = None) -> bool:
        """Ping the kernel now, and return whether it answers.

        Args:
            timeout: seconds to wait; None = `time_to_dead`.
        """
        if self._watched is None:
            return False
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()
        self._waiters.add(answer)
        timer = loop.call_later(self.time_to_dead if timeout is None else timeout, _give_up, answer)
        try:
            self._ping(first=self._asked)
            return await answer
        finally:
            timer.cancel()
            self._waiters.discard(answer)

    def _ping(self, first: float | None = None) -> None:
        if self._watched is None:
            return
        self._asked = self._watched.loop.time() if first is None else first
        try:
            # The empty frame is what a REQ socket would send, for kernels that answer with a REP socket.
            self._watched.send([b"", b"ping"])
        except zmq.Again:
            return  # so many wait already that one more tells nothing

    def _receive(self) -> None:
        while self._watched is not None and self._watched.receive_frames() is not None:
            self._asked = None
            self._answered = self._watched.loop.time()
            self._answer(alive=True)

    def _answer(self, *, alive: bool) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(alive)


def _give_up(answer: asyncio.Future[bool]) -> None:
    if not answer.done():
        answer.set_result(False)
