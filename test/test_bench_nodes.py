"""Every benchmark of running nodes runs and shows its goals; another test may run beside it."""

import pytest
from bench_runs import OF_NODES, assert_runs

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")


@pytest.mark.parametrize("name", OF_NODES)
def test_every_benchmark_of_running_nodes_runs_and_shows_its_goals(processes, tmp_path, name):
    """In a process and a ROS domain of its own."""
    assert_runs(processes, tmp_path, name)
