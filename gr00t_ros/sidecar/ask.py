"""gr00t sidecar ping, check, bench, infer and describe: commands that question any policy server.

- ping: which generation, codec and keys a server has; nothing is inferred.
- check: the modality config key by key, then a reset where the server has one, and two inferences
  with a zero observation; up to five more ask whether the server continues its chunks (RTC).
- bench: round trip and inference times, after the check has warmed the server up.
- infer: one inference with an observation from a numpy archive: ``video.<key>`` (T, H, W, 3) uint8,
  ``state.<key>`` (T, D) float32 and ``instruction``; nothing is unpickled.
- describe: begins an embodiment file from the server's modality config.

Each verb is a function: it reads the command line and returns the exit status (command_line.py): 1
if the server answers and something is wrong, 2 if it does not answer or the usage is wrong.
A private function of the same name questions the server and returns a Report. Nothing moves.
"""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import (
    ChunkError,
    ObservationError,
    RefusedError,
    RemoteError,
    SettingsError,
    WireError,
)
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.motion.clocks import Latencies
from gr00t_ros.observe.modality import FITS, ModalityRow, fit, fit_table, verdict
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.sidecar.embodiment_skeleton import skeleton
from gr00t_ros.sidecar.exchange_file import INSTRUCTION, VERSION_KEY, is_raw
from gr00t_ros.sidecar.npz_file import read_npz
from gr00t_ros.sidecar.target import (
    OK,
    PROBLEM,
    Report,
    Target,
    add_embodiment,
    ask,
    facts,
    milliseconds,
    positive,
    question,
)
from gr00t_ros.text_table import printable_lines, table
from gr00t_ros.wire.access import STRICT_VARIABLE, TAG_VARIABLE
from gr00t_ros.wire.handshake import ServerInfo
from gr00t_ros.wire.link import PolicyLink
from gr00t_ros.wire.template import RequestTemplate

_STAGES: Final = ("ping", "inference")
_BENCH_HEADER: Final = ("", "count", "p50 ms", "p99 ms", "max ms")
_OBSERVATION: Final = """\
arrays in FILE.npz, as numpy.savez writes them, for each key of the embodiment:
  video.KEY    uint8 (T, H, W, 3), RGB, H and W as the file's size, T its delta_indices
  state.KEY    float32 (T, D), D its number of values, in the policy's units
  instruction  text, such as numpy.array("put the cup on the plate")
An array that is missing, unknown or of another shape is named in the error."""
_INFER_HEADER: Final = ("action key", "shape", "lowest", "highest", "first step")


# --- ping ------------------------------------------------------------------------------------


def ping(argv: Sequence[str]) -> int:
    """Print which server answers; 1 if it refuses or its reply is invalid."""
    description = "Which generation, codec and keys a policy server has; nothing is inferred."
    return ask(question("ping", description), argv, _ping)


def _ping(target: Target, _: argparse.Namespace) -> Report:
    with closing(target.client("nested")) as client:
        server = client.connect()
        found = server_facts(client.address, server)
    keys = {
        name: f"{', '.join(entry.keys) or 'no keys'}  {_steps(entry.delta_indices)}"
        for name, entry in server.modality.items()
    }
    modality = {
        name: {"keys": list(entry.keys), "delta_indices": list(entry.delta_indices)}
        for name, entry in server.modality.items()
    }
    return Report(found | {"modality": modality}, facts(found | keys))


def server_facts(address: str, server: ServerInfo) -> dict[str, object]:
    """Return the facts about a server that every verb prints."""
    return {
        "address": address,
        "generation": server.generation.label,
        "codec": server.array_codec,
        "ping_ms": milliseconds(server.ping_ns),
        **({"proxy": server.proxy} if server.proxy else {}),
    }


def _steps(delta_indices: tuple[int, ...]) -> str:
    if len(delta_indices) < 4:
        return str(list(delta_indices))
    return f"[{delta_indices[0]} .. {delta_indices[-1]}, {len(delta_indices)} steps]"


# --- check -----------------------------------------------------------------------------------


def check(argv: Sequence[str]) -> int:
    """Print whether the server fits the embodiment; 1 if it does not."""
    parser = question(
        "check",
        "Whether a policy server fits an embodiment; nothing moves.",
        "--embodiment franka_droid",
    )
    add_embodiment(parser)
    parser.add_argument(
        "--strict",
        action=argparse.BooleanOptionalAction,
        help=f"count every difference as a problem, even a harmless one; else {STRICT_VARIABLE}",
    )
    return ask(parser, argv, lambda target, options: check_server(target, options.strict))


def check_server(target: Target, strict: bool | None = None) -> Report:
    """Compare the target's server with its embodiment; `strict` None: as the environment says."""
    embodiment = target.embodiment()
    strict = bool(target.environment.strict if strict is None else strict)
    with closing(target.client("nested")) as client:
        server = client.connect()
        found = server_facts(client.address, server) | {"embodiment": embodiment.source}
    rows = fit(embodiment, server.modality)
    result = verdict(rows, strict)
    parts, inference = [facts(found), fit_table(rows)], dict[str, object]()
    if not any(row.fatal for row in rows):
        inference, failure = _infer_zero(target, embodiment)
        result = failure or result
    if inference:
        parts.append(facts(inference | {"actions": _shapes(inference["actions"])}))
    figures = found | {"verdict": result, "rows": [_row_figures(row) for row in rows]} | inference
    text = "\n\n".join([*parts, printable_lines(result)])
    return Report(figures, text, OK if result == FITS else PROBLEM)


def _infer_zero(target: Target, embodiment: Embodiment) -> tuple[dict[str, object], str]:
    """Infer zero observations; return the figures, and what was wrong or an empty text."""
    with closing(PolicyLink(target.client(), embodiment, target.token, wants_rtc=True)) as link:
        try:
            checked = link.check()
        except (ChunkError, RefusedError, RemoteError, WireError) as error:
            return {}, f"inference failed: {error}"
    return {
        "key_style": checked.server.key_style,
        "warmup_ms": milliseconds(checked.warmup_ns),
        "inference_ms": milliseconds(checked.inference_ns),
        "rtc": checked.rtc,
        "actions": {key: list(shape) for key, shape in checked.shapes.items()},
    }, ""


def _shapes(actions: object) -> str:
    assert isinstance(actions, dict)
    return ", ".join(f"{key} {' x '.join(map(str, shape))}" for key, shape in actions.items())


def _row_figures(row: ModalityRow) -> dict[str, object]:
    return {
        "modality": row.modality,
        "key": row.key,
        "verdict": row.verdict,
        "embodiment": row.ours,
        "server": row.server,
        "fatal": row.fatal,
        "text": row.text,
    }


# --- bench -----------------------------------------------------------------------------------


def bench(argv: Sequence[str]) -> int:
    """Print the percentiles; 1 if an answer is wrong."""
    parser = question(
        "bench",
        "Round trip and inference time of a policy server; nothing moves.",
        "--embodiment franka_droid --count 10",
    )
    add_embodiment(parser)
    parser.add_argument(
        "--count", type=positive, default=50, metavar="N", help="calls of each kind (%(default)s)"
    )
    return ask(parser, argv, _bench)


def _bench(target: Target, options: argparse.Namespace) -> Report:
    latencies = Latencies(window=options.count)
    client = target.client()
    with closing(PolicyLink(client, target.embodiment(), target.token)) as link:
        found = link.check()
        for _ in range(options.count):
            latencies.add("ping", client.ping())
            _, _, inference_ns = link.query(lambda template: None, episode=0)
            latencies.add("inference", inference_ns)
    figures = server_facts(client.address, found.server) | {
        "key_style": found.server.key_style,
        "warmup_ms": milliseconds(found.warmup_ns),
    }
    stages = {stage: _latency_figures(latencies, stage) for stage in _STAGES}
    rows = [(stage, *values.values()) for stage, values in stages.items()]
    return Report(figures | stages, f"{facts(figures)}\n\n{table(_BENCH_HEADER, rows)}")


def _latency_figures(latencies: Latencies, stage: str) -> dict[str, float]:
    summary = latencies.summary(stage)
    return {
        "count": summary.count,
        "p50_ms": milliseconds(summary.p50_ns),
        "p99_ms": milliseconds(summary.p99_ns),
        "max_ms": milliseconds(summary.max_ns),
    }


# --- infer -----------------------------------------------------------------------------------


def infer(argv: Sequence[str]) -> int:
    """Print the action for an observation; 1 if it is not a chunk of the embodiment."""
    parser = question(
        "infer",
        "One inference with an observation from a file; nothing moves.",
        "--embodiment franka_droid --observation FILE.npz",
        _OBSERVATION,
    )
    add_embodiment(parser)
    parser.add_argument(
        "--observation", metavar="FILE.npz", required=True, help="the arrays listed below"
    )
    parser.missing["--observation"] = "a file with one observation, see --help"
    parser.add_argument("--instruction", metavar="TEXT", help="instead of the one in the file")
    return ask(parser, argv, _infer)


def _infer(target: Target, options: argparse.Namespace) -> Report:
    embodiment = target.embodiment()
    arrays = read_npz(Path(options.observation))
    if VERSION_KEY in arrays:  # of gr00t sidecar dump, which holds more
        arrays = {name: value for name, value in arrays.items() if is_raw(name)}
    if options.instruction is not None:
        arrays[INSTRUCTION] = np.array(options.instruction)
    client = target.client()
    with closing(PolicyLink(client, embodiment, target.token)) as link:
        checked = link.check()
        _, action, inference_ns = link.query(lambda template: fill(template, arrays), episode=0)
    found = server_facts(client.address, checked.server)
    found["inference_ms"] = milliseconds(inference_ns)
    problem = ""
    try:
        from_reply(embodiment, action, sequence=0, episode=0, stamp_ns=0)
    except ChunkError as error:
        problem = str(error)
    actions = {key: _range_figures(values) for key, values in action.items()}
    parts = [facts(found), _range_table(actions), *([problem] if problem else [])]
    figures = found | {"actions": actions, "problem": problem}
    return Report(figures, "\n\n".join(parts), PROBLEM if problem else OK)


def fill(template: RequestTemplate, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an observation into a template.

    arrays: `video.KEY` -> (T, H, W, 3) uint8, `state.KEY` -> (T, D) float32, also with a first axis
    of 1, and the instruction as text. Raises ObservationError that names every missing and every
    unknown array, or the array with a wrong dtype or shape.
    """
    slots: dict[str, NDArray[Any]] = {f"video.{key}": slot for key, slot in template.video.items()}
    slots |= {f"state.{key}": slot for key, slot in template.state.items()}
    known = {*slots, INSTRUCTION}
    missing, extra = sorted(known - arrays.keys()), sorted(arrays.keys() - known)
    if missing or extra:
        raise ObservationError(
            f"observation: missing {', '.join(missing) or 'nothing'}; "
            f"unknown {', '.join(extra) or 'nothing'}"
        )
    for name, slot in slots.items():
        array = arrays[name]
        if array.dtype != slot.dtype or array.shape not in (slot.shape, slot.shape[1:]):
            raise ObservationError(
                f"observation {name}: got {array.dtype} {array.shape}, "
                f"expected {slot.dtype} {slot.shape[1:]}"
            )
        slot[:] = array
    template.set_instruction(str(arrays[INSTRUCTION]))


def _range_figures(values: NDArray[np.float32]) -> dict[str, list[float]]:
    return {
        "shape": list(values.shape),
        "lowest": values.min(axis=0).tolist(),
        "highest": values.max(axis=0).tolist(),
        "first_step": values[0].tolist(),
    }


def _range_table(actions: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return a table of `_range_figures`, one row for each action key."""
    rows: list[tuple[object, ...]] = []
    for key, (shape, *ranges) in ((key, found.values()) for key, found in actions.items()):
        rows.append((key, shape, *(" ".join(f"{value:.4g}" for value in row) for row in ranges)))
    return table(_INFER_HEADER, rows)


# --- describe --------------------------------------------------------------------------------


def describe(argv: Sequence[str]) -> int:
    """Write the beginning of an embodiment file; 1 if the server's reply is invalid."""
    parser = question(
        "describe", "Begin an embodiment file from a live policy server.", "--output my_robot.yaml"
    )
    parser.add_argument("--output", metavar="FILE", help="a new file; else stdout")
    parser.add_argument(
        "--tag", metavar="TAG", help=f"its embodiment tag; else {TAG_VARIABLE}, else left open"
    )
    return ask(parser, argv, _describe)


def _describe(target: Target, options: argparse.Namespace) -> Report:
    with closing(target.client("nested")) as client:
        server = client.connect()
        source = f"{client.address} ({server.generation.label})"
    tag = options.tag or target.environment.embodiment_tag
    text = skeleton(server.modality, source, tag, command="gr00t sidecar describe")
    if not options.output:
        return Report({"yaml": text}, text.rstrip("\n"))
    try:
        with Path(options.output).open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise SettingsError(f"{options.output}: {error.strerror}") from error
    return Report({"file": options.output}, f"wrote {options.output}; fill in what it marks")
