"""The course of an end effector that is commanded by poses: chunks of poses in, windows out.

A window repeats what is committed, follows the chunk up to its horizon and then brakes to rest, so
that a player without a further window comes to rest inside the limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gr00t_ros.errors import PlanError
from gr00t_ros.motion.pose.follower import PoseFollower, PoseMotion
from gr00t_ros.robot.limits import PoseLimits
from gr00t_ros.robot.rotation import Pose

# How far outside the box a pose is still followed to the wall, m (control.md 3, as for joints).
CLAMP_M = 0.05
# Windows without joints that repeat a rest, for a reader that joined late or lost one.
REST_REPEATS = 25
# A chunk's last pose counts as reached at less than this speed, m/s and rad/s.
_REACHED_SPEED = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class PoseChunk:
    """Poses of T steps: step k is for stamp_ns + k * step_ns (plan clock), in the output's frame.

    deltas: step k is the motion from its own time to the time of the next step, in the same frame:
    position + delta, and the delta's rotation times the pose's rotation.
    """

    stamp_ns: int
    step_ns: int
    steps: Sequence[Pose]
    deltas: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PoseWindow:
    """Poses at stamp_ns + k * knot_ns (plan clock); the last one stays.

    origin: where the plan began, at rest, before any window of it.
    same_until_ns: plan time up to which they equal those of the window before.
    """

    stamp_ns: int
    knot_ns: int
    poses: Sequence[Pose]
    origin: Pose
    same_until_ns: int = 0


@dataclass(frozen=True, slots=True)
class _Delay:
    """How far a chunk is followed behind its own time because something is in the way.

    ns: at `knot`. Up to knot `end` the chunk's time passes with the share of its own speed. After
    it the stop ramp plays, and the chunk's time stands still.
    """

    ns: int = 0
    knot: int = 0
    end: int = 2**60
    share: float = 1.0

    def at(self, knot: int, knot_ns: int) -> int:
        slow = min(max(knot - self.knot, 0), self.end - self.knot)
        return self.ns + round(((1.0 - self.share) * slow + max(knot - self.end, 0)) * knot_ns)


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A window that was not sent yet: its motions from now on, and what sending it changes."""

    now_ns: int
    motions: list[PoseMotion]
    over: bool
    delay: _Delay


class PoseCourse:
    """The commanded motion of one end effector; no windows before `start`.

    Call `window` (or `resent`, or `repeated`), send it, then call `keep`. The caller makes all
    calls one after another.
    """

    def __init__(self, limits: PoseLimits, knot_ns: int, commit_ns: int, horizon_ns: int) -> None:
        """commit_ns: how far ahead a window equals the one before; horizon_ns: where it brakes."""
        self._limits, self._knot_ns = limits, knot_ns
        self._commit, self._horizon = -(-commit_ns // knot_ns), horizon_ns // knot_ns
        self._commit_ns, self._sent_ns = commit_ns, 0
        self._follower = PoseFollower(limits, knot_ns)
        self._first, self._motions = 0, list[PoseMotion]()
        self._origin: Pose  # from `start` on
        self._chunk: PoseChunk | None = None
        self._delay = _Delay()
        self._repeats_left = 0
        self._made: _Made | None = None

    @property
    def knot_s(self) -> float:
        """Time between two poses of a window."""
        return self._knot_ns * 1e-9

    @property
    def following(self) -> bool:
        """Whether there is a chunk that has not been played to its end."""
        return self._chunk is not None

    @property
    def started(self) -> bool:
        """Whether there is a pose to continue from."""
        return bool(self._motions)

    def start(self, now_ns: int, held: Pose) -> None:
        """Begin at rest at `held`; raises PlanError if it is outside the box or not finite."""
        self._motions = [self._follower.standing(held)]
        self._origin = held
        self._first, self._chunk, self._repeats_left = now_ns // self._knot_ns, None, 0
        self._made, self._sent_ns, self._delay = None, now_ns, _Delay()

    def rest_at_end(self, now_ns: int) -> None:
        """Drop the chunk and rest at the end of the last window, whose stop ramp plays.

        Sends no window for that.
        """
        if self._motions:
            self.start(now_ns, self._motions[-1].pose)

    def judge(self, chunk: PoseChunk, now_ns: int) -> str:
        """Why the chunk must not be followed from now on; empty if it may."""
        if not self._motions:
            return "pose: got a chunk, expected a start before it"
        return self._unfit(self._summed(chunk), self._splice_ns(now_ns))

    def follow(self, chunk: PoseChunk, now_ns: int) -> str:
        """Follow the chunk after the committed part, or return why it is refused."""
        reason = self.judge(chunk, now_ns)
        if not reason:
            self._chunk, self._repeats_left, self._made = self._summed(chunk), REST_REPEATS, None
            self._delay = _Delay()
        return reason

    def stop(self) -> None:
        """Brake to rest after the committed part, and hold."""
        if self._chunk is not None:
            self._chunk, self._repeats_left, self._made = None, REST_REPEATS, None

    def at_rest(self, now_ns: int) -> bool:
        """Whether it rests from now on, unless a chunk comes."""
        return not self._motions or now_ns // self._knot_ns >= self._first + len(self._motions) - 1

    def end_ns(self, made: bool = False) -> int:
        """Plan time at which the last sent window ends at rest.

        made: assume that the window made last was sent as well.
        """
        last = self._first + len(self._motions) - 1
        if made and self._made is not None:
            made_knot = self._made.now_ns // self._knot_ns
            last = max(last, made_knot + len(self._made.motions) - 1)
        return last * self._knot_ns

    def overdue_ns(self, now_ns: int) -> int:
        """Time since the last window was sent, ns, if it exceeds the commit time; else 0.

        After a longer gap, a window that was lost before it would make the next one a step. Also 0
        if the motion ended within the commit time, so that no window was due.
        """
        gap_ns = now_ns - self._sent_ns
        end_ns = (self._first + len(self._motions) - 1) * self._knot_ns
        ended = end_ns <= self._sent_ns + self._commit_ns  # no window was due
        return 0 if ended or gap_ns <= self._commit_ns else gap_ns

    def pose(self, now_ns: int) -> Pose:
        """The commanded pose at the knot before now_ns; raises PlanError before `start`."""
        if not self._motions:
            raise PlanError("pose: got a request for a pose, expected start() before it")
        return self._motion(now_ns // self._knot_ns).pose

    def window(self, now_ns: int, lag_ns: int = 0, share: float = 1.0) -> PoseWindow | None:
        """The window to send now, or None if nothing is left to send; then call `keep`.

        lag_ns: how far behind its own time the joints follow the same chunk. share: of its own
        speed with which the chunk is followed, and of the limits of speed; 0: brake at once.
        """
        self._made = None
        if not self._has_windows:
            return None
        knot = now_ns // self._knot_ns
        chunk = self._chunk
        ahead = range(1, self._commit + 1)
        motions = [self._motion(knot), *(self._motion(knot + k) for k in ahead)]
        splice, end = knot + self._commit, knot + self._horizon
        delay = _Delay(self._delay.at(splice, self._knot_ns), splice, end, share)
        if chunk is not None and share > 0.0:
            for k in range(splice + 1, end + 1):
                behind_ns = lag_ns + delay.at(k, self._knot_ns)
                target = target_at(chunk, k * self._knot_ns - behind_ns)
                motions.append(self._follower.towards(motions[-1], target, share))
        while not motions[-1].at_rest:
            motions.append(self._follower.braking(motions[-1]))
        behind_ns = lag_ns + self._delay.at(knot, self._knot_ns)
        over = chunk is not None and self._over(chunk, knot, behind_ns)
        self._made = _Made(now_ns, motions, over, delay)
        return self._window(knot, motions, splice)

    def resent(self, now_ns: int) -> PoseWindow | None:
        """What was sent, from now on, as the window to send; None once it has played.

        Unlike after `repeated`, `keep` records that it was sent.
        """
        self._made = None
        if self.at_rest(now_ns):
            return None
        knot = now_ns // self._knot_ns
        motions = [self._motion(k) for k in range(knot, self._first + len(self._motions))]
        self._made = _Made(now_ns, motions, False, self._delay)
        return self._window(knot, motions, knot + len(motions) - 1)

    def remaining(self, now_ns: int) -> Sequence[Pose]:
        """The poses that were sent, from now to the rest at their end."""
        knot = now_ns // self._knot_ns
        last = max(self._first + len(self._motions) - 1, knot)
        return [self._motion(k).pose for k in range(knot, last + 1)]

    def repeated(self, now_ns: int) -> PoseWindow | None:
        """The last sent window again, from now on; None if nothing is left to send.

        `keep` has no effect after it.
        """
        self._made = None
        if not self._has_windows:
            return None
        knot = now_ns // self._knot_ns
        last = max(self._first + len(self._motions) - 1, knot + self._commit)
        poses = [self._motion(k).pose for k in range(knot, last + 1)]
        same_until_ns = last * self._knot_ns
        return PoseWindow(knot * self._knot_ns, self._knot_ns, poses, self._origin, same_until_ns)

    def keep(self) -> None:
        """Record that the window made last was sent.

        Windows end once the chunk has played and the rest was sent often enough.
        """
        made, self._made = self._made, None
        if made is None:
            return
        self._sent_ns, self._delay = made.now_ns, made.delay
        self._remember(self._sent_ns // self._knot_ns, made.motions)
        if self._chunk is None:
            self._repeats_left -= 1
        elif made.over:
            self._chunk = None

    def _window(self, knot: int, motions: list[PoseMotion], same_until: int) -> PoseWindow:
        poses = [motion.pose for motion in motions]
        same_until_ns = same_until * self._knot_ns
        return PoseWindow(knot * self._knot_ns, self._knot_ns, poses, self._origin, same_until_ns)

    @property
    def _has_windows(self) -> bool:
        """Whether there is a pose to continue from and something left to send."""
        return self.started and (self._chunk is not None or self._repeats_left > 0)

    def _remember(self, knot: int, motions: list[PoseMotion]) -> None:
        """Store what was sent, and one second of what was sent before: deltas may start there."""
        past = max(self._first, knot - round(1e9 / self._knot_ns))
        before = [self._motion(k) for k in range(past, knot)]
        self._first, self._motions = min(past, knot), before + motions

    def _over(self, chunk: PoseChunk, knot: int, lag_ns: int) -> bool:
        """Whether the chunk has played and its last pose is reached."""
        over = knot * self._knot_ns - lag_ns > chunk.stamp_ns + len(chunk.steps) * chunk.step_ns
        return over and self._motion(knot).slower_than(_REACHED_SPEED)

    def _splice_ns(self, now_ns: int) -> int:
        return (now_ns // self._knot_ns + self._commit) * self._knot_ns

    def _motion(self, knot: int) -> PoseMotion:
        return self._motions[min(max(knot - self._first, 0), len(self._motions) - 1)]

    def _summed(self, chunk: PoseChunk) -> PoseChunk:
        """The chunk with deltas added up from the pose that was commanded at the observation.

        Starting from the measured pose would add the arm's sag below its command at each chunk.
        """
        if not chunk.deltas:
            return chunk
        at = self._motion(chunk.stamp_ns // self._knot_ns).pose
        poses = [at]
        for delta in chunk.steps:
            at = Pose(at.position + delta.position, delta.rotation @ at.rotation)
            poses.append(at)
        return PoseChunk(chunk.stamp_ns, chunk.step_ns, poses)

    def _unfit(self, chunk: PoseChunk, splice_ns: int) -> str:
        for k, pose in enumerate(chunk.steps):
            if not (np.isfinite(pose.position).all() and np.isfinite(pose.rotation).all()):
                return f"step {k}: got {pose.position}, {pose.rotation}, expected finite numbers"
        if splice_ns > chunk.stamp_ns + (len(chunk.steps) - 1) * chunk.step_ns:
            return "late: got a chunk whose last step is over, expected one to come"
        return self._jump(chunk, splice_ns) or self._outside(chunk, splice_ns)

    def _jump(self, chunk: PoseChunk, splice_ns: int) -> str:
        planned = self._motion(splice_ns // self._knot_ns).pose
        far, turned = target_at(chunk, splice_ns).away_from(planned)
        if far <= self._limits.jump_m and turned <= self._limits.jump_rad:
            return ""
        return (
            f"jump: got a first pose {far:.3f} m and {turned:.3f} rad from the one held, expected "
            f"at most {self._limits.jump_m:g} m and {self._limits.jump_rad:g} rad"
        )

    def _outside(self, chunk: PoseChunk, splice_ns: int) -> str:
        for k, pose in enumerate(chunk.steps):
            out = np.maximum(self._limits.lower - pose.position, pose.position - self._limits.upper)
            if chunk.stamp_ns + k * chunk.step_ns >= splice_ns and out.max() > CLAMP_M:
                return (
                    f"workspace: got {pose.position} m at step {k}, expected at most {CLAMP_M} m "
                    f"outside the box {self._limits.lower}, {self._limits.upper}"
                )
        return ""


def target_at(chunk: PoseChunk, at_ns: int) -> Pose:
    """The chunk's pose at `at_ns`: linear between two steps, constant before and after the chunk.

    The rotation between two steps is about one axis, the shorter way round.
    """
    along = (at_ns - chunk.stamp_ns) / chunk.step_ns
    last = len(chunk.steps) - 1
    index = min(max(int(along // 1), 0), last)
    part = min(max(along - index, 0.0), 1.0)
    return chunk.steps[index].towards(chunk.steps[min(index + 1, last)], part)
