"""gr00t sidecar parity: does another server answer a recorded observation with the same action?

The file is one of `gr00t sidecar dump`. The server is asked several times, so that a difference is
judged beside how the server differs from itself. Nothing moves.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import numpy as np

from gr00t_ros.errors import SettingsError
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.sidecar.ask import server_facts
from gr00t_ros.sidecar.differences import (
    ATOL,
    DIFFERENT,
    EQUAL,
    RTOL,
    WITHIN,
    KeyDifference,
    Tolerances,
    compare,
)
from gr00t_ros.sidecar.exchange import SEED, Exchange, RawObservation, ask_for_action
from gr00t_ros.sidecar.exchange_file import Dumped, delta_indices, read_dump
from gr00t_ros.sidecar.target import (
    OK,
    PROBLEM,
    Report,
    Target,
    add_place,
    ask,
    facts,
    milliseconds,
    positive,
    question,
    seed,
)
from gr00t_ros.text_table import one_line, printable, table
from gr00t_ros.wire.handshake import ServerInfo
from gr00t_ros.wire.template import RequestTemplate

_REPEAT: Final = 2
_MOST_REPEATS: Final = 100
_MAX_TOLERANCE: Final = 1e9
_HEADER: Final = ("action key", "verdict", "shape", "max", "mean", "own spread", "outside", "where")
_NOTES: Final = f"""\
A value may differ by atol + rtol x |value in the file|. The defaults are {ATOL:g} and {RTOL:g}:
1 mrad or 1 mm, less than an arm follows. Give more for other arithmetic: bfloat16 keeps 8 bits,
so expect 0.01 rad between bfloat16 and float32. KEY=VALUE is for one action key.
Exit status: 0 the answers are equal or differ as little as the server's own, 1 they differ."""


def parity(argv: Sequence[str]) -> int:
    """Print how the server's answer differs from the file's; 1 if it does."""
    parser = question(
        "parity",
        "Compare a server's answer with the one in a file of gr00t sidecar dump: another "
        "generation, implementation or engine. Nothing moves.",
        "A.npz --embodiment my_robot.yaml",
        _NOTES,
    )
    add_place(parser)
    add = parser.add_argument
    add("file", type=Path, metavar="A.npz", help="a file of gr00t sidecar dump")
    add("--embodiment", metavar="NAME|FILE", help="the robot, for names and units of joints")
    for name, value in (("atol", ATOL), ("rtol", RTOL)):
        add(
            f"--{name}",
            action="append",
            default=[],
            metavar="[KEY=]X",
            help=f"tolerance, see below ({value:g}); may be given several times",
        )
    add(
        "--repeat",
        type=_repeat,
        default=_REPEAT,
        metavar="N",
        help="how often the server is asked; its own spread is among these answers (%(default)s)",
    )
    add("--seed", type=seed, metavar="N", help="in the request's options; else the file's, if any")
    return ask(parser, argv, _parity)


def _repeat(text: str) -> int:
    value = positive(text)
    if value > _MOST_REPEATS:
        raise argparse.ArgumentTypeError(f"{value}: expected at most {_MOST_REPEATS}")
    return value


def _parity(target: Target, options: argparse.Namespace) -> Report:
    dumped = read_dump(options.file)
    reference = dumped.exchange
    if reference is None:
        raise SettingsError(
            f"{options.file}: no server's answer to compare with; ask one: gr00t sidecar dump "
            f"--from {options.file} --observation NEW.npz --embodiment NAME|FILE"
        )
    tolerances = _tolerances(options, list(reference.action))
    embodiment = load_embodiment(options.embodiment) if options.embodiment else None
    observation = dumped.observation
    if options.seed is not None:
        observation = replace(observation, options={**observation.options, SEED: int(options.seed)})
    with closing(target.client()) as client:
        server = client.connect(lambda found: _probe(found, dumped, options.file, target))
        refuse_other_keys(dumped, server.modality, options.file)
        found = server_facts(client.address, server) | {"key_style": server.key_style}
        answers = [
            ask_for_action(client, server, observation, target.token) for _ in range(options.repeat)
        ]
    rows = compare(reference.action, [one.action for one in answers], tolerances, embodiment)
    return _report(dumped, reference, observation, server, found, answers, rows, tolerances)


def _probe(server: ServerInfo, dumped: Dumped, path: Path, target: Target) -> RequestTemplate:
    """Return the file's observation as the request that finds out the key style."""
    refuse_other_keys(dumped, server.modality, path)
    seen = dumped.observation
    template = RequestTemplate(
        {key: values.shape[:3] for key, values in seen.video.items()},
        {key: values.shape for key, values in seen.state.items()},
        seen.language_keys,
        generation=server.generation,
        key_style=server.key_style,
        array_codec=server.array_codec,
        token=target.token,
        instruction=seen.instruction,
    )
    for slots, arrays in ((template.video, seen.video), (template.state, seen.state)):
        for key, slot in slots.items():
            slot[0] = arrays[key]
    return template


def refuse_other_keys(dumped: Dumped, modality: ModalityConfig, path: Path) -> None:
    """Raise SettingsError where the file's keys or rows are not those that a server asks for."""
    seen, wrong = dumped.observation, []
    wanted = delta_indices(modality)
    for name, arrays in (("video", seen.video), ("state", seen.state)):
        entry = modality.get(name)
        missing = [key for key in (entry.keys if entry else ()) if key not in arrays]
        if missing:
            has = ", ".join(arrays) or "none"
            wrong.append(f"{name}: the server asks for {', '.join(missing)}, the file has {has}")
            continue
        steps = (dumped.deltas or {}).get(name)
        rows = {len(values) for values in arrays.values()}
        if steps is not None and steps != wanted[name] and arrays:
            wrong.append(
                f"{name}: the server asks for delta indices {_steps(wanted[name])}, the file has "
                f"{_steps(steps)}"
            )
        elif rows and rows != {len(wanted[name])}:
            wrong.append(
                f"{name}: the server asks for {len(wanted[name])} rows, the file has "
                f"{', '.join(map(str, sorted(rows)))}"
            )
    language = modality.get("language")
    missing = [key for key in (language.keys if language else ()) if key not in seen.language_keys]
    if missing:
        has = ", ".join(seen.language_keys)
        wrong.append(f"language: the server asks for {', '.join(missing)}, the file has {has}")
    if wrong:
        tag = one_line(dumped.embodiment_tag, 80)
        made = f" (embodiment tag {tag})" if tag else ""
        raise SettingsError(
            f"{path}: made for other modality keys{made}: {one_line('; '.join(wrong), 600)}; write "
            "one for this server: gr00t sidecar dump"
        )


def _steps(steps: Sequence[int]) -> str:
    return one_line(str(list(steps)), 60)


def _tolerances(options: argparse.Namespace, keys: Sequence[str]) -> Tolerances:
    """Return the tolerances of the command line; SettingsError for an unknown key or no number."""
    found: dict[str, dict[str, float]] = {"atol": {"": ATOL}, "rtol": {"": RTOL}}
    for name, values in found.items():
        for text in getattr(options, name):
            key, _, number = text.rpartition("=")
            try:
                value = float(number)
            except ValueError:
                value = math.nan
            if not 0.0 <= value <= _MAX_TOLERANCE:
                raise SettingsError(
                    f"--{name} {one_line(text, 60)}: expected a number from 0 to "
                    f"{_MAX_TOLERANCE:g}, or KEY=NUMBER"
                )
            if key and key not in keys:
                raise SettingsError(
                    f"--{name} {one_line(text, 60)}: no action key of that name, expected of "
                    f"{', '.join(keys)}"
                )
            values[key] = value
    atol, rtol = ({k: v for k, v in one.items() if k} for one in found.values())
    return Tolerances(found["atol"][""], found["rtol"][""], atol, rtol)


def _report(
    dumped: Dumped,
    reference: Exchange,
    observation: RawObservation,
    server: ServerInfo,
    found: Mapping[str, object],
    answers: Sequence[Exchange],
    rows: Sequence[KeyDifference],
    tolerances: Tolerances,
) -> Report:
    """Return facts about both sides, a row for each key, and the verdict."""
    notes = _notes(observation, server, rows, tolerances, len(answers))
    verdict = max((row.verdict for row in rows), key=(EQUAL, WITHIN, DIFFERENT).index)
    wrong = [row for row in rows if row.verdict == DIFFERENT]
    sides = {
        "file": f"{reference.server} ({reference.generation.label}, {reference.array_codec}, "
        f"{reference.key_style}), {dumped.source}",
        "server": f"{found['address']} ({found['generation']}, {found['codec']}, "
        f"{found['key_style']})",
        "instruction": observation.instruction,
        "seed": observation.options.get(SEED, "none"),
        "asked": f"{len(answers)} times, {milliseconds(answers[-1].inference_ns)} ms the last time",
    }
    result = f"{DIFFERENT}: {', '.join(row.key for row in wrong)}" if wrong else verdict
    text = "\n\n".join([facts(sides), _table(rows), *map(printable, [*notes, result])])
    figures = {
        "verdict": verdict,
        "file": {
            "server": reference.server,
            "generation": reference.generation.label,
            "codec": reference.array_codec,
            "key_style": reference.key_style,
            "embodiment_tag": dumped.embodiment_tag,
            "source": dumped.source,
            "gr00t_ros": dumped.gr00t_ros,
        },
        "server": found,
        "options": dict(observation.options),
        "repeat": len(answers),
        "inference_ms": [milliseconds(one.inference_ns) for one in answers],
        "tolerances": asdict(tolerances),
        "keys": [asdict(row) for row in rows],
        "notes": notes,
    }
    return Report(figures, text, PROBLEM if wrong else OK)


def _notes(
    observation: RawObservation,
    server: ServerInfo,
    rows: Sequence[KeyDifference],
    tolerances: Tolerances,
    asked: int,
) -> list[str]:
    """Return what a reader must know about the verdict."""
    notes = []
    with_seed = SEED in observation.options and not server.generation.is_n15
    own = [row for row in rows if row.spread > tolerances.atol_of.get(row.key, tolerances.atol)]
    if own:
        worst = max(own, key=lambda row: row.spread)
        more = "" if asked > _REPEAT else "; ask more often: --repeat 5"
        seeded = (
            "although the request has a seed" if with_seed else "give --seed where it takes one"
        )
        notes.append(
            f"the server's own answers differ by up to {worst.spread:.3g} ({worst.key}): it is "
            f"stochastic, {seeded}{more}"
        )
    if observation.options and server.generation.is_n15:
        notes.append("a server of N1.5 takes no options: the seed was not sent")
    elif with_seed:
        notes.append("a server that takes no seed ignores it without a word")
    if asked == 1:
        notes.append("asked once: whether the server is stochastic is unknown (--repeat 2)")
    return notes


def _table(rows: Sequence[KeyDifference]) -> str:
    cells: list[tuple[object, ...]] = []
    for row in rows:
        shape = "-" if row.shape is None else " x ".join(map(str, row.shape))
        if row.problem:
            cells.append((row.key, row.verdict, shape, "-", "-", "-", "-", row.problem))
            continue
        numbers = (f"{value:.3g}" for value in (row.largest, row.mean, row.spread))
        size = int(np.prod(row.shape)) if row.shape else 0
        cells.append(
            (row.key, row.verdict, shape, *numbers, f"{row.outside} of {size}", _where(row))
        )
    return table(_HEADER, cells)


def _where(row: KeyDifference) -> str:
    """Return where a key differs most, with the two values."""
    if not row.largest:
        return ""
    name = row.name or f"column {row.column}"
    unit = f" {row.unit}" if row.unit else ""
    return f"step {row.step}, {name}: {row.reference:.6g} -> {row.answer:.6g}{unit}"
