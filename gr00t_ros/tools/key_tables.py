"""What the schemas and documents of embodiment and scene files have in common: kinds, tables.

A Keys table of the reader becomes a definition of a JSON Schema, and a section of a document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gr00t_ros.robot.keys import Key, Keys

JsonSchema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class ValueKind:
    """One kind of value: in words, and as a JSON Schema."""

    words: str
    schema: JsonSchema

    @property
    def plain(self) -> str:
        """The words without markup: of a link its text, of code the code."""
        return re.sub(r"\[(\w+)\]\(#\w+\)", r"\1", self.words).replace("`", "")


def list_of(words: str, item: JsonSchema, least: int = 1, most: int | None = None) -> ValueKind:
    """A list of `least` to `most` items; None: of any number."""
    schema: JsonSchema = {"type": "array", "items": item, "minItems": least}
    return ValueKind(words, schema if most is None else {**schema, "maxItems": most})


def between(span: tuple[float, float]) -> ValueKind:
    """A number from the first to the second."""
    low, high = span
    return ValueKind(f"{low:g} to {high:g}", {"type": "number", "minimum": low, "maximum": high})


def map_of(tables: Iterable[Keys]) -> ValueKind:
    """A map whose keys are names of any text, each with a map of one of `tables`."""
    tables = tuple(tables)
    entries = [reference(table) for table in tables]
    entry = entries[0] if len(entries) == 1 else {"anyOf": entries}
    words = "map of " + ", ".join(map(link, tables))
    return ValueKind(words, {"type": "object", "minProperties": 1, "additionalProperties": entry})


def nested(table: Keys) -> ValueKind:
    """A map of one table."""
    return ValueKind(f"map: {link(table)}", reference(table))


def reference(table: Keys) -> JsonSchema:
    """The schema that refers to the definition of a table."""
    return {"$ref": f"#/$defs/{table.name}"}


def link(table: Keys) -> str:
    """A link to the section of a table."""
    return f"[{table.name}](#{table.name})"


def definition(table: Keys, schema_of: Callable[[Key], JsonSchema]) -> JsonSchema:
    """The schema of a map with the keys of a table; `schema_of` gives that of each key's value."""
    schema: JsonSchema = {
        "description": table.about,
        "type": "object",
        "properties": {
            name: {"description": key.line, **schema_of(key)} for name, key in table.all()
        },
        "required": list(table.required),
        "additionalProperties": False,
    }
    groups = [{"oneOf": [{"required": [name]} for name in group]} for group in table.either]
    return {**schema, "allOf": groups} if groups else schema


def document(head: str, tables: Iterable[Keys], kinds: Mapping[str, ValueKind]) -> str:
    """A document after its head: one section for each table, one row for each key."""
    return "\n".join([head, *(_section(table, kinds) for table in tables)])


def _section(table: Keys, kinds: Mapping[str, ValueKind]) -> str:
    where = f" Place: `{table.place}`." if table.place else ""
    lines = [f"## {table.name}\n", f"{table.about}{where}\n"]
    lines += ["| key | | value | means |", "|---|---|---|---|"]
    need = dict.fromkeys(table.required, "required")
    for group in table.either:
        need |= dict.fromkeys(group, f"one of {', '.join(group)}")
    lines += [
        f"| `{name}` | {need.get(name, '')} | {kinds[key.kind].words} | {_cell(key.line)} |"
        for name, key in table.all()
    ]
    return "\n".join(lines) + "\n"


def _cell(line: str) -> str:
    return line.replace("|", "\\|")
