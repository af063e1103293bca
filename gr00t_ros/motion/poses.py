"""The courses of the end effectors that are commanded by poses: chunks of poses in, windows out.

A window repeats what is committed, follows the chunk up to its horizon and then brakes to rest, so
that a player without a further window comes to rest inside the limits. All end effectors of a robot
accept a chunk together or refuse it together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import PlanError
from gr00t_ros.motion.pose_follower import PoseFollower, PoseMotion
from gr00t_ros.robot.limits import PoseLimits
from gr00t_ros.robot.outputs import PoseOutput
from gr00t_ros.robot.rotation import Pose, matrix_of_vector, vector_of_matrix

# How far outside the box a pose is still followed to the wall, m (control.md 3, as for joints).
CLAMP_M = 0.05
# Number of windows that repeat a rest, for a reader that joined late or lost one.
_REPEATS = 25
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

    same_until_ns: plan time up to which they equal those of the window before.
    """

    stamp_ns: int
    knot_ns: int
    poses: Sequence[Pose]
    same_until_ns: int = 0


class PoseCourse:
    """The commanded motion of one end effector; no windows before `start`.

    Call `window` (or `repeated`), send it, then call `keep`. The caller makes all calls one after
    another.
    """

    def __init__(self, limits: PoseLimits, knot_ns: int, commit_ns: int, horizon_ns: int) -> None:
        """commit_ns: how far ahead a window equals the one before; horizon_ns: where it brakes."""
        self._limits, self._knot_ns = limits, knot_ns
        self._commit, self._horizon = -(-commit_ns // knot_ns), horizon_ns // knot_ns
        self._commit_ns, self._sent_ns = commit_ns, 0
        self._follower = PoseFollower(limits, knot_ns)
        self._first, self._motions = 0, list[PoseMotion]()
        self._chunk: PoseChunk | None = None
        self._repeats_left = 0
        self._made: tuple[int, list[PoseMotion], bool] | None = None

    @property
    def started(self) -> bool:
        """Whether there is a pose to continue from."""
        return bool(self._motions)

    def start(self, now_ns: int, held: Pose) -> None:
        """Begin at rest at `held`; raises PlanError if it is outside the box or not finite."""
        self._motions = [self._follower.standing(held)]
        self._first, self._chunk, self._repeats_left = now_ns // self._knot_ns, None, 0
        self._made, self._sent_ns = None, now_ns

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
            self._chunk, self._repeats_left, self._made = self._summed(chunk), _REPEATS, None
        return reason

    def stop(self) -> None:
        """Brake to rest after the committed part, and hold."""
        if self._chunk is not None:
            self._chunk, self._repeats_left, self._made = None, _REPEATS, None

    def at_rest(self, now_ns: int) -> bool:
        """Whether it rests from now on, unless a chunk comes."""
        return not self._motions or now_ns // self._knot_ns >= self._first + len(self._motions) - 1

    def end_ns(self, made: bool = False) -> int:
        """Plan time at which the last sent window ends at rest.

        made: assume that the window made last was sent as well.
        """
        last = self._first + len(self._motions) - 1
        if made and self._made is not None:
            last = max(last, self._made[0] + len(self._made[1]) - 1)
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

    def window(self, now_ns: int, lag_ns: int = 0) -> PoseWindow | None:
        """The window to send now, or None if nothing is left to send; then call `keep`.

        lag_ns: how far behind its own time the joints follow the same chunk.
        """
        self._made = None
        if not self._has_windows:
            return None
        knot = now_ns // self._knot_ns
        chunk = self._chunk
        ahead = range(1, self._commit + 1)
        motions = [self._motion(knot), *(self._motion(knot + k) for k in ahead)]
        if chunk is not None:
            for k in range(self._commit + 1, self._horizon + 1):
                target = target_at(chunk, (knot + k) * self._knot_ns - lag_ns)
                motions.append(self._follower.towards(motions[-1], target))
        while not motions[-1].at_rest:
            motions.append(self._follower.braking(motions[-1]))
        over = chunk is not None and self._over(chunk, knot, lag_ns)
        self._made = now_ns, motions, over
        poses = [motion.pose for motion in motions]
        same_until_ns = (knot + self._commit) * self._knot_ns
        return PoseWindow(knot * self._knot_ns, self._knot_ns, poses, same_until_ns)

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
        return PoseWindow(knot * self._knot_ns, self._knot_ns, poses, last * self._knot_ns)

    def keep(self) -> None:
        """Record that the window made last was sent.

        Windows end once the chunk has played and the rest was sent often enough.
        """
        made, self._made = self._made, None
        if made is None:
            return
        self._sent_ns, motions, over = made
        self._remember(self._sent_ns // self._knot_ns, motions)
        if self._chunk is None:
            self._repeats_left -= 1
        elif over:
            self._chunk = None

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
        held = self._motion(splice_ns // self._knot_ns).pose
        far, turned = target_at(chunk, splice_ns).away_from(held)
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
    before, after = chunk.steps[index], chunk.steps[min(index + 1, last)]
    turn = vector_of_matrix(after.rotation @ before.rotation.T)
    position: NDArray[np.float64] = before.position + part * (after.position - before.position)
    return Pose(position, matrix_of_vector(part * turn) @ before.rotation)


class Poses:
    """The courses of a robot's pose outputs; the caller makes all calls one after another."""

    def __init__(
        self, outputs: Sequence[PoseOutput], knot_ns: int, commit_ns: int, horizon_ns: int
    ) -> None:
        """Times as in `PoseCourse`."""
        self._outputs = {output.name: output for output in outputs}
        self._courses = {
            output.name: PoseCourse(output.limits, knot_ns, commit_ns, horizon_ns)
            for output in outputs
        }

    def __len__(self) -> int:
        """How many end effectors there are."""
        return len(self._courses)

    def start(self, now_ns: int, measured: Mapping[str, Pose]) -> None:
        """Begin at rest: each at its last commanded pose if it is still near it, else where it is.

        Restart from the last commanded pose: seeding from the measured pose would turn an impedance
        controller's sag into a step (design decision 11). An end effector that was moved away since
        begins at its measured pose.
        Raises PlanError for an end effector that is not measured or outside its box.
        """
        for name, course in self._courses.items():
            if name not in measured:
                raise PlanError(f"output {name}: its end effector is not measured")
            held = measured[name]
            if course.started:
                limits, sent = self._outputs[name].limits, course.pose(now_ns)
                far, turned = sent.away_from(held)
                if far <= limits.jump_m and turned <= limits.jump_rad:
                    held = sent
            course.start(now_ns, held)

    def judge(self, chunks: Mapping[str, PoseChunk], now_ns: int) -> str:
        """Why the chunks must not be followed from now on; empty if all may."""
        for name, course in self._courses.items():
            reason = course.judge(chunks[name], now_ns)
            if reason:
                return f"output {name}: {reason}"
        return ""

    def follow(self, chunks: Mapping[str, PoseChunk], now_ns: int) -> None:
        """Follow chunks that `judge` accepted."""
        for name, course in self._courses.items():
            course.follow(chunks[name], now_ns)

    def stop(self) -> None:
        """Brake to rest inside the limits, and hold."""
        for course in self._courses.values():
            course.stop()

    def rest_at_end(self, now_ns: int) -> None:
        """Drop the chunks; all rest at the end of their last window. Sends no window for that."""
        for course in self._courses.values():
            course.rest_at_end(now_ns)

    def overdue_ns(self, now_ns: int) -> int:
        """The longest `PoseCourse.overdue_ns`; 0 if no output is overdue."""
        return max((course.overdue_ns(now_ns) for course in self._courses.values()), default=0)

    def at_rest(self, now_ns: int) -> bool:
        """Whether all rest from now on, unless a chunk comes."""
        return all(course.at_rest(now_ns) for course in self._courses.values())

    def end_ns(self, made: bool = False) -> int:
        """The latest `PoseCourse.end_ns`; 0 without outputs."""
        return max((course.end_ns(made) for course in self._courses.values()), default=0)

    def keep(self, names: Collection[str] | None = None) -> None:
        """Record that the windows made last were sent: those of `names`, or all."""
        for name, course in self._courses.items():
            if names is None or name in names:
                course.keep()

    def windows(self, now_ns: int, lag_ns: int, anew: bool = True) -> dict[str, PoseWindow]:
        """The windows to send now, of those outputs that have something left to send.

        anew: True: continue the motion; False: repeat what was sent.
        """
        windows = {
            name: course.window(now_ns, lag_ns) if anew else course.repeated(now_ns)
            for name, course in self._courses.items()
        }
        return {name: window for name, window in windows.items() if window is not None}
