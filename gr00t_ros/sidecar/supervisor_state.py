"""What a supervisor says of its server: a phase, one line, and the numbers behind it. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Phase(enum.Enum):
    """Where a local policy server is. Only READY can be asked."""

    WAITING = "waiting"  # for a server before it to be gone
    LOADING = "loading"
    READY = "ready"
    RESTARTING = "restarting"  # it ended; the next start comes after a pause
    FAILED = "failed"  # no further start
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Restarts:
    """limit: starts after the first, each after twice the pause of the one before, from first_s
    to longest_s. A server that was ready for healthy_s has all of them again.
    """

    limit: int = 5
    first_s: float = 1.0
    longest_s: float = 60.0
    healthy_s: float = 60.0

    def pause_s(self, number: int) -> float:
        """The pause before restart `number`, from 1."""
        return min(self.first_s * 2.0 ** min(number - 1, 60), self.longest_s)


@dataclass(frozen=True, slots=True)
class SidecarState:
    """One look at a supervised server.

    trouble: why the last start ended, empty once one is ready. exit_code: of that end, negative
    for a signal. for_s: how long in this phase. restart: how many of `restarts` are used up.
    license: what license.acknowledged recorded.
    """

    profile: str
    host: str
    port: int
    license: str
    phase: Phase = Phase.WAITING
    trouble: str = ""
    exit_code: int | None = None
    pid: int | None = None
    last_line: str = ""
    for_s: float = 0.0
    pause_s: float = 0.0
    restart: int = 0
    restarts: int = 0

    @property
    def ready(self) -> bool:
        """Whether it answered on host:port and has not ended since."""
        return self.phase is Phase.READY

    def __str__(self) -> str:
        number = f"restart {self.restart} of {self.restarts}"
        if self.phase is Phase.LOADING and self.trouble:
            return f"loading, {number} after: {self.trouble}"
        if self.phase is Phase.RESTARTING:
            return f"{self.trouble}; {number} in {self.pause_s:.1f} s"
        if self.phase is Phase.FAILED:
            used = f" ({number} used)" if self.restart else ""
            return f"failed: {self.trouble}{used}"
        return str(self.phase.value)
