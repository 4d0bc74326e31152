"""Limits of a plain process: what this machine can enforce, and what it counts."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from kernelyard.types import Resources

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # the absence of the module is what it stands for

__all__ = ["OomCounter", "limit", "not_enforced", "rlimits"]

_CAN_LIMIT = resource is not None and hasattr(resource, "prlimit")


def rlimits(wanted: Resources) -> dict[str, int]:
    """Return the limits that the kernel's process gets, by name, in bytes."""
    return {"RLIMIT_DATA": wanted.memory} if wanted.memory is not None and _CAN_LIMIT else {}


def not_enforced(wanted: Resources) -> list[str]:
    """Return the names of the resources that were asked for, and that a plain process cannot be held to."""
    asked = wanted.asked()
    if asked.get("network") == "default":
        del asked["network"]
    if rlimits(wanted):
        del asked["memory"]
    return sorted(asked)


def limit(pid: int, wanted: Resources) -> None:
    """Limit a process that was just started. Each of its children gets the same limits for itself.

    Raises:
        OSError: this process may not do that.
    """
    for name, amount in rlimits(wanted).items():
        with suppress(ProcessLookupError):  # it has ended already
            _, hard = resource.prlimit(pid, getattr(resource, name))
            amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)  # noqa: PLW2901 - clamped
            resource.prlimit(pid, getattr(resource, name), (amount, amount))


class OomCounter:
    """The system's count of the processes that it killed in one control group for lack of memory.

    Attributes:
        path: the file that has the count; empty if there is none.
        start: the count when the kernel started.
    """

    def __init__(self, path: str = "", start: int = 0) -> None:
        self.path = path
        self.start = start

    @classmethod
    def of_this_process(cls) -> OomCounter:
        """Return the counter of the control group in which this process and its children are."""
        for path in _counter_files():
            count = _count(path)
            if count is not None:
                return cls(str(path), count)
        return cls()

    def risen(self) -> int:
        """Return by how much the count has risen since the kernel started; 0 if that is not known."""
        count = _count(Path(self.path)) if self.path else None
        return 0 if count is None else max(0, count - self.start)


def _counter_files() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, controllers, group = line.split(":", 2)
            # In a container the group may be named as the host sees it, and be mounted as the root.
            if "memory" in controllers.split(","):
                base = root / "memory"
                return [base / group.lstrip("/") / "memory.oom_control", base / "memory.oom_control"]
            if number == "0" and not controllers and not (root / "memory").is_dir():
                return [root / group.lstrip("/") / "memory.events", root / "memory.events"]
    return []


def _count(path: Path) -> int | None:
    with suppress(OSError):
        found = re.search(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE)
        if found is not None:
            return int(found[1])
    return None
