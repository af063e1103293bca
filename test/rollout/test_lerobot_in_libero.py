"""With LIBERO and LeRobot: GR00T's real classes, with random weights, play LIBERO over topics."""

import json

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from lerobot_server import MISSING, lerobot_python, lerobot_server  # noqa: E402

from gr00t_ros.command_line import DONE  # noqa: E402
from gr00t_ros.rollout.command import libero_loop  # noqa: E402
from gr00t_ros.sim.libero.extra import INSTALL, libero_python  # noqa: E402


@pytest.mark.skipif(libero_python() is None, reason=f"LIBERO is not installed: {INSTALL}")
@pytest.mark.skipif(lerobot_python() is None, reason=MISSING)
@pytest.mark.timeout(600)
def test_a_random_model_commands_the_robot_lawfully_and_does_not_do_the_task(ros_domain, tmp_path):
    """Pictures, states and chunks go through the node as a checkpoint's would."""
    with lerobot_server("libero_panda", tmp_path / "server") as port:
        words = ("--suite", "libero_object", "--tasks", "0", "--episodes", "1", "--limit-s", "2")
        out = tmp_path / "out"
        assert libero_loop([*words, "--port", str(port), "--output", str(out)]) == DONE
    line = json.loads((out / "episodes.jsonl").read_text())
    assert line["outcome"] == "timeout" and line["chunks_accepted"] > 0
    assert line["chunks_refused"] == 0 and line["server"]["server_generation"] == "N1.7"
    # The twist's limits keep the tool inside a Franka's, however a random model's deltas change.
    assert line["motion"]["recorded"] and line["motion"]["broken"] == []
    assert max(line["motion"]["largest"].values()) > 0.0
