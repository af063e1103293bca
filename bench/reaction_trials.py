"""Reaction times of one run: from a picture's stamp to the first cycle of the controller.

That is the first cycle whose reference differs from what it would have been without the picture:
from the trajectory that was sent last before the first one that depends on it. For the node its
flows say which that is. For another client it is the last one before the picture's stamp: such a
client sends the same point again and again while it rests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from trajectory_msgs.msg import JointTrajectory

from bench.reaction_rig import Run, Setting
from gr00t_ros.motion.sampler import JtcSampler, Trajectory
from gr00t_ros.ros.windows import parse_trajectory
from gr00t_ros.sim.record import ROW_NS, STAMP_NOISE_S, TOLERANCE
from gr00t_ros.trace.flow import Flow

WITHIN_NS = 380_000_000  # a window of the node begins its stop ramp 400 ms ahead
LONGEST_NS = 800_000_000
MOVED_RAD, STILL_RAD_S = 1e-9, 0.02
_STEP_S = ROW_NS * 1e-9
_SAME_NS = 1_000  # two readings of the clock offset differ by less
STAGES = (
    *("skipped pictures", "exposure to arrival", "wait for the tick", "pull", "assemble, decode"),
    *("wire", "server", "wait and merge", "shaping", "publish", "commit, controller"),
)

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trial:
    """One change. stages: ms, in the order of STAGES; empty for a client without flows.

    commit_ms: the commit time that the node told last before it sent the motion; 0 if none.
    """

    reaction_ms: float
    stages: tuple[float, ...]
    commit_ms: float

    @property
    def used_ms(self) -> float:
        """The time from the picture that was used."""
        return self.reaction_ms - (self.stages[0] if self.stages else 0.0)


@dataclass(frozen=True, slots=True)
class Row:
    """Reaction times of one method in one setting.

    p50_ms, p99_ms: from the picture that was used, which is the first one that shows a change and
    that the node put into an observation. change_p50_ms: from the first one that shows it; of a
    client without flows both are this. stages: medians, ms, from the latter on. commit_ms: median
    of the commit times that were in force; 0 of a client without one. void: changes that gave no
    time, by the reason. breaks: controller cycles beyond a limit of the arm. cpu_percent: of one
    core, of the client's process.
    """

    method: str
    fps: float
    cameras: int
    stagger: bool
    server_ms: float
    p50_ms: float
    p99_ms: float
    stages: Mapping[str, float]
    change_p50_ms: float = 0.0
    commit_ms: float = 0.0
    trials: int = 0
    void: Mapping[str, int] = field(default_factory=dict)
    breaks: int = 0
    cpu_percent: float = 0.0

    @property
    def setting(self) -> Setting:
        """What it was measured with."""
        return Setting(self.fps, self.cameras, self.server_ms, self.stagger)


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
            if run.begin_ns <= stamp_ns <= run.end_ns - LONGEST_NS:
                self._judge(run, times_ns, stamp_ns, server_ms)

    def _judge(self, run: Run, times_ns: Times, stamp_ns: int, server_ms: float) -> None:
        flow = _flow(run, stamp_ns)
        if _paused(run, stamp_ns, stamp_ns + WITHIN_NS):
            self.paused += 1
        elif run.modes and flow is None:
            self.lost += 1
        elif abs(run.record.velocity[np.searchsorted(times_ns, stamp_ns)]).max() > STILL_RAD_S:
            self.moving += 1
        else:
            sent_ns = stamp_ns if flow is None else _begin_ns(flow, "publish")
            cycle_ns = _differs(run, times_ns, sent_ns)
            if cycle_ns is None:
                self.lost += 1
            elif any(stamp_ns < end and begin < cycle_ns for begin, end in run.stalls):
                self.stalled += 1
            else:
                stages = () if flow is None else _stages(flow, stamp_ns, cycle_ns, server_ms)
                told = [ms for told_ns, ms in run.commits if told_ns <= sent_ns]
                reaction_ms = (cycle_ns - stamp_ns) * 1e-6
                self.found.append(Trial(reaction_ms, stages, told[-1] if told else 0.0))


def _differs(run: Run, times_ns: Times, sent_ns: int) -> int | None:
    """The first cycle that is not as the last trajectory before `sent_ns` has it; ROS time."""
    before = [serialised for arrived_ns, serialised in run.trajectories if arrived_ns < sent_ns]
    if not before:
        return None
    first = int(np.searchsorted(times_ns, sent_ns))
    rows = slice(first, first + WITHIN_NS // ROW_NS)
    expected, velocity = _played(before[-1], run, run.record.time_ns[rows])
    most = MOVED_RAD + STAMP_NOISE_S * np.abs(velocity)
    differs = (np.abs(run.record.position[rows] - expected) > most).any(axis=1)
    return int(times_ns[first + int(np.argmax(differs))]) if differs.any() else None


def _played(
    serialised: bytes, run: Run, times_ns: Times
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, J) positions and velocities of a trajectory at these times of the controller's clock.

    One that begins when it arrives has ended before it matters: its last point is held.
    """
    message = deserialize_message(serialised, JointTrajectory)
    names, offset_ns = run.record.joint_names, run.record.ros_offset_ns
    trajectory = parse_trajectory(message, names, offset_ns)
    if not isinstance(trajectory, Trajectory):
        raise RuntimeError(f"the controller does not take what was sent: {trajectory}")
    if trajectory.stamp_ns == 0:
        held = np.broadcast_to(trajectory.positions[-1], (len(times_ns), len(names)))
        return held, np.zeros_like(held)
    sampler = JtcSampler(len(names))
    begin_ns = trajectory.stamp_ns + int(trajectory.times_ns[0])
    sampler.accept(trajectory, begin_ns, trajectory.positions[0])
    sampler.sample(begin_ns)
    motions = [sampler.sample(time_ns) for time_ns in times_ns.tolist()]
    return np.array([motion[0] for motion in motions]), np.array([motion[1] for motion in motions])


def _paused(run: Run, begin_ns: int, end_ns: int) -> bool:
    """Whether the node had another mode than replaying in that time."""
    ends_ns = [time_ns for time_ns, _ in run.modes[1:]] + [end_ns + 1]
    return any(
        mode != "replaying" and start_ns < end_ns and until_ns > begin_ns
        for (start_ns, mode), until_ns in zip(run.modes, ends_ns, strict=False)
    )


def _breaks(run: Run, times_ns: Times) -> int:
    """Cycles of the measured time in which a joint exceeds a limit, judged as sim/record does."""
    rows = (times_ns >= run.begin_ns) & (times_ns < run.end_ns)
    velocity, acceleration = run.record.velocity[rows], run.record.acceleration[rows]
    limits, most = run.limits, 1.0 + TOLERANCE
    fast = np.abs(velocity[2:]) > limits.velocity * most
    hard = np.abs(np.diff(velocity, axis=0)[1:]) / _STEP_S > limits.acceleration * most
    bent = np.abs(np.diff(acceleration, axis=0)[1:]) / _STEP_S > limits.jerk * most
    kinked = np.abs(np.diff(velocity, n=2, axis=0)) / _STEP_S**2 > limits.jerk * most
    return int((fast | hard | bent | kinked).any(axis=1).sum())


def _flow(run: Run, stamp_ns: int) -> Flow | None:
    """The first observation with a picture of the change whose chunk was published."""
    for flow in sorted(run.flows, key=lambda flow: flow.number):
        stages = {span.kind for span in flow.spans}
        if "publish" in stages and _shown_ns(flow, stamp_ns) is not None:
            return flow
    return None


def _shown_ns(flow: Flow, stamp_ns: int) -> int | None:
    """ROS stamp of the oldest picture in the observation that is not older than `stamp_ns`."""
    stamps_ns = [span.begin_ns + flow.ros_offset_ns for span in flow.spans if span.kind == "camera"]
    return min((one for one in stamps_ns if one >= stamp_ns - _SAME_NS), default=None)


def _begin_ns(flow: Flow, stage: str) -> int:
    """ROS time at which a stage began."""
    return next(s.begin_ns for s in flow.spans if s.kind == stage) + flow.ros_offset_ns


def _stages(flow: Flow, stamp_ns: int, cycle_ns: int, server_ms: float) -> tuple[float, ...]:
    """Parts of the time from stamp_ns to cycle_ns, one after the other; these are ROS time.

    A picture that arrives after the query was asked waits for no tick: that stage is then 0.
    """
    end = {span.kind: span.end_ns + flow.ros_offset_ns for span in flow.spans}
    arrived_ns = max(s.end_ns for s in flow.spans if s.kind == "camera") + flow.ros_offset_ns
    times_ns = (
        stamp_ns, _shown_ns(flow, stamp_ns) or stamp_ns, arrived_ns, _begin_ns(flow, "wait"),
        end["pull"], end["encode"], end["server"] - round(server_ms * 1e6), end["server"],
        end["merge"], end["shaping"], end["publish"], cycle_ns,
    )  # fmt: skip
    in_order = np.maximum.accumulate(np.array(times_ns, dtype=np.int64))
    return tuple((np.diff(in_order) * 1e-6).tolist())
