"""The checks on the robot's side before motion: streams, controllers, limits, the arm's position.

The node refuses its activation if one of them fails, and the doctor shows the same list. Publishes
nothing and does not use the policy server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

from gr00t_ros.errors import Gr00tError, ObservationError
from gr00t_ros.graph.controllers import (
    ControllerManager,
    ControllerParameters,
    OtherPublishers,
    controllers_of,
)
from gr00t_ros.graph.heartbeat import Heartbeats, heart_topics
from gr00t_ros.graph.limits import DescribedLimits
from gr00t_ros.inputs.controller_state import STATE_TYPE_NAMES
from gr00t_ros.inputs.inputs import Inputs
from gr00t_ros.inputs.stream_report import other_type
from gr00t_ros.motion.replay_settings import Coverage
from gr00t_ros.node.outputs import action_servers, command_readers, command_topics
from gr00t_ros.node.robot_state import Positions, RobotState
from gr00t_ros.robot.actions import Output
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.ros import parameter_values, qos
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.watch.finding import Finding
from gr00t_ros.watch.table import reasoned

_SPAN_S = 0.1  # the measured speed is the average over this time


def wait_for_rest(
    session_active: Callable[[], bool],
    inputs: Inputs,
    around: RobotState,
    clock: PlanClock,
    values: Parameters,
) -> str:
    """Wait up to stop_timeout_s until the session ended and the arm rests; why not, or empty.

    Call it from the executor's thread, or after the executor has ended: it takes /clock itself.
    """
    deadline_s = time.monotonic() + values.stop_timeout_s
    while time.monotonic() < deadline_s:
        clock.take()
        if not session_active() and _measured_at_rest(inputs, around, values.rest_velocity):
            return ""
    return f"no rest was measured within {values.stop_timeout_s} s"


def _measured_at_rest(inputs: Inputs, around: RobotState, velocity_rad_s: float) -> bool:
    """Whether every joint stays below this speed over the next 0.1 s; False if it is not known."""
    before = _pulled(inputs, around)
    time.sleep(_SPAN_S)
    after = _pulled(inputs, around)
    if before is None or after is None:
        return False
    return float(abs(after - before).max()) < velocity_rad_s * _SPAN_S


def _pulled(inputs: Inputs, around: RobotState) -> Positions | None:
    """(J,) measured position, from messages pulled now; None if it is not known."""
    inputs.pull()
    return around.measured_or_none()


NO_INSTRUCTION = "no instruction: set parameter instruction, or call ~/set_instruction"


def instruction_problems(text: str) -> list[str]:
    """Why an activation with this instruction would be refused."""
    return [] if text else [NO_INSTRUCTION]


def horizon_problems(
    robot: Embodiment, values: Parameters, latency_ns: int = 0, measure: str = "latency so far"
) -> list[str]:
    """Why the action horizon is too short for execute_steps, with the latency known so far."""
    found = coverage(robot, values, latency_ns, measure)
    return [] if found.covered else [f"execute_steps {values.execute_steps}: {found.text}"]


def output_problems(node: Node, readers: Mapping[str, str], others: OtherPublishers) -> list[str]:
    """Command topics without a compatible subscription, or with another publisher.

    `readers`: outputs.command_readers.
    """
    found = []
    for topic, question in readers.items():
        reading = node.get_subscriptions_info_by_topic(topic)
        if not reading:
            found.append(f"nobody reads {topic}: {question}")
        elif why := _unfit(reading):
            found.append(f"nobody can read {topic}: {why}; change the controller's QoS")
    for topic in others.topics:
        if names := others.of(topic):
            found.append(f"another publisher commands {topic}: {names}; stop it first")
    return found


def server_problems(node: Node, servers: Mapping[str, Sequence[str]]) -> list[str]:
    """Grippers whose action has no server; `servers`: outputs.action_servers."""
    return [
        f"output {output}: no server of action {action}: is the gripper's driver running?"
        for output, actions in servers.items()
        for action in actions
        if not node.count_publishers(f"{action}/_action/status")
    ]


def state_type_problems(node: Node, outputs: Sequence[Output]) -> list[str]:
    """Controllers whose state has a type that cannot be read: where they hold the arm is unknown.

    A controller that publishes no state at all is none of them: it holds what it was commanded.
    """
    found = []
    for output in outputs:
        topic = node.resolve_topic_name(output.state_topic)
        publishers = node.get_publishers_info_by_topic(topic)
        if text := other_type(topic, publishers, STATE_TYPE_NAMES):
            found.append(f"controller.{output.name}: {text}")
    return found


def _unfit(reading: Sequence[TopicEndpointInfo]) -> str:
    """Why windows reach none of these subscriptions; empty if they reach one."""
    reasons = []
    for info in reading:
        reason = qos.mismatch(qos.COMMAND, info.qos_profile)
        if not reason:
            return ""
        reasons.append(f"{info.node_name} {reason}")
    return "; ".join(reasons)


def coverage(robot: Embodiment, values: Parameters, latency_ns: int, measure: str) -> Coverage:
    """How the action horizon covers a latency; `measure` is the name of the latency."""
    replay, steps = parameter_values.replay(values), values.execute_steps
    return Coverage(replay, robot.action_horizon, robot.step_ns, steps, latency_ns, measure)


def too_slow(found: Coverage, values: Parameters) -> str:
    """Why no motion begins with this inference; empty if it may.

    With stop_and_go the robot may stop between two chunks, if a chunk has a step left when it
    comes. For a server that always takes longer than it may be silent, each query is a pause.
    """
    if not found.covered and not (values.stop_and_go and found.any_left):
        never = "; stop_and_go does not help: each chunk would come after its last step"
        return found.text + (never if values.stop_and_go else "")
    if found.latency_ns > round(values.sidecar_silence_s * 1e9):
        return (
            f"{found.measure} {found.latency_ns / 1e6:.0f} ms is longer than sidecar_silence_s "
            f"({values.sidecar_silence_s:g} s): each query would be a pause, its answer dropped; "
            "set sidecar_silence_s above it, or use a faster server or network"
        )
    return ""


@dataclass(frozen=True, slots=True)
class RobotChecks:
    """The checks of one robot; `readers` is outputs.command_readers, empty in shadow."""

    node: Node
    inputs: Inputs
    robot_state: RobotState
    readers: Mapping[str, str]
    others: OtherPublishers
    controllers: ControllerParameters
    manager: ControllerManager
    limits: DescribedLimits
    servers: Mapping[str, tuple[str, ...]]
    hearts: Heartbeats

    @staticmethod
    def of(
        node: Node,
        inputs: Inputs,
        robot_state: RobotState,
        robot: Embodiment,
        values: Parameters,
    ) -> RobotChecks:
        """The checks of `robot`; in shadow nothing is commanded, so no subscriber is needed."""
        readers = {} if values.shadow else command_readers(node, robot)
        topics = () if values.shadow else command_topics(node, robot)
        controllers = {} if values.shadow else controllers_of(node, robot)
        return RobotChecks(
            node,
            inputs,
            robot_state,
            readers,
            OtherPublishers(node, topics, heart_topics(node, robot)),
            ControllerParameters(node, tuple(readers)),
            ControllerManager(node, values.controller_manager, controllers),
            DescribedLimits(node, robot, inputs.describe),
            {} if values.shadow else action_servers(node, robot),
            Heartbeats(node, robot, values, robot_state.awake_ns),
        )

    def destroy(self) -> None:
        """Remove what the checks have created on the node."""
        self.controllers.destroy()
        self.manager.destroy()
        self.limits.destroy()
        self.hearts.destroy()

    def streams(self) -> list[str]:
        """Problems of streams, cameras and controller states: late, unusable, frozen, silent.

        Also a workspace whose chain is not known.
        """
        found = [finding.reason for finding in self.robot_state.findings()]
        found += self.limits.chain_problems
        if self.readers:
            found += self._other_joints()
            outputs = [output for output, _ in self.robot_state.controllers()]
            found += state_type_problems(self.node, outputs)
        return found

    def _other_joints(self) -> list[str]:
        """Controllers whose state has other joints than their output: they reject its windows."""
        found = []
        for output, reading in self.robot_state.controllers():
            if reading is None:
                continue
            try:
                self.robot_state.played_and_measured(output, reading)
            except ObservationError as error:
                text = f"{error}; is {output.topic} the controller of these joints?"
                found.append(f"controller.{output.name}: {text}")
        return found

    def commands(self) -> list[str]:
        """Problems of command topics and controllers; none in shadow."""
        if not self.readers:
            return []
        problems = output_problems(self.node, self.readers, self.others)
        problems += server_problems(self.node, self.servers)
        hearts = (*self.hearts.silent(), *self.hearts.doubled())
        problems += [found.reason for found in (*self.manager.findings(), *hearts)]
        return problems + self.controllers.problems() + self.limits.problems()

    def observation(self) -> list[str]:
        """Why no observation can be assembled now, such as too short a history."""
        gaps = self.inputs.observe()
        return [str(gap) for gap in gaps] if isinstance(gaps, tuple) else []

    def start(self) -> tuple[Positions | None, list[Finding]]:
        """The start position of a plan, None if unknown, and the findings against a start."""
        try:
            start = self.robot_state.start_position()
            against = self.robot_state.outside_finding()
            if against is None and self.readers:
                against = self.robot_state.held_finding()
        except Gr00tError as error:
            return None, [reasoned("held_position", str(error))]
        return start, [against] if against else []
