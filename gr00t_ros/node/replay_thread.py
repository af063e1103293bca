"""The replay thread: owns the session, ticks it on absolute deadlines, publishes its windows.

Other threads use the session only through `call` and `post`, and read `snapshot`. A window is sent
only if it can arrive in time: the clock is read directly before each message. The plan continues
from what was sent. If a tick raises, nothing is published and the controllers play the stop ramp of
the last window; the session then stops and latches a fault.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SendError, StalledError
from gr00t_ros.motion.clearance import Ahead
from gr00t_ros.motion.clocks import Awake, Latencies
from gr00t_ros.motion.plan import Course
from gr00t_ros.node.outputs import Outputs
from gr00t_ros.node.tracing.flows import Flows
from gr00t_ros.observe.moment import QueryTimes
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.periodic import PeriodicThread, sleep_until
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.overlap import Followed
from gr00t_ros.session.preview import PlayedWindows
from gr00t_ros.session.schedule import SessionCounts
from gr00t_ros.session.session import Session
from gr00t_ros.watch.finding import Finding, without_numbers
from gr00t_ros.watch.table import default, reasoned

T = TypeVar("T")

# Commands run at the start of a tick, so this is far more than a running thread needs.
_CALL_TIMEOUT_S = 1.0
# control.md 3, replay starvation: a gap of more than this many periods between ticks pauses.
STARVED_PERIODS: int = default("periods of refresh_ms")
_PLAYED_KEPT = 8  # windows of 0.16 s at 50 Hz: a measured state is not older while one is drawn
# A tick's computation takes less than this; if it takes longer, its window is sent later.
LEAD_NS = 3_000_000
# Least time between the windows of an extra tick and of the ticks before and after it.
_APART_NS = 5_000_000

_NEVER = "this was not carried out, and never will be"
_MAYBE = "this was begun, and may still be carried out"


class ActiveWatches(Protocol):
    """What the replay thread needs from the rest of the node; it calls this on its own thread."""

    def findings(self, now_ns: int, mode: Mode) -> Sequence[Finding]:
        """The present findings of the watches; `mode` is the session's."""

    def held(self) -> NDArray[np.float64] | None:
        """(J,) position that the controllers hold, None if unknown."""

    def ask(self, episode: int, times: QueryTimes | None, followed: Followed | None) -> bool:
        """Let the worker query with the newest observation; False if it is busy.

        It waits for a picture within `times`, steady time; None: it does not wait. followed: the
        chunk that the answer continues, if it does.
        """


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The session as of the last tick or call, for other threads.

    latched: a fault, also one whose stop is still under way.
    """

    mode: Mode
    reason: str
    episode: int
    counts: SessionCounts
    at_rest: bool
    latched: bool = False
    ahead: Ahead = Ahead("")
    unproven_stops: int = 0
    over_budget: int = 0
    commit_ns: int = 0
    commit_why: str = ""
    courses: tuple[Course, ...] = ()


class ReplayThread:
    """Runs from `start` to `stop`; an idle tick takes microseconds."""

    def __init__(
        self,
        session: Session,
        clock: PlanClock,
        outputs: Outputs,
        watches: ActiveWatches,
        period_ns: int,
        realtime_priority: int,
        log: Callable[[str], None],
        awake: Awake | None = None,
        flows: Flows | None = None,
    ) -> None:
        """Own `session` from `start` on; `log` gets error text from this thread.

        `awake` records when this thread runs, `flows` when the windows of a chunk were sent.
        """
        self._session, self._clock, self._outputs = session, clock, outputs
        self._watches, self._period_ns = watches, period_ns
        self._flows = flows or Flows(None)
        self._awake = awake or Awake(STARVED_PERIODS * period_ns)
        self._calls: queue.SimpleQueue[tuple[Callable[[Session, int], Any], Future[Any]]]
        self._calls = queue.SimpleQueue()
        self._ticked_ns = self._ticked_plan_ns = self._made_ns = 0
        self._ran_ns, self._left_out = 0, False
        self.withheld = 0
        """Messages that were not sent because they would have arrived too late."""
        self.snapshot = Snapshot(session.mode, session.reason, 0, SessionCounts(), True)
        self._told = session.mode, session.reason
        self.on_event: Callable[[], None] = _nothing
        """Called on this thread after mode or reason, but for numbers, have changed."""
        self.played: tuple[PlayedWindows, ...] = ()
        """The newest windows of this session, oldest first, each with what of it was sent."""
        settings = session.replay.settings
        # A window changes the motion from a knot on. Ticks that are sent a commit time before one
        # lose nothing by that; any other phase costs up to a whole knot for each chunk. Where the
        # commit time changes, they drift there (_renew).
        self._loop = PeriodicThread(
            "gr00t_replay",
            period_ns,
            realtime_priority,
            self._tick,
            log,
            self._after_crash,
            self._between,
            phase_ns=_phase_ns(settings.commit_ns),
            grid_ns=settings.knot_ns,
        )

    @property
    def due_ns(self) -> int:
        """When the tick that runs was due, or between two ticks the next one; steady time.

        Its windows are sent LEAD_NS later.
        """
        return self._loop.due_ns

    @property
    def latencies(self) -> Latencies:
        """How late the ticks began."""
        return self._loop.latencies

    def start(self) -> None:
        """Start the thread."""
        self._loop.start()

    def stop(self) -> None:
        """End the thread and wait for it; nothing is published afterwards."""
        self._loop.stop()

    def post(self, action: Callable[[Session, int], object], soon: bool = False) -> None:
        """Run `action(session, now_ns)` at the start of the next tick; what it raises is logged.

        soon: run it in an extra tick now, if that changes the motion earlier than the next tick.
        """
        self._queue(action).add_done_callback(self._tell)
        if soon:
            self._loop.wake()

    def call(self, action: Callable[[Session, int], T], stops: bool = False) -> T:
        """As `post`, but wait for the result; raises what the action raised.

        If this thread does not answer in time, the action is cancelled and StalledError raised: a
        command that was reported as failed must not run later (design decision 15). stops: the
        action stops the arm, so it is not cancelled and runs however late.
        """
        future = self._queue(action)
        done, _ = wait([future], _CALL_TIMEOUT_S)
        if not done:
            if not stops and future.cancel():
                raise StalledError(f"the replay thread does not answer: {_NEVER}", begun=False)
            done, _ = wait([future], _CALL_TIMEOUT_S)
        if not done:
            future.add_done_callback(self._tell)  # its caller will not know
            what = "this stop is carried out once it does" if stops else _MAYBE
            raise StalledError(f"the replay thread does not answer: {what}", begun=True)
        return future.result()

    def _queue(self, action: Callable[[Session, int], T]) -> Future[T]:
        future: Future[T] = Future()
        self._calls.put((action, future))
        return future

    def _tell(self, future: Future[Any]) -> None:
        """Log what an action raised whose caller does not wait for it."""
        error = future.exception()
        if isinstance(error, Exception):
            self._loop.tell(error)

    def _after_crash(self, error: Exception) -> None:
        """Fault: stop by sending or by the stop ramp, and send zero to outputs without a ramp."""
        session, now_ns = self._session, self._clock.now_ns()
        if not self._clock.simulated:
            now_ns = max(now_ns, self._made_ns)  # a plan may have begun there, a little ahead
        crash = f"internal error: {type(error).__name__}: {error}"
        try:
            if session.active and session.mode is not Mode.FAULT:
                held = self._held()
                if isinstance(error, SendError):
                    session.publication_unknown(now_ns, held, crash)
                else:
                    session.fault(now_ns, crash)
                session.end_stop_without_tick(now_ns, held)
            self._rest_commands(now_ns)
        finally:
            self._renew(now_ns)

    def _held(self) -> NDArray[np.float64] | None:
        try:
            return self._watches.held()
        except Exception:  # this may be what raised in the tick; the fault must still be latched
            return None

    def _rest_commands(self, now_ns: int) -> None:
        """Send outputs without joints the stop: a base must not play its last window to the end."""
        if not self._session.active:
            return
        commands = self._session.replay.command_window(now_ns)
        if commands is not None:
            left = self._outputs.publish(None, self._clock.offset_ns(), commands)
            self._session.keep(left)

    def _tick(self) -> None:
        self._run(self.due_ns + LEAD_NS)

    def _between(self) -> None:
        """An extra tick for a reply that has just come, if that pays and the ticks are far apart.

        Its window only makes the distance of two windows shorter, so what the commit time covers
        holds as before. Simulated time does not run between two messages of /clock.
        """
        send_ns, next_ns = time.monotonic_ns() + LEAD_NS, self.due_ns + LEAD_NS
        apart = min(send_ns - self._made_ns, next_ns - send_ns) >= _APART_NS
        if self._clock.simulated or not apart or not self._session.extra_pays(send_ns, next_ns):
            return
        self._run(send_ns)

    def _run(self, send_ns: int) -> None:
        """One tick, whose windows are sent at steady time `send_ns` and made for that instant.

        A tick takes longer after a new chunk, so windows are sent a fixed time after the deadline.
        Simulated time cannot be predicted: there they are sent at once.
        """
        steady_ns = time.monotonic_ns()
        self._awake.ran(steady_ns)
        if self._clock.simulated:
            if self._clock_is_old(steady_ns):
                return
            send_ns, now_ns = steady_ns, self._clock.now_ns()
        else:
            send_ns = now_ns = max(send_ns, steady_ns)
        self._made_ns = send_ns
        self._drain(now_ns)
        session = self._session
        starved = self._starved(now_ns)
        if session.active:
            findings = (*starved, *self._findings(now_ns))
            window = session.tick(now_ns, findings, self._watches.held())
            commands = session.replay.command_window(now_ns)
            poses = session.pose_windows(now_ns)
            self._flows.shaped()
            new_from_ns, sent = session.replay.planner.proposed_from_ns, None
            if window is not None or commands is not None or poses:
                sleep_until(send_ns)
                in_time = self._in_time(now_ns, send_ns)
                offset_ns = self._clock.offset_ns()
                sent = self._outputs.publish(window, offset_ns, commands, poses, in_time)
                session.keep(sent)
                if sent.joints.any() or not sent.poses.isdisjoint(poses):
                    self.played = (
                        *self.played[1 - _PLAYED_KEPT :],
                        PlayedWindows(window, poses, sent),
                    )
                new_from_ns = None if new_from_ns is None else new_from_ns + offset_ns
            self._flows.published(sent, new_from_ns, session.replay.stopped)
            self._ask(now_ns)
        else:
            self.played = ()
        self._renew(now_ns)

    def _ask(self, now_ns: int) -> None:
        """Have the worker query, if a query is due by the next tick.

        It leaves when the picture comes, so the worker waits for that. With simulated time it does
        not: how soon a plan time comes is unknown.
        """
        if not self._calls.empty():
            return  # it may be the answer to the last query, which decides when the next is due
        session, simulated = self._session, self._clock.simulated
        if session.query_due(now_ns + (0 if simulated else self._period_ns)):
            times = None if simulated else session.query_times()
            self._watches.ask(session.episode, times, session.followed(now_ns))

    def _renew(self, now_ns: int) -> None:
        """Update phase of the ticks, and `snapshot` for the others, also after one that raised."""
        self._loop.phase_ns = _phase_ns(self._session.replay.commit.commit_ns)
        self._take_snapshot(now_ns)
        told, now = self._told, (self.snapshot.mode, self.snapshot.reason)
        self._told = now
        same = now[1] == told[1] or without_numbers(now[1]) == without_numbers(told[1])
        if now[0] is not told[0] or not same:
            self._tell_event()

    def _take_snapshot(self, now_ns: int) -> None:
        session, replay = self._session, self._session.replay
        self.snapshot = Snapshot(
            session.mode,
            session.reason,
            session.episode,
            replace(session.counts),
            not session.active or replay.at_rest(now_ns),
            session.latched,
            replay.ahead,
            replay.unproven_stops,
            replay.over_budget,
            replay.commit.commit_ns,
            replay.commit.why,
            replay.planner.courses if session.active else (),
        )

    def _tell_event(self) -> None:
        """Call `on_event`. What it raises is logged: a status that comes late stops no arm."""
        try:
            self.on_event()
        except Exception as error:
            self._loop.tell(error)

    def _in_time(self, made_ns: int, send_ns: int) -> Callable[[int | None], bool]:
        """The check whether a message made for plan time `made_ns` may be sent now.

        `send_ns` is the same instant in steady time. A message may take the delivery time and must
        arrive before its first new point is played. It must also arrive within the commit time
        after its tick, because the window before it may be lost. Both clocks are read: after the
        process slept, a simulated clock stands still until the executor receives /clock again.
        """
        replay = self._session.replay
        delivery_ns = replay.planner.covered_ns

        def in_time(same_until_ns: int | None) -> bool:
            until_ns = made_ns + replay.planner.made_commit_ns
            if same_until_ns is not None:
                until_ns = min(until_ns, same_until_ns)
            spent_ns = max(self._clock.now_ns() - made_ns, time.monotonic_ns() - send_ns)
            arrives = made_ns + spent_ns + delivery_ns <= until_ns
            replay.commit.late(made_ns + spent_ns, spent_ns)
            if not arrives:
                self.withheld += 1
                replay.commit.doubt("a window was withheld, as it would have come too late")
            return arrives

        return in_time

    def _clock_is_old(self, steady_ns: int) -> bool:
        """Whether this tick is left out: after a gap /clock may not have been received since.

        Only one: the next tick has the time that passed meanwhile, however late it is.
        """
        gap_ns, self._ran_ns = steady_ns - (self._ran_ns or steady_ns), steady_ns
        self._left_out = gap_ns > STARVED_PERIODS * self._period_ns and not self._left_out
        return self._left_out

    def _starved(self, now_ns: int) -> tuple[Finding, ...]:
        """A finding if this thread did not run in time."""
        gap_ns = self._since_tick_ns(now_ns)
        self._ticked_ns, self._ticked_plan_ns = time.monotonic_ns(), now_ns
        return self._starvation(gap_ns)

    def _since_tick_ns(self, now_ns: int) -> int:
        """Steady time since the last tick began, and in simulated time plan time, if it is less.

        Where simulated time is slow, the controllers have played only that much meanwhile.
        """
        gap_ns = time.monotonic_ns() - self._ticked_ns if self._ticked_ns else 0
        return min(gap_ns, now_ns - self._ticked_plan_ns) if self._clock.simulated else gap_ns

    def _starvation(self, gap_ns: int) -> tuple[Finding, ...]:
        """A finding after a long gap; after more than the commit time a window may be lost too."""
        if gap_ns <= STARVED_PERIODS * self._period_ns:
            return ()
        text = (
            f"replay thread: {gap_ns / 1e9:.2f} s between two ticks, at most "
            f"{STARVED_PERIODS * self._period_ns / 1e9:.2f} s allowed; check the CPU's load"
        )
        is_longer = gap_ns > self._session.replay.planner.sent_commit_ns
        return (reasoned("replay_starvation", text, stop_ramp_only=is_longer),)

    def _findings(self, now_ns: int) -> Sequence[Finding]:
        """The findings of the watches; a sleep that began in this tick is the cause: first."""
        findings = self._watches.findings(now_ns, self._session.mode)
        slept = self._starvation(self._since_tick_ns(self._clock.now_ns()))
        return (*slept, *findings)

    def _drain(self, now_ns: int) -> None:
        while not self._calls.empty():
            action, future = self._calls.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = action(self._session, now_ns)
                self._take_snapshot(now_ns)  # whoever waits for the result finds it there
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)


def _nothing() -> None:
    """Nobody waits for events."""


def _phase_ns(commit_ns: int) -> int:
    """The phase of the deadlines: their windows are sent a commit time before a knot."""
    return -commit_ns - LEAD_NS
