"""The scripted policy does its task by sight, and only then, in a closed loop without ROS."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the simulator is not installed")

from closed_loop import NEEDS_MODEL, ClosedLoop, fastest, observe  # noqa: E402

from gr00t_ros.errors import EmbodimentError, ObservationError  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.serve.endpoints import check_nested  # noqa: E402
from gr00t_ros.serve.policies import make_policy as make_by_name  # noqa: E402
from gr00t_ros.sim.cameras import Cameras  # noqa: E402
from gr00t_ros.sim.franka.kinematics import LOWER_RAD, UPPER_RAD  # noqa: E402
from gr00t_ros.sim.franka.scene import cube_on_plate  # noqa: E402
from gr00t_ros.sim.franka.scripted import make_policy  # noqa: E402
from gr00t_ros.sim.physics import Simulation  # noqa: E402
from gr00t_ros.sim.robots import FRANKA  # noqa: E402

pytestmark = NEEDS_MODEL

N17, N16 = load_embodiment("franka_droid"), load_embodiment("franka_droid_n16")
GRIPPER_S = 2 * 0.44 / 0.25  # to the cube and back, rad, at half of the 2F-85's 0.5 rad/s
GIVE_UP_S = 12.0 + GRIPPER_S


@pytest.fixture(scope="module")
def simulation():
    """Seed 1 at its start."""
    return Simulation(FRANKA, 1)


@pytest.fixture(scope="module")
def picture(simulation):
    """What the exterior camera sees of it."""
    with Cameras(simulation.model, 180, 320) as cameras:
        return cameras.render(simulation.positions(), ["exterior"])["exterior"]


def assert_limited(loop: ClosedLoop) -> None:
    """Whatever the policy was told, no target is outside the limits and no step fast."""
    joints = np.concatenate([chunk.joints[:, :7] for chunk in loop.outcome.chunks])
    assert np.all(np.isfinite(joints))
    assert np.all((joints >= LOWER_RAD - 1e-6) & (joints <= UPPER_RAD + 1e-6))
    assert fastest(loop.outcome.chunks, loop.embodiment) < 0.5


@pytest.mark.parametrize(
    ("embodiment", "seed", "latency_s"),
    [(N17, 0, 0.15), (N16, 5, 0.06), (N17, 7, 0.4)],
    ids=["N1.7", "N1.6, fast server", "N1.7, slow server"],
)
def test_the_red_cube_comes_to_the_blue_plate(embodiment, seed, latency_s):
    """Through guard and replay, with the arm where it was told to be."""
    loop = ClosedLoop(embodiment, seed)
    loop.latency_s = latency_s
    outcome = loop.run()
    assert outcome.success, outcome.infos[-1]
    assert outcome.seconds < GIVE_UP_S
    assert outcome.tracking_rad < 0.025
    assert_limited(loop)


def test_nothing_is_refused_at_a_usual_latency():
    """At 150 ms the guard takes every chunk."""
    loop = ClosedLoop(N17, 3)
    outcome = loop.run()
    assert outcome.success
    assert [verdict.reason for verdict in outcome.verdicts if not verdict.accepted] == []


def test_the_green_cube_goes_where_the_words_say():
    """The same scene, another sentence: the red one stays."""
    loop = ClosedLoop(N17, 0)
    loop.text = "put the green cube on the blue plate"
    assert not loop.run(GIVE_UP_S).success
    assert cube_on_plate(loop.simulation, "green")


def test_a_policy_that_forgets_in_mid_air_carries_on():
    """As after a restart of the sidecar: the cube is seen in the hand."""
    loop = ClosedLoop(N17, 6)
    phases: list[str] = []

    def forget_once_carrying(time_s: float) -> None:
        if loop.outcome.infos and loop.outcome.infos[-1]["phase"] == "carry" and not phases:
            loop.policy.reset(None)
            phases.append("forgot")

    loop.before_query = forget_once_carrying
    assert loop.run().success
    assert phases == ["forgot"]


def swapped(observation) -> None:
    """R and B exchanged, as an unconverted bgr8 picture has them."""
    observation["video"] = {key: frames[..., ::-1] for key, frames in observation["video"].items()}


def mirrored(observation) -> None:
    """Left and right exchanged."""
    observation["video"] = {
        key: frames[:, :, :, ::-1] for key, frames in observation["video"].items()
    }


def reversed_joints(observation) -> None:
    """Joint 7 first."""
    observation["state"]["joint_position"] = observation["state"]["joint_position"][..., ::-1]


def exchanged_joints(observation) -> None:
    """Joints 1 and 2 exchanged, which stays inside the limits."""
    order = [1, 0, 2, 3, 4, 5, 6]
    observation["state"]["joint_position"] = observation["state"]["joint_position"][..., order]


def alphabetical(observation) -> None:
    """Another sentence than the task's."""
    observation["language"] = {key: [["open the drawer"]] for key in observation["language"]}


@pytest.mark.parametrize("embodiment", [N17, N16], ids=["N1.7", "N1.6"])
@pytest.mark.parametrize(
    "wrong", [swapped, mirrored, reversed_joints, exchanged_joints, alphabetical]
)
def test_a_wrong_observation_fails_safely(embodiment, wrong):
    """No cube on the plate, and every target limited: success means that the input was right."""
    loop = ClosedLoop(embodiment, 3)
    loop.alter = wrong
    assert not loop.run(GIVE_UP_S).success
    assert_limited(loop)


@pytest.mark.parametrize(
    "text",
    ["put the yellow cube on the blue plate", "put the red cube on the red plate", "", "red cube"],
)
def test_a_wrong_instruction_keeps_the_robot_still(simulation, picture, text):
    """All steps are the state itself, and the info says why."""
    action, info = make_policy(N17)(observe(N17, simulation, picture, text), None)
    held = simulation.joint_state()[1][:7]
    assert np.allclose(action["joint_position"], held, atol=1e-6)
    assert np.all(action["gripper_position"] == 0.0)
    assert info["phase"] == "still"
    assert info["reason"]


@pytest.mark.parametrize("embodiment", [N17, N16], ids=["N1.7", "N1.6"])
def test_the_reply_has_all_keys_of_the_tag_and_starts_at_the_state(embodiment, simulation, picture):
    """(1, H, D) float32 each; step 0 is the command for the observation's own time."""
    policy = make_policy(embodiment)
    observation = observe(embodiment, simulation, picture)
    check_nested(observation, policy.modality)
    action, info = policy(observation, None)
    assert list(action) == [key.key for key in embodiment.action]
    for key in embodiment.action:
        assert action[key.key].shape == (1, embodiment.action_horizon, key.width)
        assert action[key.key].dtype == np.float32
    for key in set(action) & set(observation["state"]):
        if key != "gripper_position":
            assert np.allclose(action[key][0, 0], observation["state"][key][0, 0], atol=1e-5)
    assert info == {"phase": "approach", "reason": ""}


def test_joints_are_taken_by_their_names(simulation, picture):
    """An embodiment that lists them in another order gets another order, and the same motion."""
    order = [6, 2, 0, 1, 5, 4, 3]

    def shuffled(streams):
        return tuple(
            replace(s, names=tuple(s.names[i] for i in order)) if s.key == "joint_position" else s
            for s in streams
        )

    other = replace(N17, state=shuffled(N17.state), action=shuffled(N17.action))
    usual = make_policy(N17)(observe(N17, simulation, picture), None)[0]["joint_position"]
    moved = make_policy(other)(observe(other, simulation, picture), None)[0]["joint_position"]
    assert np.array_equal(moved, usual[..., order])
    assert np.ptp(usual[0], axis=0).max() > 0.1


def test_the_newest_frame_of_the_history_counts(simulation, picture):
    """An old empty frame hides nothing, an old full one shows nothing."""
    observation = observe(N17, simulation, picture)
    frames = observation["video"]["exterior_image_1_left"]
    frames[:, 0] = 0
    assert make_policy(N17)(observation, None)[1]["phase"] == "approach"
    frames[:, 0], frames[:, 1] = picture, 0
    assert make_policy(N17)(observation, None)[1]["phase"] == "still"


def test_a_zero_observation_is_answered_and_forgotten(simulation, picture):
    """The dry inference at connect must not begin an episode."""
    policy = make_policy(N17)
    zero = observe(N17, simulation, picture)
    zero["state"] = {key: np.zeros_like(value) for key, value in zero["state"].items()}
    zero["video"] = {key: np.zeros_like(value) for key, value in zero["video"].items()}
    action, info = policy(zero, None)
    assert info["phase"] == "still"
    assert np.all(np.isfinite(action["joint_position"]))
    assert policy(observe(N17, simulation, picture), None)[1]["phase"] == "approach"


def test_a_hand_that_is_not_where_the_joints_put_it_keeps_the_robot_still(simulation, picture):
    """One of the two is wrong, and nobody can say which."""
    observation = observe(N17, simulation, picture)
    observation["state"]["eef_9d"][..., 0] += 0.2
    info = make_policy(N17)(observation, None)[1]
    assert info["phase"] == "still"
    assert "eef_9d" in info["reason"]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_state_that_is_no_number_is_an_error(simulation, picture, wrong):
    """There is no safe target to return."""
    observation = observe(N17, simulation, picture)
    observation["state"]["joint_position"][0, 0, 3] = wrong
    with pytest.raises(ObservationError, match="not finite"):
        make_policy(N17)(observation, None)


def test_two_robots_are_an_error(simulation, picture):
    """It remembers one episode."""
    observation = observe(N17, simulation, picture)
    for name in ("video", "state"):
        observation[name] = {key: np.repeat(v, 2, axis=0) for key, v in observation[name].items()}
    with pytest.raises(ObservationError, match="one robot"):
        make_policy(N17)(observation, None)


@pytest.mark.parametrize("part", ["video", "state", "action"])
def test_an_embodiment_without_what_it_needs_is_refused(part):
    """By the name of the part, when the server starts and not in motion."""
    with pytest.raises(EmbodimentError, match=part):
        make_policy(replace(N17, **{part: getattr(N17, part)[1:2]}))


def test_the_command_line_finds_it_by_name():
    """`gr00t sidecar scripted` loads this policy."""
    assert type(make_by_name("scripted", N17)) is type(make_policy(N17))
