"""The JSON Schema of embodiment files, and docs/embodiment_file.md: both from the reader's tables.

The schema checks keys, types and single values, for completion and marks in an editor. What
depends on several values (an output that exists, a joint with limits) only the reader checks:
`gr00t embodiment validate`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from functools import partial

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot import keys
from gr00t_ros.robot.actions import REPRESENTATIONS, UNITS
from gr00t_ros.robot.contact.sources import AVERAGE_S, LEARN_S
from gr00t_ros.robot.embodiment import MAX_STEPS, MODEL_VERSIONS, VIEW_SIZES
from gr00t_ros.robot.field import LARGEST, TOPIC_PATTERN
from gr00t_ros.robot.framing import CROP_UNITS, QUARTER_TURNS
from gr00t_ros.robot.keys import Key, Keys
from gr00t_ros.robot.outputs import OUTPUT_TYPES
from gr00t_ros.robot.streams import (
    FIT_CHOICES,
    MAX_PX,
    POSE_ENCODINGS,
    PROJECTED_GRAVITY,
    RATE_RANGE_HZ,
    TRANSPORTS,
)
from gr00t_ros.text_table import table as text_table
from gr00t_ros.tools.key_tables import (
    DRAFT,
    JsonSchema,
    ValueKind,
    between,
    definition,
    document,
    link,
    list_of,
    map_of,
    nested,
    reference,
)

FILE_NAME = "embodiment.schema.json"


def _one_of(values: Iterable[object]) -> ValueKind:
    allowed = list(values)
    return ValueKind(
        ", ".join(f"`{value}`" if value != "" else "empty" for value in allowed), {"enum": allowed}
    )


_NUMBER: JsonSchema = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
_POSITIVE: JsonSchema = {"type": "number", "exclusiveMinimum": 0, "maximum": LARGEST}
_NOT_NEGATIVE: JsonSchema = {"type": "number", "minimum": 0, "maximum": LARGEST}
_TEXT: JsonSchema = {"type": "string", "pattern": r"\S"}
_NAMES: JsonSchema = {"type": "array", "items": _TEXT, "minItems": 1, "uniqueItems": True}
_TOPIC: JsonSchema = {"type": "string", "pattern": f"^{TOPIC_PATTERN.pattern}$"}
_PAIR: JsonSchema = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}
_GOAL_TYPES = [name for name, row in OUTPUT_TYPES.items() if row.goals]
_COMMANDS = [name for name, row in OUTPUT_TYPES.items() if row.carries == "commands"]

KINDS: Mapping[str, ValueKind] = {
    "text": ValueKind("text", _TEXT),
    "text_or_names": ValueKind("text, or list of texts", {"anyOf": [_TEXT, _NAMES]}),
    "names": ValueKind("list of names", _NAMES),
    "any": ValueKind("the value", {}),
    "topic": ValueKind("ROS name", _TOPIC),
    "topics": ValueKind("list of ROS names", {**_NAMES, "items": _TOPIC}),
    "rate": between(RATE_RANGE_HZ),
    "horizon": ValueKind(
        f"whole number, 1 to {MAX_STEPS}", {"type": "integer", "minimum": 1, "maximum": MAX_STEPS}
    ),
    "view_sizes": _one_of(VIEW_SIZES),
    "server_tags": ValueKind(
        f"map of {', '.join(f'`{version}`' for version in MODEL_VERSIONS)} to text",
        {
            "type": "object",
            "minProperties": 1,
            "properties": {version: _TEXT for version in MODEL_VERSIONS},
            "additionalProperties": False,
        },
    ),
    "size": list_of("[height, width]", {"type": "integer", "minimum": 1, "maximum": MAX_PX}, 2, 2),
    "fit": _one_of(FIT_CHOICES),
    "transport": _one_of(TRANSPORTS),
    "delta_indices": list_of(
        "list of whole numbers up to 0", {"type": "integer", "minimum": -10_000, "maximum": 0}
    ),
    "quarter_turn": _one_of(QUARTER_TURNS),
    "flag": ValueKind("`true`, `false`", {"type": "boolean"}),
    "crop_unit": _one_of(CROP_UNITS),
    "true": ValueKind("`true`", {"const": True}),
    "number": ValueKind("number", _NUMBER),
    "numbers": list_of("list of numbers", {"type": "number"}),
    "positive": ValueKind("number above 0", _POSITIVE),
    "not_negative": ValueKind("number, 0 or more", _NOT_NEGATIVE),
    "positive_or_unchecked": ValueKind(
        "number above 0, or `unchecked`", {"anyOf": [_POSITIVE, {"const": "unchecked"}]}
    ),
    "interval": ValueKind("[lower, upper]", _PAIR),
    "two_positive": list_of("two numbers above 0", _POSITIVE, 2, 2),
    "two_not_negative": list_of("two numbers, 0 or more", _NOT_NEGATIVE, 2, 2),
    "three": list_of("three numbers", _NUMBER, 3, 3),
    "matrix": list_of("3x3 matrix", list_of("", {"type": "number"}, 3, 3).schema, 3, 3),
    "pairs": ValueKind(
        "[first, last], or list of them",
        {"anyOf": [_PAIR, {"type": "array", "items": _PAIR, "minItems": 1}]},
    ),
    "encoding": _one_of(POSE_ENCODINGS),
    "gravity": _one_of([PROJECTED_GRAVITY]),
    "columns": list_of("list of whole numbers", {"type": "integer", "minimum": 0}),
    "orientation": list_of("three numbers, or four of a quaternion", {"type": "number"}, 3, 4),
    "unit": _one_of(UNITS),
    "representation": _one_of(REPRESENTATIONS),
    **{f"from_{one}": _one_of([one]) for one in "joints pose tf kinematics imu constant".split()},
    "type_joints": _one_of(n for n, row in OUTPUT_TYPES.items() if row.carries == "joints"),
    "type_command": _one_of(
        name for name in _COMMANDS if name not in _GOAL_TYPES and name != "twist_stamped"
    ),
    "type_stamped": _one_of(["twist_stamped"]),
    "type_gripper": _one_of(name for name in _GOAL_TYPES if name != "franka_gripper"),
    "type_franka": _one_of(["franka_gripper"]),
    "type_pose": _one_of(n for n, row in OUTPUT_TYPES.items() if row.carries == "poses"),
    "cameras": map_of([keys.CAMERA]),
    "state_keys": map_of(keys.STATES),
    "action_keys": map_of(keys.ACTIONS),
    "outputs": map_of(keys.OUTPUTS),
    "limits": map_of(keys.LIMITS),
    "contacts": map_of(keys.CONTACTS),
    "type_torques": _one_of(["external_torques"]),
    "type_wrench": _one_of(["wrench"]),
    "type_flag": _one_of(["flag"]),
    "type_effort": _one_of(["effort"]),
    "thresholds": list_of("list of numbers above 0", _POSITIVE),
    "average": between(AVERAGE_S),
    "learn": between(LEARN_S),
    "links": list_of(f"list of {link(keys.LINK)}", reference(keys.LINK)),
    **{
        table.name: nested(table)
        for table in (
            *(keys.CROP, keys.GOALS, keys.FRANKA_GOALS),
            *(keys.TWIST_LIMITS, keys.POSE_LIMITS, keys.ENVELOPE, keys.WORKSPACE),
        )
    },
}
"""The kind of a key -> what its value may be."""


def embodiment_schema() -> JsonSchema:
    """The JSON Schema (draft 2020-12) of an embodiment file."""
    tables = {table.name: definition(table, partial(_value, table)) for table in keys.TABLES}
    values = {_name(kind): _or_mark(one.schema) for kind, one in KINDS.items()}
    top = tables.pop(keys.FILE.name)
    definitions = {**tables, **values}
    return {"$schema": DRAFT, "title": "Embodiment file of gr00t_ros", **top, "$defs": definitions}


def schema_text() -> str:
    """The schema as the text of a JSON file."""
    return json.dumps(embodiment_schema(), indent=1) + "\n"


def explained(name: str) -> str:
    """A table of the places where a key may stand, with its values and its line.

    Raises SettingsError for a name that no map has.
    """
    names = dict.fromkeys(key for table in keys.TABLES for key, _ in table.all())
    if name not in names:
        near = difflib.get_close_matches(name, names, 3)
        expected = f"did you mean {' or '.join(near)}?" if near else f"expected {', '.join(names)}"
        raise SettingsError(f"no map of an embodiment file has the key {name!r:.60}: {expected}")
    rows = [
        (table.place or table.name, KINDS[key.kind].plain, key.line)
        for table in keys.TABLES
        for found, key in table.all()
        if found == name
    ]
    return text_table(("in", "value", "means"), list(dict.fromkeys(rows)))


def _name(kind: str) -> str:
    return f"value_{kind}"


def _or_mark(value: JsonSchema) -> JsonSchema:
    """The schema of a value; in its place there may be a question with an assumed value."""
    mark = {"allOf": [reference(keys.MARK), {"properties": {"assumed": value}}]}
    return {"anyOf": [value, mark]}


def _value(table: Keys, key: Key) -> JsonSchema:
    """The schema of the value of one key. A mark cannot contain a mark."""
    if table is keys.MARK:
        return KINDS[key.kind].schema
    return {"$ref": f"#/$defs/{_name(key.kind)}"}


_HEAD = """\
# Every key of an embodiment file

Made from `gr00t_ros/robot/keys.py`, the tables that the reader itself uses; a test keeps the two
equal. Regenerate it with

    python3 -m gr00t_ros.tools.documents embodiment_file > docs/embodiment_file.md

[own_robot.md](own_robot.md) makes a file step by step,
[the template](../config/embodiment_template.yaml) shows the keys in place, [limits.md](limits.md)
says how to choose limits. `gr00t embodiment schema` prints the same as a JSON Schema, which also
ships as `config/embodiment.schema.json`. An editor with the YAML language server completes and
explains keys by it, if a line of the file names it:

    # yaml-language-server: $schema=/PATH/TO/embodiment.schema.json

The schema checks keys, types and single values. What depends on several values (an output that
exists, a joint with limits) is checked by `gr00t embodiment validate FILE` alone.
"""


def embodiment_file_document() -> str:
    """docs/embodiment_file.md: one section for each table, one row for each key."""
    return document(_HEAD, keys.TABLES, KINDS)
