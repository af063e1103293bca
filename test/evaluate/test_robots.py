"""Embodiments of all kinds can be evaluated: deltas, bases, thresholds, poses."""

import json

import pytest

pytest.importorskip("mujoco", reason="made episodes need the simulator")
pytest.importorskip("matplotlib", reason="reports need matplotlib")

from made_episodes import Recorded, waving_episode

from gr00t_ros.evaluate.diagnosis import diagnose
from gr00t_ros.evaluate.open_loop import OpenLoopSettings
from gr00t_ros.evaluate.report.page import episode_section
from gr00t_ros.evaluate.results import episode_figures
from gr00t_ros.robot.files import load_embodiment

NAMES = ["real_g1", "libero_panda", "simpler_google", "ur5e_2f85", "so101"]


@pytest.mark.parametrize("name", NAMES)
def test_a_robot_of_any_kind_is_evaluated(measured, name):
    """Each number has a name, an error of zero and a unit; the guard accepts the wave."""
    robot = load_embodiment(name)
    episode = waving_episode(robot)
    settings = OpenLoopSettings(every_rows=min(8, robot.action_horizon)).check(robot)
    found = measured(robot, episode, Recorded(robot, episode), settings)
    figures = episode_figures(0, found, diagnose(found))
    assert {one["key"] for one in figures["components"]} == {one.key for one in robot.action}
    assert {one["mse"] for one in figures["components"]} == {0.0}
    assert figures["deployed"]["refused"] == 0 and figures["deployed"]["accepted"] > 0
    json.dumps(figures, allow_nan=False)
    if name == "ur5e_2f85":  # a gripper in another unit than its joint
        assert "data:image/png" in episode_section(figures, found, episode, robot).html
