"""Reaction times of one run: from a picture's stamp to the first cycle of the controller.

The arm is at rest before each change, so the first cycle that is executed because of a picture is
the first one in which the reference leaves the position at rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.reaction_rig import Run
from gr00t_ros.sim.record import ROW_NS
from gr00t_ros.trace.flow import Flow

REST_NS, WITHIN_NS = 50_000_000, 700_000_000
MOVED_RAD = 1e-9


@dataclass(frozen=True, slots=True)
class Trial:
    """One change. stages: name -> ms, in their order; empty if no flow of the node shows them."""

    reaction_ms: float
    stages: dict[str, float]


def trials(run: Run, server_ms: float) -> tuple[list[Trial], int]:
    """The trials of a run, and how many changes came while the arm still moved."""
    record, found, void = run.record, [], 0
    times_ns = record.time_ns + record.ros_offset_ns
    for stamp_ns in run.changes_ns:
        if not run.begin_ns <= stamp_ns <= run.end_ns - WITHIN_NS:
            continue
        first = int(np.searchsorted(times_ns, stamp_ns))
        before = record.position[first - REST_NS // ROW_NS : first]
        after = record.position[first : first + WITHIN_NS // ROW_NS]
        moved = np.abs(after - before[-1]).max(axis=1) > MOVED_RAD
        if np.ptp(before, axis=0).max() > MOVED_RAD or not moved.any():
            void += 1
            continue
        cycle_ns = int(times_ns[first + int(np.argmax(moved))])
        reaction_ms = (cycle_ns - stamp_ns) * 1e-6
        found.append(Trial(reaction_ms, _stages(run.flows, int(stamp_ns), cycle_ns, server_ms)))
    return found, void


def _stages(
    flows: tuple[Flow, ...], stamp_ns: int, cycle_ns: int, server_ms: float
) -> dict[str, float]:
    """The stages of the first observation with a picture of the change, one after the other."""
    for flow in flows:
        shown = [
            span
            for span in flow.spans
            if span.kind == "camera" and span.begin_ns + flow.ros_offset_ns >= stamp_ns - 1000
        ]
        if shown:
            return _of_flow(flow, stamp_ns - flow.ros_offset_ns, cycle_ns, server_ms)
    return {}


def _of_flow(flow: Flow, stamp_ns: int, cycle_ns: int, server_ms: float) -> dict[str, float]:
    begin = {span.kind: span.begin_ns for span in flow.spans}
    end = {span.kind: span.end_ns for span in flow.spans}
    arrived_ns = max(span.end_ns for span in flow.spans if span.kind == "camera")
    try:
        marks = {
            "exposure to arrival": arrived_ns,
            "wait for the tick": max(arrived_ns, begin["wait"]),
            "wait for the pull": end["pull"],
            "assemble and decode": end["encode"],
            "wire": end["server"] - round(server_ms * 1e6),
            "server": end["server"],
            "merge": end["merge"],
            "shaping": end["shaping"],
            "publish": end["publish"],
            "commit and controller": cycle_ns - flow.ros_offset_ns,
        }
    except KeyError:  # the flow ended before its chunk was published
        return {}
    times_ns = [stamp_ns, *marks.values()]
    return {
        name: (after - before) * 1e-6
        for name, before, after in zip(marks, times_ns, times_ns[1:], strict=False)
    }
