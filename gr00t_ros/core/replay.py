"""Replay of action chunks: guard, reference, shaper and plan behind one face for the node.

Its caller serialises the calls and passes plan time. Each call computes first and keeps its
result last: one that raises leaves the plan as it was sent, whose stop tail plays.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core import plan
from gr00t_ros.core.chunk import ActionChunk
from gr00t_ros.core.errors import PlanError
from gr00t_ros.core.guard import Verdict, check
from gr00t_ros.core.limits import JointLimits
from gr00t_ros.core.pace import paced
from gr00t_ros.core.plan import Course, Window
from gr00t_ros.core.reference import Reference
from gr00t_ros.core.replay_settings import ReplaySettings
from gr00t_ros.core.shaper import Shaper, bounds
from gr00t_ros.core.stop import Rows, State, stop

__all__ = ["Counts", "Replay", "ReplaySettings", "Verdict", "Window"]

Floats = NDArray[np.float64]

# A reference that no longer moves is reached where the plan comes to rest so close to it: far below
# what a robot's joints show.
_SETTLED_RAD = 1e-4
# Spare time of the deadline of an answer, beside the commit time (control.md 3).
_ANSWER_SPARE_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class Counts:
    """What has happened since construction.

    windows: made. held_joints: times a joint kept its course because its new motion would have
    broken a limit. rebases: times the plan had to go on from its own stop tail.
    """

    accepted: int = 0
    clamped: int = 0
    refused: int = 0
    late: int = 0
    windows: int = 0
    held_joints: int = 0
    rebases: int = 0


class Replay:
    """One plan over all joints: chunks in, windows out."""

    def __init__(self, limits: JointLimits, settings: ReplaySettings) -> None:
        """Raises SettingsError for settings that contradict each other."""
        self._limits = limits
        self._settings = settings.check()
        self._knot_s = settings.knot_ns * 1e-9
        self._within = bounds(limits, settings.velocity_scale)
        self._checked = np.isfinite(limits.jump)
        self._shaper = Shaper(self._within, self._knot_s, foreseen=self._checked)
        self._reference = Reference(settings.merge, settings.fade_ns)
        self._course: Course | None = None
        self._stop_due = False
        self._stopped: str | None = None
        self._newest: ActionChunk | None = None
        self._merged_ns = 0
        self._anchored_knot = 0
        self._deviation = np.zeros(len(limits.names))
        self._counts = Counts()

    # --- what the node tells -------------------------------------------------------------

    def start(self, now_ns: int, held: Floats) -> None:
        """Hold `held` (J,) rad, the position that the controller holds (design decision 11).

        Not for use in motion, nor after an own stop: the plan then goes on from its tail's end.
        Raises PlanError if a position is not finite.
        """
        self._course = plan.rest(held, now_ns // self._settings.knot_ns, self._settings.knot_ns)
        self._reference.clear()
        self._newest = None
        self._anchored_knot = 0
        self._stop_due, self._stopped = False, None

    def accept(self, chunk: ActionChunk, now_ns: int) -> Verdict:
        """Judge a chunk and follow it from the first knot that is not committed yet."""
        course, branch = self._on(now_ns)
        splice_ns = branch * self._settings.knot_ns
        held = course.state(branch).position
        if self._stopped is not None:
            reason = f"stopped: {self._stopped}"
            return self._judged(Verdict(False, False, "stopped", reason, 0, None))
        verdict = check(chunk, self._limits, splice_ns, held)
        if verdict.joints is not None:
            if self._adrift(course, branch):
                self._reference.clear()
            lag_ns = course.lag_at(branch)
            self._reference.merge(chunk, verdict.joints, splice_ns, held, lag_ns)
            self._anchor(branch)
            if self._settings.merge == "offset_decay":
                self._course = course.on_time()
            self._newest, self._merged_ns = chunk, splice_ns
        return self._judged(verdict)

    def stop(self, now_ns: int, reason: str) -> None:
        """Stop inside the limits as soon as what is committed has played; refuse further chunks."""
        self._on(now_ns)
        self._reference.clear()
        self._newest = None
        self._stop_due, self._stopped = True, reason

    def resume(self) -> None:
        """Take chunks again after a stop, even while it is still under way."""
        self._stopped = None

    def tick(self, now_ns: int) -> Window | None:
        """The window to send now, or None when there is nothing new to say.

        Raises PlanError before `start`, or where no lawful motion was found.
        """
        course, branch = self._on(now_ns)
        if self._stop_due:
            course = self._stopping(course, branch, now_ns)
        elif self._still_to_go(course, branch):
            course = self._following(self._rebased(course, branch), branch, now_ns)
        elif course.end_ns < now_ns + self._settings.delivery_ns:
            return None  # it would arrive after its end, which the controller rejects
        else:
            course = course.since(self._first_knot(now_ns))
        window = course.window()
        self._course, self._stop_due = course, False
        self._count(windows=1)
        return window

    # --- what the node asks --------------------------------------------------------------

    def position(self, now_ns: int) -> Floats:
        """(J,) rad, what the controller plays or holds."""
        return self._started().at(now_ns).position

    def velocity(self, now_ns: int) -> Floats:
        """(J,) rad/s, what the controller plays."""
        return self._started().at(now_ns).velocity

    def at_rest(self, now_ns: int) -> bool:
        """Whether everything that was sent has played out."""
        return not self._stop_due and self._started().end_ns <= now_ns

    @property
    def stopped(self) -> str | None:
        """The reason of the stop that refuses chunks, if there is one."""
        return self._stopped

    @property
    def counts(self) -> Counts:
        """What has happened so far."""
        return self._counts

    @property
    def deviation_rad(self) -> Floats:
        """(J,) rad, the newest window's distance from the raw reference at its branch knot."""
        return self._deviation

    def lag_ns(self, now_ns: int) -> int:
        """How far the reference has been slowed down to respect velocity limits, ns."""
        return self._started().lag_at(now_ns // self._settings.knot_ns)

    def remaining_ns(self, now_ns: int) -> int:
        """Raw reference that is left, ns; 0 without one."""
        end_ns = self._reference.end_ns
        return max(0, end_ns - now_ns) if end_ns is not None else 0

    def consumed_steps(self, now_ns: int) -> int:
        """Steps of the newest merged chunk that have been played since it was merged."""
        if self._newest is None:
            return 0
        stamp_ns, step_ns = self._newest.stamp_ns, self._newest.step_ns
        first = max(0, -((stamp_ns - self._merged_ns) // step_ns))
        due = min((now_ns - stamp_ns) // step_ns, len(self._newest.joints) - 1)
        return max(0, due + 1 - first)

    def query_by_ns(self, latency_ns: int) -> int | None:
        """Plan time by which to ask for the next chunk so that motion goes on; None: at once."""
        end_ns = self._reference.end_ns
        if end_ns is None:
            return None
        return end_ns - latency_ns - self._settings.commit_ns - _ANSWER_SPARE_NS

    # --- how it is made ------------------------------------------------------------------

    def _started(self) -> Course:
        if self._course is None:
            raise PlanError("replay: got a call before start(), expected start() first")
        return self._course

    def _on(self, now_ns: int) -> tuple[Course, int]:
        """The course, and the first knot that is not committed at now_ns."""
        course = self._started()
        knot_ns = self._settings.knot_ns
        if now_ns < course.first_knot * knot_ns:
            raise PlanError(f"replay: time ran back to {now_ns} ns, expected start() after it")
        return course, -(-(now_ns + self._settings.commit_ns) // knot_ns)

    def _following(self, course: Course, branch: int, now_ns: int) -> Course:
        knot_ns = self._settings.knot_ns
        last = max(branch, (now_ns + self._settings.horizon_ns) // knot_ns)
        knots = np.arange(branch, last + 1 + self._shaper.preview_knots, dtype=np.int64)
        raw, lags = paced(
            self._inside, knots * knot_ns, course.lag_at(branch), self._within, self._checked
        )
        state = course.state(branch)
        body = self._shaper.follow(state, raw)
        end = State(*(np.vstack(pair)[-1] for pair in zip(state, body, strict=True)))
        tail = self._tail(end)
        new = Rows(*(np.concatenate(pair) for pair in zip(body, tail, strict=True)))
        extended = self._lawful(course, branch, new, lags[1 : len(body.position) + 1], now_ns)
        self._deviation = state.position - raw[0]
        return extended

    def _stopping(self, course: Course, branch: int, now_ns: int) -> Course:
        tail = self._tail(course.state(branch))
        return self._lawful(course, branch, tail, np.zeros(0, dtype=np.int64), now_ns)

    def _lawful(
        self, course: Course, branch: int, new: Rows, lags: NDArray[np.int64], now_ns: int
    ) -> Course:
        rows, held = plan.keep_lawful(course, branch, new, self._within)
        self._count(held_joints=held)
        return plan.extend(course, self._first_knot(now_ns), branch, rows, lags)

    def _first_knot(self, now_ns: int) -> int:
        """A stamp of 0 would mean "now" to the controller, hence at least knot 1."""
        return max(1, (now_ns - self._settings.past_ns) // self._settings.knot_ns)

    def _tail(self, state: State) -> Rows:
        return stop(state, self._within.acceleration, self._within.jerk, self._knot_s)

    def _inside(self, times_ns: NDArray[np.int64]) -> Floats:
        """The raw reference, what fades in outside the position limits kept inside."""
        upper, negated_lower = self._within.sides
        raw = self._reference.sample(times_ns)
        inside: Floats = np.minimum(np.maximum(raw, -negated_lower), upper)
        return inside

    def _still_to_go(self, course: Course, branch: int) -> bool:
        """Whether the reference still moves, or rests elsewhere than the plan will."""
        settled_ns = self._reference.settled_ns
        if settled_ns is None:
            return False
        if self._adrift(course, branch) and self._too_far(course, branch):
            self._reference.clear()
            return False
        at_ns = self._own_ns(course, branch)
        goal = self._inside(np.array([at_ns]))[0]
        away = np.abs(course.state(course.last_knot).position - goal).max()
        return at_ns < settled_ns or bool(away > _SETTLED_RAD)

    def _rebased(self, course: Course, branch: int) -> Course:
        """The course to go on from; if adrift, the reference begins anew where the arm is."""
        if not self._adrift(course, branch):
            return course
        at_ns = branch * self._settings.knot_ns
        self._reference.restart(at_ns, course.state(branch).position)
        self._anchor(branch)
        self._count(rebases=1)
        return course.on_time()

    def _adrift(self, course: Course, branch: int) -> bool:
        """Whether the arm has left the reference for the stop tail of what was sent last."""
        return branch > max(course.horizon_knot, self._anchored_knot)

    def _anchor(self, branch: int) -> None:
        span_ns = self._settings.horizon_ns - self._settings.commit_ns
        self._anchored_knot = branch + span_ns // self._settings.knot_ns

    def _too_far(self, course: Course, branch: int) -> bool:
        goal = self._inside(np.array([self._own_ns(course, branch)]))[0]
        return bool(np.any(np.abs(course.state(branch).position - goal) > self._limits.jump))

    def _own_ns(self, course: Course, branch: int) -> int:
        """The reference's own time that is followed at the branch knot."""
        return branch * self._settings.knot_ns - course.lag_at(branch)

    def _judged(self, verdict: Verdict) -> Verdict:
        self._count(
            accepted=int(verdict.accepted),
            clamped=int(verdict.clamped),
            late=int(verdict.kind == "late"),
            refused=int(not verdict.accepted and verdict.kind != "late"),
        )
        return verdict

    def _count(self, **added: int) -> None:
        now = self._counts
        self._counts = replace(now, **{k: getattr(now, k) + n for k, n in added.items()})
