"""The modality check as a table: a row for every key, whether it matches or how it differs.

What differs and how gravely is modality.compare's to say; this adds the rows that match, so that
an operator sees what was looked at. Refuses to know how a table is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.modality import (
    MODALITIES,
    Difference,
    ModalityConfig,
    ModalityEntry,
    compare,
    keys_of,
    said_of,
)

MATCHES = "matches"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `key` is empty where a row is about the whole modality.

    verdict: "matches" or a Difference's kind. `fatal`: activation must be refused. `text`: the
    difference in words, empty where there is none.
    """

    modality: str
    key: str
    verdict: str
    ours: str
    server: str
    fatal: bool = False
    text: str = ""


def fit(embodiment: Embodiment, config: ModalityConfig) -> tuple[Row, ...]:
    """Every key of either side, in the server's order, and the action horizon.

    The rows that do not match are exactly `compare(embodiment, config)`.
    """
    differences = compare(embodiment, config)
    return tuple(
        row
        for modality in MODALITIES
        for row in _of_modality(
            embodiment,
            modality,
            config.get(modality, ModalityEntry((), ())),
            [found for found in differences if found.modality == modality],
        )
    )


def _of_modality(
    embodiment: Embodiment, modality: str, entry: ModalityEntry, found: list[Difference]
) -> list[Row]:
    ours = keys_of(embodiment, modality)
    rows = []
    for key in (*entry.keys, *(key for key in ours if key not in entry.keys)):
        differing = [_row(difference) for difference in found if difference.key == key]
        rows += differing or [_match(embodiment, modality, key, entry)]
    rows += [_row(difference) for difference in found if not difference.key]
    if modality == "action" and not any(difference.kind == "horizon" for difference in found):
        steps = str(embodiment.action_horizon)
        rows.append(Row(modality, "", MATCHES, f"horizon {steps}", f"horizon {steps}"))
    return rows


def _row(found: Difference) -> Row:
    ours, server = {
        "missing": ("none", "expected" if found.modality != "action" else "returned"),
        "extra": ("in the file", "none"),
        "horizon": (f"horizon {found.got}", f"horizon {found.expected}"),
    }.get(found.kind, (found.got, found.expected or "says nothing"))
    return Row(found.modality, found.key, found.kind, ours, server, found.fatal, found.text)


def _match(embodiment: Embodiment, modality: str, key: str, entry: ModalityEntry) -> Row:
    ours, server = "the instruction", "expected"
    if modality in ("video", "state"):
        ours = server = f"delta indices {list(entry.delta_indices)}"
    elif modality == "action":
        ours, server = _use(embodiment, key), said_of(_configs(entry).get(key)) or "says nothing"
    return Row(modality, key, MATCHES, ours, server)


def _use(embodiment: Embodiment, key: str) -> str:
    output = next(action.output for action in embodiment.action if action.key == key)
    return "ignored" if output is None else f"to output {output}"


def _configs(entry: ModalityEntry) -> Mapping[str, Mapping[str, object]]:
    return dict(zip(entry.keys, entry.action_configs or (), strict=False))
