"""The node gr00t_command_streamer: plays windows of commands and poses as the robot's messages.

It runs in its own process, because a base holds its last velocity until its own timeout. When the
policy node dies, the streamer plays the last window: the horizon, then to zero velocity as fast as
the limits allow, half a second with the defaults. On SIGTERM and SIGINT a base's velocities become
zero at once, a tool's inside its limits. When the streamer itself dies, the receiver decides: use a
base with a command timeout. The streamer is not a safety function; a hardware e-stop is required.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from gr00t_ros.errors import SettingsError
from gr00t_ros.graph.heartbeat import Heartbeat
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.outputs import COMMAND_STREAMER, CommandOutput, PoseOutput
from gr00t_ros.ros import qos
from gr00t_ros.ros.clock import PlanClock
from gr00t_ros.ros.diagnostics import entry
from gr00t_ros.ros.node_help import NodeHelp, missing_robot
from gr00t_ros.ros.periodic import PeriodicThread
from gr00t_ros.ros.policy_node import POLICY_NAME
from gr00t_ros.ros.process import checked_topic, declared, ranged, refuse_unknown, run_node
from gr00t_ros.ros.pulled import PulledSubscription
from gr00t_ros.ros.windows import command_stamp, to_time
from gr00t_ros.stream.command_player import LAST_SENT, LEAVE_S
from gr00t_ros.stream.command_types import COMMAND_TYPES, Sender, WindowPlayer

_WAKE_S = 0.05
"""Longest delay until a signal is noticed, and the stop begins."""
_DIAGNOSTICS_NS = 1_000_000_000
_TEXTS = {
    # name: default, meaning
    "embodiment": ("", "Name or path of its file"),
    "windows": (f"{POLICY_NAME}/windows", "Topic under which the policy node has them"),
}
_RATE = ("rate_hz", 50, "Messages a second, Hz")


@dataclass(slots=True)
class _Stream:
    """One output: its subscription to windows, its player and its sender."""

    output: CommandOutput | PoseOutput
    windows: PulledSubscription
    player: WindowPlayer
    sender: Sender
    heart: Heartbeat
    rejected: int = 0
    last_rejection: str = ""
    problem: str = ""  # of the newest window or value; cleared by the next accepted window


@dataclass(frozen=True, slots=True)
class _Instant:
    """One reading of the clocks for all streams: plan time, steady time, ROS time for stamps."""

    now_ns: int
    steady_ns: int
    stamp_ns: int


class CommandStreamer(Node):
    """Plays all outputs of an embodiment except joints; sends nothing before the first window."""

    def __init__(self) -> None:
        """Start the streaming thread; raises Gr00tError for missing or wrong parameters."""
        super().__init__(COMMAND_STREAMER)
        for name, (default, meaning) in _TEXTS.items():
            descriptor = ParameterDescriptor(description=meaning, read_only=True)
            declared(self, name, default, descriptor)
        name, default_hz, meaning = _RATE
        rate_hz = int(declared(self, name, default_hz, ranged(default_hz, 10, 500, meaning)))
        refuse_unknown(self)  # first, so that a misspelt name is not reported as a missing one
        if not self.get_parameter("embodiment").value:
            raise missing_robot()
        robot = load_embodiment(_text(self, "embodiment"))
        if not robot.streamed:
            raise SettingsError(
                f"embodiment {robot.source}: got outputs of joints only, expected one of commands "
                "or poses: gr00t stream joints plays joints"
            )
        windows = checked_topic("parameter windows", _text(self, "windows"))
        self._clock_of_plan = PlanClock(self)
        self._streams = [
            self._stream(output, f"{windows}/{output.name}", robot) for output in robot.streamed
        ]
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self._due_ns, self._period_s = 0, 1.0 / rate_hz
        self._leaving, self._rests_sent = False, 0
        self._thread = PeriodicThread(
            COMMAND_STREAMER, round(1e9 / rate_hz), 0, self._tick, self.get_logger().error
        )
        self._thread.start()
        topics = ", ".join(stream.sender.topic for stream in self._streams)
        self.get_logger().info(f"waiting for windows on {windows}/.. for {topics} at {rate_hz} Hz")

    def leave(self) -> None:
        """Take no more windows, play what comes to rest, send the rest, then stop the stream."""
        self._leaving = True
        deadline_s = time.monotonic() + LEAVE_S
        while self._rests_sent < LAST_SENT and time.monotonic() < deadline_s:
            time.sleep(self._period_s)
        self._thread.stop()

    def _stream(
        self, output: CommandOutput | PoseOutput, windows: str, robot: Embodiment
    ) -> _Stream:
        taken = PulledSubscription(
            self, (JointTrajectory,), windows, raw=False, profiles=(qos.COMMAND,)
        )
        row = COMMAND_TYPES[output.type]
        return _Stream(
            output,
            taken,
            row.player(output, robot),
            row.sender(self, output, robot),
            Heartbeat(self, taken.topic),
        )

    def _tick(self) -> None:
        clock = self._clock_of_plan
        at = _Instant(clock.now_ns(), time.monotonic_ns(), clock.ros_now_ns())
        leaving = self._leaving  # one reading for all of the tick: a stop comes after every window
        first = self._stop if leaving else self._take
        for stream in self._streams:
            # if one stream raises, the others must still send their zero; if taking a window
            # raises, the stream must still send its value
            done = [self._done(work, stream, at) for work in (first, self._send)]
            # no heartbeat for a stream that fails or takes no more windows
            if all(done) and not leaving:
                stream.heart.beat(at.steady_ns)
        if leaving and not any(s.player.moves(at.now_ns, at.steady_ns) for s in self._streams):
            self._rests_sent += 1
        if at.steady_ns >= self._due_ns:
            self._due_ns = at.steady_ns + _DIAGNOSTICS_NS
            self._diagnose(to_time(at.stamp_ns))

    def _done(
        self, work: Callable[[_Stream, _Instant], None], stream: _Stream, at: _Instant
    ) -> bool:
        try:
            work(stream, at)
        except Exception as error:
            self._reject(stream, f"{type(error).__name__}: {error}")
            return False
        return True

    def _send(self, stream: _Stream, at: _Instant) -> None:
        values = stream.player.sample(at.now_ns, at.steady_ns)
        if values is not None:
            stream.sender.send(values, command_stamp(at.stamp_ns))

    def _take(self, stream: _Stream, at: _Instant) -> None:
        message = stream.windows.take()
        if message is None:
            return
        offset_ns = self._clock_of_plan.offset_ns()
        reason = stream.player.accept(message, offset_ns, at.now_ns, at.steady_ns)
        if reason is None:
            stream.problem = ""
        else:
            self._reject(stream, f"rejected window: {reason}")

    def _stop(self, stream: _Stream, at: _Instant) -> None:
        stream.player.stop(at.now_ns, at.steady_ns)

    def _reject(self, stream: _Stream, reason: str) -> None:
        stream.rejected += 1
        stream.last_rejection = stream.problem = reason
        self.get_logger().error(f"{stream.output.name}: {reason}", throttle_duration_sec=1.0)

    def _diagnose(self, stamp: Any) -> None:
        message = DiagnosticArray(status=[_status(stream) for stream in self._streams])
        message.header.stamp = stamp
        self._diagnostics.publish(message)


def _status(stream: _Stream) -> DiagnosticStatus:
    values = {
        "windows accepted": stream.player.accepted,
        "windows rejected": stream.rejected,
        "last rejection": stream.last_rejection,
    }
    wrong = stream.sender.problem or stream.problem
    level = DiagnosticStatus.WARN if wrong else DiagnosticStatus.OK
    name = f"{COMMAND_STREAMER}: {stream.sender.topic}"
    return entry(name, level, wrong or "streaming on demand", values.items())


def _text(node: Node, name: str) -> str:
    value = str(node.get_parameter(name).value)
    if not value:
        raise SettingsError(f"{name}: got nothing, expected {_TEXTS[name][1].lower()}")
    return value


def _leave(node: Node) -> None:
    assert isinstance(node, CommandStreamer)
    node.leave()


HELP = NodeHelp(
    "gr00t stream commands",
    "Node gr00t_command_streamer: sends the windows of outputs without joints (grippers, bases, "
    "poses) as messages or action goals. Start it beside the policy node, with the same "
    "embodiment.",
    (
        ("embodiment", None, _TEXTS["embodiment"][1]),
        ("windows", *_TEXTS["windows"]),
        _RATE,
    ),
    "gr00t stream commands --embodiment real_g1",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run_node(CommandStreamer, arguments, _leave, _WAKE_S, HELP, shared_memory=False)


if __name__ == "__main__":
    sys.exit(main())
