"""Stamped samples of one stream, found again by their stamps.

Does not depend on the content of samples or on a clock; the caller serialises access.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from operator import attrgetter

_STAMP = attrgetter("stamp_ns")


@dataclass(frozen=True, slots=True)
class Sample:
    """One message: its header stamp, when it was received (plan clock), and what was in it.

    arrived_ns: when the middleware had it, by this machine's system clock; 0: not known.
    transit_ns: the longest way, from stamp or publication to arrival, of all messages of the last
    LOOKED_NS (transit.py); negative if this one's stamp is in the future; None: not known.
    """

    stamp_ns: int
    received_ns: int
    value: object
    arrived_ns: int = 0
    transit_ns: int | None = None


class StampedBuffer:
    """The newest samples of one stream, at most `span_ns` and `capacity` of them.

    Stamps strictly increase: a sample that is not newer than the newest one is refused. A
    publisher whose clock jumped back becomes stale by receive time until the caller clears.
    """

    def __init__(self, span_ns: int, capacity: int) -> None:
        """Keep samples up to `span_ns` older than the newest, and at most `capacity`."""
        if span_ns < 0 or capacity < 1:
            raise ValueError(
                f"span_ns {span_ns}, capacity {capacity}: expected at least 0 and at least 1"
            )
        self._span_ns = span_ns
        self._capacity = capacity
        self._samples: list[Sample] = []

    def push(self, sample: Sample) -> bool:
        """Add a sample; False, and nothing changed, if its stamp is not newer than the newest."""
        samples = self._samples
        if samples and sample.stamp_ns <= samples[-1].stamp_ns:
            return False
        samples.append(sample)
        kept_from_ns = sample.stamp_ns - self._span_ns
        dropped = len(samples) - self._capacity
        while dropped > 0 or samples[0].stamp_ns < kept_from_ns:
            del samples[0]
            dropped -= 1
        return True

    def limit(self, capacity: int) -> None:
        """Keep at most `capacity` samples from now on; the oldest beyond it go at once."""
        if capacity < 1:
            raise ValueError(f"capacity {capacity}: expected at least 1")
        self._capacity = capacity
        del self._samples[:-capacity]

    def latest(self) -> Sample | None:
        """The newest sample."""
        return self._samples[-1] if self._samples else None

    def oldest(self) -> Sample | None:
        """The oldest sample that is kept."""
        return self._samples[0] if self._samples else None

    def nearest(self, stamp_ns: int) -> Sample | None:
        """The sample whose stamp is nearest to `stamp_ns`; the older of two equally near ones."""
        after = bisect_right(self._samples, stamp_ns, key=_STAMP)
        around = self._samples[max(after - 1, 0) : after + 1]
        return min(around, key=lambda s: abs(s.stamp_ns - stamp_ns), default=None)

    def clear(self) -> None:
        """Forget everything, for example after a clock jump."""
        self._samples.clear()

    def __len__(self) -> int:
        return len(self._samples)
