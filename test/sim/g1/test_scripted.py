"""The G1's scripted policy does its task by sight, and only then, in a closed loop without ROS."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the simulator is not installed")

from closed_loop import NEEDS_G1, ClosedLoop, observe  # noqa: E402

from gr00t_ros.errors import EmbodimentError, ObservationError  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.serve.policies import make_policy  # noqa: E402
from gr00t_ros.sim.cameras import Cameras  # noqa: E402
from gr00t_ros.sim.g1.scene import Reach  # noqa: E402
from gr00t_ros.sim.g1.scripted import parse_colour  # noqa: E402
from gr00t_ros.sim.physics import Simulation  # noqa: E402
from gr00t_ros.sim.robots import G1  # noqa: E402

pytestmark = NEEDS_G1

N17, N16 = load_embodiment("unitree_g1"), load_embodiment("unitree_g1_n16")


@pytest.mark.parametrize(
    ("embodiment", "seed", "latency_s"),
    [(N17, 0, 0.15), (N16, 2, 0.06), (N17, 4, 0.4)],
    ids=["N1.7, left hand", "N1.6, fast server", "N1.7, slow server"],
)
def test_the_nearer_hand_comes_to_the_red_cube(embodiment, seed, latency_s):
    """Through guard and replay, with the other arm, waist and hands where they were."""
    loop = ClosedLoop(embodiment, seed)
    loop.latency_s = latency_s
    outcome = loop.run(12.0)
    assert outcome.success, outcome.infos[-1]
    assert all(verdict.accepted for verdict in outcome.verdicts)
    assert outcome.tracking_rad < 0.03
    red_m = loop.simulation.data.body("red_cube").xpos
    side = "left" if red_m[1] > 0.0 else "right"
    assert {info["hand"] for info in outcome.infos} == {side}
    moved = np.abs(loop.simulation.joint_state()[1] - G1.ready_rad)
    still = [i for i, name in enumerate(G1.joint_names) if not name.startswith(side)]
    assert moved[still].max() < 0.02


def swapped(observation) -> None:
    """R and B exchanged, as an unconverted bgr8 picture has them."""
    observation["video"] = {key: frames[..., ::-1] for key, frames in observation["video"].items()}


def mirrored(observation) -> None:
    """Left and right exchanged."""
    observation["video"] = {
        key: frames[:, :, :, ::-1] for key, frames in observation["video"].items()
    }


def black(observation) -> None:
    """A camera with its cap on."""
    observation["video"] = {key: frames * 0 for key, frames in observation["video"].items()}


def exchanged_arms(observation) -> None:
    """Left and right state exchanged."""
    state = observation["state"]
    state["left_arm"], state["right_arm"] = state["right_arm"], state["left_arm"]


@pytest.mark.parametrize("breakage", [swapped, mirrored, black, exchanged_arms])
def test_a_wrong_observation_is_a_failure(breakage):
    """The demo really tests pictures and orders: none of these reaches the red cube."""
    loop = ClosedLoop(N17, 0)
    loop.alter = breakage
    assert not loop.run(7.0).success


def test_swapped_colours_send_the_hand_to_the_blue_cube():
    """It does what it sees."""
    loop = ClosedLoop(N17, 0)
    loop.task = Reach(loop.simulation, "blue")
    loop.alter = swapped
    assert loop.run(10.0).success


def test_another_colour_is_reached_where_the_words_say_so():
    """The same scene, another sentence."""
    loop = ClosedLoop(N17, 1)
    loop.task = Reach(loop.simulation, "green")
    loop.text = "please touch the green cube"
    assert loop.run(10.0).success


@pytest.mark.parametrize(
    "text", ["open the drawer", "reach for the purple cube", "do not reach for the red cube", ""]
)
def test_what_is_not_understood_moves_nothing(text):
    """The answer holds the measured posture, and its info says why."""
    simulation = Simulation(G1, 0)
    with Cameras(simulation.model, *G1.picture_px) as cameras:
        picture = cameras.render(simulation.positions(), ["ego_view"])["ego_view"]
    observation = observe(N17, simulation, picture, text)
    action, info = make_policy("scripted", N17)(observation, None)
    assert info["phase"] == "still"
    assert info["reason"]
    for key in ("left_arm", "right_arm", "left_hand", "right_hand", "waist"):
        held = observation["state"][key][:, -1:]
        assert np.allclose(action[key], np.repeat(held, N17.action_horizon, axis=1), atol=1e-6)
    assert np.all(action["navigate_command"] == 0.0)


def test_a_state_that_is_no_number_is_an_error():
    """Not a motion."""
    simulation = Simulation(G1, 0)
    observation = observe(N17, simulation, np.zeros((240, 320, 3), np.uint8), G1.instruction)
    observation["state"]["waist"] = observation["state"]["waist"] * np.nan
    with pytest.raises(ObservationError, match="waist"):
        make_policy("scripted", N17)(observation, None)


def test_an_embodiment_without_the_head_camera_is_refused():
    """With the name of what is missing."""
    other = replace(N17, video=(replace(N17.video[0], key="wrist_view"),))
    with pytest.raises(EmbodimentError, match="ego_view"):
        make_policy("scripted", other)


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("Reach for the red cube.", "red"),
        ("please touch the green block", "green"),
        ("move your hand to the blue cube", "blue"),
        ("reach the the cube", None),
        ("do not touch the red cube", None),
    ],
)
def test_sentences(text, colour):
    """Half a sentence is no task."""
    assert parse_colour(text) == colour
