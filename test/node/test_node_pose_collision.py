"""A hand that is commanded by poses stops before a box that it is led into; RViz sees why.

The box is only in the scene file: nothing but the check can stop the hand. The robot is the one of
test/fixtures/arm_urdf, whose description this test publishes; a stand-in follows the poses.
"""

import signal
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("mujoco", reason="the collision check needs MuJoCo")

from arm_urdf import hand_urdf  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from ros_fixtures import collect, wait_for_discovery, wait_until  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from gr00t_ros.graph.clearance_markers import NEAREST  # noqa: E402
from gr00t_ros.robot.files import find_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402

POSES, MARKERS = "/hand/target_pose", "/gr00t_policy/clearance_markers"
START_M = np.array([0.5, 0.0, 0.4])  # the middle of the box of the limits below
MARGIN_M, UNDERSIDE_M = 0.02, 0.55
SCENE = {
    "margin": MARGIN_M,
    "objects": {"shelf": {"type": "box", "xyz": [0.5, 0.0, 0.575], "size": [0.6, 0.6, 0.05]}},
    "keep_out": {"person": {"type": "sphere", "xyz": [-0.8, 0.0, 0.5], "radius": 0.3}},
    "keep_in": {"cell": {"xyz": [0.4, 0.0, 0.6], "size": [2.0, 2.0, 1.8]}},
}


def hand_file(folder: Path, **output) -> Path:
    """An arm whose hand is commanded by poses, and its gripper by a joint; one small camera."""
    content = yaml.safe_load(Path(find_embodiment("franka_droid")).read_text())
    camera = content["video"]["wrist_image_left"] | {"delta_indices": [0], "size": [32, 32]}
    content["video"] = {"wrist_image_left": camera | {"rate_hz": 10.0}}
    hand, gripper = content["state"]["eef_9d"], content["state"]["gripper_position"]
    del content["workspace"], content["state"]["joint_position"]
    del content["action"]["joint_position"], content["outputs"]["arm"]
    for name in ("base", "link", "chain"):
        del hand[name]
    hand |= {"from": "pose", "topic": "/hand_pose", "frame": "base"}
    gripper |= {"names": ["grip"], "scale": [0.0, 0.04]}
    content["action"]["gripper_position"]["scale"] = [0.0, 0.04]
    content["action"]["eef_9d"] = {"output": "hand"}
    content["outputs"]["gripper"]["names"] = ["grip"]
    content["outputs"]["hand"] = {
        **{"type": "pose_stamped", "topic": POSES, "frame": "base", "encode": "xyz_rot6d_rows"},
        **{"names": [f"eef_{k}" for k in range(9)], "rotate": hand["rotate"], "pose": "eef_9d"},
        "limits": {
            **{"speed": 0.2, "acceleration": 1.0, "turn_speed": 0.5, "turn_acceleration": 2.0},
            **{"x": [0.2, 0.8], "y": [-0.4, 0.4], "z": [0.1, 0.7], "jump": [0.15, 0.3]},
        },
        **output,
    }
    limits = content["limits"].pop("robotiq_85_left_knuckle_joint")
    content["limits"] = {"grip": limits | {"position": [0.0, 0.04]}}
    (folder / "hand.yaml").write_text(yaml.safe_dump(content))
    return folder / "hand.yaml"


def start(rig, processes, tmp_path, **output):
    """Robot, its description, streamer, server and a configured node."""
    file, scene = hand_file(tmp_path, **output), tmp_path / "scene.yaml"
    scene.write_text(yaml.safe_dump(SCENE))
    named = ("--ros-args", "-p", f"embodiment:={file}")
    processes.start("-m", "gr00t_ros.sim.stand_in.robot", *named, name="robot")
    processes.start("-m", "gr00t_ros.stream.commands", *named, name="commands")
    rig.start_server("hand_policy:make_policy", embodiment=str(file))
    rig.start_policy(embodiment=file, collision="required", scene=scene, collision_patience_s=0.5)
    assert rig.change("configure")


def described(rig):
    """As robot_state_publisher does."""
    publisher = rig.node.create_publisher(String, "/robot_description", qos.STATUS)
    publisher.publish(String(data=hand_urdf('<box size="0.1 0.06 0.04"/>')))


def details(rig):
    """The newest details by key."""
    return {detail.key: detail.value for detail in rig.statuses[-1].details}


def height_m(message):
    """The height of a commanded pose."""
    return message.pose.position.z


def test_the_hand_stops_before_a_shelf_and_names_it_and_a_viewer_sees_it(rig, processes, tmp_path):
    """It is led upwards; without the check it would go on to 0.7 m."""
    poses = collect(rig.node, PoseStamped, POSES, 5000)
    start(rig, processes, tmp_path, link="tip")
    rig.policy.wait_for_line("not checked: self-collision and the arm behind the tool")
    rig.wait_for_reason("nothing received on /robot_description")
    described(rig)
    rig.wait_for_mode("ready")
    assert "self-collision" in details(rig)["collision unchecked"]
    wait_for_discovery(lambda: rig.node.count_publishers(POSES), POSES)
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    reason = rig.wait_for_mode("paused_by_operator").reason
    assert " of shelf in " in reason and "call ~/resume" in reason

    facts = details(rig)
    assert "shelf" in facts["clearance pair"] and "shelf" in facts["clearance [m]"]
    assert float(facts["clearance distance [m]"]) < 3 * MARGIN_M
    assert float(facts["clearance time [s]"]) >= 0.0
    assert facts["unproven stops"] == "0"
    wait_until(lambda: _diagnosed(rig) == facts["clearance distance [m]"], "diagnostics of it")
    highest = max(map(height_m, poses))
    assert highest > START_M[2] + 0.02, "it has moved"
    # The tip lies askew: its highest corner is at least half its thickness above its middle.
    assert highest < UNDERSIDE_M - 0.02 - MARGIN_M

    assert rig.node.count_publishers(MARKERS) == 1
    arrays = collect(rig.node, MarkerArray, MARKERS, qos.MARKERS)
    array = wait_until(lambda: arrays and arrays[-1], "markers")
    assert {marker.header.frame_id for marker in array.markers} == {"base"}
    kinds = {(marker.ns, marker.type) for marker in array.markers}
    assert kinds == {
        *(("scene: shelf", Marker.CUBE), ("scene: person", Marker.SPHERE)),
        *(("scene: cell", Marker.LINE_LIST), (NEAREST, Marker.LINE_LIST)),
        (NEAREST, Marker.TEXT_VIEW_FACING),
    }
    line = next(m for m in array.markers if m.ns == NEAREST and m.type == Marker.LINE_LIST)
    assert max(point.z for point in line.points) == pytest.approx(UNDERSIDE_M, abs=1e-3)
    text = next(m for m in array.markers if m.type == Marker.TEXT_VIEW_FACING)
    assert "shelf" in text.text


def test_a_node_that_dies_on_the_way_leaves_the_hand_before_the_shelf(rig, processes, tmp_path):
    """The streamer plays the last window to its end, which is at rest and clear."""
    poses = collect(rig.node, PoseStamped, POSES, 5000)
    start(rig, processes, tmp_path, link="tip")
    described(rig)
    rig.wait_for_mode("ready")
    wait_for_discovery(lambda: rig.node.count_publishers(POSES), POSES)
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    wait_until(lambda: poses and height_m(poses[-1]) > START_M[2] + 0.01, "a hand that rises")
    rig.policy.signal(signal.SIGKILL)
    rig.policy.wait()
    wait_until(lambda: len({height_m(pose) for pose in poses[-4:]}) == 1, "a hand at rest")
    assert max(map(height_m, poses)) < UNDERSIDE_M - 0.02 - MARGIN_M


def test_a_file_without_the_link_of_its_poses_is_not_activated(rig, processes, tmp_path):
    """A topic of poses names no link; the reason says what to write."""
    start(rig, processes, tmp_path)
    described(rig)
    rig.wait_for_reason("output hand: it is not known which link has the commanded pose", "write")
    assert not rig.change("activate")


def _diagnosed(rig):
    for array in reversed(list(rig.diagnostics)):
        for status in array.status:
            if status.name == "gr00t_policy: replay":
                return {v.key: v.value for v in status.values}.get("clearance distance [m]")
    return None
