"""Watches on the arm and its controller.

They check that the arm follows, and that its controller is active and plays our plan. A streamer
counts as a controller while its heartbeat is received. Positions are (J,) float64 in plan joint
order; a value that is not finite is a finding. Times are steady time unless stated otherwise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.observe.transit import KNOWN_NS, KNOWN_OF
from gr00t_ros.robot.limits import POSITION_UNIT, JointLimits
from gr00t_ros.watch.finding import AwakeTime, Finding, all_awake
from gr00t_ros.watch.table import default, default_ns, finding, reasoned

Floats = NDArray[np.float64]

# the factor is a product of rounded percentages
_SCALING_TOLERANCE = default("allowed deviation from 1")
# between a controller's sample and its stamp
_STAMP_JITTER_S = default_ns("jitter of the state's stamp") / 1e9
_CLOCK_AHEAD_NS = default_ns("its clock ahead of this computer's")
_CLOCK_BEHIND_NS = default_ns("its clock behind, with the way of a state")
# Of a window that did not arrive: its distance in shares of reference_error_rad, and how much
# better an earlier window must fit.
_TOLD_APART, _FITS_BETTER = default("share of it, where an earlier window fits"), 3.0
# Longest time between two comparisons that belong together, if the limit itself is shorter: ticks
# may be 50 ms apart, and the smallest limit is 20 ms.
_COMPARED_NS = 200_000_000

_OUTSIDE = default("further distance allowed, of the range")


class TrackingError:
    """Measures for how long each joint of one output has been away from its reference.

    One for each output: the gaps between its controller's states are its own.
    """

    def __init__(
        self,
        limits: JointLimits,
        limit_rad: float = default("tracking_error_rad"),
        limit_ns: int = default_ns("tracking_error_s"),
    ) -> None:
        """Fault when one of the joints of `limits` is over `limit_rad` away for over `limit_ns`.

        Joints without a limit for the held difference, such as a gripper on an object, are exempt.
        """
        self._names, self._checked = limits.names, np.isfinite(limits.held)
        self.limit_rad, self.limit_ns = limit_rad, limit_ns
        self._since_ns: list[int | None] = [None] * len(limits)
        self._checked_ns: int | None = None

    def check(self, now_ns: int, reference: Floats, measured: Floats) -> Finding | None:
        """Compare at one instant; after a gap of 0.2 s or `limit_ns` the time starts again.

        reference, measured: (n,) rad, in the order of `limits`.
        """
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
    """Counts chunks in a row that arrived while the end effector was outside its box."""

    def __init__(
        self, lower: Floats, upper: Floats, limit: int = default("refusals_to_fault")
    ) -> None:
        """Corners (3,) m in the frame of the pose; drop each chunk, fault at `limit` in a row."""
        self._lower, self._upper, self.limit = lower, upper, limit
        self._run = 0

    def see(self, position: Floats) -> Finding | None:
        """Take the end effector's position (3,) m when a chunk arrives."""
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
    """Whether the streamer of one output is alive and still the same process."""

    def __init__(self, output: str, sender: str) -> None:
        """`sender`: name of the streamer that plays the windows of `output`."""
        self._label = f"{sender}, which plays output {output}"
        self._instance = self._expected_instance = ""
        self._replaced = False
        self._received_ns: int | None = None

    def receive(self, instance: str, now_ns: int) -> None:
        """Take a heartbeat; `instance` identifies the process and is new after each start."""
        self._instance, self._received_ns = instance, now_ns
        self._replaced |= instance != self._expected_instance

    def begin(self) -> None:
        """Expect the present process from now on; call it at an activation or a reset."""
        self._expected_instance, self._replaced = self._instance, False

    def silent(
        self,
        now_ns: int,
        limit_ns: int,
        awake_ns: AwakeTime = all_awake,
    ) -> Finding | None:
        """A finding if no heartbeat was received within `limit_ns`, or none so far.

        The ROS graph is not enough: it lists a killed process until its lease ends, ten seconds and
        more. awake_ns: how much of an age this process was awake and could receive.
        """
        if self._received_ns is None:
            return finding("streamer_silent", f"{self._label}: nothing heard of it yet")
        age_ns = awake_ns(now_ns - self._received_ns)
        if age_ns <= limit_ns:
            return None
        text = (
            f"{self._label}: last heard {age_ns / 1e9:.2f} s ago, at most {limit_ns / 1e9:.2f} s "
            "allowed"
        )
        return finding("streamer_silent", text)

    def replaced(self) -> Finding | None:
        """A finding if another process has played since the last `begin`, beside it or later."""
        if not self._replaced:
            return None
        return finding("streamer_silent", f"{self._label}: was started again, or a second one runs")


def controller_silent(
    output: str, topic: str, age_ns: int | None, limit_ns: int = default_ns("controller_silence_s")
) -> Finding | None:
    """Watch the age of a controller's state; None (never published) is not a finding."""
    if age_ns is None or age_ns <= limit_ns:
        return None
    text = (
        f"controller of {output}: last state on {topic} is {age_ns / 1e9:.2f} s old, at most "
        f"{limit_ns / 1e9:.2f} s allowed"
    )
    return finding("controller_silent", text)


def controller_clock(output: str, topic: str, least_way_ns: int | None) -> Finding | None:
    """Watch the clock of a controller, which plays windows by their stamps.

    least_way_ns: the least way of its last states, from stamp to arrival; None: too few states so
    far. A window whose first point lies in the controller's future, or whose committed part in its
    past, is a step. A clock that is not known yet pauses; the windows of that stop are still sent.
    """
    if least_way_ns is None:
        text = (
            f"controller of {output}: its clock is not known yet: too few states on {topic} so "
            f"far, expected {KNOWN_OF} over {KNOWN_NS / 1e9:g} s"
        )
        return reasoned("controller_clock", text)
    if -_CLOCK_AHEAD_NS <= least_way_ns <= _CLOCK_BEHIND_NS:
        return None
    side = "after" if least_way_ns > 0 else "before"
    text = (
        f"controller of {output}: each state on {topic} arrives {abs(least_way_ns) / 1e9:.3f} s "
        f"{side} its stamp, at most {_CLOCK_BEHIND_NS / 1e9:.3f} s after and "
        f"{_CLOCK_AHEAD_NS / 1e9:.3f} s before allowed: it plays windows by its own clock"
    )
    return replace(finding("controller_clock", text), stop_ramp_only=True)


class ControllerLate:
    """Measures, in plan time, for how long a controller has published no new state.

    Silence may mean that the network to it is cut. Windows that are sent meanwhile do not arrive,
    and the first one after the cut would be a step (control.md 1, item 11). So the limit is the
    commit time, up to which sent windows are final, or three of the controller's own periods, so
    that a slow controller (20 Hz) does not count as cut.
    """

    PERIODS: int = default("times its own period, where that is longer")
    UNKNOWN_NS = 200_000_000
    """Limit while the controller's period is unknown: four periods of 20 Hz."""
    _PERIODS_KEPT = 15

    def __init__(self, output: str, topic: str, commit_ns: int) -> None:
        """topic: of the controller's state; commit_ns: of the replay."""
        self._output, self._topic, self._commit_ns = output, topic, commit_ns
        self._stamp_ns: int | None = None
        self._received_ns = 0
        self._periods_ns: deque[int] = deque(maxlen=self._PERIODS_KEPT)

    @property
    def limit_ns(self) -> int:
        """The largest age at which a state is in time."""
        if len(self._periods_ns) < self.PERIODS:
            return max(self._commit_ns, self.UNKNOWN_NS)
        median_ns = sorted(self._periods_ns)[len(self._periods_ns) // 2]
        return max(self._commit_ns, self.PERIODS * median_ns)

    def receive(self, stamp_ns: int, now_ns: int) -> None:
        """Take the stamp of the newest state; the same stamp again is no new state."""
        last_ns = self._stamp_ns
        if stamp_ns == last_ns:
            return
        if last_ns is not None and stamp_ns > last_ns:
            self._periods_ns.append(stamp_ns - last_ns)
        self._stamp_ns, self._received_ns = stamp_ns, now_ns

    def age_ns(self, now_ns: int) -> int | None:
        """Time since the newest state was received, ns; None before the first."""
        return None if self._stamp_ns is None else now_ns - self._received_ns

    def finding(self, now_ns: int, awake_ns: AwakeTime = all_awake) -> Finding | None:
        """A finding if the state is late: send nothing more of this plan then.

        awake_ns: how much of an age this process was awake and could receive.
        """
        age_ns = self.age_ns(now_ns)
        age_ns = None if age_ns is None else awake_ns(age_ns)
        if age_ns is None or age_ns <= self.limit_ns:
            return None
        text = (
            f"controller of {self._output}: nothing new on {self._topic} for {age_ns / 1e9:.2f} s, "
            f"at most {self.limit_ns / 1e9:.2f} s allowed"
        )
        return replace(finding("controller_late", text), stop_ramp_only=True)


def windows_may_be_lost() -> Finding:
    """The finding that windows which changed the motion may be lost.

    They were sent while no state of a controller was received. As ControllerLate, for a cut that is
    shorter than its limit (motion/plan.py).
    """
    text = (
        "controllers: a window that changed the motion was sent while no state of one of them was "
        "received, and may be lost"
    )
    return replace(finding("controller_late", text), stop_ramp_only=True)


def joints_late(output: str, age_ns: int, limit_ns: int) -> Finding | None:
    """As ControllerLate, for a controller that never publishes its state.

    Its joint states take the same network path, so they are watched instead. A fault, because it is
    unknown which windows the controller received and so where it rests.
    """
    if age_ns <= limit_ns:
        return None
    text = (
        f"controller of {output}: it does not tell what it holds, and its joint states have been "
        f"silent for {age_ns / 1e9:.2f} s of motion, at most {limit_ns / 1e9:.2f} s allowed"
    )
    return replace(finding("controller_late", text, worse=True), stop_ramp_only=True)


def speed_scaling(output: str, factor: float) -> Finding | None:
    """Watch the controller's speed scaling factor, which must be 1 (control.md 1, item 8)."""
    if abs(factor - 1.0) <= _SCALING_TOLERANCE:
        return None
    return finding("speed_scaling", f"controller of {output}: speed scaling is {factor:g}, not 1")


def reference_against_plan(
    names: tuple[str, ...],
    reference: Floats,
    planned: Floats,
    velocity: Floats,
    limit_rad: float = default("reference_error_rad"),
) -> Finding | None:
    """Compare the controllers' reference with what was sent for the stamp of their state.

    planned, velocity: (J,) rad and rad/s of the plan at that stamp. Allowed is `limit_rad` plus the
    motion of the joint in 5 ms (control.md 1, item 7).
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
    return replace(finding("reference_against_plan", text), stop_ramp_only=True)


def further_joints(names: Sequence[str], moved: Sequence[str]) -> str:
    """What a controller needs that moves more joints than its output has; empty if it does not.

    names: of the output; moved: by the controller.
    """
    others = [name for name in moved if name not in names]
    if not others:
        return ""
    return (
        f"its controller moves {', '.join(others)} too: it takes windows without them only with "
        "allow_partial_joints_goal true"
    )


def earlier_window(
    output: str,
    reference: Floats,
    sent: tuple[Floats, Floats],
    before: Iterable[tuple[Floats, Floats]],
    limit_rad: float = default("reference_error_rad"),
) -> Finding | None:
    """A finding if a controller's reference is not what was sent last, but what was sent before.

    The windows to it are lost then, although its states arrive: a window that arrives after such a
    loss is a step. reference: (n,) rad. sent, before: (n,) rad and (n,) rad/s at the stamp of the
    state, of the newest window and of earlier ones. Two windows are told apart from a tenth of
    `limit_rad` on, along any motion that the jitter of the stamp does not explain.
    """
    apart = _apart(reference, *sent)
    if not apart > _TOLD_APART * limit_rad:
        return None
    if not any(_apart(reference, *one) < apart / _FITS_BETTER for one in before):
        return None
    text = (
        f"controller of {output}: it plays an earlier window, {1e3 * apart:.2f} mrad or mm away "
        "from the last one, so that windows to it are lost although its states arrive"
    )
    return replace(finding("reference_against_plan", text), stop_ramp_only=True)


def _apart(reference: Floats, position: Floats, velocity: Floats) -> float:
    """The largest distance of a joint, rad, with the time within the jitter that explains most."""
    apart, speed = reference - position, float(velocity @ velocity)
    time_s = float(apart @ velocity) / speed if speed > 0.0 else 0.0
    time_s = min(max(time_s, -_STAMP_JITTER_S), _STAMP_JITTER_S)
    return float(np.abs(apart - time_s * velocity).max())


def held_position(
    names: tuple[str, ...],
    held: NDArray[np.float64],
    measured: NDArray[np.float64],
    allowed: NDArray[np.float64],
) -> Finding | None:
    """Compare the position (J,) that the controller holds with the measured one, before a start.

    A plan starts from the held position (design decision 11). A larger difference than `allowed`
    means that the controller pushes against something or does not control this robot. NaN is a
    finding.
    """
    apart = np.abs(held - measured)
    bad = ~(apart <= allowed)
    if not bad.any():
        return None
    joint = int(np.argmax(np.where(bad, np.nan_to_num(apart, nan=np.inf), -1.0)))
    text = (
        f"{names[joint]}: held at {held[joint]:.4f}, measured {measured[joint]:.4f}, at most "
        f"{allowed[joint]:.3f} apart allowed; is the controller active and the arm free?"
    )
    return reasoned("held_position", text)


def outside_limits(limits: JointLimits, measured: NDArray[np.float64]) -> Finding | None:
    """Compare the measured position (J,) with the file's position limits, before a start.

    A joint may be outside by its margin and a hundredth of its range, for calibration and noise. A
    larger distance means another unit, joint, zero or file. NaN is a finding.
    """
    slack = limits.margin + _OUTSIDE * (limits.upper - limits.lower)
    bad = ~((measured >= limits.lower - slack) & (measured <= limits.upper + slack))
    if not bad.any():
        return None
    turned = np.radians(measured[bad])
    degrees = ((turned >= limits.lower[bad]) & (turned <= limits.upper[bad])).all()
    hint = (
        "as degrees it would be inside: let the driver publish radians"
        if degrees
        else "is it the file of this robot, and are its joints at their zero?"
    )
    named = "; ".join(
        f"{limits.names[j]}: measured at {measured[j]:.4g}, limits {limits.lower[j]:.4g} to "
        f"{limits.upper[j]:.4g}"
        for j in np.flatnonzero(bad)
    )
    return reasoned("outside_limits", f"{named}; {hint}")
