"""All trials of an evaluation over its workers: what has no verdict yet is played, line by line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gr00t_ros.errors import NodeError
from gr00t_ros.evaluate.spread import Workers
from gr00t_ros.rollout import worker
from gr00t_ros.rollout.episode import blank
from gr00t_ros.rollout.folder import Folder
from gr00t_ros.rollout.success import INFRASTRUCTURE
from gr00t_ros.rollout.trial import Evaluation, Plain, Trial

MOST_IN_A_ROW: Final = 3
"""After so many episodes in a row without a verdict, of each worker, the run ends."""


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
            tell(_text(line, trial))
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


def _text(line: Plain, trial: Trial) -> str:
    spent = "" if line["simulated_s"] is None else f" after {line['simulated_s']:.1f} s"
    why = f": {line['cause'].splitlines()[0]}" if line["cause"] else ""
    return f"{trial.name}: {line['outcome']}{spent}{why}"
