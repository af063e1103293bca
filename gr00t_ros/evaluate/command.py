"""The command gr00t eval: options to settings, the run, and what is written and printed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from gr00t_ros.command_line import DONE, JSON_HELP, MISUSE, NO, CommandParser, fail, tell_progress
from gr00t_ros.convert.recordings import embodiment_of, other_files
from gr00t_ros.dataset.episode import HUMAN, POLICY, SOURCES
from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.evaluate.open_loop import OpenLoopSettings
from gr00t_ros.evaluate.report.compare import comparison, read_compared, text_of
from gr00t_ros.evaluate.report.page import Section, episode_section, limits_of, page, title_of
from gr00t_ros.evaluate.results import (
    JSON_NAME,
    NPZ_NAME,
    PAGE_NAME,
    SCHEMA,
    Failed,
    Plain,
    plain,
    settings_figures,
    summarise,
    write_arrays,
    write_results,
)
from gr00t_ros.evaluate.servers import Address, ServerAccess
from gr00t_ros.evaluate.sources import bag_references, chosen, dataset_references
from gr00t_ros.evaluate.spread import (
    EpisodePredictions,
    EvaluationRun,
    Failure,
    Measured,
    Workers,
    WorkerTask,
)
from gr00t_ros.evaluate.workers import LOCAL, make_workers
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.sidecar.target import add_connection, positive, questioning
from gr00t_ros.text_table import printable_lines, table
from gr00t_ros.wire.access import HOST_VARIABLE, PORT_VARIABLE, read_environment, read_token
from gr00t_ros.wire.address import parse_place
from gr00t_ros.wire.client import DEFAULT_TIMEOUT_MS
from gr00t_ros.wire.curve import read_client_keys

DRAWN: Final = 10
"""Episodes with plots in the report, the worst first."""

_DEFAULT_HOST, _DEFAULT_PORT = "127.0.0.1", 5555
_UPSTREAM: Final = {
    "--model-path": "the policy runs in its server: gr00t sidecar start, then --host and --port",
    "--embodiment-tag": "the robot is named by --embodiment NAME|FILE",
    "--save-plot-path": "plots are in the report: --output DIR",
    "--denoising-steps": "an option of the server",
    "--compare": "gr00t eval compare A.json B.json",
}


# --- open-loop ---------------------------------------------------------------------------------


def open_loop(argv: Sequence[str]) -> int:
    """Evaluate, write the report and print the summary.

    NO if an episode failed, MISUSE if all of them did.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if bool(options.bags) == bool(options.dataset_path):
        parser.error("expected bags, or --dataset-path DIR: one of both")
    try:
        with questioning():
            results = _evaluated(options)
    except Gr00tError as error:
        return fail(parser.prog, error)
    print(json.dumps(results, indent=1) if options.json else _text(results, options.output))
    if not results["episodes"]:
        return MISUSE
    return NO if results["failed"] else DONE


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="gr00t eval open-loop",
        description="Sends the observations of recorded episodes to a live policy server, and "
        "compares what it predicts with what was recorded. Nothing moves.",
        example="gr00t eval open-loop --dataset-path my_data --embodiment my_robot.yaml "
        "--output report",
        notes="Names of options are those of NVIDIA's open_loop_eval.py where it has them.",
    )
    parser.instead |= _UPSTREAM
    add = parser.add_argument
    add("bags", nargs="*", type=Path, metavar="BAG", help="recording, episode folder or bag")
    add("--dataset-path", type=Path, metavar="DIR", help="a LeRobot dataset, in place of bags")
    add("--embodiment", metavar="NAME|FILE", help="the robot; else the file in the recording")
    add("--output", type=Path, required=True, metavar="DIR", help="a new folder for the report")
    parser.missing["--output"] = "a new folder for report.html, results.json and arrays.npz"
    _add_servers(parser)
    steps = SessionSettings().execute_steps
    add("--traj-ids", type=int, nargs="+", default=[], metavar="N", help="episodes; else all")
    add("--steps", type=positive, metavar="N", help="first rows of each episode; else all")
    add(
        "--action-horizon",
        type=positive,
        default=steps,
        metavar="N",
        help="rows between two queries (%(default)s, the node's execute_steps)",
    )
    add("--modality-keys", nargs="+", default=[], metavar="KEY", help="action keys; else all")
    add(
        "--latency-ms",
        type=_not_negative,
        default=0.0,
        metavar="MS",
        help="simulated latency; steps that are due by then are dropped (%(default)s)",
    )
    add(
        "--sources",
        nargs="+",
        choices=SOURCES,
        default=[POLICY, HUMAN],
        help="who commanded the rows that count (policy human)",
    )
    add("--swap-cameras", nargs=2, metavar="KEY", help="a second pass with two cameras exchanged")
    add(
        "--velocity-scale",
        type=_share,
        default=0.5,
        metavar="X",
        help="of the offline plan, as the node's parameter (%(default)s)",
    )
    add("--workers", type=positive, default=1, metavar="N", help="processes (%(default)s)")
    add("--ray", metavar=f"ADDRESS|{LOCAL}", help="workers on Ray: pip install ray")
    add(
        "--in-flight",
        type=positive,
        default=1,
        metavar="N",
        help="episodes at once on a server; more than 1 only for policies without a memory",
    )
    add("--drawn", type=int, default=DRAWN, metavar="N", help="episodes with plots (%(default)s)")
    add("--json", action="store_true", help=JSON_HELP)
    return parser


def _add_servers(parser: CommandParser) -> None:
    add = parser.add_argument
    add("--host", help=f"of the policy server; else {HOST_VARIABLE}, else {_DEFAULT_HOST}")
    add(
        "--port",
        type=positive,
        help=f"of the policy server; else {PORT_VARIABLE}, else {_DEFAULT_PORT}",
    )
    add("--server", metavar="HOST:PORT,...", help="several servers, in place of --host and --port")
    add_connection(parser)


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0.0 <= value <= 1e5:
        raise argparse.ArgumentTypeError(f"{text}: expected 0 or more ms")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0.01 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text}: expected 0.01 to 1")
    return value


def _evaluated(options: argparse.Namespace) -> Plain:
    """Run the evaluation and write its files; returns the content of results.json."""
    embodiment = embodiment_of(options.embodiment, options.bags)
    for line in other_files(embodiment, options.embodiment, options.bags):
        print(f"WARNING: {line}: --embodiment is used, not that file", file=sys.stderr)
    settings = _settings(options).check(embodiment)
    servers, access = _servers(options)
    if options.dataset_path:
        references = dataset_references(options.dataset_path)
    else:
        references = bag_references(options.bags, embodiment)
    references = chosen(references, options.traj_ids)
    if not references:
        raise SettingsError("episodes: got none, expected one at least")
    _make_folder(options.output)
    task = WorkerTask(embodiment, settings, access)
    workers = make_workers(options.workers, options.ray)
    try:
        return evaluate_all(
            task, references, servers, workers, options.output, options.in_flight, options.drawn
        )
    finally:
        workers.close()


def evaluate_all(
    task: WorkerTask,
    references: Sequence[Any],
    servers: Sequence[Address],
    workers: Workers,
    output: Path,
    in_flight: int = 1,
    drawn: int = DRAWN,
    tell: Callable[[str], None] = tell_progress,
) -> Plain:
    """Evaluate the episodes, write all files into `output`; returns the content of results.json.

    After Ctrl-C the files have the episodes that were done, results.json says `interrupted`, and
    KeyboardInterrupt is raised then. Raises SettingsError if the files cannot be written.
    """
    run = EvaluationRun(task, references, servers, workers, in_flight, tell)
    measured, failed, answered = run.run()
    episodes = [one.figures for one in measured]
    results: Plain = plain(
        {
            "schema": SCHEMA,
            "settings": settings_figures(task.settings, task.embodiment),
            "limits": limits_of(task.embodiment),
            "summary": summarise(episodes, failed),
            "episodes": episodes,
            "failed": [_failed_figures(one) for one in failed],
            "servers": [str(server) for server in servers],
            "timing": _timing(list(answered.values())),
        }
    )
    arrays = {
        f"{one.figures['number']:06d}/{name}": values
        for one in measured
        for name, values in one.arrays.items()
    }
    worst = set(results["summary"]["worst_first"][:drawn])
    shown = [one for one in measured if one.figures["number"] in worst]
    sections: list[Section] = []
    interrupted = run.interrupted
    if not interrupted:
        try:
            _draw(task, references, shown, workers, tell, sections)
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        results["interrupted"] = True
    try:
        write_arrays(output, arrays)
        (output / PAGE_NAME).write_text(page(results, sections), encoding="utf-8")
        write_results(output, results)
    except OSError as error:
        raise SettingsError(f"output {output}: {error.strerror or error}") from error
    if interrupted:
        tell(f"interrupted: {output / PAGE_NAME} has the {len(measured)} episodes that were done")
        raise KeyboardInterrupt
    return results


def _draw(
    task: WorkerTask,
    references: Sequence[Any],
    shown: Sequence[Measured],
    workers: Workers,
    tell: Callable[[str], None],
    sections: list[Section],
) -> None:
    """Add the page's section of each of these episodes."""
    handles = [workers.submit(draw, task, references[one.figures["number"]], one) for one in shown]
    while handles:
        for handle, value in workers.wait(handles):
            handles.remove(handle)
            if isinstance(value, Section):
                sections.append(value)
            else:
                tell(f"no plots of an episode: {value}")


def draw(task: WorkerTask, reference: Any, one: Measured) -> Section | Failure:
    """Draw one episode; runs on a worker."""
    try:
        episode = reference.load(task.embodiment)
        return episode_section(one.figures, one.measures, episode, task.embodiment)
    except Gr00tError as error:
        return Failure(str(error), of_server=False)


def _failed_figures(one: Failed) -> Plain:
    return {
        "number": one.number,
        "name": one.name,
        "text": one.text,
        "servers": list(one.servers),
    }


def _timing(answers: Sequence[EpisodePredictions]) -> Plain:
    """Inference times, ms; they differ from run to run."""
    taken = [one.predictions.inference_ns for one in answers if len(one.predictions.rows)]
    if not taken:
        return {}
    all_ms = np.concatenate(taken) / 1e6
    return {
        "p50": float(np.percentile(all_ms, 50)),
        "p99": float(np.percentile(all_ms, 99)),
        "max": float(all_ms.max()),
    }


def _settings(options: argparse.Namespace) -> OpenLoopSettings:
    return OpenLoopSettings(
        every_rows=options.action_horizon,
        latency_ns=round(options.latency_ms * 1e6),
        steps=options.steps,
        keys=tuple(options.modality_keys),
        sources=tuple(options.sources),
        swap=tuple(options.swap_cameras) if options.swap_cameras else None,
        velocity_scale=options.velocity_scale,
    )


def _servers(options: argparse.Namespace) -> tuple[list[Address], ServerAccess]:
    """The servers, and how they are accessed; options win over the environment."""
    found = read_environment(os.environ)
    if options.server and (options.host or options.port):
        raise SettingsError("server: got --server and --host or --port, expected one of both")
    if bool(options.server_key) != bool(options.client_key):
        raise SettingsError("--server-key and --client-key: got one, expected both or neither")
    if options.server:
        servers = [Address(*parse_place(one, 1)) for one in options.server.split(",")]
    else:
        host = options.host or found.host or _DEFAULT_HOST
        servers = [Address(host, options.port or found.port or _DEFAULT_PORT)]
    keys = options.server_key and read_client_keys(options.server_key, options.client_key)
    access = ServerAccess(
        options.timeout_ms or found.timeout_ms or DEFAULT_TIMEOUT_MS,
        read_token(options.token_file) if options.token_file else found.token,
        options.key_style,
        keys or None,
    )
    return list(dict.fromkeys(servers)), access


def _make_folder(folder: Path) -> None:
    """Make the output folder; refuse one with files, such as another report's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(path.name for path in folder.iterdir())
        if there:
            more = f" and {len(there) - 3} more" if len(there) > 3 else ""
            raise SettingsError(
                f"output {folder}: got one with {', '.join(there[:3])}{more}, expected a new or "
                "empty folder"
            )
    except OSError as error:
        raise SettingsError(f"output {folder}: {error.strerror}") from error


def _text(results: Plain, output: Path) -> str:
    """The summary for people."""
    summary = results["summary"]
    rows = [
        (f"{one['key']}: {one['name']}", one["unit"], one["count"])
        + tuple(
            "-" if one[name] is None else f"{one[name]:.4g}"
            for name in ("mse", "mae", "hold_mse", "repeat_mse", "shifted_mse", "seam_rms")
        )
        for one in summary["components"]
    ]
    header = ("component", "unit", "rows", "MSE", "MAE", "MSE hold", "repeat", "shifted", "seams")
    parts = [table(header, rows)] if rows else []
    for one in summary["findings"]:
        count = f"{one['episodes']} of {summary['episodes']} episodes"
        parts.append(f"{title_of(one['kind'])} ({count}): {one['text']}\n  -> {one['advice']}")
    if rows and not summary["findings"]:
        parts.append("no rule found anything")
    left_out = _left_out(results["episodes"])
    parts += [f"rows left out: {left_out} (--sources)"] if left_out else []
    parts += [f"FAILED {one['name']}: {one['text']}" for one in results["failed"]]
    parts.append(f"{output / PAGE_NAME}, {JSON_NAME} and {NPZ_NAME} beside it")
    return printable_lines("\n\n".join(parts))


def _left_out(episodes: Sequence[Plain]) -> str:
    """Rows that do not count, by their source."""
    counts = Counter[str]()
    for one in episodes:
        counts.update(one["rows_left_out"])
    return ", ".join(f"{count} {source}" for source, count in counts.items())


# --- compare -----------------------------------------------------------------------------------


def compare_two(argv: Sequence[str]) -> int:
    """Print the differences of two evaluations."""
    parser = CommandParser(
        prog="gr00t eval compare",
        description="Differences of two evaluations, component by component.",
        example="gr00t eval compare old/results.json new/results.json",
    )
    parser.add_argument("first", type=Path, metavar="A.json", help="results.json or its folder")
    parser.add_argument("second", type=Path, metavar="B.json", help="the other one")
    parser.add_argument("--json", action="store_true", help=JSON_HELP)
    options = parser.parse_args(argv)
    try:
        found = comparison(read_compared(options.first), read_compared(options.second))
    except Gr00tError as error:
        return fail(parser.prog, error)
    print(json.dumps(found, indent=1) if options.json else printable_lines(text_of(found)))
    return DONE
