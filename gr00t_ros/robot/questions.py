"""Open questions in an embodiment file: marks with a question and the value that is assumed.

A mark stands in place of a value. A person answers it: by its name, or by writing the value in its
place. Does not depend on what the value means, and never answers a question itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gr00t_ros.errors import EmbodimentError, SettingsError
from gr00t_ros.robot.field import Field, shown
from gr00t_ros.robot.keys import MARK

_MARK = "unsettled"
_ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Unsettled:
    """One mark: `path` of its place (`state.eef_9d.topic`), question, and the value assumed."""

    path: str
    question: str
    assumed: str

    def __str__(self) -> str:
        """The line for an operator."""
        return f"{self.path}: {self.question} (assumed: {self.assumed})"


def read_marks(field: Field) -> tuple[Field, tuple[Unsettled, ...]]:
    """What is here with each `{unsettled: QUESTION, assumed: VALUE}` replaced by VALUE; the marks.

    Raises EmbodimentError for a mark without a question or an assumed value.
    """
    marks: list[Unsettled] = []
    return Field(_replaced(field, marks), field.where, field.path), tuple(marks)


def open_marks(
    marks: Collection[Unsettled], settled: Collection[str], where: str
) -> tuple[Unsettled, ...]:
    """The marks that `settled` does not name.

    Raises SettingsError for a name that no mark has: it belongs to another file.
    """
    paths = [mark.path for mark in marks]
    unknown = [name for name in settled if name not in paths]
    if unknown:
        raise SettingsError(
            f"{where}: settled names {', '.join(unknown)}, expected of its unsettled places: "
            f"{', '.join(paths) or 'none is'}"
        )
    return tuple(mark for mark in marks if mark.path not in settled)


def refuse_open(marks: Collection[Unsettled], settled: Collection[str], where: str) -> None:
    """Raise EmbodimentError with every question that is still open, and how to answer it."""
    left = open_marks(marks, settled, where)
    if left:
        questions = "".join(f"\n- {mark}" for mark in left)
        raise EmbodimentError(
            f"{where}: {len(left)} unsettled: write the value in place of the mark, or start with "
            f"parameter settled, which names what is as assumed:{questions}"
        )


def settled_names(text: str) -> tuple[str, ...]:
    """The names in a comma-separated text."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _replaced(field: Field, marks: list[Unsettled]) -> object:
    value = field.value
    if isinstance(value, Mapping) and _MARK in value:
        at = field.keys(MARK)
        assumed = at[_ASSUMED].value
        marks.append(Unsettled(field.path, at[_MARK].text(), shown(assumed)))
        return assumed
    if isinstance(value, Mapping):
        prefix = f"{field.path}." if field.path else ""
        return {
            key: _replaced(Field(item, field.where, f"{prefix}{key}"), marks)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [
            _replaced(Field(item, field.where, f"{field.path}[{i}]"), marks)
            for i, item in enumerate(value)
        ]
    return value
