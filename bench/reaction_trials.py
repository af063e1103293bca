"""Reaction times of one run: from a picture's stamp to the first cycle of the controller.

The arm is at rest before each change, so the first cycle that is executed because of a picture is
the first one whose reference leaves the position at rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.reaction_rig import Run
from gr00t_ros.sim.record import ROW_NS, TOLERANCE
from gr00t_ros.trace.flow import Flow

REST_NS, WITHIN_NS = 50_000_000, 800_000_000
MOVED_RAD = 1e-9
_STEP_S = ROW_NS * 1e-9
_SAME_NS = 1_000  # two readings of the clock offset differ by less
STAGES = (
    *("skipped pictures", "exposure to arrival", "wait for the tick", "pull", "assemble, decode"),
    *("wire", "server", "wait and merge", "shaping", "publish", "commit, controller"),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One change. stages: ms, in the order of STAGES; empty if no flow of the node shows them."""

    reaction_ms: float
    stages: tuple[float, ...]


@dataclass(slots=True)
class Trials:
    """The trials of runs of one kind, and the changes that were none.

    moving: the arm still moved. paused: the node was not replaying. stalled: the machine did not
    run a bare thread for 10 ms. lost: no motion followed. breaks: controller cycles beyond a limit.
    """

    found: list[Trial]
    moving: int = 0
    paused: int = 0
    stalled: int = 0
    lost: int = 0
    breaks: int = 0

    def add(self, run: Run, server_ms: float) -> None:
        """Add the changes of a run."""
        times_ns = run.record.time_ns + run.record.ros_offset_ns
        self.breaks += _breaks(run, times_ns)
        for stamp_ns in run.changes_ns.tolist():
            if run.begin_ns <= stamp_ns <= run.end_ns - WITHIN_NS:
                self._judge(run, times_ns, stamp_ns, server_ms)

    def _judge(self, run: Run, times_ns: np.ndarray, stamp_ns: int, server_ms: float) -> None:
        first = int(np.searchsorted(times_ns, stamp_ns))
        before = run.record.position[first - REST_NS // ROW_NS : first]
        after = run.record.position[first : first + WITHIN_NS // ROW_NS]
        moved = np.abs(after - before[-1]).max(axis=1) > MOVED_RAD
        cycle = first + int(np.argmax(moved)) if moved.any() else -1
        until_ns = int(times_ns[cycle])
        if _paused(run, stamp_ns - REST_NS, until_ns):
            self.paused += 1
        elif any(stamp_ns < end and begin < until_ns for begin, end in run.stalls):
            self.stalled += 1
        elif np.ptp(before, axis=0).max() > MOVED_RAD:
            self.moving += 1
        elif cycle < 0:
            self.lost += 1
        else:
            stages = _stages(run, stamp_ns, until_ns, server_ms)
            self.found.append(Trial((until_ns - stamp_ns) * 1e-6, stages))


def _paused(run: Run, begin_ns: int, end_ns: int) -> bool:
    """Whether the node had another mode than replaying in that time."""
    if not run.modes:
        return False
    ends = [time_ns for time_ns, _ in run.modes[1:]] + [end_ns]
    return any(
        mode != "replaying" and start_ns < end_ns and until_ns > begin_ns
        for (start_ns, mode), until_ns in zip(run.modes, ends, strict=True)
    )


def _breaks(run: Run, times_ns: np.ndarray) -> int:
    """Cycles of the measured time in which a joint exceeds a limit, judged as sim/record does."""
    rows = (times_ns >= run.begin_ns) & (times_ns < run.end_ns)
    velocity, acceleration = run.record.velocity[rows], run.record.acceleration[rows]
    limits, most = run.limits, 1.0 + TOLERANCE
    fast = np.abs(velocity[2:]) > limits.velocity * most
    hard = np.abs(np.diff(velocity, axis=0)[1:]) / _STEP_S > limits.acceleration * most
    bent = np.abs(np.diff(acceleration, axis=0)[1:]) / _STEP_S > limits.jerk * most
    kinked = np.abs(np.diff(velocity, n=2, axis=0)) / _STEP_S**2 > limits.jerk * most
    return int((fast | hard | bent | kinked).any(axis=1).sum())


def _stages(run: Run, stamp_ns: int, cycle_ns: int, server_ms: float) -> tuple[float, ...]:
    """Of the first observation with a picture of the change whose chunk was published."""
    for flow in sorted(run.flows, key=lambda flow: flow.number):
        shown_ns = [
            span.begin_ns + flow.ros_offset_ns
            for span in flow.spans
            if span.kind == "camera" and span.begin_ns + flow.ros_offset_ns >= stamp_ns - _SAME_NS
        ]
        if shown_ns and any(span.kind == "publish" for span in flow.spans):
            return _of_flow(flow, stamp_ns, min(shown_ns), cycle_ns, server_ms)
    return ()


def _of_flow(
    flow: Flow, stamp_ns: int, shown_ns: int, cycle_ns: int, server_ms: float
) -> tuple[float, ...]:
    """Parts of the time from stamp_ns to cycle_ns, one after the other; all times are ROS time.

    A picture that arrives after the query was asked waits for no tick: that stage is then 0.
    """
    begin = {span.kind: span.begin_ns + flow.ros_offset_ns for span in flow.spans}
    end = {span.kind: span.end_ns + flow.ros_offset_ns for span in flow.spans}
    arrived_ns = max(
        span.end_ns + flow.ros_offset_ns for span in flow.spans if span.kind == "camera"
    )
    times_ns = (
        stamp_ns, shown_ns, arrived_ns, begin["wait"], end["pull"], end["encode"],
        end["server"] - round(server_ms * 1e6), end["server"], end["merge"], end["shaping"],
        end["publish"], cycle_ns,
    )  # fmt: skip
    in_order = np.maximum.accumulate(np.array(times_ns, dtype=np.int64))
    return tuple((np.diff(in_order) * 1e-6).tolist())
