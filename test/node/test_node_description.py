"""The node and the robot's description: which chain it takes, and what it does if that changes."""

import pytest
from ros_fixtures import wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT, SWEEP  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from urdf_robot import fr3_urdf  # noqa: E402

from gr00t_ros.ros import qos  # noqa: E402

pytestmark = NEEDS_ROBOT

OTHER_ARM = fr3_urdf(fr3_joint3=[0, -0.4, 0])


def test_a_description_that_contradicts_the_file_refuses_the_start_and_stops_a_motion(rig):
    """Nobody publishes a pose; the chain in use stays until the node is activated again."""
    rig.start_robot("-r", "/ee_pose:=/not_needed")
    rig.start_server(SWEEP)
    rig.start_policy(max_camera_age_s=2.0)
    assert rig.change("configure")
    rig.wait_for_mode("ready")
    publisher = rig.node.create_publisher(String, "/robot_description", qos.STATUS)
    publisher.publish(String(data=OTHER_ARM))
    rig.wait_for_reason("state.eef_9d: ", "'fr3_link8' is up to 0.084 m", "file of this robot")
    rig.wait_for_reason("workspace: /robot_description")
    assert not rig.change("activate")

    publisher.publish(String(data=fr3_urdf(fr3_joint3=[0, -0.317, 0])))
    rig.wait_for_mode("ready")
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    rig.wait_for_motion()

    publisher.publish(String(data=OTHER_ARM))
    rig.wait_for_reason("state.eef_9d: ", "the description changed while active", "deactivate")
    rig.wait_for_mode("paused")
    rig.assert_rest()
    publisher.publish(String(data=fr3_urdf()))
    assert rig.change("deactivate")
    rig.wait_for_mode("ready")
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    rig.wait_for_motion()
