"""Rotation vectors and matrices, against scipy, at no and at half a turn too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from gr00t_ros.robot.rotation import matrix_of_vector, vector_of_matrix

VECTORS = st.tuples(*[st.floats(-4.0, 4.0)] * 3).map(np.array)


@given(VECTORS)
def test_a_vector_becomes_the_matrix_that_scipy_makes_of_it(vector):
    """Of any length, several turns included."""
    expected = Rotation.from_rotvec(vector).as_matrix()
    np.testing.assert_allclose(matrix_of_vector(vector), expected, atol=1e-12)


@given(VECTORS)
def test_a_matrix_becomes_a_vector_of_the_same_rotation_and_at_most_half_a_turn(vector):
    """The shorter way round."""
    matrix = Rotation.from_rotvec(vector).as_matrix()
    back = vector_of_matrix(matrix)
    assert np.linalg.norm(back) <= np.pi + 1e-12
    np.testing.assert_allclose(matrix_of_vector(back), matrix, atol=1e-7)


@pytest.mark.parametrize("off", [0.0, 1e-12, 1e-8, 1e-6, 1e-3])
@pytest.mark.parametrize("axis", [(1, 0, 0), (0, -1, 0), (0.6, 0.0, -0.8), (0.48, 0.6, 0.64)])
def test_no_turn_and_half_a_turn_are_exact_too(axis, off):
    """Where the matrix is symmetric its antisymmetric part says nothing of the axis."""
    for angle in (off, np.pi - off):
        matrix = Rotation.from_rotvec(angle * np.array(axis)).as_matrix()
        vector = vector_of_matrix(matrix)
        assert np.linalg.norm(vector) == pytest.approx(angle, abs=1e-7)
        np.testing.assert_allclose(matrix_of_vector(vector), matrix, atol=1e-7)
