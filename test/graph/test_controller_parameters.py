"""Parameters of a trajectory controller that break the splice are reported before a start."""

from typing import Any

import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_fixtures import wait_until
from trajectory_msgs.msg import JointTrajectory

from gr00t_ros.graph.controllers import FORBIDDEN, NOT_KNOWN, ControllerParameters, Setting
from gr00t_ros.watch.finding import Reaction

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


@pytest.mark.parametrize(("name", "setting"), FORBIDDEN.items())
def test_each_setting_that_breaks_windows_is_refused_with_value_and_remedy(
    ros_node: Any, controller: Node, name: str, setting: Setting
) -> None:
    """Those of control.md 1, item 8."""
    controller.declare_parameter(name, setting.forbidden)
    (problem,) = _ask(ros_node).problems()
    assert f"parameter {name} is {str(setting.forbidden).lower()}: " in problem
    assert f"set it to {setting.needed}" in problem


def test_a_parameter_that_changes_is_heard_of_without_a_question(
    ros_node: Any, controller: Node
) -> None:
    """By the parameter event: to the forbidden value and back."""
    controller.declare_parameter("allow_trajectory_replacement", False)
    asked = _ask(ros_node)
    wait_until(lambda: controller.count_subscribers("/parameter_events"), "who hears the event")
    controller.set_parameters([Parameter("allow_trajectory_replacement", value=True)])
    wait_until(asked.findings, "the change")
    (found,) = asked.findings()
    assert (found.watch, found.reaction) == ("controller_parameter", Reaction.FAULT)
    assert "/fr3_arm_controller: parameter allow_trajectory_replacement is true" in found.reason
    assert asked.answers == len(FORBIDDEN)
    controller.set_parameters([Parameter("allow_trajectory_replacement", value=False)])
    wait_until(lambda: not asked.findings(), "the change back")


def test_a_controller_that_restarted_is_asked_again(ros_node: Any, controller: Node) -> None:
    """It is known by its subscription: a new one may be configured otherwise."""
    before = controller.create_subscription(JointTrajectory, TOPIC, print, 1)
    wait_until(lambda: ros_node.count_subscribers(TOPIC) == 1, "the first one's subscription")
    asked = _ask(ros_node)
    controller.destroy_subscription(before)
    wait_until(lambda: ros_node.count_subscribers(TOPIC) == 0, "its end")
    asked.look()
    controller.create_subscription(JointTrajectory, TOPIC, print, 1)
    wait_until(lambda: ros_node.count_subscribers(TOPIC) == 1, "the new one's subscription")

    def answered() -> bool:
        asked.look()
        return asked.answers == 2 * len(FORBIDDEN)

    wait_until(answered, "the new controller's parameters")


def test_a_controller_of_a_branch_without_the_parameter_is_no_problem(
    ros_node: Any, controller: Node
) -> None:
    """Only what is known and wrong is refused; Jazzy's controller does not know the newer one."""
    controller.declare_parameter("allow_nonzero_velocity_at_trajectory_end", False)
    assert _ask(ros_node).problems() == []


def _seen(ros_node: Any, controller: Node) -> ControllerParameters:
    """Of a controller whose command subscription is known, before anything was asked."""
    controller.create_subscription(JointTrajectory, TOPIC, print, 1)
    wait_until(lambda: ros_node.count_subscribers(TOPIC) == 1, "the controller's subscription")
    return ControllerParameters(ros_node, [TOPIC])


def test_a_controller_that_has_not_answered_yet_is_a_problem_until_it_has(
    ros_node: Any, controller: Node
) -> None:
    """A forbidden value is known before an activation, and not a fault after it."""
    asked = _seen(ros_node, controller)
    asked.poll()
    assert asked.problems() == [f"/fr3_arm_controller: {NOT_KNOWN}"]
    assert asked.findings() == ()

    def answered() -> bool:
        asked.poll()
        if asked.answers < len(FORBIDDEN):
            assert asked.problems() == [f"/fr3_arm_controller: {NOT_KNOWN}"]
        return asked.answers == len(FORBIDDEN)

    wait_until(answered, "the controller's parameters")
    assert asked.problems() == []


@pytest.mark.parametrize("services", [True, False])
def test_a_controller_that_never_answers_is_taken_as_it_is_after_a_while(
    ros_node: Any, services: bool
) -> None:
    """Without parameter services, or with requests that it leaves unanswered: nobody spins it."""
    silent = Node("fr3_arm_controller", context=ros_node.context, start_parameter_services=services)
    asked = _seen(ros_node, silent)

    def taken() -> bool:
        asked.poll()
        return asked.problems() == []

    assert not taken()
    wait_until(taken, "the end of waiting for its answers")
    assert asked.answers == 0
    silent.destroy_node()


def test_a_driver_without_parameter_services_is_taken_as_it_is(ros_node: Any) -> None:
    """Nobody answers: no problem, and nothing waits."""
    asked = ControllerParameters(ros_node, [TOPIC])
    asked.poll()
    assert asked.problems() == []
    asked.destroy()
