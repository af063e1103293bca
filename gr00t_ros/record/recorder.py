"""Takes all topics' messages, keeps the pre-roll, and sends episodes to the writing thread.

Without a node: the caller gives the clock, the topics and what announces events. The pull thread
calls `pull`, the executor thread everything else; one lock makes them take turns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from gr00t_ros.record.mcap_file import Channel
from gr00t_ros.record.preroll import Preroll, RecordedMessage
from gr00t_ros.record.recording import Recording
from gr00t_ros.record.session import (
    PROBLEM,
    STOP,
    PolicyNodeState,
    RecordingEvent,
    RecordingSession,
)
from gr00t_ros.record.writer import EpisodeWriter
from gr00t_ros.ros.policy_node import STATUS_SILENT_S

_JUMP_NS: Final = 1_000_000_000
"""A clock that is set back by less than this stands still in the bag until it has caught up; one
that is set forward by less leaves a gap of that length."""

_READ_NS: Final = 100_000_000
"""Two clocks that were not read within this time cannot be compared: the process stood between."""

Change = Callable[[int], list[RecordingEvent]]
"""A call of the session at a bag time."""


class RecorderTopic(Protocol):
    """What the recorder asks of a topic (record/topics.py).

    topic: its name in the graph. channel: of the bag, where a remapped topic has its first name.
    """

    topic: str
    channel: Channel | None
    latched: bool
    lost: int

    def take(self) -> tuple[int, bytes] | None:
        """The next message with its time of receipt, ns; None if none waits."""
        ...

    def look(self) -> None:
        """Adapt to the publishers that there are."""
        ...


class Recorder:
    """One robot's recorder. `announce` gets each event and returns it as a message of the bag."""

    def __init__(
        self,
        recording: Recording,
        session: RecordingSession,
        preroll: Preroll,
        writer: EpisodeWriter,
        topics: Sequence[RecorderTopic],
        now_ns: Callable[[], int],
        announce: Callable[[RecordingEvent], RecordedMessage],
        steady_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """now_ns: bag time, 0 while the clock has not begun. steady_ns: time that nobody sets."""
        self.recording, self.session, self.writer, self.topics = recording, session, writer, topics
        self.status_topic = ""
        self.read_status: Callable[[bytes], PolicyNodeState] | None = None
        self.by_receipt = True
        """Whether bag time is the time of receipt; else the time at which a message was taken."""
        self._preroll, self._now_ns, self._announce = preroll, now_ns, announce
        self._steady_ns = steady_ns
        self._pulled_ns: tuple[int, int] | None = None  # both clocks at the last pull
        self._lock = threading.RLock()
        self._last_ns = 0
        self._status_s = float("-inf")

    def pull(self) -> None:
        """Take all messages that wait, in the order of their receipt."""
        with self._lock:
            before_ns, now_ns = self._steady_ns(), self._now_ns()
            if now_ns <= 0:
                return
            if now_ns < self._last_ns - _JUMP_NS:
                self._jumped("back", self._last_ns - now_ns)
                self._last_ns = now_ns
            elif (ahead_ns := self._ahead_ns(now_ns, before_ns)) > _JUMP_NS:
                self._jumped("forward", ahead_ns)
            taken: list[tuple[int, RecorderTopic, bytes]] = []
            for topic in self.topics:
                lost = topic.lost
                while (one := topic.take()) is not None:
                    time_ns = one[0] if self.by_receipt and one[0] > 0 else now_ns
                    taken.append((time_ns, topic, one[1]))
                if topic.lost > lost and self.session.episode is not None:
                    assert topic.channel is not None
                    self.writer.count_lost(topic.channel.topic, topic.lost - lost)
            taken.sort(key=lambda one: one[0])
            latest_ns = max(now_ns, self._now_ns())  # some came while others were taken
            for time_ns, topic, data in taken:
                self._add(min(time_ns, latest_ns), topic, data)

    def _ahead_ns(self, now_ns: int, before_ns: int) -> int:
        """How far the clock was set forward since the last pull, which /clock may be at any rate.

        Also by the time in which the machine was suspended. before_ns: steady time just before
        now_ns was read.
        """
        steady_ns = self._steady_ns()
        if steady_ns - before_ns > _READ_NS:
            return 0  # the next pull compares with the last one
        before, self._pulled_ns = self._pulled_ns, (now_ns, steady_ns)
        if before is None or not self.by_receipt:
            return 0
        return (now_ns - before[0]) - (steady_ns - before[1])

    def _jumped(self, way: str, by_ns: int) -> None:
        """End the episode where the clock was set: its times would be wrong from then on."""
        if self.session.episode is not None:
            text = f"the clock was set {way} by {by_ns * 1e-9:.1f} s"
            self._carry_out(lambda last_ns: self.session.end(last_ns, PROBLEM, text), self._last_ns)
        self._preroll.clear()

    def change(self, change: Change) -> list[RecordingEvent]:
        """Change the session now, after what was received until now; raises what it raises."""
        with self._lock:
            self.pull()
            return self._carry_out(change)

    def check(self) -> None:
        """Look at topics, policy node, disk and writing; ends an episode that cannot go on."""
        with self._lock:
            for topic in self.topics:
                topic.look()
            self.session.problem = self.recording.full
            self.pull()  # where this process stood still, the policy node's status waits
            silent = time.monotonic() - self._status_s > STATUS_SILENT_S
            if silent and self.session.policy is not None:
                self.change(lambda now_ns: self.session.follow(now_ns, None))
            problem = self.writer.problem or self.session.problem
            if problem and self.session.episode is not None:
                self.change(lambda now_ns: self.session.end(now_ns, PROBLEM, problem))

    def close(self) -> None:
        """End the open episode, and write everything."""
        with self._lock:
            if self.session.episode is not None:
                text = "the recorder was stopped"
                self.change(lambda now_ns: self.session.end(now_ns, STOP, text))
        self.writer.close()
        self.recording.release()

    def _add(self, time_ns: int, topic: RecorderTopic, data: bytes) -> None:
        """Keep a message, and write it if an episode is open."""
        assert topic.channel is not None
        self._last_ns = max(self._last_ns, time_ns)
        message = RecordedMessage(topic.channel, self._last_ns, data)
        self._preroll.add(message, topic.latched)
        if self.session.episode is not None:
            self.writer.write(message)
        if topic.topic == self.status_topic and self.read_status is not None:
            self._status_s = time.monotonic()
            policy = self.read_status(data)
            self._carry_out(lambda now_ns: self.session.follow(now_ns, policy), self._last_ns)

    def _carry_out(self, change: Change, now_ns: int | None = None) -> list[RecordingEvent]:
        """Change the session, write its events, and begin and finish episodes as it says."""
        if now_ns is None:
            now_ns = max(self._last_ns, self._now_ns())
        self._last_ns = now_ns
        before = self.session.episode
        events = change(now_ns)
        after = self.session.episode
        messages = [(event, self._announce(event)) for event in events]
        if before is not None:
            self._write(messages, before.index)
        if before is not None and after is not before:
            self.writer.finish(self.recording.episode(before.index), before)
        if after is not None and after is not before:
            self.recording.take_reserve()
            folder = self.recording.episode(after.index)
            self.writer.open(folder, list(self._preroll.messages(now_ns)))
            self._write(messages, after.index)
        if events and before is None and after is None and self.session.last is not None:
            last = self.session.last
            self.writer.label(self.recording.episode(last.index), last)
        return events

    def _write(self, messages: list[tuple[RecordingEvent, RecordedMessage]], episode: int) -> None:
        for event, message in messages:
            if event.episode == episode:
                self.writer.write(message)
