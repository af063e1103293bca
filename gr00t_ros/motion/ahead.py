"""How far what was sent moves the joints between an observation and the execution of its chunk.

The motion is read from the courses that were sent, never extrapolated: where they do not say what
the arm does, there is no answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.plan import Course

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """The plan's motion in the `by_ns` after an observation: (J,) of each joint, in its unit."""

    by_ns: int
    joints: Floats


def moved(
    courses: Sequence[Course], stamp_ns: int, latency_ns: int, commit_ns: int
) -> Moved | None:
    """The motion from an observation until its chunk is executed; None if it is not known.

    courses: as sent, newest first. stamp_ns: plan time of the observation. latency_ns: from there
    to the merge of its chunk; the chunk takes over a commit later. Give the shortest latency: the
    first rows of a chunk that comes later are skipped, but one that comes before its first row is
    due has nothing to say until then. The end is at most where the stop ramp of the newest course
    begins: that plays only if nothing follows.
    """
    if not courses:
        return None
    horizon_ns = courses[0].horizon_knot * courses[0].knot_ns
    until_ns = min(stamp_ns + latency_ns + commit_ns, horizon_ns)
    begin, end = _sent(courses, stamp_ns), _sent(courses, until_ns)
    if begin is None or end is None or until_ns <= stamp_ns:
        return None
    return Moved(until_ns - stamp_ns, end - begin)


def _sent(courses: Sequence[Course], at_ns: int) -> Floats | None:
    """(J,) that was sent for a time, by the newest course that has it."""
    course = next((c for c in courses if c.first_knot * c.knot_ns <= at_ns), None)
    return None if course is None else course.at(at_ns).position
