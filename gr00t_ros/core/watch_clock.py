"""Watches on ROS time, judged by steady time: it jumps, or it stands still.

Both take the two times of one instant; which clock is behind ROS time is told once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gr00t_ros.core.watch_table import finding
from gr00t_ros.core.watchdog import Finding, Reaction

_BACKWARD_NS = 1_000_000
"""Steps back of a simulated clock up to this are let pass."""

_SET_BACK_NS = 50_000_000
"""Steps back of any other clock up to this do no harm: the plan runs on steady time, and windows
take a new offset over at once (control.md 1, item 2)."""

_DOUBT_NS, _GRACE_NS = 100_000_000, 300_000_000
_AGES = frozenset({"stream_age", "controller_silent"})


class ClockJump:
    """Compares how far both clocks went since the last check."""

    def __init__(self, simulated: bool, forward_ns: int = 500_000_000) -> None:
        """Pause where ROS time gains more than `forward_ns` on steady time, or goes back.

        A simulated clock may run slower than steady time or stand still; only its own value
        going down is a step back. Every other clock has to keep pace with steady time, but for
        steps that do no harm.
        """
        self._simulated, self.forward_ns = simulated, forward_ns
        self._last: tuple[int, int] | None = None

    def check(self, ros_ns: int, steady_ns: int) -> Finding | None:
        """The jump since the last check; each is found once."""
        last, self._last = self._last, (ros_ns, steady_ns)
        if last is None:
            return None
        went_ns = ros_ns - last[0]
        gained_ns = went_ns - (steady_ns - last[1])
        back_ns = -went_ns if self._simulated else -gained_ns
        allowed_ns = _BACKWARD_NS if self._simulated else _SET_BACK_NS
        if back_ns > allowed_ns:
            text = (
                f"ROS time went back by {back_ns / 1e9:.3f} s, at most {allowed_ns / 1e9:.3f} s "
                "allowed"
            )
            return finding("clock_backward", text)
        if gained_ns > self.forward_ns:
            text = (
                f"ROS time went ahead by {gained_ns / 1e9:.3f} s, at most "
                f"{self.forward_ns / 1e9:.3f} s allowed"
            )
            return finding("clock_forward", text)
        return None


class SilentClock:
    """Measures in steady time for how long ROS time has stood still; for simulated clocks."""

    def __init__(self, limit_ns: int = 500_000_000) -> None:
        """Pause after more than `limit_ns` without a change."""
        self.limit_ns = limit_ns
        self._ros_ns: int | None = None
        self._changed_ns = 0

    def check(self, ros_ns: int, steady_ns: int) -> Finding | None:
        """The silence up to now; any change of ROS time ends it."""
        if ros_ns != self._ros_ns:
            self._ros_ns, self._changed_ns = ros_ns, steady_ns
        silent_ns = steady_ns - self._changed_ns
        if silent_ns <= self.limit_ns:
            return None
        text = (
            f"/clock: no new time for {silent_ns / 1e9:.2f} s, at most "
            f"{self.limit_ns / 1e9:.2f} s allowed"
        )
        return finding("silent_clock", text)


class ClockDoubt:
    """Says whether ages tell of their streams, or of a clock that stood still or jumped.

    A paused simulation silences every stream, and a jump makes all stamps old: the clock's own
    watches pause then, and a latched fault of each stream would need a person for nothing.
    """

    def __init__(self) -> None:
        """Begin without doubt."""
        self._silent = SilentClock(_DOUBT_NS)
        self._doubted_ns: int | None = None

    def note(self, ros_ns: int, steady_ns: int, jumped: bool, simulated: bool) -> None:
        """Doubt the ages from now until a while after, where the clock jumped or is silent."""
        silent = self._silent.check(ros_ns, steady_ns) is not None
        if jumped or (simulated and silent):
            self._doubted_ns = steady_ns

    def excused(self, findings: Sequence[Finding], steady_ns: int) -> tuple[Finding, ...]:
        """The findings; while in doubt those on ages pause at most."""
        if self._doubted_ns is None or steady_ns - self._doubted_ns > _GRACE_NS:
            return tuple(findings)
        return tuple(
            replace(f, reaction=Reaction.PAUSE) if f.watch in _AGES else f for f in findings
        )
