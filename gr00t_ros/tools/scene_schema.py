"""The JSON Schema of scene files, and docs/scene_file.md: both from the reader's tables.

The schema checks keys, types and single values. Names of links, objects and frames are checked by
`gr00t scene check` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gr00t_ros.collide import keys
from gr00t_ros.collide.scene import LARGEST_MARGIN_M, SMALLEST_MARGIN_M
from gr00t_ros.robot.keys import Keys
from gr00t_ros.robot.rotation import MOST_M

Schema = dict[str, Any]
Kind = tuple[str, Schema]
"""One kind of value: in words, and as a JSON Schema."""


def _list(item: Schema, least: int, most: int | None = None) -> Schema:
    found: Schema = {"type": "array", "items": item, "minItems": least}
    return found if most is None else {**found, "maxItems": most}


def _link(table: Keys) -> str:
    return f"[{table.name}](#{table.name})"


def _map(tables: Iterable[Keys]) -> Kind:
    tables = tuple(tables)
    entries = [{"$ref": f"#/$defs/{table.name}"} for table in tables]
    entry = entries[0] if len(entries) == 1 else {"anyOf": entries}
    words = "map of " + ", ".join(map(_link, tables))
    return words, {"type": "object", "minProperties": 1, "additionalProperties": entry}


def _rows(table: Keys) -> Kind:
    return f"list of {_link(table)}", _list({"$ref": f"#/$defs/{table.name}"}, 1)


_NUMBER: Final[Schema] = {"type": "number"}
_LENGTH: Final[Schema] = {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_M}
_TEXT: Final[Schema] = {"type": "string", "pattern": r"\S"}
_PADDING: Final[Schema] = {"type": "number", "minimum": 0, "maximum": LARGEST_MARGIN_M}

KINDS: Final[Mapping[str, Kind]] = {
    "text": ("text", _TEXT),
    "names": ("list of names", {**_list(_TEXT, 1), "uniqueItems": True}),
    "number": ("a number", _NUMBER),
    "while": (f"map: {_link(keys.WHILE)}", {"$ref": f"#/$defs/{keys.WHILE.name}"}),
    "positive": ("a number above 0", {"type": "number", "exclusiveMinimum": 0}),
    "margin": (
        f"{SMALLEST_MARGIN_M:g} to {LARGEST_MARGIN_M:g}",
        {"type": "number", "minimum": SMALLEST_MARGIN_M, "maximum": LARGEST_MARGIN_M},
    ),
    "three": ("three numbers", _list(_NUMBER, 3, 3)),
    "direction": ("three numbers, not all 0", _list(_NUMBER, 3, 3)),
    "four": ("four numbers", _list(_NUMBER, 4, 4)),
    "three_positive": (f"three numbers above 0, up to {MOST_M:g}", _list(_LENGTH, 3, 3)),
    "lengths": (
        f"map of links to 0 to {LARGEST_MARGIN_M:g}",
        {"type": "object", "minProperties": 1, "additionalProperties": _PADDING},
    ),
    **{f"type_{name}": (f"`{name}`", {"const": name}) for name in keys.SOLIDS},
    "robot": (f"map: {_link(keys.ROBOT)}", {"$ref": f"#/$defs/{keys.ROBOT.name}"}),
    "objects": _map(keys.SOLIDS.values()),
    "boxes": _map([keys.KEEP_IN]),
    "carried": _map(keys.CARRIED.values()),
    "contacts": _rows(keys.CONTACT),
    "pairs": _rows(keys.TOUCHING),
}
"""The kind of a key -> what its value may be."""


def schema_text() -> str:
    """The JSON Schema (draft 2020-12) of a scene file, as the text of a JSON file."""
    tables = {table.name: _object(table) for table in keys.TABLES}
    top = tables.pop(keys.FILE.name)
    groups = [{"required": [name]} for name in ("objects", "keep_out", "keep_in", "attached")]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scene file of gr00t_ros",
        **top,
        "anyOf": groups,
        "$defs": tables,
    }
    return json.dumps(schema, indent=1) + "\n"


def _object(table: Keys) -> Schema:
    return {
        "description": table.about,
        "type": "object",
        "properties": {
            name: {"description": key.line, **KINDS[key.kind][1]} for name, key in table.all()
        },
        "required": list(table.required),
        "additionalProperties": False,
    }


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
    return "\n".join([_HEAD, *(_section(table) for table in keys.TABLES)])


def _section(table: Keys) -> str:
    where = f" Place: `{table.place}`." if table.place else ""
    lines = [f"## {table.name}\n", f"{table.about}{where}\n"]
    lines += ["| key | | value | means |", "|---|---|---|---|"]
    for name, key in table.all():
        need = "required" if name in table.required else ""
        lines.append(f"| `{name}` | {need} | {KINDS[key.kind][0]} | {key.line} |")
    return "\n".join(lines) + "\n"
