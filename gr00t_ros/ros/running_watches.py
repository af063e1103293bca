"""The watches that have a memory, as the replay thread asks them at each tick of an active session.

Belongs to the replay thread alone: others reach it by ReplayThread.post and call. What needs no
memory is Surroundings', which an activation asks as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.embodiment import Embodiment, Output
from gr00t_ros.core.errors import ObservationError
from gr00t_ros.core.mode import MOVING, Mode
from gr00t_ros.core.replay import Replay
from gr00t_ros.core.shadow_error import JointError, ShadowError
from gr00t_ros.core.watch_clock import ClockDoubt, ClockJump, SilentClock
from gr00t_ros.core.watch_motion import (
    ControllerLate,
    TrackingError,
    joints_late,
    reference_against_plan,
    windows_doubtful,
)
from gr00t_ros.core.watchdog import Finding, Reaction, held_position
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.controller_manager import ControllerManager
from gr00t_ros.ros.controller_parameters import ControllerParameters
from gr00t_ros.ros.heartbeat import Heartbeats
from gr00t_ros.ros.operator_watches import OperatorWatches
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.ros.policy_watches import PolicyWatches
from gr00t_ros.ros.queries import Queries
from gr00t_ros.ros.rivals import Rivals
from gr00t_ros.ros.surroundings import Positions, Surroundings

_S = 1e9
_SUMMARY_EVERY = 10  # ticks

HELD_UNKNOWN = "a controller that has told where it holds the arm is late; is it active?"


class RunningWatches:
    """All watches of an active session; the replay thread's Surroundings."""

    def __init__(
        self,
        surroundings: Surroundings,
        operator: OperatorWatches,
        commands: tuple[Rivals | ControllerManager | ControllerParameters | Heartbeats, ...],
        queries: Queries,
        embodiment: Embodiment,
        clock: PlanClock,
        replay: Replay,
        values: Parameters,
        server: str,
    ) -> None:
        """Watch what `surroundings` and `commands` tell, by the thresholds of `values`.

        `commands` watch who commands the controllers, which are active, how they are set, and which
        streamers live;
        `replay` is the session's, asked for what it has sent.
        """
        self._around, self._commands, self._clock = surroundings, commands, clock
        self._operator = operator
        self._limits, self._replay = embodiment.limits, replay
        self._embodiment = embodiment
        ends = accumulate(len(output.names) for output in embodiment.outputs)
        self._columns = {
            output.name: end - len(output.names)
            for output, end in zip(embodiment.outputs, ends, strict=True)
        }
        self.policy = PolicyWatches(surroundings, queries, embodiment, values, server)
        self._jumped = False
        self._shadow, self._ticks = ShadowError(), 0
        self.shadow_errors: tuple[JointError, ...] = ()
        self.apply(values)
        self.begin()

    def apply(self, values: Parameters) -> None:
        """Take over changed thresholds."""
        self._values = values
        self.policy.apply(values)

    def begin(self) -> None:
        """Forget what was before an activation or a reset."""
        self._tracking = TrackingError(self._limits)
        self._jump = ClockJump(self._clock.simulated)
        self._silent_clock = SilentClock()
        self._doubt = ClockDoubt()
        commit_ns = self._replay.settings.commit_ns
        self._late = [
            (output, ControllerLate(output.name, output.state_topic, commit_ns))
            for output in self._embodiment.outputs
        ]
        self._joints_late = {
            output.name: ControllerLate(output.name, "joint states", commit_ns)
            for output in self._embodiment.outputs
        }
        self._heard_ns: int | None = None
        self._replay.hear(None)
        self.policy.begin()

    def findings(self, now_ns: int, mode: Mode) -> tuple[Finding, ...]:
        """What all watches say, graver causes first: a session tells the first of a kind."""
        steady_ns = time.monotonic_ns()
        ages = self._around.findings(now_ns)
        clocks = tuple(self._clocks())  # after the ages: a jump that they show is found as well
        found = (
            *self._operator.findings(),
            *(found for watch in self._commands for found in watch.findings()),
            *self._controllers(steady_ns),
            *self._plans(mode),
            *clocks,
            *self.policy.findings(steady_ns, mode),
            *self._unheard(now_ns, mode),
            *ages,
            *self._held(now_ns, mode),
        )
        return self._doubt.excused(found, steady_ns)

    def held(self) -> NDArray[np.float64] | None:
        """(J,) position that the controllers hold, None when unknown.

        In shadow others move the arm, maybe without telling: measured is then as good as held.
        """
        if not self._values.shadow:
            return self._around.held()
        try:
            return self._around.start()
        except ObservationError:
            return None

    def go_on_from(self, now_ns: int) -> Positions | None:
        """(J,) position from which a plan at rest goes on; None where it is not known now.

        As `held`, and our own plan's end for the controllers that never tell. Raises PlanError
        before the first plan.
        """
        if self._values.shadow:
            return self.held()
        return self._around.held_or(self._replay.position(now_ns))

    def leave_from(self, now_ns: int, start: Positions | None) -> Positions | None:
        """(J,) position from which a pause or fault is left, where an activation had `start`.

        Our own plan's end counts where what is measured agrees: else somebody has moved the arm.
        """
        held = self.go_on_from(now_ns)
        if held is None or start is None:
            return start
        return start if self._apart(held) is not None else held

    def ask(self, episode: int) -> bool:
        """Have the worker query with the newest observation; False when it is busy."""
        asked = self._around.ask(episode)
        if asked:
            self.policy.asked(time.monotonic_ns())
        return asked

    def _controllers(self, steady_ns: int) -> Iterator[Finding]:
        """Tracking, from one message of each controller."""
        try:
            positions = self._around.played_and_measured(self._around.controllers())
        except ObservationError as error:
            yield Finding("stream_content", Reaction.PAUSE, f"controller: {error}")
            return
        if positions is None:
            return
        self._tracking.limit_rad = self._values.tracking_error_rad
        self._tracking.limit_ns = int(self._values.tracking_error_s * _S)
        found = self._tracking.check(steady_ns, *positions)
        if found is not None:
            yield found

    def _unheard(self, now_ns: int, mode: Mode) -> Iterator[Finding]:
        """Controllers to which the way may be cut; what waits to be pulled is looked at first.

        In shadow nothing reaches a controller, whatever is cut.
        """
        if self._values.shadow:
            return
        self._hear()
        found = self._late_now(now_ns, mode)
        if found or self._replay.doubtful(now_ns + self._replay.settings.delivery_ns):
            self._around.pull_robot()
            self._hear()
            found = self._late_now(now_ns, mode)
        yield from found
        if self._replay.doubtful(now_ns):
            yield windows_doubtful()

    def _hear(self) -> None:
        """Tell the replay when all controllers were heard, by which it knows what has come.

        Simulated time cuts no network, and its pace is none of the controllers'.
        """
        heard_ns = None
        if not self._clock.simulated:
            heard_ns = self._around.heard_ns(self._embodiment.outputs)
        last_ns, self._heard_ns = self._heard_ns, heard_ns
        if heard_ns is None:
            self._replay.hear(None)
        elif heard_ns != last_ns:
            now_ns = time.monotonic_ns()
            since_ns = now_ns - (heard_ns if last_ns is None else last_ns)
            slept = self._around.awake_ns(since_ns) < since_ns
            self._replay.hear(self._clock.now_ns() - (now_ns - heard_ns), slept)

    def _late_now(self, now_ns: int, mode: Mode) -> list[Finding]:
        found = []
        moving = mode in MOVING and self._replay.motion_left_ns(now_ns) > 0
        for output, late in self._late:
            stamp_ns = self._around.state_stamp(output)
            if stamp_ns is not None:
                late.hear(stamp_ns, now_ns)
            if late.age_ns(now_ns) is not None:
                found.append(late.finding(now_ns, self._around.replay_awake_ns))
                continue
            heard, joints = self._around.joints_heard(output), self._joints_late[output.name]
            if heard is not None:
                joints.hear(heard[0], now_ns)
            age_ns = joints.age_ns(now_ns)
            if moving and heard is not None and age_ns is not None:
                allowed_ns = max(joints.limit_ns, int(self._values.max_joint_age_s * _S))
                found.append(joints_late(output.name, min(age_ns, heard[1]), allowed_ns))
        return [finding for finding in found if finding is not None]

    def _plans(self, mode: Mode) -> Iterator[Finding]:
        """What each controller plays against what it was sent for the stamp of its state."""
        if self._values.shadow:
            self._compare(mode)
            return
        if mode not in MOVING:
            return
        for output, stamp_ns, played in self._around.references():
            sent = self._sent(output, stamp_ns)
            if sent is None:
                continue
            position, velocity = sent
            found = reference_against_plan(
                output.names, played, position, velocity, self._values.reference_error_rad
            )
            if found is not None:
                yield found

    def _sent(self, output: Output, stamp_ns: int) -> tuple[Positions, Positions] | None:
        """(n,) position and velocity of the plan for one output at a ROS stamp, if still kept."""
        columns = slice(self._columns[output.name], self._columns[output.name] + len(output.names))
        sent = self._replay.sent(stamp_ns - self._clock.offset_ns())
        return None if sent is None else (sent[0][columns], sent[1][columns])

    def _compare(self, mode: Mode) -> None:
        """In shadow: our plan against what somebody else really commands."""
        self._ticks += 1
        if mode is Mode.REPLAYING:
            for output, stamp_ns, commanded in self._around.commanded():
                sent = self._sent(output, stamp_ns)
                if sent is not None:
                    self._shadow.add(output.names, stamp_ns, sent[0] - commanded)
        if self._ticks % _SUMMARY_EVERY == 0:
            self.shadow_errors = self._shadow.summary()

    def _held(self, now_ns: int, mode: Mode) -> Iterator[Finding]:
        """A pause does not end by itself while the controller holds another place than measured.

        Nor where a plan would have to go on from a place that is not known, or from one where the
        arm no longer is: by hand or by another program, past a controller that tells nothing.
        """
        if mode is not Mode.PAUSED or self._values.shadow:
            return
        held = self.go_on_from(now_ns)
        if held is None:
            yield Finding("held_position", Reaction.PAUSE, HELD_UNKNOWN)
            return
        found = self._apart(held)
        if found is not None:
            yield replace(found, reaction=Reaction.PAUSE)

    def _apart(self, held: Positions) -> Finding | None:
        """The watch on held against measured; what is not measured is a finding of the streams."""
        try:
            measured = self._around.measured()
        except ObservationError:
            return None
        return held_position(self._limits.names, held, measured, self._limits.held)

    def _clocks(self) -> Iterator[Finding]:
        """A jump makes what was received belong to another time: it is forgotten, a tick later.

        Until then the session needs to know where the controllers are.
        """
        if self._jumped:
            self._around.forget()
            self._jumped = False
        pair = self._clock.pair()
        if pair is None:
            return
        self._jump.forward_ns = int(self._values.clock_jump_s * _S)
        found = self._jump.check(*pair)
        self._doubt.note(*pair, found is not None, self._clock.simulated)
        if found is not None:
            self._jumped = True
            # Of a plan on simulated time the session itself sees that it ran back.
            if not (self._clock.simulated and found.watch == "clock_backward"):
                yield found
        if self._clock.simulated:
            self._silent_clock.limit_ns = int(self._values.clock_silence_s * _S)
            found = self._silent_clock.check(*pair)
            if found is not None:
                yield found
