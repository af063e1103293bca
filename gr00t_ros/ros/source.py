"""One topic that is pulled: its subscription, its buffer and what is wrong with it.

Not thread-safe: Inputs holds the lock. Times are handed in: stamps are ROS time, `now_ns` is
steady. A message that cannot be used never enters the buffer; it becomes `problem`, which the
next good one clears.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from gr00t_ros.core.buffer import Sample, StampedBuffer
from gr00t_ros.core.errors import ObservationError
from gr00t_ros.ros.camera_watch import CameraWatch
from gr00t_ros.ros.readings import Read

REBASE_NS = 1_000_000_000
"""A stream whose stamps all lie before the newest one for this long has a new time base.

By then it is stale and the arm stopped; without this, one stamp from the future would make the
stream unusable until the node restarts. Repeated stamps never do it: they are a frozen picture.
"""

Taken = tuple[int, Any]
"""A message's stamp, ns, and the message as the subscription gave it."""


class Subscription(Protocol):
    """What can be taken from: a topic's PulledSubscription, or tf2's TransformSubscription."""

    topic: str

    @property
    def type_names(self) -> Collection[str]:
        """The types that can be read, as the graph names them."""

    def take(self) -> Any | None:
        """The newest message not taken yet; raises ObservationError for one that is none."""

    def follow(self, published: Collection[str]) -> None:
        """Read another type where only that one is published."""

    def destroy(self) -> None:
        """Unsubscribe."""


@dataclass(frozen=True, slots=True)
class History:
    """How much of a stream is kept: samples of `span_ns`, of at most `max_bytes` together."""

    span_ns: int
    max_bytes: int

    @property
    def max_samples(self) -> int:
        """More than any stream takes in the span: pulls every 10 ms, and a few by queries."""
        return self.span_ns // 10_000_000 + 32


class Source:
    """The newest samples of one topic; several streams may read them."""

    def __init__(
        self,
        subscription: Subscription,
        read: Read,
        history: History,
        period_ns: int,
        camera: CameraWatch | None = None,
    ) -> None:
        """Read what `subscription` brings by `read`; pull every `period_ns`.

        `camera` is shown every frame by whoever pulls, outside the lock.
        """
        self.subscription, self.camera = subscription, camera
        self.received = 0
        self.refused = 0
        self.problem = ""
        self._read, self._history, self._period_ns = read, history, period_ns
        self._due_ns: int | None = None
        self._sample_bytes = 0
        self._capacity = history.max_samples
        self._shortage = ""  # of memory for the history; no message can mend it
        self.buffer = StampedBuffer(history.span_ns, self._capacity)

    def due(self, now_ns: int) -> bool:
        """Whether the period has passed; the next one is then due on the same grid.

        A quarter of it early is in time: a timer of the same period jitters around the grid.
        """
        if self._due_ns is None:
            self._due_ns = now_ns
        late_ns = now_ns + self._period_ns // 4 - self._due_ns
        if late_ns < 0:
            return False
        self._due_ns += (late_ns // self._period_ns + 1) * self._period_ns
        return True

    def postpone(self, now_ns: int) -> None:
        """Count a pull between two that were due: the next is due a period after it."""
        self._due_ns = now_ns + self._period_ns

    def silent(self, now_ns: int, span_ns: int) -> bool:
        """Whether no usable message came for longer than `span_ns`."""
        newest = self.buffer.latest()
        return newest is None or now_ns - newest.received_ns > span_ns

    def pull(self, now_ns: int) -> Taken | None:
        """Take the newest message, if there is one, into the buffer.

        Returns it where it has a stamp and a content that can be read, used or not.
        """
        try:
            message = self.subscription.take()
            if message is not None:
                self.received += 1
                return self._push(message, now_ns)
        except ObservationError as error:
            self._refuse(str(error))
        return None

    def clear(self) -> None:
        """Forget all samples, for example after a clock jump."""
        self.buffer.clear()

    def _push(self, message: Any, now_ns: int) -> Taken | None:
        stamp_ns, value = self._read(message)
        if stamp_ns <= 0:
            self._refuse(
                "header stamp is zero: the publisher must stamp its messages with the time of "
                "measurement, the time of arrival is no substitute"
            )
            return None
        if isinstance(message, bytes):
            self._fit(len(message))
        sample = Sample(stamp_ns, now_ns, value)
        if self.buffer.push(sample) or self._rebase(sample):
            self.problem = self._shortage
        return stamp_ns, message

    def _rebase(self, sample: Sample) -> bool:
        """Count a stamp that is not newer; whether it opened a new time base instead."""
        newest = self.buffer.latest()
        if newest is None or sample.stamp_ns == newest.stamp_ns:
            self._refuse("two messages with the same stamp: is the sensor frozen?")
            return False
        if sample.received_ns - newest.received_ns <= REBASE_NS:
            behind_s = (newest.stamp_ns - sample.stamp_ns) / 1e9
            self._refuse(f"stamp went back by {behind_s:.3f} s: two publishers, or a clock jump?")
            return False
        self.buffer.clear()
        return self.buffer.push(sample)

    def _fit(self, size: int) -> None:
        """Keep the buffer of messages of `size` bytes under its cap: fewer, when they are large."""
        if size <= self._sample_bytes:
            return
        self._sample_bytes = size
        capacity = max(1, min(self._history.max_bytes // size, self._history.max_samples))
        if capacity < self._capacity:
            self._capacity = capacity
            self.buffer.limit(capacity)
        needed = self._history.span_ns // self._period_ns + 1
        if capacity < needed:
            self._shortage = (
                f"messages of {size} bytes: {capacity} of the {needed} of its history fit into "
                f"{self._history.max_bytes} bytes; let the driver send smaller pictures"
            )

    def _refuse(self, why: str) -> None:
        self.refused += 1
        self.problem = why
