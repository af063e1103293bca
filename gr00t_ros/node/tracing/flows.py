"""The flow of each observation through the running node: who measures what, on which thread.

The worker thread begins a flow and hands it over with its reply. The replay thread takes it from
the guard to the first window, and the pull thread ends it: by a controller's state, or by a reason
why there is none. A flow is handed over by appending to a deque, so that no thread waits for
another. Nothing here can raise on the replay thread, and without a chunk under way a tick costs
one comparison.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from gr00t_ros.motion.clocks import Latencies
from gr00t_ros.motion.guard import Verdict
from gr00t_ros.motion.replay import SentParts
from gr00t_ros.observe.observation import Observation
from gr00t_ros.trace.flow import (
    DROPPED,
    FAILED,
    MERGED,
    PUBLISHED,
    REFUSED,
    CameraTimes,
    Flow,
    Marks,
    executed,
    flow_of,
)

KEPT = 256
"""Flows that are kept for whoever takes them, at least twice a second."""
SEEN_WITHIN_NS = 2_000_000_000
"""A state of the changed part is not waited for any longer: windows reach less far ahead."""
_MOST_UNDER_WAY = 64
_TOO_LATE = "its windows were withheld, as they would have come too late (is the CPU busy?)"


class Flows:
    """The flows of one configuration."""

    def __init__(
        self, newest_state: Callable[[], int] | None, now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """newest_state: the newest stamp (ROS ns) of a controller's state, 0 if there is none.

        None: no controller plays the plan, or none can be seen to, so flows end as published.
        """
        self._newest_state, self._now_ns = newest_state, now_ns
        self.latencies = Latencies(window=128)
        self._begun = 0
        self._ended: deque[Marks] = deque(maxlen=_MOST_UNDER_WAY)
        self._published: deque[Marks] = deque(maxlen=_MOST_UNDER_WAY)
        self._waiting: list[Marks] = []
        self._done: deque[Flow] = deque(maxlen=KEPT)
        self._judging: Marks | None = None
        self.merged: Marks | None = None
        """The observation whose chunk was merged and is in no published window yet."""
        self._played: Marks | None = None

    # The worker thread.

    def begin(self, episode: int, asked_ns: int) -> Marks:
        """Start the record of one observation; returns its times."""
        self._begun += 1
        return Marks(self._begun, episode, asked_ns, started_ns=self._now_ns())

    def fail(self, marks: Marks, reason: str) -> None:
        """The query failed: no chunk came of this observation."""
        self._end(marks, FAILED, reason)

    # The replay thread.

    def take(self, marks: Marks) -> None:
        """A chunk is about to be handled."""
        marks.handled_ns = self._now_ns()
        self._judging = marks

    def guarded(self) -> None:
        """The guard has judged it; it is about to be merged."""
        if self._judging is not None:
            self._judging.guarded_ns = self._now_ns()

    def judged(self, verdict: Verdict) -> None:
        """The chunk was handled."""
        marks, self._judging = self._judging, None
        if marks is None:
            return
        if not verdict.accepted:
            self._end(marks, DROPPED if verdict.dropped else REFUSED, verdict.reason)
        else:
            marks.merged_ns = self._now_ns()
            self._replace(marks)

    def shaped(self) -> None:
        """The windows of a tick were made."""
        if self.merged is not None and not self.merged.shaped_ns:
            self.merged.shaped_ns = self._now_ns()

    def published(
        self, sent: SentParts | None, new_from_ros_ns: int | None, stops: str | None
    ) -> None:
        """The windows of a tick were sent, as `sent` lists; None: there were none.

        new_from_ros_ns: ROS time from which the window of joints is new; None if it repeats, or if
        there is none. stops: why the plan stops, None if it goes on.
        """
        if stops is not None:
            self._stopped(_went(sent, new_from_ros_ns), new_from_ros_ns or 0, stops)
            return
        marks = self.merged
        if marks is None:
            return
        if not _went(sent, new_from_ros_ns):
            withheld = sent is not None and new_from_ros_ns is not None
            marks.cut = _TOO_LATE if withheld else marks.cut
            return
        marks.cut, marks.published_ns = "", self._now_ns()
        marks.changed_from_ros_ns = new_from_ros_ns or 0
        self.merged, self._played = None, marks
        self._published.append(marks)

    def _stopped(self, went: bool, from_ros_ns: int, reason: str) -> None:
        """Record a stop. went: the stop's first window, which leaves the chunk there, was sent."""
        if self.merged is not None:
            marks, self.merged = self.merged, None
            self._end(marks, MERGED, f"stopped before a window with it was published: {reason}")
        if self._played is None or not went:
            return
        played, self._played = self._played, None
        if from_ros_ns <= played.changed_from_ros_ns:
            played.cut = f"stopped before its part was played: {reason}"

    def _replace(self, marks: Marks) -> None:
        before, self.merged = self.merged, marks
        if before is not None:
            why = before.cut or "the plan had nothing new to send"
            self._end(before, MERGED, f"the next chunk came before a window with it: {why}")

    # The pull thread.

    def look(self) -> None:
        """End the flows that have ended; called after each pull."""
        while self._ended:
            self._finish(self._ended.popleft())
        while self._published:
            self._waiting.append(self._published.popleft())
        if not self._waiting:
            return
        ended = self._seen()
        for marks in self._waiting[:ended]:
            self._finish(marks)
        del self._waiting[:ended]

    def _seen(self) -> int:
        """How many of the waiting flows end now."""
        if self._newest_state is None:
            for marks in self._waiting:
                marks.outcome, marks.reason = PUBLISHED, "no controller's state shows its motion"
            return len(self._waiting)
        count = executed(self._waiting, self._newest_state())
        oldest_ns = self._now_ns() - SEEN_WITHIN_NS
        while count < len(self._waiting) and self._waiting[count].published_ns < oldest_ns:
            marks = self._waiting[count]
            marks.outcome = PUBLISHED
            marks.reason = marks.cut or "no controller's state of its part was received"
            count += 1
        return count

    def _finish(self, marks: Marks) -> None:
        flow = flow_of(marks)
        for stage, duration_ns in flow.durations():
            self.latencies.add(stage, duration_ns)
        self._done.append(flow)

    # Any thread.

    def _end(self, marks: Marks, outcome: str, reason: str) -> None:
        marks.outcome, marks.reason = outcome, reason
        self._ended.append(marks)

    # The executor thread.

    def done(self) -> list[Flow]:
        """The flows that have ended since the last call, oldest first."""
        found = []
        while self._done:
            found.append(self._done.popleft())
        return found


def _went(sent: SentParts | None, new_from_ros_ns: int | None) -> bool:
    """Whether something new of the chunk was sent: joints, or where there are none, the others."""
    if sent is None:
        return False
    if len(sent.joints):
        return new_from_ros_ns is not None and bool(sent.joints.any())
    return bool(sent.poses) or bool(sent.commands.any())


def cameras_of(observation: Observation, ros_offset_ns: int) -> tuple[CameraTimes, ...]:
    """The newest frame of each camera in an observation. ros_offset_ns: ROS minus steady time."""
    system_offset_ns = time.time_ns() - time.monotonic_ns()
    return tuple(
        CameraTimes(
            key,
            samples[-1].stamp_ns - ros_offset_ns,
            samples[-1].arrived_ns and samples[-1].arrived_ns - system_offset_ns,
            samples[-1].received_ns,
        )
        for key, samples in observation.video.items()
    )
