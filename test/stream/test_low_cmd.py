"""LowCmd has the right fields and checksum, and only a release lowers the weight of the arms."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr00t_ros.errors import SettingsError
from gr00t_ros.stream.unitree import ARM_SDK_JOINTS, RAMP_NS, ArmCommand, ArmWeight, Gains, checksum

MS = 1_000_000
ELBOW_AND_WAIST = ("right_elbow_joint", "waist_yaw_joint")


def gains(count, kp=60.0, kd=1.5):
    """The same gains for all joints."""
    return Gains(np.full(count, kp), np.full(count, kd))


def bit_by_bit(data):
    """CRC-32/MPEG-2 from its definition: divide by 0x104C11DB7, 32-bit words from the top."""
    remainder = 0xFFFFFFFF
    for (word,) in struct.iter_unpack("<I", data):
        for bit in range(31, -1, -1):
            out = (remainder >> 31) ^ (word >> bit & 1)
            remainder = (remainder << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if out else 0)
    return remainder


def test_the_checksum_of_known_words_is_what_the_catalogue_says():
    """CRC-32/MPEG-2 of four zero bytes is 0xC704DD7B, and a word is read from its top."""
    assert checksum(b"") == 0xFFFFFFFF
    assert checksum(bytes(4)) == 0xC704DD7B
    assert checksum(b"4321" + b"8765") == bit_by_bit(b"43218765")
    assert checksum(b"4321") != checksum(b"1234")


@settings(max_examples=50)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=60))
def test_the_checksum_is_that_of_its_definition(words):
    """The way through zlib gives the same as dividing bit by bit."""
    data = struct.pack(f"<{len(words)}I", *words)
    assert checksum(data) == bit_by_bit(data)


def test_the_fields_lie_where_the_c_structure_has_them():
    """mode_pr, mode_machine, 2 empty, 35 motors of 28 bytes, 4 words: 250 words before the crc."""
    command = ArmCommand(ELBOW_AND_WAIST, Gains(np.array([80.0, 240.0]), np.array([3.0, 6.0])))
    fields, crc = command.fields(np.array([0.5, -0.25]), 0.75)
    data = fields.tobytes()
    assert len(data) == 1000
    motors = [struct.unpack_from("<B3x5fI", data, 4 + 28 * i) for i in range(35)]
    expected = {25: (0, 0.5, 0, 0, 80, 3, 0), 12: (0, -0.25, 0, 0, 240, 6, 0)}
    expected[29] = (0, 0.75, 0, 0, 0, 0, 0)
    for index, motor in enumerate(motors):
        assert motor == expected.get(index, (0,) * 7), index
    assert data[:4] == bytes(4) and data[-16:] == bytes(16)
    assert crc == bit_by_bit(data)


def test_joints_are_motors_12_to_28_in_the_order_of_the_urdf():
    """A wrong index would be another joint's motion."""
    command = ArmCommand(ARM_SDK_JOINTS, gains(17))
    fields, _ = command.fields(np.arange(1.0, 18.0), 0.0)
    assert fields["motor_cmd"]["q"].tolist() == [0.0] * 12 + list(range(1, 18)) + [0.0] * 6
    assert ARM_SDK_JOINTS[0] == "waist_yaw_joint"  # motor 12
    assert ARM_SDK_JOINTS[3] == "left_shoulder_pitch_joint"  # motor 15
    assert ARM_SDK_JOINTS[13] == "right_elbow_joint"  # motor 25
    assert ARM_SDK_JOINTS[16] == "right_wrist_yaw_joint"  # motor 28


@pytest.mark.parametrize(
    ("joints", "kp", "kd", "named"),
    [
        (("left_knee_joint",), [60.0], [1.5], "left_knee_joint"),
        (("left_elbow_joint",), [60.0, 60.0], [1.5], "stiffness"),
        (("left_elbow_joint",), [60.0], [0.0], "damping"),
        (("left_elbow_joint",), [float("nan")], [1.5], "stiffness"),
    ],
)
def test_legs_and_gains_that_do_not_fit_are_refused(joints, kp, kd, named):
    """Each would be a motor that moves otherwise than meant."""
    with pytest.raises(SettingsError, match=named):
        ArmCommand(joints, Gains(np.array(kp), np.array(kd)))


@pytest.mark.parametrize(("position", "weight"), [(np.nan, 1.0), (0.0, 1.1), (0.0, np.nan)])
def test_a_position_or_weight_that_is_no_command_is_not_made(position, weight):
    """Nothing of it reaches a motor."""
    command = ArmCommand(("left_elbow_joint",), gains(1))
    with pytest.raises(ValueError, match="expected finite"):
        command.fields(np.array([position]), weight)


def ramp(weight, start_ns, duration_ns, tick_ns=5 * MS):
    """The weights of the ticks after start_ns."""
    return [weight.at(t) for t in range(start_ns, start_ns + duration_ns + 1, tick_ns)]


def test_the_weight_rises_over_two_seconds_and_stays():
    """0 before it is taken, linear for 2 s, then 1 however long nobody sends anything."""
    weight = ArmWeight()
    assert weight.at(5 * MS) == 0.0 and weight.released
    weight.take(10 * MS)
    rising = ramp(weight, 10 * MS, RAMP_NS)
    np.testing.assert_allclose(rising, np.linspace(0.0, 1.0, len(rising)), atol=1e-9)
    assert set(ramp(weight, 3000 * MS, 60_000 * MS)) == {1.0}
    assert weight.full and not weight.released


def test_the_weight_falls_over_two_seconds_after_a_release_and_never_rises_again():
    """A release is final: who takes the arms again starts anew."""
    weight = ArmWeight()
    weight.take(0)
    ramp(weight, 0, RAMP_NS)
    weight.release(RAMP_NS)
    falling = ramp(weight, RAMP_NS, RAMP_NS)
    np.testing.assert_allclose(falling, np.linspace(1.0, 0.0, len(falling)), atol=1e-9)
    weight.take(3 * RAMP_NS)
    assert weight.at(5 * RAMP_NS) == 0.0 and weight.released


def test_a_sender_that_follows_a_killed_one_begins_with_the_weight_that_it_left():
    """From 0 the arms would fall until the ramp has brought them back."""
    weight = ArmWeight(1.0)
    assert weight.released and not weight.full, "not taken yet"
    weight.take(0)
    assert set(ramp(weight, 0, RAMP_NS)) == {1.0} and weight.full
    untouched = ArmWeight(1.0)
    untouched.release(0)
    assert ramp(untouched, 0, RAMP_NS)[-1] == 1.0, "what was never taken is not let go"


def test_a_release_on_the_way_up_goes_down_from_there():
    """No step to 1 and none to 0."""
    weight = ArmWeight()
    weight.take(0)
    half = ramp(weight, 0, RAMP_NS // 2)[-1]
    weight.release(RAMP_NS // 2)
    falling = ramp(weight, RAMP_NS // 2, RAMP_NS // 2)
    assert half == pytest.approx(0.5)
    np.testing.assert_allclose(falling, np.linspace(0.5, 0.0, len(falling)), atol=1e-9)


@given(st.lists(st.integers(-500, 5000), min_size=1, max_size=60), st.integers(0, 60))
def test_whatever_the_clock_does_the_weight_takes_small_steps_and_only_a_release_lowers_it(
    gaps_ms, released_at
):
    """A process that slept for a second, and a clock that runs back, are no jump of the arms."""
    weight, now_ns, before = ArmWeight(), 0, 0.0
    weight.take(0)
    for count, gap_ms in enumerate(gaps_ms):
        now_ns += gap_ms * MS
        if count == released_at:
            weight.release(now_ns)
        now = weight.at(now_ns)
        assert 0.0 <= now <= 1.0
        assert abs(now - before) <= 0.025 + 1e-12
        assert now >= before if count < released_at else now <= before
        before = now
