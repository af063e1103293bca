"""In shadow everything runs and nothing reaches a controller."""

import pytest
from ros_fixtures import collect, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import ARM, GRIPPER, NEEDS_ROBOT, SWEEP  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from gr00t_ros.ros import qos  # noqa: E402

pytestmark = NEEDS_ROBOT


def test_a_node_in_shadow_plans_motion_and_has_no_publisher_on_a_command_topic(rig):
    """Windows appear on ~/shadow; the controllers' topics have readers and no writer."""
    windows = collect(rig.node, JointTrajectory, "/gr00t_policy/shadow/arm", qos.COMMAND)
    rig.start_robot()
    rig.start_server(SWEEP)
    rig.start_policy(shadow="true")
    assert rig.change("configure")
    rig.wait_for_mode("ready")
    assert rig.change("activate")
    status = rig.wait_for_mode("replaying")
    assert {d.key: d.value for d in status.details}["shadow"] == "true"
    wait_until(lambda: len(windows) > 10, "windows in shadow")
    assert windows[-1].joint_names[0] == "fr3_joint1"
    for topic in (ARM, GRIPPER):
        assert rig.node.count_subscribers(topic) >= 1
        assert rig.node.count_publishers(topic) == 0
    assert rig.arm == [] and rig.gripper == []
    assert rig.change("deactivate")
