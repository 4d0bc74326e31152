"""Whether a kernel that died is started again: a policy over values, without a clock of its own."""

from __future__ import annotations

from dataclasses import dataclass

from kernelyard.types import ExitReason, ExitStatus

__all__ = ["Decision", "Supervisor"]

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
