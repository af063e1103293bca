"""Watches on the arm, its controller and the operator.

Does the arm follow, is its controller active, does it play our plan; a streamer counts as a
controller that plays windows while it lives. E-stop and dead-man switch are functional stops, no
replacement for a hardware e-stop (README). Positions are (J,) float64 in plan joint order; a value
that is not finite is a finding. Times are steady time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.limits import POSITION_UNIT, JointLimits
from gr00t_ros.watch.finding import Finding
from gr00t_ros.watch.table import finding

Floats = NDArray[np.float64]

_SCALING_TOLERANCE = 1e-3  # of a factor that is a product of rounded percentages
_STAMP_JITTER_S = 5e-3  # between a controller's sample and the stamp that it gives it
# Between two comparisons: ticks may be 50 ms apart, which is more than the least limit of 20 ms.
_COMPARED_NS = 200_000_000


class TrackingError:
    """Measures for how long each joint has been away from what its controller plays."""

    def __init__(
        self, limits: JointLimits, limit_rad: float = 0.1, limit_ns: int = 200_000_000
    ) -> None:
        """Fault when a joint is more than `limit_rad` away for more than `limit_ns`.

        Joints whose held difference is unchecked, such as a gripper around an object, are exempt.
        """
        self._names, self._checked = limits.names, np.isfinite(limits.held)
        self.limit_rad, self.limit_ns = limit_rad, limit_ns
        self._since_ns: list[int | None] = [None] * len(limits)
        self._checked_ns: int | None = None

    def check(self, now_ns: int, reference: Floats, measured: Floats) -> Finding | None:
        """Compare at one instant; after 0.2 s or `limit_ns` without, the time begins anew."""
        last_ns, self._checked_ns = self._checked_ns, now_ns
        longest_ns = max(self.limit_ns, _COMPARED_NS)
        if last_ns is None or not 0 <= now_ns - last_ns <= longest_ns:
            self._since_ns = [None] * len(self._names)
        apart = np.abs(reference - measured)
        away = ~(apart <= self.limit_rad) & self._checked
        self._since_ns = [
            (now_ns if since is None else since) if far else None
            for since, far in zip(self._since_ns, away, strict=True)
        ]
        since_ns, joint = min(
            ((since, joint) for joint, since in enumerate(self._since_ns) if since is not None),
            default=(now_ns, 0),
        )
        if now_ns - since_ns <= self.limit_ns:
            return None
        text = (
            f"{self._names[joint]}: commanded {reference[joint]:.4f}, measured "
            f"{measured[joint]:.4f} {POSITION_UNIT}, more than {self.limit_rad:.3f} apart for "
            f"{(now_ns - since_ns) / 1e9:.2f} s, at most {self.limit_ns / 1e9:.2f} s allowed"
        )
        return finding("tracking_error", text)


class WorkspaceBox:
    """Counts chunks in a row that came while the end effector was outside its box."""

    def __init__(self, lower: Floats, upper: Floats, limit: int = 3) -> None:
        """Corners (3,) m in the frame of the pose; drop each chunk, fault at `limit` in a row."""
        self._lower, self._upper, self.limit = lower, upper, limit
        self._run = 0

    def see(self, position: Floats) -> Finding | None:
        """Take the position (3,) m of the end effector as a chunk arrives."""
        inside = (self._lower <= position) & (position <= self._upper)
        if inside.all():
            self._run = 0
            return None
        self._run += 1
        axis = int(np.argmin(inside))
        text = (
            f"end effector: {'xyz'[axis]} is {position[axis]:.3f} m, {self._lower[axis]:.3f} to "
            f"{self._upper[axis]:.3f} allowed, {self._run} chunks in a row"
        )
        return finding("workspace_box", text, self._run >= self.limit)


class StreamerLife:
    """Whether the streamer that plays the windows of one output lives, and is still the same."""

    def __init__(self, output: str, sender: str) -> None:
        """Nothing has been heard yet of `sender`, the streamer of `output`."""
        self._who = f"{sender}, which plays output {output}"
        self._instance = self._begun_with = ""
        self._heard_ns: int | None = None

    def hear(self, instance: str, now_ns: int) -> None:
        """Take a heartbeat; `instance` names the process, anew after each of its starts."""
        self._instance, self._heard_ns = instance, now_ns

    def begin(self) -> None:
        """Take whoever plays now as the one that has to go on: an activation or a reset."""
        self._begun_with = self._instance

    def silent(
        self,
        now_ns: int,
        limit_ns: int,
        awake_ns: Callable[[int], int] = lambda age_ns: age_ns,
    ) -> Finding | None:
        """A finding where none was heard within `limit_ns`, nor ever: dead ones are still listed.

        awake_ns: how much of an age this process was awake: what it slept, nobody could hear.
        The graph keeps a process that was killed for as long as its lease, ten seconds and more.
        """
        if self._heard_ns is None:
            return finding("streamer_silent", f"{self._who}: nothing heard of it yet")
        age_ns = awake_ns(now_ns - self._heard_ns)
        if age_ns <= limit_ns:
            return None
        text = (
            f"{self._who}: last heard {age_ns / 1e9:.2f} s ago, at most {limit_ns / 1e9:.2f} s "
            "allowed"
        )
        return finding("streamer_silent", text)

    def replaced(self) -> Finding | None:
        """A finding where another process plays than the one it began with, until `begin`."""
        if self._instance == self._begun_with:
            return None
        return finding("streamer_silent", f"{self._who}: was started again, or a second one runs")


def controller_silent(
    output: str, topic: str, age_ns: int | None, limit_ns: int = 500_000_000
) -> Finding | None:
    """Watch the age of a controller's state; None is one that never told, which is no silence."""
    if age_ns is None or age_ns <= limit_ns:
        return None
    text = (
        f"controller of {output}: last state on {topic} is {age_ns / 1e9:.2f} s old, at most "
        f"{limit_ns / 1e9:.2f} s allowed"
    )
    return finding("controller_silent", text)


class ControllerLate:
    """Measures, in plan time, for how long a controller has told nothing new: is the way to it cut?

    Windows that are sent into a cut never come, and the one that comes once it heals would be a
    step (control.md 1, item 11). So the limit is the commit time, up to which what was sent is
    final; or three of the controller's own periods, where it tells slowly: 20 Hz is no cut.
    """

    PERIODS = 3
    UNKNOWN_NS = 200_000_000
    """Limit while the controller's period is not known yet: four of 20 Hz."""
    _SEEN = 15

    def __init__(self, output: str, topic: str, commit_ns: int) -> None:
        """`topic` is where it tells, `commit_ns` the replay's."""
        self._output, self._topic, self._commit_ns = output, topic, commit_ns
        self._stamp_ns: int | None = None
        self._heard_ns = 0
        self._periods_ns: deque[int] = deque(maxlen=self._SEEN)

    @property
    def limit_ns(self) -> int:
        """The age up to which a state is of now."""
        if len(self._periods_ns) < self.PERIODS:
            return max(self._commit_ns, self.UNKNOWN_NS)
        median_ns = sorted(self._periods_ns)[len(self._periods_ns) // 2]
        return max(self._commit_ns, self.PERIODS * median_ns)

    def hear(self, stamp_ns: int, now_ns: int) -> None:
        """Take the stamp of the newest state; the same one again tells nothing new."""
        last_ns = self._stamp_ns
        if stamp_ns == last_ns:
            return
        if last_ns is not None and stamp_ns > last_ns:
            self._periods_ns.append(stamp_ns - last_ns)
        self._stamp_ns, self._heard_ns = stamp_ns, now_ns

    def age_ns(self, now_ns: int) -> int | None:
        """How long ago something new was told, None before the first."""
        return None if self._stamp_ns is None else now_ns - self._heard_ns

    def finding(
        self, now_ns: int, awake_ns: Callable[[int], int] = lambda age_ns: age_ns
    ) -> Finding | None:
        """Where it is late: nothing may be sent any more.

        awake_ns: how much of an age the listener was awake: what it slept, nobody could hear.
        """
        age_ns = self.age_ns(now_ns)
        age_ns = None if age_ns is None else awake_ns(age_ns)
        if age_ns is None or age_ns <= self.limit_ns:
            return None
        text = (
            f"controller of {self._output}: nothing new on {self._topic} for {age_ns / 1e9:.2f} s, "
            f"at most {self.limit_ns / 1e9:.2f} s allowed"
        )
        return replace(finding("controller_late", text), tail=True)


def windows_doubtful() -> Finding:
    """Windows may be lost that changed the motion: no controller was heard when they were sent.

    As ControllerLate, of a cut that is shorter than its limit (motion/plan.py).
    """
    text = (
        "controllers: a window that changed the motion was sent while nothing was heard of one of "
        "them, and may be lost; check the network between node and controller"
    )
    return replace(finding("controller_late", text), tail=True)


def joints_late(output: str, age_ns: int, limit_ns: int) -> Finding | None:
    """As ControllerLate for a controller that never tells: its joint states come the same way.

    A fault: which of the windows it has got, and so where it rests, nobody can say.
    """
    if age_ns <= limit_ns:
        return None
    text = (
        f"controller of {output}: it does not tell what it holds, and its joint states have been "
        f"silent for {age_ns / 1e9:.2f} s of motion, at most {limit_ns / 1e9:.2f} s allowed"
    )
    return replace(finding("controller_late", text, worse=True), tail=True)


def speed_scaling(output: str, factor: float) -> Finding | None:
    """Watch the controller's speed scaling factor, which has to be 1 (control.md 1, item 8)."""
    if abs(factor - 1.0) <= _SCALING_TOLERANCE:
        return None
    return finding("speed_scaling", f"controller of {output}: speed scaling is {factor:g}, not 1")


def reference_against_plan(
    names: tuple[str, ...],
    reference: Floats,
    planned: Floats,
    velocity: Floats,
    limit_rad: float = 2e-3,
) -> Finding | None:
    """Watch what the controllers play against what was sent for the stamp of their state.

    `planned` and `velocity` (rad/s) are the plan's at that stamp; allowed is `limit_rad` and
    what the joint moves in 5 ms (control.md 1, item 7).
    """
    apart, allowed = np.abs(reference - planned), limit_rad + np.abs(velocity) * _STAMP_JITTER_S
    bad = ~(apart <= allowed)
    if not bad.any():
        return None
    excess = np.nan_to_num(apart - allowed, nan=np.inf)
    joint = int(np.argmax(np.where(bad, excess, -np.inf)))
    text = (
        f"{names[joint]}: the controller plays {reference[joint]:.4f}, sent was "
        f"{planned[joint]:.4f} {POSITION_UNIT}, at most {allowed[joint]:.4f} apart allowed"
    )
    return replace(finding("reference_against_plan", text), tail=True)


class EStop:
    """Latches a press from a service or a topic until `clear`."""

    def __init__(self, required: bool = False, silence_ns: int = 500_000_000) -> None:
        """With `required`, a topic silent for more than `silence_ns` is a press as well."""
        self.required, self.silence_ns = required, silence_ns
        self._by: str | None = None
        self._held = False
        self._heard_ns: int | None = None

    def press(self, by: str) -> None:
        """A single press, such as a call of ~/estop; `by` names it in the reason."""
        self._by = by if self._by is None else self._by

    def see(self, pressed: bool, by: str, now_ns: int) -> None:
        """Take a message of the topic: the present state of the button."""
        self._held, self._heard_ns = pressed, now_ns
        if pressed:
            self.press(by)

    def clear(self) -> bool:
        """Forget the press, as a part of ~/reset; False while the button is still pressed."""
        if not self._held:
            self._by = None
        return not self._held

    def finding(
        self, now_ns: int, awake_ns: Callable[[int], int] = lambda age_ns: age_ns
    ) -> Finding | None:
        """The latched press, or the silence of a topic that is required.

        awake_ns: how much of an age the process was awake, and could have heard, ns.
        """
        if self._by is not None:
            return finding("e_stop", f"e-stop pressed by {self._by}")
        if not self.required:
            return None
        if self._heard_ns is None:
            return finding("e_stop", "e-stop topic required, nothing was received on it")
        silent_ns = awake_ns(now_ns - self._heard_ns)
        if silent_ns <= self.silence_ns:
            return None
        text = (
            f"e-stop topic silent for {silent_ns / 1e9:.2f} s, at most "
            f"{self.silence_ns / 1e9:.2f} s allowed"
        )
        return finding("e_stop", text)


class DeadMan:
    """Motion only while the operator's switch keeps being reported pressed; off by default."""

    def __init__(self, required: bool = False, limit_ns: int = 500_000_000) -> None:
        """With `required`, pause above `limit_ns` since the last report of a pressed switch."""
        self.required, self.limit_ns = required, limit_ns
        self._pressed_ns: int | None = None

    def see(self, pressed: bool, now_ns: int) -> None:
        """Take a message: a release counts at once."""
        self._pressed_ns = now_ns if pressed else None

    def finding(self, now_ns: int) -> Finding | None:
        """The released or silent switch, where one is required."""
        if not self.required:
            return None
        if self._pressed_ns is None:
            return finding("dead_man", "dead-man switch is not pressed")
        silent_ns = now_ns - self._pressed_ns
        if silent_ns <= self.limit_ns:
            return None
        text = (
            f"dead-man switch last reported pressed {silent_ns / 1e9:.2f} s ago, at most "
            f"{self.limit_ns / 1e9:.2f} s allowed"
        )
        return finding("dead_man", text)
