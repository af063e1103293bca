"""How many messages of a topic were sent and did not arrive, by their publishers' counts.

rclpy does not give a message's publisher. Publishers number their messages, so each one's next
number is known, and a number that is larger than expected shows how many were lost: by the network,
by the publisher's queue or by ours. The event of DDS for lost messages has only the first of these.
"""

from __future__ import annotations


class SequenceGaps:
    """The counts of one topic's publishers."""

    def __init__(self) -> None:
        """Nothing is expected before the first message."""
        self._expected: list[int] = []

    def lost(self, number: int | None, publishers: int) -> int:
        """The messages lost before the message with this number; None: it has none.

        publishers: how many the topic has now. A number below all expected ones is of a publisher
        that was started again.
        """
        if number is None:
            return 0
        publishers = max(1, publishers)
        if number in self._expected:
            self._expect(number, number)
            del self._expected[:-publishers]
            return 0
        if len(self._expected) > publishers:  # one has left, and it is unknown which
            self._expected.clear()
        if len(self._expected) < publishers:
            self._expected.append(number + 1)
            return 0
        behind = [one for one in self._expected if one < number]
        if not behind:
            self._expect(max(self._expected), number)
            return 0
        nearest = max(behind)
        self._expect(nearest, number)
        return number - nearest

    def _expect(self, before: int, number: int) -> None:
        self._expected.remove(before)
        self._expected.append(number + 1)
