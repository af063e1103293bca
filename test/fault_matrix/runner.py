"""Runs groups of faults: inject, observe the reaction, mend, observe the recovery, then judge.

After a failed row the rest of the group gets a new bring-up.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ros_fixtures import own_domain, spinning_node

from fault_matrix.cable import Cable
from fault_matrix.judge import Span, Verdict, judge
from fault_matrix.lateness import Lateness
from fault_matrix.observe import Moment, Seen, now, observed
from fault_matrix.rig import Rig
from fault_matrix.row import RESET, Fault, Group
from gr00t_ros.sim.record import Record, explained, load_record

BEFORE_NS = 300_000_000
SETTLED_NS = 100_000_000
TAIL_LIMIT_S = 1.0
"""A dead node's last window has ended by then, stop ramp included (control.md 1, item 5)."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one row. began, injected, mended, freed, ended: the robot's time, ns.

    began and injected: start and end of the injection; mended and freed: of the mending.
    again_s: from the mending to motion. problem: what was wrong, empty if nothing.
    """

    fault: Fault
    seen: Seen | None = None
    began_ns: int = 0
    injected_ns: int = 0
    mended_ns: int = 0
    freed_ns: int = 0
    ended_ns: int = 0
    again_s: float | None = None
    refused: str = ""
    verdict: Verdict | None = None
    problem: str = ""


def run_group(group: Group, rendered: bool, say: Say = print) -> list[Outcome]:
    """Inject every row of a group once, and return the outcome of each."""
    outcomes: list[Outcome] = []
    stacks = 0
    while left := group.faults[len(outcomes) :]:
        stacks += 1
        outcomes += _run_on_one_stack(group, left, rendered, stacks, say)
    return outcomes


@contextmanager
def stack_of(group: Group, rendered: bool, seed: int, folder: Path) -> Iterator[Rig]:
    """A group's bring-up, with the arm in motion."""
    with (
        Lateness() as lateness,
        own_domain() as domain,
        spinning_node(domain) as node,
        Cable() as cable,
    ):
        rig = Rig(node, folder, cable, lateness, rendered)
        try:
            rig.begin(seed, group.simulated, dict(group.policy), group.network, group.around)
            yield rig
        finally:
            rig.end()


def _run_on_one_stack(
    group: Group, faults: Sequence[Fault], rendered: bool, seed: int, say: Say
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        try:
            with stack_of(group, rendered, seed, folder) as rig:
                for fault in faults:
                    outcomes.append(run_row(rig, fault))
                    told = outcomes[-1].problem or "as expected"
                    say(f"{group.name}: {fault.name}: {told}")
                    if outcomes[-1].problem:
                        break
        except pytest.fail.Exception as failure:  # errors of the bring-up: rows catch their own
            return [Outcome(faults[0], problem=f"the bring-up failed: {failure}")]
        record = load_record(folder / "record.npz")
    return [judged(outcome, record) for outcome in outcomes]


def run_row(rig: Rig, fault: Fault) -> Outcome:
    """Inject, observe, mend, and wait for motion; a problem is returned, not raised."""
    outcome = Outcome(fault)
    try:
        if fault.moving:
            rig.wait_for_motion()
        if fault.jumps:
            # A robot that is late would write the jump into rows of the row before.
            rig.wait_for_robot_time(time.monotonic_ns())
        moment = now(rig, time.monotonic_ns())
        fault.inject(rig)
        outcome = replace(outcome, began_ns=moment.robot_ns, injected_ns=rig.robot_ns())
        return _after(rig, moment, outcome)
    except (pytest.fail.Exception, AssertionError) as failure:
        problem = f"{rig.dead()}{failure}" or "failed"
        return replace(outcome, problem=problem, ended_ns=rig.robot_ns())


def _after(rig: Rig, moment: Moment, outcome: Outcome) -> Outcome:
    fault = outcome.fault
    seen = observed(fault, rig, moment)
    refused = ""
    if fault.persists:
        answer = rig.reset()
        assert not answer.success, "~/reset was accepted while the cause persists"
        refused = answer.message
    if fault.jumps:
        rig.wait_for_robot_time(time.monotonic_ns())
    mended_ns, mended_s = rig.robot_ns(), time.monotonic()
    fault.mend(rig)
    freed_ns = rig.robot_ns()
    if fault.way_back == RESET and seen.mode != "paused":
        rig.wait(lambda: rig.reset().success, "a reset after the mending")
    rig.wait_for_motion()
    return replace(
        outcome,
        seen=seen,
        mended_ns=mended_ns,
        freed_ns=freed_ns,
        ended_ns=rig.robot_ns(),
        again_s=time.monotonic() - mended_s,
        refused=refused,
    )


def judged(outcome: Outcome, record: Record) -> Outcome:
    """The outcome with the verdict of the record; a failed row is judged up to its failure."""
    if not outcome.began_ns:
        return outcome
    fault = outcome.fault
    rest_by_ns = outcome.injected_ns if fault.over else outcome.mended_ns or outcome.ended_ns
    no_start = (outcome.began_ns, outcome.mended_ns or outcome.ended_ns) if fault.blind else None
    verdict = judge(record, spans(outcome), rest_by_ns, fault.doubled, no_start)
    rest_s = verdict.rest_s
    if not fault.must_rest or rest_s is None:
        rest_s = None
    else:
        rest_s -= BEFORE_NS / 1e9
    problems = [outcome.problem, verdict.problem]
    if verdict.problem:
        problems.append(explained(record.since(outcome.began_ns - BEFORE_NS, outcome.ended_ns)))
    if not outcome.problem and fault.must_rest:
        problems.append(_rest_problem(fault, rest_s))
    problem = "; ".join(filter(None, problems))
    return replace(outcome, verdict=replace(verdict, rest_s=rest_s), problem=problem)


def spans(outcome: Outcome) -> list[Span]:
    """The parts of the record that are judged: all but those in which the robot itself stepped."""
    begin, end = outcome.began_ns - BEFORE_NS, outcome.ended_ns
    if not outcome.fault.jumps:
        return [(begin, end)]
    # A robot that is late writes its present motion into rows of slightly earlier times.
    edges = [begin, outcome.began_ns - SETTLED_NS]
    if outcome.injected_ns:
        edges += [outcome.injected_ns + SETTLED_NS, (outcome.mended_ns or end) - SETTLED_NS]
    if outcome.freed_ns:
        edges += [outcome.freed_ns + SETTLED_NS, end]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]


def _rest_problem(fault: Fault, rest_s: float | None) -> str:
    if rest_s is None:
        return "the arm was not at rest before the fault was mended"
    if fault.tail and rest_s > TAIL_LIMIT_S:
        return f"at rest after {rest_s:.2f} s, a tail may take {TAIL_LIMIT_S} s"
    return ""
