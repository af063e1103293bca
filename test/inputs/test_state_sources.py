"""State can come from several topics, an Imu, or tf2 besides JointState, over real topics."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from input_robot import ARM, SETTINGS, Robot, joint_state, picture, small_embodiment
from sensor_msgs.msg import Imu
from tf2_stand_in import stand_in_tf2

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.inputs import readings
from gr00t_ros.inputs.readings import Transforms, TransformSubscription, read_transform
from gr00t_ros.observe.joint_states import REBASE_NS
from gr00t_ros.observe.observation import Observation
from gr00t_ros.robot.rotation import Chain, ChainLink
from gr00t_ros.robot.streams import StateStream

BOTH = StateStream("both", "joints", "/left", ("l", "r"), more_topics=("/right",))
DOWN = StateStream("down", "imu", "/imu", encode="projected_gravity", frame="pelvis")
TOOL = StateStream(
    "tool", "tf", "/tf base -> tool", encode="xyz_quaternion", frame="base", link="tool"
)
S = 10**9
PAD = StateStream("pad", "constant", values=(3.0,))
Z, ORIGIN = np.array([0.0, 0.0, 1.0]), np.zeros(3)
# Two joints about z and 0.5 m between them, then a slide along z.
CHAIN = Chain(
    (
        ChainLink(ORIGIN, np.eye(3), "j1", Z),
        ChainLink(np.array([0.5, 0.0, 0.0]), np.eye(3), "j2", Z),
        ChainLink(ORIGIN, np.eye(3), "j3", Z, slides=True),
    ),
    (0, 1, 2),
)
HAND = StateStream(
    *("hand", "kinematics", "/joints", ("j1", "j2", "j3")),
    **{"encode": "xyz_axis_angle", "frame": "base", "link": "hand", "chain": CHAIN},
)


@pytest.fixture
def tf2_ros(tmp_path, monkeypatch):
    """A stand-in for tf2_ros: what is in Buffer.found is what tf2 knows."""
    with stand_in_tf2(tmp_path, monkeypatch) as module:
        yield module


def gravity_of(robot, quaternion=(0.0, 0.0, 0.0, 1.0), variance=0.0, frame="pelvis"):
    """Send an Imu; the report of its stream."""
    message = Imu()
    message.header.frame_id = frame
    turn = message.orientation
    turn.x, turn.y, turn.z, turn.w = quaternion
    message.orientation_covariance[0] = variance
    robot.send(message, "/imu")
    return robot.report("state.down")


def test_several_sources_become_one_observation(ros_node):
    """Joints of two drivers, an Imu and a constant, each by its name, in the file's order."""
    robot = Robot(ros_node, small_embodiment(state=(PAD, DOWN, BOTH, ARM)))
    robot.send(picture(), "/front")
    robot.send(joint_state(), "/joints")
    half = np.sqrt(0.5)
    assert gravity_of(robot, (0.0, half, 0.0, half)).problem == ""
    robot.send(joint_state(("l",), (0.25,)), "/left")
    assert robot.report("state.both").topic == "/right"  # the one that never came
    assert [(gap.stream, gap.topic) for gap in robot.inputs.observe()] == [("both", "/right")]
    robot.send(joint_state(("other", "r"), (9.0, 0.5)), "/right")
    observation = robot.inputs.observe()
    assert list(observation.state) == ["pad", "down", "both", "arm"]
    assert observation.state["both"].tolist() == [[0.25, 0.5]]
    np.testing.assert_allclose(observation.state["down"], [[1.0, 0.0, 0.0]], atol=1e-6)
    assert observation.state["pad"].tolist() == [[3.0]]
    report = robot.report("state.both")
    assert (report.topic, report.received, report.fresh) == ("/left", 2, True)  # the older one
    assert "state.pad" not in [one.name for one in robot.reports()]


def test_a_topic_of_several_that_cannot_be_used_is_named(ros_node):
    """A joint that neither has, and a message that is none of one of them."""
    robot = Robot(ros_node, small_embodiment(state=(BOTH, ARM)))
    robot.send(joint_state(("l",), (0.25,)), "/left")
    robot.send(joint_state(("x",), (0.5,)), "/right")
    assert "joints missing: r; the message has: l, x" in robot.report("state.both").problem
    robot.send(joint_state(("r",), (0.5,)), "/right", stamp_ns=0)
    assert robot.report("state.both").problem.startswith("/right: header stamp is zero")


def test_an_imu_without_orientation_is_named_and_never_observed(ros_node):
    """By its own word, by a quaternion that nobody filled in, by another sensor's frame."""
    robot = Robot(ros_node, small_embodiment(state=(DOWN, ARM)))
    report = gravity_of(robot, variance=-1.0)
    assert "no orientation (orientation_covariance[0] is -1)" in report.problem
    assert (report.refused, report.age_ns) == (1, None)
    assert "quaternion of norm 0" in gravity_of(robot, (0.0, 0.0, 0.0, 0.0)).problem
    assert "'torso', expected 'pelvis'" in gravity_of(robot, frame="torso").problem
    report = gravity_of(robot)
    assert (report.problem, report.usable, report.received) == ("", True, 4)


def test_transforms_go_on_after_the_clock_was_set_back(tf2_ros, monkeypatch):
    """A bag that begins again: tf2 keeps the newest stamp, and refuses far older ones."""
    ros, steady = SimpleNamespace(nanoseconds=100 * S), SimpleNamespace(ns=5 * S)
    monkeypatch.setattr(readings.time, "monotonic_ns", lambda: steady.ns)
    node = SimpleNamespace(get_clock=lambda: SimpleNamespace(now=lambda: ros))
    transforms = Transforms(node, "FILE", "publish a pose")
    tool = TransformSubscription(transforms, "/tf base -> tool", "base", "tool")
    found = TransformStamped()
    found.header.stamp.sec = 100
    tf2_ros.Buffer.found["base", "tool"] = found
    assert read_transform(tool.take())[0] == 100 * S
    ros.nanoseconds, steady.ns = 3 * S, steady.ns + REBASE_NS
    assert tool.take() is None and tf2_ros.Buffer.found
    steady.ns += 1
    assert tool.take() is None and not tf2_ros.Buffer.found
    found.header.stamp.sec = 3
    tf2_ros.Buffer.found["base", "tool"] = found
    assert read_transform(tool.take())[0] == 3 * S


@pytest.mark.parametrize("ahead_s", [-100, 1])
def test_transforms_that_have_only_stopped_are_kept(ahead_s, tf2_ros, monkeypatch):
    """Their age is the reason then, not that tf2 has none."""
    steady = SimpleNamespace(ns=5 * S)
    monkeypatch.setattr(readings.time, "monotonic_ns", lambda: steady.ns)
    now = SimpleNamespace(nanoseconds=(200 - ahead_s) * S)
    node = SimpleNamespace(get_clock=lambda: SimpleNamespace(now=lambda: now))
    tool = TransformSubscription(Transforms(node, "FILE", ""), "/tf base -> tool", "base", "tool")
    found = TransformStamped()
    found.header.stamp.sec = 200
    tf2_ros.Buffer.found["base", "tool"] = found
    assert tool.take() is not None
    steady.ns += 60 * S
    assert tool.take() is None and tf2_ros.Buffer.found


def test_a_transform_is_a_pose(ros_node, tf2_ros):
    """Of the link in the frame, newer ones only; tf2's own words where there is none."""
    robot = Robot(ros_node, small_embodiment(state=(TOOL, ARM)))
    robot.send(picture(), "/front")
    robot.send(joint_state(), "/joints")
    assert 'tf2 has no transform base -> tool: "base" passed' in robot.report("state.tool").problem
    found = TransformStamped()
    found.header.frame_id, found.child_frame_id = "base", "tool"
    found.header.stamp = ros_node.get_clock().now().to_msg()
    found.transform.translation.z, found.transform.rotation.w = 0.5, 1.0
    tf2_ros.Buffer.found["base", "tool"] = found
    observation = robot.inputs.observe()
    assert isinstance(observation, Observation), observation
    assert observation.state["tool"].tolist() == [[0, 0, 0.5, 0, 0, 0, 1]]
    robot.inputs.observe()
    report = robot.report("state.tool")
    assert (report.topic, report.received, report.problem) == ("/tf base -> tool", 1, "")
    assert tf2_ros.TransformListener.alive == 1
    robot.inputs.destroy()
    assert tf2_ros.TransformListener.alive == 0


def test_a_static_transform_is_fresh_whenever_it_is_asked_for(ros_node, tf2_ros):
    """tf2 stamps a chain of /tf_static alone with zero: it holds now as ever."""
    robot = Robot(ros_node, small_embodiment(state=(ARM, TOOL)))
    found = TransformStamped()
    found.header.frame_id, found.transform.rotation.w = "base", 1.0
    tf2_ros.Buffer.found["base", "tool"] = found
    for _ in range(2):
        robot.inputs.pull()
        robot.inputs.observe()
        report = robot.report("state.tool")
        assert (report.problem, report.fresh) == ("", True)
    assert report.received > 1
    robot.inputs.destroy()


def test_a_configuration_that_fails_in_tf_leaves_no_subscription(ros_node, monkeypatch):
    """The node is configured again and again until tf2_ros is there."""
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    before = len(list(ros_node.subscriptions))
    with pytest.raises(EmbodimentError, match="tf2_ros"):
        Robot(ros_node, small_embodiment(state=(ARM, TOOL)))
    assert len(list(ros_node.subscriptions)) == before


def test_tf_without_tf2_names_the_package(ros_node, monkeypatch):
    """At configure, with what to install or to use in its place."""
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    with pytest.raises(
        EmbodimentError, match=r"state\.tool: from: tf needs .* tf2_ros.*from: pose"
    ):
        Robot(ros_node, small_embodiment(state=(ARM, TOOL)))


def hand_at(j1, j2, j3):
    """(6,) what is sent of HAND."""
    return [0.5 * np.cos(j1), 0.5 * np.sin(j1), j3, 0.0, 0.0, j1 + j2]


def test_a_pose_from_kinematics_is_that_of_the_joint_state_with_its_stamp(ros_node):
    """In one observation with the joints; its age is theirs."""
    robot = Robot(ros_node, small_embodiment(state=(HAND, ARM)))
    stamp_ns = robot.now_ns() - 400_000_000
    robot.send(picture(), "/front", stamp_ns)
    assert "nobody publishes /joints" in robot.report("state.hand").problem
    robot.send(joint_state(("j3", "j1", "j2"), (0.2, 0.3, 0.4)), "/joints", stamp_ns)
    observation = robot.inputs.observe()
    assert isinstance(observation, Observation), observation
    assert observation.stamp_ns == stamp_ns
    np.testing.assert_allclose(observation.state["hand"][0], hand_at(0.3, 0.4, 0.2), atol=1e-6)
    np.testing.assert_allclose(observation.state["arm"], [[0.3, 0.4, 0.2]], atol=1e-6)
    reports = {report.name: report for report in robot.reports()}  # of one instant
    hand, arm = reports["state.hand"], reports["state.arm"]
    assert (hand.topic, hand.received, hand.problem) == ("/joints", 1, "")
    assert hand.age_s == pytest.approx(arm.age_s, abs=0.1) and hand.age_s >= 0.4
    np.testing.assert_allclose(robot.inputs.pose("hand").position_m, hand_at(0.3, 0.4, 0.2)[:3])


def test_every_joint_state_of_a_history_gives_a_pose(ros_node):
    """Of the joint states nearest to each delta index."""
    hand = replace(HAND, delta_indices=(-15, 0))
    robot = Robot(ros_node, small_embodiment(state=(hand, ARM)))
    now_ns = robot.now_ns()
    robot.send(picture(), "/front", now_ns)
    for age_s, j1 in ((1.0, 0.1), (0.5, 0.2), (0.0, 0.3)):
        message = joint_state(("j1", "j2", "j3"), (j1, 0.0, 0.0))
        robot.send(message, "/joints", now_ns - int(age_s * 1e9))
    observation = robot.inputs.observe()
    assert isinstance(observation, Observation), observation
    expected = [hand_at(0.1, 0.0, 0.0), hand_at(0.3, 0.0, 0.0)]
    np.testing.assert_allclose(observation.state["hand"], expected, atol=1e-6)


def test_a_joint_of_the_chain_that_is_missing_or_no_number_is_named(ros_node):
    """No pose is made up for it."""
    robot = Robot(ros_node, small_embodiment(state=(PAD, HAND)))
    robot.send(picture(), "/front")
    robot.send(joint_state(("j1", "j3"), (0.1, 0.2)), "/joints")
    report = robot.report("state.hand")
    assert "joints missing: j2; the message has: j1, j3" in report.problem and not report.usable
    assert robot.inputs.pose("hand") is None
    names = ("j1", "j2", "j3")
    robot.send(joint_state(names, (0.0, float("nan"), 0.0)), "/joints")
    assert "joints not finite: j2" in robot.report("state.hand").problem
    robot.send(picture(), "/front")
    (gap,) = robot.inputs.observe()
    assert (gap.stream, gap.topic) == ("hand", "/joints") and "not finite: j2" in gap.reason
    robot.send(joint_state(names, (0.0, 0.0, 0.0)), "/joints")
    assert robot.report("state.hand").problem == ""


def test_joints_of_a_chain_may_come_on_two_topics(ros_node):
    """As old as the older of them."""
    hand = replace(HAND, topic="/left", more_topics=("/right",))
    robot = Robot(ros_node, small_embodiment(state=(hand, ARM)), SETTINGS)
    robot.send(picture(), "/front")
    robot.send(joint_state(), "/joints")
    robot.send(joint_state(("j1",), (0.3,)), "/left")
    assert robot.inputs.pose("hand") is None
    robot.send(joint_state(("j2", "j3"), (0.4, 0.2)), "/right")
    observation = robot.inputs.observe()
    assert isinstance(observation, Observation), observation
    np.testing.assert_allclose(observation.state["hand"][0], hand_at(0.3, 0.4, 0.2), atol=1e-6)


def test_a_chain_that_is_not_known_yet_is_a_problem_until_it_is_described(ros_node):
    """With what to do; samples that came before count."""
    unknown = small_embodiment(state=(replace(HAND, chain=None), ARM))
    robot = Robot(ros_node, unknown)
    robot.send(picture(), "/front")
    robot.send(joint_state(("j1", "j2", "j3"), (0.0, 0.0, 0.0)), "/joints")
    report = robot.report("state.hand")
    assert report.fresh and not report.usable
    assert "the chain from 'base' to 'hand' is not known" in report.problem
    assert "start robot_state_publisher" in report.problem
    assert [gap.stream for gap in robot.inputs.observe()] == ["hand"]
    robot.inputs.describe(small_embodiment(state=(HAND, ARM)))
    assert robot.report("state.hand").usable
    assert robot.inputs.observe().state["hand"][0, 0] == 0.5
