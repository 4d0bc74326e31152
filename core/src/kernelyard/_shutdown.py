"""The shutdown ladder: what is done to end a kernel, step by step, as data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum

__all__ = ["Action", "Step", "descend", "ladder"]


class Action(str, Enum):
    """One way to end a kernel, from the gentlest to the last."""

    INTERRUPT = "interrupt"
    REQUEST = "request"
    TERMINATE = "terminate"
    KILL = "kill"


@dataclass(frozen=True)
class Step:
    """One rung.

    Attributes:
        action: what is done.
        wait: seconds to wait for the kernel's end before the next rung; 0 = go on at once.
    """

    action: Action
    wait: float


def ladder(wait_time: float, *, now: bool) -> tuple[Step, ...]:
    """Return the rungs of a shutdown.

    Args:
        wait_time: seconds that the kernel has in all, half of it after the request and half after SIGTERM.
        now: whether to kill the kernel at once.
    """
    if now:
        return (Step(Action.KILL, 0),)
    return (
        Step(Action.INTERRUPT, 0),
        Step(Action.REQUEST, wait_time / 2),
        Step(Action.TERMINATE, wait_time / 2),
        Step(Action.KILL, 0),
    )


async def descend(
    steps: Sequence[Step],
    act: Callable[[Action], Awaitable[None]],
    has_ended: Callable[[float], Awaitable[bool]],
) -> Action | None:
    """Take the steps one after the other until the kernel has ended.

    Args:
        steps: the rungs; the last one must be one that no kernel survives.
        act: does an action.
        has_ended: waits up to so many seconds for the kernel's end, and says whether it came.

    Returns:
        The action after which it ended, or None if it had ended before.
    """
    done: Action | None = None
    for step in steps:
        if await has_ended(0):
            return done
        await act(step.action)
        done = step.action
        if step.wait > 0 and await has_ended(step.wait):
            return done
    return done
