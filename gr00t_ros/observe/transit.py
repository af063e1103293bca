"""How long the messages of one topic took at most, those included that nobody could take.

A queue keeps the newest messages: at a high rate a stall overwrites those that took longest, and
what is left came quickly. Publishers number their messages, and DDS delivers those of one publisher
in their order. So a message that is missing between two others was published after the first and
arrived, if ever, before the second: the time between is a bound of its way, at any rate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

LOOKED_NS = 200_000_000
"""A reader looks at the newest sample at least so often: the replay thread, which pauses after
three periods of at most 50 ms without a look. Each sample tells of so much time."""


@dataclass(frozen=True, slots=True)
class _Message:
    """A publisher's number of a message, and when that was published by its clock; 0: unknown."""

    number: int
    sent_ns: int


class Transit:
    """The longest way of messages; call `take` for each one, and `longest_ns` after each pull."""

    def __init__(self) -> None:
        """Begin without any message."""
        self._last: _Message | None = None
        self._longest_ns: int | None = 0  # of this pull; None: not known
        self._single_ns = 0  # the longest way of a message that was missing by itself
        self._pulls: deque[tuple[int, int | None]] = deque()

    def take(self, number: int | None, sent_ns: int, arrived_ns: int) -> None:
        """Take one message: its number (None: unknown), when it was sent and when it arrived."""
        if sent_ns:
            self._add(arrived_ns - sent_ns)
        last, self._last = self._last, None if number is None else _Message(number, sent_ns)
        missing = 0 if last is None or number is None else number - last.number - 1
        if last is None or missing < 1:
            return  # none, or another publisher whose count is lower: then there was a silence
        bound_ns = arrived_ns - last.sent_ns
        if not last.sent_ns:
            self._longest_ns = None
        elif missing == 1:
            self._single_ns = max(self._single_ns, bound_ns)
        else:
            self._add(bound_ns)

    def overflow(self) -> None:
        """The queue was full in this pull: messages may have been overwritten in it.

        Only then a message that is missing by itself counts. Else it was lost on its way, as a
        window may be, and there was no delay: a publisher without retransmission loses some always.
        """
        if self._last is None:
            self._longest_ns = None  # without numbers nobody knows
        else:
            self._add(self._single_ns)

    def longest_ns(self, now_ns: int, since_ns: int) -> int | None:
        """End a pull: the longest way in the last LOOKED_NS; None: not known.

        since_ns: from the newest message's stamp to its arrival.
        """
        self._add(since_ns)
        self._pulls.append((now_ns, self._longest_ns))
        self._longest_ns, self._single_ns = 0, 0
        while now_ns - self._pulls[0][0] > LOOKED_NS:
            self._pulls.popleft()
        found = [longest_ns for _, longest_ns in self._pulls]
        known = [longest_ns for longest_ns in found if longest_ns is not None]
        return max(known) if len(known) == len(found) else None

    def _add(self, way_ns: int) -> None:
        if self._longest_ns is not None:
            self._longest_ns = max(self._longest_ns, way_ns)


LEAST_OF = 25
"""Our choice: half a second of a topic with 50 Hz. A stall makes some messages late and not all of
these: those that were published at its end come at once."""
KNOWN_OF, KNOWN_NS = 5, 250_000_000
"""Our choice: so many messages over so long are enough too. With 50 Hz that is a quarter of a
second, and a topic with 10 Hz does not have to be waited for longer than twice that."""


class LeastWay:
    """The least way of the last messages of one publisher, from stamp to arrival.

    It has the difference of the two clocks in it. Below 0 the publisher's clock is ahead by at
    least so much. Above 0 its clock is behind, or each message takes so long.
    """

    def __init__(self) -> None:
        """Begin without any message."""
        self._ways_ns: deque[int] = deque(maxlen=LEAST_OF)
        self._since_ns = 0  # when the first of all was taken

    def add(self, way_ns: int, now_ns: int) -> int | None:
        """Take the way of a message; the way nearest to 0 of the last LEAST_OF, all of one sign.

        0 if they have both signs. None: not known, before LEAST_OF messages, or KNOWN_OF over
        KNOWN_NS. `now_ns`: steady time.
        """
        if not self._ways_ns:
            self._since_ns = now_ns
        self._ways_ns.append(way_ns)
        count = len(self._ways_ns)
        enough = count >= KNOWN_OF and now_ns - self._since_ns >= KNOWN_NS
        if count < LEAST_OF and not enough:
            return None
        return max(min(self._ways_ns), 0) + min(max(self._ways_ns), 0)

    def clear(self) -> None:
        """Forget all messages."""
        self._ways_ns.clear()
