"""A figure: what was measured on both sides, and the bound that it has to keep."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Bound", "Figure", "Samples", "best", "differences", "in_turn", "median", "seconds"]

Samples = Mapping[str, Sequence[float]]
"""What each side took, by its name; the n-th of every side were taken in the same turn."""


@dataclass(frozen=True)
class Bound:
    """What a figure may be at most.

    Attributes:
        limit: the largest value that is good.
        of: "ratio", or "ours": then the limit is in the figure's unit.
    """

    limit: float
    of: str = "ratio"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what was measured.
        ours: kernelyard's median.
        theirs: jupyter_client's median.
        floor: the least that it could be, or None if nobody knows.
        best: kernelyard's best, where the bound is a time: a busy machine does not change it much.
        unit: of the three.
        bound: what has to be kept, or None if the figure is there to be known.
    """

    name: str
    ours: float
    theirs: float | None = None
    floor: float | None = None
    best: float | None = None
    unit: str = "ms"
    bound: Bound | None = None

    @property
    def ratio(self) -> float | None:
        """Ours in terms of theirs."""
        return None if not self.theirs else self.ours / self.theirs

    @property
    def ok(self) -> bool | None:
        """Whether the bound is kept, or None without one."""
        if self.bound is None:
            return None
        value = self.ours if self.bound.of == "ours" else self.ratio
        return value is not None and value <= self.bound.limit

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold."""
        return {**asdict(self), "ratio": self.ratio, "ok": self.ok}


def seconds(function: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turn(sides: Mapping[str, Callable[[], float]], pairs: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Let each side measure once in every turn, each turn beginning with another one.

    What the machine does meanwhile, and what drifts, then meets all sides alike.

    Args:
        sides: by name, what measures once and returns the value.
        pairs: how many turns.
        warm_up: turns before that, which do not count.
    """
    names = list(sides)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-warm_up, pairs):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            value = sides[name]()
            if turn >= 0:
                samples[name].append(value)
    return samples


def median(samples: Samples, side: str, scale: float = 1000.0) -> float:
    """Return the median of one side; the scale makes milliseconds of seconds."""
    return statistics.median(samples[side]) * scale


def best(samples: Samples, side: str, scale: float = 1000.0) -> float:
    """Return the smallest value of one side."""
    return min(samples[side]) * scale


def differences(samples: Samples, side: str, floor: str, scale: float = 1000.0) -> float:
    """Return the median of what one side took above the floor in the same turn: noise that both have goes away."""
    return scale * statistics.median(a - b for a, b in zip(samples[side], samples[floor], strict=True))
