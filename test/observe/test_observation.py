"""Observation assembly: the right samples of the right instants, or every gap by name."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from pose_robot import with_pose
from urdf_robot import VALID as CHAINED

from gr00t_ros.observe.buffer import Sample, StampedBuffer
from gr00t_ros.observe.observation import Observation, ObservationSettings, anchor_stream, assemble
from gr00t_ros.observe.readings import JointReading, PoseReading
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.streams import StateStream

VALID = with_pose()
ROBOT = parse(VALID, "franka_droid.yaml")
EXTERIOR, WRIST, JOINTS, POSE = (
    "/camera/exterior/image_raw",
    "/camera/wrist/image_raw",
    "/joint_states",
    "/ee_pose",
)
TOPICS = (EXTERIOR, WRIST, JOINTS, POSE)
MS = 1_000_000
NOW_ROS = 1_000_000 * MS  # two clocks that have nothing to do with each other
NOW = 77_000 * MS
SETTINGS = ObservationSettings(200 * MS, 50 * MS, 50 * MS)


def content(topic, stamp_ns):
    """What a healthy stream holds; joint 1 and the pose's x tell their stamp's age in seconds."""
    told = (NOW_ROS - stamp_ns) / 1e9
    if topic == JOINTS:
        names = ("robotiq_85_left_knuckle_joint", *ROBOT.outputs[0].names)
        return JointReading(names, np.array([0.4, told, 0, 0, 0, 0, 0, 0]))
    if topic == POSE:
        return PoseReading(np.array([told, 0, 0]), np.array([0, 0, 0, 1.0]), "fr3_link0")
    return f"{topic} {stamp_ns}"


def buffer_of(topic, ages_ms):
    """A buffer of samples of these ages, received as soon as they were stamped."""
    buffer = StampedBuffer(10_000 * MS, 1000)
    for age_ns in sorted((round(age * MS) for age in ages_ms), reverse=True):
        stamp_ns = NOW_ROS - age_ns
        buffer.push(Sample(stamp_ns, NOW - age_ns, content(topic, stamp_ns)))
    return buffer


def streams(**ages_ms):
    """Buffers of all topics, 1.5 s of healthy samples where nothing else is told."""
    ages = {
        "exterior": np.arange(5, 1500, 33.3),
        "wrist": np.arange(15, 1500, 33.3),
        "joints": np.arange(2, 1500, 10),
        "pose": np.arange(4, 1500, 10),
    }
    topics = dict(zip(ages, TOPICS, strict=True))
    return {topics[n]: buffer_of(topics[n], ages_ms.get(n, ages[n])) for n in ages}


def lanes(robot, buffers):
    """The buffers of topics as those of each stream's topics."""
    return {(s.key, t): buffers[t] for s in robot.streams for t in s.topics if t in buffers}


def observed(buffers, robot=ROBOT, tolerances=SETTINGS):
    """The observation; fails with the gaps if there is none."""
    result = assemble(robot, lanes(robot, buffers), NOW_ROS, NOW, tolerances)
    assert isinstance(result, Observation), [str(gap) for gap in result]
    return result


def gaps(buffers, robot=ROBOT, tolerances=SETTINGS):
    """The gaps; fails if there are none."""
    result = assemble(robot, lanes(robot, buffers), NOW_ROS, NOW, tolerances)
    assert not isinstance(result, Observation)
    assert result
    return result


def ages_ms(samples):
    """How old samples are, as the tests count."""
    return [round((NOW_ROS - sample.stamp_ns) / MS, 1) for sample in samples]


def test_the_stamp_is_that_of_the_joint_state_nearest_to_the_newest_common_instant():
    """The wrist camera is last at 15 ms; the joint state of 12 ms is the nearest to it."""
    observation = observed(streams())
    assert observation.stamp_ns == NOW_ROS - 12 * MS
    np.testing.assert_allclose(observation.state["joint_position"][0, 0], 0.012, rtol=1e-5)
    np.testing.assert_allclose(observation.state["eef_9d"][0, 0], 0.014, rtol=1e-5)
    np.testing.assert_allclose(observation.state["gripper_position"], [[0.5]], rtol=1e-6)


def test_video_has_one_sample_per_delta_index_oldest_first():
    """Delta -15 at 15 Hz is the frame nearest to a second before the stamp."""
    observation = observed(streams())
    assert list(observation.video) == ["exterior_image_1_left", "wrist_image_left"]
    assert ages_ms(observation.video["exterior_image_1_left"]) == [1004.0, 5.0]
    assert ages_ms(observation.video["wrist_image_left"]) == [1014.0, 15.0]


def test_state_is_float32_of_time_and_width():
    """Every state key is (T, D) float32 in the file's order."""
    observation = observed(streams())
    assert {k: (v.shape, v.dtype.name) for k, v in observation.state.items()} == {
        "eef_9d": ((1, 9), "float32"),
        "gripper_position": ((1, 1), "float32"),
        "joint_position": ((1, 7), "float32"),
    }


def test_a_state_with_history_has_its_rows_oldest_first():
    """Delta indices mean the same for state as for video."""
    state = dict(VALID["state"])
    state["joint_position"] = dict(state["joint_position"], delta_indices=[-15, -3, 0])
    robot = parse(dict(VALID, state=state), "r.yaml")
    told = observed(streams(), robot).state["joint_position"][:, 0]
    np.testing.assert_allclose(told, [1.012, 0.212, 0.012], rtol=1e-4)


def test_the_anchor_is_the_state_of_most_commanded_joints():
    """A gripper on a topic of its own does not stamp the arm's observation."""
    assert anchor_stream(ROBOT).key == "joint_position"


def test_a_commanded_pose_stamps_the_observation_before_a_gripper():
    """The server undoes relative poses against the pose that is sent."""
    gripper, pose = replace(ROBOT.outputs[1]), SimpleNamespace(pose="eef_9d")
    assert anchor_stream(replace(ROBOT, outputs=(gripper,), poses=(pose,))).key == "eef_9d"
    assert anchor_stream(replace(ROBOT, outputs=(gripper,))).key == "gripper_position"


def test_a_topic_without_buffer_or_samples_is_a_gap_of_each_of_its_keys():
    """Both keys that need /joint_states are named, and nothing is filled in."""
    for buffers in (streams(joints=[]), streams()):
        if len(buffers[JOINTS]):
            del buffers[JOINTS]
        found = gaps(buffers)
        assert [str(gap) for gap in found] == [
            "gripper_position (/joint_states): nothing received yet",
            "joint_position (/joint_states): nothing received yet",
        ]
        assert {gap.age_ns for gap in found} == {None}


def test_a_stale_stream_is_named_with_topic_age_and_limit():
    """A camera whose newest frame is 300 ms old stops inference."""
    (gap,) = gaps(streams(wrist=np.arange(300, 1700, 33.3)))
    assert (gap.stream, gap.topic, gap.age_ns) == ("wrist_image_left", WRIST, 300 * MS)
    assert gap.reason == "nothing new received for 0.3 s, limit 0.2 s"


def test_an_old_stamp_is_a_gap_even_if_the_message_just_came():
    """A driver that stamps late or a clock that is off is told apart from silence."""
    buffers = streams()
    stamp_ns = NOW_ROS - 400 * MS
    buffers[JOINTS].clear()
    buffers[JOINTS].push(Sample(stamp_ns, NOW, content(JOINTS, stamp_ns)))
    assert {gap.reason for gap in gaps(buffers)} == {"stamp is 0.4 s old, limit 0.1 s"}


def test_silence_is_a_gap_even_if_the_ros_clock_stands_still():
    """Receive ages run on the plan clock: a frozen /clock hides no dead stream."""
    result = assemble(ROBOT, lanes(ROBOT, streams()), NOW_ROS, NOW + 250 * MS, SETTINGS)
    assert [gap.stream for gap in result] == [stream.key for stream in ROBOT.streams]
    assert "nothing new received for 0.255 s" in str(result[0])


@pytest.mark.parametrize(("ahead_ms", "refused"), [(30, False), (31, True)])
def test_a_stamp_from_the_future_is_a_gap_beyond_the_tolerance(ahead_ms, refused):
    """Clocks of two hosts may differ by 30 ms and no more."""
    buffers = streams(exterior=[-ahead_ms, *np.arange(5, 1500, 33.3)])
    if refused:
        (gap,) = gaps(buffers)
        assert gap.reason == "stamp is 0.031 s in the future, limit 0.03 s"
    else:
        observed(buffers)


def test_a_zero_stamp_is_told_as_such():
    """A publisher that sets no stamp is not 'very old'."""
    buffers = streams()
    buffers[POSE].clear()
    buffers[POSE].push(Sample(0, NOW, content(POSE, 0)))
    (gap,) = gaps(buffers)
    assert gap.reason == "stamp is zero, expected the time of measurement"


def test_a_cold_start_says_how_far_history_reaches():
    """For the first second there is no frame at -15 steps, and none is repeated in its place."""
    (gap,) = gaps(streams(exterior=np.arange(5, 420, 33.3)))
    assert gap.stream == "exterior_image_1_left"
    assert gap.reason == "history reaches back 0.393 s of 1 s"


def test_a_hole_in_history_is_a_gap():
    """Frames at 1.4 s and at 0.5 s are no frame of a second ago."""
    (gap,) = gaps(streams(wrist=[*np.arange(15, 500, 33.3), 1400]))
    assert (
        gap.reason == "history has nothing within 0.0667 s of 1 s ago, the nearest is 0.388 s off"
    )


def test_streams_too_far_apart_are_a_gap_with_the_skew_and_its_limit():
    """A pose of 90 ms ago does not go with the joints of the camera's instant."""
    tolerances = ObservationSettings(200 * MS, 50 * MS, 20 * MS, skew_periods=0.5)
    buffers = streams(joints=[60, 5], exterior=[40, 1040], wrist=[40, 1040], pose=[5, 90])
    (gap,) = gaps(buffers, tolerances=tolerances)
    assert gap.stream == "eef_9d"
    assert gap.reason == "0.03 s apart from the joint state that is sent, limit 0.02 s"


def test_skew_and_age_limits_follow_the_slower_stream_s_declared_rate():
    """max(50 ms, 1.5 periods) and the larger of max age and 3 periods: control.md 3."""
    wrist, arm = ROBOT.video[1], ROBOT.state[2]
    assert SETTINGS.max_skew_ns(wrist, arm) == 50 * MS
    assert SETTINGS.max_age_ns(wrist) == 200 * MS
    assert SETTINGS.max_age_ns(arm) == 99_999_999
    slow = dict(VALID["state"]["joint_position"], rate_hz=10)
    robot = parse(dict(VALID, state=dict(VALID["state"], joint_position=slow)), "r.yaml")
    assert SETTINGS.max_skew_ns(wrist, robot.state[2]) == 150 * MS
    assert SETTINGS.max_age_ns(robot.state[2]) == 300 * MS


def test_content_that_cannot_be_encoded_is_a_gap_with_its_reason():
    """A NaN joint stops the observation and is named; the others are still told."""
    buffers = streams()
    broken = JointReading(ROBOT.outputs[0].names, np.array([0, 0, np.nan, 0, 0, 0, 0]))
    buffers[JOINTS].clear()
    buffers[JOINTS].push(Sample(NOW_ROS - 12 * MS, NOW - 12 * MS, broken))
    by_stream = {gap.stream: gap.reason for gap in gaps(buffers)}
    assert by_stream["joint_position"] == "joints not finite: fr3_joint3"
    assert by_stream["gripper_position"].startswith("joints missing: robotiq_85_left_knuckle")


def ticking(first, period, dropped):
    """Ages of a stream at a fixed rate that lost some messages."""
    ages = range(first, 2000, period)
    return [age for i, age in enumerate(ages) if i not in dropped]


TICKING = st.builds(
    ticking, st.integers(0, 40), st.integers(7, 70), st.sets(st.integers(0, 40), max_size=12)
)
AGES = TICKING | st.lists(st.integers(-60, 2000), max_size=25, unique=True)


@settings(max_examples=examples(300), deadline=None)
@given(st.one_of(st.tuples(*[TICKING] * 4), st.tuples(*[AGES] * 4)))
def test_samples_are_those_that_brute_force_picks(drawn):
    """Stamp, samples and gaps equal their definitions over plain lists of ages."""
    # a quarter of a millisecond keeps ties between neighbours away from rounding
    ages = {t: [age + 0.25 for age in a] for t, a in zip(TOPICS, drawn, strict=True)}
    buffers = {t: buffer_of(t, a) for t, a in ages.items()}
    result = assemble(ROBOT, lanes(ROBOT, buffers), NOW_ROS, NOW, SETTINGS)
    late = {
        s.key
        for s in ROBOT.streams
        if not ages[s.topic] or not -30 <= min(ages[s.topic]) <= SETTINGS.max_age_ns(s) / MS
    }
    if late:
        assert {gap.stream for gap in result} == late
        return
    instant = max(min(a) for a in ages.values())
    stamp = min(ages[JOINTS], key=lambda a: (abs(a - instant), -a))
    wrong, picked = set(), {}
    for stream in ROBOT.streams:
        picked[stream.key] = []
        for delta in stream.delta_indices:
            wanted = stamp - delta * ROBOT.step_ns / MS
            best = min(ages[stream.topic], key=lambda a: (abs(a - wanted), -a))
            if abs(best - wanted) > (33.333333 + 33.333333 if delta else 50):
                wrong.add(stream.key)
            picked[stream.key].append(best)
    if wrong:
        assert {gap.stream for gap in result} == wrong
        return
    assert result.stamp_ns == NOW_ROS - stamp * MS
    for key, samples in result.video.items():
        assert [(NOW_ROS - s.stamp_ns) / MS for s in samples] == picked[key]
    told = [result.state["joint_position"][0, 0], result.state["eef_9d"][0, 0]]
    np.testing.assert_allclose(told, [stamp / 1e3, picked["eef_9d"][0] / 1e3], atol=1e-6)


def two_handed(left_ages_ms, right_ages_ms, tolerances=SETTINGS):
    """The observation, or gaps, of a robot whose arm's joints come on two topics."""
    names = ROBOT.outputs[0].names
    arm = replace(ROBOT.state[2], topic="/left", more_topics=("/right",), rate_hz=100.0)
    pad = StateStream("pad", "constant", values=(7.0,), delta_indices=(-1, 0))
    robot = replace(ROBOT, video=(), state=(pad, arm))
    buffers = {}
    for topic, ages_ms, joints in (
        ("/left", left_ages_ms, names[:3]),
        ("/right", right_ages_ms, names[3:]),
    ):
        buffers[topic] = StampedBuffer(10_000 * MS, 1000)
        for age_ms in sorted(ages_ms, reverse=True):
            reading = JointReading(joints, np.full(len(joints), age_ms / 1e3))
            age_ns = round(age_ms * MS)
            buffers[topic].push(Sample(NOW_ROS - age_ns, NOW - age_ns, reading))
    return assemble(robot, lanes(robot, buffers), NOW_ROS, NOW, tolerances)


def test_joints_of_two_topics_are_of_one_instant_and_stamped_by_the_older():
    """Each topic gives its sample nearest to the instant that both have reached."""
    observation = two_handed((2, 12, 22, 32), (21, 31))
    np.testing.assert_allclose(observation.state["joint_position"], [[0.022] * 3 + [0.021] * 4])
    assert observation.stamp_ns == NOW_ROS - 22 * MS
    assert list(observation.state) == ["pad", "joint_position"]
    np.testing.assert_array_equal(observation.state["pad"], [[7.0], [7.0]])


def test_one_late_topic_of_two_makes_the_group_late():
    """Each topic has an age of its own; the gap names the one that is late, or never came."""
    (gap,) = two_handed((2, 12), (400,))
    assert (gap.stream, gap.topic) == ("joint_position", "/right")
    assert "0.4 s" in gap.reason
    (gap,) = two_handed((), (2,))
    assert (gap.topic, gap.reason) == ("/left", "nothing received yet")


def test_two_topics_that_are_too_far_apart_are_skewed():
    """Both fresh enough, yet no one instant: the second is named with the distance."""
    (gap,) = two_handed((2,), (40,), replace(SETTINGS, skew_ns=5 * MS, skew_periods=0.1))
    assert gap.topic == "/left"
    assert (gap.apart_ns, gap.allowed_ns) == (38 * MS, 5 * MS)


def test_a_pose_from_kinematics_stamps_no_observation_where_the_joints_themselves_are_sent():
    """Both are of the same joints; relative actions are undone against the joints that are sent."""
    eef = {**CHAINED["state"]["eef_9d"], "topic": "/other_joint_states"}
    robot = parse(dict(CHAINED, state=dict(CHAINED["state"], eef_9d=eef)), "r.yaml")
    assert robot.state[0].source == "kinematics"
    assert anchor_stream(robot).key == "joint_position"
    alone = {key: CHAINED["state"][key] for key in ("gripper_position", "eef_9d")}
    assert anchor_stream(parse(dict(CHAINED, state=alone), "r.yaml")).key == "eef_9d"
