"""The JSON Schema of scene files, and docs/scene_file.md: both from the reader's tables.

The schema checks keys, types and single values. Names of links, objects and frames are checked by
`gr00t scene check` alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from gr00t_ros.collide import keys
from gr00t_ros.collide.scene import LARGEST_MARGIN_M, SMALLEST_MARGIN_M
from gr00t_ros.robot.keys import Keys
from gr00t_ros.robot.rotation import MOST_M
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


def _rows(table: Keys) -> ValueKind:
    return list_of(f"list of {link(table)}", reference(table))


_NUMBER: Final[JsonSchema] = {"type": "number"}
_LENGTH: Final[JsonSchema] = {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_M}
_TEXT: Final[JsonSchema] = {"type": "string", "pattern": r"\S"}
_PADDING: Final[JsonSchema] = {"type": "number", "minimum": 0, "maximum": LARGEST_MARGIN_M}

KINDS: Final[Mapping[str, ValueKind]] = {
    "text": ValueKind("text", _TEXT),
    "names": ValueKind("list of names", {**list_of("", _TEXT).schema, "uniqueItems": True}),
    "number": ValueKind("a number", _NUMBER),
    "while": nested(keys.WHILE),
    "positive": ValueKind("a number above 0", {"type": "number", "exclusiveMinimum": 0}),
    "margin": between((SMALLEST_MARGIN_M, LARGEST_MARGIN_M)),
    "three": list_of("three numbers", _NUMBER, 3, 3),
    "direction": list_of("three numbers, not all 0", _NUMBER, 3, 3),
    "four": list_of("four numbers", _NUMBER, 4, 4),
    "three_positive": list_of(f"three numbers above 0, up to {MOST_M:g}", _LENGTH, 3, 3),
    "lengths": ValueKind(
        f"map of links to 0 to {LARGEST_MARGIN_M:g}",
        {"type": "object", "minProperties": 1, "additionalProperties": _PADDING},
    ),
    **{f"type_{name}": ValueKind(f"`{name}`", {"const": name}) for name in keys.SOLIDS},
    "robot": nested(keys.ROBOT),
    "objects": map_of(keys.SOLIDS.values()),
    "boxes": map_of([keys.KEEP_IN]),
    "carried": map_of(keys.CARRIED.values()),
    "contacts": _rows(keys.CONTACT),
    "pairs": _rows(keys.TOUCHING),
}
"""The kind of a key -> what its value may be."""


def schema_text() -> str:
    """The JSON Schema (draft 2020-12) of a scene file, as the text of a JSON file."""
    tables = {
        table.name: definition(table, lambda key: KINDS[key.kind].schema) for table in keys.TABLES
    }
    top = tables.pop(keys.FILE.name)
    groups = [{"required": [name]} for name in ("objects", "keep_out", "keep_in", "attached")]
    schema = {
        "$schema": DRAFT,
        "title": "Scene file of gr00t_ros",
        **top,
        "anyOf": groups,
        "$defs": tables,
    }
    return json.dumps(schema, indent=1) + "\n"


_HEAD: Final = """\
# Every key of a scene file

Made from `gr00t_ros/collide/keys.py`, the tables that the reader itself uses; a test keeps the two
equal. Regenerate it with

    python3 -m gr00t_ros.tools.documents scene_file > docs/scene_file.md

[collision.md](collision.md) says how to measure a table and how to write a scene file.
`gr00t scene schema` prints the same as a JSON Schema for editors; `gr00t scene check` reads a file
with its robot.
"""


def scene_file_document() -> str:
    """docs/scene_file.md: one section for each table, one row for each key."""
    return document(_HEAD, keys.TABLES, KINDS)
