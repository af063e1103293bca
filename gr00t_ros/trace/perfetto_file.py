"""Flows -> a Perfetto trace: native TrackEvents on one track for each thread, joined by flow ids.

A track event is a slice that begins and ends. All slices of one observation have the same flow id,
so that ui.perfetto.dev draws arrows from camera to controller. Timestamps are steady time, ns.

`python -m gr00t_ros.trace.perfetto_file FILE` reads flows from stdin as JSON, one a line, and
prints why it failed. The node starts it as a process of its own, so that none of the node's threads
waits while the file is made.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gr00t_ros.command_line import DONE, MISUSE
from gr00t_ros.errors import TraceError
from gr00t_ros.trace.flow import (
    CAMERAS,
    CONTROLLER,
    REPLAY,
    SERVER,
    WORKER,
    Flow,
    Span,
    from_plain,
    plain,
)

INSTALL_COMMAND = "python3 -m pip install perfetto==0.59.1 protobuf"
SUFFIX = ".pftrace"
_PROCESS, _SEQUENCE, _PID = 1, 1, 1
_CATEGORY = "gr00t"
_END = "end"
_NICE = 10  # the robot's processes go first
_ORDER = (CAMERAS, WORKER, SERVER, REPLAY, CONTROLLER)


def refuse_path(path: Path) -> None:
    """Raise TraceError if a trace cannot be made there; no file is ever overwritten."""
    try:
        problem = _problem(path)
    except (OSError, ValueError) as error:  # a name too long, a folder that may not be seen
        problem = f"this path cannot be used ({error}): give another path"
    if problem:
        raise TraceError(f"{path}: {problem}")


def _problem(path: Path) -> str:
    if path.suffix != SUFFIX:
        return f"got a name that ends with {path.suffix!r}, expected {SUFFIX}"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}: create it, or give another path"
    with contextlib.suppress(FileNotFoundError):
        path.lstat()
        return "this file exists already, and is not overwritten: give another name"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"the folder {path.parent} cannot be written by this user: give another path"
    return ""


def write_trace(path: Path, flows: Sequence[Flow]) -> None:
    """Write a trace to a new file, all of it or nothing. Raises TraceError if that fails."""
    refuse_path(path)
    if not flows:
        raise TraceError(f"{path}: nothing was written, because there is no observation to show")
    content = trace_bytes(flows)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(part, path)  # unlike a rename, it refuses a file that has come in between
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        size = f"{len(content) / 1e6:.1f} MB"
        raise TraceError(
            f"{path}: the trace of {size} could not be written: {error.strerror}; free some disk, "
            "or give another path"
        ) from error


def trace_bytes(flows: Sequence[Flow]) -> bytes:
    """The content of the file."""
    events = _protobuf()
    trace = events.Trace()
    head = trace.packet.add()
    head.trusted_packet_sequence_id = _SEQUENCE
    head.sequence_flags = events.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
    head.track_descriptor.uuid = _PROCESS
    head.track_descriptor.process.pid = _PID
    head.track_descriptor.process.process_name = "gr00t_policy"
    head.track_descriptor.child_ordering = events.TrackDescriptor.EXPLICIT
    number = _PROCESS
    for rank, (track, slices) in enumerate(_tracks(flows).items()):
        for lane in _lanes(slices):
            number += 1
            packet = trace.packet.add()
            packet.trusted_packet_sequence_id = _SEQUENCE
            packet.track_descriptor.uuid = number
            packet.track_descriptor.parent_uuid = _PROCESS
            packet.track_descriptor.name = track
            packet.track_descriptor.sibling_order_rank = rank
            for flow, span in lane:
                _add_slice(events, trace, number, flow, span)
    return bytes(trace.SerializeToString())


Slice = tuple[Flow, Span]


def _tracks(flows: Iterable[Flow]) -> Mapping[str, list[Slice]]:
    """The slices of each track, from cameras to controllers, each by the time of its begin."""
    found: dict[str, list[Slice]] = {}
    for flow in flows:
        for span in flow.spans:
            found.setdefault(span.track, []).append((flow, span))
    order = {track: rank for rank, track in enumerate(_ORDER)}
    names = sorted(found, key=lambda track: (order.get(track.partition(":")[0], len(order)), track))
    return {name: sorted(found[name], key=_begin_ns) for name in names}


def _begin_ns(one: Slice) -> int:
    return one[1].begin_ns


def _lanes(slices: Iterable[Slice]) -> list[list[Slice]]:
    """The slices of one track, parted so that none overlaps another: slices on a track must nest.

    Perfetto shows tracks of the same name as one.
    """
    lanes: list[list[Slice]] = []
    for one in slices:
        free = (lane for lane in lanes if lane[-1][1].end_ns <= one[1].begin_ns)
        lane = next(free, None)
        if lane is None:
            lanes.append([one])
        else:
            lane.append(one)
    return lanes


def _add_slice(events: Any, trace: Any, track: int, flow: Flow, span: Span) -> None:
    """Add begin and end of one slice; the last stage of an observation ends its flow."""
    begin, end = trace.packet.add(), trace.packet.add()
    for packet, at_ns in ((begin, span.begin_ns), (end, span.end_ns)):
        packet.timestamp = at_ns
        packet.trusted_packet_sequence_id = _SEQUENCE
        packet.track_event.track_uuid = track
    begin.track_event.type = events.TrackEvent.TYPE_SLICE_BEGIN
    end.track_event.type = events.TrackEvent.TYPE_SLICE_END
    begin.track_event.name = span.kind
    begin.track_event.categories.append(_CATEGORY)
    last = span is flow.spans[-1]
    ids = begin.track_event.terminating_flow_ids if last else begin.track_event.flow_ids
    ids.append(flow.number)
    facts: dict[str, int | str] = {"observation": flow.number, "episode": flow.episode}
    if flow.sequence:
        facts["chunk"] = flow.sequence
    if last:
        facts |= {"stamp_ns": flow.stamp_ns, "outcome": flow.outcome, "reason": flow.reason}
    for name, value in facts.items():
        annotation = begin.track_event.debug_annotations.add()
        annotation.name = name
        if isinstance(value, int):
            annotation.int_value = value
        else:
            annotation.string_value = value


def _protobuf() -> Any:
    try:
        from perfetto.protos.perfetto.trace import perfetto_trace_pb2
    except ImportError as error:
        raise TraceError(
            f"a trace needs the Python package perfetto ({error}); run: {INSTALL_COMMAND}"
        ) from error
    return perfetto_trace_pb2


def lines(flows: Iterable[Flow]) -> Iterator[str]:
    """What `main` reads; the last line shows that none is missing."""
    for flow in flows:
        yield json.dumps(plain(flow)) + "\n"
    yield json.dumps(_END) + "\n"


def main(words: Sequence[str]) -> int:
    """Write the flows on stdin to the file that the only word names."""
    os.nice(_NICE)
    try:
        write_trace(Path(words[0]), _read(sys.stdin))
    except TraceError as error:
        print(error)
        return MISUSE
    return DONE


def _read(text: Iterable[str]) -> list[Flow]:
    values = [json.loads(line) for line in text]
    if not values or values[-1] != _END:
        raise TraceError("nothing was written: the node ended before it had given all observations")
    return [from_plain(value) for value in values[:-1]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
