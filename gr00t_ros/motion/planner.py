"""Extends the plan along the reference, tick by tick, or stops it.

The plan is what was sent (design decision 15): `propose` makes a window, and `keep` makes it the
plan once it was sent. If a window was not sent, or `propose` raised, the plan stays as it was sent,
and its stop ramp plays. If the velocity limit is lowered in motion, a ramp leads the motion to the
new limit, which is enforced once the arm is slower.

With a `check`, each window is proven clear to its last point before it is proposed. If none is,
what was sent before stays: it was proven too, and ends at rest.
"""

import sys
from collections import deque
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import PlanError
from gr00t_ros.motion import plan
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.clearance import Ahead, Clearance, MotionCheck
from gr00t_ros.motion.commit_time import CommitTime
from gr00t_ros.motion.plan import Arrival, Course, Window
from gr00t_ros.motion.reference import Reference, slowing_per_s, time_scaled
from gr00t_ros.motion.replay_settings import PUBLISH_NS, ReplaySettings
from gr00t_ros.motion.shaper import Rows, Shaper, State, bounds, stop
from gr00t_ros.robot.limits import JointLimits

Floats = NDArray[np.float64]

# A reference that no longer moves counts as reached if the plan comes to rest this close to it: far
# below what a robot's joints can resolve.
_SETTLED_RAD = 1e-4

# By then a controller without windows is at rest.
_REPLACED_KEPT_NS = 640_000_000

SOON_NS = PUBLISH_NS + 3_000_000
"""Time in which a window of a stop inside the committed part is published and mostly arrives."""


@dataclass(slots=True)
class _Proposal:
    """A course that was not sent yet, and the planner's state from before it was made."""

    made_ns: int
    reference: Reference
    anchored_knot: int
    replan: bool
    course: Course | None = None
    proven_in: int | None = None
    same_until_ns: int = 0
    new_from_ns: int = sys.maxsize
    stops: bool = False


class Planner:
    """The course of all joints and the reference that it follows."""

    def __init__(
        self, limits: JointLimits, settings: ReplaySettings, check: MotionCheck | None = None
    ) -> None:
        self.reference = Reference(settings.merge, settings.fade_ns)
        self.stop_due = False
        self._soon = False  # the stop that is due begins inside the committed part
        # What was sent before such a stop, and how often the stop was made anew from there.
        self._before_soon: Course | None = None
        self._made_anew = 0
        self.clearance = Clearance(check)
        self._limits, self._jump = limits, limits.jump
        self._settings = settings
        self._knot_s = settings.knot_ns * 1e-9
        # Limits: those that each window keeps, those that the reference is followed with now, and
        # those that both become as soon as the arm is slow enough.
        self._within = self._aim = self._target = bounds(limits, settings.velocity_scale)
        self._scale = self._target_scale = settings.velocity_scale
        self._checked = np.isfinite(limits.jump)
        self._shaper = Shaper(self._within, self._knot_s, foreseen=self._checked)
        self._course: Course | None = None
        self._replaced: deque[Course] = deque(maxlen=-(-_REPLACED_KEPT_NS // settings.refresh_ns))
        self._anchored_knot = 0
        self._replan = True
        self._proposed: _Proposal | None = None
        self._abandoned = False
        self._sent_ns = 0
        self.commit = CommitTime(settings)
        self.made_commit_ns = settings.commit_ns
        """The commit time of the window made last."""
        # Those of the windows that were sent last, the newest at the end.
        self._sent_commits_ns: deque[int] = deque(maxlen=max(1, settings.lost_windows))
        self._arrival = Arrival(settings.delivery_jitter_ns + PUBLISH_NS, settings.commit_ns)
        # For each of the last `lost_windows` windows: the plan time from which it differs from the
        # window before. If all are lost, the next window is new from the earliest of these times.
        self._new_from_ns: deque[int] = deque(maxlen=settings.lost_windows)
        self.latest_end_ns = 0  # plan time at which all rests, whichever sent windows were lost

    @property
    def course(self) -> Course:
        """The course that was sent. Raises PlanError before `start`."""
        if self._course is None:
            raise PlanError("plan: got a call before start(), expected start() first")
        return self._course

    @property
    def courses(self) -> tuple[Course, ...]:
        """The course that was sent and those before it, newest first; empty before `start`.

        They never change: another thread may read them.
        """
        return () if self._course is None else (self._course, *reversed(self._replaced))

    def replaced(self, at_ns: int) -> Iterator[State]:
        """The motion at `at_ns` of the courses that were sent before the newest, newest first.

        A controller plays one of these if all later windows were lost.
        """
        for course in reversed(self._replaced):
            if course.first_knot * course.knot_ns <= at_ns:
                yield course.at(at_ns)

    def start(self, now_ns: int, held: Floats) -> None:
        """Begin a new plan at rest at `held` (J,) rad. Raises PlanError if it is not finite."""
        self._course = plan.rest(held, now_ns // self._settings.knot_ns, self._settings.knot_ns)
        self.reference.clear()
        self._arrival.clear()
        self._replaced.clear()
        self._anchored_knot, self._sent_ns = 0, now_ns
        self._proposed, self._abandoned, self.stop_due = None, False, False
        self._before_soon = None
        self._new_from_ns.clear()
        self._sent_commits_ns.clear()
        self.latest_end_ns = self.course.end_ns
        self.clearance.sent_in = None
        self.clearance.rate.free()

    def limit_speed(self, velocity_scale: float) -> None:
        """Use this share of the velocity limits from now on, or once the arm is slow enough.

        A faster plan is slowed down from the next window on, inside the old limits. Until then it
        gets no faster than what was sent.
        """
        self._target_scale = velocity_scale
        self._target = bounds(self._limits, velocity_scale)
        if self._course is not None:
            used = np.abs(self._course.rows.velocity) / self._limits.velocity
            self._scale = max(velocity_scale, min(self._scale, float(used.max())))

    def abandon(self) -> None:
        """Propose no more windows; the stop ramp of the sent course plays. `start` ends this."""
        self._withdraw()
        self.reference.clear()
        self._arrival.clear()
        self._abandoned, self.stop_due = True, False
        self._before_soon = None

    def states_received(self, at_ns: int | None, slept: bool = False, stamp_ns: int = 0) -> None:
        """Record new states of all controllers, the oldest at `at_ns`: they show what arrived.

        None: not every controller publishes states; then all windows count as arrived. slept: this
        process was not running before, so the gap shows nothing about the network. stamp_ns: the
        state's own stamp, 0 if it has none or the state before was another controller's.
        """
        if at_ns is None:
            self._arrival.forget()
        else:
            self._arrival.received(at_ns, slept, stamp_ns)

    def windows_may_be_lost(self, now_ns: int) -> bool:
        """Whether a controller may play something else than the plan, because a window was lost.

        A window sent while no state came may be lost. Send nothing more of this plan then.
        """
        until_ns = self._arrival.safe_until_ns()
        return not self._abandoned and until_ns is not None and until_ns < now_ns

    def overdue_ns(self, now_ns: int) -> int:
        """Time since the last window was sent, ns, if it exceeds the commit time; else 0.

        After a gap longer than the commit time, a window that was lost before the gap would make
        the next one a step: what the controllers play is then unknown. Also 0 if no window was due:
        the motion ended within the commit time, and every change was sent often enough.
        """
        gap_ns, commit_ns = now_ns - self._sent_ns, self.sent_commit_ns
        ended = not self.repeats_due and self.course.end_ns <= self._sent_ns + commit_ns
        return 0 if self._abandoned or ended or gap_ns <= commit_ns else gap_ns

    @property
    def repeats_due(self) -> bool:
        """Whether a change of the motion was sent in so few windows that all of them may be lost.

        Each change, of whatever kind, is sent in at least `lost_windows` + 1 windows.
        """
        changes = any(from_ns != sys.maxsize for from_ns in self._new_from_ns)
        return changes and not self._abandoned

    def forget(self, now_ns: int) -> None:
        """Drop what was to follow a course at rest. Its past stays, because windows contain it.

        The course has played out at `now_ns`, so no window is missing from then on.
        """
        self._withdraw()
        self.reference.clear()
        self._arrival.clear()
        self._anchored_knot, self._sent_ns = 0, now_ns
        self._new_from_ns.clear()
        self._sent_commits_ns.clear()
        self.latest_end_ns, self.stop_due = self.course.end_ns, False
        self.clearance.sent_in = self._before_soon = None

    def branch(self, now_ns: int) -> int:
        """The first knot that is not committed yet. Raises PlanError if time ran back."""
        if now_ns < self.course.first_knot * self._settings.knot_ns:
            raise PlanError(f"plan: time ran back to {now_ns} ns, expected start() after it")
        commit_ns = self.commit.at(now_ns)
        covered_ns = self._settings.delivery_within(commit_ns)
        self._arrival.commit_ns = commit_ns
        self._arrival.delivery_ns = min(covered_ns, self._settings.delivery_jitter_ns + PUBLISH_NS)
        return self.new_from_knot(now_ns)

    def new_from_knot(self, at_ns: int) -> int:
        """The first knot that a window made at `at_ns` may change with the present commit time."""
        return -(-(at_ns + self.commit.commit_ns) // self._settings.knot_ns)

    def join(self, chunk: ActionChunk, joints: Floats, branch: int) -> None:
        """Follow the guarded `joints` (T, J) of a chunk from the branch knot on."""
        self._withdraw()
        self._before_soon = None
        course = self.course
        if self._adrift(course, branch):
            self.reference.clear()
        if self._settings.merge == "offset_decay" or not self.reference:
            self._course = course.on_time()  # the lag becomes part of the jump that fades
        self.reference.merge(
            chunk,
            joints,
            branch * self._settings.knot_ns,
            course.state(branch).position,
            course.lag_at(branch),
        )
        self._anchor(branch)

    def stop(self, soon: bool = False) -> None:
        """Stop from the next tick's branch knot on, and clear the reference.

        soon: from the first knot on that a window of the next tick can reach, inside the committed
        part. A window that cannot be sent before that knot is not sent, and made anew. As every
        change it is sent in `lost_windows` + 1 windows, also if it ends sooner. A controller
        that receives it d seconds after that knot, because the network was slow or the first one
        was lost, makes a step in velocity of at most jerk * d^2: both motions keep the limit of
        jerk and part at that knot.
        """
        self._withdraw()
        self.reference.clear()
        self.stop_due = not self._abandoned
        self._soon = soon and self.stop_due
        if not self.repeats_due:  # else an earlier soon stop may have reached nobody
            self._before_soon, self._made_anew = None, 0

    def stop_anew(self, joints: NDArray[np.bool_], at_ns: int) -> bool:
        """Make good a soon stop whose windows so far did not reach these `joints` (J,).

        at_ns: plan time at which they played what was sent before. The next window stops them from
        there, because the stop as it was sent would now be a step. A window that may have arrived
        since is repeated as it is. False if that was done for `lost_windows` windows already, if
        the stop was sent in more windows than may be lost, or if it is none; nothing changes then.
        """
        before = self._before_soon
        if before is None or not self.repeats_due or self._made_anew >= self._settings.lost_windows:
            return False
        if at_ns < self._sent_ns + self._settings.delivery_jitter_ns + PUBLISH_NS:
            return True
        self._withdraw()
        self._course, self._replan = plan.mixed(before, self.course, ~joints), True
        self.clearance.sent_in = None  # a mix that nobody planned
        self._new_from_ns.clear()
        self._made_anew += 1
        self.stop_due = self._soon = True
        return True

    def propose(self, now_ns: int, tolerates_loss: bool = True) -> Window | None:
        """The window to send now; None if nothing moves and everything was sent often enough.

        It reaches to the end of the commit time at least, at rest there if the motion ends sooner:
        a controller rejects a window that has ended when it arrives. Call `keep` once it was sent.
        tolerates_loss: compute its `same_until_ns` as if the last `lost_windows` windows had been
        lost; else as if all had arrived.
        """
        self._withdraw()
        course, branch = self.course, self.branch(now_ns)
        self.made_commit_ns = self.commit.commit_ns
        if self._abandoned or self._may_be_step(now_ns):
            return None
        self._slow_down(course, branch)
        self._proposed = proposed = self._proposal(now_ns)
        check = self.clearance.check
        if check is not None:
            check.begin(course.state(now_ns // self._settings.knot_ns).position)
            self._prove_again(check, now_ns)
        changed: int | None = branch
        if self.stop_due:
            course, changed = self._clear_stop(course, branch, now_ns)
        elif self._still_to_go(course, branch):
            course, changed = self._clear_following(course, branch, now_ns)
        else:
            if self.reference:
                self.clearance.rate.free()
            course, changed = self._repeated(course, branch, now_ns)
        arrives_ns = now_ns + self._covered_ns(self.sent_commit_ns)
        repeats = self.repeats_due and not self.overdue_ns(now_ns)
        if changed is None and course.end_ns < arrives_ns and not repeats:
            self._proposed = None
            return None  # all was sent, and it would arrive after the motion has ended
        proposed.proven_in = self.clearance.scene
        window = course.window(changed, at_least_to=branch)
        proposed.course, proposed.same_until_ns = course, window.same_until_ns
        if changed is not None:
            proposed.new_from_ns = window.same_until_ns
            proposed.stops = self.stop_due
        if self.stop_due and self._soon and changed is not None:
            sent_by_ns = self._soon_knot(now_ns) * self._settings.knot_ns
            until_ns = min(window.same_until_ns, sent_by_ns + self.covered_ns)
            window = replace(window, same_until_ns=until_ns)
        if not tolerates_loss:
            return window
        return replace(window, same_until_ns=min((window.same_until_ns, *self._new_from_ns)))

    @property
    def sent_commit_ns(self) -> int:
        """The commit time of the window that was sent last; the longest before the first."""
        return self._sent_commits_ns[-1] if self._sent_commits_ns else self._settings.commit_ns

    @property
    def covered_ns(self) -> int:
        """The longest delivery that the window made last and those before it cover.

        Only those that may be lost count. They were made for the delivery that was known then: one
        that is longer since does not withhold a window that may be in time, which would end in a
        pause. Ask before `keep`.
        """
        before = islice(reversed(self._sent_commits_ns), self._settings.lost_windows)
        return self._covered_ns(*before)

    def _covered_ns(self, *commits_ns: int) -> int:
        """The delivery that the window made last covers, and others with these commit times."""
        return self._settings.delivery_within(min(self.made_commit_ns, *commits_ns, sys.maxsize))

    @property
    def proposed_end_ns(self) -> int:
        """Plan time of rest if the proposed window may have been sent: the later of both ends."""
        proposed = self._proposed
        made = None if proposed is None else proposed.course
        return max(self.course.end_ns, 0 if made is None else made.end_ns)

    @property
    def proposed(self) -> bool:
        """Whether a window was made that was neither sent nor withdrawn."""
        return self._proposed is not None and self._proposed.course is not None

    @property
    def proposed_from_ns(self) -> int | None:
        """Plan time from which the proposed window is new; None without one, or if it repeats."""
        proposed = self._proposed
        if proposed is None or proposed.course is None or proposed.new_from_ns == sys.maxsize:
            return None
        return proposed.new_from_ns

    def keep(self, joints: NDArray[np.bool_] | None = None) -> None:
        """Record that the proposed window was sent: for the `joints` (J,), or for all of them."""
        proposed = self._proposed
        if proposed is None or proposed.course is None or (joints is not None and not joints.any()):
            self._withdraw()
            return
        self._arrival.sent(proposed.made_ns, proposed.same_until_ns)
        since_ns = min(proposed.made_ns - self._sent_ns, self._settings.refresh_ns)
        self._replaced.append(self.course)
        if proposed.stops and self._soon and self._before_soon is None:
            self._before_soon = self.course
        if joints is None or joints.all():
            self._course = proposed.course
            self.stop_due &= not proposed.stops  # a stop that was not clear is tried again
            self._sent_ns = proposed.made_ns
            self._sent_commits_ns.append(self.made_commit_ns)
            self._new_from_ns.append(proposed.new_from_ns)
            self.clearance.sent_in = proposed.proven_in
        else:
            self.clearance.sent_in = None  # a mix that nobody planned
            self._course, self._replan = plan.mixed(self.course, proposed.course, joints), True
            # For the other joints the last window is the one before.
            before_ns = self._new_from_ns.pop() if self._new_from_ns else sys.maxsize
            self._new_from_ns.append(min(before_ns, proposed.new_from_ns))
            shortest_ns = min(self.sent_commit_ns, self.made_commit_ns)
            if self._sent_commits_ns:
                self._sent_commits_ns.pop()
            self._sent_commits_ns.append(shortest_ns)
        self._proposed = None
        self.latest_end_ns = max(self.latest_end_ns, self.course.end_ns)
        self._lower_scale(since_ns)

    def _may_be_step(self, now_ns: int) -> bool:
        """Whether a window sent now may be a step to a controller that missed earlier ones."""
        until_ns = self._arrival.safe_until_ns()
        return until_ns is not None and now_ns + self._arrival.delivery_ns > until_ns

    def _proposal(self, now_ns: int) -> _Proposal:
        return _Proposal(now_ns, copy(self.reference), self._anchored_knot, self._replan)

    def _withdraw(self) -> None:
        """Drop a proposal that was not sent, and restore the state from before it."""
        self._restore()
        self._proposed = None

    def _restore(self) -> None:
        """Restore the state from before the proposal."""
        before = self._proposed
        if before is not None:
            self.reference, self._anchored_knot = before.reference, before.anchored_knot
            self._replan = before.replan

    @property
    def _slowing(self) -> bool:
        """Whether what was sent is still faster than the lowered limit."""
        return self._within is not self._target

    def _slow_down(self, course: Course, branch: int) -> None:
        """Lead the motion towards the lowered limit; enforce it once nothing sent is faster.

        It must not be enforced earlier: a joint that keeps its old course would break it.
        """
        if not self._slowing:
            return
        if plan.keeps_speed(course, branch, self._target):
            self._within, self._scale, self._replan = self._target, self._target_scale, True
        self._aim = bounds(self._limits, self._scale)
        self._shaper.keep_within(self._aim)

    def _lower_scale(self, since_ns: int) -> None:
        """Lower the velocity scale by the share of the time since the window before."""
        if self._slowing:
            per_s = slowing_per_s(self._target, self._target_scale)
            slower = self._scale - per_s * since_ns * 1e-9
            self._scale = max(self._target_scale, slower)

    def _clear_following(
        self, course: Course, branch: int, now_ns: int
    ) -> tuple[Course, int | None]:
        """The course that follows the reference as fast as is clear, and where it is new."""
        sent, rate = course, self.clearance.rate
        course = self._rebased(course, branch)
        for share in rate.tries():
            anew = self._replan or self._slowing or share < 1.0
            changed = branch if anew else max(branch, course.horizon_knot)
            made = self._following(course, changed, now_ns, share)
            if self._is_clear(made, now_ns):
                rate.take(share, now_ns)
                self._replan |= share < 1.0
                return made, changed
            rate.meet(self.clearance.ahead)
        rate.take(0.0, now_ns)
        self._restore()
        self._replan = True
        return self._repeated(sent, branch, now_ns, self.clearance.ahead)

    def _clear_stop(self, course: Course, branch: int, now_ns: int) -> tuple[Course, int | None]:
        """The stop ramp from the branch knot on, or what was sent if only that is clear.

        A stop that is due soon has its branch knot earlier. It counts as new from `branch` on all
        the same: later windows repeat it, and their steps are bounded (`stop`).
        """
        soon = min(branch, self._soon_knot(now_ns)) if self._soon else branch
        for first in dict.fromkeys((soon, branch)):
            made = self._stopping(course, first, now_ns)
            if self._is_clear(made, now_ns, reserve=True):
                return made, branch
        return self._repeated(course, branch, now_ns)

    def _soon_knot(self, now_ns: int) -> int:
        """The first knot that a window of this tick can reach."""
        return -(-(now_ns + SOON_NS) // self._settings.knot_ns)

    def _repeated(
        self, course: Course, branch: int, now_ns: int, tried: Ahead | None = None
    ) -> tuple[Course, int | None]:
        """What was sent; if that is no longer clear, the earliest stop inside the limits.

        tried: what is reported if that was sent is clear.
        """
        same = course.since(self._first_knot(now_ns))
        if self.clearance.stands or self._is_clear(same, now_ns, reserve=True):
            self.clearance.ahead = tried or self.clearance.ahead
            return same, None
        self.clearance.stops_unproven()
        return self._stopping(course, branch, now_ns), branch

    def _prove_again(self, check: MotionCheck, now_ns: int) -> None:
        """Prove what was sent in a scene that has changed, before other ways use up the tick."""
        if self.clearance.sent_in is None or self.clearance.stands:
            return
        sent = self.course.since(self._first_knot(now_ns))
        clear = self._is_clear(sent, now_ns, reserve=True)
        self.clearance.sent_in = check.scene if clear else None

    def _is_clear(self, course: Course, now_ns: int, reserve: bool = False) -> bool:
        """Whether the whole rest of the course is proven clear, from now to its stop ramp's end.

        An arm at rest stays where it is, whatever comes near it.
        """
        now_knot, check = now_ns // self._settings.knot_ns, self.clearance.check
        if check is None or course.last_knot <= now_knot:
            return True
        rows = course.rows_between(now_knot, course.last_knot)
        if not np.any(rows.velocity) and not np.any(rows.acceleration):
            return True
        return self.clearance.found(check.look(rows, self._knot_s, reserve))

    def _following(self, course: Course, branch: int, now_ns: int, share: float) -> Course:
        """The course up to the new horizon, computed again from the branch knot on.

        share: of its own speed at which the reference is followed at most.
        """
        knot_ns = self._settings.knot_ns
        last = max(branch, (now_ns + self._settings.horizon_ns) // knot_ns)
        knots = np.arange(branch, last + 1 + self._shaper.preview_knots, dtype=np.int64)
        raw, lags = time_scaled(
            self._inside, knots * knot_ns, course.lag_at(branch), self._aim, self._checked, share
        )
        state = course.state(branch)
        body = self._shaper.follow(state, raw)
        end = State(*(field[-1] for field in body)) if len(body.position) else state
        new = Rows(*(np.concatenate(pair) for pair in zip(body, self._stop_ramp(end), strict=True)))
        return self._extended(course, branch, new, lags[1 : len(body.position) + 1], now_ns)

    def _stopping(self, course: Course, branch: int, now_ns: int) -> Course:
        ramp = self._stop_ramp(course.state(branch))
        return self._extended(course, branch, ramp, np.zeros(0, dtype=np.int64), now_ns)

    def _extended(
        self, course: Course, branch: int, new: Rows, lags: NDArray[np.int64], now_ns: int
    ) -> Course:
        rows, kept = plan.keep_within_limits(course, branch, new, self._within)
        extended = plan.extend(course, self._first_knot(now_ns), branch, rows, lags)
        self._replan = kept > 0  # a joint that kept its course tries again at the next tick
        return extended

    def _first_knot(self, now_ns: int) -> int:
        """The first knot of a window: at least 1, as a stamp of 0 means "now" to a controller."""
        return max(1, (now_ns - self._settings.past_ns) // self._settings.knot_ns)

    def _stop_ramp(self, state: State) -> Rows:
        return stop(state, self._within.acceleration, self._within.jerk, self._knot_s)

    def _inside(self, times_ns: NDArray[np.int64]) -> Floats:
        """The raw reference (N, J) clipped to position limits: a fading jump may exceed them."""
        upper, negated_lower = self._within.sides
        raw = self.reference.sample(times_ns)
        inside: Floats = np.minimum(np.maximum(raw, -negated_lower), upper)
        return inside

    def _still_to_go(self, course: Course, branch: int) -> bool:
        """Whether the reference still moves, or rests elsewhere than the plan will.

        An arm that is too far behind after a stall stays where it is: no guard has checked the
        motion that would catch up.
        """
        settled_ns = self.reference.settled_ns
        if settled_ns is None:
            return False
        adrift = self._adrift(course, branch)
        at_ns = branch * self._settings.knot_ns - course.lag_at(branch)
        moves = at_ns < settled_ns or (self._slowing and not adrift)
        if moves and not adrift:
            return True  # the usual case, which needs no goal
        goal = self._inside(np.array([at_ns]))[0]
        away = np.abs(course.state(branch).position - goal)
        if adrift and np.any(away > self._jump):
            self.reference.clear()
            return False
        rest = course.state(course.last_knot).position
        return moves or bool(np.abs(rest - goal).max() > _SETTLED_RAD)

    def _rebased(self, course: Course, branch: int) -> Course:
        """The course to continue; if adrift, the reference restarts where the arm is."""
        if not self._adrift(course, branch):
            return course
        at_ns = branch * self._settings.knot_ns
        self.reference.restart(at_ns, course.state(branch).position)
        self._anchor(branch)
        return course.on_time()

    def _adrift(self, course: Course, branch: int) -> bool:
        """Whether the arm already follows the stop ramp of the last sent window."""
        return branch > max(course.horizon_knot, self._anchored_knot)

    def _anchor(self, branch: int) -> None:
        """Note that the reference joins the course at `branch` and is new from there on."""
        span_ns = self._settings.horizon_ns - self.commit.commit_ns
        self._anchored_knot = branch + span_ns // self._settings.knot_ns
        self._replan = True
