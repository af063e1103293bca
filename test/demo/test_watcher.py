"""What the demo counts of a run, and what it says of one that was not done."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

import rclpy  # noqa: E402

from gr00t_ros.demo.__main__ import _options  # noqa: E402
from gr00t_ros.demo.follow import _watch  # noqa: E402
from gr00t_ros.demo.watcher import Watcher  # noqa: E402
from gr00t_ros.msg import ActionChunk  # noqa: E402


def test_a_chunk_that_came_in_a_pause_counts_as_dropped_and_not_as_refused(ros_domain):
    """A late machine pauses the arm while the server answers: no fault of the policy."""
    rclpy.init()
    try:
        watcher = Watcher([])
        for accepted, reason in (
            (True, ""),
            (True, "fr3_joint4, step 2: clamped"),
            (False, "fr3_joint4, step 0: a jump"),
            (False, "dropped: of an older episode, or not wanted now"),
            (False, "dropped: all 40 steps due 33 ms or more ago"),
        ):
            watcher._on_chunk(ActionChunk(accepted=accepted, reason=reason))
        assert (watcher.accepted, watcher.refused, watcher.dropped) == (2, 1, 2)
        watcher.destroy_node()
    finally:
        rclpy.shutdown()


@pytest.mark.parametrize(
    ("words", "events", "hint"),
    [
        ((), ["paused: replay thread: 0.08 s between two ticks; check the CPU's load"], True),
        ((), ["paused: video.front: check the driver and the network"], False),
        (("--real-time-factor", "0.5"), ["paused: check the CPU's load"], False),
    ],
)
def test_a_machine_that_was_late_is_told_to_slow_the_simulation_down(words, events, hint):
    """Unless it is slowed down already, or something else was the cause."""
    watcher = SimpleNamespace(status=None, events=[(1.0, event) for event in events])
    problem = _watch(watcher, None, None, _options([*words, "--timeout", "0"]))
    assert problem.startswith("not done after 0 s; node no status: is the node running?")
    assert ("--real-time-factor 0.5 slows the simulation down" in problem) is hint


@pytest.mark.parametrize("factor", ["0.1", "2", "nan", "fast"])
def test_a_speed_at_which_the_watches_or_the_machine_fail_is_refused(factor, capsys):
    """Before anything starts."""
    with pytest.raises(SystemExit):
        _options(["--real-time-factor", factor])
    assert f"got '{factor}', expected 0.25 to 1" in capsys.readouterr().err
