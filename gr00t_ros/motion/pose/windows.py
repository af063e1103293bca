"""The windows of all end effectors that are commanded by poses, made and checked together.

All accept a chunk together or refuse it together. With a check, their windows are proven clear,
as the planner does it for joints: if a window is not clear, the chunk is followed more slowly,
until its stop ramp ends before the obstacle. If no slower motion is clear, what was sent stays: it
was proven too, and ends at rest. Only if that is no longer clear, the end effectors brake at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from gr00t_ros.errors import PlanError
from gr00t_ros.motion.clearance import Clearance, PoseMotionCheck
from gr00t_ros.motion.pose.course import PoseChunk, PoseCourse, PoseWindow
from gr00t_ros.robot.outputs import PoseOutput
from gr00t_ros.robot.rotation import Pose


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
        self.clearance = Clearance[PoseMotionCheck]()
        self._made: Mapping[str, PoseWindow] = {}  # in this tick
        self._made_in: int | None = None

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
            held, limits = measured[name], self._outputs[name].limits
            if course.started and limits.near(sent := course.pose(now_ns), held):
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
        made, self._made = set(self._made), {}
        sent = made if names is None else made & set(names)
        if sent:
            # If only some were sent, the courses are a mix that was not checked.
            self.clearance.sent_in = self._made_in if sent == made else None

    def windows(self, now_ns: int, lag_ns: int, anew: bool = True) -> Mapping[str, PoseWindow]:
        """The windows to send now, of those outputs that have something left to send.

        anew: True: continue the motion; False: repeat what was sent.
        """
        if not anew:
            windows = {name: course.repeated(now_ns) for name, course in self._courses.items()}
            return {name: window for name, window in windows.items() if window is not None}
        check = self.clearance.check
        if check is None:
            return self._windows(now_ns, lag_ns)
        check.begin({name: course.pose(now_ns) for name, course in self._courses.items()})
        self._made = self._clear_windows(now_ns, lag_ns)
        self._made_in = self.clearance.scene
        return self._made

    def _clear_windows(self, now_ns: int, lag_ns: int) -> Mapping[str, PoseWindow]:
        """The windows that follow the chunks as fast as is clear, or what was sent."""
        clearance, courses = self.clearance, self._courses.values()
        following = any(course.following for course in courses)
        if not following:
            clearance.rate.free()
        for share in clearance.rate.tries() if following else (1.0,):
            made = self._windows(now_ns, lag_ns, share)
            if self._is_clear(made, now_ns, reserve=not following):
                if following:
                    clearance.rate.take(share, now_ns)
                return made
            clearance.rate.meet(clearance.ahead)
        if following:
            clearance.rate.take(0.0, now_ns)
        tried = clearance.ahead
        made = {n: w for n, c in self._courses.items() if (w := c.resent(now_ns)) is not None}
        if clearance.stands or self._is_clear(made, now_ns, reserve=True):
            clearance.ahead = tried
            return made
        clearance.stops_unproven()
        return self._windows(now_ns, lag_ns, 0.0)

    def _is_clear(self, made: Mapping[str, PoseWindow], now_ns: int, reserve: bool) -> bool:
        """Whether all ways are proven clear, from now to the end of their stop ramps.

        End effectors at rest stay where they are, whatever comes near them.
        """
        check, courses = self.clearance.check, self._courses
        ways = {
            name: made[name].poses if name in made else course.remaining(now_ns)
            for name, course in courses.items()
        }
        if check is None or all(_rests(way) for way in ways.values()):
            return True
        knot_s = next(iter(courses.values())).knot_s
        return self.clearance.found(check.look(ways, knot_s, reserve))

    def _windows(self, now_ns: int, lag_ns: int, share: float = 1.0) -> Mapping[str, PoseWindow]:
        made = {n: course.window(now_ns, lag_ns, share) for n, course in self._courses.items()}
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
