"""Reasons against an activation that the graph and the server's speed give; asks nothing twice."""

from __future__ import annotations

from rclpy.node import Node

from gr00t_ros.core.coverage import Coverage
from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.ros import settings
from gr00t_ros.ros.outputs import Outputs
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.ros.rivals import Rivals


def output_problems(node: Node, outputs: Outputs, rivals: Rivals) -> list[str]:
    """Command topics that nobody reads, or that somebody else commands."""
    found = []
    for topic, question in outputs.readers().items():
        if not node.get_subscriptions_info_by_topic(topic):
            found.append(f"nobody reads {topic}: {question}")
        others = rivals.of(topic)
        if others:
            found.append(f"another publisher commands {topic}: {others}; stop it first")
    return found


def coverage(robot: Embodiment, values: Parameters, latency_ns: int, measure: str) -> Coverage:
    """How the action horizon covers a latency, which `measure` names."""
    replay, steps = settings.replay(values), values.execute_steps
    return Coverage(replay, robot.action_horizon, robot.step_ns, steps, latency_ns, measure)
