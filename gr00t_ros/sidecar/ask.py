"""gr00t-sidecar ping, check, bench, infer and describe: questions to a server of any make.

ping: what answers, in which generation, codec and keys; nothing is inferred. check: modality
config key by key, then a zero observation is inferred and compared with the embodiment. bench:
round trip and inference times after the check's warm-up. infer: one observation from a numpy
archive with ``video.<key>`` (T, H, W, 3) uint8, ``state.<key>`` (T, D) float32 and
``instruction``; nothing is unpickled. describe: begins an embodiment file from the server's
modality config.
"""

import argparse
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

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
from gr00t_ros.text_table import printable, table
from gr00t_ros.wire.access import EMBODIMENT_TAG, STRICT
from gr00t_ros.wire.handshake import Server
from gr00t_ros.wire.link import Action, PolicyLink
from gr00t_ros.wire.template import RequestTemplate


def ping(argv: Sequence[str]) -> int:
    """Print who answers; 0, 1 where it refuses or makes no sense, 2 where nobody answers."""
    return ask(question("ping", str(__doc__).partition(":")[2].strip()), argv, _ping)


def _ping(target: Target, options: argparse.Namespace) -> Report:
    with closing(target.client("nested")) as client:
        server = client.connect()
        figures = server_facts(client.address, server)
    shown = figures | {
        name: f"{', '.join(entry.keys) or 'no keys'}  {_steps(entry.delta_indices)}"
        for name, entry in server.modality.items()
    }
    return Report(figures | {"modality": _modality(server)}, facts(shown))


def server_facts(address: str, server: Server) -> dict[str, object]:
    """Return what a connection tells of a server, for every verb alike."""
    return {
        "address": address,
        "generation": server.generation.label,
        "codec": server.array_codec,
        "ping_ms": milliseconds(server.ping_ns),
    }


def _modality(server: Server) -> dict[str, object]:
    return {
        name: {"keys": list(entry.keys), "delta_indices": list(entry.delta_indices)}
        for name, entry in server.modality.items()
    }


def _steps(delta_indices: tuple[int, ...]) -> str:
    if len(delta_indices) < 4:
        return str(list(delta_indices))
    return f"[{delta_indices[0]} .. {delta_indices[-1]}, {len(delta_indices)} steps]"


def check(argv: Sequence[str]) -> int:
    """Print the comparison; 0 where it fits, 1 where it does not, 2 where nobody answers."""
    parser = question("check", "Whether a policy server fits an embodiment; nothing moves.")
    add_embodiment(parser)
    parser.add_argument(
        "--strict",
        action=argparse.BooleanOptionalAction,
        help=f"every difference is a problem, not only what cannot work; else {STRICT}",
    )
    return ask(parser, argv, _check)


def _check(target: Target, options: argparse.Namespace) -> Report:
    embodiment = target.embodiment()
    strict = bool(target.environment.strict if options.strict is None else options.strict)
    with closing(target.client("nested")) as client:
        server = client.connect()
        found = server_facts(client.address, server) | {"embodiment": embodiment.source}
    rows = fit(embodiment, server.modality)
    inference: Mapping[str, object] = {}
    found["verdict"] = verdict(rows, strict)
    if not any(row.fatal for row in rows):
        inference, failure = _infer_zero(target, embodiment)
        found["verdict"] = failure or found["verdict"]
    return _check_report(found, rows, inference, found["verdict"] != FITS)


def _infer_zero(target: Target, embodiment: Embodiment) -> tuple[dict[str, object], str]:
    """Return what the zero observation's inference showed, and what was wrong with it."""
    with closing(PolicyLink(target.client(), embodiment, target.token)) as link:
        try:
            checked = link.check()
        except (ChunkError, RefusedError, RemoteError, WireError) as error:
            return {}, f"inference failed: {error}"
    return {
        "key_style": checked.server.key_style,
        "warmup_ms": milliseconds(checked.warmup_ns),
        "inference_ms": milliseconds(checked.inference_ns),
        "actions": {key: list(shape) for key, shape in checked.shapes.items()},
    }, ""


def _check_report(
    found: Mapping[str, object],
    rows: Sequence[ModalityRow],
    inference: Mapping[str, object],
    is_wrong: bool,
) -> Report:
    figures = dict(found) | {"rows": [_row_figures(row) for row in rows]} | dict(inference)
    parts = [facts({k: v for k, v in found.items() if k != "verdict"}), fit_table(rows)]
    if inference:
        parts.append(facts(dict(inference) | {"actions": _shapes(inference["actions"])}))
    said = "\n".join(printable(line) for line in str(found["verdict"]).split("\n"))
    return Report(figures, "\n\n".join([*parts, said]), PROBLEM if is_wrong else OK)


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


_BENCH_HEADER = ("", "count", "p50 ms", "p99 ms", "max ms")
_STAGES = ("ping", "inference")


def bench(argv: Sequence[str]) -> int:
    """Print the percentiles; 0, 1 where an answer is wrong, 2 where none comes."""
    parser = question("bench", "Round trip and inference time of a policy server; nothing moves.")
    add_embodiment(parser)
    parser.add_argument("--count", type=positive, default=50, help="of each (%(default)s)")
    return ask(parser, argv, _bench)


def _bench(target: Target, options: argparse.Namespace) -> Report:
    count = options.count
    latencies = Latencies(window=count)
    client = target.client()
    with closing(PolicyLink(client, target.embodiment(), target.token)) as link:
        found = link.check()
        for _ in range(count):
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


INSTRUCTION = "instruction"
_INFER_HEADER = ("action key", "shape", "lowest", "highest", "first step")


def infer(argv: Sequence[str]) -> int:
    """Print the action; 0, 1 where it is no chunk of the embodiment, 2 where none comes."""
    parser = question("infer", "One inference with an observation from a file; nothing moves.")
    add_embodiment(parser)
    parser.add_argument("--observation", metavar="FILE.npz", required=True)
    parser.add_argument("--instruction", help="in place of the file's")
    return ask(parser, argv, _infer_file)


def _infer_file(target: Target, options: argparse.Namespace) -> Report:
    embodiment = target.embodiment()
    arrays = read_observation(Path(options.observation))
    if options.instruction is not None:
        arrays[INSTRUCTION] = np.array(options.instruction)
    client = target.client()
    with closing(PolicyLink(client, embodiment, target.token)) as link:
        found = link.check()
        _, action, inference_ns = link.query(lambda template: fill(template, arrays), episode=0)
    figures = server_facts(client.address, found.server)
    figures["inference_ms"] = milliseconds(inference_ns)
    return _infer_report(figures, action, _problem(embodiment, action))


def read_observation(path: Path) -> dict[str, NDArray[Any]]:
    """Return all arrays of a .npz file; raise SettingsError where it is none."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise SettingsError(f"observation {path}: no .npz of plain arrays: {error}") from error


def fill(template: RequestTemplate, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an observation into a template.

    Raises ObservationError that names every array missing or too many, and what is wrong with
    a dtype or shape.
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
        _write(name, arrays[name], slot)
    template.set_instruction(str(arrays[INSTRUCTION]))


def _write(name: str, array: NDArray[Any], slot: NDArray[Any]) -> None:
    if array.dtype != slot.dtype or array.shape not in (slot.shape, slot.shape[1:]):
        raise ObservationError(
            f"observation {name}: got {array.dtype} {array.shape}, "
            f"expected {slot.dtype} {slot.shape[1:]}"
        )
    slot[:] = array


def _problem(embodiment: Embodiment, action: Action) -> str:
    try:
        from_reply(embodiment, action, sequence=0, episode=0, stamp_ns=0)
    except ChunkError as error:
        return str(error)
    return ""


def _infer_report(found: Mapping[str, object], action: Action, problem: str) -> Report:
    actions = {key: _range_figures(values) for key, values in action.items()}
    cells = [
        (
            key,
            row["shape"],
            _shown(row["lowest"]),
            _shown(row["highest"]),
            _shown(row["first_step"]),
        )
        for key, row in actions.items()
    ]
    figures = dict(found) | {"actions": actions, "problem": problem}
    parts = [facts(found), table(_INFER_HEADER, cells), *([problem] if problem else [])]
    return Report(figures, "\n\n".join(parts), PROBLEM if problem else OK)


def _range_figures(values: NDArray[np.float32]) -> dict[str, list[float]]:
    return {
        "shape": list(values.shape),
        "lowest": values.min(axis=0).tolist(),
        "highest": values.max(axis=0).tolist(),
        "first_step": values[0].tolist(),
    }


def _shown(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def describe(argv: Sequence[str]) -> int:
    """Write the file; 0, 1 where the server makes no sense, 2 where nobody answers."""
    parser = question("describe", "Start an embodiment file from a live policy server.")
    parser.add_argument("--output", metavar="FILE", help="a new file; else stdout")
    parser.add_argument("--tag", help=f"its embodiment tag; else {EMBODIMENT_TAG}, else open")
    return ask(parser, argv, _describe)


def _describe(target: Target, options: argparse.Namespace) -> Report:
    with closing(target.client("nested")) as client:
        server = client.connect()
        source = f"{client.address} ({server.generation.label})"
    text = skeleton(server.modality, source, options.tag or target.environment.embodiment_tag)
    if not options.output:
        return Report({"yaml": text}, text.rstrip("\n"))
    try:
        with Path(options.output).open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise SettingsError(f"{options.output}: {error.strerror}") from error
    return Report({"file": options.output}, f"wrote {options.output}; fill in what it marks")
