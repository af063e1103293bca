"""A rolled state: joints that the node commands, poses computed from them, the stamp; no more."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr00t_ros.errors import RefusedError, SettingsError
from gr00t_ros.observe.modality import ModalityEntry
from gr00t_ros.observe.observation import Observation
from gr00t_ros.observe.readings import JointReading, encode
from gr00t_ros.observe.rolled import StateRoll
from gr00t_ros.robot.files import load_embodiment

DROID = load_embodiment("franka_droid")
G1 = load_embodiment("unitree_g1")
MOVES = st.lists(st.floats(-0.3, 0.3), min_size=8, max_size=8).map(np.array)
BY_NS = 123_000_000


def measured(robot, positions):
    """The observation of these positions, name -> rad."""
    reading = JointReading(tuple(positions), np.array(list(positions.values())))
    state = {s.key: encode(s, reading)[None] for s in robot.state}
    return Observation(10**9, {"a": ()}, state)


def droid(moved=None):
    """The observation of the arm at some position, or by `moved` (J,) further."""
    names = DROID.joint_names
    at = np.array([0.1, -0.5, 0.2, -2.0, 0.1, 1.6, 0.3, 0.4])
    return measured(DROID, dict(zip(names, at if moved is None else at + moved, strict=True)))


@given(MOVES)
@settings(max_examples=25, deadline=None)
def test_it_is_the_observation_that_will_be_measured_there(moves):
    """Joints and the pose that is computed from them agree; the gripper stays as measured."""
    checked = np.isfinite(DROID.limits.jump)
    assert checked.sum() == 7
    rolled = StateRoll(DROID).roll(droid(), BY_NS, moves)
    expected = droid(np.where(checked, moves, 0.0))
    for key, values in expected.state.items():
        assert rolled.state[key].dtype == np.float32
        np.testing.assert_allclose(rolled.state[key], values, atol=3e-6)
    assert rolled.stamp_ns == droid().stamp_ns + BY_NS and rolled.video == droid().video


def test_the_measured_observation_is_not_changed():
    """Others look at it too."""
    observation = droid()
    StateRoll(DROID).roll(observation, BY_NS, np.full(8, 0.1))
    for key, values in droid().state.items():
        np.testing.assert_array_equal(observation.state[key], values)


def test_what_only_is_measured_stays_as_it_was_measured():
    """A humanoid's legs belong to its balance controller."""
    names = {name: 0.1 for stream in G1.state for name in stream.names}
    observation = measured(G1, names)
    rolled = StateRoll(G1).roll(observation, BY_NS, np.full(len(G1.joint_names), 0.05))
    for key in ("left_leg", "right_leg"):
        np.testing.assert_array_equal(rolled.state[key], observation.state[key])
    np.testing.assert_allclose(rolled.state["left_arm"], 0.15, atol=1e-6)


def test_a_scaled_joint_is_rolled_in_its_own_unit_and_clipped_to_its_scale():
    """As a measured one."""
    robot = load_embodiment("franka_droid")
    limits = replace(robot.limits, jump=np.full_like(robot.limits.jump, 0.5))
    roll, (gripper,) = StateRoll(replace(robot, limits=limits)), droid().state["gripper_position"]
    for by, expected in ((0.08, gripper + 0.1), (5.0, 1.0), (-5.0, 0.0)):
        rolled = roll.roll(droid(), BY_NS, np.array([*[0.0] * 7, by]))
        np.testing.assert_allclose(rolled.state["gripper_position"][0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "text"),
    [("real_g1", "measured pose"), ("libero_panda", "no state"), ("simpler_widowx", "no state")],
)
def test_a_robot_whose_state_cannot_be_rolled_is_refused(name, text):
    """Part of a state at another time would be one that never was."""
    with pytest.raises(SettingsError, match=f"roll_state: .*{text}.*expected roll_state false"):
        StateRoll(load_embodiment(name))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"delta_indices": (-1, 0)}, "has a history"),
        ({"names": ("fr3_joint1", "elsewhere")}, "computed from elsewhere, which no state has"),
    ],
)
def test_a_history_and_a_pose_of_unknown_joints_are_refused(change, text):
    """What is not sent cannot be computed from what is."""
    streams = tuple(replace(s, **change) if s.key == "eef_9d" else s for s in DROID.state)
    with pytest.raises(SettingsError, match=text):
        StateRoll(replace(DROID, state=streams))


def config(**reps):
    """A server's config with these representations of its action keys."""
    entry = ModalityEntry((0,), tuple(reps), tuple({"rep": rep} for rep in reps.values()))
    return {"action": entry}


def test_actions_relative_to_a_state_that_is_not_rolled_are_refused():
    """A gripper's, which stays as it was measured; the arm's and an ignored pose's are right."""
    roll = StateRoll(DROID)
    roll.refuse_relative({})
    arm = {"joint_position": "RELATIVE", "eef_9d": "RELATIVE"}
    roll.refuse_relative(config(**arm, gripper_position="ABSOLUTE"))
    with pytest.raises(RefusedError, match="gripper_position is relative, and .* cannot be"):
        roll.refuse_relative(config(**arm, gripper_position="RELATIVE"))
