"""What the page showed at any time of a bag: status, pictures, events and joint curves.

Each answer depends on the bag and the time alone, not on what was asked before. The index has the
times of statuses and pictures; messages are read where they are needed, so that memory does not
grow with the bag.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from rclpy.serialization import deserialize_message

from gr00t_ros.bags.bag import Bag, BagMessage, BagTopic, open_bag
from gr00t_ros.errors import BagError, ObservationError
from gr00t_ros.inputs import cdr, images
from gr00t_ros.msg import PolicyStatus
from gr00t_ros.record.facts import EpisodeFacts
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import VideoStream
from gr00t_ros.ros.policy_node import STATUS_TYPE
from gr00t_ros.text_table import printable
from gr00t_ros.watch.finding import without_numbers
from gr00t_ros.web import snapshot
from gr00t_ros.web.bag.curves import BagCurves

IMAGE_TYPES: Final = {
    "sensor_msgs/msg/Image": "raw",
    "sensor_msgs/msg/CompressedImage": "compressed",
}
OLDEST_PICTURE_NS: Final = 10_000_000_000
"""An older picture is not shown: its camera was silent."""

MOST_EVENTS: Final = 5000
_AHEAD_NS: Final = 2_000_000_000  # a picture that is farther ahead is sought, not read up to
_JPEG: Final = (cv2.IMWRITE_JPEG_QUALITY, 90)


@dataclass(frozen=True, slots=True)
class _Camera:
    """Where a camera's pictures come from; `sent`: they are recorded as they were sent."""

    key: str
    topic: str
    stream: VideoStream | None
    sent: bool


@dataclass(slots=True)
class _Index:
    """Times of the messages of each topic, ns; what happened, and the instructions, with times."""

    times_ns: dict[str, array[int]]
    events: list[dict[str, Any]] = field(default_factory=list)
    event_times_ns: list[int] = field(default_factory=list)
    instructions: list[tuple[int, str]] = field(default_factory=list)

    def newest(self, topic: str, now_ns: int) -> int | None:
        """The time of the newest message of a topic at that time; None if there is none yet."""
        times_ns = self.times_ns[topic]
        position = bisect_right(times_ns, now_ns)
        return times_ns[position - 1] if position else None


class BagView:
    """One bag, for one thread; positions are ns from its start."""

    def __init__(
        self,
        path: Path,
        robot: Embodiment | None,
        node: str,
        facts: EpisodeFacts | None = None,
    ) -> None:
        """Open the bag and read its index; raises BagError where that cannot be done.

        robot: without it only pictures that were recorded as they were sent are shown, no curves.
        node: the policy node's full name; if the bag has the status of one other node, that one.
        """
        self._stack = ExitStack()
        try:
            bag = self._stack.enter_context(open_bag(path))
            self._path, self._bag, self._robot, self._facts = path, bag, robot, facts
            self.node, self._status_topic = _status(bag, node)
            self._cameras = _cameras(bag, robot, self.node)
            self._index = self._indexed()
            self._newest_status: tuple[int, PolicyStatus] | None = None
            # an unindexed MCAP file has one position in it: two readers need it opened twice
            apart = self._stack.enter_context(open_bag(path))
            topics = [one.topic for one in self._cameras]
            self._pictures = _NewestPictures(path, apart, self._index, topics)
            self._curves = None if robot is None else BagCurves(bag, robot, self.node)
        except BaseException:
            self._stack.close()
            raise

    @property
    def duration_ns(self) -> int:
        """From the first message to the last."""
        return self._bag.end_ns - self._bag.start_ns

    @property
    def cameras(self) -> tuple[str, ...]:
        """The modality keys of the cameras that the bag has."""
        return tuple(one.key for one in self._cameras)

    @property
    def robot(self) -> str:
        """The robot's name in the embodiment file; empty without one."""
        return "" if self._robot is None else self._robot.robot

    @property
    def joints(self) -> tuple[str, ...]:
        """The joints of the curves."""
        return () if self._robot is None else self._robot.joint_names

    @property
    def missing(self) -> tuple[str, ...]:
        """What cannot be shown from this bag, each as a sentence with what to do."""
        found = []
        if not self._status_topic:
            found.append(
                f"the bag has no {self.node}/status: mode, reason and events are not shown; "
                "record it too, or name the node with --node"
            )
        if self._robot is None:
            found.append(
                "no embodiment file: give --embodiment NAME|FILE for camera pictures and curves"
            )
        else:
            missing = [one.key for one in self._robot.video if one.key not in self.cameras]
            if missing:
                found.append(
                    f"the bag has no pictures of {', '.join(missing)}: record their topics"
                )
        return tuple(found)

    def close(self) -> None:
        """Close the bag's files."""
        self._stack.close()

    def state(self, position_ns: int) -> dict[str, Any]:
        """The snapshot at that position."""
        now_ns = self._bag.start_ns + position_ns
        status_ns = None
        if self._status_topic:
            status_ns = self._index.newest(self._status_topic, now_ns)
        if status_ns is None:
            found = snapshot.empty()
        else:
            age_s = (now_ns - status_ns) * 1e-9
            found = snapshot.snapshot(self._status_of(status_ns), age_s, self.node)
        found["recorder"] = self._recorder(now_ns)
        found["history"] = self._history(now_ns)
        return found

    def frames(self, position_ns: int) -> dict[str, tuple[int, bytes]]:
        """The newest picture of each camera: stamp in ns, and JPEG.

        A picture that cannot be decoded is left out.
        """
        newest = self._pictures.at(self._bag.start_ns + position_ns)
        pictures = {}
        for camera in self._cameras:
            message = newest.get(camera.topic)
            picture = None if message is None else _picture(camera, message)
            if picture is not None:
                pictures[camera.key] = picture
        return pictures

    def events_since(self, number: int, position_ns: int) -> list[dict[str, Any]]:
        """The events with a larger number that had happened by that position."""
        until = bisect_right(self._index.event_times_ns, self._bag.start_ns + position_ns)
        return self._index.events[max(0, number) : until]

    def curves(self, position_ns: int) -> dict[str, Any]:
        """The joint curves of the last ten seconds before that position."""
        if self._curves is None:
            return {"names": [], "t": [], "predicted": [], "commanded": [], "measured": []}
        return self._curves.at(position_ns)

    def _indexed(self) -> _Index:
        """The times of all statuses and pictures, in one pass over the bag."""
        topics = [one.topic for one in self._cameras]
        topics += [self._status_topic] if self._status_topic else []
        index = _Index({topic: array("q") for topic in topics})
        for text in self.missing:
            _add_event(index, self._bag.start_ns, "warn", text)
        newest: tuple[str, str] | None = None
        for message in self._bag.messages(topics) if topics else ():
            index.times_ns[message.topic].append(message.time_ns)
            if message.topic != self._status_topic:
                continue
            status = self._read_status(message)
            _note_instruction(index, message.time_ns, printable(status.instruction))
            now = (status.mode, without_numbers(status.reason))
            if now != newest and len(index.events) < MOST_EVENTS:
                newest = now
                _note_event(index, message.time_ns, status)
        return index

    def _status_of(self, time_ns: int) -> PolicyStatus:
        """The status that was recorded at that time; the last one is kept."""
        if self._newest_status is None or self._newest_status[0] != time_ns:
            message = next(self._bag.messages([self._status_topic], time_ns), None)
            if message is None or message.time_ns != time_ns:
                raise _changed(self._path, self._status_topic)
            self._newest_status = time_ns, self._read_status(message)
        return self._newest_status[1]

    def _read_status(self, message: BagMessage) -> PolicyStatus:
        try:
            return deserialize_message(message.data, PolicyStatus)
        except Exception as error:  # of the middleware: the bytes are of another definition
            raise BagError(
                f"{self._path}: {message.topic}: got a status that cannot be read ({error}), "
                "expected one of this version of gr00t_ros: show it with the version that wrote it"
            ) from error

    def _recorder(self, now_ns: int) -> dict[str, Any] | None:
        """What the recorder's screen showed, as far as episode.json has it."""
        facts = self._facts
        if facts is None:
            return None
        stop_ns = facts.stop_ns or self._bag.end_ns
        inside = facts.start_ns <= now_ns <= stop_ns
        sources = [name for time_ns, name in facts.sources if time_ns <= now_ns]
        seconds = (min(now_ns, stop_ns) - facts.start_ns) * 1e-9
        return {
            "state": "recording" if inside else "idle",
            "episode": facts.index,
            "seconds": round(max(0.0, seconds), 1),
            "source": sources[-1] if inside and sources else "",
        }

    def _history(self, now_ns: int) -> list[str]:
        """The instructions so far, the newest first, each once."""
        instructions = [text for time_ns, text in self._index.instructions if time_ns <= now_ns]
        return list(dict.fromkeys(reversed(instructions)))[:20]


class _NewestPictures:
    """The newest messages of several topics at any time, in one pass while time goes on."""

    def __init__(self, path: Path, bag: Bag, index: _Index, topics: list[str]) -> None:
        self._path, self._bag, self._index, self._topics = path, bag, index, topics
        self._kept: dict[str, BagMessage] = {}
        self._rest: Iterator[BagMessage] = iter(())
        self._read_ns: int | None = None  # the time of the message that was read last

    def at(self, now_ns: int) -> Mapping[str, BagMessage]:
        """The newest message of each topic that is not too old; the first of equal times."""
        wanted = {
            topic: time_ns
            for topic in self._topics
            if (time_ns := self._index.newest(topic, now_ns)) is not None
            and now_ns - time_ns <= OLDEST_PICTURE_NS
        }
        missing = {topic for topic, time_ns in wanted.items() if self._kept_ns(topic) != time_ns}
        if missing and not self._is_near(min(wanted[topic] for topic in missing)):
            self._kept, missing = {}, set(wanted)
            self._read_ns = min(wanted.values())
            self._rest = self._bag.messages(self._topics, self._read_ns)
        while missing:
            message = next(self._rest, None)
            if message is None or message.time_ns > now_ns:
                raise _changed(self._path, ", ".join(sorted(missing)))
            self._read_ns = message.time_ns
            if self._kept_ns(message.topic) != message.time_ns:
                self._kept[message.topic] = message
            missing -= {topic for topic in missing if self._kept_ns(topic) == wanted[topic]}
        return {topic: self._kept[topic] for topic in wanted}

    def _kept_ns(self, topic: str) -> int | None:
        kept = self._kept.get(topic)
        return None if kept is None else kept.time_ns

    def _is_near(self, time_ns: int) -> bool:
        """Whether reading on gets there sooner than reading anew."""
        return self._read_ns is not None and 0 <= time_ns - self._read_ns <= _AHEAD_NS


def _status(bag: Bag, node: str) -> tuple[str, str]:
    """The policy node's name, and the topic of its status; "" if the bag has none.

    Raises BagError if the bag has the status of several nodes, and none of them was named.
    """
    topics = [one.name for one in bag.topics if one.type_name == STATUS_TYPE and _readable(one)]
    if f"{node}/status" in topics:
        return node, f"{node}/status"
    if len(topics) > 1:
        nodes = ", ".join(one.rpartition("/")[0] for one in topics)
        raise BagError(f"--node: got {node}, expected one that the bag has: {nodes}")
    return (topics[0].rpartition("/")[0], topics[0]) if topics else (node, "")


def _cameras(bag: Bag, robot: Embodiment | None, node: str) -> tuple[_Camera, ...]:
    """The pictures as they were sent, else the cameras' own topics to be framed by the file."""
    types = {one.name: one.type_name for one in bag.topics if _readable(one)}
    prefix, suffix = f"{node}/observation/", "/compressed"
    streams = {} if robot is None else {one.key: one for one in robot.video}
    sent = [
        topic.removeprefix(prefix).removesuffix(suffix)
        for topic, kind in types.items()
        if topic.startswith(prefix)
        and topic.endswith(suffix)
        and IMAGE_TYPES.get(kind) == "compressed"
    ]
    found = []
    for key in (*streams, *(one for one in sorted(sent) if one not in streams)):
        stream = streams.get(key)
        if key in sent:
            found.append(_Camera(key, f"{prefix}{key}{suffix}", stream, sent=True))
        elif stream and IMAGE_TYPES.get(types.get(stream.topic, "")) == stream.transport:
            found.append(_Camera(key, stream.topic, stream, sent=False))
    return tuple(found)


def _readable(topic: BagTopic) -> bool:
    return bool(topic.count) and not topic.problem


def _picture(camera: _Camera, message: BagMessage) -> tuple[int, bytes] | None:
    """Stamp (at least 0) and JPEG of a picture as the policy got it; None if it has no pixels."""
    try:
        if camera.sent:
            view = cdr.compressed_image(message.data)
            return max(0, view.stamp_ns), view.data.tobytes()
        assert camera.stream is not None
        frame = images.read(message.data, camera.stream.transport)
        picture = np.empty((camera.stream.height_px, camera.stream.width_px, 3), np.uint8)
        images.decode_into(frame, camera.stream, picture)
    except ObservationError:
        return None
    encoded, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _JPEG)
    return (max(0, frame.stamp_ns), data.tobytes()) if encoded else None


def _note_instruction(index: _Index, time_ns: int, text: str) -> None:
    instructions = index.instructions
    changed = not instructions or instructions[-1][1] != text
    if text and changed and len(instructions) < MOST_EVENTS:
        instructions.append((time_ns, text))


def _note_event(index: _Index, time_ns: int, status: PolicyStatus) -> None:
    text, severity = snapshot.label(status.mode)
    reason = printable(status.reason)[:500]
    level = severity if severity in ("warn", "error") else "info"
    _add_event(index, time_ns, level, f"{text}: {reason}" if reason else text)


def _add_event(index: _Index, time_ns: int, level: str, text: str) -> None:
    number = len(index.events) + 1
    index.event_times_ns.append(time_ns)
    index.events.append({"number": number, "time_s": time_ns * 1e-9, "level": level, "text": text})


def _changed(path: Path, topics: str) -> BagError:
    return BagError(
        f"{path}: {topics}: a message of the index is no longer there: was the bag changed while "
        "it was read?"
    )
