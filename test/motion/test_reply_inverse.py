"""What was commanded, in the form of a reply: `from_reply` makes of it what it was."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from ramp_robot import robot

from gr00t_ros.motion.chunk import from_reply, to_reply
from gr00t_ros.robot.files import load_embodiment

FILES = sorted((Path(__file__).parents[2] / "config" / "embodiments").glob("*.yaml"))
SHIPPED = {path.stem: load_embodiment(str(path)) for path in FILES}
ROBOTS = {**SHIPPED, "all outputs": robot()}


def random_reply(embodiment, seed):
    """A reply with numbers of every key, and rotations where a pose needs them."""
    rng = np.random.default_rng(seed)
    rows = embodiment.action_horizon
    reply = {
        key.key: rng.normal(size=(rows, key.width)).astype(np.float32) for key in embodiment.action
    }
    for output in embodiment.poses:
        key = next(one for one in embodiment.action if one.output == output.name)
        turns = rng.normal(size=(rows, 4))
        turns /= np.linalg.norm(turns, axis=1, keepdims=True)
        reply[key.key][:, 3:] = turns * np.where(turns[:, 3:] < 0, -1, 1)
    return reply


@pytest.mark.parametrize("name", ROBOTS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=examples(4), deadline=None)
def test_the_inverse_of_a_chunk_makes_the_same_chunk(name, seed):
    """For every shipped file: joints, commands and poses come back, the ignored keys aside."""
    embodiment = ROBOTS[name]
    first = random_reply(embodiment, seed)
    chunk = from_reply(embodiment, first, 0, 0, 1)
    poses = {output: one.steps for output, one in chunk.poses.items()}
    inverse = to_reply(embodiment, chunk.joints, chunk.commands, poses)
    mapped = {key.key for key in embodiment.action if key.output is not None}
    assert mapped <= set(inverse)
    again = from_reply(embodiment, {**first, **inverse}, 0, 0, 1)
    np.testing.assert_allclose(again.joints, chunk.joints, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(again.commands, chunk.commands, rtol=1e-5, atol=1e-5)
    for output, one in chunk.poses.items():
        for before, after in zip(one.steps, again.poses[output].steps, strict=True):
            assert max(before.away_from(after)) < 1e-5
    for key in embodiment.action:
        if key.output is not None and key.threshold is None:
            np.testing.assert_allclose(inverse[key.key], first[key.key], rtol=1e-4, atol=1e-5)


def test_a_joint_on_its_way_has_the_value_of_the_end_it_moves_to():
    """A threshold's value says open or closed; the joint takes half a second for it."""
    embodiment = SHIPPED["franka_droid"]
    joints = np.zeros((4, 8))
    joints[:, 7] = [0.0, 0.1, 0.7, 0.2]
    speeds = np.zeros((4, 8))
    speeds[:, 7] = [0.0, 0.5, -0.5, 0.0]
    nothing = np.zeros((4, 0))
    moving = to_reply(embodiment, joints, nothing, {}, speeds)["gripper_position"]
    assert moving.ravel().tolist() == [0.0, 1.0, 0.0, 0.25]


def test_an_ignored_pose_is_computed_where_the_commanded_joints_have_it():
    """The DROID file's eef_9d is the flange of the commanded joints; the G1's wrists are not."""
    droid = SHIPPED["franka_droid"]
    made = to_reply(droid, np.full((2, 8), 0.3), np.zeros((2, 0)), {})
    assert list(made) == ["eef_9d", "gripper_position", "joint_position"]
    assert np.isfinite(made["eef_9d"]).all() and made["eef_9d"].shape == (2, 9)
    g1 = SHIPPED["real_g1"]
    joints, commands = np.zeros((1, len(g1.joint_names))), np.zeros((1, 4))
    assert "left_wrist_eef_9d" not in to_reply(g1, joints, commands, {})
