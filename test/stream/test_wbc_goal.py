"""The goal has the fields of GR00T-WholeBodyControl, and another host's clock is refused."""

import math

import numpy as np
import pytest

from gr00t_ros.stream.unitree import LEAD_NS, another_clock, goal

NOW_NS = 5_000_000_000_000


def test_a_goal_is_the_pose_and_the_time_at_which_it_is_to_be_reached():
    """Plain lists: the receiver in Python and the one in C++ both read them."""
    assert goal(np.array([0.1, -0.2]), NOW_NS) == {
        "target_upper_body_pose": [0.1, -0.2],
        "target_time": pytest.approx(5000.0 + LEAD_NS / 1e9),
        "timestamp": 5000.0,
    }
    with pytest.raises(ValueError, match="finite"):
        goal(np.array([math.nan]), NOW_NS)


def test_walking_and_height_go_along_where_they_are_commanded():
    """In the same message: of two the receiver reads the last one alone."""
    content = goal(np.zeros(2), NOW_NS, (0.1, 0.0, -0.2), 0.72)
    assert content["navigate_cmd"] == [0.1, 0.0, -0.2]
    assert content["base_height_command"] == 0.72
    for walk, height_m in (((0.1, math.inf, 0.0), None), (None, math.nan)):
        with pytest.raises(ValueError, match="finite"):
            goal(np.zeros(2), NOW_NS, walk, height_m)


@pytest.mark.parametrize("late_s", [0.0, -0.02, -0.19, 0.001])
def test_a_status_by_the_same_clock_is_recognised_though_it_was_under_way(late_s):
    """50 Hz and the way through DDS are no second host."""
    assert another_clock({"timestamp": 5000.0 + late_s}, NOW_NS) == ""


@pytest.mark.parametrize("apart_s", [-0.3, 0.3, 86400.0, -4999.0])
def test_another_hosts_clock_is_refused_by_its_distance(apart_s):
    """Each host counts from its own boot."""
    assert f"{apart_s:+.2f} s" in another_clock({"timestamp": 5000.0 + apart_s}, NOW_NS)


@pytest.mark.parametrize("told", [None, "5000", True, math.nan])
def test_a_status_without_a_time_is_no_proof(told):
    """What does not tell its clock is refused like another clock."""
    status = {} if told is None else {"timestamp": told}
    assert another_clock(status, NOW_NS).startswith("timestamp: got")
