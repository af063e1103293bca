"""Texts of anybody's making as YAML scalars and lists on one line.

Refuses to know what they mean.
"""

from collections.abc import Iterable


def text(value: str) -> str:
    """Return `value` as a double-quoted scalar without a line break or control character."""
    return '"' + "".join(map(_escaped, value)) + '"'


def listed(values: Iterable[str]) -> str:
    """Return texts as a flow list."""
    return f"[{', '.join(map(text, values))}]"


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\U{ord(char):08x}"
