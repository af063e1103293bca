"""The node's own messages: PolicyStatus, ActionChunk and diagnostics.

Only conversion: all values are passed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from gr00t_ros.inputs.stream_report import StreamReport
from gr00t_ros.motion.clocks import Latencies
from gr00t_ros.motion.guard import Verdict
from gr00t_ros.motion.replay_settings import Coverage
from gr00t_ros.msg import ActionChunk, ActionGroup, PolicyStatus, StageLatency, StreamStatus
from gr00t_ros.node.queries import QueryReply
from gr00t_ros.node.replay_thread import Snapshot
from gr00t_ros.robot.actions import ActionKey
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.ros.diagnostics import entry
from gr00t_ros.ros.windows import to_duration, to_time
from gr00t_ros.session.mode import AT_REST, FAULTED, Mode
from gr00t_ros.session.shadow import JointError
from gr00t_ros.wire.link import Check

HORIZON_TOO_SHORT = "horizon too short"
"""Key in a status' details; its value says why motion will pause between chunks."""

SHADOW = "shadow: no controller is commanded"
SHADOW_ERROR = "shadow error "
"""Prefix of keys in a status' details: plan minus commanded over the last ten seconds."""

_WARN = {Mode.UNCONFIGURED, Mode.WAITING, Mode.STOPPING, *AT_REST}


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


def fill_server(status: PolicyStatus, check: Check | None) -> None:
    """Write the results of the server's check into `status`."""
    if check is None:
        return
    status.server_generation = check.server.generation.label
    status.array_codec = check.server.array_codec
    status.key_style = check.server.key_style
    status.details = [
        KeyValue(key="warmup_ms", value=f"{check.warmup_ns / 1e6:.1f}"),
        *(KeyValue(key="modality", value=str(difference)) for difference in check.differences),
    ]


def coverage(found: Coverage | None) -> list[KeyValue]:
    """The horizon compared with the latency; key HORIZON_TOO_SHORT if it is too short."""
    if found is None:
        return []
    key = "horizon" if found.covered else HORIZON_TOO_SHORT
    return [KeyValue(key=key, value=found.text)]


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


def action_chunk(embodiment: Embodiment, reply: QueryReply, verdict: Verdict | None) -> ActionChunk:
    """The message of one chunk; `verdict` None: it was dropped before the guard checked it."""
    chunk = reply.chunk
    message = ActionChunk(
        sequence=chunk.sequence,
        episode=chunk.episode,
        embodiment_tag=embodiment.tag,
        step_duration=to_duration(chunk.step_ns),
        first_step=verdict.first_step if verdict else 0,
        inference_duration=to_duration(reply.inference_ns),
        accepted=verdict is not None and verdict.accepted,
        reason=verdict.reason if verdict else "dropped: of an older episode, or not wanted now",
        groups=[_group(key, reply) for key in embodiment.action],
    )
    message.header.stamp = to_time(reply.stamp_ros_ns)
    return message


def _group(key: ActionKey, reply: QueryReply) -> ActionGroup:
    rows = reply.chunk.raw[key.key]
    return ActionGroup(
        action_key=key.key,
        names=list(key.names),
        unit=key.unit,
        representation=key.representation,
        output=key.output or "",
        rows=len(rows),
        data=rows.ravel(),
    )


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
    if short:
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
