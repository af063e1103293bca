"""inputs/cdr reads what rclpy serialises, and rejects truncated messages and wrong lengths."""

import struct

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image, Imu, JointState

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs import cdr

STAMP_NS = 12 * 10**9 + 345


def _stamped(message, frame="camera_optical_frame"):
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(STAMP_NS, 10**9)
    message.header.frame_id = frame
    return message


def _image(frame="cam", encoding="rgb8"):
    message = _stamped(Image(height=2, width=3, encoding=encoding, step=9), frame)
    message.data.frombytes(bytes(range(18)))
    return message


def _compressed():
    message = _stamped(CompressedImage(format="rgb8; jpeg compressed bgr8"))
    message.data.frombytes(b"\xff\xd8\xff payload")
    return message


def _joints(position=(0.5, -1.5), velocity=(0.25, 4.0)):
    message = JointState(name=["fr3_joint1", "é"], position=position, velocity=velocity)
    message.effort = [9.0, 9.0]
    return _stamped(message)


def _pose(frame="fr3_link0"):
    message = _stamped(PoseStamped(), frame)
    for index, (part, axis) in enumerate(
        [("position", a) for a in "xyz"] + [("orientation", a) for a in "xyzw"]
    ):
        setattr(getattr(message.pose, part), axis, index + 0.5)
    return message


def _imu(frame="pelvis"):
    message = _stamped(Imu(), frame)
    for index, axis in enumerate("xyzw"):
        setattr(message.orientation, axis, index + 0.5)
    message.orientation_covariance = [-1.0, *[7.0] * 8]
    return message


READERS = [
    (cdr.image, serialize_message(_image())),
    (cdr.compressed_image, serialize_message(_compressed())),
    (cdr.joint_state, serialize_message(_joints())),
    (cdr.pose_stamped, serialize_message(_pose())),
    (cdr.imu, serialize_message(_imu())),
]


@pytest.mark.parametrize("frame", ["", "a", "abcd", "camera_link"])
@pytest.mark.parametrize("encoding", ["rgb8", "bayer_rggb8"])
def test_an_image_reads_back_whatever_its_strings_do_to_the_alignment(frame, encoding):
    """Every field after a string of any length is found."""
    view = cdr.image(serialize_message(_image(frame, encoding)))
    assert (view.stamp_ns, view.height_px, view.width_px) == (STAMP_NS, 2, 3)
    assert (view.encoding, view.step, view.data.tobytes()) == (encoding, 9, bytes(range(18)))


def test_the_pixels_of_an_image_are_a_view_of_the_message():
    """No copy is made of the frame."""
    raw = serialize_message(_image())
    assert np.shares_memory(cdr.image(raw).data, np.frombuffer(raw, np.uint8))


def test_a_compressed_image_reads_back():
    """Format and payload are those that were sent."""
    view = cdr.compressed_image(serialize_message(_compressed()))
    assert view.stamp_ns == STAMP_NS
    assert view.format == "rgb8; jpeg compressed bgr8"
    assert view.data.tobytes() == b"\xff\xd8\xff payload"


@pytest.mark.parametrize("position", [(), (0.5, -1.5)])
@pytest.mark.parametrize("velocity", [(), (0.25, 4.0), (1.0,)])
def test_a_joint_state_reads_back_with_or_without_positions_and_velocities(position, velocity):
    """An empty sequence shifts nothing that follows it."""
    view = cdr.joint_state(serialize_message(_joints(position, velocity)))
    assert view.stamp_ns == STAMP_NS
    assert view.names == ("fr3_joint1", "é")
    assert (tuple(view.position), tuple(view.velocity)) == (position, velocity)


@pytest.mark.parametrize("frame", ["", "abc", "fr3_link0"])
def test_a_pose_reads_back(frame):
    """Position in metres and quaternion as x, y, z, w."""
    view = cdr.pose_stamped(serialize_message(_pose(frame)))
    assert (view.stamp_ns, view.frame_id) == (STAMP_NS, frame)
    assert view.position_m.tolist() == [0.5, 1.5, 2.5]
    assert view.quaternion_xyzw.tolist() == [3.5, 4.5, 5.5, 6.5]


def test_a_big_endian_message_is_read_by_rclpy():
    """Another byte order is no reason to refuse a robot."""
    frame = b"base\0"
    head = struct.pack(">iII", 12, 345, len(frame)) + frame
    raw = b"\0\0\0\0" + head.ljust(24, b"\0") + struct.pack(">7d", *range(7))
    view = cdr.pose_stamped(raw)
    assert (view.stamp_ns, view.frame_id) == (STAMP_NS, "base")
    assert view.position_m.tolist() == [0, 1, 2]
    assert view.quaternion_xyzw.tolist() == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("view_of", "message", "read"),
    [
        (cdr._image_of, _image(), cdr.image),
        (cdr._image_of, _stamped(Image()), cdr.image),
        (cdr._compressed_image_of, _compressed(), cdr.compressed_image),
        (cdr._joint_state_of, _joints(), cdr.joint_state),
        (cdr._joint_state_of, _joints((), ()), cdr.joint_state),
        (cdr._pose_stamped_of, _pose(), cdr.pose_stamped),
        (cdr._imu_of, _imu(), cdr.imu),
    ],
)
def test_the_view_of_a_message_object_equals_that_of_its_bytes(view_of, message, read):
    """The fallback and the fast path agree field by field."""
    slow, fast = view_of(message), read(serialize_message(message))
    for name in type(fast).__slots__:
        np.testing.assert_array_equal(getattr(slow, name), getattr(fast, name))


def test_every_truncation_is_an_observation_error():
    """Only the closing padding, and what is not read, may be missing: effort, an Imu's rates."""
    not_read = {cdr.joint_state: 4 + 8 + 2 * 8, cdr.imu: 2 * (3 + 9) * 8}
    for read, raw in READERS:
        unread = not_read.get(read, 3)
        for length in range(len(raw) - unread):
            with pytest.raises(ObservationError):
                read(raw[:length])


def test_a_lying_length_is_named_with_the_field_and_the_numbers():
    """A message that claims more pixels than it carries says so."""
    raw = bytearray(serialize_message(_image()))
    at = bytes(raw).index(struct.pack("<I", 18), 40)
    raw[at : at + 4] = struct.pack("<I", 2**32 - 1)
    with pytest.raises(ObservationError, match=r"Image: data needs 4294967295 bytes at byte"):
        cdr.image(bytes(raw))


def test_nanoseconds_of_more_than_a_second_are_refused():
    """A stamp that cannot be one is not turned into a time."""
    raw = bytearray(serialize_message(_image()))
    raw[8:12] = struct.pack("<I", 10**9)
    with pytest.raises(ObservationError, match="nanoseconds"):
        cdr.image(bytes(raw))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(READERS), st.data())
def test_mutated_bytes_read_or_raise_an_observation_error(reader, data):
    """Nothing but our own error leaves the reader, whichever bytes are changed."""
    read, raw = reader
    changed = bytearray(raw)
    for at, byte in data.draw(
        st.dictionaries(st.integers(2, len(raw) - 1), st.integers(0, 255), max_size=6)
    ).items():
        changed[at] = byte
    changed += data.draw(st.binary(max_size=9))
    try:
        read(bytes(changed[: data.draw(st.integers(0, len(changed)))]))
    except ObservationError as error:
        assert str(error)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([read for read, _ in READERS]), st.binary(max_size=120))
def test_random_bytes_behind_the_encapsulation_raise_nothing_else(read, body):
    """Bytes that were never a message are no danger."""
    try:
        read(b"\0\1\0\0" + body)
    except ObservationError as error:
        assert str(error)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([read for read, _ in READERS]), st.binary(max_size=60))
def test_random_bytes_that_go_to_rclpy_raise_nothing_else(read, raw):
    """An unknown encapsulation is rclpy's to refuse, and its refusal becomes ours."""
    if raw[:2] == b"\0\1":
        return
    try:
        read(raw)
    except ObservationError as error:
        assert any(kind in str(error) for kind in ("Image", "Joint", "Pose", "Imu"))


@pytest.mark.parametrize("frame", ["", "a", "pelvis_imu_link"])
def test_an_imu_reads_back(frame):
    """Its orientation and the number that says whether it has one, behind any frame."""
    view = cdr.imu(serialize_message(_imu(frame)))
    assert (view.stamp_ns, view.frame_id, view.orientation_variance) == (STAMP_NS, frame, -1.0)
    assert view.quaternion_xyzw.tolist() == [0.5, 1.5, 2.5, 3.5]


def test_names_that_are_known_are_read_as_if_they_were_not():
    """Whatever is cut off, and whoever sends other names in between."""
    whole, read = serialize_message(_joints()), cdr.JointStateMessage()
    other = serialize_message(JointState(name=["x"], position=[7.0]))
    for raw in (whole, other, whole, whole, *(whole[:length] for length in range(len(whole)))):
        try:
            expected = cdr.joint_state(raw)
        except ObservationError as error:
            with pytest.raises(ObservationError) as refused:
                read(raw)
            assert "JointState" in str(refused.value) and type(error) is type(refused.value)
            continue
        found = read(raw)
        assert (found.stamp_ns, found.names) == (expected.stamp_ns, expected.names)
        assert found.position.tolist() == expected.position.tolist()
        assert found.velocity.tolist() == expected.velocity.tolist()
