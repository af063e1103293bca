"""The commands gr00t eval libero and gr00t eval closed-loop: options, the run, what is written."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from gr00t_ros import __version__
from gr00t_ros.command_line import DONE, JSON_HELP, NO, CommandParser, fail, number, tell_progress
from gr00t_ros.errors import Gr00tError, NodeError, SettingsError
from gr00t_ros.evaluate.servers import ServerAccess
from gr00t_ros.evaluate.spread import Workers
from gr00t_ros.evaluate.workers import LOCAL, make_workers
from gr00t_ros.robot.files import find_embodiment, load_embodiment
from gr00t_ros.robot.questions import open_marks, settled_names
from gr00t_ros.rollout import worker
from gr00t_ros.rollout.benchmark import PORT, Benchmark, libero
from gr00t_ros.rollout.episode import blank
from gr00t_ros.rollout.folder import EPISODES, PAGE, SUMMARY, Folder
from gr00t_ros.rollout.report import overall, page, rate_text
from gr00t_ros.rollout.shared_server import refuse_shared, standing_of
from gr00t_ros.rollout.stack import command_of
from gr00t_ros.rollout.strategy import STRATEGY_ROWS, parse_strategy
from gr00t_ros.rollout.success import INFRASTRUCTURE
from gr00t_ros.rollout.trial import Condition, Evaluation, Plain, Trial
from gr00t_ros.sidecar.target import positive, questioning, seed
from gr00t_ros.sim.libero.extra import require_libero
from gr00t_ros.text_table import printable_lines, table
from gr00t_ros.wire.access import read_environment
from gr00t_ros.wire.client import DEFAULT_TIMEOUT_MS
from gr00t_ros.wire.robot_id import ROBOT_ID, Standing

MOST_IN_A_ROW: Final = 3
"""After so many episodes in a row without a verdict, of each worker, the run ends."""
_FACTOR: Final = 0.25
_TABLE: Final = "strategies:\n" + "\n".join(
    f"  {row.name:13} {row.text}" for row in STRATEGY_ROWS
)  # NAME:K for another number of steps


def libero_loop(argv: Sequence[str]) -> int:
    """Evaluate on LIBERO; see `_evaluate`."""
    parser = _parser(
        "gr00t eval libero",
        "LIBERO through ROS topics: simulation, policy node with its limits and watches, and a "
        "policy server, or the scripted policy where none is named. Success with confidence "
        "intervals, per task and suite. It stops and goes on in the same folder.",
        "gr00t eval libero --suite libero_object --episodes 5 --output out",
    )
    parser.add_argument(
        "--real-time-factor",
        type=number(0.01, 1.0),
        default=_FACTOR,
        metavar="F",
        help="simulated time is at most F times as fast as this machine's (%(default)s)",
    )

    def benchmark(options: argparse.Namespace) -> Benchmark:
        require_libero()
        return libero(options.real_time_factor)

    return _evaluate(parser, argv, benchmark)


def closed_loop(argv: Sequence[str]) -> int:
    """Evaluate on a simulation that a command starts; see `_evaluate`."""
    parser = _parser(
        "gr00t eval closed-loop",
        "Any simulation that serves gr00t_ros/srv/ResetTask and publishes gr00t_ros/msg/TaskState, "
        "/clock, and the topics that an embodiment file names.",
        "gr00t eval closed-loop --simulation 'python my_sim.py' --embodiment my_robot.yaml "
        "--namespace /my_sim --suite kitchen --tasks 0,1 --port 5555 --output out",
    )
    add = parser.add_argument
    add("--simulation", required=True, metavar="COMMAND", help="starts the simulation")
    add("--embodiment", required=True, metavar="NAME|FILE", help="the robot in it")
    add("--namespace", required=True, metavar="/NAME", help="of task_state and reset_task")
    add("--policy", default="", metavar="COMMAND", help=f"starts a policy server on port {PORT}")
    add(
        "--real-time-factor",
        type=number(0.001, 100.0),
        default=1.0,
        metavar="F",
        help="how fast its time runs; --latency-ms needs it (%(default)s)",
    )

    def benchmark(options: argparse.Namespace) -> Benchmark:
        return Benchmark(
            name=options.namespace.strip("/"),
            simulation=command_of(options.simulation),
            embodiment=options.embodiment,
            namespace="/" + options.namespace.strip("/"),
            policy=command_of(options.policy),
            suites={},
            real_time_factor=options.real_time_factor,
        )

    return _evaluate(parser, argv, benchmark)


def _parser(prog: str, description: str, example: str) -> CommandParser:
    parser = CommandParser(prog=prog, description=description, example=example, notes=_TABLE)
    add = parser.add_argument
    add("--suite", required=True, metavar="NAME,...", help="one or more suites")
    add("--tasks", default="all", metavar="0,2,5-7|all", help="of each suite (%(default)s)")
    add("--episodes", type=positive, default=10, metavar="N", help="of each task (%(default)s)")
    text = "number of the first one's initial state (%(default)s)"
    add("--first-episode", type=seed, default=0, metavar="I", help=text)
    add("--seed", type=seed, default=0, metavar="K", help="of what is random (%(default)s)")
    add("--output", type=Path, required=True, metavar="DIR", help="goes on where it stopped")
    add("--host", default="127.0.0.1", help="of the policy server (%(default)s)")
    add("--port", type=positive, help="of the policy server; without it the scripted policy")
    add(
        "--latency-ms",
        type=number(0.0, 10_000.0),
        nargs="+",
        default=[0.0],
        metavar="MS",
        help="added to each answer, of simulated time; several are compared (0)",
    )
    add(
        "--strategy",
        nargs="+",
        default=["node"],
        metavar="NAME[:K]",
        help="how chunks become motion, K steps before the next query; several are compared (node)",
    )
    add("--limit-s", type=number(0.1, 1e5), default=0.0, metavar="S", help="else the benchmark's")
    add("--settled", default="", metavar="NAMES|all", help="as the node's parameter")
    add(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the policy node; may be repeated",
    )
    add("--workers", type=positive, default=1, metavar="N", help="simulations (%(default)s)")
    add("--ray", metavar=f"ADDRESS|{LOCAL}", help="workers on Ray: pip install ray")
    add("--stateless", action="store_true", help="the policy has no memory: workers may share it")
    add("--json", action="store_true", help=JSON_HELP)
    return parser


def _evaluate(parser: CommandParser, argv: Sequence[str], benchmark_of: Any) -> int:
    """DONE if every episode has a verdict, NO if some have none, MISUSE if it could not run."""
    options = parser.parse_args(argv)
    try:
        with questioning():
            evaluation = evaluation_of(options, benchmark_of(options))
            summary, lines = _evaluated(evaluation, options)
    except Gr00tError as error:
        return fail(parser.prog, error)
    finally:
        worker.end()
    print(json.dumps(summary, indent=1) if options.json else _text(summary, lines, options.output))
    return NO if summary["infrastructure"] else DONE


def evaluation_of(options: argparse.Namespace, benchmark: Benchmark) -> Evaluation:
    """Options to settings; SettingsError for those that do not fit."""
    robot = load_embodiment(benchmark.embodiment)
    path = find_embodiment(benchmark.embodiment)
    benchmark = replace(benchmark, embodiment=str(path)) if path.is_file() else benchmark
    asked = [mark.path for mark in robot.unsettled]
    settled = ",".join(asked) if options.settled == "all" else options.settled
    left = open_marks(robot.unsettled, settled_names(settled), robot.source)
    if left:
        questions = "\n".join(f"- {mark}" for mark in left)
        raise SettingsError(
            f"{robot.source}: got {len(left)} open questions, expected none: settle them in the "
            f"file, or name what is as assumed: --settled NAMES or all:\n{questions}"
        )
    if options.port is None and not benchmark.policy:
        raise SettingsError(
            f"{benchmark.name}: got no policy, expected --port, or --policy COMMAND"
        )
    strategies = dict.fromkeys(map(parse_strategy, options.strategy))
    latencies = dict.fromkeys(options.latency_ms)
    parameters = dict(map(_parameter, options.parameter))
    if options.workers > 1 and ROBOT_ID in parameters:
        raise SettingsError(
            f"--parameter {ROBOT_ID}: got one id for {options.workers} workers, expected none: "
            "each has one of its own"
        )
    return Evaluation(
        benchmark=benchmark,
        tasks={one: benchmark.tasks(one, options.tasks) for one in options.suite.split(",")},
        episodes=options.episodes,
        first_episode=options.first_episode,
        seed=options.seed,
        conditions=tuple(
            Condition(strategy, late_ms) for strategy in strategies for late_ms in latencies
        ),
        server=None if options.port is None else (options.host, options.port),
        parameters={**parameters, **({"settled": settled} if settled else {})},
        limit_s=options.limit_s,
    )


def _parameter(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SettingsError(f"parameter: got {text!r:.60}, expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def _evaluated(evaluation: Evaluation, options: argparse.Namespace) -> tuple[Plain, list[Plain]]:
    reset = None
    if evaluation.server is not None:
        found = _look_at(evaluation.server, options)
        reset = found is not Standing.SHARED
        evaluation = replace(evaluation, names_robots=found is Standing.KEPT)
    folder = Folder(options.output, evaluation, facts_of(evaluation))
    workers = make_workers(options.workers, options.ray)
    try:
        lines = run(evaluation, folder, workers, options.workers, tell_progress)
    finally:
        worker.end()
        workers.close()
        if (options.output / EPISODES).exists():
            summary = write_report(folder, evaluation, reset)
    return summary, lines


def run(
    evaluation: Evaluation,
    folder: Folder,
    workers: Workers,
    count: int,
    tell: Callable[[str], None],
) -> list[Plain]:
    """Play what has no verdict yet; returns the lines of all trials, in their order.

    Raises NodeError if nothing but failures of the infrastructure come.
    """
    done = folder.lines()
    trials = list(evaluation.trials())
    waiting = [one for one in trials if _open(done.get(one.key))]
    if len(waiting) < len(trials):
        tell(f"going on: {len(trials) - len(waiting)} of {len(trials)} episodes have a verdict")
    running: dict[Any, Trial] = {}
    lost, begun = 0, 0
    while waiting or running:
        while waiting and len(running) < count:
            trial = waiting.pop(0)
            begun += 1
            running[workers.submit(worker.play, evaluation, trial, folder.path)] = trial
        for handle, value in workers.wait(list(running)):
            trial = running.pop(handle)
            line = value if isinstance(value, dict) else _ended(trial, value)
            folder.append(line)
            done[trial.key] = line
            tell(_line_text(line, trial))
            lost = lost + 1 if line["outcome"] == INFRASTRUCTURE else 0
            if lost >= MOST_IN_A_ROW * count:
                raise NodeError(
                    f"{lost} episodes in a row failed for reasons beside the policy, the last one: "
                    f"{line['cause']}\nthe same command goes on from here; logs are in "
                    f"{folder.path / worker.LOGS}"
                )
    return [done[one.key] for one in trials]


def _open(line: Plain | None) -> bool:
    return line is None or line["outcome"] == INFRASTRUCTURE


def _ended(trial: Trial, error: Any) -> Plain:
    return {**blank(trial), "cause": f"the worker ended: {type(error).__name__}: {error}"}


def _line_text(line: Plain, trial: Trial) -> str:
    spent = "" if line["simulated_s"] is None else f" after {line['simulated_s']:.1f} s"
    why = f": {line['cause'].splitlines()[0]}" if line["cause"] else ""
    return f"{trial.name}: {line['outcome']}{spent}{why}"


def _look_at(server: tuple[str, int], options: argparse.Namespace) -> Standing:
    """What it does with the reset of a named robot; refuses what simulations would share."""
    environment = read_environment(os.environ)
    access = ServerAccess(environment.timeout_ms or DEFAULT_TIMEOUT_MS, environment.token)
    found = standing_of(*server, access)
    refuse_shared(*server, found, options.workers, options.stateless)
    return found


def facts_of(evaluation: Evaluation) -> Plain:
    """What changes results beside the settings: the robot's file and this package."""
    path = find_embodiment(evaluation.benchmark.embodiment)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    versions = {"gr00t_ros": __version__, "python": sys.version.split()[0]}
    return {"embodiment_sha256": digest, "versions": versions}


def write_report(folder: Folder, evaluation: Evaluation, reset: bool | None) -> Plain:
    """Write summary.json and the page of all lines so far; returns the summary."""
    from gr00t_ros.rollout.success import summarise

    known = folder.lines()
    lines = [known[one.key] for one in evaluation.trials() if one.key in known]
    summary = summarise(lines)
    settings = {**evaluation.settings(), **facts_of(evaluation)}
    (folder.path / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    (folder.path / PAGE).write_text(page(settings, summary, lines, reset), encoding="utf-8")
    return summary


def _text(summary: Plain, lines: Sequence[Plain], output: Path) -> str:
    rows = []
    for one in summary["conditions"]:
        for suite in one["suites"]:
            name = f"{one['strategy']}, +{one['latency_ms']:g} ms"
            rows.append((name, suite["suite"], "all", rate_text(suite)))
            rows += [("", "", str(task["task"]), rate_text(task)) for task in suite["tasks"]]
    parts = [table(("condition", "suite", "task", "success (95 % by Wilson)"), rows)]
    parts += [f"no verdict: {cause}" for cause in summary["causes"]]
    parts.append(f"all: {overall(lines)}")
    parts.append(f"{output / PAGE}, {SUMMARY} and {EPISODES} beside it")
    return printable_lines("\n\n".join(parts))
