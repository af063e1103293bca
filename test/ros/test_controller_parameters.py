"""Settings of a trajectory controller that break the splice are named before a start."""

from typing import Any

import pytest
from rclpy.node import Node
from ros_fixtures import wait_until

from gr00t_ros.ros.controller_parameters import FORBIDDEN, ControllerParameters

TOPIC = "/fr3_arm_controller/joint_trajectory"


@pytest.fixture
def controller(ros_node: Any) -> Any:
    """Stand-in for a controller: a node of its name with its parameters."""
    node = Node("fr3_arm_controller", context=ros_node.context)
    ros_node.executor.add_node(node)
    yield node
    ros_node.executor.remove_node(node)
    node.destroy_node()


def _ask(node: Node) -> ControllerParameters:
    asked = ControllerParameters(node, [TOPIC])

    def answered() -> bool:
        asked.poll()
        return asked.answers == len(FORBIDDEN)

    wait_until(answered, "the controller's parameters")
    return asked


def test_a_controller_that_replaces_trajectories_is_refused_by_name(
    ros_node: Any, controller: Node
) -> None:
    """The sentence names controller, parameter, effect and remedy."""
    controller.declare_parameter("allow_trajectory_replacement", True)
    controller.declare_parameter("allow_nonzero_velocity_at_trajectory_end", False)
    (problem,) = _ask(ros_node).problems()
    assert problem.startswith("/fr3_arm_controller: parameter allow_trajectory_replacement is true")
    assert "set it to false" in problem


def test_a_controller_of_a_branch_without_the_parameter_is_no_problem(
    ros_node: Any, controller: Node
) -> None:
    """Only what is true is refused; Jazzy's controller does not know the newer one."""
    controller.declare_parameter("allow_nonzero_velocity_at_trajectory_end", False)
    assert _ask(ros_node).problems() == []


def test_a_driver_without_parameter_services_is_taken_as_it_is(ros_node: Any) -> None:
    """Nobody answers: no problem, and nothing waits."""
    asked = ControllerParameters(ros_node, [TOPIC])
    asked.poll()
    assert asked.problems() == []
    asked.destroy()
