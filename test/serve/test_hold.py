"""The hold policy commands the measured state, or refuses the embodiment."""

from dataclasses import replace

import numpy as np
import pytest

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.endpoints import check_action
from gr00t_ros.serve.policies import HoldPolicy


@pytest.fixture(scope="module")
def embodiment():
    """The shipped DROID arm."""
    return load_embodiment("franka_droid")


def test_every_step_of_every_key_is_the_newest_state(embodiment):
    """A history of two states holds the second."""
    rng = np.random.default_rng(1)
    state = {
        stream.key: rng.normal(size=(1, 2, stream.width)).astype(np.float32)
        for stream in embodiment.state
    }
    policy = HoldPolicy(embodiment)
    action, info = policy({"video": {}, "state": state, "language": {}}, None)
    check_action(action, policy.modality)
    assert info == {} and policy.reset(None) == {}
    for key, chunk in action.items():
        assert chunk.shape[1] == embodiment.action_horizon
        assert np.array_equal(chunk, np.broadcast_to(state[key][:, 1:], chunk.shape))


@pytest.mark.parametrize(
    "change", [{"key": "base_velocity"}, {"width": 3}, {"representation": "delta"}]
)
def test_a_key_that_state_cannot_hold_is_refused_by_name(embodiment, change):
    """Zeros are no hold for an absolute key, and a state is none for a delta."""
    key = replace(embodiment.action[-1], **change)
    with pytest.raises(EmbodimentError, match=f"action.{key.key}: the hold policy"):
        HoldPolicy(replace(embodiment, action=(*embodiment.action[:-1], key)))
