"""The numbers of the replay, and the rules that bind them together.

Every rule is control.md 1's, proved there on the controller's real code. Knows no parameter names
of ROS and no robot.
"""

from dataclasses import dataclass

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.core.reference import MERGES, Merge

MS = 1_000_000

# What a window's publication itself may take after its tick (control.md 1, item 3).
PUBLISH_NS = 2 * MS


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """Times in int ns on the plan clock.

    knot_ns: the plan's grid and the filter's step. refresh_ns: between two windows. commit_ns:
    what is sent is final this far ahead. horizon_ns: where the stop tail begins. past_ns: how far
    a window reaches back. fade_ns: for how long a new chunk fades in. velocity_scale: share of
    the joints' velocity limits that is used. lost_windows, delivery_jitter_ns, clock_offset_ns:
    what the commit time has to survive.
    """

    knot_ns: int = 20 * MS
    refresh_ns: int = 20 * MS
    commit_ns: int = 100 * MS
    horizon_ns: int = 400 * MS
    past_ns: int = 50 * MS
    fade_ns: int = 300 * MS
    merge: Merge = "offset_decay"
    velocity_scale: float = 0.5
    lost_windows: int = 1
    delivery_jitter_ns: int = 20 * MS
    clock_offset_ns: int = 30 * MS

    def check(self) -> "ReplaySettings":
        """Itself. Raises SettingsError naming the settings that contradict each other."""
        for name, low, high in (
            ("refresh_ns", 5 * MS, 50 * MS),
            ("commit_ns", 20 * MS, 400 * MS),
            ("horizon_ns", 100 * MS, 1000 * MS),
            ("past_ns", 20 * MS, 200 * MS),
            ("fade_ns", 20 * MS, 2000 * MS),
            ("velocity_scale", 0.01, 1.0),
            ("lost_windows", 0, 10),
            ("delivery_jitter_ns", 0, 200 * MS),
            ("clock_offset_ns", 0, 30 * MS),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"{name}: got {value}, expected {low} to {high}")
        if self.knot_ns not in (10 * MS, 20 * MS):
            raise SettingsError(f"knot_ns: got {self.knot_ns}, expected {10 * MS} or {20 * MS}")
        if self.merge not in MERGES:
            raise SettingsError(f"merge: got {self.merge!r}, expected one of {', '.join(MERGES)}")
        self._check_commit()
        self._check_window()
        return self

    @property
    def delivery_ns(self) -> int:
        """How long after its tick a window may reach the controller, by the controller's clock."""
        return self.delivery_jitter_ns + self.clock_offset_ns + PUBLISH_NS

    def needed_ns(self, step_ns: int, executed_steps: int, latency_ns: int) -> int:
        """How long a chunk must be for the next one to take over (control.md 1, item 8), ns."""
        return latency_ns + max(executed_steps * step_ns, latency_ns) + self.commit_ns

    def _check_commit(self) -> None:
        least = (self.lost_windows + 1) * self.refresh_ns + self.delivery_ns
        if self.commit_ns < least:
            raise SettingsError(
                f"commit_ns: got {self.commit_ns}, expected at least {least} = (lost_windows + 1) "
                "* refresh_ns + delivery_jitter_ns + clock_offset_ns + 2 ms"
            )

    def _check_window(self) -> None:
        least = self.commit_ns + self.refresh_ns + self.knot_ns
        if self.horizon_ns < least:
            raise SettingsError(
                f"horizon_ns: got {self.horizon_ns}, expected at least {least} = commit_ns + "
                "refresh_ns + knot_ns"
            )
        least = self.clock_offset_ns + self.knot_ns
        if self.past_ns < least:
            raise SettingsError(
                f"past_ns: got {self.past_ns}, expected at least {least} = clock_offset_ns + "
                "knot_ns: a window must begin before the controller's own time"
            )
