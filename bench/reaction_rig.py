"""One run of bench/reaction.py: cameras, robot, policy server and one client, as processes.

The caller chose the ROS domain. A thread of this process wakes up every 5 ms:
where even that comes late, the machine stood still for everybody.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from bench.camera_publisher import write_profile
from bench.reaction_files import ARM, write_files
from bench.spinning import spun
from gr00t_ros.demo.bringup import Bringup, ros_arguments
from gr00t_ros.msg import ObservationFlow, PolicyStatus
from gr00t_ros.node.status import COMMIT
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.limits import JointLimits
from gr00t_ros.ros import qos
from gr00t_ros.ros.flow_messages import flow_of_message
from gr00t_ros.ros.periodic import PeriodicThread
from gr00t_ros.ros.policy_node import POLICY_NODE
from gr00t_ros.ros.transports import profiles_variable
from gr00t_ros.sim.record import Record, load_record
from gr00t_ros.sim.stand_in.robot import NAME as ROBOT
from gr00t_ros.trace.flow import Flow

OURS, SHORT, BASELINE, PLAIN = "gr00t_ros", "gr00t_ros_short", "baseline", "plain_client"
OURS_8, BASELINE_8 = "gr00t_ros_8", "baseline_8"
NODES: Mapping[str, Mapping[str, object]] = {
    OURS: {},
    SHORT: {
        "commit": "measured",
        "refresh_ms": 10,
        "knot_ms": 10,
        "horizon_ms": 200,
        "realtime_priority": 2,
    },
    BASELINE: {},
    OURS_8: {"execute_steps": 8},
    BASELINE_8: {"execute_steps": 8},
}
"""Parameters of the methods that are the policy node: the defaults, and those for one computer; and
a query each eighth step, as both nodes have by default: for what they take of a processor."""
START_S, WARM_UP_S = 60.0, 1.5
SETTLED_S = 35.0
"""Until a measured commit time is short: 20 s of evidence, then 5 ms/s (motion/commit_time)."""
BARE_NS, STALL_NS = 5_000_000, 10_000_000
_PARAMETERS = {
    "instruction": "follow the number",
    "execute_steps": 1,
    "controller_manager": "",
    "camera_fault_age_s": 60.0,
    "joint_fault_age_s": 60.0,
    "controller_silence_s": 5.0,
}
"""A query as often as the node can, and no fault where the machine is late."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What one row is measured with. stagger: whether the cameras share the frame period out."""

    fps: float
    cameras: int
    server_ms: float
    stagger: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What one run left; times are ROS time in ns.

    changes_ns: (N,) stamps of the first pictures of a new number; those between begin_ns and end_ns
    are measured. cpu_s: of the client's process in that time. modes: when the node's mode changed,
    empty for a client without modes. commits: when the node told which commit time, ms. stalls:
    from when to when the machine did not run a thread.
    trajectories: those sent to the controller, serialised, each with the time of its arrival here.
    """

    record: Record
    limits: JointLimits
    changes_ns: NDArray[np.int64]
    flows: tuple[Flow, ...]
    modes: tuple[tuple[int, str], ...]
    commits: tuple[tuple[int, float], ...]
    stalls: tuple[tuple[int, int], ...]
    trajectories: tuple[tuple[int, bytes], ...]
    begin_ns: int
    end_ns: int
    cpu_s: float


def measured(method: str, setting: Setting, seconds: float, baseline: str = "") -> Run:
    """Run one method for that long, in the ROS domain of the environment.

    baseline: another checkout of this repository, whose node is measured as BASELINE. Raises
    RuntimeError if the client does not come to move.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        changes, record = folder / "changes.txt", folder / "record.npz"
        node_file, robot_file = write_files(folder, setting.cameras, setting.fps)
        bringup = stack.enter_context(_children(folder))
        watched = stack.enter_context(_watching())
        _start_world(bringup, setting, robot_file, record, changes)
        port = bringup.start_sidecar(
            *("bench.reaction_policy:make_policy", "--embodiment", str(node_file)),
            *("--port", "0", "--delay-ms", str(setting.server_ms)),
        )
        if method == PLAIN:
            words = str(setting.cameras), str(port)
            bringup.start("client", [sys.executable, "-m", "bench.reaction_plain", *words])
            _wait(lambda: "MOVING" in bringup.log("client"), bringup, watched)
        else:
            given = {"embodiment": str(node_file), "port": port, **_PARAMETERS, **NODES[method]}
            command = [sys.executable, "-m", "gr00t_ros.node.node", *ros_arguments(given)]
            where = ["env", "-C", baseline] if method in (BASELINE, BASELINE_8) else []
            bringup.start("client", [*where, *command])
            bringup.start_node("autostart", {})
            _wait(lambda: watched.mode == "replaying", bringup, watched)
        time.sleep(SETTLED_S if method == SHORT else WARM_UP_S)
        pid, begin_ns = bringup.children["client"].pid, time.time_ns()
        before_s = _cpu_s(pid)
        time.sleep(seconds)
        cpu_s, end_ns = _cpu_s(pid) - before_s, time.time_ns()
        watched.save(bringup)
        return Run(
            load_record(record),
            load_embodiment(str(node_file)).limits,
            np.loadtxt(changes, dtype=np.int64, ndmin=2)[:, 1],
            tuple(watched.flows),
            tuple(watched.modes),
            tuple(watched.commits),
            tuple(watched.stalls),
            tuple(watched.trajectories),
            begin_ns,
            end_ns,
            cpu_s,
        )


class _Watched:
    """The node's modes, commit times and flows, from its topics; how punctual a bare thread is."""

    def __init__(self, node: Node) -> None:
        self.modes: list[tuple[int, str]] = []
        self.commits: list[tuple[int, float]] = []
        self.reason = ""
        self.flows: list[Flow] = []
        self.stalls: list[tuple[int, int]] = []
        self.trajectories: list[tuple[int, bytes]] = []
        self.bare = PeriodicThread("bare", BARE_NS, 0, self._look, print)
        node.create_subscription(PolicyStatus, f"{POLICY_NODE}/status", self._on_status, qos.STATUS)
        node.create_subscription(ObservationFlow, f"{POLICY_NODE}/flows", self._on_flow, qos.FLOWS)
        node.create_subscription(JointTrajectory, ARM, self._on_trajectory, qos.CHUNK, raw=True)
        self._saves = node.create_client(Trigger, f"/{ROBOT}/save_record")

    @property
    def mode(self) -> str:
        """The newest mode; empty before the first status."""
        return self.modes[-1][1] if self.modes else ""

    def save(self, bringup: Bringup) -> None:
        """Let the robot write its record."""
        _wait(self._saves.service_is_ready, bringup, self)
        future = self._saves.call_async(Trigger.Request())
        _wait(future.done, bringup, self)

    def _look(self) -> None:
        late_ns, now_ns = time.monotonic_ns() - self.bare.due_ns, time.time_ns()
        if late_ns > STALL_NS:
            self.stalls.append((now_ns - late_ns, now_ns))

    def _on_status(self, message: PolicyStatus) -> None:
        self.reason, stamp = message.reason, message.header.stamp
        told_ns = stamp.sec * 10**9 + stamp.nanosec
        if message.mode != self.mode:
            self.modes.append((told_ns, message.mode))
        self.commits += [
            (told_ns, float(detail.value.partition(",")[0]))
            for detail in message.details
            if detail.key == COMMIT
        ]

    def _on_trajectory(self, serialised: bytes) -> None:
        self.trajectories.append((time.time_ns(), serialised))

    def _on_flow(self, message: ObservationFlow) -> None:
        self.flows.append(flow_of_message(message))


@contextmanager
def _children(folder: Path) -> Iterator[Bringup]:
    bringup = Bringup(folder)
    try:
        yield bringup
    finally:
        bringup.end()


@contextmanager
def _watching() -> Iterator[_Watched]:
    # Without rclpy's handlers: a signal ends the run, and not only its ROS context.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("bench_reaction")
    watched = _Watched(node)
    try:
        with spun(node):
            watched.bare.start()
            yield watched
    finally:
        watched.bare.stop()
        rclpy.shutdown()


def _start_world(
    bringup: Bringup, setting: Setting, robot: Path, record: Path, changes: Path
) -> None:
    """Start the stand-in robot and the cameras."""
    bringup.start_node("stand_in", {"embodiment": str(robot), "record_path": str(record)})
    words = setting.cameras, setting.fps, float(setting.stagger), changes
    profile = f"{profiles_variable()}={write_profile(bringup.folder)}"
    command = ["env", profile, sys.executable, "-m", "bench.reaction_cameras", *map(str, words)]
    bringup.start("cameras", command)


def _wait(condition: Callable[[], bool], bringup: Bringup, watched: _Watched) -> None:
    end_s = time.monotonic() + START_S
    while not condition():
        gone = bringup.ended("stand_in", "cameras", "sidecar", "client")
        if gone or time.monotonic() > end_s:
            said = bringup.log(gone or "client")[-2000:]
            mode = f"the node is {watched.mode or 'silent'}: {watched.reason}"
            raise RuntimeError(f"{gone or 'no answer'} ({mode}):\n{said}")
        time.sleep(0.02)


def _cpu_s(pid: int) -> float:
    """CPU time that a process has used, s: fields 14 and 15 of proc(5), after the name."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
