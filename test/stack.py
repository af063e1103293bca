"""The whole stack as real processes for one test: robot, relay, policy server, node, autostart.

Watches over DDS alone and does to single processes what the test asks for. What the arm was
commanded is told by the simulated robot's own 1 kHz record, never by the node. The robot's
clock without use_sim_time is the steady clock of this machine, so `time.monotonic_ns()` of a
test says which row of the record a moment was.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ros_fixtures import call, collect, wait_until

from gr00t_ros.sidecar.embodiment_file import load_embodiment
from gr00t_ros.sim.bringup import Bringup
from gr00t_ros.sim.description import RobotDescription
from gr00t_ros.sim.franka.robot import FRANKA
from gr00t_ros.sim.judge import broken
from gr00t_ros.sim.record import Record, load_record

EMBODIMENT, INSTRUCTION = FRANKA.embodiment, FRANKA.instruction
RELAYED = ("/camera/exterior/image_raw", "/camera/wrist/image_raw", "/joint_states", "/ee_pose")
MOVING_RAD_S = 0.1
TASK_LIMIT_S = 60.0
TAIL_LIMIT_NS = 1_000_000_000
"""Horizon and stop tail of a window after the last one was sent: control.md 1, item 5."""


class Stack:
    """One bring-up; `start` begins, `end` ends all of it."""

    def __init__(
        self,
        node: Any,
        folder: Path,
        joints: str = "/joint_states",
        robot: RobotDescription = FRANKA,
    ) -> None:
        """Watch with `node`; logs and record go to `folder`. joints: topic of the robot's own."""
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import JointState
        from std_msgs.msg import String

        from gr00t_ros.msg import PolicyStatus
        from gr00t_ros.ros import qos

        self.bringup = Bringup(folder)
        self.port = 0
        self._description = robot
        outputs = load_embodiment(robot.embodiment).outputs
        self._arms = {name for output in outputs if "arm" in output.name for name in output.names}
        self._node, self._folder = node, folder
        self._joints: Any = None
        self._robot: dict[str, Any] = {}
        self.statuses = collect(node, PolicyStatus, "/gr00t_policy/status", qos.STATUS)
        self.diagnostics = collect(node, DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        node.create_subscription(JointState, joints, self._on_joints, qos.SENSOR)
        node.create_subscription(String, "/gr00t_sim_robot/state", self._on_robot, qos.STATUS)

    def start(self, seed: int = 0, relay: bool = False, **policy: Any) -> None:
        """Start everything; `policy` are further parameters of the node."""
        remaps = [f"{topic}:=/sim{topic}" for topic in RELAYED] if relay else []
        parameters = {"seed": seed, "record_path": str(self._folder / "record.npz")}
        robot = self._description
        self.bringup.start_node("robot", {"robot": robot.name, **parameters}, *remaps)
        if relay:
            self.bringup.start_node("relay", {"source_prefix": "/sim"})
        self.start_sidecar()
        named = {"embodiment": robot.embodiment}
        if load_embodiment(robot.embodiment).commands:
            self.bringup.start_node("commands", named)
        wanted = {**named, "port": self.port, "instruction": robot.instruction}
        self.bringup.start_node("policy", {**wanted, **policy})
        self.bringup.start_node("autostart", {})

    def start_sidecar(self) -> None:
        """Start the policy server, the second time on the port of the first."""
        options = ("--port", str(self.port), "--embodiment", self._description.embodiment)
        self.port = self.bringup.start_sidecar("scripted", *options)

    def end(self) -> None:
        """End all processes, and show what they wrote."""
        roles = tuple(self.bringup.children)
        self.signal_all_to_go_on()
        self.bringup.end()
        for role in roles:
            print(f"--- {role}\n{self.bringup.log(role)[-4000:]}")

    def signal_all_to_go_on(self) -> None:
        """Wake every process that a test has stopped, so that it can end."""
        for child in self.bringup.children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)

    def send(self, role: str, number: signal.Signals) -> int:
        """Send a signal to one process; returns the steady time of it, ns."""
        child = self.bringup.children[role]
        child.send_signal(number)
        now_ns = time.monotonic_ns()
        if number is signal.SIGKILL:
            child.wait(10.0)
            del self.bringup.children[role]
        return now_ns

    def inject(self, stream: str, fault: str, value: float = 0.0, into: str = "relay") -> None:
        """Have the relay or the robot break one stream, or mend it with fault "none"."""
        from gr00t_ros.srv import InjectFault

        request = InjectFault.Request(stream=stream, fault=fault, value=value)
        answer = call(self._node, InjectFault, f"/gr00t_sim_{into}/inject_fault", request)
        assert answer.success, answer.message

    # --- what is seen ----------------------------------------------------------------------

    @property
    def mode(self) -> str:
        """The newest mode that the node has told, empty before the first."""
        return str(self.statuses[-1].mode) if self.statuses else ""

    @property
    def speed_rad_s(self) -> float:
        """The fastest arm joint as measured now."""
        if self._joints is None:
            return 0.0
        measured = zip(self._joints.name, self._joints.velocity, strict=True)
        return max((abs(v) for name, v in measured if name in self._arms), default=0.0)

    def wait_for_motion(self) -> None:
        """Until chunks are replayed and the arm is seen in motion."""
        fast = f"mode replaying and an arm joint above {MOVING_RAD_S} rad/s"
        self.wait(lambda: self.mode == "replaying" and self.speed_rad_s > MOVING_RAD_S, fast)

    def wait_for_mode(self, *modes: str) -> Any:
        """The newest status, once its mode is one of these."""
        return self.wait(
            lambda: self.statuses and self.mode in modes and self.statuses[-1],
            f"mode {' or '.join(modes)}",
        )

    def wait_for_success(self) -> None:
        """Until the robot says that the cube rests on the plate."""
        self.wait(lambda: self._robot.get("success"), "the cube on the plate", TASK_LIMIT_S)

    def wait_for_robot_time(self, moment_ns: int) -> None:
        """Until the simulated robot has lived through this moment of the steady clock."""
        offset_ns = time.time_ns() - time.monotonic_ns()
        self.wait(lambda: self._stamp_ns() - offset_ns > moment_ns, "the robot's own time")

    def wait(self, condition: Any, what: str, limit_s: float = 30.0) -> Any:
        """As wait_until; the failure says what the node was doing."""
        try:
            return wait_until(condition, what, limit_s)
        except pytest.fail.Exception as failure:
            said = [f"{s.mode}: {s.reason}" for s in self.statuses]
            told = [b for a, b in zip(["", *said], said, strict=False) if a != b]
            pytest.fail("\n".join([str(failure), *told[-12:], f"robot: {self._robot}"]))

    def said_everywhere(self, reason: str) -> None:
        """Wait until diagnostics and log repeat what a status gave as reason."""
        self.wait(
            lambda: any(reason in e.message for d in list(self.diagnostics) for e in d.status),
            f"{reason!r} in /diagnostics",
        )
        self.wait(lambda: reason in self.bringup.log("policy"), f"{reason!r} in the log")

    def record(self) -> Record:
        """What the robot's controllers have commanded until now, 1 kHz."""
        from std_srvs.srv import Trigger

        answer = call(self._node, Trigger, "/gr00t_sim_robot/save_record", Trigger.Request())
        assert answer.success, answer.message
        return load_record(self._folder / "record.npz")

    def _stamp_ns(self) -> int:
        stamp = self._joints.header.stamp
        return int(stamp.sec * 1_000_000_000 + stamp.nanosec)

    def _on_joints(self, message: Any) -> None:
        self._joints = message

    def _on_robot(self, message: Any) -> None:
        self._robot = json.loads(message.data)


def assert_inside_the_limits(record: Record, embodiment: str = EMBODIMENT) -> None:
    """Every joint of a record against the embodiment's limits, and no step in position."""
    limits = load_embodiment(embodiment).limits
    assert record.joint_names == limits.names
    assert np.all(limits.acceleration[:7] <= 6.0)
    assert np.all(limits.jerk[:7] <= 400.0)
    assert len(record.time_ns) > 1000, "the record is empty"
    assert not broken(record, limits)


def rows_from(record: Record, moment_ns: int) -> int:
    """Index of the record's first row after a moment of the steady clock."""
    return int(np.searchsorted(record.time_ns, moment_ns))


def arm_speed(record: Record) -> NDArray[np.float64]:
    """(N,) the fastest arm joint as commanded, rad/s."""
    return np.asarray(np.abs(record.velocity[:, :7]).max(axis=1))


@contextmanager
def every_core_busy() -> Iterator[None]:
    """A process per core that does nothing but run, as long as the block lasts."""
    command = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait(10.0)
