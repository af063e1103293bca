"""The reader, the JSON Schema and the document of embodiment files come from one set of tables."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from json_schema import fits

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot import keys
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.field import Field
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.tools.embodiment import main
from gr00t_ros.tools.embodiment_schema import (
    KINDS,
    embodiment_file_document,
    embodiment_schema,
    schema_text,
)

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "config" / "embodiment_template.yaml"
FILES = [*sorted((ROOT / "config" / "embodiments").glob("*.yaml")), TEMPLATE]
SCHEMA = embodiment_schema()
SHOWN = yaml.safe_load(TEMPLATE.read_text())
# What the template does not show, so that each table is read once.
MORE = yaml.safe_load("""
state:
  both: {from: joints, topics: [/left, /right], names: [l, r]}
  tool: {from: tf, frame: base_link, link: tool, encode: xyz_quaternion, near: [1, 0, 0, 0],
         columns: [0, 1], rotate: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], delta_indices: [0], rate_hz: 9}
  hand:
    {from: kinematics, topic: /joint_states, base: base_link, link: flange, encode: xyz_axis_angle,
     chain: [{joint: joint_1, axis: [0, 0, 1], xyz: [0, 0, 1]}], rate_hz: 9, delta_indices: [0]}
action:
  jaw: {output: jaw}
  grip: {output: grip}
  pose: {output: pose, representation: delta, unit: m}
  servo: {output: servo, names: [x, y, w]}
  lift: {output: lift}
  drive: {output: wheels, names: [bx, by, bw]}
outputs:
  servo: {type: twist_stamped, topic: /servo, frame: base_link, names: [x, y, w],
          limits: {speed: 1.0, acceleration: 2.5, turn_speed: 1.0, turn_acceleration: 2.5}}
  wheels: {type: twist, topic: /wheels, names: [bx, by, bw],
           limits: {speed: 1.0, acceleration: 2.5, turn_speed: 1.0, turn_acceleration: 2.5}}
  lift: {type: float64, topic: /lift, names: [height]}
  jaw: {type: parallel_gripper_command, topic: /jaw/gripper_cmd, names: [jaw_joint],
        goals: {switch: [0.2, 0.6], effort: 5.0}}
  grip: {type: franka_gripper, topic: /franka_gripper, names: [width],
         goals: {switch: [0.03, 0.05], speed: 0.1, force: 30.0, epsilon: [0.08, 0.08]}}
  pose: {type: pose_stamped, topic: /target_pose, frame: base_link, names: [a, b, c, d, e, f],
         encode: xyz_axis_angle, pose: hand,
         limits: {speed: 0.2, acceleration: 1.0, turn_speed: 0.8, turn_acceleration: 3.0,
                  x: [0, 1], y: [0, 1], z: [0, 1], jump: [0.05, 0.3]}}
limits:
  x: {range: [-1, 1], rate: 2}
  y: {range: [-1, 1], rate: 2}
  w: {range: [-1, 1], rate: 2}
  bx: {range: [-1, 1], rate: 2}
  by: {range: [-1, 1], rate: 2}
  bw: {range: [-1, 1], rate: 2}
  height: {range: [0, 1], rate: 1, start: 0.5}
  jaw_joint: {range: [0.0, 0.8]}
  width: {range: [0.0, 0.08]}
contact:
  torques: {type: external_torques, topic: /torques, names: [joint_1, joint_2],
            thresholds: [20, 18.5], source: the robot's manual, average_s: 0.02}
  wrist: {type: wrench, topic: /wrench, threshold: 30.0, source: measured, average_s: 0.02}
  robot: {type: flag, topic: /collision_detected}
  effort: {type: effort, topic: /joint_states, names: [joint_1], thresholds: [25],
           source: gr00t bag contact, average_s: 0.02, learn_s: 2}
view_sizes: same
variant_of: other
server_tags: {N1.6: OTHER}
""")


def everything():
    """The template with what it does not show: every kind of map, and every key of each."""
    content = copy.deepcopy(SHOWN)
    for key, value in copy.deepcopy(MORE).items():
        content[key] = {**content[key], **value} if key in content else value
    envelope = {"offset": 0.3, "slope": 12.0, "upper": 3.0, "lower": -3.0}
    content["limits"]["joint_1"]["velocity_envelope"] = envelope
    content["action"]["mode"] = {
        **{"ignored": True, "names": ["m"], "unit": "rad", "representation": "absolute"}
    }
    content["state"]["eef"] |= {"near": [1, 0, 0], "encode": "xyz_axis_angle", "columns": [0]}
    content["state"]["eef"]["delta_indices"] = [0]
    content["state"]["gravity"] |= {"frame": "imu", "delta_indices": [0]}
    content["state"]["mode"]["delta_indices"] = [0]
    content["action"]["arm"] |= {"unit": "rad", "representation": "absolute"}
    return content


def refused(content):
    """Whether the reader refuses it."""
    try:
        parse(copy.deepcopy(content), "it")
    except EmbodimentError:
        return True
    return False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_that_ships_fits_the_schema(path):
    """The editor marks nothing in a file that the node reads."""
    assert fits(yaml.safe_load(path.read_text()), SCHEMA, SCHEMA)


def places(value, path=()):
    """Every place in a file."""
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def at(content, path):
    """The part of a file at a place."""
    for key in path:
        content = content[key]
    return content


NAMED = {("video",), ("state",), ("action",), ("outputs",), ("limits",)}


def test_an_unknown_key_is_refused_by_reader_and_schema_wherever_it_stands():
    """Of every kind of map that has keys of its own."""
    assert fits(everything(), SCHEMA, SCHEMA) and not refused(everything())
    shown = everything()
    maps = [p for p in places(shown) if isinstance(at(shown, p), dict) and p not in NAMED]
    assert len(maps) > 40
    for path in maps:
        content = everything()
        at(content, path)["bogus"] = 1
        assert refused(content), path
        assert not fits(content, SCHEMA, SCHEMA), path


def test_every_required_key_is_required_by_the_schema():
    """Each key that the table says is required; the reader takes them from the same table."""
    for table in keys.TABLES:
        for key in table.required:
            definition = SCHEMA if table is keys.FILE else SCHEMA["$defs"][table.name]
            assert key in definition["required"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("rate_hz",), "fast"),
        (("rate_hz",), 0),
        (("action_horizon",), 16.5),
        (("video", "front", "fit"), "squeeze"),
        (("video", "front", "size"), [240]),
        (("video", "front", "flip_vertical"), 1),
        (("video", "front", "rotate"), 45),
        (("state", "arm", "topic"), "joint states"),
        (("state", "arm", "from"), "topic"),
        (("state", "arm", "names"), ["a", "a"]),
        (("outputs", "arm", "type"), "position"),
        (("outputs", "jaw", "goals"), {"switch": [0, 1], "hysteresis": 0.1}),
        (("limits", "joint_1", "jerk"), 0.0),
        (("limits", "joint_1", "held"), "off"),
        (("limits", "joint_1", "position"), [-1.0, 1.0, 2.0]),
        (("workspace", "x"), 0.5),
        (("rate_hz",), {"unsettled": "Which?", "assumed": "fast"}),
        (("rate_hz",), {"unsettled": "Which?"}),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_reader_and_schema(path, value):
    """Text, numbers, choices, lists and marks."""
    content = everything()
    at(content, path[:-1])[path[-1]] = value
    assert refused(content) and not fits(content, SCHEMA, SCHEMA)


GONE = object()


@pytest.mark.parametrize("value", ["/x", 1, [0.0, 1.0], GONE], ids=["text", "1", "list", "gone"])
def test_the_schema_refuses_nothing_that_the_reader_accepts(value):
    """Another value, or none, in each place of the file: an editor never marks what is right."""
    accepted = 0
    for path in list(places(everything()))[1:]:  # without the file itself
        content = everything()
        if value is GONE:
            del at(content, path[:-1])[path[-1]]
        else:
            at(content, path[:-1])[path[-1]] = value
        if not refused(content):
            accepted += 1
            assert fits(content, SCHEMA, SCHEMA), path
    assert accepted > 5


class Read(dict):
    """A map that notes which of its keys were asked for."""

    def __init__(self, table, content, asked):
        super().__init__(content)
        self.table, self.asked = table, asked

    def __getitem__(self, key):
        self.asked.add((self.table, key))
        return super().__getitem__(key)


def test_every_line_is_of_a_key_that_the_reader_reads(monkeypatch):
    """And the reader takes no other keys, because it takes them from these tables."""
    asked, original = set(), Field.keys
    monkeypatch.setattr(Field, "keys", lambda self, t: Read(t.name, original(self, t), asked))
    named, turned = everything(), [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    del named["state"]["hand"]["chain"], named["state"]["hand"]["topic"]
    of_hand = {
        "topics": ["/l", "/r"],
        "names": ["joint_1"],
        "rotate": turned,
        "near": [1, 0, 0],
        "columns": [0, 1],
    }
    named["state"]["hand"] |= of_hand
    named["outputs"]["jaw"]["goals"] = {"hysteresis": 0.1}
    named["outputs"]["pose"] |= {"rotate": turned, "link": "flange"}
    named["action"]["pose"] = {"output": "pose"}
    urdf = everything()
    del urdf["workspace"]["chain"], urdf["state"]["hand"]["chain"]
    for part in (urdf["workspace"], urdf["state"]["hand"]):
        part["urdf"] = "arm.urdf"
    mark = everything() | {"rate_hz": {"unsettled": "Which?", "assumed": 20.0}}
    for content in (everything(), named, mark):
        parse(content, "it")
    chain = '<robot name="r"><link name="base_link"/><link name="flange"/><joint name="joint_1" '
    chain += 'type="revolute"><parent link="base_link"/><child link="flange"/></joint></robot>'
    parse(urdf, "it", lambda field: field.text() and chain)
    exempt = {(table.name, "from") for table in keys.STATES}  # it selects the table
    exempt |= {(table.name, "type") for table in (*keys.OUTPUTS, *keys.CONTACTS)}
    for table in keys.TABLES:
        assert {(table.name, key) for key, _ in table.all()} - asked <= exempt, table.name


def test_the_reader_takes_keys_from_the_tables_alone():
    """Apart from maps whose keys are joints, or generations of servers."""
    found = {}
    for path in (ROOT / "gr00t_ros" / "robot").rglob("*.py"):
        found[path.relative_to(ROOT / "gr00t_ros" / "robot").as_posix()] = path.read_text().count(
            ".fields("
        )
    assert {name for name, count in found.items() if count} == {"embodiment.py", "field.py"}
    assert (found["embodiment.py"], found["field.py"]) == (2, 1)


def test_every_kind_of_value_is_described_and_used():
    """A key cannot have a kind that the schema does not know."""
    assert {key.kind for table in keys.TABLES for _, key in table.all()} == set(KINDS)
    assert len({table.name for table in keys.TABLES}) == len(keys.TABLES)


def test_each_key_has_its_line_in_schema_and_document():
    """The same sentence, and no key without one."""
    document = embodiment_file_document()
    for table in keys.TABLES:
        definition = SCHEMA if table is keys.FILE else SCHEMA["$defs"][table.name]
        for name, key in table.all():
            assert key.line and definition["properties"][name]["description"] == key.line
            assert f"| `{name}` |" in document
            assert key.line.replace("|", "\\|") in document


def test_document_and_shipped_schema_are_made_from_the_tables(capsys):
    """Whoever changes a line makes both anew; the command is in the document's head."""
    assert (ROOT / "docs" / "embodiment_file.md").read_text() == embodiment_file_document()
    assert (ROOT / "config" / "embodiment.schema.json").read_text() == schema_text()
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA


def test_a_key_is_explained_at_each_place_where_it_may_stand(capsys):
    """With its values and its line; a name that no map has is refused with the nearest ones."""
    assert main(["explain", "rotate"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows[2:]] == ["video.KEY", "state.KEY", "outputs.NAME"]
    assert "0, 90, 180, 270" in rows[2] and keys.CAMERA.optional["rotate"].line in rows[2]
    assert main(["explain", "margn"]) == 2
    assert "the key 'margn': did you mean margin?" in capsys.readouterr().err


def test_a_misspelt_key_is_named_with_the_nearest_key_its_meaning_and_its_line(tmp_path):
    """The line in the file is that of the key, not of the map."""
    path = tmp_path / "mine.yaml"
    text = TEMPLATE.read_text()
    path.write_text(text.replace("    margin: 0.05", "    margn: 0.05", 1))
    line = text[: text.index("    margin: 0.05")].count("\n") + 1
    with pytest.raises(EmbodimentError) as error:
        load_embodiment(str(path))
    assert str(error.value).startswith(f"{path}:{line}: limits.joint_1: unknown key 'margn' (did ")
    assert str(error.value).endswith(f"; margin: {keys.JOINT_LIMITS.required['margin'].line}")


def test_a_key_that_is_missing_is_explained():
    """In the error itself: the file's author knows what to look for."""
    content = everything()
    del content["outputs"]["jaw"]["goals"]
    with pytest.raises(EmbodimentError, match="outputs.jaw: missing goals; allowed: .*{switch: "):
        parse(content, "it")
