"""The numbers of the replay, the rules between them, and whether a horizon covers the latency.

Every rule is proved in control.md 1 on the controller's real code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from gr00t_ros.errors import SettingsError
from gr00t_ros.motion.reference import MERGES, Merge

MS = 1_000_000

# Time that publishing a window may take after its tick (control.md 1, item 3).
PUBLISH_NS = 2 * MS

DELIVERY_JITTER_NS = 20 * MS
CLOCK_OFFSET_NS = 30 * MS
"""How far a controller's clock may be from this computer's, either way (control.md 1, item 2)."""

Commit = Literal["fixed", "measured"]
COMMITS: tuple[str, ...] = get_args(Commit)
FIXED, MEASURED = COMMITS


@dataclass(frozen=True, slots=True)
class Range:
    """The values that one setting may have: from low to high, at steps of `step` if it is not 0."""

    low: float
    high: float
    step: int = 0

    def has(self, value: float) -> bool:
        """Whether `value` is one of them; NaN is not."""
        return self.low <= value <= self.high and (
            not self.step or (value - self.low) % self.step == 0
        )

    @property
    def text(self) -> str:
        """Such as 10 to 20 in steps of 10."""
        steps = f" in steps of {self.step}" if self.step else ""
        return f"{self.low:g} to {self.high:g}{steps}"


RANGES = {
    "knot_ms": Range(10, 20, 10),
    "refresh_ms": Range(10, 50),
    "commit_ms": Range(72, 400),  # the rule's least, with the shortest refresh_ms
    "horizon_ms": Range(100, 1000),
    "past_ms": Range(20, 200),
    "fade_ms": Range(20, 2000),
    "velocity_scale": Range(0.01, 1.0),
    "lost_windows": Range(0, 10),
    "delivery_jitter_ms": Range(0, 200),
    "clock_offset_ms": Range(0, 30),
}
"""The range of each number of ReplaySettings, times in ms, by its name as a parameter (those that
are none have a name of the same form). ros/parameters offers these ranges."""


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """Times in int ns on the plan clock.

    knot_ns: step of the plan's grid and of the filter. refresh_ns: time between two windows.
    commit_ns: how far ahead a sent window is final, at most. commit: always so far (fixed), or as
    far as the measured delivery needs. horizon_ns: how far ahead the stop ramp begins.
    past_ns: how far a window reaches back. fade_ns: time in which a new chunk fades in.
    merge, merge_commands: how a new chunk of joints, of commands follows the one before.
    velocity_scale: share of the joints' velocity limits that is used. lost_windows,
    delivery_jitter_ns, clock_offset_ns: losses and delays that the commit time must cover.
    """

    knot_ns: int = 20 * MS
    refresh_ns: int = 20 * MS
    commit_ns: int = 100 * MS
    commit: Commit = "fixed"
    horizon_ns: int = 400 * MS
    past_ns: int = 50 * MS
    fade_ns: int = 300 * MS
    merge: Merge = "offset_decay"
    merge_commands: Merge = "newest"
    velocity_scale: float = 0.5
    lost_windows: int = 1
    delivery_jitter_ns: int = DELIVERY_JITTER_NS
    clock_offset_ns: int = CLOCK_OFFSET_NS

    def check(self) -> ReplaySettings:
        """Return itself. Raises SettingsError with the names of settings that contradict."""
        for name, allowed in RANGES.items():
            if not allowed.has(value := self.value(name)):
                raise SettingsError(f"{name}: got {value:g}, expected {allowed.text}")
        if self.commit not in COMMITS:
            raise SettingsError(
                f"commit: got {self.commit!r}, expected one of {', '.join(COMMITS)}"
            )
        for name in ("merge", "merge_commands"):
            if (merge := getattr(self, name)) not in MERGES:
                raise SettingsError(f"{name}: got {merge!r}, expected one of {', '.join(MERGES)}")
        self._check_commit()
        self._check_window()
        return self

    def value(self, name: str) -> float:
        """The value of that row of RANGES, in its unit."""
        field = name.removesuffix("_ms")
        return float(getattr(self, name) if field == name else getattr(self, f"{field}_ns") / MS)

    @property
    def delivery_ns(self) -> int:
        """Longest time from a tick until its window arrives, by the controller's clock, ns."""
        return self.delivery_jitter_ns + self.clock_offset_ns + PUBLISH_NS

    @property
    def rounds_ns(self) -> int:
        """The part of the commit time in which windows may be lost."""
        return (self.lost_windows + 1) * self.refresh_ns

    def delivery_within(self, commit_ns: int) -> int:
        """The longest delivery, ns, that a window with this commit time covers by the rule."""
        return min(self.delivery_ns, commit_ns - self.rounds_ns)

    def needed_ns(self, step_ns: int, executed_steps: int, latency_ns: int) -> int:
        """Chunk length needed so that the next one can take over (control.md 1, item 8), ns.

        Also with a measured commit time for the longest one, which may be needed at any time.
        """
        return latency_ns + max(executed_steps * step_ns, latency_ns) + self.commit_ns

    def _check_commit(self) -> None:
        if self.commit_ns < self.rounds_ns + self.delivery_ns:
            raise SettingsError(
                f"commit_ms: got {self.commit_ns / MS:g}, expected at least "
                f"{(self.rounds_ns + self.delivery_ns) / MS:g} = {self.lost_windows + 1} * "
                f"refresh_ms ({self.refresh_ns / MS:g}) + {self.delivery_ns / MS:g}, the longest "
                "delivery of a window; raise commit_ms or lower refresh_ms"
            )

    def _check_window(self) -> None:
        least = self.commit_ns + self.refresh_ns + self.knot_ns
        if self.horizon_ns < least:
            raise SettingsError(
                f"horizon_ms: got {self.horizon_ns / MS:g}, expected at least {least / MS:g} = "
                f"commit_ms ({self.commit_ns / MS:g}) + refresh_ms ({self.refresh_ns / MS:g}) + "
                f"knot_ms ({self.knot_ns / MS:g}); raise horizon_ms or lower commit_ms"
            )
        least = self.clock_offset_ns + self.knot_ns
        if self.past_ns < least:
            raise SettingsError(
                f"past_ms: got {self.past_ns / MS:g}, expected at least {least / MS:g} = "
                f"clock_offset_ms ({self.clock_offset_ns / MS:g}) + knot_ms "
                f"({self.knot_ns / MS:g}): a window must begin before the controller's own time"
            )


_USUAL = ReplaySettings()
_COMMIT_RULE = (
    f"commit_ms at least {_USUAL.lost_windows + 1} * refresh_ms + {_USUAL.delivery_ns // MS}"
)
_HORIZON_RULE = "horizon_ms at least commit_ms + refresh_ms + knot_ms"
RULES = {
    "knot_ms": _HORIZON_RULE,
    "refresh_ms": f"{_COMMIT_RULE}, {_HORIZON_RULE}",
    "commit_ms": f"{_COMMIT_RULE}, {_HORIZON_RULE}",
    "horizon_ms": _HORIZON_RULE,
}
"""The rules between parameters that `check` applies, by each parameter in them."""


HORIZON_TOO_SHORT = "horizon too short"
"""Key in a status' details; its value says why motion would pause between chunks."""

LATENCY_LIMIT = "latency limit [ms]"
"""Key of Coverage.limit_ns in the details of a status."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whether a chunk is long enough, and what to change if it is not.

    The chunk has `horizon_steps` steps of `step_ns`; `execute_steps` of them pass before the
    next query (0: query as late as is safe). latency_ns: from an observation's stamp to its chunk's
    arrival. measure: how that was measured, such as "p99 latency".
    """

    settings: ReplaySettings
    horizon_steps: int
    step_ns: int
    execute_steps: int
    latency_ns: int
    measure: str

    @property
    def covered(self) -> bool:
        """Whether motion continues from one chunk to the next."""
        return self.horizon_steps * self.step_ns >= self._needed_ns

    @property
    def limit_ns(self) -> int:
        """The largest latency that the chunk covers; negative if it covers none."""
        left_ns = self.horizon_steps * self.step_ns - self.settings.commit_ns
        return min(left_ns - self.execute_steps * self.step_ns, left_ns // 2)

    @property
    def any_left(self) -> bool:
        """Whether a chunk still has a step that is not due when it takes over (motion/guard)."""
        takes_over_ns = self.latency_ns + self.settings.commit_ns
        return takes_over_ns <= (self.horizon_steps - 1) * self.step_ns

    @property
    def text(self) -> str:
        """The rule with its numbers, and what to change if it does not hold."""
        executed_ns = self.execute_steps * self.step_ns
        sums = (
            f"{self._needed_ns / MS:.0f} ms = {self.measure} {self.latency_ns / MS:.0f} + the "
            f"longer of it and {self.execute_steps} executed steps ({executed_ns / MS:.0f}) + "
            f"commit {self.settings.commit_ns / MS:.0f}"
        )
        horizon_ms = self.horizon_steps * self.step_ns / MS
        chunk = f"a chunk of {self.horizon_steps} steps is {horizon_ms:.0f} ms"
        if self.covered:
            return f"{chunk}, needed are {sums}"
        faster = "use a faster server or network, or " if self.latency_ns else "use "
        return (
            f"{chunk}, too short: needed are {sums}; {self._remedy} {faster}a policy with a longer "
            "horizon"
        )

    @property
    def _remedy(self) -> str:
        """The largest execute_steps that is covered, if there is one.

        While the latency is unknown, also half the chunk, which leaves time for the latency.
        """
        left_ns = self.horizon_steps * self.step_ns - self.settings.commit_ns - self.latency_ns
        if left_ns < self.latency_ns:
            return "no execute_steps is low enough:"
        most = left_ns // self.step_ns
        if self.latency_ns:
            return f"lower execute_steps to {most}, or"
        half = min(most, self.horizon_steps // 2)
        better = f", better to {half}, which leaves {self._spare_ns(half) / MS:.0f} ms"
        return (
            f"lower execute_steps to {most}, which leaves {self._spare_ns(most) / MS:.0f} ms for "
            f"the latency{better if half < most else ''}, or"
        )

    def _spare_ns(self, execute_steps: int) -> int:
        """The longest latency with which `execute_steps` are covered, ns."""
        left_ns = self.horizon_steps * self.step_ns - self.settings.commit_ns
        return min(left_ns - execute_steps * self.step_ns, left_ns // 2)

    @property
    def _needed_ns(self) -> int:
        return self.settings.needed_ns(self.step_ns, self.execute_steps, self.latency_ns)
