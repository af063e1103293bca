"""ShadowError has the rms and largest difference of each joint over a sliding window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.session.shadow import JointError, ShadowError

S = 1_000_000_000
ARM = ("a", "b")


def test_it_tells_rms_and_largest_magnitude_of_each_joint_of_each_output() -> None:
    """Outputs have their own stamps; the sign does not matter."""
    error = ShadowError()
    error.add(ARM, 1 * S, np.array([0.3, -0.1]))
    error.add(("g",), 1 * S + 5, np.array([0.5]))
    error.add(ARM, 2 * S, np.array([-0.4, 0.0]))
    a, b, g = error.summary()
    assert (a.joint, a.samples, a.worst) == ("a", 2, pytest.approx(0.4))
    assert a.rms == pytest.approx(np.sqrt((0.09 + 0.16) / 2))
    assert (b.joint, b.samples, b.worst) == ("b", 2, pytest.approx(0.1))
    assert g == JointError("g", 1, 0.5, 0.5)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    """Exactly the window's length still counts."""
    error = ShadowError(10 * S)
    for second, value in ((0, 9.0), (1, 1.0), (11, 2.0)):
        error.add(ARM, second * S, np.full(2, value))
    assert [(e.samples, e.worst) for e in error.summary()] == [(2, 2.0), (2, 2.0)]


def test_one_stamp_counts_once_and_a_clock_that_runs_back_begins_anew() -> None:
    """The controller's state is read more often than it is published; a bag may loop."""
    error = ShadowError()
    error.add(ARM, 5 * S, np.full(2, 1.0))
    error.add(ARM, 5 * S, np.full(2, 7.0))
    assert [e.samples for e in error.summary()] == [1, 1]
    error.add(ARM, 2 * S, np.full(2, 0.5))
    assert [(e.samples, e.worst) for e in error.summary()] == [(1, 0.5), (1, 0.5)]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_left_out(bad) -> None:
    """One bad sample would spoil ten seconds."""
    error = ShadowError()
    assert error.summary() == ()
    error.add(ARM, 1 * S, np.array([bad, 0.1]))
    assert error.summary() == ()
    error.add(ARM, 2 * S, np.array([0.2, 0.1]))
    assert [e.samples for e in error.summary()] == [1, 1]


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=40))
def test_the_largest_is_never_below_the_rms(values) -> None:
    """And both are those of the values that were added."""
    error = ShadowError()
    for index, value in enumerate(values):
        error.add(("a",), index, np.array([value]))
    (one,) = error.summary()
    assert one.samples == len(values)
    assert one.worst == pytest.approx(max(abs(v) for v in values))
    assert one.rms <= one.worst + 1e-12
