"""Stamped samples of one stream, found again by their stamps, and how old a sample is.

Does not depend on the content of samples or on a clock; the caller serialises access.

A sample has two ages: by its header stamp (ROS time), and by its arrival (steady time). It is late
if either is above the limit: an old stamp means old data, and no arrival means a silent topic. A
stamp more than a tolerance ahead of ROS time means that the clocks disagree.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from operator import attrgetter

CONTROLLER_MAX_AGE_NS = 200_000_000
"""A controller's state older than this does not show where it holds the arm now.

Controllers publish their state at 20 Hz or more by default (state_publish_rate 50)."""
_STAMP = attrgetter("stamp_ns")


@dataclass(frozen=True, slots=True)
class Sample:
    """One message: its header stamp, when it was received (steady time), and what was in it.

    arrived_ns: when the middleware had it, by this machine's system clock; 0: not known.
    transit_ns: the longest way, from stamp or publication to arrival, of all messages of the last
    LOOKED_NS (transit.py); negative if this one's stamp is in the future; None: not known.
    least_way_ns: the least way, from stamp to arrival, of the last messages (transit.LeastWay); in
    simulated time, of a controller's states alone, to the time that the node knew then. None: too
    few messages so far; 0 where the middleware tells no arrival.
    """

    stamp_ns: int
    received_ns: int
    value: object
    arrived_ns: int = 0
    transit_ns: int | None = None
    least_way_ns: int | None = 0


@dataclass(frozen=True, slots=True)
class Age:
    """The ages of one sample now; `stamp_ns` is negative for a stamp in the future."""

    stamp_ns: int
    silent_ns: int

    @staticmethod
    def of(sample: Sample, now_ros_ns: int, now_ns: int) -> Age:
        """The ages of `sample`; its stamp is ROS time, its arrival steady time like `now_ns`."""
        return Age(now_ros_ns - sample.stamp_ns, now_ns - sample.received_ns)

    @property
    def ns(self) -> int:
        """The larger of both ages, at least 0."""
        return max(self.stamp_ns, self.silent_ns, 0)

    def late(self, limit_ns: int) -> bool:
        """Whether the sample is too old, by its stamp or by its arrival."""
        return self.ns > limit_ns

    def future(self, tolerance_ns: int) -> bool:
        """Whether the stamp is more than `tolerance_ns` ahead of ROS time."""
        return -self.stamp_ns > tolerance_ns

    @property
    def in_future(self) -> str:
        """How far the stamp is in the future, as a text: to the ms, as the tolerance is."""
        return f"stamp is {-self.stamp_ns / 1e9:.3f} s in the future"


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
