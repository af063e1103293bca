"""gr00t-sidecar infer: send one observation from a file, show the action's shapes and ranges.

The file is a numpy archive (.npz): ``video.<key>`` (T, H, W, 3) uint8, ``state.<key>`` (T, D)
float32 as the embodiment sends them, both also with a leading batch axis of 1, and
``instruction``, a text. Nothing in it is unpickled.
"""

import argparse
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.chunk import from_reply
from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import ChunkError, ObservationError, SettingsError
from gr00t_ros.sidecar.cli.ping import describe
from gr00t_ros.sidecar.cli.report import OK, PROBLEM, Report, facts, milliseconds
from gr00t_ros.sidecar.cli.target import Target, add_embodiment, ask, question
from gr00t_ros.sidecar.link import Action, Link
from gr00t_ros.sidecar.template import RequestTemplate
from gr00t_ros.sidecar.text_table import table

INSTRUCTION = "instruction"
_HEADER = ("action key", "shape", "lowest", "highest", "first step")


def main(argv: Sequence[str]) -> int:
    """Print the action; 0, 1 where it is no chunk of the embodiment, 2 where none comes."""
    parser = question("infer", "One inference with an observation from a file; nothing moves.")
    add_embodiment(parser)
    parser.add_argument("--observation", metavar="FILE.npz", required=True)
    parser.add_argument("--instruction", help="in place of the file's")
    return ask(parser, argv, _infer)


def _infer(target: Target, options: argparse.Namespace) -> Report:
    embodiment = target.embodiment()
    arrays = read_observation(Path(options.observation))
    if options.instruction is not None:
        arrays[INSTRUCTION] = np.array(options.instruction)
    client = target.client()
    with closing(Link(client, embodiment, target.token)) as link:
        found = link.check()
        _, action, inference_ns = link.query(lambda template: fill(template, arrays), episode=0)
    figures = describe(client.address, found.server)
    figures["inference_ms"] = milliseconds(inference_ns)
    return _report(figures, action, _problem(embodiment, action))


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


def _report(found: Mapping[str, object], action: Action, problem: str) -> Report:
    actions = {key: _figures(values) for key, values in action.items()}
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
    parts = [facts(found), table(_HEADER, cells), *([problem] if problem else [])]
    return Report(figures, "\n\n".join(parts), PROBLEM if problem else OK)


def _figures(values: NDArray[np.float32]) -> dict[str, list[float]]:
    return {
        "shape": list(values.shape),
        "lowest": values.min(axis=0).tolist(),
        "highest": values.max(axis=0).tolist(),
        "first_step": values[0].tolist(),
    }


def _shown(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
