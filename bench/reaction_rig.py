"""One run of bench/reaction.py: cameras, stand-in robot, policy server and one client, as processes.

All are in a ROS domain of their own on this machine.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from numpy.typing import NDArray
from std_srvs.srv import Trigger

from bench.camera_publisher import write_profile
from bench.reaction_files import write_files
from bench.spinning import spun
from gr00t_ros.demo.bringup import Bringup
from gr00t_ros.demo.isolation import own_domain
from gr00t_ros.msg import ObservationFlow, PolicyStatus
from gr00t_ros.ros import qos
from gr00t_ros.ros.flow_messages import flow_of_message
from gr00t_ros.sim.record import Record, load_record
from gr00t_ros.sim.stand_in.robot import NAME as ROBOT
from gr00t_ros.trace.flow import Flow

OURS, PLAIN = "gr00t_ros", "plain_client"
START_S = 60.0
_WARM_UP_S = 1.5
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
    """What one run left. changes_ns: (N,) ROS stamps of the first pictures of a new number.

    Only changes between begin_ns and end_ns (ROS time) are of the measured time. cpu_s: of the
    client's process in that time.
    """

    record: Record
    changes_ns: NDArray[np.int64]
    flows: tuple[Flow, ...]
    begin_ns: int
    end_ns: int
    cpu_s: float


def run(method: str, setting: Setting, seconds: float, seed: int, folder: Path) -> Run:
    """Measure one method for that long. Raises RuntimeError where it does not come to move."""
    changes, record = folder / "changes.txt", folder / "record.npz"
    node_file, robot_file = write_files(folder, setting.cameras, setting.fps)
    with own_domain(), _children(folder) as bringup, _watching() as watched:
        robot = {"embodiment": str(robot_file), "record_path": str(record)}
        bringup.start_node("stand_in", robot)
        _start_cameras(bringup, setting, seed, changes, folder)
        options = ("--port", "0", "--embodiment", str(node_file))
        delay = ("--delay-ms", str(setting.server_ms))
        port = bringup.start_sidecar("bench.reaction_policy:make_policy", *options, *delay)
        if method == PLAIN:
            words = (str(setting.cameras), str(port))
            bringup.start("client", [sys.executable, "-m", "bench.reaction_plain", *words])
            _wait(lambda: "MOVING" in bringup.log("client"), bringup, watched)
        else:
            given = {"embodiment": str(node_file), "port": port, **_PARAMETERS}
            bringup.start_node("policy", given, role="client")
            bringup.start_node("autostart", {})
            _wait(lambda: watched.mode == "replaying", bringup, watched)
        time.sleep(_WARM_UP_S)
        pid, begin_ns, cpu_s = bringup.children["client"].pid, time.time_ns(), 0.0
        cpu_s = _cpu_s(pid)
        time.sleep(seconds)
        cpu_s, end_ns = _cpu_s(pid) - cpu_s, time.time_ns()
        watched.save(bringup)
        if method != PLAIN and watched.mode != "replaying":
            raise RuntimeError(f"no measurement, the node is {watched.mode}: {watched.reason}")
    stamps = np.loadtxt(changes, dtype=np.int64, ndmin=2)[:, 1]
    return Run(load_record(record), stamps, tuple(watched.flows), begin_ns, end_ns, cpu_s)


class _Watched:
    """The node's status and flows, from its topics."""

    def __init__(self, node: rclpy.node.Node) -> None:
        self.mode = self.reason = ""
        self.flows: list[Flow] = []
        node.create_subscription(PolicyStatus, "/gr00t_policy/status", self._on_status, qos.STATUS)
        node.create_subscription(ObservationFlow, "/gr00t_policy/flows", self._on_flow, qos.FLOWS)
        self._saves = node.create_client(Trigger, f"/{ROBOT}/save_record")

    def save(self, bringup: Bringup) -> None:
        """Let the robot write its record."""
        _wait(self._saves.service_is_ready, bringup, self)
        future = self._saves.call_async(Trigger.Request())
        _wait(future.done, bringup, self)

    def _on_status(self, message: PolicyStatus) -> None:
        self.mode, self.reason = message.mode, message.reason

    def _on_flow(self, message: ObservationFlow) -> None:
        self.flows.append(flow_of_message(message))


@contextmanager
def _children(folder: Path) -> Iterator[Bringup]:
    bringup = Bringup(folder, end_with_parent=True)
    try:
        yield bringup
    finally:
        bringup.end()


@contextmanager
def _watching() -> Iterator[_Watched]:
    rclpy.init()
    try:
        node = rclpy.create_node("bench_reaction")
        watched = _Watched(node)
        with spun(node):
            yield watched
    finally:
        rclpy.shutdown()


def _start_cameras(
    bringup: Bringup, setting: Setting, seed: int, changes: Path, folder: Path
) -> None:
    words = setting.cameras, setting.fps, float(setting.stagger), seed, changes
    profile = f"FASTRTPS_DEFAULT_PROFILES_FILE={write_profile(folder)}"
    command = ["env", profile, sys.executable, "-m", "bench.reaction_cameras", *map(str, words)]
    bringup.start("cameras", command)


def _wait(condition: Callable[[], bool], bringup: Bringup, watched: _Watched) -> None:
    end_s = time.monotonic() + START_S
    while not condition():
        gone = bringup.ended("stand_in", "cameras", "sidecar", "client")
        if gone or time.monotonic() > end_s:
            said = bringup.log(gone or "client")[-2000:]
            mode = f"the node is {watched.mode}: {watched.reason}"
            raise RuntimeError(f"{gone or 'no motion'}: {mode}\n{said}")
        time.sleep(0.02)


def _cpu_s(pid: int) -> float:
    """CPU time that a process has used, s; fields 14 and 15 of proc(5) after the name."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
