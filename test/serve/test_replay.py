"""The replay policy behaves as upstream's ReplayPolicy in steps, replies and resets."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.dataset.lerobot import Columns
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.replay_policy import ReplayPolicy
from gr00t_ros.serve.robots import Robots
from gr00t_ros.wire.codec import decode, encode

ROBOT = load_embodiment("franka_droid")
WIDTHS = {action.key: action.width for action in ROBOT.action}
OBSERVATION = {"video": {"a": np.zeros((1, 2, 4, 4, 3), np.uint8)}}


def dataset(lengths=(50, 7), fps=15.0, **widths):
    """Episodes whose every value is 100 * episode + step."""
    found = SimpleNamespace(path="set", fps=fps, lengths=dict(enumerate(lengths)))
    found.actions = {key: Columns("action", 0, n) for key, n in (WIDTHS | widths).items()}

    def episode(index):
        if index not in found.lengths:
            raise SettingsError(f"no episode {index}")
        steps = np.arange(found.lengths[index], dtype=np.float32)[:, np.newaxis] + 100 * index
        return {key: np.repeat(steps, n, axis=1) for key, n in WIDTHS.items()}

    found.episode = episode
    return found


def policy(execution_horizon=8, **settings):
    """A replay of that dataset for the shipped arm."""
    return ReplayPolicy(dataset(**settings), ROBOT, execution_horizon)


def steps_of(action):
    """The steps of a chunk, after a look at its keys, shapes and types."""
    assert {key: values.shape for key, values in action.items()} == {
        key: (1, 40, width) for key, width in WIDTHS.items()
    }
    assert {values.dtype for values in action.values()} == {np.dtype(np.float32)}
    return action["joint_position"][0, :, 0].tolist()


def test_each_chunk_begins_where_the_client_is_and_the_last_step_is_held():
    """As upstream: on by the execution horizon, padded with the last action, past the end too."""
    replay = policy(execution_horizon=30)
    chunks = [replay(OBSERVATION, None) for _ in range(3)]
    assert [info["current_step"] for _, info in chunks] == [0, 30, 60]
    assert steps_of(chunks[0][0]) == list(range(40))
    assert steps_of(chunks[1][0]) == [*range(30, 50), *[49] * 20]
    assert steps_of(chunks[2][0]) == [49] * 40
    assert chunks[0][1] == {"current_step": 0, "episode_length": 50, "episode_index": 0}


def test_a_reset_chooses_episode_and_step_and_says_where_it_is():
    """With upstream's names; without options it is the start of the same episode."""
    replay = policy()
    where = {"episode_index": 1, "episode_length": 7, "current_step": 3}
    assert replay.reset({"episode_index": 1, "step_index": 3}) == where
    assert steps_of(replay(OBSERVATION, None)[0])[:5] == [103, 104, 105, 106, 106]
    assert replay.reset(None) == where | {"current_step": 0}
    assert replay.reset({"step_index": 2}) == where | {"current_step": 2}
    assert replay.reset({"episode_index": 0})["episode_length"] == 50


@pytest.mark.parametrize(
    "options",
    [
        {"episode_index": 2},
        {"episode_index": -1},
        {"episode_index": "0"},
        {"step_index": 7, "episode_index": 1},
        {"step_index": 1.0},
        {"step_index": True},
    ],
)
def test_a_reset_to_nowhere_is_refused_and_changes_nothing(options):
    """The client is told; the replay goes on where it was."""
    replay = policy()
    replay(OBSERVATION, None)
    with pytest.raises(SettingsError):
        replay.reset(options)
    assert replay(OBSERVATION, None)[1] == {
        "current_step": 8,
        "episode_length": 50,
        "episode_index": 0,
    }


@given(st.integers(1, 40), st.lists(st.integers(0, 49), max_size=4))
def test_executing_as_announced_replays_the_episode_whole(execution_horizon, starts):
    """From any step: no step twice, none left out."""
    replay = policy(execution_horizon)
    for start in (0, *starts):
        replay.reset({"step_index": start})
        seen = []
        while len(seen) < 50 - start:
            seen += steps_of(replay(OBSERVATION, None)[0])[:execution_horizon]
        assert seen[: 50 - start] == list(range(start, 50))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"fps": 20.0}, "20 steps a second, expected rate_hz 15"),
        ({"joint_position": 6}, "joint_position has width 6"),
        ({"execution_horizon": 0}, "execution horizon 0"),
        ({"execution_horizon": 41}, "execution horizon 41"),
    ],
)
def test_a_dataset_of_another_robot_is_refused(settings, text):
    """A replay at another rate or of other joints is another motion."""
    with pytest.raises(SettingsError, match=text):
        policy(**settings)


def test_a_dataset_without_a_key_is_refused():
    """Also where the embodiment ignores it: a server returns what it announces."""
    robot = replace(ROBOT, action=(*ROBOT.action, replace(ROBOT.action[0], key="base")))
    with pytest.raises(SettingsError, match=r"action\.base has width none"):
        ReplayPolicy(dataset(), robot, 8)


def test_reset_and_steps_over_the_wire(serve, connect):
    """The reply's fields as upstream's client reads them."""
    peer = connect(serve(policy()).address)
    options = {"episode_index": 1, "step_index": 2}
    reply = peer.ask(encode({"endpoint": "reset", "data": {"options": options}}, "npy"))
    assert decode(reply) == {"episode_index": 1, "episode_length": 7, "current_step": 2}
    options = {"episode_index": 9}
    reply = peer.ask(encode({"endpoint": "reset", "data": {"options": options}}, "npy"))
    assert "no episode 9" in decode(reply)["error"]


def test_two_robots_replay_at_their_own_steps():
    """The place in the episode is a memory too."""
    shared = Robots(policy)
    left, right = {"robot_id": "left"}, {"robot_id": "right", "episode_index": 1, "step_index": 2}
    assert shared.reset(left)["current_step"] == 0
    told = {"episode_index": 1, "episode_length": 7, "current_step": 2, "robot_id": "right"}
    assert shared.reset(right) == told
    steps = [shared(OBSERVATION, who)[1]["current_step"] for who in (left, right, left, None)]
    assert steps == [0, 2, 8, 0]
