"""gr00t_ros.ros.inputs over real DDS: from topics to observations, and what is said when not."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rclpy
import yaml
from geometry_msgs.msg import PoseStamped
from ros_fixtures import wait_until
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectoryPoint

from gr00t_ros.core.embodiment import Output, StateStream, VideoStream, parse
from gr00t_ros.core.errors import EmbodimentError
from gr00t_ros.core.observation import Observation, ObservationSettings
from gr00t_ros.msg import ControllerState
from gr00t_ros.ros.inputs import Inputs

ROOT = Path(__file__).parents[2]
CAMERA = str(Path(__file__).with_name("camera_child.py"))
SETTINGS = ObservationSettings(video_max_age_ns=3 * 10**9, state_max_age_ns=3 * 10**9)
FRONT = VideoStream("front", "/front", 24, 32, "stretch", (0,))
ARM = StateStream("arm", "joints", "/joints", ("j1", "j2", "j3"))
HAND = StateStream("hand", "joints", "/joints", ("finger",), scale=(0.0, 0.8))
EEF = StateStream("eef", "pose", "/pose", encode="xyz_rot6d_rows", frame="base")
OUTPUT = Output("arm", "joint_trajectory", "/arm/command", "/arm/state", ("j1", "j2", "j3"))


def _embodiment(video=(FRONT,), state=(ARM,), outputs=(OUTPUT,)):
    file = ROOT / "config/embodiments/franka_droid.yaml"
    real = parse(yaml.safe_load(file.read_text()), file.name)
    return replace(real, video=video, state=state, outputs=outputs)


class Robot:
    """Publishers of one test and the inputs that read them."""

    def __init__(self, node, embodiment, settings=SETTINGS):
        self.node = node
        self.inputs = Inputs(node, embodiment, settings)
        self._publishers = {}

    def publisher(self, kind, topic):
        """The publisher of `topic`, matched with its reader."""
        if topic not in self._publishers:
            publisher = self.node.create_publisher(kind, topic, 10)
            self._publishers[topic] = publisher
            wait_until(publisher.get_subscription_count, f"a subscription of {topic}")
        return self._publishers[topic]

    def send(self, message, topic, stamp_ns=None):
        """Publish with a stamp of now, or the given one, and pull until it was taken."""
        stamp_ns = self.now_ns() if stamp_ns is None else stamp_ns
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        publisher, before = self.publisher(type(message), topic), self.received(topic)
        publisher.publish(message)
        wait_until(lambda: self.received(topic) > before, f"the message on {topic}")

    def received(self, topic):
        """Messages taken so far from `topic`."""
        self.inputs.pull()
        return next(report.received for report in self.reports() if report.topic == topic)

    def now_ns(self):
        """ROS time."""
        return self.node.get_clock().now().nanoseconds

    def reports(self):
        """All streams as they are now."""
        return self.inputs.streams(self.now_ns(), time.monotonic_ns())

    def report(self, name):
        """The stream of that name."""
        return {report.name: report for report in self.reports()}[name]


def _image(colour=(250, 10, 20), encoding="rgb8"):
    message = Image(height=24, width=32, encoding=encoding, step=96)
    message.data.frombytes(np.full((24, 32, 3), colour, np.uint8).tobytes())
    return message


def _joints(names=("j3", "j1", "j2"), position=(3.0, 1.0, 2.0)):
    return JointState(name=names, position=position)


def _slots(embodiment):
    return {
        s.key: np.zeros((1, len(s.delta_indices), s.height_px, s.width_px, 3), np.uint8)
        for s in embodiment.video
    }


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_another_process_becomes_an_observation(processes, ros_node, fit):
    """Padded BGR frames, joints in another order and a pose, all by their names."""
    topics = ("/front", "/joints", "/pose")
    child = processes.start(CAMERA, *topics, name="camera")
    child.wait_for_line("READY")
    embodiment = _embodiment((replace(FRONT, fit=fit),), (EEF, HAND, ARM))
    inputs = Inputs(ros_node, embodiment, SETTINGS)

    def observed():
        inputs.pull()
        observation = inputs.observe()
        return observation if isinstance(observation, Observation) else None

    observation = wait_until(observed, "an observation")
    slots = _slots(embodiment)
    inputs.decode_video(observation, slots)
    assert slots["front"][0, 0, 12, 4].tolist() == [255, 0, 0]
    assert slots["front"][0, 0, 12, 28].tolist() == [0, 0, 0]
    assert observation.state["arm"].tolist() == [[1.0, 2.0, 3.0]]
    assert observation.state["hand"].tolist() == [[0.5]]
    assert observation.state["eef"].tolist() == [[0, 0, 0, 1, 0, 0, 0, 1, 0]]
    assert abs(ros_node.get_clock().now().nanoseconds - observation.stamp_ns) < 3 * 10**9


def test_an_observation_has_the_newest_frame(ros_node):
    """Older frames are of no use to a policy."""
    embodiment = _embodiment()
    robot = Robot(ros_node, embodiment)
    for level in (10, 20, 30):
        robot.send(_image((level, 0, 0)), "/front")
    robot.send(_joints(), "/joints")
    slots = _slots(embodiment)
    robot.inputs.decode_video(robot.inputs.observe(), slots)
    assert slots["front"][0, 0, 0, 0].tolist() == [30, 0, 0]


def test_history_comes_from_the_ring(ros_node):
    """The frame of a second ago is still there, undecoded until now."""
    embodiment = _embodiment((replace(FRONT, delta_indices=(-15, 0)),))
    robot = Robot(ros_node, embodiment)
    start_ns = robot.now_ns() - 15 * embodiment.step_ns
    for step in range(16):
        robot.send(_image((step, 0, 0)), "/front", start_ns + step * embodiment.step_ns)
    robot.send(_joints(), "/joints", start_ns + 15 * embodiment.step_ns)
    slots = _slots(embodiment)
    robot.inputs.decode_video(robot.inputs.observe(), slots)
    assert slots["front"][0, :, 0, 0, 0].tolist() == [0, 15]


def test_compressed_frames_are_observed(ros_node):
    """The transport is the embodiment's to say."""
    cv2 = pytest.importorskip("cv2")
    embodiment = _embodiment((replace(FRONT, transport="compressed"),))
    robot = Robot(ros_node, embodiment)
    payload = cv2.imencode(".png", np.full((24, 32, 3), (3, 2, 1), np.uint8))[1].tobytes()
    message = CompressedImage(format="png")
    message.data.frombytes(payload)
    robot.send(message, "/front")
    robot.send(_joints(), "/joints")
    slots = _slots(embodiment)
    robot.inputs.decode_video(robot.inputs.observe(), slots)
    assert slots["front"][0, 0, 5, 5].tolist() == [1, 2, 3]


def test_what_is_missing_is_named(ros_node):
    """No stream is filled in; each gap has its stream and topic."""
    robot = Robot(ros_node, _embodiment(state=(ARM, EEF)))
    robot.send(_image(), "/front")
    gaps = robot.inputs.observe()
    assert [(gap.stream, gap.topic) for gap in gaps] == [("arm", "/joints"), ("eef", "/pose")]


def test_a_wrong_encoding_is_named_and_never_observed(ros_node):
    """Before any picture is decoded, in the stream's report."""
    robot = Robot(ros_node, _embodiment())
    robot.send(_image(encoding="mono16"), "/front")
    robot.send(_joints(), "/joints")
    report = robot.report("video.front")
    assert "encoding 'mono16' is not one of rgb8" in report.problem
    assert (report.fresh, report.age_s, report.received, report.refused) == (False, -1.0, 1, 1)
    assert [gap.stream for gap in robot.inputs.observe()] == ["front"]
    robot.send(_image(), "/front")
    assert robot.report("video.front").problem == ""
    assert isinstance(robot.inputs.observe(), Observation)


def test_an_unstamped_camera_is_named_and_never_observed(ros_node):
    """A stamp of zero is not replaced by the time of arrival."""
    robot = Robot(ros_node, _embodiment())
    robot.send(_image(), "/front", stamp_ns=0)
    assert "header stamp is zero" in robot.report("video.front").problem
    robot.send(_joints(), "/joints")
    assert [gap.stream for gap in robot.inputs.observe()] == ["front"]


def test_a_missing_joint_is_named_in_the_report(ros_node):
    """The message is whole, but not what the embodiment needs."""
    robot = Robot(ros_node, _embodiment())
    robot.send(_joints(("j1", "j3"), (1.0, 3.0)), "/joints")
    assert "joints missing: j2" in robot.report("state.arm").problem


def test_a_frame_from_the_future_is_named(ros_node):
    """Two machines whose clocks disagree."""
    robot = Robot(ros_node, _embodiment())
    robot.send(_image(), "/front", robot.now_ns() + 60 * 10**9)
    assert "in the future: clocks disagree" in robot.report("video.front").problem


def test_another_type_on_the_topic_is_named(ros_node, ros_domain):
    """What is published and what was expected."""
    robot = Robot(ros_node, _embodiment())
    context = rclpy.Context()  # another participant: one alone cannot have both types
    rclpy.init(context=context, domain_id=ros_domain)
    stranger = rclpy.create_node("stranger", context=context)
    stranger.create_publisher(String, "/front", 10)

    def problem():
        robot.inputs.pull()
        return "published as" in (text := robot.report("video.front").problem) and text

    try:
        text = wait_until(problem, "the graph's explanation")
        assert text == "/front is published as std_msgs/msg/String, expected sensor_msgs/msg/Image"
    finally:
        stranger.destroy_node()
        rclpy.shutdown(context=context)


def test_a_topic_without_publisher_is_named(ros_node):
    """The commonest fault of all."""
    robot = Robot(ros_node, _embodiment())
    robot.inputs.pull()
    report = robot.report("state.arm")
    assert "nobody publishes /joints" in report.problem
    assert (report.topic, report.age_s, report.received) == ("/joints", -1.0, 0)


def test_a_stream_that_falls_silent_is_no_longer_fresh(ros_node):
    """Its age grows past the limit although nothing arrives."""
    robot = Robot(ros_node, _embodiment(), ObservationSettings(video_max_age_ns=1))
    robot.send(_image(), "/front")
    assert robot.report("video.front").received == 1
    report = wait_until(
        lambda: not (r := robot.report("video.front")).fresh and r, "the frame to be stale"
    )
    assert report.age_s > report.max_age_s == pytest.approx(3 / FRONT.rate_hz)


def test_old_stamps_are_old_however_new_the_message(ros_node):
    """A replayed bag without its clock is stale from the start."""
    robot = Robot(ros_node, _embodiment())
    robot.send(_image(), "/front", robot.now_ns() - 3600 * 10**9)
    report = robot.report("video.front")
    assert not report.fresh
    assert report.age_s >= 3600


def test_the_controller_state_is_read_whatever_the_order_of_its_joints(ros_node):
    """Reference, feedback and speed scaling of an output, by its name."""
    robot = Robot(ros_node, _embodiment())
    assert robot.inputs.controller("arm") is None
    message = ControllerState(joint_names=["j2", "j1", "j3"], speed_scaling_factor=1.0)
    message.reference = JointTrajectoryPoint(positions=[2.0, 1.0, 3.0])
    message.feedback = JointTrajectoryPoint(positions=[2.5, 1.5, 3.5])
    robot.send(message, "/arm/state")
    reading = robot.inputs.controller("arm").value
    assert reading.reference.names == ("j2", "j1", "j3")
    assert reading.feedback.position.tolist() == [2.5, 1.5, 3.5]
    report = robot.report("controller.arm")
    assert (report.topic, report.received, report.problem) == ("/arm/state", 1, "")


def test_a_controller_of_other_joints_is_named(ros_node):
    """A plan must not start from another arm's position."""
    robot = Robot(ros_node, _embodiment())
    point = JointTrajectoryPoint(positions=[0.0])
    message = ControllerState(joint_names=["x"], reference=point, feedback=point)
    robot.send(message, "/arm/state")
    assert "joints missing: j1, j2, j3" in robot.report("controller.arm").problem


def test_the_newest_joint_readings_are_offered(ros_node):
    """For the checks before a start and while stopping."""
    robot = Robot(ros_node, _embodiment(state=(ARM, EEF)))
    assert robot.inputs.joints() == ()
    robot.send(PoseStamped(), "/pose")
    robot.send(_joints(), "/joints")
    (sample,) = robot.inputs.joints()
    assert sample.value.names == ("j3", "j1", "j2")
    assert sample.value.velocity is None


def test_clear_forgets_what_was_received(ros_node):
    """After a clock jump nothing old is observed."""
    robot = Robot(ros_node, _embodiment())
    robot.send(_image(), "/front")
    robot.send(_joints(), "/joints")
    assert isinstance(robot.inputs.observe(), Observation)
    robot.inputs.clear()
    assert [gap.stream for gap in robot.inputs.observe()] == ["front", "arm"]


def test_topics_are_remapped_as_usual(ros_node):
    """Launch files move topics without touching the embodiment."""
    node = rclpy.create_node(
        "remapped", context=ros_node.context, cli_args=["--ros-args", "-r", "/front:=/elsewhere"]
    )
    try:
        robot = Robot(node, _embodiment())
        robot.send(_image(), "/elsewhere")
        assert robot.report("video.front").topic == "/elsewhere"
    finally:
        node.destroy_node()


def test_a_topic_read_as_two_types_is_an_error_of_the_embodiment(ros_node):
    """One of the two would never receive anything."""
    pose = replace(EEF, topic="/joints")
    with pytest.raises(EmbodimentError, match="/joints is read as joints by arm and as pose"):
        Inputs(ros_node, _embodiment(state=(ARM, pose)), SETTINGS)


def test_threads_may_pull_observe_and_destroy_at_once(ros_node):
    """The timer, the worker and a shutdown meet without an exception."""
    robot = Robot(ros_node, _embodiment())
    robot.send(_image(), "/front")
    robot.send(_joints(), "/joints")
    errors = []

    def repeat(call, count=200):
        try:
            for _ in range(count):
                call()
        except Exception as error:
            errors.append(error)

    calls = (robot.inputs.pull, robot.inputs.observe, robot.reports)
    threads = [threading.Thread(target=repeat, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    robot.inputs.destroy()
    for thread in threads:
        thread.join(30.0)
    assert not errors
    assert not any(thread.is_alive() for thread in threads)
