"""The processes of a simulated robot with its policy, started by name and ended by pid.

Starts the same executables with the same parameters as launch/simulation.launch.py, for
machines without launch_ros. Each process writes to a log file of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gr00t_ros.core.errors import SidecarError

_END = ((signal.SIGINT, 8.0), (signal.SIGTERM, 4.0), (signal.SIGKILL, 4.0))
_MODULES = {
    "robot": "gr00t_ros.sim.robot",
    "relay": "gr00t_ros.sim.relay",
    "policy": "gr00t_ros.ros.node",
    "commands": "gr00t_ros.ros.command_streamer",
    "autostart": "gr00t_ros.ros.autostart",
}


@dataclass(slots=True)
class Bringup:
    """Child processes by role; `end` stops them all, newest first."""

    folder: Path
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_node(self, role: str, parameters: Mapping[str, object], *remaps: str) -> None:
        """Start the ROS node of `role` with parameters and `from:=to` remaps."""
        self.start(role, [sys.executable, "-m", _MODULES[role], *ros_arguments(parameters, remaps)])

    def start_sidecar(self, policy: str, *options: str, timeout_s: float = 30.0) -> int:
        """Start our policy server on a free port; returns the port once it is bound.

        Raises SidecarError with the end of its log when it ends or stays silent.
        """
        command = [sys.executable, "-m", "gr00t_ros.sidecar", policy, *options]
        self.start("sidecar", command)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.children["sidecar"].poll() is None:
            for line in self.log("sidecar").splitlines():
                if line.startswith("READY tcp://"):
                    return int(line.rpartition(":")[2])
            time.sleep(0.02)
        raise SidecarError(f"sidecar {policy} did not start:\n{self.log('sidecar')[-2000:]}")

    def start(self, role: str, command: Sequence[str]) -> None:
        """Start `command` as `role`; its output goes to `folder`/role.log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{role}.log").open("wb") as log:
            self.children[role] = subprocess.Popen(
                list(command),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C reaches us alone: we end them in order
            )

    def log(self, role: str) -> str:
        """What `role` has written so far."""
        return (self.folder / f"{role}.log").read_text(errors="replace")

    def ended(self, *roles: str) -> str:
        """The first of `roles` (default: all) that has ended by itself, empty when all run."""
        for role in roles or tuple(self.children):
            if role in self.children and self.children[role].poll() is not None:
                return role
        return ""

    def stop(self, role: str) -> None:
        """End one process: interrupt, terminate, kill, each with its time to obey."""
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


def ros_arguments(parameters: Mapping[str, object], remaps: Sequence[str] = ()) -> list[str]:
    """Parameters and `from:=to` remaps as a ROS node's command line has them."""
    arguments = [x for k, v in parameters.items() for x in ("-p", f"{k}:={_yaml(v)}")]
    arguments += [x for remap in remaps for x in ("-r", remap)]
    return ["--ros-args", *arguments] if arguments else []


def _yaml(value: object) -> str:
    """A value as rcl reads it on the command line; strings are quoted, so that "7" stays text."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
