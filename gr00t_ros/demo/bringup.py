"""The processes of a simulated robot with its policy, and what one run shows over topics.

Starts the same executables with the same parameters as launch/simulation.launch.py, for machines
without launch_ros; each process writes its own log file. Watcher follows a run over topics only.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import String

from gr00t_ros.demo.report import Frame
from gr00t_ros.errors import SidecarError
from gr00t_ros.msg import ActionChunk, PolicyStatus
from gr00t_ros.ros import qos

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_END = ((signal.SIGINT, 8.0), (signal.SIGTERM, 4.0), (signal.SIGKILL, 4.0))
_MODULES = {
    "robot": "gr00t_ros.sim.robot",
    "relay": "gr00t_ros.sim.relay",
    "stand_in": "gr00t_ros.sim.stand_in.robot",
    "policy": "gr00t_ros.node.node",
    "commands": "gr00t_ros.stream.commands",
    "streamer": "gr00t_ros.stream.joints",
    "autostart": "gr00t_ros.tools.autostart",
    "record": "gr00t_ros.record.node",
}
FRAME_PERIOD_S = 0.5


@dataclass(slots=True)
class Bringup:
    """Child processes by role; `end` stops them all, newest first.

    Call it from the main thread: a child ends also when the thread that started it has ended, such
    as when this process is killed. stop_waiting: a caller sets it to end the wait for a child
    early.
    """

    folder: Path
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    stop_waiting: threading.Event = field(default_factory=threading.Event)

    def start_node(
        self, node: str, parameters: Mapping[str, object], *remaps: str, role: str = ""
    ) -> None:
        """Start a ROS node with parameters and `from:=to` remaps; `role`: if not the node's."""
        arguments = ros_arguments(parameters, remaps)
        self.start(role or node, [sys.executable, "-m", _MODULES[node], *arguments])

    def start_sidecar(self, policy: str, *options: str, timeout_s: float = 30.0) -> int:
        """Start our policy server on a free port; returns the port once it is bound.

        Raises SidecarError, with the end of the log, if the server ends or is not ready in time.
        """
        command = [sys.executable, "-m", "gr00t_ros.sidecar", policy, *options]
        self.start("sidecar", command)
        deadline = time.monotonic() + timeout_s
        child = self.children["sidecar"]
        while (
            time.monotonic() < deadline and child.poll() is None and not self.stop_waiting.is_set()
        ):
            for line in self.log("sidecar").splitlines():
                if line.startswith("READY tcp://"):
                    return int(line.rpartition(":")[2])
            time.sleep(0.02)
        raise SidecarError(f"sidecar {policy} did not start:\n{self.log('sidecar')[-2000:]}")

    def start(self, role: str, command: Sequence[str]) -> None:
        """Start `command` as `role`, after the end of an earlier one; logs to `folder`/role.log."""
        self.stop(role)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{role}.log").open("wb") as log:
            self.children[role] = subprocess.Popen(
                list(command),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C reaches only us: we end the children in order
                preexec_fn=_end_with_parent,
            )

    def log(self, role: str) -> str:
        """The output of `role` so far."""
        return (self.folder / f"{role}.log").read_text(errors="replace")

    def ended(self, *roles: str) -> str:
        """The first of `roles` (default: all) that has ended by itself; empty if all run."""
        for role in roles or tuple(self.children):
            if role in self.children and self.children[role].poll() is not None:
                return role
        return ""

    def stop(self, role: str) -> None:
        """End one process: interrupt, terminate, kill, each with its own time limit."""
        child = self.children.pop(role, None)
        for number, patience_s in _END:
            if child is None or child.poll() is not None:
                return
            child.send_signal(number)
            try:
                child.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue

    def end(self) -> None:
        """End all processes, the newest first: the policy before the robot that it moves."""
        for role in reversed(tuple(self.children)):
            self.stop(role)


def _end_with_parent() -> None:
    """In a child before it runs: it gets SIGTERM when the thread that started it has ended."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def ros_arguments(parameters: Mapping[str, object], remaps: Sequence[str] = ()) -> list[str]:
    """Parameters and `from:=to` remaps as arguments of a ROS node's command line."""
    arguments = [x for k, v in parameters.items() for x in ("-p", f"{k}:={_yaml(v)}")]
    arguments += [x for remap in remaps for x in ("-r", remap)]
    return ["--ros-args", *arguments] if arguments else []


def _yaml(value: object) -> str:
    """A value in rcl's command line syntax; strings are quoted, so that "7" stays text."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


class Watcher(Node):
    """Subscribes and keeps what it receives; times are seconds since its creation."""

    def __init__(self, cameras: Sequence[str]) -> None:
        """Watch the default topics of the node, the simulated robot and these cameras."""
        super().__init__("gr00t_demo_watcher")
        self._start_s = time.monotonic()
        self.status: PolicyStatus | None = None
        self.robot: dict[str, object] = {}
        self.events: list[tuple[float, str]] = []
        self.frames: list[Frame] = []
        self.inference_s: list[tuple[float, float]] = []
        self.end_to_end_s: list[tuple[float, float]] = []
        self.accepted = self.refused = 0
        self.first_motion_s: float | None = None
        self._pictures: dict[str, np.ndarray] = {}
        self.create_subscription(PolicyStatus, "/gr00t_policy/status", self._on_status, qos.STATUS)
        self.create_subscription(
            ActionChunk, "/gr00t_policy/action_chunk", self._on_chunk, qos.CHUNK
        )
        self.create_subscription(String, "/gr00t_sim_robot/state", self._on_robot, qos.STATUS)
        self._cameras = cameras
        for name in cameras:
            self.create_subscription(
                Image,
                f"/camera/{name}/image_raw",
                lambda image, name=name: self._on_image(name, image),
                qos.SENSOR,
            )

    @property
    def elapsed_s(self) -> float:
        """Seconds since this watcher was created."""
        return time.monotonic() - self._start_s

    @property
    def success(self) -> bool:
        """Whether the simulated robot reports that the task is done."""
        return bool(self.robot.get("success", False))

    def _on_status(self, status: PolicyStatus) -> None:
        line = f"{status.mode}: {status.reason}" if status.reason else status.mode
        if self.status is None or status.mode != self.status.mode:
            self.events.append((self.elapsed_s, line))
        if status.mode == "replaying" and self.first_motion_s is None:
            self.first_motion_s = self.elapsed_s
        self.status = status

    def _on_chunk(self, chunk: ActionChunk) -> None:
        self.accepted += chunk.accepted
        self.refused += not chunk.accepted
        stamp_s = chunk.header.stamp.sec + chunk.header.stamp.nanosec * 1e-9
        inference = chunk.inference_duration
        now_s = self.get_clock().now().nanoseconds * 1e-9
        self.end_to_end_s.append((self.elapsed_s, now_s - stamp_s))
        self.inference_s.append((self.elapsed_s, inference.sec + inference.nanosec * 1e-9))

    def _on_robot(self, message: String) -> None:
        self.robot = json.loads(message.data)

    def _on_image(self, name: str, image: Image) -> None:
        shape = (image.height, image.width, 3)
        self._pictures[name] = np.frombuffer(image.data, np.uint8).reshape(shape)
        due = not self.frames or self.elapsed_s - self.frames[-1].time_s >= FRAME_PERIOD_S
        if due and len(self._pictures) == len(self._cameras):
            pictures = {name: self._pictures[name] for name in self._cameras}
            self.frames.append(Frame(self.elapsed_s, pictures))
            self._pictures = {}
