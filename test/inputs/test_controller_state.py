"""A controller state is read into the reference and the feedback of its joints, by name."""

import struct
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from rclpy.serialization import deserialize_message, serialize_message
from trajectory_msgs.msg import JointTrajectoryPoint

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs.cdr import BODY, Reader
from gr00t_ros.inputs.controller_state import (
    STATE_TYPES,
    ControllerStateReader,
    controller_state,
)
from gr00t_ros.msg import ControllerState


def _state(reference=(0.5, 1.5), feedback=(0.25, 1.25), velocities=()):
    message = ControllerState(joint_names=["b", "a"], speed_scaling_factor=0.5)
    message.header.stamp.sec, message.header.stamp.nanosec = 3, 4
    message.reference = JointTrajectoryPoint(positions=reference)
    message.feedback = JointTrajectoryPoint(positions=feedback, velocities=velocities)
    return message


def test_our_own_type_is_always_listened_to():
    """The simulator publishes it where control_msgs is not installed."""
    assert ControllerState in STATE_TYPES


def test_reference_and_feedback_are_read_by_name():
    """Names, positions, velocities where there are any, and the speed scaling."""
    stamp_ns, reading = controller_state(_state(velocities=(0.1, 0.2)))
    assert stamp_ns == 3_000_000_004
    assert reading.reference.names == ("b", "a")
    assert reading.reference.position.tolist() == [0.5, 1.5]
    assert reading.reference.velocity is None
    assert reading.feedback.velocity.tolist() == [0.1, 0.2]
    assert reading.speed_scaling == 0.5


def test_a_controller_without_speed_scaling_runs_at_full_speed():
    """control_msgs before the field existed."""
    message = _state()
    older = types.SimpleNamespace(
        **{name: getattr(message, name) for name in ("header", "joint_names")},
        reference=message.reference,
        feedback=message.feedback,
    )
    assert controller_state(older)[1].speed_scaling == 1.0


@pytest.mark.parametrize("field", ["reference", "feedback"])
def test_another_number_of_positions_than_joints_is_refused(field):
    """A held position that cannot be told by joint is none."""
    with pytest.raises(ObservationError, match=f"{field} has 1 positions for 2 joints"):
        controller_state(_state(**{field: (1.0,)}))


def random_state(seed, joints, having, frame=""):
    """A state of random numbers; `having`: which fields of points are there."""
    rng = np.random.default_rng(seed)
    message = ControllerState(joint_names=[f"joint_{'x' * i}" for i in range(joints)])
    message.header.stamp.sec, message.header.stamp.nanosec = rng.integers(0, 10**9, 2).tolist()
    message.header.frame_id, message.speed_scaling_factor = frame, rng.normal()
    for name, bits in zip(("reference", "feedback", "error", "output"), having, strict=True):
        fields = {"positions": True, "velocities": bits & 1, "accelerations": bits & 2}
        fields["effort"] = bits & 4
        point = {
            f: rng.normal(size=joints).tolist() if there else [] for f, there in fields.items()
        }
        setattr(message, name, JointTrajectoryPoint(**point))
    return message


def as_numbers(found):
    """All of a reading, to compare."""
    stamp_ns, reading = found
    of_joints = [
        (
            tuple(one.names),
            one.position.tolist(),
            None if one.velocity is None else list(one.velocity),
        )
        for one in (reading.reference, reading.feedback)
    ]
    return stamp_ns, of_joints, reading.speed_scaling


class Subscription:
    """What PulledSubscription has for its readers; `parsed` are the bytes that rclpy read."""

    message_type = ControllerState

    def __init__(self, read=lambda raw: deserialize_message(raw, ControllerState)):
        self.parsed, self._read = [], read

    def parse(self, raw):
        """Note it."""
        self.parsed.append(raw)
        return self._read(raw)


@given(
    st.lists(
        st.tuples(
            *(st.integers(0, 2**31), st.integers(1, 4)),
            st.tuples(*[st.integers(0, 7)] * 4),
            st.sampled_from(["", "base", "w"]),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=examples(30), deadline=None)
def test_any_succession_of_states_is_read_as_rclpy_reads_it(made):
    """One reader for all: numbers of known layouts from the bytes, the rest by rclpy."""
    topic = Subscription()
    read, parsed = ControllerStateReader(topic), topic.parsed
    for seed, *shape in made:
        for again in (seed, seed + 1):  # the second one has the first one's layout
            message, before = random_state(again, *shape), len(parsed)
            assert as_numbers(read(serialize_message(message))) == as_numbers(
                controller_state(message)
            )
        assert len(parsed) == before, "the second one was not parsed"


def test_as_many_bytes_of_other_joints_or_fields_are_not_confused():
    """Names of the same length; positions of the feedback instead of its velocities."""
    read = ControllerStateReader(Subscription())
    first = random_state(1, 3, (1, 0, 0, 0))
    assert as_numbers(read(serialize_message(first))) == as_numbers(controller_state(first))
    second = random_state(2, 3, (0, 1, 0, 0))
    assert len(serialize_message(second)) == len(serialize_message(first))
    assert as_numbers(read(serialize_message(second))) == as_numbers(controller_state(second))
    second.joint_names = [name.replace("joint", "other") for name in second.joint_names]
    assert as_numbers(read(serialize_message(second))) == as_numbers(controller_state(second))


def as_control_msgs_has_it(message, transforms=0):
    """The state's bytes and fields in control_msgs 5: joints of several degrees before the end."""
    raw = serialize_message(message)
    reader = Reader(raw, "state")
    reader.stamp_ns()
    reader.string("frame_id")
    reader.strings("joint_names")
    for _ in range(4):
        for _ in range(4):
            reader.doubles_at("point")
        reader.take(8, "time_from_start", 4)
    joint, numbers = struct.pack("<IIIiI", 0, 0, 0, 1, 2), bytearray(raw[: reader.at])
    numbers += struct.pack("<I", 0) + struct.pack("<IIIiI", transforms, 0, 0, 1, 2) + 3 * joint
    numbers += bytes((BODY - len(numbers)) % 8) + struct.pack("<d", message.speed_scaling_factor)
    fields = dict(ControllerState.get_fields_and_field_types())
    scaling = fields.pop("speed_scaling_factor")
    fields["multi_dof_joint_names"] = "sequence<string>"
    for field in ("reference", "feedback", "error", "output"):
        fields[f"multi_dof_{field}"] = "trajectory_msgs/MultiDOFJointTrajectoryPoint"
    return bytes(numbers), fields | {"speed_scaling_factor": scaling}


def of_control_msgs(message, fields):
    """The message with those fields."""
    known = {field: getattr(message, field) for field in message.get_fields_and_field_types()}
    return types.SimpleNamespace(get_fields_and_field_types=lambda: fields, **known)


@pytest.mark.parametrize("transforms", [0, 1])
def test_the_type_of_control_msgs_is_read_by_its_own_fields(transforms):
    """Also its speed scaling, which lies behind fields that our own type does not have."""
    topic = Subscription(lambda _raw: of_control_msgs(message, fields))
    read = ControllerStateReader(topic)
    for seed in (1, 2):
        message = random_state(seed, 3, (1, 1, 0, 0))
        raw, fields = as_control_msgs_has_it(message, transforms)
        assert as_numbers(read(raw)) == as_numbers(controller_state(message))
    assert len(topic.parsed) == (2 if transforms else 1), "with values of such joints it is parsed"


def test_after_a_change_of_the_type_a_layout_of_the_former_one_is_not_used():
    """The shorter type fits a longer message, whose speed scaling lies elsewhere."""
    message, topic = random_state(1, 3, (1, 1, 0, 0)), Subscription()
    read = ControllerStateReader(topic)
    read(serialize_message(message))
    raw, fields = as_control_msgs_has_it(message)
    topic.message_type, topic.parse = object, lambda _raw: of_control_msgs(message, fields)
    assert as_numbers(read(raw)) == as_numbers(read(raw)) == as_numbers(controller_state(message))


def test_the_bytes_between_the_fields_have_any_value():
    """They align numbers: a middleware may leave there what was in its buffer."""
    message, topic = random_state(1, 3, (1, 1, 1, 1)), Subscription()
    read, raw = ControllerStateReader(topic), bytearray(serialize_message(message))
    first = 4 + 8 + 4 + 1  # behind the frame's NUL
    for value in range(3):
        raw[first : first + 3] = bytes([value] * 3)
        assert as_numbers(read(bytes(raw))) == as_numbers(controller_state(message))
    assert len(topic.parsed) == 1


def test_what_rclpy_reads_otherwise_is_always_left_to_it():
    """A name without its NUL, which another writer may leave out, and a frame that is no UTF-8."""
    message = random_state(1, 2, (1, 1, 1, 1), frame="base")
    raw = serialize_message(message)
    for odd in (raw.replace(b"base", b"b\xffse"), raw.replace(b"joint_x\0", b"joint_xx")):
        topic = Subscription(lambda raw: deserialize_message(raw, ControllerState))
        read = ControllerStateReader(topic)
        expected = as_numbers(controller_state(deserialize_message(odd, ControllerState)))
        assert as_numbers(read(odd)) == as_numbers(read(odd)) == expected
        assert len(topic.parsed) == 2


@pytest.mark.parametrize("odd", ["shorter", "big endian"])
def test_what_is_no_message_of_the_known_layout_goes_to_rclpy(odd):
    """Its numbers are not read behind the end, nor in the wrong order of bytes."""
    topic = Subscription()
    message = random_state(1, 3, (1, 1, 1, 1))
    scaling = struct.pack("<d", message.speed_scaling_factor)  # the last field
    read, raw = ControllerStateReader(topic), serialize_message(message)
    read(raw)

    def refuse(_raw):
        raise ObservationError("not readable")

    topic.parse = refuse
    with pytest.raises(ObservationError, match="not readable"):
        read(raw[: raw.index(scaling) + 7] if odd == "shorter" else bytes([0, 0]) + raw[2:])


class Longer(ControllerState):
    """Stands for a message type with a field of a type that is not known here."""

    @classmethod
    def get_fields_and_field_types(cls):
        """Of a later control_msgs."""
        known = ControllerState.get_fields_and_field_types()
        return {"header": known["header"], "reason": "string", **known}


def test_a_type_with_an_unknown_field_is_always_parsed():
    """Where its numbers lie is not known."""
    message = random_state(1, 3, (1, 1, 1, 1))

    def parse(_raw):
        found = Longer()
        for field in ControllerState.get_fields_and_field_types():
            setattr(found, field, getattr(message, field))
        return found

    topic, raw = Subscription(parse), serialize_message(message)
    read = ControllerStateReader(topic)
    assert as_numbers(read(raw)) == as_numbers(read(raw)) == as_numbers(controller_state(message))
    assert len(topic.parsed) == 2
