"""A reader who follows docs/own_robot.md begins, completes and checks a file, and the arm moves."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("mujoco", reason="the simulator (mujoco) is not installed")

from ros_fixtures import place  # noqa: E402

from gr00t_ros.robot.field import FILL_IN  # noqa: E402
from gr00t_ros.robot.files import find_embodiment, load_embodiment  # noqa: E402
from gr00t_ros.sim.cameras import Cameras  # noqa: E402
from gr00t_ros.sim.desk6.kinematics import READY_RAD, solve  # noqa: E402
from gr00t_ros.sim.desk6.scene import draw_cubes  # noqa: E402
from gr00t_ros.sim.desk6.scripted import make_policy  # noqa: E402
from gr00t_ros.sim.physics import Simulation  # noqa: E402
from gr00t_ros.sim.robots import DESK6  # noqa: E402
from gr00t_ros.tools.embodiment import main as embodiment_tool  # noqa: E402

DOCUMENT = (Path(__file__).parents[2] / "docs" / "own_robot.md").read_text()


@pytest.fixture
def dataset(tmp_path):
    """The metadata that the tutorial prints."""
    blocks = re.findall(r"`(meta/\w+\.json)`[^\n]*\n```json\n(.*?)```", DOCUMENT, re.DOTALL)
    assert [name for name, _ in blocks] == ["meta/modality.json", "meta/info.json"]
    (tmp_path / "meta").mkdir()
    for name, text in blocks:
        (tmp_path / name).write_text(json.dumps(json.loads(text)))
    return tmp_path


def filled(begun, shipped):
    """`begun` with its open places taken from the shipped file; the count of them."""
    if isinstance(begun, dict):
        pairs = {key: filled(value, shipped[key]) for key, value in begun.items()}
        return {k: v for k, (v, _) in pairs.items()}, sum(n for _, n in pairs.values())
    return (shipped, 1) if begun == FILL_IN else (begun, 0)


def test_the_tutorials_file_is_begun_filled_in_and_says_what_the_shipped_one_says(
    dataset, tmp_path, processes, ros_node, capsys
):
    """Only what the tutorial's table names is open; afterwards the two files are one robot."""
    robot = ("-p", "robot:=desk6", "-p", "synthetic_cameras:=true")
    running = processes.start("-m", "gr00t_ros.sim.robot", "--ros-args", *robot, name="robot")
    running.wait_for_line("holding the start pose")
    mine = tmp_path / "my_desk6.yaml"
    sources = ("--dataset", str(dataset), "--topics", "--seconds", "10")
    named = ("--robot", "desk6", "--tag", "new_embodiment", "--output", str(mine))
    tool = processes.start("-m", "gr00t_ros.tools.embodiment", "new", *sources, *named)
    assert tool.wait(60.0) == 0, tool.tail()

    assert embodiment_tool(["validate", str(mine)]) == 1
    said = capsys.readouterr().err
    assert "27 still to be filled in:\n- action_horizon\n- video.front.topic\n" in said
    shipped = yaml.safe_load(find_embodiment("desk6").read_text())
    done, open_places = filled(yaml.safe_load(mine.read_text()), shipped)
    assert open_places == 3 + 6 * 4
    mine.write_text(yaml.safe_dump(done, sort_keys=False))
    assert embodiment_tool(["validate", str(mine)]) == 0
    assert "32 at 20 Hz" in capsys.readouterr().out
    ours, theirs = load_embodiment(str(mine)), load_embodiment("desk6")
    assert (ours.action, ours.outputs, ours.tag) == (theirs.action, theirs.outputs, theirs.tag)
    np.testing.assert_array_equal(ours.limits.velocity, theirs.limits.velocity)


@pytest.mark.parametrize(("asked", "cube"), [("green", 0), ("red", 1)])
def test_desk6_sees_which_cube_is_meant(asked, cube):
    """Followed chunk by chunk, the tip ends above the cube of that colour, in every layout."""
    embodiment = load_embodiment("desk6")
    for seed in range(3):
        joints = followed(make_policy(embodiment), seed, f"touch the {asked} cube")
        np.testing.assert_allclose(
            joints, solve(np.append(draw_cubes(seed)[cube], 0.065)), atol=0.05
        )


@pytest.mark.parametrize("text", ["touch the blue cube", "do not touch the green cube", ""])
def test_desk6_stays_where_nothing_is_understood_or_seen(text):
    """A robot must not act on half a sentence."""
    joints = followed(make_policy(load_embodiment("desk6")), 0, text)
    np.testing.assert_allclose(joints, READY_RAD, atol=1e-6)


def followed(policy, seed, text):
    """Where chunks lead whose steps are followed exactly, from one picture of the start."""
    simulation = Simulation(DESK6, seed)
    with Cameras(simulation.model, 240, 320) as cameras:
        picture = cameras.render(simulation.positions(), ["front"])["front"].copy()
    joints = READY_RAD
    for _ in range(12):
        observation = {
            "video": {"front": picture[None, None]},
            "state": {"arm": joints[None, None].astype(np.float32)},
            "language": {"annotation.human.task_description": [[text]]},
        }
        joints = policy(observation, None)[0]["arm"][0, 16].astype(np.float64)
    return joints


def test_the_demo_moves_desk6_inside_its_limits(tmp_path):
    """`./dev demo --robot desk6`: the tip rests above the green cube."""
    command = [sys.executable, "-m", "gr00t_ros.demo", "--robot", "desk6", "--seed", "2"]
    environment = os.environ | {"ROS_LOG_DIR": str(tmp_path / "ros_log")}
    command += ["--report", str(tmp_path / "report")]
    with place():
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS: touch the green cube" in done.stdout
    figures = json.loads((tmp_path / "report" / "figures.json").read_text())
    assert figures["limits_broken"] == []
    assert figures["chunks_refused"] == 0
