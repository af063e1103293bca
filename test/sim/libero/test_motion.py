"""The judge of the simulated tool finds speed, acceleration and jerk beyond a Franka's."""

from dataclasses import astuple

import numpy as np
import pytest

from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.sim.libero.motion import BEGINS, TOOL, TWIST, broken, tool_extremes
from gr00t_ros.sim.record import Record, TimedRows

LIMITS = load_embodiment("libero_panda").command_limits
STEP_NS = 2_000_000


def recorded(velocities, begins=()):
    """A record with this twist (N, 6) of the tool, a row each 2 ms, and no commands."""
    times = np.arange(len(velocities), dtype=np.int64) * STEP_NS
    none, rows = np.zeros((0, 6)), np.zeros((len(velocities), 13))
    rows[:, 7:] = velocities
    begins_ns = np.array(begins, dtype=np.int64) * STEP_NS
    commands = {
        TWIST: TimedRows(times[:0], none),
        TOOL: TimedRows(times, rows),
        BEGINS: TimedRows(begins_ns, np.zeros((len(begins), 1))),
    }
    joint = np.zeros((len(times), 1))
    return Record(("finger",), 0, times, joint, joint, joint, joint, commands)


def moving(*values):
    """(N, 6) with these speeds along y, and twice as much about z."""
    twist = np.zeros((len(values), 6))
    twist[:, 1], twist[:, 5] = values, 2.0 * np.array(values)
    return twist


def test_extremes_are_differences_over_a_step_of_the_physics():
    """0.01 m/s more in 2 ms is 5 m/s^2, and begins with 2500 m/s^3."""
    found = tool_extremes(recorded(moving(0.0, 0.0, 0.01, 0.02, 0.02)))
    assert astuple(found) == pytest.approx((0.02, 0.04, 5.0, 10.0, 2500.0, 5000.0))
    assert broken(recorded(moving(0.0, 0.0, 0.01, 0.02, 0.02)), LIMITS) == []


def test_each_quantity_beyond_its_limit_is_named():
    """A step of 0.03 m/s is more than 13 m/s^2, and more than 6500 m/s^3."""
    lines = broken(recorded(moving(0.0, 0.0, 0.03, 0.03)), LIMITS)
    assert lines == [
        "acceleration of the tool: 15 > 13 m/s^2",
        "angular acceleration of the tool: 30 > 25 rad/s^2",
        "jerk of the tool: 7500 > 6500 m/s^3",
        "angular jerk of the tool: 1.5e+04 > 1.25e+04 rad/s^3",
    ]


def test_the_tool_may_be_elsewhere_where_an_episode_begins():
    """A reset is no motion."""
    assert broken(recorded(moving(0.0, 0.0, 0.2, 0.2), begins=[1]), LIMITS) == []
