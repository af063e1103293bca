"""The stand-in robot has the topics, sizes and a start that each embodiment file asks for."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from geometry_msgs.msg import PoseStamped  # noqa: E402
from ros_fixtures import collect, wait_until  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image, JointState  # noqa: E402
from std_msgs.msg import Float64MultiArray  # noqa: E402

from gr00t_ros.errors import EmbodimentError  # noqa: E402
from gr00t_ros.observe.readings import JointReading, encode  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.robot.framing import Crop, Framing  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.sim.stand_in.sensors import incoming_px  # noqa: E402
from gr00t_ros.sim.stand_in.start import start_of  # noqa: E402

FOLDER = Path(__file__).parents[2] / "config" / "embodiments"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_start_is_one_that_the_node_accepts(path):
    """Inside limits, margins, scales and the workspace, for every joint that a file names."""
    robot = load_embodiment(str(path))
    start = start_of(robot)
    assert list(robot.limits.outside(start.joints)) == []
    assert set(robot.joint_names) <= set(start.joints)
    reading = JointReading(list(start.joints), np.array(list(start.joints.values())))
    for stream in robot.state:
        if stream.source in ("joints", "kinematics"):
            assert np.isfinite(encode(stream, reading)).all()
        elif stream.topic:
            assert stream.topic in start.poses
    if robot.workspace is not None:
        at = np.array([start.joints[name] for name in robot.joint_names])
        end, _ = robot.workspace.chain.pose(at)
        assert (robot.workspace.lower < end).all() and (end < robot.workspace.upper).all()


def test_boxes_that_no_position_reaches_are_refused():
    """A workspace in another frame, and one that has no point in common with a pose's box."""
    robot = load_embodiment("franka_droid")
    box = replace(robot.workspace, lower=np.full(3, 5.0), upper=np.full(3, 6.0))
    with pytest.raises(EmbodimentError, match="expected a box that the arm reaches"):
        start_of(replace(robot, workspace=box))


@pytest.mark.parametrize(
    ("framing", "size"),
    [
        (None, (256, 256)),
        (Framing(rotate_deg=90), (256, 256)),
        (Framing(crop=Crop("fraction", 0.1, 0.1, 0.5, 0.5)), (256, 256)),
        (Framing(crop=Crop("pixels", 20, 80, 400, 480)), (420, 560)),
    ],
)
def test_a_picture_is_large_enough_for_its_crop(framing, size):
    """A crop in pixels needs the camera's own size."""
    camera = replace(load_embodiment("so101").video[0], height_px=256, width_px=256)
    camera = replace(camera, framing=framing)
    assert incoming_px(camera) == size
    if framing is not None:
        assert framing.size(*size)


def test_it_publishes_what_the_file_names_and_follows_commands(processes, ros_node, tmp_path):
    """Joints of two topics, a pose, a compressed camera; points and poses take effect."""
    content = yaml.safe_load((FOLDER / "franka_droid.yaml").read_text())
    arm = content["outputs"]["arm"]
    arm |= {"type": "forward_command", "topic": "/points", "state_topic": "/streamer/state"}
    joints = content["state"]["joint_position"]
    del joints["topic"]
    joints["topics"] = ["/left", "/right"]
    content["state"]["eef_9d"] = {
        **{"from": "pose", "topic": "/pose", "frame": "fr3_link0"},
        **{"encode": "xyz_rot6d_rows"},
    }
    camera = next(iter(content["video"].values()))
    camera |= {"topic": "/jpeg", "transport": "compressed"}
    content["action"]["eef_9d"] = {"output": "hand"}
    content["outputs"]["hand"] = HAND
    file = tmp_path / "odd.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    named = ("-p", f"embodiment:={file}")
    processes.start("-m", "gr00t_ros.sim.stand_in.robot", "--ros-args", *named, name="robot")
    left, right = (
        collect(ros_node, JointState, topic, qos.SENSOR) for topic in ("/left", "/right")
    )
    poses = collect(ros_node, PoseStamped, "/pose", qos.SENSOR)
    jpegs = collect(ros_node, CompressedImage, "/jpeg", qos.SENSOR)
    other = list(content["video"].values())[1]["topic"]
    images = collect(ros_node, Image, other, qos.SENSOR)
    wait_until(lambda: left and right and poses and len(jpegs) > 2 and images, "all topics")
    assert sorted([*left[-1].name, *right[-1].name]) == sorted(joints["names"])
    assert poses[-1].header.frame_id == "fr3_link0"
    assert 0.2 < poses[-1].pose.position.x < 0.7
    assert bytes(jpegs[0].data) != bytes(jpegs[1].data) and bytes(jpegs[0].data)[:2] == b"\xff\xd8"

    points = ros_node.create_publisher(Float64MultiArray, "/points", qos.COMMAND)
    hand = ros_node.create_publisher(PoseStamped, "/target_pose", qos.COMMAND)
    wanted = [0.1 * k for k in range(7)]
    target = PoseStamped()
    target.pose.position.x, target.pose.orientation.w = 0.33, 1.0

    def followed() -> bool:
        points.publish(Float64MultiArray(data=wanted))
        hand.publish(target)
        time.sleep(0.05)
        at = {
            name: position
            for state in (left[-1], right[-1])
            for name, position in zip(state.name, state.position, strict=True)
        }
        arrived = [at[name] for name in joints["names"]] == wanted
        return arrived and poses[-1].pose.position.x == 0.33

    wait_until(followed, "the commanded position")


HAND = {
    "type": "pose_stamped",
    "topic": "/target_pose",
    "frame": "fr3_link0",
    "names": ["x", "y", "z", "r0", "r1", "r2", "r3", "r4", "r5"],
    "encode": "xyz_rot6d_rows",
    "pose": "eef_9d",
    "limits": {
        **{"speed": 0.25, "acceleration": 1.0, "turn_speed": 0.8, "turn_acceleration": 3.0},
        **{"x": [0.2, 0.7], "y": [-0.4, 0.4], "z": [0.05, 0.8], "jump": [0.05, 0.3]},
    },
}


def test_a_robot_without_a_file_says_what_it_needs(processes):
    """No default robot, and a misspelt parameter is refused."""
    robot = processes.start("-m", "gr00t_ros.sim.stand_in.robot", name="robot")
    assert robot.wait() == 2
    assert "embodiment: got nothing, expected the robot: --embodiment NAME|FILE" in robot.text()
