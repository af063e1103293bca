"""Every benchmark of a moving robot runs and shows its goals beside its figures."""

import pytest
from bench_runs import ALONE, assert_runs

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")


@pytest.mark.parametrize("name", ALONE)
def test_every_benchmark_of_a_moving_robot_runs_and_shows_its_goals(processes, tmp_path, name):
    """In a process and a ROS domain of its own."""
    assert_runs(processes, tmp_path, name)
