"""Waiting for tasks that must not be left half done when the one who waits is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["finish", "to_its_end"]


async def to_its_end(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run something that must not be left half done: a cancellation is passed on when it is over."""
    task = asyncio.get_running_loop().create_task(coroutine)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            raise cancelled from failure
        raise cancelled
    task.result()


async def finish(task: asyncio.Task[None]) -> None:
    """Wait for a task. If this task is cancelled meanwhile, cancel that one, let it clean up, and pass it on."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            if cancelled is None:
                task.cancel()  # once: a second one would break into its cleaning up
            cancelled = error
    if cancelled is not None:
        raise cancelled
