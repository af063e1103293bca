"""The server's modality config, and how it differs from an embodiment: rows and text.

wire/messages makes a ModalityConfig from a reply. `compare` decides what differs and how serious
it is; the table adds the rows that match, so that an operator sees everything that was checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gr00t_ros.robot.actions import ActionKey
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import Stream
from gr00t_ros.text_table import table

MODALITIES = ("video", "state", "action", "language")

_POSITIONS = ("ABSOLUTE NON_EEF", "RELATIVE NON_EEF")
_POSES = ("ABSOLUTE EEF", "RELATIVE EEF", "ABSOLUTE NON_EEF")
# The server announces values that it does not convert as recorded: some data sets record deltas
# as absolute.
_DELTAS = ("DELTA EEF", "DELTA NON_EEF", "ABSOLUTE EEF", "ABSOLUTE NON_EEF")


@dataclass(frozen=True, slots=True)
class ModalityEntry:
    """One modality of a server: `keys` without the N1.5 prefix, delta indices, action configs.

    `action_configs` runs parallel to `keys` (N1.6 and later: maps with rep, type, format,
    state_key; None on N1.5 and for modalities other than action).
    """

    delta_indices: tuple[int, ...]
    keys: tuple[str, ...]
    action_configs: tuple[Mapping[str, object], ...] | None = None


ModalityConfig = Mapping[str, ModalityEntry]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference; str() is a line for an operator.

    kind: missing (only the server has it), extra (only the embodiment has it),
    order, history, horizon or representation. `fatal`: activation must be refused.
    """

    modality: str
    key: str
    kind: str
    got: str
    expected: str
    fatal: bool
    text: str

    def __str__(self) -> str:
        """The line for an operator."""
        return self.text


def compare(embodiment: Embodiment, config: ModalityConfig) -> tuple[Difference, ...]:
    """Every difference between the server's config and the embodiment, server's view first.

    Fatal: a key that the server expects and the embodiment does not send, or returns and the
    embodiment neither maps nor ignores; a mapped key that it never returns; other delta indices;
    another horizon; values that cannot be joint positions. Not fatal: an additional key (servers
    tolerate it), another order, an ignored key that is never sent, a missing representation.
    """
    entries = {m: config.get(m, ModalityEntry((), ())) for m in MODALITIES}
    found: list[Difference] = []
    for modality in MODALITIES:
        found += _key_differences(embodiment, modality, entries[modality].keys)
        found += _history(embodiment, modality, entries[modality])
    found += _horizon(embodiment, entries["action"])
    found += _representation(embodiment, entries["action"])
    return tuple(found)


def keys_of(embodiment: Embodiment, modality: str) -> tuple[str, ...]:
    """The embodiment's own keys of a modality, in the order of its file."""
    if modality == "language":
        return embodiment.language_keys
    if modality == "action":
        return tuple(action.key for action in embodiment.action)
    return tuple(stream.key for stream in _streams(embodiment, modality))


def _streams(embodiment: Embodiment, modality: str) -> tuple[Stream, ...]:
    if modality == "video":
        return embodiment.video
    return embodiment.state if modality == "state" else ()


def _difference(
    embodiment: Embodiment,
    modality: str,
    key: str,
    kind: str,
    got: str,
    server: tuple[str, str],
    *,
    fatal: bool,
) -> Difference:
    """A difference whose text says what the server does, `server` being (words, expected)."""
    words, expected = server
    ours = f"embodiment {embodiment.robot} ({embodiment.source}) has: {got}"
    return Difference(modality, key, kind, got, expected, fatal, f"{modality}: {words}, {ours}")


def _key_differences(
    embodiment: Embodiment, modality: str, theirs: tuple[str, ...]
) -> list[Difference]:
    ours = keys_of(embodiment, modality)
    got, expected = ", ".join(ours), ", ".join(theirs) or "no keys"
    mapped = {a.key for a in embodiment.action if a.output is not None}
    verb = "returns" if modality == "action" else "expects"

    def differs(key: str, kind: str, words: str, fatal: bool) -> Difference:
        server = (f"server {words}", expected)
        return _difference(embodiment, modality, key, kind, got, server, fatal=fatal)

    # DROID has three for one instruction, and a strict server wants all of them (wire.md 8).
    hint = " (language_key may list several)" if modality == "language" else ""
    found = [
        differs(key, "missing", f"{verb} key {key!r}{hint}", True)
        for key in theirs
        if key not in ours
    ]
    for key in (key for key in ours if key not in theirs):
        fatal = modality == "action" and key in mapped
        found.append(differs(key, "extra", f"has no key {key!r} but {expected}", fatal))
    if not found and ours != theirs:
        found.append(differs("", "order", f"orders the keys {expected}", False))
    return found


def _history(embodiment: Embodiment, modality: str, entry: ModalityEntry) -> list[Difference]:
    expected = str(list(entry.delta_indices))
    return [
        _difference(
            embodiment,
            modality,
            stream.key,
            "history",
            str(list(stream.delta_indices)),
            (f"server expects delta indices {expected} of {stream.key!r}", expected),
            fatal=True,
        )
        for stream in _streams(embodiment, modality)
        if stream.key in entry.keys and stream.delta_indices != entry.delta_indices
    ]


def _horizon(embodiment: Embodiment, entry: ModalityEntry) -> list[Difference]:
    """The server's action delta indices must be 0, 1 .. horizon - 1."""
    ours, theirs = embodiment.action_horizon, entry.delta_indices
    if theirs == tuple(range(ours)):
        return []
    expected = f"{len(theirs)} ({theirs[0]} .. {theirs[-1]})" if theirs else "none"
    server = (f"server has action horizon {expected}, each step one on from 0", expected)
    got = f"{ours} (0 .. {ours - 1})"
    return [_difference(embodiment, "action", "", "horizon", got, server, fatal=True)]


def _representation(embodiment: Embodiment, entry: ModalityEntry) -> list[Difference]:
    """Mapped keys must have the file's representation; the server itself converts RELATIVE."""
    configs = dict(zip(entry.keys, entry.action_configs or (), strict=False))
    found = []
    for action in embodiment.action:
        if action.output is None or action.key not in entry.keys:
            continue
        announced = announced_kind(configs.get(action.key))
        ours, fitting = _taken_for(embodiment, action)
        if announced in fitting:
            continue
        server = (f"server gives {announced or 'no representation'} for {action.key!r}", announced)
        got = f"{ours} ({action.unit})"
        found.append(
            _difference(
                embodiment,
                "action",
                action.key,
                "representation",
                got,
                server,
                fatal=bool(announced),
            )
        )
    return found


def _taken_for(embodiment: Embodiment, action: ActionKey) -> tuple[str, tuple[str, ...]]:
    """What a mapped key is in the file, and the representations that a server may announce."""
    if action.representation == "delta":
        return "deltas of a step", _DELTAS
    if action.output in {output.name for output in embodiment.poses}:
        return "absolute poses", _POSES
    joints = action.output in {output.name for output in embodiment.outputs}
    return f"absolute {'joint positions' if joints else 'commands'}", _POSITIONS


def relative_keys(config: ModalityConfig) -> tuple[str, ...]:
    """The action keys that the server predicts relative to the state that it was sent."""
    configs = _configs(config["action"]) if "action" in config else {}
    return tuple(key for key, one in configs.items() if one.get("rep") == "RELATIVE")


def announced_kind(config: Mapping[str, object] | None) -> str:
    """The representation that a server announces for an action key, such as "RELATIVE NON_EEF"."""
    return "" if config is None else f"{config.get('rep')} {config.get('type')}"


MATCHES = "matches"


@dataclass(frozen=True, slots=True)
class ModalityRow:
    """One line of the table; `key` is empty if the row is about the whole modality.

    verdict: "matches" or a Difference's kind. `fatal`: activation must be refused. `text`: the
    difference in words, empty if there is none.
    """

    modality: str
    key: str
    verdict: str
    ours: str
    server: str
    fatal: bool = False
    text: str = ""


def fit(embodiment: Embodiment, config: ModalityConfig) -> tuple[ModalityRow, ...]:
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
) -> list[ModalityRow]:
    ours = keys_of(embodiment, modality)
    rows = []
    for key in (*entry.keys, *(key for key in ours if key not in entry.keys)):
        differing = [_row(difference) for difference in found if difference.key == key]
        rows += differing or [_match(embodiment, modality, key, entry)]
    rows += [_row(difference) for difference in found if not difference.key]
    if modality == "action" and not any(difference.kind == "horizon" for difference in found):
        steps = str(embodiment.action_horizon)
        rows.append(ModalityRow(modality, "", MATCHES, f"horizon {steps}", f"horizon {steps}"))
    return rows


def _row(found: Difference) -> ModalityRow:
    ours, server = {
        "missing": ("none", "expected" if found.modality != "action" else "returned"),
        "extra": ("in the file", "none"),
        "horizon": (f"horizon {found.got}", f"horizon {found.expected}"),
    }.get(found.kind, (found.got, found.expected or "says nothing"))
    return ModalityRow(found.modality, found.key, found.kind, ours, server, found.fatal, found.text)


def _match(embodiment: Embodiment, modality: str, key: str, entry: ModalityEntry) -> ModalityRow:
    ours, server = "the instruction", "expected"
    if modality in ("video", "state"):
        ours = server = f"delta indices {list(entry.delta_indices)}"
    elif modality == "action":
        ours, server = (
            _use(embodiment, key),
            announced_kind(_configs(entry).get(key)) or "says nothing",
        )
    return ModalityRow(modality, key, MATCHES, ours, server)


def _use(embodiment: Embodiment, key: str) -> str:
    output = next(action.output for action in embodiment.action if action.key == key)
    return "ignored" if output is None else f"to output {output}"


def _configs(entry: ModalityEntry) -> Mapping[str, Mapping[str, object]]:
    return dict(zip(entry.keys, entry.action_configs or (), strict=False))


HEADER: Final = ("modality", "key", "verdict", "embodiment", "server")
FITS: Final = "fits"


def wrong_rows(rows: Sequence[ModalityRow], strict: bool) -> tuple[ModalityRow, ...]:
    """Return the rows that refuse an activation; strict: all that do not match."""
    return tuple(row for row in rows if row.fatal or (strict and row.verdict != MATCHES))


def verdict(rows: Sequence[ModalityRow], strict: bool) -> str:
    """Return the check in one line, "fits" if nothing refuses an activation."""
    wrong = wrong_rows(rows, strict)
    return f"{len(wrong)} of {len(rows)} rows do not fit" if wrong else FITS


def fit_table(rows: Sequence[ModalityRow]) -> str:
    """Return one line a row; what cannot work is in capitals with an exclamation mark."""
    return table(HEADER, [cells(row) for row in rows])


def cells(row: ModalityRow) -> tuple[str, str, str, str, str]:
    """Return the row's cells in the order of HEADER."""
    shown = f"{row.verdict.upper()} !" if row.fatal else row.verdict
    return row.modality, row.key, shown, row.ours, row.server
