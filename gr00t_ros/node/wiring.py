"""Everything that exists between configure and cleanup: inputs, outputs, worker, replay thread.

Created by on_configure, closed by on_cleanup. Methods run on the executor thread unless their
docstring says otherwise, and none of them waits for the policy server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile

from gr00t_ros.errors import RotationError, SettingsError, StalledError
from gr00t_ros.graph.clearance_markers import ClearanceMarkers
from gr00t_ros.graph.collision import Collision
from gr00t_ros.graph.contact import Contacts, unable
from gr00t_ros.graph.controllers import LOOK_S
from gr00t_ros.graph.entities import undone_on_failure
from gr00t_ros.inputs.inputs import PULL_PERIOD_NS, Inputs
from gr00t_ros.inputs.rolling import Rolling
from gr00t_ros.motion.clocks import Awake
from gr00t_ros.motion.guard import Verdict
from gr00t_ros.motion.plan import Course
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import Coverage
from gr00t_ros.msg import ActionChunk, Exchange, ObservationFlow
from gr00t_ros.node.answers import ReplyHandler, action_chunk, exchange_message, too_large
from gr00t_ros.node.operator_watches import OperatorWatches
from gr00t_ros.node.outputs import Outputs
from gr00t_ros.node.preview.publisher import Preview
from gr00t_ros.node.queries import Queries, QueryReply, error_text
from gr00t_ros.node.readiness import (
    RobotChecks,
    coverage,
    horizon_problems,
    instruction_problems,
    too_slow,
    wait_for_rest,
)
from gr00t_ros.node.replay_thread import STARVED_PERIODS, ReplayThread
from gr00t_ros.node.robot_state import RobotState
from gr00t_ros.node.server import ClientAccess, PolicyConnection, read_access
from gr00t_ros.node.server_process import SidecarProcess
from gr00t_ros.node.tracing.flows import Flows
from gr00t_ros.node.watches import RunningWatches
from gr00t_ros.observe.observation import Observation
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.questions import refuse_open, settled_names
from gr00t_ros.ros import parameter_values, qos
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.flow_messages import flow_message
from gr00t_ros.ros.parameters import OFF, Parameters
from gr00t_ros.ros.periodic import PeriodicThread
from gr00t_ros.session.mode import FAULTED, MOVING, Mode
from gr00t_ros.session.session import Session
from gr00t_ros.session.settling import HeldPositions
from gr00t_ros.trace.flow import Flow
from gr00t_ros.watch.finding import RESET, Finding
from gr00t_ros.wire.address import shown
from gr00t_ros.wire.link import CheckResult, Exchanged

Leave = Callable[[Session, int, HeldPositions, Sequence[Finding]], str]
"""The call by which a session leaves a pause or a fault: Session.resume or Session.reset."""


class Configured:
    """The node's parts for one configuration."""

    def __init__(
        self,
        node: LifecycleNode,
        images: Node,
        values: Parameters,
        sidecar: SidecarProcess,
        latched: str = "",
    ) -> None:
        """Build all parts; if one of them raises, nothing of the others is left.

        `images`: the node that subscribes to camera images.
        `latched`: the reason of a fault that was not reset before this configuration.
        """
        self._node, self._images = node, images
        self._values, self.sidecar = values, sidecar
        reached = sidecar.at(values)
        access = read_access(reached)
        node.get_logger().info(f"settings of the policy server: {access.origins}")
        self.embodiment = robot = load_embodiment(values.embodiment)
        refuse_open(robot.unsettled, settled_names(values.settled), robot.source)
        for problem in filter(None, (*horizon_problems(robot, values), unable(robot, values))):
            raise SettingsError(problem)
        replay = Replay(
            robot.limits,
            parameter_values.replay(values),
            robot.workspace,
            robot.command_limits,
            robot.poses,
        )
        session = Session(replay, parameter_values.session(values))
        if latched:
            session.fault(0, latched)
        address = shown(reached.host, reached.port)
        self._entities, self._threads = ExitStack(), ExitStack()
        with undone_on_failure(node, images), ExitStack() as undo:
            undo.callback(self.close)
            self._make_robot(values, access, address)
            if not self.clock.simulated:  # else queries do not wait for pictures
                periods_ns = (camera.period_ns for camera in robot.video)
                session.queries.lead_ns = max(periods_ns, default=0)
            self._make_watches(values, session.replay)
            self._start(values, session)
            undo.pop_all()

    def _make_robot(self, values: Parameters, access: ClientAccess, address: str) -> None:
        """Create the clock, the inputs, the outputs, and the queries that use them."""
        node, robot, entities = self._node, self.embodiment, self._entities
        self.clock = PlanClock(node)
        entities.callback(self.clock.destroy)
        self._awake = Awake(STARVED_PERIODS * values.refresh_ms * 1_000_000)
        settings = parameter_values.observation(values, self.clock.simulated)
        self.inputs = Inputs(node, robot, settings, images=self._images)
        entities.callback(self.inputs.destroy)
        self.outputs = Outputs(node, robot, values.shadow)
        entities.callback(self.outputs.destroy)
        self._chunks = self._publisher(ActionChunk, "~/action_chunk", qos.CHUNK)
        self._exchanges = self._publisher(Exchange, "~/exchange", qos.EXCHANGE)
        seen = bool(robot.outputs) and not values.shadow
        self.flows = Flows(self._newest_state if seen else None)
        self._flow_messages = self._publisher(ObservationFlow, "~/flows", qos.FLOWS)
        rolling = self._rolling(values) if values.roll_state else None
        refuse = None if rolling is None else rolling.refuse
        self.server = PolicyConnection(
            node, robot, values, access, address, self.sidecar, self.clock.now_ns, refuse
        )
        self._threads.callback(self.sidecar.stop)
        with ExitStack() as unused:
            unused.callback(self.server.link.close)
            self.queries = Queries(
                self.server.link,
                self.inputs,
                robot,
                self.clock,
                self._on_check,
                self._on_reply,
                self._on_assembled,
                self._on_exchange,
                self.flows,
                self._on_pictures,
                rolling,
            )
            unused.pop_all()  # the queries' worker closes the link
        self._threads.callback(self.queries.stop, 0.0)
        self.queries.instruction = values.instruction.strip()

    def _publisher(self, kind: type[Any], topic: str, profile: QoSProfile) -> Publisher:
        publisher = self._node.create_publisher(kind, topic, profile)
        self._entities.callback(self._node.destroy_publisher, publisher)
        return publisher

    def _rolling(self, values: Parameters) -> Rolling:
        def sent() -> tuple[Sequence[Course], int]:
            snapshot = self.replay.snapshot  # once: the next tick makes another one
            return snapshot.courses, snapshot.commit_ns

        return Rolling(
            lambda: self.inputs.embodiment,
            sent,
            self.clock.offset_ns,
            values.shadow,
            values.rtc != OFF,
        )

    def _make_watches(self, values: Parameters, replay: Replay) -> None:
        """Create the watches and checks; `replay` is asked for what was sent."""
        node, robot, entities = self._node, self.embodiment, self._entities
        self.robot_state = RobotState(self.inputs, robot, self.clock, values, self._awake)
        self._operator = OperatorWatches(node, values, self._on_e_stop, self.robot_state.awake_ns)
        entities.callback(self._operator.destroy)
        self._checks = RobotChecks.of(node, self.inputs, self.robot_state, robot, values)
        entities.callback(self._checks.destroy)
        self._collision = Collision(
            node, robot, values, self.robot_state.joints, self.robot_state.awake_ns
        )
        entities.callback(self._collision.destroy)
        self._collision.log()
        self.contacts = Contacts(node, robot, values, self.robot_state.awake_ns)
        entities.callback(self.contacts.destroy)
        self._others, self._manager = self._checks.others, self._checks.manager
        self._hearts = self._checks.hearts
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        look = node.create_timer(LOOK_S, self._poll_graph, clock=steady)
        entities.callback(node.destroy_timer, look)
        self.watches = RunningWatches(
            self.robot_state,
            self._operator,
            (
                self._others,
                self._manager,
                self._checks.controllers,
                self._hearts,
                self._collision,
                self.contacts,
            ),
            self.queries,
            robot,
            self.clock,
            replay,
            values,
            self.server.address,
        )
        self._answers = ReplyHandler(self.watches, self._publish_chunk, self.server.check.doubt)

    def _start(self, values: Parameters, session: Session) -> None:
        """Create what plays and shows the plan, and start its threads."""
        node, entities, threads = self._node, self._entities, self._threads
        log = node.get_logger().error
        self.replay = ReplayThread(
            session,
            self.clock,
            self.outputs,
            self.watches,
            values.refresh_ms * 1_000_000,
            values.realtime_priority,
            log,
            self._awake,
            self.flows,
        )
        session.replay.on_guarded = self.flows.guarded
        markers = ClearanceMarkers(node, self._collision, lambda: self.replay.snapshot.ahead)
        entities.callback(markers.destroy)
        self._preview = Preview(
            node,
            lambda: self._checks.limits.robot,
            self.robot_state,
            self.inputs,
            self.clock,
            lambda: self.replay.played,
            values.shadow,
        )
        entities.callback(self._preview.destroy)
        self._delay_p99_ns = 0
        pulls = PeriodicThread("gr00t_pull", PULL_PERIOD_NS, 0, self._pull, log)
        pulls.start()
        threads.callback(pulls.stop)
        self._preview.start()
        threads.callback(self._preview.stop)
        self.replay.start()
        threads.callback(self.replay.stop)

    def apply(self, values: Parameters) -> None:
        """Apply changed parameters."""
        before, self._values = self._values, values
        self.inputs.settings = parameter_values.observation(values, self.clock.simulated)
        self.robot_state.parameters = self.server.check.values = values
        self._operator.apply(values)
        self._hearts.apply(values)
        self.contacts.apply(values)
        self._collision.apply(values)
        changed = parameter_values.session(values)
        self.replay.post(lambda session, _: setattr(session, "settings", changed))
        self.replay.post(lambda _session, _now: self.watches.apply(values))
        scale = values.velocity_scale
        if scale != before.velocity_scale:
            self.replay.post(lambda session, _now: session.replay.limit_speed(scale))

    def follow_readiness(self) -> list[str]:
        """Set the mode to waiting or ready and request the check until it passes; the problems."""
        self._checks.controllers.poll()
        self.recheck()
        problems = self.problems()
        self.replay.post(lambda session, _: session.set_ready(not problems, "; ".join(problems)))
        return problems

    def recheck(self) -> None:
        """Have the server checked if a check is due."""
        self.server.check.follow(self.queries.check)

    def keep_warm(self) -> None:
        """Keep an idle server warm if keep_warm_s is set, where no query can be due.

        The server is reset after it: in an episode its policy would forget what it has seen.
        """
        queries = self.replay.snapshot.mode in MOVING | {Mode.HOLDING}
        if self._values.keep_warm_s > 0.0 and not queries:
            self.queries.keep_warm(self._values.keep_warm_s)

    def problems(self) -> list[str]:
        """Why an activation would be refused now, in the order in which to solve it."""
        found = []
        if self.latched:
            found.append(f"a fault is latched: {self.latched}; {RESET}")
        found += self.server.check.problems()
        found += instruction_problems(self.queries.instruction)
        found += [f.reason for f in (*self._operator.findings(), *self.contacts.findings())]
        found += self._operator.misnamed()
        found += self._checks.streams() + self._checks.commands()
        gaps = self._checks.observation()  # called in any case: it pulls the newest samples
        if found or gaps:
            return found or gaps
        self._end_check()
        start, against = self._checks.start()
        try:
            poses = self.robot_state.poses()
        except RotationError as error:
            return [str(error)]
        touching = self._collision.problems(start, poses)
        return [finding.reason for finding in against] + touching

    def coverage(self) -> Coverage | None:
        """How the horizon covers the p99 of recent delays; None: no check has passed.

        Before the first delay, and where it is why the node is not ready, the server's check.
        """
        checked, p99_ns = self.server.check.coverage(), self._delay_p99_ns
        refuses = checked is not None and too_slow(checked, self._values)
        if not p99_ns or refuses:
            return checked
        return coverage(self.embodiment, self._values, p99_ns, "p99 latency")

    def activate(self) -> None:
        """Begin a session; raises Gr00tError if the start position is not known."""
        start, poses = self.robot_state.start_position(), self.robot_state.poses()
        workspace = self._checks.limits.begin().workspace
        # The last periodic look may be a second old and show a publisher that has gone since.
        self._others.look()

        def activate(session: Session, now_ns: int) -> None:
            session.replay.workspace = self.watches.policy.workspace = workspace
            session.replay.start_poses(now_ns, poses)
            self._collision.attach(session.replay)
            session.activate(now_ns, start)
            self._hearts.begin()
            self.watches.begin()

        try:
            self.replay.call(activate)
        except Exception as error:
            self._checks.limits.end()
            if isinstance(error, StalledError) and error.begun:
                # The node stays inactive, so the session must become inactive too.
                self.replay.post(_stop)
            raise

    def deactivate(self) -> None:
        """Stop, and wait until the arm rests, at most stop_timeout_s of steady time."""
        self.replay.call(_stop, stops=True)
        late = wait_for_rest(
            self._session_active, self.inputs, self.robot_state, self.clock, self._values
        )
        self._checks.limits.end()
        self._end_check()
        if late:
            self._node.get_logger().warning(f"deactivate: {late}")

    def _end_check(self) -> None:
        """End the collision check of a session that is over; until then its thread uses it."""
        if self._collision.running and not self._session_active():
            self._collision.end()

    def refusal(self, changed: Parameters) -> str:
        """Why these values are refused, by what is known so far; empty if they are accepted."""
        if refusal := unable(self.embodiment, changed):
            return refusal
        if changed.execute_steps <= self._values.execute_steps:
            return ""
        check = self.server.check.passed
        if self._delay_p99_ns:
            known = self._delay_p99_ns, "p99 latency"
        else:
            known = (check.inference_ns, "inference") if check else (0, "latency so far")
        return "; ".join(horizon_problems(self.embodiment, changed, *known))

    def change_instruction(self, text: str) -> int:
        """Start a new episode with the instruction `text`; returns its number.

        If it raises, as StalledError if the replay thread does not answer, the old one stays.
        """

        def change(session: Session, now_ns: int) -> int:
            session.change_instruction(now_ns)
            self.queries.instruction = text
            return session.episode

        return int(self.replay.call(change))

    @property
    def unchecked(self) -> str:
        """What moves and is not checked although `collision: required`; empty if nothing is."""
        return self._collision.unchecked

    @property
    def pressed_s(self) -> float:
        """When the button of ~/e_stop was pressed last, steady time, s; -inf before."""
        return self._operator.pressed_s

    @property
    def latched(self) -> str:
        """The reason of a latched fault, which waits for ~/reset; empty if there is none."""
        snapshot = self.replay.snapshot
        return snapshot.reason if snapshot.latched else ""

    def leave(self, leave: Leave) -> str:
        """Leave a pause or fault by calling `leave`; returns why it was refused, empty if done.

        The conditions are those of an activation: no cause persists, and the held and the measured
        position agree.
        """
        start, against = self._checks.start()
        self._operator.clear()
        self._others.look()
        against += [*self._hearts.doubled(), *self.server.check.against()]
        poses = self.robot_state.poses()

        def go_on(session: Session, now_ns: int) -> str:
            if session.mode in FAULTED:  # a reset accepts a streamer that was replaced
                self._hearts.begin()
            rests = session.active and session.mode not in MOVING  # in motion `leave` refuses
            if rests:
                session.replay.start_poses(now_ns, poses)
                self._collision.attach(session.replay)
            findings = [*self.watches.findings(now_ns, session.mode), *against]
            held = self.watches.leave_from(now_ns, start) if session.active else start
            if rests and held is not None:
                findings += self._collision.against(held, poses)
            refusal = leave(session, now_ns, held, findings)
            if not refusal:
                self.watches.begin()
            return refusal

        return str(self.replay.call(go_on))

    def close(self) -> None:
        """End the threads and remove all entities; the worker ends after its call in flight."""
        with self._entities:  # closed after the threads, which use them, whatever these raise
            self._threads.close()

    def flows_done(self) -> list[Flow]:
        """The flows that have ended since the last call; published if somebody subscribes."""
        done = self.flows.done()
        if done and self._flow_messages.get_subscription_count():
            for flow in done:
                self._flow_messages.publish(flow_message(flow))
        return done

    def _pull(self) -> None:
        """Runs on the pull thread."""
        self.inputs.pull()
        self.flows.look()

    def _newest_state(self) -> int:
        """Stamp (ROS ns) of the newest state of any controller, 0 if none came."""
        stamps = (self.robot_state.state_stamp(output) for output in self.embodiment.outputs)
        return max((stamp for stamp in stamps if stamp is not None), default=0)

    def _poll_graph(self) -> None:
        """Update, once a second, the findings that other threads read."""
        self._others.look()
        self._manager.look()
        self._checks.controllers.look()
        self.contacts.look()

    def _on_e_stop(self, reason: str) -> None:
        def latch(session: Session, now_ns: int) -> None:
            if session.mode not in FAULTED:
                session.fault(now_ns, reason)

        self.replay.post(latch)

    def _session_active(self) -> bool:
        """Whether the session may still move the arm; True if the replay thread does not answer."""
        try:
            return bool(self.replay.call(lambda session, _: session.active))
        except StalledError:
            return True

    def _on_check(self, check: CheckResult | None, error: Exception | None) -> None:
        """Runs on the worker thread."""
        self.server.take(check, error)
        self.replay.post(lambda _session, _now: self.watches.policy.checked(error))

    def _on_reply(self, reply: QueryReply | None, error: Exception | None) -> None:
        """Runs on the worker thread; the posted call runs on the replay thread."""
        self.replay.post(lambda session, now_ns: self._take(session, now_ns, reply, error), True)

    def _take(
        self, session: Session, now_ns: int, reply: QueryReply | None, error: Exception | None
    ) -> None:
        """Take over the result of a query; an error of that counts as a query that failed."""
        try:
            if reply is not None and reply.marks is not None:
                self.flows.take(reply.marks)
            self._answers.apply(session, now_ns, reply, error)
        except Exception as crash:
            session.query_failed(f"internal error: {error_text(crash)}", now_ns, answered=True)
            raise
        finally:
            self.queries.taken()
            self._delay_p99_ns = session.queries.delay_p99_ns

    def _on_assembled(self, error: Exception | None) -> None:
        """Runs on the worker thread."""
        self.replay.post(lambda _session, _now: self.watches.policy.assembled(error))

    def _on_exchange(self, exchanged: Exchanged) -> None:
        """Runs on the worker thread, between two queries."""
        if not self._exchanges.get_subscription_count():
            return
        if problem := too_large(exchanged):
            self._node.get_logger().warning(problem, once=True)
            return
        address = self.server.address
        self._exchanges.publish(exchange_message(self.embodiment, exchanged, address))

    def _on_pictures(
        self, observation: Observation, video: Mapping[str, NDArray[np.uint8]]
    ) -> None:
        """Runs on the worker thread, while an observation is assembled."""
        self._preview.pictures.sent(observation, video)

    def _publish_chunk(self, reply: QueryReply, verdict: Verdict) -> None:
        """Runs on the replay thread."""
        self.flows.judged(verdict)
        if not verdict.dropped:
            self._preview.chunk = reply.chunk
        self._chunks.publish(action_chunk(self.embodiment, reply, verdict))


def _stop(session: Session, now_ns: int) -> None:
    if session.active:
        session.deactivate(now_ns)
