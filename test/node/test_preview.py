"""What a running node shows of its arm and its pictures, and that nothing depends on it."""

import math
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from nav_msgs.msg import Path as PathMessage  # noqa: E402
from node_robot import NEEDS_ROBOT, NODE  # noqa: E402
from ros_fixtures import collect, wait_until  # noqa: E402
from sensor_msgs.msg import CompressedImage  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from gr00t_ros.errors import RotationError  # noqa: E402
from gr00t_ros.motion.chunk import ActionChunk  # noqa: E402
from gr00t_ros.msg import JointComparison  # noqa: E402
from gr00t_ros.node.preview.pictures import PicturePublishers  # noqa: E402
from gr00t_ros.node.preview.publisher import Preview  # noqa: E402
from gr00t_ros.observe.buffer import Sample  # noqa: E402
from gr00t_ros.observe.observation import Observation  # noqa: E402
from gr00t_ros.observe.readings import JointReading  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402

ROBOT = load_embodiment("franka_droid")
CAMERAS = [stream.key for stream in ROBOT.video]
AGGREGATOR = Path(__file__).parents[2] / "config" / "diagnostics_aggregator.yaml"


def analyzers_of(name):
    """The analyzers that take a diagnostics entry, by the rule of GenericAnalyzer."""
    content = yaml.safe_load(AGGREGATOR.read_text())["/**"]["ros__parameters"]
    groups = {key: value for key, value in content.items() if isinstance(value, dict)}
    return [key for key, one in groups.items() if name.startswith(tuple(one["startswith"]))]


@NEEDS_ROBOT
def test_a_moving_node_shows_its_paths_joints_and_pictures(rig):
    """Before the paths are asked for, nothing is computed; and all diagnostics have one place."""
    rig.start_moving()
    seen = {
        kind: collect(rig.node, PathMessage, f"{NODE}/preview/{kind}/arm", qos.PREVIEW)
        for kind in ("predicted", "committed", "driven")
    }
    markers = collect(rig.node, MarkerArray, f"{NODE}/preview/markers", qos.PREVIEW)
    joints = collect(rig.node, JointComparison, f"{NODE}/preview/joints", qos.PREVIEW)
    pictures = {
        key: collect(rig.node, CompressedImage, f"{NODE}/observation/{key}/compressed", qos.PREVIEW)
        for key in CAMERAS
    }
    for kind, paths in seen.items():
        wait_until(lambda paths=paths: any(len(p.poses) > 3 for p in paths), f"a {kind} path")
        path = next(p for p in paths if len(p.poses) > 3)
        stamps = [p.header.stamp.sec * 10**9 + p.header.stamp.nanosec for p in path.poses]
        assert path.header.frame_id == "fr3_link0" and stamps == sorted(set(stamps))
        now_ns = path.header.stamp.sec * 10**9 + path.header.stamp.nanosec
        if kind == "driven":
            assert stamps[-1] <= now_ns
        else:
            assert stamps[-1] > now_ns
        for pose in path.poses:
            at = pose.pose.position
            assert 0.1 < math.hypot(at.x, at.y, at.z) < 1.3, "the flange is within the arm's reach"
    wait_until(
        lambda: any(np.isfinite([*j.predicted, *j.commanded, *j.measured]).all() for j in joints),
        "an instant at which all three are known",
    )
    whole = next(j for j in joints if np.isfinite([*j.predicted, *j.commanded, *j.measured]).all())
    assert tuple(whole.names) == ROBOT.joint_names
    assert np.abs(np.subtract(whole.commanded, whole.measured)).max() < 0.5
    for key, stream in zip(CAMERAS, ROBOT.video, strict=True):
        found = pictures[key]
        wait_until(lambda found=found: found, f"a picture of {key}")
        decoded = cv2.imdecode(np.frombuffer(bytes(found[-1].data), np.uint8), cv2.IMREAD_COLOR)
        assert decoded.shape == (stream.height_px, stream.width_px, 3)
    drawn = wait_until(
        lambda: next(
            (m for m in markers if sum(one.action == Marker.ADD for one in m.markers) >= 5), None
        ),
        "markers of all three paths and of the gripper",
    )
    lines = [one for one in drawn.markers if one.type == Marker.LINE_STRIP]
    assert [one.ns for one in lines] == ["predicted/arm", "committed/arm", "driven/arm"]
    assert all(len(one.points) == len(one.colors) > 1 for one in lines)
    names = {s.name for array in rig.diagnostics for s in array.status if "gr00t_policy:" in s.name}
    assert len(names) > 6
    assert {name: len(analyzers_of(name)) for name in names} == dict.fromkeys(names, 1)
    assert rig.change("deactivate")
    count = len(pictures[CAMERAS[0]])
    wait_until(lambda: len(pictures[CAMERAS[0]]) > count + 3, "pictures while nothing is asked")


@pytest.mark.parametrize(
    ("name", "analyzer"),
    [
        ("gr00t_streamer: /forward/commands", "streamers"),
        ("gr00t_command_streamer: /cmd_vel", "streamers"),
        ("gr00t_record: episodes", "recorder"),
        ("gr00t_policy: sidecar", "server"),
        ("gr00t_policy: shadow", "policy"),
        ("another_node: anything", None),
    ],
)
def test_entries_of_the_other_nodes_have_a_place_in_the_aggregator(name, analyzer):
    """And those of strangers stay under Other."""
    assert analyzers_of(name) == ([analyzer] if analyzer else [])


class FakeInputs:
    """What a Preview reads, with joints that are measured now; the arm is read before the hand."""

    def __init__(self):
        self.broken, self.gripper_age_ns, self._now_ns = False, 0, 0

    def joints(self, names):
        if self.broken:
            raise RuntimeError("a defect of the preview")
        if len(names) > 1:
            self._now_ns = time.time_ns()
        now_ns = self._now_ns - (self.gripper_age_ns if len(names) == 1 else 0)
        return Sample(now_ns, 0, JointReading(names, np.zeros(len(names)), None))

    def observe(self):
        return ()


def previewed(ros_node, robot=ROBOT, state=None):
    """A Preview in this process, its log, and what it reads."""
    said = []
    node = SimpleNamespace(
        create_publisher=lambda kind, topic, profile: ros_node.create_publisher(
            kind, topic.replace("~", "/preview_test"), profile
        ),
        destroy_publisher=ros_node.destroy_publisher,
        get_logger=lambda: SimpleNamespace(error=said.append),
    )
    inputs = FakeInputs()
    clock = SimpleNamespace(now_ns=time.time_ns, ros_now_ns=time.time_ns, offset_ns=lambda: 0)
    preview = Preview(node, lambda: robot, state, inputs, clock, lambda: (), False)
    return SimpleNamespace(preview=preview, said=said, inputs=inputs, node=ros_node)


@pytest.fixture
def shown(ros_node):
    """The preview of the DROID robot."""
    made = previewed(ros_node)
    yield made
    made.preview.destroy()


def test_a_preview_that_raises_says_so_once_and_goes_on(shown):
    """Its thread lives, so that joints come again once the cause is gone."""
    shown.inputs.broken = True
    joints = collect(shown.node, JointComparison, "/preview_test/preview/joints", qos.PREVIEW)
    shown.preview.start()
    try:
        wait_until(lambda: shown.said, "a line of the error")
        failed = shown.preview.ticks
        wait_until(lambda: shown.preview.ticks > failed + 5, "further ticks")
        assert len(shown.said) == 1 and "a defect of the preview" in shown.said[0] and not joints
        shown.inputs.broken = False
        wait_until(lambda: joints, "joints")
    finally:
        shown.preview.stop()
    message = joints[-1]
    assert message.measured.tolist() == [0.0] * 8
    assert np.isnan(message.predicted).all() and np.isnan(message.commanded).all()


def test_a_pose_that_is_no_rotation_leaves_the_others_shown(ros_node):
    """A driver publishes quaternions of zeros, beside an arm that is measured by its joints."""

    def poses():
        raise RotationError("a quaternion of zeros")

    hand = SimpleNamespace(name="hand", frame="fr3_link0")
    robot, state = replace(ROBOT, poses=(hand,)), SimpleNamespace(poses=poses)
    made = previewed(ros_node, robot, state)
    driven = collect(made.node, PathMessage, "/preview_test/preview/driven/arm", qos.PREVIEW)
    made.preview.start()
    try:
        wait_until(lambda: driven and driven[-1].poses, "the way of the arm")
    finally:
        made.preview.stop()
        made.preview.destroy()
    assert not made.said


def test_a_slow_gripper_does_not_make_the_arm_look_late(shown):
    """Its joint state is 0.3 s old: each output is compared, and drawn, at its own stamp."""
    shown.inputs.gripper_age_ns = 300_000_000
    stamp_ns = time.time_ns() - 1_000_000_000
    rows = np.arange(400)[:, None] * 0.1 * np.ones(8)
    shown.preview.chunk = ActionChunk(1, 1, stamp_ns, 100_000_000, rows, {})
    joints = collect(shown.node, JointComparison, "/preview_test/preview/joints", qos.PREVIEW)
    driven = collect(shown.node, PathMessage, "/preview_test/preview/driven/arm", qos.PREVIEW)
    shown.preview.start()
    try:
        wait_until(lambda: joints and driven and driven[-1].poses, "joints and a driven path")
    finally:
        shown.preview.stop()
    arm, gripper = joints[-1].predicted[0], joints[-1].predicted[7]
    assert arm - gripper == pytest.approx(0.3, abs=0.02)
    at, stamp = driven[-1].poses[-1].header.stamp, driven[-1].header.stamp
    assert abs((stamp.sec - at.sec) + 1e-9 * (stamp.nanosec - at.nanosec)) < 0.25


def test_a_picture_that_cannot_be_copied_does_not_fail_the_query(shown):
    """The worker thread calls it while it fills the request."""
    key = CAMERAS[0]
    topic = f"/preview_test/observation/{key}/compressed"
    collect(shown.node, CompressedImage, topic, qos.PREVIEW)
    wait_until(shown.preview.pictures.watched, "a subscription")
    for _ in range(2):
        shown.preview.pictures.sent(Observation(0, {}, {}), {})
    assert len(shown.said) == 1 and "preview: no pictures" in shown.said[0]


def test_the_picture_is_the_newest_of_the_request_and_its_stamp_the_cameras(shown):
    """It is copied: the request's memory is written again by a later query."""
    key, stream = CAMERAS[0], ROBOT.video[0]
    topic = f"/preview_test/observation/{key}/compressed"
    found = collect(shown.node, CompressedImage, topic, qos.PREVIEW)
    wait_until(shown.preview.pictures.watched, "a subscription")
    slots = np.zeros((1, 2, stream.height_px, stream.width_px, 3), dtype=np.uint8)
    slots[0, 1] = (250, 10, 20)
    samples = (Sample(1, 1, None), Sample(7_000_000_009, 1, None))
    shown.preview.pictures.sent(Observation(0, {key: samples}, {}), {key: slots})
    slots[:] = 0
    shown.preview.tick()
    wait_until(lambda: found, "a picture")
    stamp = found[0].header.stamp
    assert (stamp.sec, stamp.nanosec, found[0].format) == (7, 9, "jpeg")
    decoded = cv2.imdecode(np.frombuffer(bytes(found[0].data), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - (20, 10, 250)).max() <= 4


def test_a_camera_key_that_begins_with_a_digit_can_be_watched(ros_node):
    """Otherwise configure would raise, for a file that the rest of the node can use."""
    robot = replace(ROBOT, video=tuple(replace(one, key=f"0.{one.key}") for one in ROBOT.video))
    pictures = PicturePublishers(ros_node, robot, None, pytest.fail)
    assert pictures.watched() == []
    pictures.destroy()


def test_without_a_subscriber_nothing_is_read(shown):
    """A tick asks for subscriptions and returns."""
    shown.inputs.broken = True
    shown.preview.chunk = ActionChunk(1, 1, 0, 1, np.zeros((2, 8)), {})
    for _ in range(3):
        shown.preview.tick()
    assert not shown.said
