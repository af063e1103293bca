"""The processes of one worker in a ROS domain of their own: simulation, policy server, node.

The simulation and the scripted policy live as long as the worker; streamer, relay and policy node
are new for each condition, whose parameters can be set at the start only.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from gr00t_ros.demo.bringup import Bringup, ros_arguments
from gr00t_ros.demo.isolation import own_domain
from gr00t_ros.errors import NodeError, SidecarError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.rollout.benchmark import PORT
from gr00t_ros.rollout.trial import Condition, Evaluation
from gr00t_ros.ros.transports import avoid_shared_memory
from gr00t_ros.wire.address import LOOPBACK, shown
from gr00t_ros.wire.robot_id import ROBOT_ID

SIMULATION, SERVER, DELAY, STREAMER, NODE = "simulation", "server", "delay", "commands", "node"
"""Roles of the processes; each has a log of that name."""
_START_S: Final = 120.0
_TIMEOUT_MS: Final = 2_000
_ROUND_TRIPS: Final = 5
"""Of a first call to the server, whose timeout has the handshake of ZeroMQ in it."""
_STOP_S: Final = 0.5
"""The node's stop_timeout_s, the shortest: it is deactivated at rest."""
_LOG_LINES, _LOG_WIDTH = 3, 300  # of a log in a cause


class Stack:
    """Starts and ends them; `check` raises NodeError if one of them has ended by itself."""

    def __init__(self, evaluation: Evaluation, folder: Path, robot_id: str) -> None:
        """Start simulation and policy server; their logs go to `folder`.

        robot_id: of the node, where the server keeps an episode for each.
        Raises NodeError if the server does not start.
        """
        self.evaluation = evaluation
        self._named = {ROBOT_ID: robot_id} if evaluation.names_robots else {}
        self.robot: Embodiment = load_embodiment(evaluation.benchmark.embodiment)
        self._left = ExitStack()
        self._bringup = Bringup(folder)
        self._condition: Condition | None = None
        try:
            self._left.enter_context(own_domain())
            self._left.callback(self._bringup.end)
            avoid_shared_memory()  # what was killed may have left its locks taken
            os.environ["ROS_LOG_DIR"] = str(folder.absolute() / "ros_log")
            self.record = folder.absolute() / "record.npz"
            self._bringup.start(SIMULATION, self._simulation())
            self._server = evaluation.server or (LOOPBACK[0], self._start_policy())
        except BaseException:
            self.close()
            raise

    def use(self, condition: Condition) -> bool:
        """Start what depends on the condition; False if it is the present one already."""
        if condition == self._condition:
            return False
        for role in (NODE, STREAMER, DELAY):  # the newest first
            self._bringup.stop(role)
            self._keep_log(role)
        self._condition = condition
        host, port = self._server
        late_ms = condition.latency_ms / self.evaluation.benchmark.real_time_factor
        if late_ms:
            words = ("--to", shown(host, port), "--delay-ms", f"{late_ms:g}")
            self._bringup.start(DELAY, [sys.executable, "-m", "gr00t_ros.rollout.delay", *words])
            host, port = LOOPBACK[0], self._port(DELAY)
        named = {"embodiment": self.evaluation.benchmark.embodiment, "use_sim_time": True}
        if self.robot.streamed:
            self._start_node(STREAMER, "gr00t_ros.stream.commands", named)
        node = {
            **named,
            "host": host,
            "port": port,
            "instruction": "wait",
            "timeout_ms": _TIMEOUT_MS + round(_ROUND_TRIPS * late_ms),
            "stop_timeout_s": _STOP_S,
            **self._named,
            **self.evaluation.benchmark.parameters,
            **condition.strategy.parameters,
            **self.evaluation.parameters,
        }
        self._start_node(NODE, "gr00t_ros.node.node", node)
        return True

    def renew(self) -> None:
        """Let the next `use` start what depends on the condition anew."""
        self._condition = None

    def check(self) -> None:
        """Raise NodeError, with the end of its log, if a process has ended by itself."""
        ended = self._bringup.ended()
        if ended:
            status = self._bringup.children[ended].poll()
            output = self._tail(ended) or "no output"
            raise NodeError(
                f"the process {ended} ended with status {status}; its last words: {output}"
            )

    def close(self) -> None:
        """End all processes, the newest first, and leave the domain."""
        self._left.close()

    def pid(self, role: str) -> int:
        """The process of a role."""
        return self._bringup.children[role].pid

    def _simulation(self) -> list[str]:
        benchmark = self.evaluation.benchmark
        parameters = {"record_path": str(self.record)} if benchmark.recorded else {}
        return [*benchmark.simulation, *ros_arguments(parameters)]

    def _start_node(self, role: str, module: str, parameters: dict[str, object]) -> None:
        self._bringup.start(role, [sys.executable, "-m", module, *ros_arguments(parameters)])

    def _start_policy(self) -> int:
        command = [word.replace(PORT, "0") for word in self.evaluation.benchmark.policy]
        if not command:
            name = self.evaluation.benchmark.name
            raise NodeError(f"{name} has no scripted policy: name a server, --host and --port")
        self._bringup.start(SERVER, command)
        return self._port(SERVER)

    def _port(self, role: str) -> int:
        """The port that a server prints once it listens; NodeError if it does not."""
        try:
            return self._bringup.port(role, _START_S)
        except SidecarError:
            self.check()  # it says how the process has ended
            raise NodeError(
                f"{role}: not ready within {_START_S:g} s: {self._tail(role)}"
            ) from None

    def _keep_log(self, role: str) -> None:
        """Another condition's process begins a new log: give the old one a name of its own."""
        log = self._bringup.folder / f"{role}.log"
        if log.exists():
            log.rename(log.with_suffix(f".{time.monotonic_ns()}.log"))

    def _tail(self, role: str) -> str:
        """The end of a log, in one line."""
        lines = self._bringup.log(role).strip().splitlines()[-_LOG_LINES:]
        return " | ".join(line[:_LOG_WIDTH] for line in lines)


def command_of(text: str) -> tuple[str, ...]:
    """The words of a command line; `python` is this interpreter."""
    words: Sequence[str] = shlex.split(text)
    return tuple(sys.executable if word in ("python", "python3") else word for word in words)
