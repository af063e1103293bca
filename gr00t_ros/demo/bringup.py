"""The processes of a simulated robot with its policy.

Starts the same executables with the same parameters as launch/simulation.launch.py, for machines
without launch_ros; each process writes its own log file. Imports no ROS: its imports would delay
the processes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gr00t_ros.errors import SidecarError
from gr00t_ros.robot.known import text as quoted

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
_READY = "READY tcp://"


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

    def start_recorder(self, folder: Path, embodiment: str, *, use_sim_time: bool = False) -> None:
        """Record the policy's own episodes; start it before the policy node."""
        recording = {"folder": str(folder.absolute()), "episodes": "policy"}
        named = {"embodiment": embodiment, "use_sim_time": use_sim_time}
        self.start_node("record", {**recording, **named})

    def serve(self, policy: str, *options: str) -> None:
        """Start our policy server; does not wait until it serves."""
        self.start("sidecar", [sys.executable, "-m", "gr00t_ros.sidecar", policy, *options])

    def start_sidecar(self, policy: str, *options: str, timeout_s: float = 30.0) -> int:
        """Start our policy server on a free port; returns it, and raises, as `port`."""
        self.serve(policy, *options)
        return self.port("sidecar", timeout_s)

    def port(self, role: str, timeout_s: float) -> int:
        """The port of a server, once it prints that it listens.

        Raises SidecarError, with the end of its log, if it ends or is not ready in time.
        """
        deadline_s, child = time.monotonic() + timeout_s, self.children[role]
        while not self.stop_waiting.is_set():
            over = time.monotonic() > deadline_s or child.poll() is not None
            for line in self.log(role).splitlines():
                if line.startswith(_READY):
                    return int(line.split()[1].rpartition(":")[2])
            if over:
                break
            time.sleep(0.02)
        raise SidecarError(f"{role} did not start:\n{self.log(role)[-2000:]}")

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
    return quoted(str(value))
