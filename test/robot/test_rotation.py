"""Rotations in four forms: round trips, and scipy's numbers, near 0 and pi too."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from laws import examples
from scipy.spatial.transform import Rotation

from gr00t_ros.errors import RotationError
from gr00t_ros.robot.rotation import (
    axis_angle_from_matrix,
    axis_angle_from_quaternion,
    axis_angle_near,
    matrix_from_axis_angle,
    matrix_from_quaternion,
    matrix_from_rot6d_rows,
    quaternion_from_axis_angle,
    quaternion_from_matrix,
    quaternion_near,
    rot6d_rows_from_matrix,
)

DROID = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
UNIT = st.floats(-1.0, 1.0)
# Every size of rotation: none, where sin(x) / x cancels, ordinary ones, pi and just beside it.
ANGLES = st.one_of(
    st.floats(0.0, np.pi),
    st.sampled_from([0.0, 1e-12, 1e-8, 1e-6, 1e-3, np.pi - 1e-3, np.pi - 1e-8, np.pi]),
)


@st.composite
def axis_angles(draw):
    """A rotation vector (3,), of length 0 to pi."""
    axis = np.array(draw(st.tuples(UNIT, UNIT, UNIT)))
    assume(np.linalg.norm(axis) > 1e-3)
    return axis / np.linalg.norm(axis) * draw(ANGLES)


def apart_rad(one, other):
    """The angle between two rotation matrices, from the sine: exact near 0."""
    between = one @ other.T
    skew = between - between.T
    return np.linalg.norm([skew[2, 1], skew[0, 2], skew[1, 0]]) / 2.0 + max(
        0.0, 1 - between.trace()
    )


@settings(max_examples=examples(200))
@given(axis_angles())
def test_every_form_is_what_scipy_makes_of_it(vector):
    """Four forms of one rotation are those of an independent implementation."""
    expected = Rotation.from_rotvec(vector)
    matrix, quaternion = matrix_from_axis_angle(vector), quaternion_from_axis_angle(vector)
    np.testing.assert_allclose(matrix, expected.as_matrix(), atol=1e-12)
    sign = np.sign(quaternion @ expected.as_quat())
    np.testing.assert_allclose(sign * quaternion, expected.as_quat(), atol=1e-12)
    np.testing.assert_allclose(matrix_from_quaternion(quaternion), matrix, atol=1e-12)


@settings(max_examples=examples(200))
@given(axis_angles())
def test_there_and_back_is_the_same_rotation(vector):
    """Matrix, quaternion, axis-angle and rot6d lead back to where they came from."""
    matrix = Rotation.from_rotvec(vector).as_matrix()
    back = (
        matrix_from_quaternion(quaternion_from_matrix(matrix)),
        matrix_from_axis_angle(axis_angle_from_matrix(matrix)),
        matrix_from_rot6d_rows(rot6d_rows_from_matrix(matrix)),
        matrix_from_rot6d_rows(rot6d_rows_from_matrix(matrix, DROID), DROID),
    )
    assert max(apart_rad(other, matrix) for other in back) < 1e-12


@given(axis_angles())
def test_a_rotation_vector_keeps_its_digits(vector):
    """Small rotations are not rounded to none, and those near pi keep their axis."""
    assume(np.linalg.norm(vector) < np.pi - 1e-6)  # at pi, both signs are the same rotation
    back = axis_angle_from_quaternion(quaternion_from_axis_angle(vector))
    np.testing.assert_allclose(back, vector, rtol=1e-8, atol=1e-15)


@given(axis_angles())
def test_both_signs_of_a_quaternion_are_one_rotation(vector):
    """A driver may flip the sign between two messages; nothing that is sent may jump."""
    quaternion = quaternion_from_axis_angle(vector)
    assume(quaternion[3] > 1e-9)
    assert quaternion_from_matrix(matrix_from_quaternion(-quaternion))[3] >= 0.0
    np.testing.assert_array_equal(
        axis_angle_from_quaternion(-quaternion), axis_angle_from_quaternion(quaternion)
    )


@given(axis_angles(), st.lists(st.floats(-0.2, 0.2), min_size=6, max_size=6))
def test_what_a_policy_says_roughly_becomes_a_rotation_near_it(vector, noise):
    """Six numbers that are no rows of a rotation give one whose first row points as theirs."""
    six = rot6d_rows_from_matrix(matrix_from_axis_angle(vector)) + noise
    matrix = matrix_from_rot6d_rows(six)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) > 0.0
    np.testing.assert_allclose(matrix[0], six[:3] / np.linalg.norm(six[:3]), atol=1e-12)
    assert matrix[1] @ six[3:] > 0.0 and abs(matrix[2] @ six[3:]) < 1e-12  # in the rows' plane


def test_droids_convention_is_its_matrix_and_no_euler_angle():
    """Of the identity: the first two rows of DROID's fixed rotation, from its own numbers."""
    np.testing.assert_array_equal(rot6d_rows_from_matrix(np.eye(3), DROID), [0, 0, -1, -1, 0, 0])
    angles = [0.3, -0.8, 2.1]  # DROID's cartesian angles are extrinsic xyz
    six = rot6d_rows_from_matrix(Rotation.from_euler("xyz", angles).as_matrix(), DROID)
    expected = (Rotation.from_euler("xyz", angles) * Rotation.from_matrix(DROID)).as_matrix()
    np.testing.assert_allclose(six, expected[:2].ravel(), atol=1e-12)


def test_many_at_once_are_each_alone():
    """A chunk's (T, ...) arrays are converted row by row, whatever branch a row takes."""
    vectors = np.array([[0, 0, 0], [1e-9, 0, 0], [np.pi, 0, 0], [0, 3, 0], [0.1, -2, 1.5]])
    matrices = matrix_from_axis_angle(vectors)
    for many, one in (
        (quaternion_from_matrix(matrices), quaternion_from_matrix),
        (axis_angle_from_matrix(matrices), axis_angle_from_matrix),
        (rot6d_rows_from_matrix(matrices, DROID), lambda m: rot6d_rows_from_matrix(m, DROID)),
        (matrix_from_rot6d_rows(rot6d_rows_from_matrix(matrices)), lambda m: m),
    ):
        np.testing.assert_allclose(many, [one(matrix) for matrix in matrices], atol=1e-12)


@pytest.mark.parametrize(
    ("six", "why"),
    [
        ([0, 0, 0, 0, 1, 0], "first row of length 0"),
        ([1, 0, 0, 0, 0, 0], "second row of length 0"),
        ([1, 0, 0, -1, 0, 0], "lies along the first"),
        ([20, 0, 0, 0, 1, 0], "first row of length 20"),
        ([1, 0, 0, 5, 0.4, 0], "lies along the first"),
        ([1e200, 0, 0, 0, 1, 0], "at most 1e\\+100"),
        ([1, 0, 0, 0, np.nan, 0], ": finite"),
        ([1, 0, 0, 0, 1], r"\(\.\.\., 6\)"),
        (np.empty((0, 6)), r"\(\.\.\., 6\)"),
    ],
)
def test_a_rot6d_that_says_no_rotation_is_refused(six, why):
    """Zero, parallel, huge, NaN or of another width: no direction is made up."""
    with pytest.raises(RotationError, match=why):
        matrix_from_rot6d_rows(six)


@pytest.mark.parametrize(
    ("convert", "values", "why"),
    [
        (matrix_from_quaternion, [0, 0, 0, 0], "norm 0"),
        (matrix_from_quaternion, [[0, 0, 0, 1], [0, 0, 0, 1.2]], r"norm 1\.2"),
        (axis_angle_from_quaternion, [np.inf, 0, 0, 1], ": finite"),
        (quaternion_from_axis_angle, [0, np.nan, 0], ": finite"),
        (quaternion_from_axis_angle, 1.0, "an array"),
        (quaternion_from_matrix, np.diag([1.0, 1.0, -1.0]), "determinant 1"),
        (quaternion_from_matrix, 1.01 * np.eye(3), "orthonormal"),
        (quaternion_from_matrix, np.full((3, 3), np.nan), "finite 3x3"),
        (rot6d_rows_from_matrix, np.eye(4), "3x3"),
    ],
)
def test_numbers_that_are_no_rotation_are_refused(convert, values, why):
    """NaN, another length, a mirror, another shape."""
    with pytest.raises(RotationError, match=why):
        convert(values)


@given(st.floats(-1e-3, 1e-3))
def test_a_drivers_rounding_is_normalised_away(error):
    """A quaternion that is not quite of length 1 gives a true rotation."""
    matrix = matrix_from_quaternion((1.0 + error) * np.array([0.5, 0.5, 0.5, 0.5]))
    np.testing.assert_allclose(matrix, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-12)


@given(axis_angles(), axis_angles())
def test_the_nearest_of_two_names_of_a_rotation_is_the_same_rotation(vector, near):
    """No further away than the other one, and what scipy makes of it is unchanged."""
    found = axis_angle_near(vector, near)
    np.testing.assert_allclose(
        Rotation.from_rotvec(found).as_matrix(), Rotation.from_rotvec(vector).as_matrix(), atol=1e-9
    )
    assert np.linalg.norm(found - near) <= np.linalg.norm(vector - near) + 1e-12
    quaternion, by = quaternion_from_axis_angle(vector), Rotation.from_rotvec(near).as_quat()
    signed = quaternion_near(quaternion, by)
    assert signed @ by >= 0.0
    np.testing.assert_array_equal(np.abs(signed), np.abs(quaternion))


def test_a_hand_that_points_down_does_not_flip():
    """Half a turn about x, a little more and a little less: one after the other without a jump."""
    angles = np.pi + np.array([-2e-3, -1e-3, 0.0, 1e-3, 2e-3])
    matrices = Rotation.from_rotvec(angles[:, None] * [1.0, 0.0, 0.0]).as_matrix()
    shortest = axis_angle_from_matrix(matrices)
    assert np.abs(np.diff(shortest[:, 0])).max() > 6.0
    np.testing.assert_allclose(axis_angle_near(shortest, [3.0, 0.0, 0.0])[:, 0], angles, atol=1e-9)
    np.testing.assert_array_equal(axis_angle_near(np.zeros(3), [3.0, 0.0, 0.0]), np.zeros(3))
