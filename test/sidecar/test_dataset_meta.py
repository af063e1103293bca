"""A GR00T dataset's metadata: keys, rate, sizes and names, and from them a starting file."""

import json

import pytest
import yaml

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.core.schema import FILL_IN
from gr00t_ros.sidecar.dataset_meta import read_dataset_meta
from gr00t_ros.sidecar.known import Camera, Controller, JointRange, Known
from gr00t_ros.sidecar.skeleton import skeleton

MODALITY = {
    "state": {"arm": {"start": 0, "end": 2}, "gripper": {"start": 2, "end": 3}},
    "action": {"arm": {"start": 0, "end": 2}, "gripper": {"start": 2, "end": 3}},
    "video": {"front": {"original_key": "observation.images.front"}},
    "annotation": {"human.task_description": {"original_key": "task_index"}},
}
INFO = {
    "fps": 30,
    "features": {
        "observation.state": {"names": ["pan", "lift", "jaw"]},
        "action": {"names": {"motors": ["pan", "lift", "jaw"]}},
        "observation.images.front": {"shape": [480, 640, 3]},
    },
}


@pytest.fixture
def dataset(tmp_path):
    """Write the metadata, changed as told, and return its folder."""

    def write(modality=MODALITY, info=INFO):
        (tmp_path / "meta").mkdir(exist_ok=True)
        (tmp_path / "meta" / "modality.json").write_text(json.dumps(modality))
        (tmp_path / "meta" / "info.json").write_text(json.dumps(info))
        return tmp_path

    return write


def started(folder, known=None):
    """The YAML begun from the dataset, with further knowledge laid over its own."""
    modality, own = read_dataset_meta(folder)
    return yaml.safe_load(skeleton(modality, "d", "new_embodiment", known(own) if known else own))


def test_keys_rate_sizes_and_names_are_the_datasets(dataset):
    """In the order of its files; the horizon is not in a dataset and stays open."""
    modality, known = read_dataset_meta(dataset())
    assert modality["video"].keys == ("front",)
    assert modality["action"].keys == ("arm", "gripper")
    assert modality["language"].keys == ("annotation.human.task_description",)
    assert (known.rate_hz, known.sizes) == (30.0, {"front": (480, 640)})
    assert known.state_names == {"arm": ("pan", "lift"), "gripper": ("jaw",)}
    assert known.action_names == known.state_names
    file = started(dataset())
    assert (file["rate_hz"], file["action_horizon"]) == (30, FILL_IN)
    assert file["video"]["front"]["size"] == [480, 640]
    assert file["state"]["arm"]["topic"] == FILL_IN  # a dataset knows no topics


def test_a_robot_whose_joints_have_the_datasets_names_settles_states_and_outputs(dataset):
    """One joint state topic has the names, one controller moves them, the URDF limits them."""

    def seen(own):
        return Known(
            rate_hz=own.rate_hz,
            state_names=own.state_names,
            action_names=own.action_names,
            cameras=(Camera("/cam", 480, 640, "raw", 30.0),),
            joint_topics={"/joint_states": ("lift", "pan", "jaw", "wheel")},
            controllers=(
                Controller("arm", "/arm_controller/joint_trajectory", "/s", ("pan", "lift")),
            ),
            ranges={"pan": JointRange(-1.0, 2.0, 3.0)},
        )

    file = started(dataset(), seen)
    assert file["state"]["arm"] == {
        "from": "joints",
        "topic": "/joint_states",
        "names": ["pan", "lift"],
        "delta_indices": [0],
    }
    assert file["action"]["arm"] == {"output": "arm", "names": ["pan", "lift"]}
    assert file["action"]["gripper"] == {"output": FILL_IN}
    assert file["outputs"]["arm"]["names"] == ["pan", "lift"]
    assert file["limits"]["pan"]["position"] == [-1.0, 2.0]
    assert file["limits"]["pan"]["acceleration"] == FILL_IN
    assert file["limits"]["lift"]["velocity"] == FILL_IN
    assert file["video"]["front"]["topic"] == FILL_IN  # one camera may still be the wrong one


def test_two_topics_with_the_same_joints_settle_nothing(dataset):
    """Which of them the policy was trained on is nobody's guess."""

    def seen(own):
        names = ("pan", "lift", "jaw")
        return Known(state_names=own.state_names, joint_topics={"/a": names, "/b": names})

    assert started(dataset(), seen)["state"]["arm"]["topic"] == FILL_IN


@pytest.mark.parametrize(
    ("modality", "info", "reason"),
    [
        (MODALITY | {"state": {"arm": {"end": 2}}}, INFO, r"state\.arm: expected start and end"),
        (MODALITY | {"action": {"arm": {"start": 3, "end": 2}}}, INFO, "0 <= start < end"),
        (MODALITY | {"video": [1]}, INFO, "video is"),
        (MODALITY, INFO | {"fps": 0}, "fps is 0"),
    ],
)
def test_broken_metadata_is_refused_with_its_place(dataset, modality, info, reason):
    """The file and the key are in the message."""
    with pytest.raises(SettingsError, match=reason):
        read_dataset_meta(dataset(modality, info))


def test_a_dataset_without_names_still_tells_the_widths(dataset):
    """The columns' numbers stand for the names, in the comment only."""
    info = INFO | {"features": {}}
    _, known = read_dataset_meta(dataset(MODALITY, info))
    assert known.state_names == {"arm": ("0", "1"), "gripper": ("2",)}
    assert known.sizes == {}
