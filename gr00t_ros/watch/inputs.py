"""Watches on inputs: the content of camera frames, ROS time, and the skew between streams.

Camera watches take the stamp of a frame, whether it equals the last frame, and its brightness.
Clock watches compare ROS time with steady time. Ages of streams are in watch/finding, contents in
observe/observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gr00t_ros.watch.finding import Finding
from gr00t_ros.watch.table import default, default_ns, finding, milder, reasoned

_NOISE_FREE = " (for pictures without noise, as of a simulation: frozen_camera_frames 0)"


class FrozenCamera:
    """Counts frames in a row that repeat the stamp or the content of the one before."""

    def __init__(self, stream: str, limit_frames: int = default("frozen_camera_frames")) -> None:
        """Pause at `limit_frames` equal frames in a row, including the first."""
        self._stream, self.limit_frames = stream, limit_frames
        self._stamp_ns: int | None = None
        self._run, self._same = 0, ""

    def see(self, stamp_ns: int, same_content: bool) -> None:
        """Take one received frame, used or not, and whether its bytes equal those of the last."""
        same = ""
        if self._stamp_ns is not None:
            same = "stamp" if stamp_ns == self._stamp_ns else same
            same = "content" if same_content else same
        self._run = self._run + 1 if same else 1
        self._stamp_ns, self._same = stamp_ns, same

    def finding(self) -> Finding | None:
        """A finding while the newest frame repeats the ones before; a different frame ends it."""
        if self._run < self.limit_frames:
            return None
        text = (
            f"{self._stream}: {self._run} frames in a row with the same {self._same}, fewer than "
            f"{self.limit_frames} expected"
        )
        found = finding("frozen_camera", text)
        if self._same == "content":
            return replace(found, reason=found.reason + _NOISE_FREE)
        return found


class BlackCamera:
    """Counts frames in a row that are black."""

    def __init__(
        self,
        stream: str,
        level: float = default("black_camera_level"),
        limit_frames: int = default("black_camera_frames"),
    ) -> None:
        """Pause at `limit_frames` frames in a row whose mean is not above `level`, of 255."""
        self._stream, self.level, self.limit_frames = stream, level, limit_frames
        self._run, self._newest = 0, 0.0

    def see(self, mean_level: float) -> None:
        """Take one frame's mean over all pixels and channels, 0 to 255; NaN counts as black."""
        self._newest = mean_level
        self._run = 0 if mean_level > self.level else self._run + 1

    def finding(self) -> Finding | None:
        """A finding while the newest frames are black; a brighter frame ends it."""
        if self._run < self.limit_frames:
            return None
        text = (
            f"{self._stream}: {self._run} black frames in a row, mean level {self._newest:.1f} of "
            f"255, above {self.level:.1f} expected"
        )
        return finding("black_camera", text)


_BACKWARD_NS = default_ns("largest step ignored, with use_sim_time")
"""Steps back of a simulated clock up to this size are ignored."""

_SET_BACK_NS = default_ns("largest step ignored, without")
"""Steps back of any other clock up to this size do no harm: the plan runs on steady time, and
windows use the new offset at once (control.md 1, item 2)."""

_DOUBT_NS, _GRACE_NS = 100_000_000, 300_000_000
_AGES = frozenset({"stream_age", "controller_silent"})


class ClockJump:
    """Compares the advance of ROS time and steady time since the last check."""

    def __init__(self, simulated: bool, forward_ns: int = default_ns("clock_jump_s")) -> None:
        """Pause if ROS time gains more than `forward_ns` on steady time, or goes back.

        A simulated clock may run slower than steady time or stand still; only a smaller value is a
        step back. Every other clock must advance as steady time does, except for steps that do no
        harm.
        """
        self._simulated, self.forward_ns = simulated, forward_ns
        self._last: tuple[int, int] | None = None

    def check(self, ros_ns: int, steady_ns: int) -> Finding | None:
        """A finding if ROS time jumped since the last check; each jump is found once."""
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

    def __init__(self, limit_ns: int = default_ns("clock_silence_s")) -> None:
        """Pause after more than `limit_ns` without a change."""
        self.limit_ns = limit_ns
        self._ros_ns: int | None = None
        self._changed_ns = 0

    def check(self, ros_ns: int, steady_ns: int) -> Finding | None:
        """A finding if ROS time has not changed for too long; any change ends it."""
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
    """Reduces faults about ages to pauses while the clock stands still or has just jumped.

    A paused simulation silences every stream, and a jump makes all stamps old. The clock's own
    watches pause then; latching a fault per stream would force a needless manual reset.
    """

    def __init__(self) -> None:
        """Begin with ages that are trusted."""
        self._silent = SilentClock(_DOUBT_NS)
        self._doubted_ns: int | None = None

    def note(self, ros_ns: int, steady_ns: int, jumped: bool, simulated: bool) -> None:
        """Distrust ages for a short time from now on, if the clock jumped or is silent."""
        silent = self._silent.check(ros_ns, steady_ns) is not None
        if jumped or (simulated and silent):
            self._doubted_ns = steady_ns

    def excused(self, findings: Sequence[Finding], steady_ns: int) -> tuple[Finding, ...]:
        """The findings; those about ages pause at most while ages are not trusted."""
        if self._doubted_ns is None or steady_ns - self._doubted_ns > _GRACE_NS:
            return tuple(findings)
        return tuple(milder(f) if f.watch in _AGES else f for f in findings)


class Skew:
    """Counts observations in a row whose streams were too far apart in time."""

    def __init__(self, limit: int = default("skewed observations that pause")) -> None:
        """Drop each such observation, pause at `limit` in a row."""
        self.limit = limit
        self._run = 0

    def see(self, stream: str, apart_ns: int, allowed_ns: int) -> Finding | None:
        """Take one observation's worst stream, which is `apart_ns` from the joint state's stamp."""
        if abs(apart_ns) <= allowed_ns:
            self._run = 0
            return None
        self._run += 1
        text = (
            f"{stream}: {abs(apart_ns) / 1e9:.3f} s apart from the joint state, at most "
            f"{allowed_ns / 1e9:.3f} s allowed, {self._run} in a row"
        )
        return finding("skew", text, self._run >= self.limit)


def stream_age(
    stream: str,
    topic: str,
    age_ns: int | None,
    pause_ns: int,
    fault_ns: int | None,
    why: str = "",
    awake_ns: int | None = None,
) -> Finding | None:
    """Watch the age of a stream's newest usable sample; None is a stream without one so far.

    A stream without `fault_ns` pauses and never faults. why: the cause and what to do, if known.
    awake_ns: the part of the age during which this process was awake; only this part counts towards
    a fault.
    """
    if age_ns is not None and age_ns <= pause_ns:
        return None
    judged_ns = age_ns if awake_ns is None else awake_ns
    late = judged_ns is not None and fault_ns is not None and judged_ns > fault_ns
    seen = (
        f"nothing usable on {topic} yet"
        if age_ns is None
        else f"newest usable sample on {topic} is {age_ns / 1e9:.2f} s old, at most "
        f"{pause_ns / 1e9:.2f} s allowed"
    )
    cause = why or "check the driver and the network"
    return reasoned("stream_age", f"{stream}: {cause} ({seen})", worse=late)
