"""The kernels that must not outlive this process, although nobody shut them down."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable

from kernelyard_local._process import ProcessId

__all__ = ["forget", "remember"]

_actions: dict[ProcessId, Callable[[], None]] = {}


def remember(process: ProcessId, action: Callable[[], None]) -> None:
    """Have `action` called when this process exits, unless `process` is forgotten before."""
    _actions[process] = action


def forget(process: ProcessId) -> None:
    """Drop what was remembered about `process`, if anything."""
    _actions.pop(process, None)


@atexit.register
def _end_all() -> None:
    while _actions:
        _actions.popitem()[1]()


if hasattr(os, "register_at_fork"):
    # A forked child exits too, and the kernels are not its own.
    os.register_at_fork(after_in_child=_actions.clear)
