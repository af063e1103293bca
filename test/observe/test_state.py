"""State encoding: joints by name, poses as the DROID checkpoints were trained on them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from laws import examples
from pose_robot import with_pose
from scipy.spatial.transform import Rotation

from gr00t_ros.errors import ObservationError
from gr00t_ros.observe.readings import ImuReading, JointReading, PoseReading, encode, merge, select
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.streams import StateStream

EEF, GRIPPER, ARM = parse(with_pose(), "franka_droid.yaml").state
KNUCKLE = GRIPPER.names[0]
UNIT = st.floats(-1.0, 1.0)


def joints(**position):
    """A reading of these joints, in this order."""
    return JointReading(tuple(position), np.array(list(position.values()), dtype=np.float64))


def pose(position=(0.0, 0.0, 0.0), quaternion=(0.0, 0.0, 0.0, 1.0), frame_id="fr3_link0"):
    """A pose reading, the identity unless told."""
    return PoseReading(np.array(position), np.array(quaternion), frame_id)


def turned(vector, quaternion):
    """A vector turned by a unit quaternion: v + 2 u x (u x v + w v), u its vector part."""
    u, w = np.array(quaternion[:3]), quaternion[3]
    return vector + 2.0 * np.cross(u, np.cross(u, vector) + w * vector)


@given(st.permutations(range(7)))
def test_joints_are_matched_by_name_in_any_order(order):
    """However a driver orders its joints, the server gets joint1 to joint7."""
    reading = joints(**{ARM.names[i]: 0.1 * i for i in order}, finger=9.0)
    row = encode(ARM, reading)
    assert row.dtype == np.float32
    np.testing.assert_allclose(row, 0.1 * np.arange(7), rtol=1e-6)


def test_missing_joints_are_named_with_what_the_message_has():
    """A driver with other names is told apart from a silent one."""
    with pytest.raises(ObservationError, match=r"missing: b, c; the message has: a, panda_joint1"):
        select(("a", "b", "c"), joints(a=0.0, panda_joint1=1.0))


def test_a_joint_named_twice_is_refused_only_where_it_is_asked_for():
    """Two positions of one joint cannot both be true; other joints do not care."""
    reading = JointReading(("a", "b", "a"), np.array([0.0, 1.0, 2.0]))
    with pytest.raises(ObservationError, match="twice: a"):
        select(("a", "b"), reading)
    np.testing.assert_array_equal(select(("b",), reading), [1.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_positions_that_are_not_finite_are_named(bad):
    """NaN never reaches the server, which would return NaN actions."""
    with pytest.raises(ObservationError, match="not finite: b"):
        select(("a", "b"), joints(a=0.0, b=bad))


def test_a_position_beyond_float32_is_refused():
    """A finite double that float32 would turn into infinity is refused too."""
    stream = StateStream("x", "joints", "/joint_states", ("a",))
    with pytest.raises(ObservationError, match="more than float32 holds"):
        encode(stream, joints(a=1e300))


def test_names_without_positions_are_refused():
    """A JointState with fewer positions than names says nothing reliable."""
    with pytest.raises(ObservationError, match="got 2 joint names and 1 positions"):
        select(("a",), JointReading(("a", "b"), np.array([0.0])))


@pytest.mark.parametrize(
    ("q_rad", "sent"), [(0.0, 0.0), (0.8, 1.0), (0.4, 0.5), (-0.02, 0.0), (0.83, 1.0)]
)
def test_the_gripper_is_sent_as_nought_to_one_and_noise_at_the_ends_is_clipped(q_rad, sent):
    """(q - lo) / (hi - lo), clipped within five percent."""
    np.testing.assert_allclose(encode(GRIPPER, joints(**{KNUCKLE: q_rad})), [sent], rtol=1e-6)


@pytest.mark.parametrize("q", [-0.05, 0.9, 85.0])
def test_a_scaled_value_far_outside_is_refused_as_the_wrong_unit(q):
    """Millimetres in place of radians are named, not clipped to closed."""
    with pytest.raises(ObservationError, match=f"{KNUCKLE} at .* wrong unit, joint or scale"):
        encode(GRIPPER, joints(**{KNUCKLE: q}))


def test_the_identity_pose_gives_the_first_two_rows_of_the_rotation_of_the_file():
    """R = 1, so rot6d is rows one and two of DROID's correction matrix."""
    row = encode(EEF, pose((0.3, -0.1, 0.5)))
    assert row.dtype == np.float32
    np.testing.assert_allclose(row, [0.3, -0.1, 0.5, 0, 0, -1, -1, 0, 0], atol=1e-7)


def test_a_quarter_turn_about_z_gives_rows_not_columns():
    """R_z(90 deg) x M by hand: rows (1, 0, 0) and (0, 0, -1)."""
    half = np.sqrt(0.5)
    row = encode(EEF, pose(quaternion=(0.0, 0.0, half, half)))
    np.testing.assert_allclose(row[3:], [1, 0, 0, 0, 0, -1], atol=1e-7)


@settings(max_examples=examples(200), deadline=None)
@given(st.tuples(UNIT, UNIT, UNIT, UNIT))
def test_rot6d_turns_the_axes_as_the_quaternion_does(components):
    """Column k of R x M is column k of M turned by the quaternion; the first two rows are sent."""
    norm = np.linalg.norm(components)
    assume(norm > 0.1)
    quaternion = np.array(components) / norm
    columns = [turned(column, quaternion) for column in np.array(EEF.rotate).T]
    row = encode(EEF, pose(quaternion=quaternion))
    np.testing.assert_allclose(row[3:], np.stack(columns, axis=1)[:2].ravel(), atol=1e-6)


@settings(max_examples=examples(50), deadline=None)
@given(st.tuples(UNIT, UNIT, UNIT, UNIT))
def test_rot6d_agrees_with_scipy(components):
    """The rotation matrix is the one that scipy makes of the same x, y, z, w."""
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    assume(np.linalg.norm(components) > 0.1)
    unit = np.array(components) / np.linalg.norm(components)
    matrix = rotation.from_quat(unit).as_matrix() @ np.array(EEF.rotate)
    np.testing.assert_allclose(
        encode(EEF, pose(quaternion=unit))[3:], matrix[:2].ravel(), atol=1e-6
    )


@pytest.mark.parametrize(
    ("reading", "named"),
    [
        (pose(quaternion=(0.0, 0.0, 0.0, 0.0)), "quaternion of norm 0, expected 1"),
        (pose(quaternion=(0.0, 0.0, 0.0, 1.05)), "quaternion of norm 1.05"),
        (pose(position=(np.nan, 0.0, 0.0)), "not finite"),
        (pose(quaternion=(0.0, 0.0, np.inf, 1.0)), "expected a quaternion: finite"),
        (pose(frame_id="camera"), "in frame 'camera', expected 'fr3_link0'"),
        (joints(fr3_joint1=0.0), "got a JointReading, expected pose"),
        ("text", "got a str, expected pose"),
    ],
)
def test_a_pose_that_says_nothing_reliable_is_refused(reading, named):
    """An unset quaternion, NaN, another frame or another kind of message is named."""
    with pytest.raises(ObservationError, match=named):
        encode(EEF, reading)


def test_a_quaternion_a_little_off_unit_length_is_normalised():
    """Float32 tf and filters leave norms off by less than a percent."""
    np.testing.assert_allclose(
        encode(EEF, pose(quaternion=(0.0, 0.0, 0.0, 1.005))), encode(EEF, pose()), atol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("xyz_quaternion", lambda turn: turn.as_quat(canonical=True)),
        ("xyz_axis_angle", lambda turn: turn.as_rotvec()),
        ("xyz_rot6d_rows", lambda turn: turn.as_matrix()[:2].ravel()),
    ],
)
@pytest.mark.parametrize("source", ["pose", "tf"])
def test_a_pose_is_encoded_as_the_file_says(name, expected, source):
    """Position and R x rotate in each encoding, as scipy has it; columns pick from them."""
    quaternion = Rotation.from_euler("xyz", [0.4, -1.1, 2.5]).as_quat()
    turn = Rotation.from_quat(quaternion) * Rotation.from_matrix(EEF.rotate)
    stream = replace(EEF, source=source, encode=name)
    row = encode(stream, pose((0.3, -0.1, 0.5), -quaternion))
    np.testing.assert_allclose(row, [0.3, -0.1, 0.5, *expected(turn)], atol=1e-6)
    assert row.shape == (stream.width,)
    some = replace(stream, columns=(5, 0))
    np.testing.assert_array_equal(encode(some, pose((0.3, -0.1, 0.5), quaternion)), row[[5, 0]])


def test_an_orientation_is_sent_by_the_name_that_the_file_says():
    """Just beyond half a turn about x: the shorter axis-angle has another sign, so has w."""
    beyond = Rotation.from_rotvec([np.pi + 0.1, 0.0, 0.0]).as_quat()
    stream = replace(EEF, rotate=None, encode="xyz_axis_angle", columns=(3,))
    assert encode(stream, pose(quaternion=beyond))[0] < -3.0
    near = replace(stream, near=(3.0, 0.0, 0.0))
    np.testing.assert_allclose(encode(near, pose(quaternion=beyond)), [np.pi + 0.1], rtol=1e-6)
    signed = replace(stream, encode="xyz_quaternion", near=(1.0, 0.0, 0.0, 0.0))
    assert encode(signed, pose(quaternion=-beyond))[0] > 0.99


IMU = StateStream("down", "imu", "/imu", encode="projected_gravity", frame="pelvis")


@given(st.tuples(UNIT, UNIT, UNIT, UNIT))
def test_gravity_is_where_down_is_to_the_sensor(components):
    """The world's (0, 0, -1) turned back by the Imu's orientation, of unit length."""
    assume(np.linalg.norm(components) > 0.1)
    unit = np.array(components) / np.linalg.norm(components)
    row = encode(IMU, ImuReading(unit, "pelvis"))
    expected = Rotation.from_quat(unit).inv().apply([0.0, 0.0, -1.0])
    np.testing.assert_allclose(row, expected, atol=1e-6)


def test_a_robot_that_leans_forward_has_gravity_in_front():
    """Pitched by 90 degrees about y, x points down."""
    half = np.sqrt(0.5)
    row = encode(IMU, ImuReading(np.array([0.0, half, 0.0, half]), "pelvis"))
    np.testing.assert_allclose(row, [1.0, 0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    ("reading", "named"),
    [
        (ImuReading(np.array([0, 0, 0, 1.0]), "torso"), "'torso', expected 'pelvis'"),
        (ImuReading(np.zeros(4), "pelvis"), "quaternion of norm 0"),
        (ImuReading(np.array([np.nan, 0, 0, 1.0]), "pelvis"), "down: orientation: got .*nan"),
        (pose(), "got a PoseReading, expected imu"),
    ],
)
def test_an_imu_that_says_nothing_reliable_is_refused(reading, named):
    """Another sensor, an orientation that was never filled in, NaN."""
    with pytest.raises(ObservationError, match=named):
        encode(IMU, reading)


def test_a_constant_is_sent_as_it_is():
    """Dimensions that a data set has and the robot does not."""
    stream = StateStream("pad", "constant", values=(0.0, 1.5))
    np.testing.assert_array_equal(encode(stream, None), [0.0, 1.5])


def test_two_joint_states_are_one_group():
    """Joints of either are found by name; velocities only where both have them."""
    left = JointReading(("l", "both"), np.array([1.0, 2.0]), np.array([0.1, 0.2]))
    right = JointReading(("r", "both"), np.array([3.0, 4.0]))
    merged = merge([left, right])
    np.testing.assert_array_equal(select(("r", "l"), merged), [3.0, 1.0])
    assert merged.velocity is None and len(merge([left, left]).velocity) == 4
    with pytest.raises(ObservationError, match="twice: both"):
        select(("both",), merged)


def test_a_joint_state_of_fewer_positions_shifts_no_other_ones_joints():
    """One short message would give every joint behind it its neighbour's position."""
    short, good = JointReading(("a", "b"), np.array([1.0])), joints(c=3.0)
    with pytest.raises(ObservationError, match="2 joint names and 1 positions"):
        merge([short, good])
