"""Flows as messages of ~/flows, and back."""

from __future__ import annotations

from gr00t_ros.errors import TraceError
from gr00t_ros.msg import ObservationFlow
from gr00t_ros.ros.windows import to_time
from gr00t_ros.trace.flow import Flow, Span


def flow_message(flow: Flow) -> ObservationFlow:
    """The message of one flow."""
    message = ObservationFlow(
        number=flow.number,
        sequence=flow.sequence,
        episode=flow.episode,
        outcome=flow.outcome,
        reason=flow.reason,
        ros_offset_ns=flow.ros_offset_ns,
        stages=[span.stage for span in flow.spans],
        begin_ns=[span.begin_ns for span in flow.spans],
        end_ns=[span.end_ns for span in flow.spans],
    )
    message.header.stamp = to_time(flow.stamp_ns)
    return message


def flow_of_message(message: ObservationFlow) -> Flow:
    """The flow of one message. Raises TraceError for lists or times that no node publishes."""
    stages, begins, ends = message.stages, message.begin_ns, message.end_ns
    if not len(stages) == len(begins) == len(ends):
        raise TraceError(
            f"ObservationFlow {message.number}: got {len(stages)} stages, {len(begins)} begins and "
            f"{len(ends)} ends, expected as many of each"
        )
    for stage, begin_ns, end_ns in zip(stages, begins, ends, strict=True):
        if not 0 < begin_ns <= end_ns:
            raise TraceError(
                f"ObservationFlow {message.number}: {stage}: got {begin_ns} to {end_ns} ns, "
                "expected a time above 0 and an end that is not before it"
            )
    stamp = message.header.stamp
    return Flow(
        message.number,
        message.sequence,
        message.episode,
        stamp.sec * 1_000_000_000 + stamp.nanosec,
        message.ros_offset_ns,
        message.outcome,
        message.reason,
        tuple(Span(*one) for one in zip(stages, begins, ends, strict=True)),
    )
