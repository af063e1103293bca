"""Parameters of a trajectory controller that break the splice are reported before a start."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rcl_interfaces.msg import ParameterValue
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from ros_fixtures import wait_until
from trajectory_msgs.msg import JointTrajectory

from gr00t_ros.graph import controllers
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


class SlowController:
    """A node whose one controller answers each request after `delay_s`; nobody else reads."""

    def __init__(self, delay_s: float) -> None:
        self.now_s, self.delay_s = 0.0, delay_s
        self.due: list[tuple[float, Future]] = []

    def create_client(self, *_: Any) -> Any:
        return SimpleNamespace(
            service_is_ready=lambda: True, call_async=self._ask, remove_pending_request=self._drop
        )

    def create_subscription(self, *_: Any) -> None:
        return None

    def get_subscriptions_info_by_topic(self, _: str) -> list[Any]:
        name = {"node_name": "fr3_arm_controller", "node_namespace": "/"}
        return [SimpleNamespace(endpoint_gid=b"1", **name)]

    def _ask(self, _: Any) -> Future:
        self.due.append((self.now_s + self.delay_s, Future()))
        return self.due[-1][1]

    def _drop(self, future: Future) -> None:
        self.due = [one for one in self.due if one[1] is not future]

    def until(self, now_s: float) -> None:
        """Let time go on; every parameter is forbidden, as far as a bool can be."""
        self.now_s = now_s
        for due_s, future in list(self.due):
            if due_s <= now_s and not future.done():
                future.set_result(SimpleNamespace(values=[ParameterValue(type=1, bool_value=True)]))


@given(st.floats(0.0, 3.0), st.floats(0.1, 1.0))
def test_before_a_slow_controllers_answers_there_is_always_a_problem(
    delay_s: float, period_s: float
) -> None:
    """However late it is, up to the time after which an answer is ignored; and polled whenever."""
    node = SlowController(delay_s)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(controllers.time, "monotonic", lambda: node.now_s)
        asked = ControllerParameters(cast(Any, node), [TOPIC])
        for tick in range(round(6.0 / period_s)):
            node.until(tick * period_s)
            asked.poll()
            assert asked.problems()
        assert len(asked.findings()) == 2  # interpolation_method is no bool


def test_a_driver_without_parameter_services_is_taken_as_it_is(ros_node: Any) -> None:
    """Nobody answers: no problem, and nothing waits."""
    asked = ControllerParameters(ros_node, [TOPIC])
    asked.poll()
    assert asked.problems() == []
    asked.destroy()
