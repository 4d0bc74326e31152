"""What to make of a kernel's end, and whether it is started again: functions of values, without a clock."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from kernelyard.connection import tells_of_port_conflict
from kernelyard.types import ExitReason, ExitStatus, Phase

__all__ = ["Decision", "Supervisor", "placed"]

#: Seconds to wait before the second restart in a row; each further one waits twice as long.
FIRST_BACKOFF = 0.5
#: Seconds that a back-off may take at most.
LONGEST_BACKOFF = 30.0


@dataclass(frozen=True)
class Decision:
    """What to do about a death.

    Attributes:
        restart: whether to start the kernel again.
        delay: seconds to wait before that.
        new_ports: whether the ports that nobody asked for are chosen anew.
        why: the reason, for the log.
    """

    restart: bool
    delay: float = 0.0
    new_ports: bool = False
    why: str = ""


def placed(status: ExitStatus, *, asked_to_end: bool, answered: bool, stable: bool) -> ExitStatus:
    """Complete what a provisioner says of a kernel's end by what only its manager knows.

    Args:
        status: how it ended.
        asked_to_end: whether it was being shut down or restarted.
        answered: whether it ever answered a client of this manager.
        stable: whether it lived long enough to count as started, even if no client here has asked it anything.

    Returns:
        The status with its phase; and for a kernel that never came up, with the reason that follows from that.
    """
    if asked_to_end:
        return dataclasses.replace(status, phase=Phase.STOPPING)
    if not answered and tells_of_port_conflict(status.output):
        return dataclasses.replace(status, phase=Phase.STARTING, reason=ExitReason.PORT_CONFLICT)
    if answered or stable:
        return status
    by_itself = status.reason in (ExitReason.CLEAN, ExitReason.EXIT_CODE)
    reason = ExitReason.STARTUP if by_itself else status.reason
    return dataclasses.replace(status, phase=Phase.STARTING, reason=reason)


class Supervisor:
    """Counts deaths in a row.

    Args:
        limit: restarts in a row after which a kernel is given up.
        stable_time: seconds of life after which a kernel counts as stable, and the counting begins anew.
    """

    def __init__(self, limit: int, stable_time: float) -> None:
        self.limit = limit
        self.stable_time = stable_time
        self.restarts = 0

    def decide(self, status: ExitStatus, lived: float) -> Decision:
        """Decide about a death.

        Args:
            status: how the kernel ended.
            lived: seconds that it ran.
        """
        if lived >= self.stable_time:
            self.restarts = 0
        if self.restarts >= self.limit:
            return Decision(restart=False, why=f"{self.restarts} restarts in a row did not help")
        self.restarts += 1
        delay = 0.0 if self.restarts == 1 else FIRST_BACKOFF * 2.0 ** (self.restarts - 2)
        return Decision(
            restart=True,
            delay=min(delay, LONGEST_BACKOFF),
            new_ports=status.reason is ExitReason.PORT_CONFLICT,
            why=f"restart {self.restarts} of {self.limit}",
        )
