"""The replay thread: owns the session, ticks it on absolute deadlines, publishes its windows.

All other threads talk to the session through `call`, and read `snapshot`. If a tick raises,
nothing is published and the controllers play the tail of the last window; the session is then
asked to stop and latch a fault.
"""

from __future__ import annotations

import queue
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.latency import Latencies
from gr00t_ros.core.mode import Mode
from gr00t_ros.core.session import Session
from gr00t_ros.core.session_settings import Counts
from gr00t_ros.core.watchdog import Finding, Reaction
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.outputs import Outputs
from gr00t_ros.ros.periodic import PeriodicThread, sleep_until

# A sleeping thread is not woken later than this by a command: the tick's period bounds it.
_CALL_TIMEOUT_S = 1.0
# control.md 3, replay starvation: a gap between ticks of more periods than this pauses.
_STARVED_PERIODS = 3
# What a tick computes takes less than this; if it takes more, its window leaves that much later.
_LEAD_NS = 3_000_000
# After a sleep of the whole process what came meanwhile still waits to be pulled.
_AWAKE_NS = 300_000_000
_AGES = frozenset({"stream_age", "controller_silent", "streamer_silent", "sidecar_dead"})


class Surroundings(Protocol):
    """What the replay thread asks of the rest of the node, from its own thread."""

    def findings(self, now_ns: int, mode: Mode) -> Sequence[Finding]:
        """What the watches say now; `mode` is the session's."""

    def held(self) -> NDArray[np.float64] | None:
        """(J,) position that the controllers hold, None when unknown."""

    def ask(self, episode: int) -> bool:
        """Have the worker query with the newest observation; False when it is busy."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The session as of the last tick, for other threads."""

    mode: Mode
    reason: str
    episode: int
    counts: Counts
    at_rest: bool


class ReplayThread:
    """Runs from `start` to `stop`; idle ticks cost microseconds."""

    def __init__(
        self,
        session: Session,
        clock: PlanClock,
        outputs: Outputs,
        surroundings: Surroundings,
        period_ns: int,
        realtime_priority: int,
        log: Callable[[str], None],
    ) -> None:
        """Own `session` from `start` on; `log` takes error text from this thread."""
        self._session, self._clock, self._outputs = session, clock, outputs
        self._around, self._period_ns = surroundings, period_ns
        self._log = log
        self._calls: queue.SimpleQueue[tuple[Callable[[Session, int], Any], Future[Any]]]
        self._calls = queue.SimpleQueue()
        self._crash = ""
        self._ticked_ns = self._starved_ns = 0
        self.snapshot = Snapshot(session.mode, session.reason, 0, Counts(), True)
        self._loop = PeriodicThread(
            "gr00t_replay", period_ns, realtime_priority, self._tick_safely, log
        )

    @property
    def latencies(self) -> Latencies:
        """How late ticks began."""
        return self._loop.latencies

    def start(self) -> None:
        """Start the thread."""
        self._loop.start()

    def stop(self) -> None:
        """End the thread and wait for it; publishes nothing more afterwards."""
        self._loop.stop()

    def post(self, action: Callable[[Session, int], Any]) -> Future[Any]:
        """Have `action(session, now_ns)` run at the start of the next tick."""
        future: Future[Any] = Future()
        self._calls.put((action, future))
        return future

    def call(self, action: Callable[[Session, int], Any]) -> Any:
        """As `post`, waiting for the result; raises what the action raised."""
        return self.post(action).result(timeout=_CALL_TIMEOUT_S)

    def _tick_safely(self) -> None:
        try:
            self._tick()
        except Exception as error:
            crash = f"{type(error).__name__}: {error}"
            if crash != self._crash:
                self._log(f"replay tick failed, the last window's tail plays:\n{_trace()}")
            self._crash = crash
            self._fault_after(crash)

    def _fault_after(self, crash: str) -> None:
        try:
            if self._session.active and self._session.mode is not Mode.FAULT:
                self._session.fault(self._clock.now_ns(), f"internal error: {crash}")
            self._rest_commands()
        except Exception as error:
            self._log(f"no controlled stop either, the last window's tail plays: {error}")

    def _rest_commands(self) -> None:
        """What the fault has made of all that is no joint: a base is not to wait for its tail."""
        if not self._session.active:
            return
        commands = self._session.replay.command_window(self._clock.now_ns())
        if commands is not None:
            self._outputs.publish(None, self._clock.offset_ns(), commands)

    def _tick(self) -> None:
        ahead_ns = self._ahead_ns()
        now_ns, send_ns = self._clock.now_ns() + ahead_ns, time.monotonic_ns() + ahead_ns
        self._drain(now_ns)
        session = self._session
        starved = self._starved()
        if session.active:
            findings = (*starved, *self._findings(now_ns))
            window = session.tick(now_ns, findings, self._around.held())
            commands = session.replay.command_window(now_ns)
            poses = session.replay.pose_windows(now_ns)
            if window is not None or commands is not None or poses:
                sleep_until(send_ns)
                self._outputs.publish(window, self._clock.offset_ns(), commands, poses)
            if session.query_due(now_ns):
                self._around.ask(session.episode)
        at_rest = not session.active or session.replay.at_rest(now_ns)
        counts = replace(session.counts)
        self.snapshot = Snapshot(session.mode, session.reason, session.episode, counts, at_rest)

    def _ahead_ns(self) -> int:
        """How long from now this tick's window leaves; the tick is made for that instant.

        Computing takes longer after a new chunk, so windows leave a fixed while after the deadline.
        Simulated time cannot be foretold: there they leave at once.
        """
        if self._clock.simulated:
            return 0
        return max(0, self._loop.due_ns + _LEAD_NS - time.monotonic_ns())

    def _starved(self) -> tuple[Finding, ...]:
        """A finding where this thread did not run in time; on steady time."""
        now_ns = time.monotonic_ns()
        gap_ns, self._ticked_ns = now_ns - (self._ticked_ns or now_ns), now_ns
        return self._starvation(gap_ns, now_ns)

    def _starvation(self, gap_ns: int, now_ns: int) -> tuple[Finding, ...]:
        if gap_ns <= _STARVED_PERIODS * self._period_ns:
            return ()
        self._starved_ns = now_ns
        text = (
            f"replay thread: {gap_ns / 1e9:.2f} s between two ticks, at most "
            f"{_STARVED_PERIODS * self._period_ns / 1e9:.2f} s allowed; check the CPU's load"
        )
        return (Finding("replay_starvation", Reaction.PAUSE, text),)

    def _findings(self, now_ns: int) -> Sequence[Finding]:
        """What the watches say; inputs that aged while this process slept are no fault.

        A sleep that began in this tick is the first cause, and the next tick's gap as well.
        """
        findings = self._around.findings(now_ns, self._session.mode)
        judged_ns = time.monotonic_ns()
        slept = self._starvation(judged_ns - self._ticked_ns, judged_ns)
        if judged_ns - self._starved_ns > _AWAKE_NS:
            return findings
        eased = (replace(f, reaction=Reaction.PAUSE) if f.watch in _AGES else f for f in findings)
        return (*slept, *eased)

    def _drain(self, now_ns: int) -> None:
        while not self._calls.empty():
            action, future = self._calls.get()
            try:
                future.set_result(action(self._session, now_ns))
            except Exception as error:
                future.set_exception(error)


def _trace() -> str:
    return traceback.format_exc(limit=8)
