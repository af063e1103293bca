"""Builds ~/status and /diagnostics, publishes them and writes the log.

Status and diagnostics are published at once when something changes, else at 2 Hz and 1 Hz. Each
event is logged once; a reason in which only the numbers change is the same event.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from numpy.typing import NDArray
from rclpy.node import Node

from gr00t_ros.inputs.stream_report import StreamReport
from gr00t_ros.motion.clocks import Latencies
from gr00t_ros.motion.replay_settings import HORIZON_TOO_SHORT, LATENCY_LIMIT, Coverage
from gr00t_ros.msg import PolicyStatus, StageLatency, StreamStatus
from gr00t_ros.node.replay_thread import Snapshot
from gr00t_ros.node.wiring import Configured
from gr00t_ros.robot.limits import POSITION_UNIT, TO_LIMIT, JointLimits
from gr00t_ros.ros import qos
from gr00t_ros.ros.diagnostics import entry
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.session.mode import AT_REST, FAULTED, Mode
from gr00t_ros.session.shadow import JointError
from gr00t_ros.watch.finding import without_numbers
from gr00t_ros.wire.link import CheckResult

COMMIT = "commit [ms]"
"""Key in a status' details: the present commit time, and what it comes from."""

CLEARANCE = "clearance [m]"
"""Key in a status' details: the smallest distance on the way ahead, its pair, and when.

The same for programs: CLEARANCE_M, CLEARANCE_PAIR and CLEARANCE_S.
"""
CLEARANCE_M, CLEARANCE_PAIR = "clearance distance [m]", "clearance pair"
CLEARANCE_S = "clearance time [s]"
UNPROVEN, OVER_BUDGET = "unproven stops", "windows over budget"
UNCHECKED = "collision unchecked"
"""Key in a status' details: what moves and is not checked although `collision: required`."""
_COLLISION = (CLEARANCE, CLEARANCE_M, CLEARANCE_PAIR, CLEARANCE_S, UNPROVEN, OVER_BUDGET, UNCHECKED)

RTC = "rtc"
"""Key in a status' details: whether chunks continue each other by the server's RTC, or why not."""

ROBOT = "robot_id"
"""Key in a status' details: the parameter if it is set, and what the server does with it."""

CONTACT = "contact "
"""Prefix of keys in a status' details: what a source of contacts measures."""

_SHOWN = (COMMIT, *_COLLISION, RTC, ROBOT)
"""Keys of a status' details that /diagnostics shows too."""

SHADOW = "shadow: no controller is commanded"
SHADOW_ERROR = "shadow error "
"""Prefix of keys in a status' details: plan minus commanded over the last ten seconds."""

_WARN = {Mode.UNCONFIGURED, Mode.WAITING, Mode.STOPPING, *AT_REST}
_CLOSEST = 3  # joints whose distance to their limits is published
_UNCHANGED_S = 0.5  # an unchanged status is published again after this time
_LOOK_S = 0.1  # time between two looks at what may have changed without an event
_WARNED = {Mode.HOLDING, Mode.PAUSED}


def streams(reports: Iterable[StreamReport]) -> list[StreamStatus]:
    """The streams of a status."""
    return [
        StreamStatus(
            name=r.name,
            topic=r.topic,
            fresh=r.fresh,
            age_s=r.age_s,
            max_age_s=r.max_age_s,
            received=r.received,
            problem=r.problem,
        )
        for r in reports
    ]


def latencies(*sources: Latencies) -> list[StageLatency]:
    """The latencies of a status."""
    rows = []
    for source in sources:
        for stage in source.stages():
            p = source.summary(stage)
            rows.append(
                StageLatency(
                    stage=stage,
                    count=p.count,
                    p50_s=p.p50_ns / 1e9,
                    p99_s=p.p99_ns / 1e9,
                    max_s=p.max_ns / 1e9,
                )
            )
    return rows


def fill_session(status: PolicyStatus, snapshot: Snapshot) -> None:
    """Write mode, reason, episode and counts of the session into `status`."""
    counts = snapshot.counts
    status.mode, status.reason = snapshot.mode.value, snapshot.reason
    status.ready = snapshot.mode is Mode.READY
    status.episode = snapshot.episode
    status.chunks_accepted = counts.accepted
    status.chunks_clamped = counts.clamped
    status.chunks_refused = counts.refused
    status.chunks_dropped = counts.dropped
    status.query_failures = counts.failures
    status.windows_published = counts.windows


def fill_server(status: PolicyStatus, check: CheckResult | None) -> None:
    """Write the results of the server's check into `status`."""
    if check is None:
        return
    status.server_generation = check.server.generation.label
    status.array_codec = check.server.array_codec
    status.key_style = check.server.key_style
    status.details = [
        *status.details,
        KeyValue(key="warmup_ms", value=f"{check.warmup_ns / 1e6:.1f}"),
        *(KeyValue(key="modality", value=str(difference)) for difference in check.differences),
    ]


def coverage(found: Coverage | None) -> list[KeyValue]:
    """The horizon compared with the latency; key HORIZON_TOO_SHORT if it is too short."""
    if found is None:
        return []
    key = "horizon" if found.covered else HORIZON_TOO_SHORT
    limit = KeyValue(key=LATENCY_LIMIT, value=f"{found.limit_ns / 1e6:.0f}")
    return [KeyValue(key=key, value=found.text), limit]


def commit(snapshot: Snapshot) -> KeyValue:
    """The present commit time, and what it comes from."""
    return KeyValue(key=COMMIT, value=f"{snapshot.commit_ns / 1e6:.1f}, {snapshot.commit_why}")


def fill_shadow(
    status: PolicyStatus, shadow: bool, restarts: int, errors: Iterable[JointError]
) -> None:
    """Write whether the node is in shadow, and the difference of plan and commands.

    In shadow every reason begins with SHADOW, so that nobody takes "replaying" for a moving arm.
    """
    details = [KeyValue(key="shadow", value=str(shadow).lower())]
    if shadow:
        status.reason = f"{SHADOW}; {status.reason}" if status.reason else SHADOW
        details.append(KeyValue(key="shadow restarts", value=str(restarts)))
    for error in errors:
        text = f"rms {error.rms:.4f}, max {error.worst:.4f}, {error.samples} samples"
        details.append(KeyValue(key=f"{SHADOW_ERROR}{error.joint} [rad]", value=text))
    status.details = [*status.details, *details]


def limits_left(limits: JointLimits, measured: NDArray[np.float64] | None) -> list[KeyValue]:
    """How far the joints that are closest to their limits are from them; none without a position.

    measured: (J,) rad or m, in plan joint order.
    """
    if measured is None:
        return []
    return [
        KeyValue(
            key=f"{TO_LIMIT}{limits.names[joint]} [{POSITION_UNIT}]",
            value=f"{left:.4f}, at {measured[joint]:.4f} of {limits.allowed(joint)}",
        )
        for joint, left in limits.closest(measured, _CLOSEST)
    ]


def clearance(snapshot: Snapshot, unchecked: str = "") -> list[KeyValue]:
    """The smallest distance on the way ahead, with its pair and time; none without a check.

    unchecked: what is not checked; empty if nothing is left out.
    """
    ahead, found = snapshot.ahead, {UNCHECKED: unchecked} if unchecked else {}
    if ahead.pair:
        distance, pair, time_s = f"{ahead.distance_m:.4f}", " and ".join(ahead.pair), ahead.at_s
        found |= {
            CLEARANCE: f"{distance}, {pair} in {time_s:.2f} s",
            CLEARANCE_M: distance,
            CLEARANCE_PAIR: pair,
            CLEARANCE_S: f"{time_s:.3f}",
            UNPROVEN: str(snapshot.unproven_stops),
            OVER_BUDGET: str(snapshot.over_budget),
        }
    return [KeyValue(key=key, value=value) for key, value in found.items()]


def diagnostics(status: PolicyStatus, more: Iterable[DiagnosticStatus] = ()) -> DiagnosticArray:
    """The status for /diagnostics: one entry for the policy, one for each stream, and `more`."""
    mode = Mode(status.mode)
    level = DiagnosticStatus.OK
    if mode in FAULTED:
        level = DiagnosticStatus.ERROR
    elif mode in _WARN:
        level = DiagnosticStatus.WARN
    hardware_id = f"{status.robot}:{status.embodiment_tag}".strip(":")
    text = f"{status.mode}: {status.reason}" if status.reason else status.mode
    short = next((pair.value for pair in status.details if pair.key == HORIZON_TOO_SHORT), "")
    if short and short not in text:
        level, text = max(level, DiagnosticStatus.WARN), f"{text}; {short}"
    array = DiagnosticArray(
        status=[
            entry("gr00t_policy: replay", level, text, _policy_values(status).items(), hardware_id),
            *(_stream_entry(stream, hardware_id) for stream in status.streams),
            *_shadow_entries(status, hardware_id),
            *more,
        ]
    )
    array.header.stamp = status.header.stamp
    return array


def _shadow_entries(status: PolicyStatus, hardware_id: str) -> Iterable[DiagnosticStatus]:
    """The comparison of a node in shadow, if there is one yet."""
    found = [d for d in status.details if d.key.startswith(SHADOW_ERROR)]
    if found:
        values = [(d.key.removeprefix(SHADOW_ERROR), d.value) for d in found]
        text = "plan minus commanded over the last ten seconds"
        yield entry("gr00t_policy: shadow", DiagnosticStatus.OK, text, values, hardware_id)


def _policy_values(status: PolicyStatus) -> Mapping[str, object]:
    fields = (
        *("episode", "instruction", "server", "server_generation", "array_codec", "key_style"),
        *("queries", "chunks_accepted", "chunks_clamped", "chunks_refused", "chunks_dropped"),
        *("query_failures", "windows_published"),
    )
    values: dict[str, object] = {name: getattr(status, name) for name in fields}
    shown = (d for d in status.details if d.key in _SHOWN or d.key.startswith(CONTACT))
    values |= {d.key: d.value for d in shown}
    for stage in status.latencies:
        values[f"{stage.stage} p50/p99 ms"] = f"{1e3 * stage.p50_s:.1f}/{1e3 * stage.p99_s:.1f}"
    return values


def _stream_entry(stream: StreamStatus, hardware_id: str) -> DiagnosticStatus:
    level = DiagnosticStatus.OK
    if not stream.fresh:
        level = DiagnosticStatus.STALE
    elif stream.problem:
        level = DiagnosticStatus.WARN
    text = stream.problem or f"age {stream.age_s:.3f} s"
    values = {"topic": stream.topic, "age_s": f"{stream.age_s:.3f}", "received": stream.received}
    return entry(f"gr00t_policy: {stream.name}", level, text, values.items(), hardware_id)


def event_of(mode: str, reason: str) -> tuple[str, str]:
    """Mode and reason without its numbers: equal if nothing new has happened."""
    return mode, without_numbers(reason)


def pulse_s(by_events: bool) -> float:
    """Period of `Reporter.report`, s. by_events: all that it publishes early comes with an event.

    Each time the executor wakes up, it looks at all entities: that takes more than the status.
    """
    return _UNCHANGED_S if by_events else _LOOK_S


class Reporter:
    """The publishers of one node; all methods run on the executor thread."""

    def __init__(self, node: Node) -> None:
        """Create the publishers; publish nothing yet."""
        self._node = node
        self._status = node.create_publisher(PolicyStatus, "~/status", qos.STATUS)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self._said = ("", "")
        self._reason = ""
        self._refused = 0
        self._due_s = 0.0

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
        """Publish the status and log a new event; called at each event and every `pulse_s`."""
        snapshot = parts.replay.snapshot
        event = event_of(snapshot.mode.value, snapshot.reason)
        changed, now_s = event != self._said, time.monotonic()
        if not changed and now_s < self._due_s:
            return
        if now_s >= self._due_s:  # what an event publishes in between does not move this
            self._due_s = now_s + _UNCHANGED_S - _LOOK_S / 2
        message = self._of_session(parts, values, snapshot)
        try:
            self._fill(message, parts, snapshot)
        finally:  # publish mode and reason even if another part fails
            self._status.publish(message)
            self._log_refused(snapshot)
            if changed:
                self._said = event
                self._log(snapshot.mode, ": ".join(p for p in (message.mode, message.reason) if p))
        if changed:
            self._diagnostics.publish(diagnostics(message, parts.server.entries()))

    def diagnose(self, parts: Configured | None, values: Parameters) -> None:
        """Publish /diagnostics; called at 1 Hz in every state."""
        if parts is None:
            self._diagnostics.publish(diagnostics(self._unconfigured(values.embodiment)))
            return
        snapshot = parts.replay.snapshot
        message = self._of_session(parts, values, snapshot)
        try:
            self._fill(message, parts, snapshot)
        finally:
            self._diagnostics.publish(diagnostics(message, parts.server.entries()))

    def _log_refused(self, snapshot: Snapshot) -> None:
        """Log why the newest answer was refused, where the reason of the mode does not say it."""
        counts = snapshot.counts
        if counts.refused > self._refused and counts.refusal not in snapshot.reason:
            text = f"refused {counts.refused} answers of the policy server, the last: "
            self._node.get_logger().warning(text + counts.refusal)
        self._refused = counts.refused

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

    def _of_session(
        self, parts: Configured, values: Parameters, snapshot: Snapshot
    ) -> PolicyStatus:
        """What the session's own snapshot says: mode, reason, counts, and whether it is shadow."""
        message = PolicyStatus(
            instruction=parts.queries.instruction,
            robot=parts.embodiment.robot,
            embodiment_tag=parts.embodiment.tag,
            server=parts.server.address,
            queries=parts.queries.sent,
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        fill_session(message, snapshot)
        restarts = snapshot.counts.restarts
        fill_shadow(message, values.shadow, restarts, parts.watches.shadow_errors)
        return message

    def _fill(self, message: PolicyStatus, parts: Configured, snapshot: Snapshot) -> None:
        """Write what the other parts know into `message`; each line stands for itself."""
        message.streams = streams(parts.robot_state.reports())
        message.latencies = latencies(
            parts.queries.latencies, parts.replay.latencies, parts.flows.latencies
        )
        fill_server(message, parts.server.check.passed)
        details = [*coverage(parts.coverage()), commit(snapshot)]
        details.append(KeyValue(key=RTC, value=parts.server.link.rtc.text))
        if parts.server.link.named is not None:
            details.append(KeyValue(key=ROBOT, value=parts.server.link.named.text))
        details += parts.sidecar.details()
        details += clearance(snapshot, parts.unchecked)
        details += [KeyValue(key=key, value=value) for key, value in parts.contacts.details()]
        if len(limits := parts.embodiment.limits):
            details += limits_left(limits, parts.robot_state.measured_or_none())
        message.details = [*message.details, *details]
