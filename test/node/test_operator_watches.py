"""A press on the e-stop topic before an activation latches, and stays after its release."""

from types import SimpleNamespace

import pytest
from ros_fixtures import wait_for_discovery, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from std_msgs.msg import Bool  # noqa: E402

from gr00t_ros.node import operator_watches  # noqa: E402
from gr00t_ros.node.operator_watches import OperatorWatches  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.ros.parameters import DEFAULTS  # noqa: E402


def test_a_press_while_inactive_latches_a_fault(rig):
    """No robot and no server are needed to be stopped."""
    rig.start_policy()
    assert rig.change("configure")
    rig.wait_for_mode("waiting")
    button = rig.node.create_publisher(Bool, "/gr00t_policy/e_stop", qos.COMMAND)
    wait_for_discovery(lambda: button.get_subscription_count() > 1, "both listeners")
    button.publish(Bool(data=True))
    rig.wait_for_mode("fault_inactive")
    assert "e-stop pressed by button topic ~/e_stop" in rig.reset().message
    button.publish(Bool(data=False))
    rig.wait_for_reason("e-stop pressed by button topic ~/e_stop")
    wait_until(lambda: "e-stop" not in rig.reset().message, "another cause: no robot is there")
    assert rig.statuses[-1].mode == "fault_inactive"


def test_a_required_e_stop_that_was_never_heard_is_a_reason_to_wait(rig):
    """So that a button whose driver is not running cannot be taken for a released one."""
    rig.start_policy(e_stop_required="true", dead_man_required="true")
    assert rig.change("configure")
    rig.wait_for_reason("e-stop topic required, nothing was received", "dead-man switch is not")


def test_a_button_on_the_name_of_the_service_is_a_reason_to_wait(rig):
    """Nobody would receive it: the topic is ~/e_stop, and ~/estop is a service."""
    rig.start_policy()
    assert rig.change("configure")
    rig.wait_for_mode("waiting")
    button = rig.node.create_publisher(Bool, "/gr00t_policy/estop", qos.COMMAND)
    rig.wait_for_reason("let the button publish on topic ~/e_stop")
    assert not rig.change("activate")
    rig.node.destroy_publisher(button)
    rig.wait_for_status(lambda s: "let the button" not in s.reason, "the button gone")


def test_a_button_that_is_held_is_one_press(monkeypatch):
    """Its driver repeats the state: a reset that was asked for after the press is no older one.

    A press is logged, also if a fault is latched already; a contact that bounces once a second.
    """
    clock = SimpleNamespace(monotonic_ns=lambda: clock.now_ns, now_ns=0)
    monkeypatch.setattr(operator_watches, "time", clock)
    logged = []

    def log(text, throttle_duration_sec):
        logged.append(text)

    node = SimpleNamespace(
        create_subscription=lambda *_, **__: None,
        get_logger=lambda: SimpleNamespace(
            error=lambda text, throttle_duration_sec: logged.append(text)
        ),
    )
    watches = OperatorWatches(node, DEFAULTS, lambda reason: None)
    pressed_s = []
    for second, pressed in enumerate((False, True, True, False, True)):
        clock.now_ns = second * 10**9
        watches._take_e_stop(Bool(data=pressed))
        pressed_s.append(watches.pressed_s)
    assert pressed_s == [float("-inf"), 1.0, 1.0, 1.0, 4.0]
    assert len(logged) == 2 and all("e-stop pressed by button topic ~/e_stop" in x for x in logged)
