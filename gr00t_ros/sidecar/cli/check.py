"""gr00t-sidecar check: whether a server fits an embodiment, without ROS and without motion.

The modality config is compared key by key, then a zero observation is inferred and its answer
held against the embodiment.
"""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import ChunkError, RefusedError, RemoteError, WireError
from gr00t_ros.core.fit import Row, fit
from gr00t_ros.sidecar.cli.ping import describe
from gr00t_ros.sidecar.cli.report import OK, PROBLEM, Report, facts, milliseconds
from gr00t_ros.sidecar.cli.target import Target, add_embodiment, ask, question
from gr00t_ros.sidecar.environment import STRICT
from gr00t_ros.sidecar.fit_text import FITS, fit_table, verdict
from gr00t_ros.sidecar.link import Link
from gr00t_ros.sidecar.text_table import printable


def main(argv: Sequence[str]) -> int:
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
        found = describe(client.address, server) | {"embodiment": embodiment.source}
    rows = fit(embodiment, server.modality)
    inference: Mapping[str, object] = {}
    found["verdict"] = verdict(rows, strict)
    if not any(row.fatal for row in rows):
        inference, failure = _infer(target, embodiment)
        found["verdict"] = failure or found["verdict"]
    return _report(found, rows, inference, found["verdict"] != FITS)


def _infer(target: Target, embodiment: Embodiment) -> tuple[dict[str, object], str]:
    """Return what the zero observation's inference showed, and what was wrong with it."""
    with closing(Link(target.client(), embodiment, target.token)) as link:
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


def _report(
    found: Mapping[str, object],
    rows: Sequence[Row],
    inference: Mapping[str, object],
    is_wrong: bool,
) -> Report:
    figures = dict(found) | {"rows": [_figures(row) for row in rows]} | dict(inference)
    parts = [facts({k: v for k, v in found.items() if k != "verdict"}), fit_table(rows)]
    if inference:
        parts.append(facts(dict(inference) | {"actions": _shapes(inference["actions"])}))
    said = "\n".join(printable(line) for line in str(found["verdict"]).split("\n"))
    return Report(figures, "\n\n".join([*parts, said]), PROBLEM if is_wrong else OK)


def _shapes(actions: object) -> str:
    assert isinstance(actions, dict)
    return ", ".join(f"{key} {' x '.join(map(str, shape))}" for key, shape in actions.items())


def _figures(row: Row) -> dict[str, object]:
    return {
        "modality": row.modality,
        "key": row.key,
        "verdict": row.verdict,
        "embodiment": row.ours,
        "server": row.server,
        "fatal": row.fatal,
        "text": row.text,
    }
