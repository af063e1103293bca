"""How far two series are apart in time."""

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="made episodes need the simulator")

from made_episodes import course, made_episode

from gr00t_ros.evaluate.accuracy import shifted
from gr00t_ros.evaluate.lags import lag, picture_change, picture_lag

ALL = np.ones(120, bool)


@pytest.fixture(scope="module")
def motion(robot):
    """(120, 6) joints."""
    return course(robot, np.arange(120) / robot.rate_hz)


@pytest.mark.parametrize("rows", [-3.0, 0.0, 1.25, 3.0])
def test_a_shift_is_found_to_a_quarter_of_a_row(motion, rows):
    """Either way; it explains nearly all of the error."""
    found = lag(shifted(motion, rows), motion, ALL)
    assert found.rows == rows
    assert found.explained > 0.99 or rows == 0.0


def test_nothing_that_moves_has_no_lag(motion):
    """NaN in place of a number that means nothing."""
    still = np.ones_like(motion)
    assert np.isnan(lag(still, still, ALL).rows)
    assert np.isnan(lag(motion[:2], motion[:2], ALL[:2]).rows)


@pytest.mark.parametrize("late", [0, 4])
def test_pictures_are_compared_with_the_motion_of_the_joints(robot, late):
    """To about a row: the change between two pictures lies between their rows."""
    episode = made_episode(robot, rows=160, pictures_late=late)
    change = picture_change(episode.video["front"])
    found = picture_lag(change, episode.state["arm"].astype(float))
    assert abs(found.rows - late) <= 1.0 and found.explained > 0.8
