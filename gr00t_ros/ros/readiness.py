"""Reasons against an activation that the graph and the server's speed give; asks nothing twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

from gr00t_ros.core.coverage import Coverage
from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.ros import qos, settings
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.ros.rivals import Rivals

NO_INSTRUCTION = "no instruction: set parameter instruction, or call ~/set_instruction"


def instruction_problems(text: str) -> list[str]:
    """Why an activation would be refused with this instruction."""
    return [] if text else [NO_INSTRUCTION]


def horizon_problems(
    robot: Embodiment, values: Parameters, latency_ns: int = 0, measure: str = "latency so far"
) -> list[str]:
    """Why the action horizon is too short for execute_steps, by the latency known so far."""
    found = coverage(robot, values, latency_ns, measure)
    return [] if found.covered else [f"execute_steps {values.execute_steps}: {found.text}"]


def output_problems(node: Node, readers: Mapping[str, str], rivals: Rivals) -> list[str]:
    """Command topics that nobody can read, or that somebody else commands.

    `readers`: outputs.command_readers.
    """
    found = []
    for topic, question in readers.items():
        reading = node.get_subscriptions_info_by_topic(topic)
        if not reading:
            found.append(f"nobody reads {topic}: {question}")
        elif why := _unfit(reading):
            found.append(f"nobody can read {topic}: {why}; change the controller's QoS")
        others = rivals.of(topic)
        if others:
            found.append(f"another publisher commands {topic}: {others}; stop it first")
    return found


def server_problems(node: Node, servers: Mapping[str, Sequence[str]]) -> list[str]:
    """Grippers whose action nobody serves; `servers`: outputs.action_servers."""
    return [
        f"output {output}: no server of action {action}: is the gripper's driver running?"
        for output, actions in servers.items()
        for action in actions
        if not node.count_publishers(f"{action}/_action/status")
    ]


def _unfit(reading: Sequence[TopicEndpointInfo]) -> str:
    """Why windows reach none of these subscriptions, empty where they reach one."""
    reasons = []
    for info in reading:
        reason = qos.mismatch(qos.COMMAND, info.qos_profile)
        if not reason:
            return ""
        reasons.append(f"{info.node_name} {reason}")
    return "; ".join(reasons)


def coverage(robot: Embodiment, values: Parameters, latency_ns: int, measure: str) -> Coverage:
    """How the action horizon covers a latency, which `measure` names."""
    replay, steps = settings.replay(values), values.execute_steps
    return Coverage(replay, robot.action_horizon, robot.step_ns, steps, latency_ns, measure)
