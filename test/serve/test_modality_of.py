"""The modality config that our servers announce is the one that the node expects."""

from dataclasses import replace

import pytest

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.observe.modality import compare
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.policies import modality_of, state_widths


@pytest.fixture(scope="module")
def embodiment():
    """The shipped DROID arm."""
    return load_embodiment("franka_droid")


@pytest.mark.parametrize("name", ["franka_droid", "franka_droid_n16"])
def test_the_config_made_of_a_file_does_not_differ_from_that_file(name):
    """The comparison is its mirror."""
    embodiment = load_embodiment(name)
    assert compare(embodiment, modality_of(embodiment)) == ()


def test_droids_config_has_the_keys_and_histories_of_upstream(embodiment):
    """N1.7's oxe_droid_relative_eef_relative_joint (embodiment_configs.py at 23ace64)."""
    config = modality_of(embodiment)
    assert config["video"].delta_indices == (-15, 0)
    assert config["video"].keys == ("exterior_image_1_left", "wrist_image_left")
    assert config["state"].keys == ("eef_9d", "gripper_position", "joint_position")
    assert config["action"].delta_indices == tuple(range(40))
    assert config["language"].keys == ("annotation.language.language_instruction",)
    kinds = [(item["type"], item["format"]) for item in config["action"].action_configs]
    assert kinds == [("EEF", "XYZ_ROT6D"), ("NON_EEF", "DEFAULT"), ("NON_EEF", "DEFAULT")]


def test_state_widths_are_those_of_the_file(embodiment):
    """Pose of nine, one gripper, seven joints."""
    widths = {"eef_9d": 9, "gripper_position": 1, "joint_position": 7}
    assert state_widths(embodiment) == widths


def test_two_cameras_of_different_history_cannot_be_one_modality(embodiment):
    """A server has one list of delta indices for all cameras."""
    first, second = embodiment.video
    uneven = replace(embodiment, video=(first, replace(second, delta_indices=(0,))))
    with pytest.raises(EmbodimentError, match="video: got different delta_indices"):
        modality_of(uneven)
