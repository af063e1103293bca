"""A stream report explains why a stream cannot be used, over real DDS."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import rclpy
from input_robot import ARM, FRONT, SETTINGS, Robot, joint_state, picture, small_embodiment
from ros_fixtures import wait_until
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectoryPoint

from gr00t_ros.inputs.controller_state import CONTROL_MSGS_STATE, OWN_STATE, STATE_TYPE_NAMES
from gr00t_ros.inputs.stream_report import other_type
from gr00t_ros.msg import ControllerState
from gr00t_ros.observe.observation import Observation


def test_a_wrong_encoding_is_named_and_never_observed(ros_node):
    """Before any picture is decoded, in the stream's report."""
    robot = Robot(ros_node, small_embodiment())
    robot.send(picture(encoding="yuv444"), "/front")
    robot.send(joint_state(), "/joints")
    report = robot.report("video.front")
    assert "encoding 'yuv444' is not one of rgb8" in report.problem
    assert (report.fresh, report.age_s, report.received, report.refused) == (False, -1.0, 1, 1)
    assert [gap.stream for gap in robot.inputs.observe()] == ["front"]
    robot.send(picture(), "/front")
    assert robot.report("video.front").problem == ""
    assert isinstance(robot.inputs.observe(), Observation)


def test_an_unstamped_camera_is_named_and_never_observed(ros_node):
    """A stamp of zero is not replaced by the time of arrival."""
    robot = Robot(ros_node, small_embodiment())
    robot.send(picture(), "/front", stamp_ns=0)
    assert "header stamp is zero" in robot.report("video.front").problem
    robot.send(joint_state(), "/joints")
    assert [gap.stream for gap in robot.inputs.observe()] == ["front"]


def test_a_missing_joint_is_named_in_the_report(ros_node):
    """The message is whole, but not what the embodiment needs."""
    robot = Robot(ros_node, small_embodiment())
    robot.send(joint_state(("j1", "j3"), (1.0, 3.0)), "/joints")
    assert "joints missing: j2" in robot.report("state.arm").problem


def test_a_frame_from_the_future_is_named(ros_node):
    """Two machines whose clocks disagree."""
    robot = Robot(ros_node, small_embodiment())
    robot.send(picture(), "/front", robot.now_ns() + 60 * 10**9)
    assert "in the future: clocks disagree" in robot.report("video.front").problem


def test_a_simulated_clock_that_nobody_publishes_is_the_cause(ros_node):
    """Time is 0 then, and every stamp lies in the future."""
    robot = Robot(ros_node, small_embodiment())
    robot.send(picture(), "/front")
    reports = {one.name: one for one in robot.inputs.streams(0)}
    problem = reports["video.front"].problem
    assert "in the future: use_sim_time is true and nothing comes on /clock" in problem


def test_another_type_on_the_topic_is_named(ros_node, ros_domain):
    """What is published and what was expected."""
    robot = Robot(ros_node, small_embodiment())
    context = rclpy.Context()  # another participant: one alone cannot have both types
    rclpy.init(context=context, domain_id=ros_domain)
    stranger = rclpy.create_node("stranger", context=context)
    stranger.create_publisher(String, "/front", 10)

    def problem():
        robot.inputs.pull()
        return "published as" in (text := robot.report("video.front").problem) and text

    try:
        text = wait_until(problem, "the graph's explanation")
        assert text == (
            "/front is published as std_msgs/msg/String, expected sensor_msgs/msg/Image: remap it, "
            "or name its topic"
        )
    finally:
        stranger.destroy_node()
        rclpy.shutdown(context=context)


def test_a_controllers_state_without_control_msgs_names_the_package_and_our_own_type():
    """One of the two must be there; nothing is to be remapped."""
    theirs = [SimpleNamespace(topic_type=CONTROL_MSGS_STATE)]
    assert other_type("/arm/controller_state", theirs, (OWN_STATE,)) == (
        "/arm/controller_state is published as control_msgs/msg/JointTrajectoryControllerState, "
        "expected gr00t_ros/msg/ControllerState: install control_msgs "
        "(ros-<distro>-control-msgs) where this node runs, or publish "
        "gr00t_ros/msg/ControllerState, which has the same fields"
    )
    assert other_type("/arm/controller_state", theirs, (CONTROL_MSGS_STATE, OWN_STATE)) == ""
    assert other_type("/arm/controller_state", [], (OWN_STATE,)) == ""
    assert OWN_STATE in STATE_TYPE_NAMES


def test_a_topic_without_publisher_is_named(ros_node):
    """The commonest fault of all."""
    robot = Robot(ros_node, small_embodiment())
    robot.inputs.pull()
    report = robot.report("state.arm")
    assert "nobody publishes /joints" in report.problem
    assert (report.topic, report.age_s, report.received) == ("/joints", -1.0, 0)


def test_a_stream_that_falls_silent_is_no_longer_fresh(ros_node):
    """Its age grows past the limit although nothing arrives."""
    robot = Robot(ros_node, small_embodiment(), replace(SETTINGS, video_max_age_ns=1))
    robot.send(picture(), "/front")
    assert robot.report("video.front").received == 1
    report = wait_until(
        lambda: not (r := robot.report("video.front")).fresh and r, "the frame to be stale"
    )
    assert report.age_s > report.max_age_s == pytest.approx(3 / FRONT.rate_hz)


def test_old_stamps_are_old_however_new_the_message(ros_node):
    """A replayed bag without its clock is stale from the start."""
    robot = Robot(ros_node, small_embodiment())
    robot.send(picture(), "/front", robot.now_ns() - 3600 * 10**9)
    report = robot.report("video.front")
    assert not report.fresh
    assert report.age_s >= 3600


def test_old_stamps_are_told_apart_from_silence(ros_node):
    """The publisher runs: its clock, or the missing use_sim_time, is the cause."""
    settings = replace(SETTINGS, video_max_age_ns=30 * 10**9)
    robot = Robot(ros_node, small_embodiment(), settings)
    robot.send(picture(), "/front", robot.now_ns() - 3600 * 10**9)
    robot.inputs.pull()
    problem = robot.report("video.front").problem
    assert re.match(r"messages come, but their stamps are 36\d\d\.\d", problem)
    assert "synchronise the clocks" in problem and "use_sim_time" in problem


def test_a_joint_that_no_longer_comes_is_named_while_others_do(ros_node):
    """Not as a silent topic."""
    settings = replace(SETTINGS, state_max_age_ns=1)
    embodiment = small_embodiment(state=(replace(ARM, rate_hz=10_000.0),))
    robot = Robot(ros_node, embodiment, settings)
    robot.send(joint_state(), "/joints")
    robot.send(joint_state(("j1", "j3"), (1.0, 3.0)), "/joints")
    report = robot.report("state.arm")
    assert not report.fresh
    assert report.problem.startswith("j2 no longer comes on /joints, other joints do")


def test_a_silent_publisher_is_named(ros_node):
    """It is not asked whether it runs."""
    robot = Robot(ros_node, small_embodiment())
    robot.publisher(JointState, "/joints")
    robot.inputs.pull()
    problem = robot.report("state.arm").problem
    assert problem.startswith(f"{ros_node.get_name()} publishes /joints, but nothing came from it")


def test_a_controller_of_other_joints_is_named(ros_node):
    """A plan must not start from another arm's position."""
    robot = Robot(ros_node, small_embodiment())
    point = JointTrajectoryPoint(positions=[0.0])
    message = ControllerState(joint_names=["x"], reference=point, feedback=point)
    robot.send(message, "/arm/state")
    assert "joints missing: j1, j2, j3" in robot.report("controller.arm").problem
