"""A GR00T dataset's metadata becomes keys, rate, sizes and names, and a starting file."""

import json
from dataclasses import replace

import pytest
import yaml

from gr00t_ros.dataset.embodiment_facts import read_dataset_meta
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.field import FILL_IN
from gr00t_ros.robot.known import JointRange, Known, KnownCamera, KnownController
from gr00t_ros.sidecar.embodiment_skeleton import skeleton

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
            cameras=(KnownCamera("/cam", 480, 640, "raw", 30.0),),
            joint_topics={"/joint_states": ("lift", "pan", "jaw", "wheel")},
            controllers=(
                KnownController("arm", "/arm_controller/joint_trajectory", "/s", ("pan", "lift")),
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
        (
            MODALITY | {"state": {"arm": {"end": 2}}},
            INFO,
            r"state\.arm: start is None, expected start and end",
        ),
        (MODALITY | {"action": {"arm": {"start": 3, "end": 2}}}, INFO, "0 <= start < end"),
        (MODALITY | {"video": [1]}, INFO, "video is"),
        (MODALITY | {"annotation": [1]}, INFO, "annotation is"),
        (MODALITY | {"action": {"arm": {"start": 0, "end": 10**8}}}, INFO, "end is 100000000"),
        (MODALITY | {"action": {"arm": {"start": 0, "end": 4}}}, INFO, "0 to 4 of 'action', which"),
        (MODALITY | {"action": {"arm": {"start": 0.5, "end": 4}}}, INFO, "start is 0.5"),
        (
            MODALITY | {"action": {"arm": {"start": 0, "end": 2, "original_key": "actoin"}}},
            INFO,
            "'actoin' is none of info.json's features: observation.state, action",
        ),
        (MODALITY, INFO | {"features": {"action": {"shape": {}}}}, "observation.state"),
        (MODALITY, INFO | {"codebase_version": "v4.0"}, "'v4.0', expected v2.0 or v2.1 or v3.0"),
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


def features(**changed):
    """INFO with changed features; `state` and `front` stand for their long names."""
    long = {"state": "observation.state", "front": "observation.images.front"}
    new = {long.get(name, name): feature for name, feature in changed.items()}
    return INFO | {"features": INFO["features"] | new}


@pytest.mark.parametrize("version", ["v2.0", "v2.1", "v3.0"])
def test_every_version_of_lerobot_is_read(dataset, version):
    """The two files that are read say the same in all of them."""
    _, known = read_dataset_meta(dataset(info=INFO | {"codebase_version": version}))
    assert known.state_names["arm"] == ("pan", "lift")


@pytest.mark.parametrize(
    "names",
    [
        [["pan", "lift", "jaw"]],
        {"motors": [["pan", "lift"], ["jaw"]]},
        {"arm": {"motors": ["pan", "lift"]}, "hand": "jaw"},
        {"jaw": 2, "pan": 0, "lift": 1},
    ],
)
def test_names_in_lists_and_maps_are_the_columns_names(dataset, names):
    """However deep; a map of names to columns goes by the columns."""
    _, known = read_dataset_meta(dataset(info=features(action={"names": names, "shape": [3]})))
    assert known.action_names == {"arm": ("pan", "lift"), "gripper": ("jaw",)}
    assert not known.questions


@pytest.mark.parametrize(
    ("action", "question"),
    [
        ({"names": {"pan": 0, "lift": 2}, "shape": [3]}, "which name has each of 3 columns"),
        ({"names": ["pan", "lift"], "shape": [3]}, "which name has each of 3 columns"),
        ({"names": ["pan", ["lift"]], "shape": [3]}, "which name has each of 3 columns"),
        ({"names": ["pan", "pan", "jaw"]}, "several columns pan"),
    ],
)
def test_names_that_are_not_certain_are_asked(dataset, action, question):
    """A wrong order would be another motion: nothing is filled in, the question is in the file."""
    folder = dataset(info=features(action=action))
    modality, known = read_dataset_meta(folder)
    assert question in known.questions["action.arm"][0]
    controller = KnownController("arm", "/c", "/s", known.action_names["arm"])
    begun = skeleton(modality, "d", "t", replace(known, controllers=(controller,)))
    assert yaml.safe_load(begun)["action"]["arm"] == {"output": FILL_IN}
    assert f'# QUESTION: "{known.questions["action.arm"][0]}'.split("'")[0] in begun


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"absolute": False}, 'QUESTION: "absolute is not true: deltas?'),
        ({"rotation_type": "quaternion"}, 'QUESTION: "rotation_type quaternion: part of a pose?'),
        ({"dtype": "float64", "range": [0, 1]}, "modality.json says dtype: float64, range: [0, 1]"),
    ],
)
def test_what_no_field_of_the_file_takes_stands_in_a_comment(dataset, fields, said):
    """Of states and actions alike; deltas and rotations are no joints, whatever their names."""
    keys = {"arm": {"start": 0, "end": 3} | fields}
    modality, known = read_dataset_meta(dataset(MODALITY | {"state": keys, "action": keys}))
    seen = replace(known, joint_topics={"/joint_states": ("pan", "lift", "jaw")})
    text = skeleton(modality, "d", "t", seen)
    assert text.count(said) == 2
    settled = yaml.safe_load(text)["state"]["arm"]["topic"] != FILL_IN
    assert settled == ("dtype" in fields)


def test_columns_of_two_keys_are_asked_about(dataset):
    """One joint under two keys may be meant, and may be a slip."""
    keys = {"arm": {"start": 0, "end": 2}, "gripper": {"start": 1, "end": 3}}
    _, known = read_dataset_meta(dataset(MODALITY | {"state": keys}))
    assert "gripper has columns of it too" in known.questions["state.arm"][0]
    assert "arm has columns of it too" in known.questions["state.gripper"][0]


@pytest.mark.parametrize(
    ("feature", "size"),
    [
        ({"shape": [480, 640, 3]}, (480, 640)),
        ({"shape": [3, 480, 640]}, (480, 640)),
        ({"shape": [640, 480, 3], "names": ["width", "height", "channels"]}, (480, 640)),
        ({"shape": [3, 4, 3], "names": ["channel", "height", "width"]}, (4, 3)),
        ({"shape": [3, 4, 3]}, None),
        ({"shape": [480, 640]}, None),
        ({"shape": [480, 640, 1]}, FILL_IN),
    ],
)
def test_a_cameras_size_is_that_of_its_axes_or_asked(dataset, feature, size):
    """Height before width wherever the channels stand; depth is asked about."""
    folder = dataset(info=features(front=feature))
    _, known = read_dataset_meta(folder)
    sizes = {} if size is None else {"front": size}
    assert known.sizes == sizes or size == FILL_IN
    begun = started(folder)["video"]["front"]["size"]
    assert begun == (list(size) if isinstance(size, tuple) else FILL_IN)
    assert ("video.front" in known.questions) == (not isinstance(size, tuple))


def test_a_camera_without_original_key_is_found_under_its_long_name(dataset):
    """As GR00T looks for it; one that is nowhere is asked about."""
    video = {"front": {}, "side": {}}
    _, known = read_dataset_meta(dataset(MODALITY | {"video": video}))
    assert known.sizes == {"front": (480, 640)}
    assert "no feature of 'side'" in known.questions["video.side"][0]


@pytest.fixture
def converted(dataset):
    """The metadata that the converter writes of a robot of three joints."""
    files = pytest.importorskip("dataset_files")
    info = files.info("v2.1", [], files.V2_DATA, files.V2_VIDEO, "float64")
    return files, dataset(files.modality(), info | {"embodiment_tag": "new_embodiment"})


def test_a_converted_dataset_gives_back_the_keys_of_its_embodiment_file(converted):
    """Keys in the file's order, sizes, rate, robot and language; names for what is still open."""
    files, folder = converted
    robot = files.embodiment()
    modality, known = read_dataset_meta(folder)
    assert modality["video"].keys == tuple(stream.key for stream in robot.video)
    assert modality["state"].keys == tuple(stream.key for stream in robot.state)
    assert modality["action"].keys == tuple(action.key for action in robot.action)
    assert modality["language"].keys == robot.language_keys
    assert known.sizes == {s.key: (s.height_px, s.width_px) for s in robot.video}
    assert (known.rate_hz, known.robot, known.tag) == (robot.rate_hz, robot.robot, robot.tag)
    assert known.state_names == {stream.key: stream.names for stream in robot.state}
    assert known.action_names == {action.key: action.names for action in robot.action}
    assert not known.questions and not known.remarks


def test_relative_statistics_tell_the_horizon(converted):
    """One row for each step; two keys that contradict each other tell nothing."""
    files, folder = converted
    stats = {"arm": {"mean": [[0.0, 0.0]] * 8}, "__fingerprints__": {"arm": "sha256:0"}}
    files.write_json(folder / "meta" / "relative_stats.json", stats)
    assert started(folder)["action_horizon"] == 8
    for flat in ([0.0] * 7, [], 3.0, [[0.0], 0.0]):  # a number for each column
        stats["gripper"] = {"mean": flat}
        files.write_json(folder / "meta" / "relative_stats.json", stats)
        assert started(folder)["action_horizon"] == 8
        files.write_json(folder / "meta" / "relative_stats.json", {"gripper": {"mean": flat}})
        assert started(folder)["action_horizon"] == FILL_IN
    stats["gripper"] = {"mean": [[0.0]] * 9}
    files.write_json(folder / "meta" / "relative_stats.json", stats)
    assert started(folder)["action_horizon"] == FILL_IN
