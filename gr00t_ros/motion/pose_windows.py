"""The windows of all end effectors that are commanded by poses, made and checked together.

All accept a chunk together or refuse it together. With obstacles, their windows are proven clear,
as the planner does it for joints: if a window is not clear, the chunk is followed more slowly,
until its stop ramp ends before the obstacle. If no slower motion is clear, what was sent stays: it
was proven too, and ends at rest. Only if that is no longer clear, the end effectors brake at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from gr00t_ros.errors import PlanError
from gr00t_ros.motion.clearance import Ahead, PoseObstacles, Rate
from gr00t_ros.motion.poses import PoseChunk, PoseCourse, PoseWindow
from gr00t_ros.robot.outputs import PoseOutput
from gr00t_ros.robot.rotation import Pose


class PoseClearance:
    """The check of all end effectors together, and what it found last."""

    def __init__(self) -> None:
        self.obstacles: PoseObstacles | None = None
        self.ahead = Ahead("")
        self.over_budget = 0
        self.unproven_stops = 0
        """How often the end effectors had to stop on a way that was not proven."""
        self.rate = Rate()
        """How fast chunks are followed, and what is in their way."""
        self._proven_in: int | None = None  # the scene in which all that was sent was proven clear
        self._stops_unproven = False
        self._made: Mapping[str, PoseWindow] = {}
        self._made_in: int | None = None

    def forget(self) -> None:
        """What was sent no longer counts: the end effectors begin anew, at rest."""
        self._proven_in, self._stops_unproven = None, False
        self.rate.free()

    def windows(
        self, courses: Mapping[str, PoseCourse], now_ns: int, lag_ns: int
    ) -> Mapping[str, PoseWindow]:
        """The windows to send now; `keep` follows. lag_ns: as in `PoseCourse.window`."""
        if self.obstacles is None:
            return _windows(courses, now_ns, lag_ns)
        self.obstacles.begin({name: course.pose(now_ns) for name, course in courses.items()})
        self._made = self._clear(courses, now_ns, lag_ns)
        self._made_in = None if self._stops_unproven else self.obstacles.scene
        return self._made

    def keep(self, names: Collection[str] | None) -> None:
        """Record which of the windows made last were sent; None: all.

        If only some were, the courses are a mix that was not checked.
        """
        made, self._made = set(self._made), {}
        sent = made if names is None else made & set(names)
        if sent:
            self._proven_in = self._made_in if sent == made else None

    def _clear(
        self, courses: Mapping[str, PoseCourse], now_ns: int, lag_ns: int
    ) -> Mapping[str, PoseWindow]:
        following = any(course.following for course in courses.values())
        if not following:
            self.rate.free()
        for share in self.rate.tries() if following else (1.0,):
            made = _windows(courses, now_ns, lag_ns, share)
            if self._is_clear(courses, made, now_ns, reserve=not following):
                if following:
                    self.rate.take(share, now_ns)
                return made
            self.rate.meet(self.ahead)
        if following:
            self.rate.take(0.0, now_ns)
        tried = self.ahead
        made = {n: w for n, c in courses.items() if (w := c.resent(now_ns)) is not None}
        proven = self.obstacles is not None and self._proven_in == self.obstacles.scene
        if proven or self._is_clear(courses, made, now_ns, reserve=True):
            self.ahead = tried
            return made
        self.unproven_stops += not self._stops_unproven
        self._stops_unproven = True
        return _windows(courses, now_ns, lag_ns, 0.0)

    def _is_clear(
        self,
        courses: Mapping[str, PoseCourse],
        made: Mapping[str, PoseWindow],
        now_ns: int,
        reserve: bool,
    ) -> bool:
        """Whether all ways are proven clear, from now to the end of their stop ramps.

        End effectors at rest stay where they are, whatever comes near them.
        """
        ways = {
            name: made[name].poses if name in made else course.remaining(now_ns)
            for name, course in courses.items()
        }
        if self.obstacles is None or all(_rests(way) for way in ways.values()):
            return True
        knot_s = next(iter(courses.values())).knot_s
        self.ahead = self.obstacles.look(ways, knot_s, reserve)
        self.over_budget += self.ahead.over_budget
        self._stops_unproven &= not self.ahead.clear
        return self.ahead.clear


def _windows(
    courses: Mapping[str, PoseCourse], now_ns: int, lag_ns: int, share: float = 1.0
) -> Mapping[str, PoseWindow]:
    made = {name: course.window(now_ns, lag_ns, share) for name, course in courses.items()}
    return {name: window for name, window in made.items() if window is not None}


def _rests(way: Sequence[Pose]) -> bool:
    first = way[0]
    return all(
        pose is first
        or (
            np.array_equal(pose.position, first.position)
            and np.array_equal(pose.rotation, first.rotation)
        )
        for pose in way
    )


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
        self.clearance = PoseClearance()

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
        self.clearance.forget()

    def pose(self, name: str, now_ns: int) -> Pose:
        """The commanded pose of one output; see `PoseCourse.pose`."""
        return self._courses[name].pose(now_ns)

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
        self.clearance.forget()

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
        self.clearance.keep(names)

    def windows(self, now_ns: int, lag_ns: int, anew: bool = True) -> Mapping[str, PoseWindow]:
        """The windows to send now, of those outputs that have something left to send.

        anew: True: continue the motion; False: repeat what was sent.
        """
        if anew:
            return self.clearance.windows(self._courses, now_ns, lag_ns)
        windows = {name: course.repeated(now_ns) for name, course in self._courses.items()}
        return {name: window for name, window in windows.items() if window is not None}
