"""Each fault changes a stream as a broken sensor or network does, and in no other way."""

import functools
import math

import pytest
from geometry_msgs.msg import PoseStamped
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, JointState

from gr00t_ros.errors import SettingsError
from gr00t_ros.sim.relay import FaultyStream, TopicFault

SECOND = 1_000_000_000


@functools.cache  # two serializations differ in the bytes of their padding
def joints(stamp_s: int = 0) -> bytes:
    """A serialized state of joints a, b, c at 1, 2, 3 rad."""
    message = JointState(name=["a", "b", "c"], position=[1.0, 2.0, 3.0], velocity=[4.0, 5.0, 6.0])
    message.header.stamp.sec = stamp_s
    return bytes(serialize_message(message))


def picture() -> bytes:
    """A serialized rgb8 image of 4 x 2 pixels, none of them black."""
    message = Image(height=4, width=2, encoding="rgb8", step=6, data=bytes(range(1, 25)))
    return bytes(serialize_message(message))


def after(fault: TopicFault, message_type: type, data: bytes) -> object:
    """What comes out, decoded, when one message goes in under a fault."""
    stream = FaultyStream(message_type)
    stream.inject(fault)
    (out,) = stream.take(data, 0)
    return deserialize_message(out, message_type)


def test_without_a_fault_the_very_same_bytes_pass() -> None:
    """Nothing is decoded or copied."""
    data = joints()
    assert FaultyStream(JointState).take(data, 0)[0] is data


def test_a_stopped_stream_is_silent_until_the_fault_ends() -> None:
    """Stop takes the messages away, none brings them back."""
    stream = FaultyStream(JointState)
    stream.inject(TopicFault("stop"))
    assert stream.take(joints(), 0) == []
    stream.inject(TopicFault("none"))
    assert stream.take(joints(), 0) == [joints()]


def test_a_frozen_stream_repeats_its_last_message_at_the_same_rate() -> None:
    """Content and stamp stay, messages go on coming."""
    stream = FaultyStream(JointState)
    stream.take(joints(1), 0)
    stream.inject(TopicFault("freeze"))
    assert [stream.take(joints(s), 0) for s in (2, 3)] == [[joints(1)], [joints(1)]]


def test_a_stream_frozen_before_its_first_message_repeats_that_one() -> None:
    """There is nothing older to repeat."""
    stream = FaultyStream(JointState)
    stream.inject(TopicFault("freeze"))
    assert [stream.take(joints(s), 0) for s in (2, 3)] == [[joints(2)], [joints(2)]]


def test_a_delayed_stream_comes_late_and_in_order() -> None:
    """Each message is due its delay after its arrival."""
    stream = FaultyStream(JointState)
    stream.inject(TopicFault("delay", 0.5))
    assert stream.take(joints(1), 0) == []
    assert stream.take(joints(2), SECOND // 10) == []
    assert stream.due(SECOND // 2 - 1) == []
    assert stream.due(SECOND) == [joints(1), joints(2)]
    assert stream.due(2 * SECOND) == []


def test_a_black_image_keeps_its_shape() -> None:
    """Only the pixels go."""
    image = after(TopicFault("black"), Image, picture())
    assert (image.height, image.width, image.encoding) == (4, 2, "rgb8")
    assert bytes(image.data) == bytes(24)


def test_an_image_of_the_wrong_size_is_consistent_in_itself() -> None:
    """Half the rows, and the data to match."""
    image = after(TopicFault("wrong_size"), Image, picture())
    assert (image.height, image.width, len(image.data)) == (2, 2, 12)


def test_a_wrong_encoding_is_one_that_no_camera_here_has() -> None:
    """The name alone changes."""
    assert after(TopicFault("wrong_encoding"), Image, picture()).encoding == "32FC1"


def test_reordered_joints_say_the_same_in_another_order() -> None:
    """Whoever matches by name sees no difference."""
    message = after(TopicFault("reorder"), JointState, joints())
    assert dict(zip(message.name, message.position, strict=True)) == {"a": 1.0, "b": 2.0, "c": 3.0}
    assert dict(zip(message.name, message.velocity, strict=True)) == {"a": 4.0, "b": 5.0, "c": 6.0}
    assert message.name != ["a", "b", "c"]


def test_a_dropped_joint_is_missing_with_all_its_values() -> None:
    """The value is the joint's index."""
    message = after(TopicFault("drop_joint", 1.0), JointState, joints())
    assert message.name == ["a", "c"]
    assert list(message.position) == [1.0, 3.0]
    assert list(message.velocity) == [4.0, 6.0]


def test_nan_reaches_joint_states_and_poses() -> None:
    """One value that is no number is enough."""
    assert math.isnan(after(TopicFault("nan"), JointState, joints()).position[0])
    pose = bytes(serialize_message(PoseStamped()))
    assert math.isnan(after(TopicFault("nan"), PoseStamped, pose).pose.position.x)


@pytest.mark.parametrize(
    "fault",
    [
        TopicFault("black"),
        TopicFault("smoke"),
        TopicFault("delay", 0.0),
        TopicFault("delay", math.nan),
        TopicFault("drop_joint", 3.0),
    ],
    ids=lambda fault: f"{fault.name}_{fault.value}",
)
def test_a_fault_that_cannot_be_is_refused_and_the_stream_goes_on(fault: TopicFault) -> None:
    """A typo must not look like a passed fault test."""
    stream = FaultyStream(JointState)
    stream.take(joints(), 0)
    with pytest.raises(SettingsError, match=fault.name):
        stream.inject(fault)
    assert stream.take(joints(), 0) == [joints()]


def test_a_slow_stream_lets_at_most_one_message_pass_in_its_time() -> None:
    """As a driver whose rate has dropped."""
    stream = FaultyStream(JointState)
    stream.inject(TopicFault("slow", 0.5))
    passed = [bool(stream.take(joints(), round(t * SECOND))) for t in (1, 1.4, 1.5, 1.9, 2.1)]
    assert passed == [True, False, True, False, True]


def test_a_duplicated_name_leaves_the_positions() -> None:
    """Two positions under one name, and one joint without any."""
    message = after(TopicFault("duplicate"), JointState, joints())
    assert list(message.name) == ["a", "a", "c"]
    assert list(message.position) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("fault", "stamp_s"),
    [
        (TopicFault("zero_stamp"), 0),
        (TopicFault("shift_stamp", 5.0), 12),
        (TopicFault("shift_stamp", -9.0), 0),
    ],
)
def test_stamps_are_zeroed_or_shifted_never_below_zero(fault: TopicFault, stamp_s: int) -> None:
    """Only the stamp changes."""
    message = after(fault, JointState, joints(7))
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (stamp_s, 0)
    assert list(message.position) == [1.0, 2.0, 3.0]


def test_a_repeated_stream_has_the_last_content_under_each_new_stamp() -> None:
    """As a camera that hangs behind a driver that does not."""
    stream = FaultyStream(JointState)
    stream.take(bytes(serialize_message(JointState(name=["z"], position=[9.0]))), 0)
    stream.inject(TopicFault("repeat"))
    (out,) = stream.take(joints(3), 0)
    message = deserialize_message(out, JointState)
    assert (list(message.name), message.header.stamp.sec) == (["z"], 3)
