"""A callback that raises does not end a node's process, and does not fill its log."""

import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.ros import process  # noqa: E402

ROUNDS = 1000


def test_a_callback_that_keeps_raising_is_logged_once_and_the_node_spins_on(monkeypatch):
    """As a timer at 10 Hz, whose text has another number each time."""
    said, rounds, stop = [], [], threading.Event()

    class Executor:
        """Each round of it is a callback that raises."""

        def add_node(self, node):
            """It has one node."""

        def spin_once(self, timeout_sec):
            rounds.append(timeout_sec)
            if len(rounds) == ROUNDS:
                stop.set()
            raise ValueError(f"broken in round {len(rounds)}")

        def shutdown(self):
            """Nothing of it is left."""

    monkeypatch.setattr(process, "SingleThreadedExecutor", Executor)
    now = SimpleNamespace(monotonic_ns=lambda: len(rounds) * 100_000_000)
    monkeypatch.setattr(process, "time", now, raising=False)
    ended = []
    node = SimpleNamespace(
        get_logger=lambda: SimpleNamespace(error=said.append), destroy_node=lambda: ended.append(1)
    )
    process._spin(node, stop, None, 0.1)
    assert len(rounds) == ROUNDS and ended == [1]
    assert len(said) == 1
    assert "a callback raised" in said[0] and "ValueError: broken in round 1\n" in said[0]
