"""The messages of the last second or so, and the latched ones: what is written before an episode.

Without ROS and clock. Messages come in the order of bag time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from gr00t_ros.record.mcap_file import Channel

TF_STATIC = "/tf_static"
_SEVERAL = 100
"""Each publisher of /tf_static has its own transforms; of other latched topics the last counts."""


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """One serialised message and its bag time."""

    channel: Channel
    time_ns: int
    data: bytes


class Preroll:
    """Keeps `span_ns` of all topics, and of latched topics what came before."""

    def __init__(self, span_ns: int) -> None:
        """Keep nothing yet."""
        self._span_ns = span_ns
        self._recent: deque[tuple[RecordedMessage, bool]] = deque()
        self._latched: dict[str, deque[RecordedMessage]] = {}

    def add(self, message: RecordedMessage, latched: bool) -> None:
        """Keep a message; older ones than the span are given up, unless they are latched."""
        self._recent.append((message, latched))
        self._give_up_before(message.time_ns - self._span_ns)

    def clear(self) -> None:
        """Give up all but the latched messages, as where the clock was set back."""
        while self._recent:
            self._give_up()

    def _give_up_before(self, time_ns: int) -> None:
        while self._recent and self._recent[0][0].time_ns < time_ns:
            self._give_up()

    def _give_up(self) -> None:
        """Forget the oldest message, or keep it with the latched ones."""
        old, latched = self._recent.popleft()
        if latched:
            topic = old.channel.topic
            most = _SEVERAL if topic == TF_STATIC else 1
            self._latched.setdefault(topic, deque(maxlen=most)).append(old)

    def messages(self, now_ns: int) -> Iterator[RecordedMessage]:
        """What goes in front of an episode that begins now, in the order of bag time.

        A latched message from before the span gets the bag time at which the span begins, so that
        a player does not wait for minutes. No time is below 0, where a simulation may begin.
        """
        begin_ns = max(0, now_ns - self._span_ns)
        self._give_up_before(begin_ns)
        for messages in self._latched.values():
            yield from (RecordedMessage(one.channel, begin_ns, one.data) for one in messages)
        yield from (one for one, _ in self._recent)
