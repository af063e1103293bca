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
LIMIT_S = 280.0
pytestmark = pytest.mark.timeout(300)


def action(key):
    """The action stream of a key."""
    (found,) = [one for one in ROBOT.action if one.key == key]
    return found


def test_the_simulation_takes_the_files_motion_of_one_for_an_action_of_one():
    """Else the simulated controller would execute other actions than the policy's."""
    assert ROBOT.unsettled == () and ROBOT.rate_hz * commands.STEP_NS == 1e9
    for key, reach in zip("x y z roll pitch yaw".split(), [0.013] * 3 + [0.13] * 3, strict=True):
        np.testing.assert_allclose(action(key).scale.to_joint(np.array([1.0])), reach)
    full = commands.FULL_TWIST
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
        capture_output=True, text=True, timeout=LIMIT_S, env=environment(), check=False,
    )  # fmt: skip
    lines = [line for line in run.stdout.splitlines() if line.startswith("MEASURED ")]
    assert lines, run.stderr[-2000:]
    return json.loads(lines[0].removeprefix("MEASURED "))


def test_a_step_is_as_long_as_the_file_says(measured):
    """The sources of the policy do not say it. A camera has one picture a step."""
    assert measured["step_s"] * ROBOT.rate_hz == pytest.approx(1.0)
    assert measured["control_steps"] == 25 and measured["physics_s"] == pytest.approx(0.002)
    assert {stream.rate_hz for stream in ROBOT.video} == {ROBOT.rate_hz}


def test_the_tool_moves_in_a_step_as_far_as_the_file_says(measured):
    """Along and about the base's axes, not the hand's, which points down.

    The file's comment has the motion of each axis; its `scale` is one number for three of them.
    """
    motion = np.array(measured["motion"])
    np.testing.assert_allclose(motion, [0.0119, 0.0123, 0.0121, 0.123, 0.117, 0.117], rtol=0.03)
    stated = [action(key).scale.to_joint(np.array([1.0]))[0] for key in
              "x y z roll pitch yaw".split()]  # fmt: skip
    np.testing.assert_allclose(motion, stated, rtol=0.12)
    for place in measured["base"].values():
        np.testing.assert_allclose(place[3:], [0, 0, 0, 1], atol=1e-6)
    assert {output.frame for output in ROBOT.commands} == {"fer_link0"}


def test_what_the_tool_is_sent_adds_up_so_actions_are_deltas(measured):
    """The same number again moves as far again, and zeros hold."""
    first, second, fourth = measured["way_m"]
    assert fourth - second == pytest.approx(2 * (second - first), rel=0.03)
    assert measured["held_m"] < 1e-3, "in five seconds"
    assert {action(key).representation for key in "x y z roll pitch yaw".split()} == {"delta"}


def test_the_largest_motion_is_that_by_which_the_files_limits_were_chosen(measured):
    """Of the tool with 1.0, at each step of the physics."""
    move, turn = np.array(measured["fastest"]).reshape(2, 3, 3).max(axis=1)
    np.testing.assert_allclose(move, [0.27, 7.0, 971.0], rtol=0.03)
    np.testing.assert_allclose(turn[:2], [2.1, 44.0], rtol=0.03)
    np.testing.assert_allclose(measured["alternating"][1:], [8.9, 5661.0], rtol=0.03)


def test_the_pose_is_of_the_point_between_the_fingers_and_of_the_hands_rotation(measured):
    """In the simulation's world, whose axes are the base's and whose origin is not."""
    links = measured["links"]
    tool = np.array(links["tool"])
    np.testing.assert_allclose(tool, links["observed"], atol=1e-9)  # what the policy has seen
    np.testing.assert_allclose(tool[:3], links["site"], atol=1e-9)
    np.testing.assert_allclose(tool[3:], links["hand"], atol=1e-9)
    np.testing.assert_allclose(links["from_hand_m"], [0, 0, 0.097], atol=5e-4)
    np.testing.assert_allclose(links["hand_m"], [0, 0, 0.1065], atol=5e-4)
    np.testing.assert_allclose(np.abs(links["finger_axis"]), [0, 1, 0], atol=1e-6)
    assert 0.0584 - links["finger_m"][2] == pytest.approx(0.006, abs=5e-4)  # franka_description
    np.testing.assert_allclose(links["hand_x"], [0.7071, -0.7071, 0], atol=1e-3)
    wanted = {
        "libero_object": [-0.60, 0, 0],
        **dict.fromkeys(("libero_spatial", "libero_goal"), [-0.66, 0, 0.912]),
        "libero_10": [-0.51, 0, 0.42],
    }
    for suite, place in wanted.items():
        np.testing.assert_allclose(measured["base"][suite][:3], place, atol=1e-3, err_msg=suite)
    poses = [stream for stream in ROBOT.state if stream.key != "gripper"]
    assert {(one.topic, one.frame) for one in poses} == {("/ee_pose", "world")}


def test_one_opens_the_gripper_and_its_second_finger_counts_downwards(measured):
    """LIBERO's wrapper sends 1 - 2g, so the policy's 1 is -1 there."""
    np.testing.assert_allclose(measured["open"], [0.04, -0.04], atol=2e-3)
    np.testing.assert_allclose(measured["closed"], [0.0, 0.0], atol=2e-3)
    (gripper,) = [one for one in ROBOT.state if one.key == "gripper"]
    sent = gripper.scale.to_policy(gripper.scale.fraction(np.array([0.04, 0.04])))
    np.testing.assert_allclose(sent, [0.04, -0.04])
    assert action("gripper").scale.to_joint(np.array([1.0]))[0] == pytest.approx(0.04)


def test_the_hand_points_down_by_the_branch_of_the_file(measured):
    """Half a turn about x from its base, and its number goes on beyond half a turn."""
    near = next(one.near for one in ROBOT.state if one.key == "roll")
    np.testing.assert_allclose(measured["axis_angle"], near, atol=0.1)
    up, down = np.array(measured["turned"])
    assert (np.diff(up) > 0).all() and up[-1] > np.pi + 0.3
    assert (np.diff(down) < 0).all() and down[-1] < np.pi - 0.3


def test_pictures_of_the_simulation_are_a_real_cameras_and_the_policys_are_mirrored(measured):
    """A finger is where a pinhole camera sees it; libero_env turns the columns of that round."""
    # of a finger before the wrist's camera only a part is seen, so its middle is another one
    for name, tolerance_px in (("agentview", 6), ("robot0_eye_in_hand", 35)):
        picture = measured["pictures"][name]
        seen = [picture["row"], picture["column"]]
        np.testing.assert_allclose(seen, picture["wanted"], atol=tolerance_px, err_msg=name)
        mirrored = 255.0 - picture["column"]
        assert abs(mirrored - picture["wanted"][1]) > 2 * tolerance_px, "it would look the same"
    assert all(one.framing and one.framing.flip_horizontal for one in ROBOT.video)
