"""The table of watches and the table of parameters tell the same of every threshold."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.core.watch_table import ROWS
from gr00t_ros.ros.parameters import TABLE

PARAMETERS = [(w, t) for w in ROWS for t in w.thresholds if t.home == "parameter"]


@pytest.mark.parametrize(("watch", "threshold"), PARAMETERS, ids=lambda x: x.name)
def test_a_threshold_is_the_parameter_of_its_name(watch, threshold) -> None:
    """The same default, unit and range."""
    row = TABLE[threshold.name]
    assert (row.default, row.unit) == (threshold.default, threshold.unit)
    assert (row.low, row.high) == (threshold.low, threshold.high)
