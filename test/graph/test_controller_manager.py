"""A controller that controller_manager lists as not active is a finding; an old list is not.

Stand-ins for its interface, which only robots have: what is shown is our side of the service.
"""

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT
from rclpy.task import Future
from ros_fixtures import wait_for_success
from stand_in_interfaces import controller_manager_msgs  # noqa: F401

from gr00t_ros.graph import controllers
from gr00t_ros.graph.controllers import ASK_S, ControllerManager, controllers_of
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.watch.finding import RESET, Reaction

SERVICE = SimpleNamespace(Request=SimpleNamespace)
NAMES = {"arm": "fr3_arm_controller", "gripper": "gripper_controller"}


class Client:
    """controller_manager as the node's client sees it: it answers when told to."""

    def __init__(self) -> None:
        self.ready, self.futures, self.given_up = True, [], []

    def service_is_ready(self) -> bool:
        return self.ready

    def call_async(self, request: Any) -> Future:
        self.futures.append(Future())
        return self.futures[-1]

    def remove_pending_request(self, future: Future) -> None:
        self.given_up.append(future)

    def answer(self, **states: str) -> None:
        """The newest question's answer: controller -> state."""
        listed = [SimpleNamespace(name=name, state=state) for name, state in states.items()]
        self.futures[-1].set_result(SimpleNamespace(controller=listed))


class Asking:
    """A watch, the client that it has, and the steady time."""

    def __init__(self, monkeypatch: Any, namespace: str = "/controller_manager") -> None:
        self.client, self.services, self.now_s = Client(), [], 100.0
        node = SimpleNamespace(create_client=self._create, destroy_client=self.services.remove)
        monkeypatch.setattr(controllers.time, "monotonic", lambda: self.now_s)
        self.watch = ControllerManager(node, namespace, NAMES, SERVICE)

    def _create(self, service: Any, name: str) -> Client:
        assert service is SERVICE
        self.services.append(name)
        return self.client

    def after(self, seconds: float) -> None:
        """So much later the caller's timer comes."""
        self.now_s += seconds
        self.watch.look()

    def hear(self, **states: str) -> list[str]:
        """What is found after the next answer."""
        self.after(1.0)
        self.client.answer(**states)
        return [found.reason for found in self.watch.findings()]


@pytest.fixture
def asking(monkeypatch: Any) -> Asking:
    """Nothing was asked yet."""
    return Asking(monkeypatch)


@pytest.mark.parametrize("state", ["inactive", "unconfigured", "finalized", "something new"])
def test_a_controller_that_is_not_active_is_a_fault_that_names_it_and_its_state(
    asking, state
) -> None:
    """And what to do; the other one is active."""
    assert asking.hear(fr3_arm_controller=state, gripper_controller="active", other="inactive") == [
        f"controller fr3_arm_controller of output arm is {state} by /controller_manager, expected "
        f"active; activate the controller, then {RESET}"
    ]
    (found,) = asking.watch.findings()
    assert (found.watch, found.reaction) == ("controller_inactive", Reaction.FAULT)


def test_a_controller_that_is_active_again_is_no_finding(asking) -> None:
    """A reset is then accepted."""
    assert len(asking.hear(fr3_arm_controller="inactive", gripper_controller="inactive")) == 2
    assert asking.hear(fr3_arm_controller="active", gripper_controller="active") == []


def test_a_controller_that_was_unloaded_is_a_finding_and_one_never_listed_is_none(asking) -> None:
    """A driver that is no part of ros2_control is watched by the age of its state alone."""
    assert asking.hear(fr3_arm_controller="active") == []
    assert [reason[:79] for reason in asking.hear(joint_state_broadcaster="active")] == [
        "controller fr3_arm_controller of output arm is not loaded any more by /controll"
    ]
    assert len(asking.hear()) == 1
    assert asking.hear(fr3_arm_controller="active") == []


@pytest.mark.parametrize(("age_s", "says"), [(2.999, 1), (3.0, 1), (3.001, 0), (1e6, 0)])
def test_an_old_answer_says_nothing(asking, age_s, says) -> None:
    """A manager that died with its controllers is controller_silent's."""
    asking.hear(fr3_arm_controller="inactive")
    asking.now_s += age_s
    assert len(asking.watch.findings()) == says


def test_it_asks_about_once_a_second_and_one_question_at_a_time(asking) -> None:
    """However often it is called, and whether or not somebody answers."""
    asking.watch.look()
    for _ in range(10):
        asking.after(0.2)
    assert len(asking.client.futures) == 1 and asking.client.given_up == []
    asking.after(1.0)  # the answer is overdue
    assert asking.client.given_up == asking.client.futures[:1] and len(asking.client.futures) == 2
    asking.client.answer(fr3_arm_controller="active")
    asking.after(ASK_S / 2)
    assert len(asking.client.futures) == 2
    asking.after(ASK_S / 2)
    assert len(asking.client.futures) == 3


def test_nobody_there_is_nothing_to_wait_for(asking) -> None:
    """Started later it is asked then."""
    asking.client.ready = False
    asking.after(1.0)
    assert asking.client.futures == [] and asking.watch.findings() == ()
    asking.client.ready = True
    assert len(asking.hear(fr3_arm_controller="inactive")) == 1


def test_a_question_that_failed_is_asked_again(asking) -> None:
    """The last answer stands until it is too old."""
    asking.hear(fr3_arm_controller="inactive")
    asking.after(1.0)
    asking.client.futures[-1].set_exception(RuntimeError("gone"))
    assert len(asking.watch.findings()) == 1
    assert asking.hear(fr3_arm_controller="active") == []


def test_an_empty_namespace_and_a_machine_without_the_interface_ask_nobody(monkeypatch) -> None:
    """The service's name is that of the parameter."""
    assert Asking(monkeypatch, "/left/controller_manager").services == [
        "/left/controller_manager/list_controllers"
    ]
    none = Asking(monkeypatch, "")
    none.after(1.0)
    assert none.services == [] and none.watch.findings() == ()
    without = ControllerManager(SimpleNamespace(), "/controller_manager", NAMES, None)
    without.look()
    assert without.findings() == ()
    without.destroy()


def test_the_controller_of_an_output_is_the_owner_of_its_command_topic() -> None:
    """As remapped on the command line."""
    robot = load_embodiment("franka_droid")
    node = SimpleNamespace(resolve_topic_name=lambda topic: topic.replace("fr3", "left"))
    assert controllers_of(node, robot) == {
        "arm": "left_arm_controller",
        "gripper": "gripper_controller",
    }


@pytest.mark.soak
@NEEDS_ROBOT
@pytest.mark.usefixtures("controller_manager_msgs")
def test_a_controller_that_controller_manager_says_is_inactive_faults_the_node(rig) -> None:
    """Over the real service: while its state still comes and it follows; then no activation."""
    from controller_manager_msgs.msg import ControllerState
    from controller_manager_msgs.srv import ListControllers

    states = {"fr3_arm_controller": "active", "gripper_controller": "active"}

    def answer(_request: Any, response: Any) -> Any:
        response.controller = [ControllerState(name=n, state=s) for n, s in states.items()]
        return response

    service = rig.node.create_service(
        ListControllers, "/controller_manager/list_controllers", answer
    )
    rig.start_moving()
    states["fr3_arm_controller"] = "inactive"
    said = "controller fr3_arm_controller of output arm is inactive by /controller_manager"
    assert rig.wait_for_mode("fault").reason.startswith(said)
    rig.assert_rest()
    assert said in rig.reset().message
    states["fr3_arm_controller"] = "active"
    wait_for_success(rig.reset, "a reset once the controller is active")
    rig.wait_for_motion()
    assert rig.change("deactivate")
    states["gripper_controller"] = "unconfigured"
    rig.wait_for_reason("controller gripper_controller of output gripper is unconfigured")
    assert not rig.change("activate")
    rig.node.destroy_service(service)
