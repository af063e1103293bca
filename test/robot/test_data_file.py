"""Files of somebody else's making: whatever is in them, one error of ours comes out."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples
from mutations import PLANT, planted

from gr00t_ros.dataset.embodiment_facts import read_dataset_meta
from gr00t_ros.dataset.lerobot import LeRobotDataset
from gr00t_ros.errors import EmbodimentError, SettingsError
from gr00t_ros.robot.data_file import read_json, read_json_lines
from gr00t_ros.robot.files import load_embodiment

SHIPPED = Path(__file__).parents[2] / "config" / "embodiments"
QUICK = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
MODALITY = {
    "state": {"arm": {"start": 0, "end": 2}},
    "action": {"arm": {"start": 0, "end": 2, "original_key": "action", "absolute": True}},
    "video": {"front": {"original_key": "observation.images.front"}},
    "annotation": {"task": {}},
}
INFO = {
    "codebase_version": "v2.1",
    "fps": 20,
    "chunks_size": 1000,
    "data_path": "data/{episode_chunk:03d}/{episode_index:06d}.parquet",
    "features": {
        "observation.state": {"shape": [2], "names": {"motors": ["a", "b"]}},
        "action": {"shape": [2], "names": [["a", "b"]]},
        "observation.images.front": {"shape": [3, 4, 3], "names": ["height", "width", "channel"]},
    },
}


@pytest.mark.parametrize("name", ["so100", "libero_panda"])
@QUICK
@given(plants=PLANT)
def test_a_mutated_embodiment_file_is_a_robot_or_an_embodiment_error(tmp_path, name, plants):
    """With the file in it, within a second."""
    path = tmp_path / "robot.yaml"
    path.write_bytes(planted((SHIPPED / f"{name}.yaml").read_text(), plants))
    try:
        load_embodiment(str(path))
    except EmbodimentError as error:
        assert str(error).startswith(str(path))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from([10**8, 10**30, -1, 1e308, "v3.0", "{episode_index:99d}", "../x", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value, path=()):
    """The path of every value in nested maps and lists."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items if isinstance(value, (dict, list)) else ():
        yield from places(item, (*path, key)) if isinstance(item, (dict, list)) else [(*path, key)]


def changed(content, place, value):
    """A copy of `content` with `value` at `place`."""
    if not place:
        return value
    copy = dict(content) if isinstance(content, dict) else list(content)
    copy[place[0]] = changed(content[place[0]], place[1:], value)
    return copy


@QUICK
@given(st.data(), VALUES)
def test_mutated_metadata_are_a_dataset_or_a_settings_error(tmp_path, data, value):
    """By `new` and by `replay`, whatever stands in the place of any value."""
    meta = tmp_path / "meta"
    meta.mkdir(exist_ok=True)
    which = data.draw(st.sampled_from([0, 1]))
    contents = [MODALITY, INFO]
    place = data.draw(st.sampled_from(list(places(contents[which]))))
    contents[which] = changed(contents[which], place, value)
    for name, content in zip(("modality", "info"), contents, strict=True):
        (meta / f"{name}.json").write_text(json.dumps(content))
    (meta / "episodes.jsonl").write_text('{"episode_index": 0, "length": 3}\n')
    for read in (read_dataset_meta, LeRobotDataset):
        try:
            read(tmp_path)
        except SettingsError as error:
            assert str(error).startswith(str(tmp_path))


@QUICK
@given(plants=PLANT)
def test_mutated_json_is_a_map_or_a_settings_error(tmp_path, plants):
    """As text, not as values: broken brackets, numbers, escapes."""
    path = tmp_path / "info.json"
    path.write_bytes(planted(json.dumps(INFO, indent=1), plants))
    for read in (read_json, lambda p: list(read_json_lines(p))):
        try:
            read(path)
        except SettingsError as error:
            assert str(error).startswith(str(path))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{\n" + '"a": [' * 50, r":2:240: .*nested more than 40 deep"),
        ('{"a": ' + "9" * 5000 + "}", r":1:7: .*a number of 5000 characters"),
        ('{\n"a": NaN}', r":2:6: .*NaN, expected a finite number"),
        ('{"a": 1e999}', r":1:7: .*1e999, expected a finite number"),
        ('{"a": 1,\n "a": 2}', r":2:2: .*key 'a' is written twice"),
        ('{"a": ["\\ud800"]}', "half a UTF-16 character"),
        ('{"a": "\\u0000"}', "a NUL"),
        ("[1]", ":1:1: .*got list at the top"),
        ('{"a": 1', r":1:8: "),
    ],
)
def test_json_that_is_not_taken_is_said_with_line_and_column(tmp_path, text, reason):
    """JSON's reader takes the first five."""
    path = tmp_path / "info.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=reason):
        read_json(path)


def test_a_line_of_json_is_named_by_its_number(tmp_path):
    """Blank lines are passed over and counted."""
    path = tmp_path / "episodes.jsonl"
    path.write_text('{"a": 1}\n\n{"b"}\n')
    with pytest.raises(SettingsError, match=r"episodes.jsonl:3:5: "):
        list(read_json_lines(path))
