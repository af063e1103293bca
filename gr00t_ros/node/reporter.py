"""Publishes ~/status and /diagnostics and writes the log.

Status and diagnostics are published at once when something changes, else at 2 Hz and 1 Hz. Each
event is logged once; a reason in which only the numbers change is the same event.
"""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from gr00t_ros.msg import PolicyStatus
from gr00t_ros.node import status
from gr00t_ros.node.wiring import Configured
from gr00t_ros.ros import qos
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.session.mode import FAULTED, Mode
from gr00t_ros.watch.finding import without_numbers

_STATUS_EVERY = 5  # an unchanged status is published every so many ticks of the status timer
_WARNED = {Mode.HOLDING, Mode.PAUSED}


def event_of(mode: str, reason: str) -> tuple[str, str]:
    """Mode and reason without its numbers: equal if nothing new has happened."""
    return mode, without_numbers(reason)


class Reporter:
    """The publishers of one node; all methods run on the executor thread."""

    def __init__(self, node: Node) -> None:
        """Create the publishers; publish nothing yet."""
        self._node = node
        self._status = node.create_publisher(PolicyStatus, "~/status", qos.STATUS)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self._said = ("", "")
        self._reason = ""
        self._ticks = 0

    @property
    def unconfigured_reason(self) -> str | None:
        """The last published reason while unconfigured; None if the node was configured since."""
        return self._reason if self._said[0] == Mode.UNCONFIGURED.value else None

    def say(self, reason: str) -> None:
        """Publish the mode `unconfigured` with this reason."""
        if self.unconfigured_reason == reason:
            return
        self._said, self._reason = event_of(Mode.UNCONFIGURED.value, reason), reason
        self._status.publish(self._unconfigured())

    def report(self, parts: Configured, values: Parameters) -> None:
        """Publish the status and log a new event; called at 10 Hz while configured."""
        snapshot = parts.replay.snapshot
        event = event_of(snapshot.mode.value, snapshot.reason)
        self._ticks += 1
        changed = event != self._said
        if not changed and self._ticks % _STATUS_EVERY:
            return
        message = self._message(parts, values)
        self._status.publish(message)
        if changed:
            self._said = event
            self._log(snapshot.mode, ": ".join(p for p in (message.mode, message.reason) if p))
            entries = parts.server.entries()
            self._diagnostics.publish(status.diagnostics(message, entries))

    def diagnose(self, parts: Configured | None, values: Parameters) -> None:
        """Publish /diagnostics; called at 1 Hz in every state."""
        if parts is None:
            self._diagnostics.publish(status.diagnostics(self._unconfigured(values.embodiment)))
            return
        entries = parts.server.entries()
        self._diagnostics.publish(status.diagnostics(self._message(parts, values), entries))

    def _log(self, mode: Mode, text: str) -> None:
        # One source line for each severity: rclpy rejects different severities from one line.
        logger = self._node.get_logger()
        if mode in FAULTED:
            logger.error(text)
        elif mode in _WARNED:
            logger.warning(text)
        else:
            logger.info(text)

    def _unconfigured(self, robot: str = "") -> PolicyStatus:
        message = PolicyStatus(mode=Mode.UNCONFIGURED.value, reason=self._reason, robot=robot)
        message.header.stamp = self._node.get_clock().now().to_msg()
        return message

    def _message(self, parts: Configured, values: Parameters) -> PolicyStatus:
        message = PolicyStatus(
            instruction=parts.queries.instruction,
            robot=parts.embodiment.robot,
            embodiment_tag=parts.embodiment.tag,
            server=parts.server.address,
            streams=status.streams(parts.surroundings.reports()),
            queries=parts.queries.sent,
            latencies=status.latencies(parts.queries.latencies, parts.replay.latencies),
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        status.fill_server(message, parts.server.check.passed)
        status.fill_session(message, parts.replay.snapshot)
        message.details = [*message.details, *status.coverage(parts.coverage())]
        message.details = [*message.details, *parts.sidecar.details()]
        restarts = parts.replay.snapshot.counts.restarts
        status.fill_shadow(message, values.shadow, restarts, parts.watches.shadow_errors)
        return message
