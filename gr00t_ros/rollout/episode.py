"""One episode: reset the task, let the node play, judge, stop the node. Its line is plain values.

A fault whose newest chunk was refused is the policy's, and so is a node that does not begin
because the chunks are too short for their latency. Any other fault, a process that ends,
a service that does not answer, and an episode without any accepted chunk, or in which the node was
paused for most of the time, are failures of the infrastructure.
"""

from __future__ import annotations

import math
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from gr00t_ros.errors import Gr00tError, NodeError
from gr00t_ros.robot.limits import CommandLimits
from gr00t_ros.rollout.film import Film
from gr00t_ros.rollout.observer import Begin, Observer, identity
from gr00t_ros.rollout.stack import Stack
from gr00t_ros.rollout.success import FAULT, INFRASTRUCTURE, REFUSED, SUCCESS, TIMEOUT
from gr00t_ros.rollout.trial import Plain, Trial
from gr00t_ros.sim.libero.motion import broken, figures_of, tool_extremes
from gr00t_ros.sim.record import TimedRows, broken_commands, load_record

READY_S: Final = 120.0
"""Longest wait for the node to be ready and active."""
STOP_S: Final = 30.0
REFUSED_S: Final = 10.0
"""So long the chunks must be too short: a busy machine may be slow in one check of the server."""
_MOVING: Final = ("blending_in", "replaying", "stopping")
_PAUSES: Final = ("paused", "paused_by_operator")
_STOOD: Final = (*_PAUSES, "stopping")
_FAULTS: Final = ("fault", "fault_inactive")
_TOLD: Final = (*_PAUSES, *_FAULTS, "holding", "stopping")
_MOST_STOOD: Final = 0.5
_COUNTS: Final = {
    "queries": "queries",
    "query_failures": "query_failures",
    "chunks_accepted": "chunks_accepted",
    "chunks_clamped": "chunks_clamped",
    "chunks_refused": "chunks_refused",
    "chunks_dropped": "chunks_dropped",
}


class TrialRun:
    """Plays one trial; `run` always returns a line, and `clean` whether the stack may be kept."""

    def __init__(self, stack: Stack, observer: Observer, trial: Trial, pictures: Path) -> None:
        """pictures: folder of the film."""
        self._stack, self._observer, self._trial = stack, observer, trial
        self._film = Film(pictures, trial.name)
        self.clean = False
        self._instruction, self._limit_s = "", 0.0
        self._began, self._took_wall_s = Begin(), 0.0
        self._before: Any = None
        self._ended_s: float | None = None
        self._last_step = 0
        self._modes_at_end: int | None = None
        self._tool: Plain | None = None

    def run(self) -> Plain:
        """The line of this episode."""
        started_s = time.monotonic()
        outcome, cause = INFRASTRUCTURE, ""
        self._observer.forget()
        self._observer.after_spin = self._shoot
        try:
            refusal = self._prepare()
            if refusal:
                outcome, cause = REFUSED, refusal
            else:
                outcome, cause = self._play()
                self._note_end()
                self._stop()
                self._tool = self._judge_tool()
            self.clean = outcome != INFRASTRUCTURE
        except Gr00tError as error:
            if outcome == INFRASTRUCTURE:
                cause = str(error)
        return self._line(outcome, cause, time.monotonic() - started_s)

    # --- its parts -----------------------------------------------------------------------

    def _prepare(self) -> str:
        """The task reset, then the node active: that begins its episode and resets the server.

        Returns why the node does not begin with such chunks, empty if it has begun.
        """
        observer = self._observer
        # First, because a simulation's time may begin with its first task.
        self._instruction, limit_s = observer.reset_task(self._trial)
        if self._stack.use(self._trial.condition):
            observer.status = None
            if not observer.change("configure"):
                raise NodeError(f"the node does not configure: {observer.fresh_status().reason}")
        self._limit_s = self._stack.evaluation.limit_s or limit_s
        if observer.fresh_status().mode in _FAULTS:
            observer.trigger("reset")
        observer.instruct(self._instruction)
        end_s = time.monotonic() + READY_S
        refusal = _Refusal()
        observer.fresh_status()
        while True:
            left_s = max(0.0, end_s - time.monotonic())
            observer.wait(
                lambda: refusal.stands(observer.too_short) or observer.ready,
                left_s,
                lambda: f"the node is not ready: {observer.why}",
            )
            if refusal.stands(observer.too_short):
                # The node checks its server until it is fast enough, and a check during the next
                # reset, when simulated time stands, would find it so.
                self._stack.renew()
                return observer.too_short
            observer.forget()
            self._before = observer.fresh_status()
            if observer.change("activate"):
                break
            observer.fresh_status()
        # As the node says: the answer to the transition may come late, when much is done already.
        self._began = observer.began = observer.began or observer.now
        return ""

    def _shoot(self) -> None:
        """Take the next frame, from when the node is active."""
        observer = self._observer
        if observer.began is not None:
            since_s = observer.now_s - observer.began.simulated_s
            self._film.take(since_s, observer.pictures)

    def _play(self) -> tuple[str, str]:
        """Until success, fault or the end of the time."""
        observer = self._observer
        while True:
            observer.follow()
            state, status = observer.state, observer.status
            if state is not None and state.success:
                return SUCCESS, ""
            if status is not None and status.mode in _FAULTS:
                return (FAULT if observer.refused else INFRASTRUCTURE), str(status.reason)
            if observer.now_s - self._began.simulated_s >= self._limit_s:
                return self._over()

    def _over(self) -> tuple[str, str]:
        """The time is over: a failure of the policy, if it had a chance."""
        if not any(accepted for _, _, accepted, _ in self._observer.chunks):
            return INFRASTRUCTURE, f"no chunk of actions was accepted; {self._observer.why}"
        stood_s = self._spent_s(_STOOD)
        if stood_s > _MOST_STOOD * self._limit_s:
            reasons = [reason for _, mode, reason in self._modes() if mode in _STOOD]
            return INFRASTRUCTURE, f"paused or stopping for {stood_s:.1f} s: {reasons[-1]}"
        return TIMEOUT, f"no success in {self._limit_s:g} s of simulated time"

    def _note_end(self) -> None:
        state = self._observer.state
        self._took_wall_s = time.monotonic() - self._began.wall_s
        self._ended_s, self._last_step = self._observer.now_s, state.step if state else 0
        self._modes_at_end = len(self._observer.modes)
        self._observer.after_spin = lambda: None
        since_s = self._observer.now_s - self._began.simulated_s
        self._film.take(since_s, self._observer.pictures, last=True)

    def _stop(self) -> None:
        """A stop while time runs, then the deactivation, in which rclpy's simulated time stands."""
        observer = self._observer
        if not observer.trigger("pause"):
            observer.wait(
                lambda: observer.status and observer.status.mode not in _MOVING,
                STOP_S,
                lambda: f"the node does not stop: {observer.why}",
            )
        observer.fresh_status()  # the counts at the end
        if not observer.change("deactivate"):
            raise NodeError(f"the node was not deactivated: {observer.why}")

    def _judge_tool(self) -> Plain | None:
        """What the simulation's own record of this episode says of the tool; None without one."""
        stack = self._stack
        if not stack.evaluation.benchmark.recorded:
            return None
        self._observer.save_record()
        record = load_record(stack.record).since(round(self._began.simulated_s * 1e9))
        beyond = broken(record, stack.robot.command_limits)
        return {"largest": figures_of(tool_extremes(record)), "broken": beyond}

    # --- its line ------------------------------------------------------------------------

    def _spent_s(self, in_modes: tuple[str, ...]) -> float:
        """Simulated time of the episode in these modes."""
        modes = self._modes()
        changes_s = [*(time_s for time_s, _, _ in modes), self._until_s]
        return float(
            sum(
                max(0.0, end - max(begin, self._began.simulated_s))
                for (_, mode, _), (begin, end) in zip(modes, pairwise(changes_s), strict=True)
                if mode in in_modes
            )
        )

    @property
    def _until_s(self) -> float:
        return self._observer.now_s if self._ended_s is None else self._ended_s

    def _modes(self) -> list[tuple[float, str, str]]:
        """Changes of the mode until the verdict: what comes later is this program's own stop."""
        return self._observer.modes[: self._modes_at_end]

    def _line(self, outcome: str, cause: str, wall_s: float) -> Plain:
        trial, observer = self._trial, self._observer
        began = self._before is not None
        shown = self._film.write()
        return {
            **blank(trial),
            "instruction": self._instruction,
            "outcome": outcome,
            "success": outcome == SUCCESS,
            "cause": cause,
            "limit_s": self._limit_s or None,
            "simulated_s": round(self._until_s - self._began.simulated_s, 6) if began else None,
            "wall_s": round(wall_s, 3),
            "real_time_factor": self._factor(),
            "steps": self._last_step - self._began.step if self._ended_s is not None else None,
            **self._counts(),
            **_percentiles("end_to_end", [chunk[0] for chunk in observer.chunks]),
            **_percentiles("inference", [chunk[1] for chunk in observer.chunks]),
            "events": self._events(),
            "pauses": sum(mode in _PAUSES for _, mode, _ in self._modes()),
            "paused_s": round(self._spent_s(_PAUSES), 6),
            "motion": self._motion(),
            "server": identity(observer.status),
            "pictures": shown.pictures,
            "videos": shown.videos,
            "no_video": shown.problem,
        }

    def _factor(self) -> float | None:
        """How fast simulated time was in this episode."""
        if self._ended_s is None or not self._took_wall_s:
            return None
        return round((self._ended_s - self._began.simulated_s) / self._took_wall_s, 4)

    def _motion(self) -> Plain:
        robot, found = self._stack.robot, _unmoved()
        if _is_twist(robot):
            found = _moved(self._observer.twists, robot.command_limits)
        if self._tool is not None:
            found["recorded"] = True
            found["tool"] = self._tool["largest"]
            found["broken"] = [*found["broken"], *self._tool["broken"]]
        return found

    def _counts(self) -> Plain:
        now, before = self._observer.status, self._before
        if now is None or before is None:
            return dict.fromkeys(_COUNTS, 0)
        return {
            name: int(getattr(now, field)) - int(getattr(before, field))
            for name, field in _COUNTS.items()
        }

    def _events(self) -> list[Plain]:
        return [
            {"s": round(time_s - self._began.simulated_s, 3), "mode": mode, "reason": reason}
            for time_s, mode, reason in self._modes()
            if mode in _TOLD
        ]


class _Refusal:
    """Whether the chunks have been too short for REFUSED_S without a break."""

    def __init__(self) -> None:
        self._since_s: float | None = None

    def stands(self, too_short: str) -> bool:
        """Take what the node says now."""
        now_s = time.monotonic()
        if not too_short:
            self._since_s = None
            return False
        self._since_s = now_s if self._since_s is None else self._since_s
        return now_s - self._since_s >= REFUSED_S


def blank(trial: Trial) -> Plain:
    """A line of an episode of which nothing is known, as one that did not begin."""
    named = {
        "strategy": trial.condition.strategy.name,
        "latency_ms": trial.condition.latency_ms,
        "suite": trial.suite,
        "task": trial.task,
        "episode": trial.episode,
        "seed": trial.seed,
    }
    missing = ("limit_s", "simulated_s", "steps", "wall_s", "real_time_factor")
    return {
        **named,
        "instruction": "",
        "outcome": INFRASTRUCTURE,
        "success": False,
        "cause": "",
        **dict.fromkeys(missing),
        **dict.fromkeys(_COUNTS, 0),
        **_percentiles("end_to_end", []),
        **_percentiles("inference", []),
        "events": [],
        "pauses": 0,
        "paused_s": 0.0,
        "motion": _unmoved(),
        "server": {},
        "pictures": [],
        "videos": [],
        "no_video": "",
    }


def _unmoved() -> Plain:
    return {"messages": 0, "stops": 0, "broken": []}


def _moved(sent: TimedRows, limits: CommandLimits) -> Plain:
    """The verdict on the velocities that were sent, and the largest of each."""
    rests = (sent.values == 0.0).all(axis=1)
    found = _unmoved() | {
        "messages": len(rests),
        "stops": int((rests[1:] & ~rests[:-1]).sum()),
        "broken": broken_commands(sent, limits),
    }
    if len(rests):
        largest = np.abs(sent.values).max(axis=0)
        pairs = zip(limits.names, largest.tolist(), strict=True)
        found["largest"] = {name: value if math.isfinite(value) else None for name, value in pairs}
    return found


def _percentiles(name: str, samples_s: list[float]) -> Plain:
    if not samples_s:
        return {f"{name}_p50_ms": None, f"{name}_p99_ms": None}
    p50, p99 = (round(float(x), 3) for x in np.percentile(1e3 * np.array(samples_s), [50, 99]))
    return {f"{name}_p50_ms": p50, f"{name}_p99_ms": p99}


def _is_twist(robot: Any) -> bool:
    """Whether the velocities of one twist are all the commands of the robot."""
    return len(robot.commands) == 1 and robot.commands[0].type == "twist_stamped"
