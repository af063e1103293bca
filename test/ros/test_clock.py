"""The plan clock's pair of readings."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.ros.clock import PlanClock  # noqa: E402

MS = 1_000_000
SLEPT, PROMPT = (0, 500 * MS, 20 * MS), (30 * MS, 7000 * MS, 31 * MS)


@pytest.mark.parametrize(
    ("readings", "pair"),
    [
        ([PROMPT], (7000 * MS, 31 * MS)),
        ([SLEPT, PROMPT], (7000 * MS, 31 * MS)),
        ([SLEPT] * 100, None),
    ],
)
def test_a_pair_that_was_interrupted_is_read_again(readings, pair, monkeypatch):
    """Else a jump of the clock in this tick is not seen, and the ages that it makes are faults."""
    clock, left = PlanClock.__new__(PlanClock), iter(readings)
    monkeypatch.setattr(clock, "_reading", lambda: next(left), raising=False)
    assert clock.pair() == pair
