"""The times of one observation from its cameras' stamps to the controller that executes it.

`Marks` collects the times while the observation is under way; `Flow` is what remains. Pure: the
callers read the clocks. All times are steady time of the node's process in ns; 0 means that the
observation did not come that far, or that the time is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gr00t_ros.errors import TraceError

CAMERAS, WORKER, SERVER = "cameras", "worker thread", "policy server"
REPLAY, CONTROLLER = "replay thread", "controllers"

EXECUTED = "executed"
PUBLISHED = "published"
MERGED = "merged"
REFUSED = "refused"
DROPPED = "dropped"
FAILED = "failed"
"""How far an observation came. Published: no controller was seen to execute it."""

TOTAL = "camera_to_controller"
"""The stage from the oldest camera stamp to the controller's cycle."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the way: from one field of Marks to another. track: who is busy with it."""

    name: str
    begin: str
    end: str
    track: str
    text: str


CAMERA_STAGES = (
    Stage("camera", "stamp_ns", "arrived_ns", CAMERAS, "exposure, driver and network of one frame"),
    Stage("arrival", "arrived_ns", "taken_ns", CAMERAS, "the frame waits in the middleware"),
)
"""Stages of each camera; begin and end are fields of CameraTimes."""

STAGES = (
    Stage("wait", "asked_ns", "started_ns", WORKER, "until the picture arrives to leave with"),
    Stage("pull", "started_ns", "pulled_ns", WORKER, "take the newest message of every topic"),
    Stage("assembly", "pulled_ns", "assembled_ns", WORKER, "find the samples of one instant"),
    Stage("decode", "assembled_ns", "decoded_ns", WORKER, "decode, crop and resize the pictures"),
    Stage("encode", "decoded_ns", "encoded_ns", WORKER, "write state and text into the request"),
    Stage("send", "encoded_ns", "sent_ns", WORKER, "reset of a new episode, and the socket's send"),
    Stage("server", "sent_ns", "received_ns", SERVER, "network, inference, and network back"),
    Stage("receive", "received_ns", "parsed_ns", WORKER, "the reply becomes an action chunk"),
    Stage("handover", "parsed_ns", "handled_ns", REPLAY, "the chunk waits for the next tick"),
    Stage("guard", "handled_ns", "guarded_ns", REPLAY, "the chunk is checked"),
    Stage("merge", "guarded_ns", "merged_ns", REPLAY, "the chunk becomes the plan's reference"),
    Stage("shaping", "merged_ns", "shaped_ns", REPLAY, "watches, and the first window with it"),
    Stage("publish", "shaped_ns", "published_ns", REPLAY, "wait for the send time, and publish"),
    Stage("controller", "published_ns", "executed_ns", CONTROLLER, "until its part is played"),
)
"""Stages in their order; begin and end are fields of Marks."""

_TRACK = {stage.name: stage.track for stage in (*CAMERA_STAGES, *STAGES)}


@dataclass(frozen=True, slots=True)
class CameraTimes:
    """The newest frame of one camera: stamp, arrival in the middleware, and when it was taken."""

    key: str
    stamp_ns: int
    arrived_ns: int
    taken_ns: int


@dataclass(slots=True)
class Marks:
    """The times of one observation that is under way; one thread after another writes them."""

    number: int
    episode: int
    asked_ns: int = 0
    stamp_ros_ns: int = 0
    ros_offset_ns: int = 0
    cameras: tuple[CameraTimes, ...] = ()
    started_ns: int = 0
    pulled_ns: int = 0
    assembled_ns: int = 0
    decoded_ns: int = 0
    encoded_ns: int = 0
    sent_ns: int = 0
    received_ns: int = 0
    parsed_ns: int = 0
    handled_ns: int = 0
    guarded_ns: int = 0
    merged_ns: int = 0
    shaped_ns: int = 0
    published_ns: int = 0
    executed_ns: int = 0
    sequence: int = 0
    changed_from_ros_ns: int = 0
    """ROS time from which the plan follows this chunk, by the window that was published."""
    cut: str = ""
    """Why the plan left this chunk before that time, or why no window went; empty if neither."""
    outcome: str = FAILED
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """One stage of one observation. stage: its name, with the camera's key after a slash."""

    stage: str
    begin_ns: int
    end_ns: int

    @property
    def kind(self) -> str:
        """The stage without the camera."""
        return self.stage.partition("/")[0]

    @property
    def track(self) -> str:
        """Who is busy with it: one of the tracks, for a camera with its key."""
        camera = self.stage.partition("/")[2]
        track = _TRACK.get(self.kind, "other")
        return f"{track}: {camera}" if camera else track


@dataclass(frozen=True, slots=True)
class Flow:
    """One observation that has ended. stamp_ns: ROS time; ros_offset_ns: ROS minus steady time.

    number: of the query, which identifies a flow. sequence: of the chunk, 0 without one.
    """

    number: int
    sequence: int
    episode: int
    stamp_ns: int
    ros_offset_ns: int
    outcome: str
    reason: str
    spans: tuple[Span, ...] = field(default=())

    def durations(self) -> Iterator[tuple[str, int]]:
        """Each stage with its duration, ns: of several cameras the longest; TOTAL if executed."""
        longest: dict[str, int] = {}
        for span in self.spans:
            longest[span.kind] = max(longest.get(span.kind, 0), span.end_ns - span.begin_ns)
        yield from longest.items()
        begins = [span.begin_ns for span in self.spans if span.kind == "camera"]
        ends = [span.end_ns for span in self.spans if span.kind == "controller"]
        if begins and ends:
            yield TOTAL, ends[0] - min(begins)


def flow_of(marks: Marks) -> Flow:
    """The flow of an observation that has ended; stages with an unknown time are left out."""
    spans = [
        Span(f"{stage.name}/{camera.key}", begin, end)
        for camera in marks.cameras
        for stage in CAMERA_STAGES
        if _known(begin := getattr(camera, stage.begin), end := getattr(camera, stage.end))
    ]
    spans += [
        Span(stage.name, begin, end)
        for stage in STAGES
        if _known(begin := getattr(marks, stage.begin), end := getattr(marks, stage.end))
    ]
    return Flow(
        marks.number,
        marks.sequence,
        marks.episode,
        marks.stamp_ros_ns,
        marks.ros_offset_ns,
        marks.outcome,
        marks.reason,
        tuple(spans),
    )


def _known(begin_ns: int, end_ns: int) -> bool:
    """Whether both times are known; a stamp from another machine's clock may lie behind the end."""
    return 0 < begin_ns <= end_ns


def executed(waiting: Sequence[Marks], state_ros_ns: int) -> int:
    """How many of the published observations end with a controller state of this stamp, ROS ns.

    waiting: in the order of their publication. A state belongs to the newest of those whose part of
    the plan begins before it, which gets the outcome EXECUTED. Earlier ones have no state in their
    part. One that the plan left before its part began ends as PUBLISHED.
    """
    begun = [marks.changed_from_ros_ns < state_ros_ns for marks in waiting]
    count = next((index for index, one in enumerate(begun) if not one), len(begun))
    played = [marks for marks in waiting[:count] if not marks.cut]
    for marks in waiting[:count]:
        marks.outcome, marks.reason = PUBLISHED, marks.cut or "the next chunk replaced it"
    if played:
        newest = played[-1]
        newest.outcome, newest.reason = EXECUTED, ""
        newest.executed_ns = state_ros_ns - newest.ros_offset_ns
    return count


_NUMBERS = ("number", "sequence", "episode", "stamp_ns", "ros_offset_ns")
_TEXTS = ("outcome", "reason")


def plain(flow: Flow) -> dict[str, Any]:
    """The flow as values for JSON."""
    spans = [[span.stage, span.begin_ns, span.end_ns] for span in flow.spans]
    return {name: getattr(flow, name) for name in (*_NUMBERS, *_TEXTS)} | {"spans": spans}


def from_plain(value: Mapping[str, Any]) -> Flow:
    """What `plain` returned. Raises TraceError for anything else."""
    try:
        spans = tuple(
            Span(str(stage), int(begin), int(end)) for stage, begin, end in value["spans"]
        )
        numbers = {name: int(value[name]) for name in _NUMBERS}
        texts = {name: str(value[name]) for name in _TEXTS}
        return Flow(spans=spans, **numbers, **texts)  # type: ignore[arg-type]  # of these types
    except (KeyError, TypeError, ValueError) as error:
        raise TraceError(f"got no flow ({error!r}), expected one line of JSON for each") from None
