"""The matrix in a loop on one stack, for any time: no process may grow, and all limits hold."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fault_matrix.growth import Held, held
from fault_matrix.rig import Rig
from fault_matrix.row import RESTART, Fault, Group
from fault_matrix.runner import Outcome, judged, run_row, stack_of
from fault_matrix.table import SHORT

WATCHED = ("policy", "sidecar")
NEW_PROCESS = ("server killed", "server restarted", "node killed", "node terminated")
SHOWN = 8000
"""Characters of each process' log that are shown after a problem."""
PAUSE, RESUME = "/gr00t_policy/pause", "/gr00t_policy/resume"


@dataclass
class Endured:
    """Samples of each watched process, one after each fault; the problem; the number of faults."""

    held: dict[str, list[Held]] = field(default_factory=lambda: {role: [] for role in WATCHED})
    problems: list[str] = field(default_factory=list)
    faults: int = 0


def endurable() -> tuple[Fault, ...]:
    """The short rows in which node and server stay alive and the arm stays on steady time."""
    rows = (fault for group in SHORT if not group.simulated for fault in group.faults)
    return tuple(fault for fault in rows if _endurable(fault))


def _endurable(fault: Fault) -> bool:
    """False for rows that end a process, or that lack an input until the node faults."""
    gone = fault.persists and fault.watch == "stream_age"
    return fault.way_back != RESTART and fault.name not in NEW_PROCESS and not gone


def endure(length_s: float, say: Callable[[str], None] = print) -> Endured:
    """Inject the rows in a random order, again and again, for `length_s`; stop at a problem."""
    result, source = Endured(), random.Random(0)
    policy = dict(pair for group in SHORT if not group.simulated for pair in group.policy)
    group = Group("Endurance", endurable(), tuple(policy.items()))
    end_s = time.monotonic() + length_s
    with (
        tempfile.TemporaryDirectory() as folder,
        stack_of(group, rendered=False, seed=0, folder=Path(folder)) as rig,
    ):
        while time.monotonic() < end_s and not result.problems:
            rows = list(group.faults)
            source.shuffle(rows)
            _one_round(rig, rows, end_s, result, say)
    return result


def _one_round(
    rig: Rig,
    rows: Sequence[Fault],
    end_s: float,
    result: Endured,
    say: Callable[[str], None],
) -> None:
    outcomes: list[Outcome] = []
    for fault in rows:
        if time.monotonic() > end_s or result.problems:
            break
        outcomes.append(run_row(rig, fault))
        result.faults += 1
        if outcomes[-1].problem:
            result.problems.append(f"{fault.name}: {outcomes[-1].problem}")
            _show(rig, rows[: len(outcomes)], say)
        for role in WATCHED:
            result.held[role].append(held(rig.bringup.children[role].pid))
    _judge(rig, outcomes, result)
    say(f"{result.faults} faults, { ({role: result.held[role][-1] for role in WATCHED}) }")


def _show(rig: Rig, rows: Sequence[Fault], say: Callable[[str], None]) -> None:
    """Say what a problem came from, before the folder with the logs is gone."""
    say(f"rows of this round: {[fault.name for fault in rows]}")
    say(f"last status: {rig.statuses[-1]}")
    for role in rig.bringup.children:
        say(f"--- {role}\n{rig.bringup.log(role)[-SHOWN:]}")


def _judge(rig: Rig, outcomes: Sequence[Outcome], result: Endured) -> None:
    """Judge the round's record, during a pause: writing it makes the robot late."""
    if result.problems or not outcomes:
        return
    rig.wait(lambda: rig.trigger(PAUSE).success, "a pause")
    rig.wait_for_rest()
    record = rig.record()
    assert rig.trigger(RESUME).success
    for outcome in outcomes:
        problem = judged(outcome, record).problem
        result.problems += [f"{outcome.fault.name}: {problem}"] if problem else []
