"""The watches that the replay thread evaluates at each tick of an active session.

They keep state and belong to the replay thread: other threads use ReplayThread.post and call.
Watches without state are in node/robot_state, because an activation evaluates them as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ChunkError, ObservationError, SkewError
from gr00t_ros.graph.collision import Collision
from gr00t_ros.graph.contact import Contacts
from gr00t_ros.graph.controllers import ControllerManager, ControllerParameters, OtherPublishers
from gr00t_ros.graph.heartbeat import Heartbeats
from gr00t_ros.inputs.controller_state import ControllerReading
from gr00t_ros.motion.replay import Replay
from gr00t_ros.node.operator_watches import OperatorWatches
from gr00t_ros.node.queries import Queries
from gr00t_ros.node.robot_state import Positions, RobotState
from gr00t_ros.observe.buffer import Sample
from gr00t_ros.observe.moment import QueryTimes
from gr00t_ros.robot.actions import Output
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.session import start as start_rules
from gr00t_ros.session.mode import MOVING, Mode
from gr00t_ros.session.overlap import Followed
from gr00t_ros.session.shadow import JointError, ShadowError
from gr00t_ros.watch.arm import (
    ControllerLate,
    TrackingError,
    WorkspaceBox,
    earlier_window,
    further_joints,
    joints_late,
    reference_against_plan,
    windows_may_be_lost,
)
from gr00t_ros.watch.finding import Earlier, Finding, Reaction
from gr00t_ros.watch.inputs import ClockDoubt, ClockJump, SilentClock, Skew
from gr00t_ros.watch.server import (
    CHECK_NS,
    NonFinite,
    Outlook,
    ServerErrors,
    SidecarDead,
    advised,
    outlook_of,
)
from gr00t_ros.watch.table import reasoned


class PolicyWatches:
    """Watches on query outcomes: sidecar_dead, server_errors, non_finite, skew, workspace_box."""

    def __init__(
        self,
        robot_state: RobotState,
        queries: Queries,
        embodiment: Embodiment,
        values: Parameters,
        server: str,
    ) -> None:
        """`queries` is used for probes while a session at rest sends no queries itself.

        `server`: its address for texts to the operator.
        """
        self._server = server
        self._robot, self._queries = robot_state, queries
        self.workspace = embodiment.workspace
        """May be replaced before a session: its chain comes from the robot's description."""
        self._sidecar = SidecarDead(server, awake_ns=robot_state.awake_ns)
        self._in_flight, self._asked_ns = False, 0
        self.apply(values)
        self.begin()

    def apply(self, values: Parameters) -> None:
        """Apply changed thresholds."""
        self._values = values

    def begin(self) -> None:
        """Reset all state: an activation, a resume or a reset begins.

        The silence of a query in flight counts on: the next one must wait for it, and a server that
        hangs would not be noticed before that.
        """
        awake_ns = self._robot.awake_ns
        if not self._in_flight:
            self._sidecar = SidecarDead(self._server, awake_ns=awake_ns)
        self._errors = ServerErrors(self._server, awake_ns=awake_ns)
        self._non_finite, self._skew = NonFinite(), Skew()
        self._skewed: Finding | None = None
        box = self.workspace
        self._box = None if box is None else WorkspaceBox(box.lower, box.upper)
        self._probed_ns = self._now_ns = 0

    def asked(self, now_ns: int) -> None:
        """Note that a query was given to the worker (steady time)."""
        self._in_flight, self._asked_ns = True, now_ns
        self._sidecar.asked(now_ns)

    def received(self, chunk_came: bool, error: Exception | None) -> Finding | None:
        """Take a query's outcome; returns a finding if the answer must be dropped or is a fault."""
        self._in_flight = False
        if isinstance(error, ObservationError):  # nothing was sent
            self._sidecar.withdrawn(self._asked_ns)
            self.assembled(error)
            return None
        outlook = None if error is None else outlook_of(error)
        if outlook is Outlook.SILENT:
            return None
        self._sidecar.answered()
        if error is None:
            self._errors.answered()
        elif outlook is Outlook.PASSES:
            self._errors.failed(advised(error))
        if isinstance(error, ChunkError) and error.kind == "finite":
            return self._non_finite.see(str(error))
        if not chunk_came:
            return None
        self.assembled(None)
        return self._outside()

    def checked(self, error: Exception | None) -> None:
        """Take the outcome of a check: a server that refuses is alive; waiting does not help."""
        outlook = None if error is None else outlook_of(error)
        if outlook is Outlook.SILENT:
            return
        self._sidecar.answered()
        if error is not None and outlook is Outlook.PASSES:
            self._errors.failed(advised(error))
        else:
            self._errors.recovered(self._now_ns)

    def assembled(self, error: Exception | None) -> None:
        """Take the outcome of assembling an observation."""
        if error is None:
            self._skewed = self._skew.see("", 0, 0)
        elif isinstance(error, SkewError):
            self._skewed = self._skew.see(error.stream, error.apart_ns, error.allowed_ns)

    def findings(self, now_ns: int, mode: Mode) -> Iterator[Finding]:
        """The present findings (steady time); probes the server or the inputs while at rest."""
        values, self._now_ns = self._values, now_ns
        self._sidecar.pause_ns = int(values.sidecar_silence_s * 1e9)
        self._sidecar.fault_ns = int(values.sidecar_fault_s * 1e9)
        self._errors.pause_ns = int(values.server_errors_s * 1e9)
        self._errors.fault_ns = int(values.server_errors_fault_s * 1e9)
        if self._in_flight:
            self._sidecar.reset_answered(self._queries.reset_ns)
        dead, errors = self._sidecar.finding(now_ns), self._errors.finding(now_ns)
        skewed = self._skewed
        if skewed is not None and skewed.reaction is Reaction.DROP:
            skewed = None
        rests = mode not in MOVING and mode is not Mode.HOLDING
        due = dead or self._errors.try_due(now_ns)
        if rests and (due or skewed) and now_ns - self._probed_ns >= CHECK_NS:
            self._probed_ns = now_ns
            self._queries.check() if due else self._queries.try_assembly()
        yield from (finding for finding in (dead, errors, skewed) if finding is not None)

    def _outside(self) -> Finding | None:
        if self._box is None or self.workspace is None:
            return None
        position = self._robot.end_effector(self.workspace)
        self._box.limit = self._values.refusals_to_fault
        return None if position is None else self._box.see(position)


_S = 1e9
_SUMMARY_EVERY = 10  # ticks


class RunningWatches:
    """All watches of an active session; the replay thread's ActiveWatches."""

    def __init__(
        self,
        robot_state: RobotState,
        operator: OperatorWatches,
        graph_watches: tuple[
            OtherPublishers
            | ControllerManager
            | ControllerParameters
            | Heartbeats
            | Collision
            | Contacts,
            ...,
        ],
        queries: Queries,
        embodiment: Embodiment,
        clock: PlanClock,
        replay: Replay,
        values: Parameters,
        server: str,
    ) -> None:
        """Watch `robot_state` and the graph, with the thresholds of `values`.

        `graph_watches`: on other publishers, on the controllers' state and parameters, on the
        streamers, on joints that are not commanded, and on contacts. `replay` is the session's; it
        is asked for what was sent.
        """
        self._robot, self._graph_watches, self._clock = robot_state, graph_watches, clock
        self._operator, self._queries = operator, queries
        self._limits, self._replay = embodiment.limits, replay
        self._embodiment = embodiment
        ends = accumulate(len(output.names) for output in embodiment.outputs)
        self._columns = {
            output.name: end - len(output.names)
            for output, end in zip(embodiment.outputs, ends, strict=True)
        }
        self.policy = PolicyWatches(robot_state, queries, embodiment, values, server)
        self._jumped = False
        self._shadow, self._ticks = ShadowError(), 0
        self.shadow_errors: tuple[JointError, ...] = ()
        self.apply(values)
        self.begin()

    def apply(self, values: Parameters) -> None:
        """Apply changed thresholds."""
        self._values = values
        self.policy.apply(values)

    def begin(self) -> None:
        """Reset all state: an activation or a reset begins."""
        self._tracking = {
            output.name: TrackingError(self._limits.of(output.names))
            for output in self._embodiment.outputs
        }
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
        self._rest_unknown = False  # whether a controller that never tells may have missed windows
        self._oldest: tuple[str, Sample] | None = None  # the controller whose state is oldest
        self._measured: tuple[Sample | None, ...] = ()  # the newest state of each controller
        self._replay.planner.states_received(None)
        self.policy.begin()

    def findings(self, now_ns: int, mode: Mode) -> tuple[Finding, ...]:
        """The findings of all watches, graver causes first."""
        steady_ns = time.monotonic_ns()
        ages = self._robot.findings()
        clocks = tuple(self._clocks())  # after `ages`: a jump that affects them is then found too
        found = (
            *self._operator.findings(),
            *(found for watch in self._graph_watches for found in watch.findings()),
            *self._controllers(steady_ns),
            *self._plans(mode),
            *clocks,
            *self.policy.findings(steady_ns, mode),
            *self._unreachable(now_ns, mode),
            *ages,
            *self._pause_lasts(now_ns, mode),
        )
        return self._doubt.excused(found, steady_ns)

    def held(self) -> NDArray[np.float64] | None:
        """(J,) position that the controllers hold, None if unknown.

        In shadow others move the arm, and their controllers may publish no state: then the measured
        position is used.
        """
        if not self._values.shadow:
            return self._robot.held()
        try:
            return self._robot.start_position()
        except ObservationError:
            return None

    def go_on_from(self, now_ns: int) -> Positions | None:
        """(J,) position from which a plan at rest continues; None if it is not known now.

        As `held`, but with the end of our own plan for controllers that never published a state.
        Raises PlanError before the first plan.
        """
        if self._values.shadow:
            return self.held()
        return self._robot.held_or(self._replay.position(now_ns))

    def leave_from(self, now_ns: int, start: Positions | None) -> Positions | None:
        """(J,) position from which a pause or fault is left; an activation would use `start`.

        Not from the end of our own plan after joint states were silent in a motion: which windows a
        controller has played then is unknown, so the arm is where it is measured.
        """
        if self._rest_unknown:
            return start
        measured = self._robot.measured_or_none()
        return start_rules.leave_from(self.go_on_from(now_ns), start, measured, self._limits)

    def ask(self, episode: int, times: QueryTimes | None, followed: Followed | None) -> bool:
        """Let the worker query with the newest observation; see ActiveWatches.ask."""
        asked = self._queries.ask(episode, times, followed)
        if asked:
            self.policy.asked(time.monotonic_ns())
        return asked

    def _controllers(self, steady_ns: int) -> Iterator[Finding]:
        """The tracking error of each output alone, from one message of its controller.

        An output whose controller is silent, or whose state cannot be used, hides no other one.
        """
        for output, reading in self._robot.controllers():
            if reading is None:
                continue
            tracking = self._tracking[output.name]
            tracking.limit_rad = self._values.tracking_error_rad
            tracking.limit_ns = int(self._values.tracking_error_s * _S)
            try:
                positions = self._robot.played_and_measured(output, reading)
            except ObservationError as error:
                yield reasoned("stream_content", f"controller: {error}")
                continue
            found = tracking.check(steady_ns, *positions)
            if found is not None:
                yield found

    def _unreachable(self, now_ns: int, mode: Mode) -> Iterator[Finding]:
        """Controllers that may be unreachable; waiting messages are pulled before deciding.

        Nothing in shadow, where no controller is commanded.
        """
        if self._values.shadow:
            return
        self._measure(now_ns)
        self._receive()
        found, planner = self._late_now(now_ns, mode), self._replay.planner
        if found or planner.windows_may_be_lost(now_ns + self._replay.settings.delivery_ns):
            self._robot.pull_robot()
            self._receive()
            found = self._late_now(now_ns, mode)
        yield from found
        if planner.windows_may_be_lost(now_ns):
            yield windows_may_be_lost()

    def _measure(self, now_ns: int) -> None:
        """Tell the replay how long the newest states took; its commit time depends on that.

        Not with simulated time, in which stamps say nothing about real delivery.
        """
        before, commit = self._measured, self._replay.commit
        if not commit.measured:
            return
        self._measured = tuple(self._robot.newest_states())
        if self._clock.simulated or None in self._measured:
            commit.received(now_ns, None)
            return
        for number, state in enumerate(self._measured):
            if state is not None and not any(state is old for old in before):
                commit.received(now_ns, state.transit_ns, number)

    def _receive(self) -> None:
        """Pass the time of the last state of all controllers to the replay.

        The replay infers from it which windows have arrived. Not with simulated time: its rate says
        nothing about the connection to the controllers.
        """
        oldest = None
        if not self._clock.simulated:
            oldest = self._robot.oldest_state(self._embodiment.outputs)
        last, self._oldest = self._oldest, oldest
        if oldest is None:
            self._replay.planner.states_received(None)
        elif last is None or oldest[1].received_ns != last[1].received_ns:
            output, state = oldest
            # First: a thread that is preempted here takes a state for earlier, not for later.
            plan_ns, now_ns = self._clock.now_ns(), time.monotonic_ns()
            since_ns = now_ns - (state.received_ns if last is None else last[1].received_ns)
            slept = self._robot.awake_ns(since_ns) < since_ns
            stamp_ns = state.stamp_ns if last is None or last[0] == output else 0
            at_ns = plan_ns - (now_ns - state.received_ns)
            self._replay.planner.states_received(at_ns, slept, stamp_ns)

    def _late_now(self, now_ns: int, mode: Mode) -> list[Finding]:
        """Controllers whose state is late; for those that publish none, whose joints are late."""
        found = []
        moving = mode in MOVING and self._replay.motion_left_ns(now_ns) > 0
        for output, late in self._late:
            stamp_ns = self._robot.state_stamp(output)
            if stamp_ns is not None:
                late.receive(stamp_ns, now_ns)
            if late.age_ns(now_ns) is not None:
                found.append(late.finding(now_ns, self._robot.replay_awake_ns))
                continue
            received, joints = self._robot.joints_received(output), self._joints_late[output.name]
            if received is None:
                continue
            stamp_ns, silent_ns = received
            joints.receive(stamp_ns, now_ns)
            age_ns = joints.age_ns(now_ns)
            if moving and age_ns is not None:
                allowed_ns = max(joints.limit_ns, int(self._values.max_joint_age_s * _S))
                silent = joints_late(output.name, min(age_ns, silent_ns), allowed_ns)
                self._rest_unknown |= silent is not None
                found.append(silent)
        return [finding for finding in found if finding is not None]

    def _plans(self, mode: Mode) -> Iterator[Finding]:
        """Compare each controller's reference with what it was sent for the stamp of its state."""
        if self._values.shadow:
            self._compare(mode)
            return
        if mode not in MOVING:
            return
        limit_rad = self._values.reference_error_rad
        for output, state, played in self._robot.references():
            stamp_ns = state.stamp_ns
            sent = self._sent(output, stamp_ns)
            if sent is None:
                continue
            before = self._sent_before(output, stamp_ns)
            found = earlier_window(output.name, played, sent, before, limit_rad)
            if found is not None:
                since_ns = time.monotonic_ns() - state.received_ns
                # A clock that is ahead gives a stamp after the arrival.
                at_ns = min(stamp_ns - self._clock.offset_ns(), self._clock.now_ns() - since_ns)
                yield replace(found, earlier=Earlier(tuple(output.names), at_ns))
                continue
            found = reference_against_plan(output.names, played, *sent, limit_rad)
            if found is None:
                continue
            assert isinstance(state.value, ControllerReading)  # RobotState.references
            refuses = further_joints(output.names, state.value.reference.names)
            yield replace(found, reason=f"{found.reason}; {refuses}") if refuses else found

    def _sent(self, output: Output, stamp_ns: int) -> tuple[Positions, Positions] | None:
        """(n,) position and velocity sent to one output for a ROS stamp; None if not kept."""
        sent = self._replay.sent(stamp_ns - self._clock.offset_ns())
        return None if sent is None else self._of(output, sent)

    def _sent_before(self, output: Output, stamp_ns: int) -> Iterator[tuple[Positions, Positions]]:
        """As `_sent`, by each of the earlier windows, newest first."""
        for sent in self._replay.sent_before(stamp_ns - self._clock.offset_ns()):
            yield self._of(output, sent)

    def _of(self, output: Output, sent: tuple[Positions, Positions]) -> tuple[Positions, Positions]:
        """The columns of one output."""
        first = self._columns[output.name]
        columns = slice(first, first + len(output.names))
        return sent[0][columns], sent[1][columns]

    def _compare(self, mode: Mode) -> None:
        """In shadow: compare our plan with what is really commanded."""
        self._ticks += 1
        if mode is Mode.REPLAYING:
            for output, stamp_ns, commanded in self._robot.commanded():
                sent = self._sent(output, stamp_ns)
                if sent is not None:
                    self._shadow.add(output.names, stamp_ns, sent[0] - commanded)
        if self._ticks % _SUMMARY_EVERY == 0:
            self.shadow_errors = self._shadow.summary()

    def _pause_lasts(self, now_ns: int, mode: Mode) -> Iterator[Finding]:
        """Why a pause lasts: see session/start.pause_lasts; nothing in shadow."""
        if mode is not Mode.PAUSED or self._values.shadow:
            return
        continued, measured = self.go_on_from(now_ns), self._robot.measured_or_none()
        found = start_rules.pause_lasts(continued, measured, self._limits)
        if found is not None:
            yield found

    def _clocks(self) -> Iterator[Finding]:
        """Watch the clocks; one tick after a jump, drop all messages of the old time base.

        In the tick of the jump the session still needs the controllers' positions.
        """
        if self._jumped:
            self._robot.forget()
            self._jumped = False
        pair = self._clock.pair()
        if pair is None:
            return  # a jump is found in the next tick
        self._jump.forward_ns = int(self._values.clock_jump_s * _S)
        found = self._jump.check(*pair)
        self._doubt.note(*pair, found is not None, self._clock.simulated)
        if found is not None:
            self._jumped = True
            # With simulated time the session itself detects that plan time ran back.
            if not (self._clock.simulated and found.watch == "clock_backward"):
                yield found
        if self._clock.simulated:
            self._silent_clock.limit_ns = int(self._values.clock_silence_s * _S)
            found = self._silent_clock.check(*pair)
            if found is not None:
                yield found
