"""Node and command streamer send poses and servo twists within limits, first to last message."""

import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from ros_fixtures import collect, wait_for_discovery, wait_for_success, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from geometry_msgs.msg import PoseStamped, TwistStamped  # noqa: E402
from hand_policy import DELTA  # noqa: E402
from node_robot import NEEDS_ROBOT  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402

from gr00t_ros.robot.files import find_embodiment, load_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.sim.record import TimedRows, broken_commands  # noqa: E402

pytestmark = NEEDS_ROBOT

POSES, TWISTS = "/hand/target_pose", "/servo_node/delta_twist_cmds"
AXES = ["x", "y", "z", "about_x", "about_y", "about_z"]
SPEED_M_S = 0.1


def cartesian_embodiment(folder: Path, twist_limits=None) -> Path:
    """The DROID robot whose poses go to a Cartesian controller, and deltas to a servo node."""
    content = yaml.safe_load(Path(find_embodiment("franka_droid")).read_text())
    content["action"]["eef_9d"] = {"output": "hand"}
    content["action"]["eef_delta"] = {"output": "servo", "representation": "delta"}
    box = {axis: content["workspace"][axis] for axis in "xyz"}
    content["outputs"]["hand"] = {
        "type": "pose_stamped",
        "topic": POSES,
        "frame": "fr3_link0",
        "names": [f"eef_{k}" for k in range(9)],
        "encode": "xyz_rot6d_rows",
        "rotate": content["state"]["eef_9d"]["rotate"],
        "pose": "eef_9d",
        "limits": box
        | {"speed": SPEED_M_S, "acceleration": 0.5, "turn_speed": 0.5, "turn_acceleration": 2.0}
        | {"jump": [0.15, 0.3]},
    }
    servo = {"type": "twist_stamped", "topic": TWISTS, "frame": "fr3_link0", "names": AXES}
    content["outputs"]["servo"] = servo | ({"limits": twist_limits} if twist_limits else {})
    content["limits"] |= {name: {"range": [-0.1, 0.1], "rate": 1.0} for name in AXES}
    file = folder / "cartesian.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def seconds(message):
    """The stamp of a message in s."""
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


def position(message):
    """(3,) m of a PoseStamped."""
    at = message.pose.position
    return np.array([at.x, at.y, at.z])


def rotation(message):
    """The orientation of a PoseStamped."""
    q = message.pose.orientation
    return Rotation.from_quat([q.x, q.y, q.z, q.w])


def test_poses_begin_where_the_hand_is_and_end_at_rest_and_twists_at_zero_when_the_node_dies(
    rig, processes, tmp_path
):
    """From activation to a SIGKILL in motion: never faster than the file says, in its frame."""
    file = cartesian_embodiment(tmp_path)
    poses = collect(rig.node, PoseStamped, POSES, 5000)
    twists = collect(rig.node, TwistStamped, TWISTS, 5000)
    measured = collect(rig.node, PoseStamped, "/ee_pose", qos.SENSOR)
    rig.start_robot()
    processes.start(
        *("-m", "gr00t_ros.stream.commands", "--ros-args", "-p", f"embodiment:={file}"),
        name="commands",
    )
    rig.start_server("hand_policy:make_policy", embodiment=str(file))
    # The measured hand stays, so each chunk begins low again: the node is killed in the first one.
    rig.start_policy(embodiment=file, execute_steps=30)
    assert rig.change("configure")
    rig.wait_for_mode("ready")
    for topic in (POSES, TWISTS):  # else the first poses of the motion would be missed
        wait_for_discovery(lambda topic=topic: rig.node.count_publishers(topic), topic)
    assert not poses and not twists, "nothing before an activation"
    at = wait_for_discovery(lambda: measured and measured[-1], "a measured pose")
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    rig.wait_for_mode("replaying")
    wait_until(
        lambda: poses and position(poses[-1])[2] - position(at)[2] > 0.02, "a hand that rises"
    )
    expected = np.array(DELTA) * 15.0
    wait_until(
        lambda: twists and np.allclose(_six(twists[-1]), [*expected[:3], 0, 0, 0.1]),
        "clamped velocities",
    )
    rig.wait_for_mode("replaying")  # not in a stop, nor behind one, that a busy machine has caused

    rig.policy.signal(signal.SIGKILL)
    rig.policy.wait()
    killed_at = len(poses)
    wait_until(lambda: _rests(poses), "a hand at rest")
    wait_until(lambda: not any(_six(twists[-1])), "a twist of zero")

    np.testing.assert_allclose(position(poses[0]), position(at), atol=2e-3)
    assert (rotation(poses[0]) * rotation(at).inv()).magnitude() < 2e-2
    assert {m.header.frame_id for m in (*poses, *twists)} == {"fr3_link0"}
    for before, after in pairwise(poses):
        far = np.linalg.norm(position(after) - position(before))
        # a tick moves for as long as it is late, at 1.1 of the speed
        assert far <= 1.1 * SPEED_M_S * max(seconds(after) - seconds(before), 0.0) + 1e-3
    assert position(poses[-1])[2] >= position(poses[killed_at - 1])[2] - 1e-6, "the tail goes on"


def test_a_tool_with_limits_slows_down_inside_them_at_a_pause_and_when_the_streamer_ends(
    rig, processes, tmp_path
):
    """A step of velocity to zero would be a blow. Judged by what the streamer sent."""
    file = cartesian_embodiment(
        tmp_path, {"speed": 0.1, "acceleration": 0.5, "turn_speed": 0.1, "turn_acceleration": 0.5}
    )
    twists = collect(rig.node, TwistStamped, TWISTS, 5000)
    collect(rig.node, PoseStamped, POSES)  # the robot's driver of the other output
    rig.start_robot()
    streamer = processes.start(
        *("-m", "gr00t_ros.stream.commands", "--ros-args", "-p", f"embodiment:={file}"),
        name="commands",
    )
    rig.start_server("hand_policy:make_policy", embodiment=str(file))
    rig.start_policy(embodiment=file)
    assert rig.change("configure")
    rig.wait_for_mode("ready")
    wait_for_discovery(lambda: rig.node.count_publishers(TWISTS), TWISTS)
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    wait_until(lambda: twists and _speed(twists[-1]) > 0.06, "a tool at speed")
    assert rig.ask("pause").success
    wait_until(lambda: not any(_six(twists[-1])), "a twist of zero")
    rig.wait_for_mode("paused_by_operator")
    wait_for_success(lambda: rig.ask("resume"), "the end of the pause")
    wait_until(lambda: _speed(twists[-1]) > 0.06, "a tool at speed again")
    streamer.signal(signal.SIGTERM)
    assert streamer.wait() == 0
    wait_until(lambda: not any(_six(twists[-1])), "the last word: rest")

    heard = list(twists)  # the last ones may still come
    robot = load_embodiment(str(file))
    (servo,) = robot.commands
    sent = TimedRows(
        np.array([m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in heard]),
        np.array([_six(m) for m in heard]),
    )
    assert broken_commands(sent, robot.command_limits.only(servo.names)) == []


def _speed(message):
    return np.linalg.norm(_six(message)[:3])


def _six(message):
    linear, angular = message.twist.linear, message.twist.angular
    return [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z]


def _rests(poses):
    # The streamer repeats the end for half a second, which a starved machine may cut to few.
    return len(poses) > 20 and len({tuple(position(m)) for m in poses[-4:]}) == 1
