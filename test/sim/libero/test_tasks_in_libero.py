"""With LIBERO: the scripted policy does libero_object's tasks through `gr00t eval libero`."""

import json

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.command_line import DONE  # noqa: E402
from gr00t_ros.rollout.command import libero_loop  # noqa: E402
from gr00t_ros.sim.libero.extra import INSTALL, libero_python  # noqa: E402

pytestmark = pytest.mark.skipif(libero_python() is None, reason=f"no LIBERO: {INSTALL}")

HELD_OUT = 33
"""Number of an initial state that the policy was not made with."""
SHORT = pytest.param("0", 1, marks=pytest.mark.timeout(300))
ALL = pytest.param("all", 8, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])
"""Ten tasks: 8 minutes on two cores, more beside other work. Eight are what the policy promises."""


@pytest.mark.parametrize(("tasks", "least"), [SHORT, ALL])
def test_the_scripted_policy_does_the_tasks_inside_the_limits(tasks, least, ros_domain, tmp_path):
    """Every episode has a verdict, and neither what was sent nor the tool broke a limit."""
    words = ("--suite", "libero_object", "--tasks", tasks, "--first-episode", str(HELD_OUT))
    more = ("--episodes", "1", "--limit-s", "30", "--latency-ms", "50", "--output", str(tmp_path))
    assert libero_loop([*words, *more]) == DONE
    lines = [json.loads(one) for one in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    told = [(one["task"], one["outcome"], one["cause"]) for one in lines]
    assert "infrastructure" not in {one["outcome"] for one in lines}, told
    assert [one["motion"]["broken"] for one in lines] == [[]] * len(lines)
    assert all(one["motion"]["recorded"] for one in lines)
    assert sum(one["success"] for one in lines) >= least, told
