"""The signals with which people and systems end a command, as something to wait for."""

from __future__ import annotations

import asyncio
import signal
from types import FrameType
from typing import Any

__all__ = ["Signals"]

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Signals:
    """Collects SIGINT, SIGTERM and SIGHUP while it is open, on the running loop.

    Those that the caller of this program had switched off (`nohup`, `command &` in a script) stay switched off.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[int] = asyncio.Queue()
        self._on_loop: list[int] = []
        self._replaced: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        wanted = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
        for signum in wanted:
            if signal.getsignal(signum) is signal.SIG_IGN:
                continue
            try:
                self._loop.add_signal_handler(signum, self._arrived.put_nowait, signum)
                self._on_loop.append(signum)
            except NotImplementedError:  # an event loop without them, as on Windows
                self._replaced[signum] = signal.signal(signum, self._in_handler)
        return self

    def __exit__(self, *_: object) -> None:
        for signum in self._on_loop:
            self._loop.remove_signal_handler(signum)
        for signum, handler in self._replaced.items():
            signal.signal(signum, handler)

    def _in_handler(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's signature
        self._loop.call_soon_threadsafe(self._arrived.put_nowait, signum)

    async def next(self, *, before: asyncio.Future[Any]) -> int | None:
        """Return the next signal, or None as soon as `before` is done."""
        arrival = asyncio.ensure_future(self._arrived.get())
        try:
            await asyncio.wait({arrival, before}, return_when=asyncio.FIRST_COMPLETED)
            return arrival.result() if arrival.done() else None
        finally:
            arrival.cancel()
