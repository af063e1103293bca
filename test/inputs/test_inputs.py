"""Inputs turns topics into observations, or names what is missing, over real DDS."""

import array
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from input_robot import (
    ARM,
    EEF,
    FRONT,
    HAND,
    SETTINGS,
    Robot,
    joint_state,
    picture,
    small_embodiment,
)
from ros_fixtures import collect, wait_for_discovery, wait_until
from sensor_msgs.msg import CompressedImage, Image, JointState
from trajectory_msgs.msg import JointTrajectoryPoint

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.inputs.images import decode_video
from gr00t_ros.inputs.inputs import Inputs
from gr00t_ros.msg import ControllerState
from gr00t_ros.observe.moment import QueryTimes
from gr00t_ros.observe.observation import Observation
from gr00t_ros.observe.readings import select
from gr00t_ros.robot.framing import Crop, Framing
from gr00t_ros.ros.parameter_values import observation
from gr00t_ros.ros.parameters import DEFAULTS
from gr00t_ros.ros.pulled import Arrivals

CAMERA = str(Path(__file__).parents[1] / "fixtures" / "camera_child.py")


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
    embodiment = small_embodiment((replace(FRONT, fit=fit),), (EEF, HAND, ARM))
    inputs = Inputs(ros_node, embodiment, SETTINGS)

    def observed():
        inputs.pull()
        observation = inputs.observe()
        return observation if isinstance(observation, Observation) else None

    observation = wait_until(observed, "an observation")
    slots = _slots(embodiment)
    decode_video(embodiment, observation, slots)
    assert slots["front"][0, 0, 12, 4].tolist() == [255, 0, 0]
    assert slots["front"][0, 0, 12, 28].tolist() == [0, 0, 0]
    assert observation.state["arm"].tolist() == [[1.0, 2.0, 3.0]]
    assert observation.state["hand"].tolist() == [[0.5]]
    assert observation.state["eef"].tolist() == [[0, 0, 0, 1, 0, 0, 0, 1, 0]]
    assert abs(ros_node.get_clock().now().nanoseconds - observation.stamp_ns) < 3 * 10**9


def test_an_observation_has_the_newest_frame(ros_node):
    """Older frames are of no use to a policy."""
    embodiment = small_embodiment()
    robot = Robot(ros_node, embodiment)
    for level in (10, 20):
        robot.send(picture((level, 0, 0)), "/front")
    robot.send_moment(picture((30, 0, 0)))
    slots = _slots(embodiment)
    decode_video(embodiment, robot.inputs.observe(), slots)
    assert slots["front"][0, 0, 0, 0].tolist() == [30, 0, 0]


def test_history_comes_from_the_ring(ros_node):
    """The frame of a second ago is still there, undecoded until now."""
    embodiment = small_embodiment((replace(FRONT, delta_indices=(-15, 0)),))
    robot = Robot(ros_node, embodiment)
    start_ns = robot.now_ns() - 15 * embodiment.step_ns
    for step in range(16):
        robot.send(picture((step, 0, 0)), "/front", start_ns + step * embodiment.step_ns)
    robot.send(joint_state(), "/joints", start_ns + 15 * embodiment.step_ns)
    slots = _slots(embodiment)
    decode_video(embodiment, robot.inputs.observe(), slots)
    assert slots["front"][0, :, 0, 0, 0].tolist() == [0, 15]


def stamped(message, stamp_ns):
    """The message with that stamp."""
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


def resized(height, width):
    """A picture of another size."""
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.data.frombytes(bytes(3 * height * width))
    return message


def test_a_camera_keeps_the_size_of_its_first_picture(ros_node):
    """Another one is refused by both sizes, until the camera is as it was or all begins anew."""
    robot = Robot(ros_node, small_embodiment())
    robot.send_moment(picture())
    assert isinstance(robot.inputs.observe(), Observation)
    robot.inputs.clear()  # a clock jump changes no camera
    robot.send(resized(48, 64), "/front")
    report = robot.report("video.front")
    assert "picture is 48x64, was 24x32 before" in report.problem
    assert (report.refused, report.age_ns) == (1, None)
    assert "front" in [gap.stream for gap in robot.inputs.observe()]
    robot.send(picture(), "/front")
    assert (robot.report("video.front").problem, robot.report("video.front").refused) == ("", 1)
    robot.inputs.destroy()
    anew = Robot(ros_node, small_embodiment())
    anew.send(resized(48, 64), "/front")
    assert anew.report("video.front").problem == ""


def test_a_framed_camera_is_sent_as_the_file_says(ros_node):
    """The right half, turned; a picture without that part is refused before it is decoded."""
    half = Framing(Crop("pixels", 0, 16, 24, 16), rotate_deg=90)
    stream = replace(FRONT, height_px=16, width_px=24, framing=half)
    robot = Robot(ros_node, small_embodiment((stream,)))
    robot.send(resized(24, 24), "/front")
    assert "24x24 has no rows 0 to 24 and columns 16 to 32" in robot.report("video.front").problem
    message = picture()
    pixels = np.frombuffer(message.data, np.uint8).reshape(24, 32, 3).copy()
    pixels[0, 16], pixels[:, :16] = (1, 2, 3), 99
    message.data = array.array("B", pixels.tobytes())
    robot.send_moment(message)
    slots = _slots(robot.inputs._embodiment)
    decode_video(robot.inputs._embodiment, robot.inputs.observe(), slots)
    sent = slots["front"][0, 0]
    assert sent[0, 23].tolist() == [1, 2, 3]  # top left goes to top right, clockwise
    assert not (sent == 99).any() and sent[15, 0].tolist() == [250, 10, 20]


def test_compressed_frames_are_observed(ros_node):
    """The transport is the embodiment's to say."""
    cv2 = pytest.importorskip("cv2")
    embodiment = small_embodiment((replace(FRONT, transport="compressed"),))
    robot = Robot(ros_node, embodiment)
    payload = cv2.imencode(".png", np.full((24, 32, 3), (3, 2, 1), np.uint8))[1].tobytes()
    message = CompressedImage(format="png")
    message.data.frombytes(payload)
    robot.send_moment(message)
    slots = _slots(embodiment)
    decode_video(embodiment, robot.inputs.observe(), slots)
    assert slots["front"][0, 0, 5, 5].tolist() == [1, 2, 3]


def test_what_is_missing_is_named(ros_node):
    """No stream is filled in; each gap has its stream and topic."""
    robot = Robot(ros_node, small_embodiment(state=(ARM, EEF)))
    robot.send(picture(), "/front")
    gaps = robot.inputs.observe()
    assert [(gap.stream, gap.topic) for gap in gaps] == [("arm", "/joints"), ("eef", "/pose")]


def test_the_controller_state_is_read_whatever_the_order_of_its_joints(ros_node):
    """Reference, feedback and speed scaling of an output, by its name."""
    robot = Robot(ros_node, small_embodiment())
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


def test_no_controller_state_is_overwritten_between_two_pulls(ros_node):
    """At 2 kHz 40 of them come: each shows how long it took."""
    robot = Robot(ros_node, small_embodiment())
    everything = collect(ros_node, ControllerState, "/arm/state")
    publisher = ros_node.create_publisher(ControllerState, "/arm/state", 64)
    wait_for_discovery(lambda: publisher.get_subscription_count() == 2, "both subscriptions")
    point = JointTrajectoryPoint(positions=[1.0, 2.0, 3.0])
    message = ControllerState(joint_names=["j1", "j2", "j3"], reference=point, feedback=point)
    for index in range(40):
        stamped(message, robot.now_ns() + index)
        publisher.publish(message)
    wait_until(lambda: len(everything) == 40, "all states at the other reader")
    wait_until(lambda: robot.received("/arm/state") == 40, "all states")


def test_the_newest_joint_readings_are_offered(ros_node):
    """For the checks before a start and while stopping."""
    robot = Robot(ros_node, small_embodiment(state=(ARM, EEF)))
    assert robot.inputs.joints(ARM.names) is None
    robot.send(PoseStamped(), "/pose")
    robot.send(joint_state(), "/joints")
    sample = robot.inputs.joints(ARM.names)
    assert sample.value.names == ("j3", "j1", "j2")
    assert sample.value.velocity is None
    assert robot.inputs.joints((*ARM.names, "finger")) is None


def test_joints_of_several_topics_are_one_reading_as_old_as_the_oldest(ros_node):
    """An arm of two halves, each with a driver of its own."""
    arm = replace(ARM, topic="/left", more_topics=("/right",))
    robot = Robot(ros_node, small_embodiment(state=(arm,)))
    now_ns = robot.now_ns()
    robot.send(joint_state(("j1",), (1.0,)), "/left", now_ns - 7)
    robot.send(joint_state(("j3", "j2"), (3.0, 2.0)), "/right", now_ns)
    sample = robot.inputs.joints(ARM.names)
    assert (sample.stamp_ns, select(ARM.names, sample.value).tolist()) == (now_ns - 7, [1, 2, 3])


def test_an_arm_is_measured_where_the_file_says_and_not_by_another_topics_zeros(ros_node):
    """The gripper's driver sends all joints of the robot, of which it knows its own."""
    hand = replace(HAND, topic="/hand")
    robot = Robot(ros_node, small_embodiment(state=(ARM, hand)))
    names = (*ARM.names, "finger", "other")
    robot.send(joint_state(names[:4], (0.0, 0.0, 0.0, 0.4)), "/hand")
    assert robot.inputs.joints(ARM.names) is None, "nobody has measured it"
    robot.send(joint_state((*ARM.names, "finger"), (1.0, 2.0, 3.0, 0.0)), "/joints")
    robot.send(joint_state(names, (0.0, 0.0, 0.0, 0.4, 0.7)), "/hand")
    for wanted, found in ((ARM.names, [1, 2, 3]), (names[:4], [1, 2, 3, 0.4]), (names[4:], [0.7])):
        assert select(wanted, robot.inputs.joints(wanted).value).tolist() == found


def test_an_arm_and_its_gripper_publish_their_own_joints_on_one_topic(ros_node):
    """Each stream is stamped by its own joints, the observation by the arm's."""
    robot = Robot(ros_node, small_embodiment(state=(ARM, HAND)))
    gripper = ros_node.create_publisher(JointState, "/joints", 10)
    arm = robot.publisher(JointState, "/joints")
    wait_until(gripper.get_subscription_count, "the gripper's subscription")
    arm_ns = hand_ns = 0

    def both():
        nonlocal arm_ns, hand_ns
        now_ns = robot.now_ns()
        if not hand_ns:
            hand_ns = now_ns
            gripper.publish(stamped(joint_state(("finger",), (0.4,)), hand_ns))
        arm_ns = now_ns + 1
        arm.publish(stamped(joint_state(), arm_ns))
        robot.inputs.pull()
        sample = robot.inputs.joints(("finger", *ARM.names))
        return sample is not None

    robot.send(picture(), "/front")
    wait_until(both, "the joints of both")
    observation = wait_until(
        lambda: isinstance(o := robot.inputs.observe(), Observation) and o, "an observation"
    )
    assert observation.state["arm"].tolist() == [[1.0, 2.0, 3.0]]
    assert observation.state["hand"].tolist() == [[0.5]]
    assert robot.inputs.joints(HAND.names).stamp_ns == hand_ns
    assert robot.inputs.joints(ARM.names).stamp_ns > hand_ns
    assert [report.mixed for report in robot.reports()] == [(), (), (), ()]


def test_two_publishers_of_the_same_joints_are_named_and_never_observed(ros_node, ros_domain):
    """Zeros beside the robot's own joint states, until they stop."""
    robot = Robot(ros_node, small_embodiment())
    robot.send(picture(), "/front")
    other = rclpy.create_node("joint_state_publisher", context=ros_node.context)
    zeros = other.create_publisher(JointState, "/joints", 10)
    own = robot.publisher(JointState, "/joints")
    wait_until(zeros.get_subscription_count, "the zeros' subscription")

    def both():
        own.publish(stamped(joint_state(), robot.now_ns()))
        zeros.publish(stamped(joint_state(position=(0.0, 0.0, 0.0)), robot.now_ns()))
        robot.inputs.pull()
        return robot.report("state.arm")

    def told():
        report = both()
        return "joint_state_publisher" in report.problem and report

    report = wait_until(told, "both publishers in the problem")
    assert report.mixed == ("j1", "j2", "j3")
    assert report.problem.startswith("two publishers at once of j1, j2, j3 on /joints (")
    assert ros_node.get_name() in report.problem and "stop one of them" in report.problem
    (gap,) = robot.inputs.observe()
    assert (gap.stream, gap.reason) == ("arm", report.problem)
    other.destroy_node()

    def healed():
        own.publish(stamped(joint_state(), robot.now_ns()))
        robot.inputs.pull()
        return not robot.report("state.arm").mixed

    wait_until(healed, "the second publisher to be forgotten")
    robot.send_moment(picture())  # the first one is too old by now on a busy machine
    assert wait_until(
        lambda: isinstance(o := robot.inputs.observe(), Observation) and o, "an observation"
    ).state["arm"].tolist() == [[1.0, 2.0, 3.0]]


def test_two_publishers_of_one_controllers_state_are_named(ros_node):
    """A plan must not start where by turns two controllers hold."""
    robot = Robot(ros_node, small_embodiment())
    point = JointTrajectoryPoint(positions=[1.0, 2.0, 3.0])
    message = ControllerState(joint_names=["j1", "j2", "j3"], reference=point, feedback=point)
    own = robot.publisher(ControllerState, "/arm/state")
    second = ros_node.create_publisher(ControllerState, "/arm/state", 10)
    wait_until(second.get_subscription_count, "the second one's subscription")

    def told():
        for publisher in (own, second):
            publisher.publish(stamped(message, robot.now_ns()))
            robot.inputs.pull()
        return robot.report("controller.arm").mixed and robot.report("controller.arm").problem

    assert "two publishers at once of /arm/state (" in wait_until(told, "both")


def test_a_thread_that_waited_for_another_takes_no_second_publisher_from_it(ros_node, monkeypatch):
    """The replay thread pulls a topic while the pull thread is at the one before, and is late."""
    robot = Robot(ros_node, small_embodiment())
    point = JointTrajectoryPoint(positions=[1.0, 2.0, 3.0])
    message = ControllerState(joint_names=["j1", "j2", "j3"], reference=point, feedback=point)
    states = robot.publisher(ControllerState, "/arm/state")

    def send(wanted):
        states.publish(stamped(message, robot.now_ns()))
        robot.inputs.pull_robot()
        sample = robot.inputs.controller("arm")
        return sample is not None and sample.stamp_ns >= wanted and sample

    wait_until(lambda: send(1), "a first state")
    look, taken_ns = robot.inputs._graph.look, []
    waiting = Arrivals(ros_node.context, [robot.inputs._controllers["arm"].subscription])

    def meanwhile(*words):
        """The other thread takes a state while this one is between two topics; one more comes."""
        monkeypatch.setattr(robot.inputs._graph, "look", look)
        taken_ns.append(wait_until(lambda: send(robot.now_ns() - 10**7), "a state").received_ns)
        states.publish(stamped(message, robot.now_ns()))
        waiting.wait(time.monotonic_ns() + 30 * 10**9)
        return look(*words)

    monkeypatch.setattr(robot.inputs._graph, "look", meanwhile)
    robot.inputs.pull()
    newest = robot.inputs.controller("arm")
    waiting.end()
    assert newest.received_ns >= taken_ns[0], "the time of arrival never goes back"
    wait_until(lambda: send(newest.stamp_ns + 1), "one more state")
    assert robot.report("controller.arm").mixed == ()


class Late:
    """A lock that is free only after `meanwhile` was called, as if another thread had it."""

    def __init__(self, inputs, meanwhile):
        self._inputs, self._meanwhile, self._lock = inputs, meanwhile, inputs._lock

    def __enter__(self):
        self._inputs._lock = self._lock
        self._meanwhile()
        self._lock.acquire()

    def __exit__(self, *_error):
        self._lock.release()


def test_what_arrives_while_a_report_waits_for_a_thread_is_not_in_the_future(ros_node):
    """The newest messages are then younger than the moment at which the report was asked for."""
    robot = Robot(ros_node, small_embodiment(), replace(SETTINGS, future_ns=1_000_000))
    robot.send_moment(picture())
    asked_ns = robot.now_ns()

    def meanwhile():
        wait_until(lambda: robot.now_ns() > asked_ns + 50_000_000, "a late thread")
        robot.send_moment(picture())

    robot.inputs._lock = Late(robot.inputs, meanwhile)
    reports = robot.reports()
    assert [(report.name, report.problem) for report in reports if not report.usable] == []


def test_in_simulated_time_a_stamp_may_be_ahead_of_a_clock_that_is_taken_late(ros_node):
    """The executor takes /clock, other threads take the messages: a late one is behind them."""
    values = replace(DEFAULTS, max_camera_age_s=60.0, max_joint_age_s=60.0)
    for simulated, ahead_ms, usable in ((False, 150, False), (True, 150, True), (True, 250, False)):
        robot = Robot(ros_node, small_embodiment(), observation(values, simulated))
        stamp_ns = robot.now_ns()
        robot.send(picture(), "/front", stamp_ns)
        found = {one.name: one for one in robot.inputs.streams(stamp_ns - ahead_ms * 10**6)}
        assert found["video.front"].usable is usable, found["video.front"].problem
        robot.inputs.destroy()


def test_clear_forgets_what_was_received(ros_node):
    """After a clock jump nothing old is observed."""
    robot = Robot(ros_node, small_embodiment())
    robot.send_moment(picture())
    assert isinstance(robot.inputs.observe(), Observation)
    robot.inputs.clear()
    assert [gap.stream for gap in robot.inputs.observe()] == ["front", "arm"]


def test_topics_are_remapped_as_usual(ros_node):
    """Launch files move topics without touching the embodiment."""
    node = rclpy.create_node(
        "remapped", context=ros_node.context, cli_args=["--ros-args", "-r", "/front:=/elsewhere"]
    )
    try:
        robot = Robot(node, small_embodiment())
        robot.send(picture(), "/elsewhere")
        assert robot.report("video.front").topic == "/elsewhere"
    finally:
        node.destroy_node()


def test_a_topic_read_as_two_types_is_an_error_of_the_embodiment(ros_node):
    """One of the two would never receive anything."""
    pose = replace(EEF, topic="/joints")
    with pytest.raises(EmbodimentError, match="/joints is read as joints by arm and as pose"):
        Inputs(ros_node, small_embodiment(state=(ARM, pose)), SETTINGS)


def waiting(robot, times):
    """A thread in which a query waits, while the test's own thread pulls."""
    thread = threading.Thread(target=robot.inputs.wait, args=(times,))
    thread.start()
    return thread


def test_a_query_leaves_with_the_picture_that_arrives(ros_node):
    """The wait ends at the arrival, and the pull thread takes no picture away from it."""
    embodiment = small_embodiment((replace(FRONT, rate_hz=0.02),))
    robot = Robot(ros_node, embodiment)
    robot.inputs.wait(QueryTimes())  # no picture so far: it does not wait for one
    robot.send(joint_state(), "/joints")
    robot.send(picture((10, 0, 0)), "/front")
    due_ns = time.monotonic_ns() + 60 * 10**9
    thread = waiting(robot, QueryTimes(due_ns, due_ns))
    wait_until(lambda: robot.inputs.awaits_pictures, "the wait")
    front = robot.publisher(Image, "/front")

    def taken_by_the_wait():
        robot.inputs.pull()
        message = picture((20, 0, 0))
        stamp_ns = robot.now_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        front.publish(message)
        return robot.report("video.front").received >= 3

    wait_until(taken_by_the_wait, "pictures that the wait takes")
    assert thread.is_alive(), "it is not due yet"
    robot.inputs.destroy()
    thread.join(30.0)
    assert not thread.is_alive(), "a shutdown ends it"


def test_threads_may_pull_observe_and_destroy_at_once(ros_node):
    """The timer, the worker and a shutdown meet without an exception."""
    robot = Robot(ros_node, small_embodiment())
    robot.send_moment(picture())
    errors = []

    def repeat(call, count=200):
        try:
            for _ in range(count):
                call()
        except Exception as error:
            errors.append(error)

    def wait():
        robot.inputs.wait(QueryTimes(time.monotonic_ns() + 10**7))

    calls = (robot.inputs.pull, robot.inputs.observe, robot.reports, wait)
    threads = [threading.Thread(target=repeat, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    robot.inputs.destroy()
    for thread in threads:
        thread.join(30.0)
    assert not errors
    assert not any(thread.is_alive() for thread in threads)
