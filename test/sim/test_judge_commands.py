"""The judge of commands finds what is beyond range or rate, and lets a stop be at once."""

import numpy as np
import pytest

from gr00t_ros.robot.limits import CommandLimits, VectorLimit
from gr00t_ros.sim.record import Record, TimedRows, broken_commands

LIMITS = CommandLimits(
    *(("x", "yaw"), np.array([-0.25, -0.5]), np.array([0.25, 0.5]), np.array([1.0, 2.0])),
    *(np.zeros(2), np.array([True, True])),
)
TIMES_NS = np.arange(20, dtype=np.int64) * 20_000_000


def ramp(step):
    """X rises by `step` a knot to 0.2 and stays; yaw is zero."""
    return np.stack([np.minimum(np.arange(20) * step, 0.2), np.zeros(20)], axis=1)


def judged(values, times_ns=TIMES_NS):
    """The lines of the judge."""
    return broken_commands(TimedRows(times_ns, values), LIMITS)


def test_a_lawful_motion_is_lawful():
    """At the rate, and with a stop to zero in one message; none at all has broken nothing."""
    values = ramp(0.02)
    values[-3:] = 0.0
    assert judged(values) == []
    assert judged(np.zeros((0, 2)), TIMES_NS[:0]) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v.__setitem__((5, 0), 0.3), "x: got 0 to 0.3"),
        (lambda v: v.__setitem__((5, 1), 0.4), "yaw: changed by"),
        (lambda v: v.__setitem__((5, 1), -0.6), "yaw: got -0.6 to 0"),
        (lambda v: v.__setitem__((5, 0), np.nan), "not finite"),
        (lambda v: v.__setitem__((slice(9, None), 0), 0.0), "x: changed by"),
    ],
)
def test_what_is_beyond_is_named(change, said):
    """With both numbers. One command that is zero at once beside another that moves is no stop."""
    values = ramp(0.02)
    values[:, 1] = np.minimum(np.arange(20) * 0.02, 0.1)
    change(values)
    assert any(said in line for line in judged(values))


def test_a_tool_that_is_too_fast_along_two_axes_together_is_named():
    """Each axis alone is inside its limits."""
    limits = CommandLimits(
        *(("x", "y"), np.full(2, -0.25), np.full(2, 0.25), np.full(2, 1.0), np.zeros(2)),
        np.array([True, True]),
        (VectorLimit("tool along its axes", ("x", "y"), 0.25, 1.2),),
    )
    both = np.repeat(ramp(0.02)[:, :1], 2, axis=1)
    assert broken_commands(TimedRows(TIMES_NS, np.minimum(both, 0.05)), limits) == []
    lines = broken_commands(TimedRows(TIMES_NS, np.minimum(both * 2.0, 0.2)), limits)
    assert lines == [
        "tool along its axes: got 0.2828, at most 0.25",
        "tool along its axes: changed by 1.414 a second, rate 1.2",
    ]


def test_a_tool_may_not_be_at_rest_at_once():
    """A stop of a vector with limits is inside them; a base beside it may stop at once."""
    limits = CommandLimits(
        *(("x", "y", "vx"), np.full(3, -0.25), np.full(3, 0.25), np.full(3, 1.0), np.zeros(3)),
        np.full(3, True),
        (VectorLimit("tool along its axes", ("x", "y"), 0.25, 1.2),),
    )
    values = np.repeat(ramp(0.01)[:, :1], 3, axis=1)
    values[-3:] = 0.0
    lines = broken_commands(TimedRows(TIMES_NS, values), limits)
    assert [line.split(":")[0] for line in lines] == ["x", "y", "tool along its axes"]


def test_a_stamp_that_runs_back_is_named():
    """Time only rises."""
    times_ns = TIMES_NS.copy()
    times_ns[7] = 0
    assert "a stamp runs back" in judged(ramp(0.001), times_ns)


def test_a_record_since_a_time_has_the_later_rows_of_everything():
    """Of an episode that is not the first."""
    rows = np.zeros((20, 1))
    record = Record(("a",), 7, TIMES_NS, rows, rows, rows, rows, {"t": TimedRows(TIMES_NS, rows)})
    later = record.since(int(TIMES_NS[15]))
    assert later.time_ns.tolist() == TIMES_NS[15:].tolist() and len(later.measured) == 5
    assert later.commands["t"].time_ns.tolist() == TIMES_NS[15:].tolist()
    assert len(later.commands["t"].values) == 5 and later.ros_offset_ns == 7
