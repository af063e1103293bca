"""What libero_panda.yaml states was measured in LIBERO; with the extra it is measured again."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.sim.libero import commands
from gr00t_ros.sim.libero.extra import INSTALL, environment, libero_python

ROBOT = load_embodiment("libero_panda")
CHILD = Path(commands.__file__).parent


def action(key):
    """The action stream of a key."""
    (found,) = [one for one in ROBOT.action if one.key == key]
    return found


def test_the_simulation_takes_the_files_motion_of_one_for_an_action_of_one():
    """Else the simulated controller would execute other actions than the policy's."""
    assert ROBOT.unsettled == () and ROBOT.rate_hz * commands.STEP_NS == 1e9
    for key, reach in zip("x y z roll pitch yaw".split(), [0.013] * 3 + [0.13] * 3, strict=True):
        np.testing.assert_allclose(action(key).scale.to_joint(np.array([1.0])), reach)
    full = commands.twist_of(np.ones(6))
    np.testing.assert_allclose(full, [0.26] * 3 + [2.6] * 3)
    assert (ROBOT.command_limits.upper[:3] > full[:3]).all()
    assert {output.frame for output in ROBOT.commands} == {commands.FRAME}


@pytest.fixture(scope="module")
def measured():
    """What measure.py prints."""
    python = libero_python()
    if python is None:
        pytest.skip(f"LIBERO is not installed: {INSTALL}")
    run = subprocess.run(
        [python, Path(__file__).with_name("measure.py"), CHILD],
        capture_output=True, text=True, timeout=120, env=environment(), check=False,
    )  # fmt: skip
    lines = [line for line in run.stdout.splitlines() if line.startswith("MEASURED ")]
    assert lines, run.stderr[-2000:]
    return json.loads(lines[0].removeprefix("MEASURED "))


def test_a_step_is_as_long_as_the_file_says(measured):
    """The sources of the policy do not say it."""
    assert measured["step_s"] * ROBOT.rate_hz == pytest.approx(1.0)


def test_the_tool_moves_in_a_step_as_far_as_the_file_says(measured):
    """Along and about the base's axes, not the hand's, which points down; within a quarter."""
    motion = np.array(measured["motion"])
    stated = [action(key).scale.to_joint(np.array([1.0]))[0] for key in
              "x y z roll pitch yaw".split()]  # fmt: skip
    np.testing.assert_allclose(motion, stated, rtol=0.26)
    np.testing.assert_allclose(measured["base"][3:], [0, 0, 0, 1], atol=1e-6)
    assert measured["held_m"] < 2e-3, "zeros hold: actions are deltas"


def test_one_opens_the_gripper_and_its_second_finger_counts_downwards(measured):
    """LIBERO's wrapper sends 1 - 2g, so the policy's 1 is -1 there."""
    np.testing.assert_allclose(measured["open"], [0.04, -0.04], atol=2e-3)
    np.testing.assert_allclose(measured["closed"], [0.0, 0.0], atol=2e-3)
    (gripper,) = [one for one in ROBOT.state if one.key == "gripper"]
    sent = gripper.scale.to_policy(gripper.scale.fraction(np.array([0.04, 0.04])))
    np.testing.assert_allclose(sent, [0.04, -0.04])
    assert action("gripper").scale.to_joint(np.array([1.0]))[0] == pytest.approx(0.04)


def test_the_hand_points_down_by_the_branch_of_the_file(measured):
    """Half a turn about x from its base."""
    near = next(one.near for one in ROBOT.state if one.key == "roll")
    np.testing.assert_allclose(measured["axis_angle"], near, atol=0.15)


def test_pictures_of_the_simulation_are_a_real_cameras_and_the_policys_are_mirrored(measured):
    """A finger is where a pinhole camera sees it; libero_env turns the columns of that round."""
    picture = measured["picture"]
    np.testing.assert_allclose([picture["row"], picture["column"]], picture["wanted"], atol=6)
    assert abs(picture["column"] - 127.5) > 12, "else a mirrored picture would look the same"
    assert all(one.framing and one.framing.flip_horizontal for one in ROBOT.video)
