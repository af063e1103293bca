"""The judge of velocities finds what is beyond range or rate, and lets a stop be at once."""

import numpy as np
import pytest

from gr00t_ros.robot.outputs import CommandLimits
from gr00t_ros.rollout.motion_verdict import judged

LIMITS = CommandLimits(
    *(("x", "yaw"), np.array([-0.25, -0.5]), np.array([0.25, 0.5]), np.array([1.0, 2.0])),
    *(np.zeros(2), np.array([True, True])),
)
TIMES = np.arange(20) * 0.02


def ramp(step):
    """X rises by `step` a knot to 0.2 and stays; yaw is zero."""
    return np.stack([np.minimum(np.arange(20) * step, 0.2), np.zeros(20)], axis=1)


def test_a_lawful_motion_is_lawful_and_counted():
    """At the rate, and with a stop to zero in one message."""
    values = ramp(0.02)
    values[-3:] = 0.0
    found = judged(TIMES, values, LIMITS)
    assert found == {
        "messages": 20, "stops": 1, "broken": [], "largest": {"x": 0.2, "yaw": 0.0},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v.__setitem__((5, 0), 0.3), "x: got 0 to 0.3"),
        (lambda v: v.__setitem__((5, 1), 0.4), "yaw: changed by"),
        (lambda v: v.__setitem__((5, 1), -0.6), "yaw: got -0.6 to 0"),
        (lambda v: v.__setitem__((5, 0), np.nan), "not finite"),
    ],
)
def test_what_is_beyond_is_named(change, said):
    """With both numbers."""
    values = ramp(0.02)
    change(values)
    assert any(said in line for line in judged(TIMES, values, LIMITS)["broken"])


def test_a_stamp_that_runs_back_is_named_and_no_message_is_no_verdict():
    """Time only rises; an episode without motion has broken nothing."""
    times = TIMES.copy()
    times[7] = 0.0
    assert "a stamp runs back" in judged(times, ramp(0.001), LIMITS)["broken"]
    empty = judged(np.zeros(0), np.zeros((0, 2)), LIMITS)
    assert empty["messages"] == 0 and empty["broken"] == []
