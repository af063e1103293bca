"""In shadow everything runs, and no message reaches a controller."""

import re

import pytest
from ros_fixtures import collect, wait_for_discovery, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from node_robot import ARM, GRIPPER, NEEDS_ROBOT, SWEEP  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from gr00t_ros.node.status import SHADOW_ERROR  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402

pytestmark = NEEDS_ROBOT


def shadow_errors(status):
    """(joint, rms, largest, samples) of each joint that the status tells of."""
    for detail in status.details:
        if detail.key.startswith(SHADOW_ERROR):
            joint, unit = detail.key.removeprefix(SHADOW_ERROR).split()
            assert unit == "[rad]"
            found = re.fullmatch(r"rms (\S+), max (\S+), (\d+) samples", detail.value)
            yield joint, float(found[1]), float(found[2]), int(found[3])


def restarts(status):
    """How often the plan began again where others had moved the arm."""
    return int({d.key: d.value for d in status.details}["shadow restarts"])


def test_a_node_in_shadow_plans_motion_and_has_no_publisher_on_a_command_topic(rig):
    """Windows appear on ~/shadow; the controllers' topics have readers and no writer."""
    windows = collect(rig.node, JointTrajectory, "/gr00t_policy/shadow/arm", qos.COMMAND)
    rig.start_robot()
    rig.start_server(SWEEP)
    rig.start_policy(shadow="true")
    assert rig.change("configure")
    rig.wait_for_mode("ready")
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    status = rig.wait_for_mode("replaying")
    assert {d.key: d.value for d in status.details}["shadow"] == "true"
    assert status.reason.startswith("shadow: no controller is commanded")
    wait_until(lambda: len(windows) > 10, "windows in shadow")
    assert windows[-1].joint_names[0] == "fr3_joint1"
    for topic in (ARM, GRIPPER):
        assert rig.node.count_subscribers(topic) >= 1
        assert rig.node.count_publishers(topic) == 0
    assert rig.arm == [] and rig.gripper == []
    compared = rig.wait_for_status(
        lambda s: all(e[3] > 20 for e in shadow_errors(s)) and any(shadow_errors(s)), "errors"
    )
    errors = {joint: (rms, worst) for joint, rms, worst, _ in shadow_errors(compared)}
    assert list(errors) == list(load_embodiment("franka_droid").joint_names)
    assert all(rms <= worst for rms, worst in errors.values())
    assert max(worst for _, worst in errors.values()) > 0.005, (
        "a plan that moves, an arm that rests"
    )
    wait_until(lambda: rig.level("shadow") == DiagnosticStatus.OK, "the comparison in diagnostics")
    assert rig.change("deactivate")


def test_a_node_in_shadow_follows_an_operator_who_moves_the_arm_elsewhere(rig):
    """Teleoperation far away from our plan is no fault: the plan starts again where the arm is."""
    rig.start_robot()
    rig.start_server("hold")
    rig.start_policy(shadow="true")
    assert rig.change("configure")
    rig.wait_for_mode("ready")
    operator = rig.node.create_publisher(JointTrajectory, ARM, qos.COMMAND)
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    rig.wait_for_mode("replaying")
    wait_for_discovery(lambda: operator.get_subscription_count() >= 2, "robot and watcher")
    episode = rig.statuses[-1].episode
    operator.publish(rig.arm_moved_by(1.0, within_s=0.5))
    wait_until(lambda: rig.arm_at(0, rig.goal), "the arm where the operator wanted it")
    moved = rig.wait_for_status(
        lambda s: (
            s.mode == "replaying"
            and any(e[3] > 20 for e in shadow_errors(s))
            and (restarts(s) or s.episode > episode)  # a late machine paused, and began anew there
        ),
        "a plan that began again where the arm is",
    )
    assert "fault" not in {line.split(":")[0] for line in rig.told()}
    first = next(iter(shadow_errors(moved)))
    assert first[2] > 0.1 or moved.episode > episode, "while it moved the plan did not know it"
