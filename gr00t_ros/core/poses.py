"""All end effectors of a robot that are commanded by poses: one course each, judged as one.

A chunk is followed by all of them or by none. Knows no message and no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from gr00t_ros.core.errors import PlanError
from gr00t_ros.core.pose_course import PoseChunk, PoseCourse, PoseWindow
from gr00t_ros.core.pose_follower import Pose
from gr00t_ros.core.pose_output import PoseOutput


class Poses:
    """The courses of a robot's pose outputs; its caller serialises the calls."""

    def __init__(
        self, outputs: Sequence[PoseOutput], knot_ns: int, commit_ns: int, horizon_ns: int
    ) -> None:
        """Times as those of `PoseCourse`."""
        self._outputs = {output.name: output for output in outputs}
        self._courses = {
            output.name: PoseCourse(output.limits, knot_ns, commit_ns, horizon_ns)
            for output in outputs
        }

    def __len__(self) -> int:
        """How many end effectors there are."""
        return len(self._courses)

    def start(self, now_ns: int, measured: Mapping[str, Pose]) -> None:
        """Begin at rest, each where it was sent last if it is still near that, else where it is.

        From its own last pose an impedance controller's sag is no step (design decision 11); one
        that others have moved away since begins where it is measured.
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
        """Why the chunks must not be followed from now on, empty when all may."""
        for name, course in self._courses.items():
            reason = course.judge(chunks[name], now_ns)
            if reason:
                return f"output {name}: {reason}"
        return ""

    def follow(self, chunks: Mapping[str, PoseChunk], now_ns: int) -> None:
        """Follow chunks that `judge` has nothing against."""
        for name, course in self._courses.items():
            course.follow(chunks[name], now_ns)

    def stop(self) -> None:
        """Come to rest inside the limits, and hold."""
        for course in self._courses.values():
            course.stop()

    def settle(self, now_ns: int) -> None:
        """Forget what is followed; hold, unsaid, the end of what was sent."""
        for course in self._courses.values():
            course.settle(now_ns)

    def overdue_ns(self, now_ns: int) -> int:
        """How long ago a window of one of them left where that is too long for its motion, ns."""
        return max((course.overdue_ns(now_ns) for course in self._courses.values()), default=0)

    def at_rest(self, now_ns: int) -> bool:
        """Whether all rest from now on unless a chunk comes."""
        return all(course.at_rest(now_ns) for course in self._courses.values())

    def end_ns(self, made: bool = False) -> int:
        """Plan time at which the last of them rests by what was sent; made: as of `PoseCourse`."""
        return max((course.end_ns(made) for course in self._courses.values()), default=0)

    def keep(self, names: Collection[str] | None = None) -> None:
        """The windows made last have left, those of `names` or all."""
        for name, course in self._courses.items():
            if names is None or name in names:
                course.keep()

    def windows(self, now_ns: int, lag_ns: int, anew: bool = True) -> dict[str, PoseWindow]:
        """The windows to send now, of those outputs that have something to say.

        anew: else they repeat what was sent.
        """
        windows = {
            name: course.window(now_ns, lag_ns) if anew else course.repeated(now_ns)
            for name, course in self._courses.items()
        }
        return {name: window for name, window in windows.items() if window is not None}
