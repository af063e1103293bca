"""What measures that the arm touches something: topics and thresholds, as the file has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from gr00t_ros.robot.field import Field
from gr00t_ros.robot.keys import CONTACT_EFFORT, CONTACT_FLAG, CONTACT_TORQUES, CONTACT_WRENCH, Keys

SourceKind = Literal["external_torques", "wrench", "flag", "effort"]

CONTACT_TYPES: Final[Mapping[SourceKind, Keys]] = {
    "external_torques": CONTACT_TORQUES,
    "wrench": CONTACT_WRENCH,
    "flag": CONTACT_FLAG,
    "effort": CONTACT_EFFORT,
}
"""Type of a source -> the keys that it has in the file."""

AVERAGE_S: Final = (0.001, 0.2)
"""Range of average_s: a longer average would make every reaction later than a stop takes."""
_AVERAGE_S: Final = 0.01
LEARN_S: Final = (0.0, 60.0)
"""Range of learn_s."""
_LEARN_S: Final = 3.0

_FORCE: Final = ("x", "y", "z")


@dataclass(frozen=True, slots=True)
class ContactSource:
    """One topic that measures contacts.

    `names` are its values: joints, or x, y and z of a force; none for a flag. `thresholds`: Nm for
    each joint, or the one length of a force in N; empty if the file has none: the source is then
    only shown. `source`: where they come from. average_ns: time over which values are averaged.
    learn_ns: free motion in which the bias of each value is learned; 0 for none.
    """

    name: str
    type: SourceKind
    topic: str
    names: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()
    source: str = ""
    average_ns: int = 0
    learn_ns: int = 0

    @property
    def unit(self) -> str:
        """The unit of its values; empty for a flag."""
        return {"flag": "", "wrench": "N"}.get(self.type, "Nm")

    @property
    def reacts(self) -> bool:
        """Whether it can find a contact: it has thresholds, or is a flag."""
        return self.type == "flag" or bool(self.thresholds)


def read_contacts(fields: Mapping[str, Field]) -> tuple[ContactSource, ...]:
    """The sources of a file, by name; raises EmbodimentError for two that read one topic alike."""
    found = tuple(_source(name, field) for name, field in fields.items())
    for i, one in enumerate(found):
        for other in found[:i]:
            if (one.type, one.topic) == (other.type, other.topic):
                raise fields[one.name].problem(
                    f"got {one.type} of {one.topic}, which is also {other.name}, expected it once"
                )
    return found


def _source(name: str, field: Field) -> ContactSource:
    entries = field.entries()
    if "type" not in entries:
        raise field.problem(f"missing type, expected one of {', '.join(CONTACT_TYPES)}")
    found = entries["type"].choice(*CONTACT_TYPES)
    kind: SourceKind = found  # type: ignore[assignment]  # the table's keys are the literal's
    at = field.keys(CONTACT_TYPES[kind])
    names = at["names"].names() if "names" in at else _FORCE if kind == "wrench" else ()
    thresholds = _thresholds(at, names)
    if bool(thresholds) != ("source" in at):
        raise field.problem(
            "got thresholds without their source, or a source without thresholds, expected both "
            "or none"
        )
    average_s = at["average_s"].number(*AVERAGE_S) if "average_s" in at else _AVERAGE_S
    learn_s = at["learn_s"].number(*LEARN_S) if "learn_s" in at else _LEARN_S
    return ContactSource(
        name=name,
        type=kind,
        topic=at["topic"].topic(),
        names=names,
        thresholds=thresholds,
        source=at["source"].text() if "source" in at else "",
        average_ns=0 if kind == "flag" else round(1e9 * average_s),
        learn_ns=round(1e9 * learn_s) if kind == "effort" else 0,
    )


def _thresholds(at: Mapping[str, Field], names: tuple[str, ...]) -> tuple[float, ...]:
    if "threshold" in at:
        return (at["threshold"].positive(),)
    if "thresholds" not in at:
        return ()
    found = tuple(item.positive() for item in at["thresholds"].items())
    if len(found) != len(names):
        raise at["thresholds"].problem(
            f"got {len(found)} thresholds, expected one for each of {len(names)} joints: "
            f"{', '.join(names)}"
        )
    return found
