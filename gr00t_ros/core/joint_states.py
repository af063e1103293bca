"""One topic's joint states as one: the newest of each joint, with its own stamp and age.

An arm and its gripper may each publish their own joints on one topic. A sample of some joints is
as old as the oldest of them. Refuses to know topics, and who published what (core/writers).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from gr00t_ros.core.buffer import Sample
from gr00t_ros.core.errors import ObservationError
from gr00t_ros.core.state import JointReading, refuse_uneven

REBASE_NS = 1_000_000_000
"""A stream whose stamps all lie before the newest one for this long has a new time base.

By then it is stale and the arm stopped; without this, one stamp from the future would make the
stream unusable until the node restarts. Repeated stamps never do it: they are a frozen picture.
"""

SAME_STAMP = "two messages with the same stamp: is the sensor frozen? restart its driver"
_MOST_PARTS = 64


def went_back(behind_ns: int) -> str:
    """What is said of a stamp that lies `behind_ns` before the one before it."""
    return (
        f"stamp went back by {behind_ns / 1e9:.3f} s: two publishers, or a clock jump? let one "
        "publisher stamp by one clock"
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The newest message of one set of joints."""

    stamp_ns: int
    received_ns: int
    reading: JointReading


class JointStates:
    """The newest of every joint of one topic; the caller serialises access."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._parts: dict[frozenset[str], _Part] = {}  # the newest message is the last
        self._merged: JointReading | None = None
        self._known: tuple[tuple[str, ...], frozenset[str]] = ((), frozenset())

    @property
    def received_ns(self) -> int | None:
        """When the newest message came; None before the first."""
        return next((part.received_ns for part in reversed(self._parts.values())), None)

    def take(self, stamp_ns: int, received_ns: int, reading: JointReading) -> None:
        """Take one message, of all joints or of some.

        Raises ObservationError for one that has a joint twice or not as many positions as names,
        or whose stamp is not newer than that of each of its joints; nothing has then changed.
        """
        refuse_uneven(reading)
        names = self._set_of(tuple(reading.names))
        shared = [known for known in self._parts if not known.isdisjoint(names)]
        for known in shared:
            self._refuse_old(self._parts[known], stamp_ns, received_ns)
        for known in shared:
            if known <= names:
                del self._parts[known]
        if len(self._parts) >= _MOST_PARTS:
            del self._parts[next(iter(self._parts))]
        self._parts[names] = _Part(stamp_ns, received_ns, reading)
        self._merged = None

    def sample(self, names: Sequence[str]) -> Sample | None:
        """The newest of all joints, stamped and received as the oldest of `names`.

        A name that never came does not count, and `core.state` refuses it; where none came, the
        newest message stamps it. None before the first message.
        """
        every = list(self._parts.values())
        if len(every) > 1:  # of one alone all joints are as old as it
            known = (self._part(name) for name in names)
            parts = [part for part in known if part is not None] or every[-1:]
        else:
            parts = every
        if not parts:
            return None
        stamp_ns = min(part.stamp_ns for part in parts)
        return Sample(stamp_ns, min(part.received_ns for part in parts), self._reading())

    def behind(self, names: Sequence[str], allowed_ns: int) -> tuple[str, ...]:
        """Those of `names` that came last more than `allowed_ns` before the newest message."""
        newest_ns = self.received_ns
        if newest_ns is None:
            return ()
        parts = [(name, self._part(name)) for name in names]
        return tuple(n for n, part in parts if part and newest_ns - part.received_ns > allowed_ns)

    def has(self, names: Collection[str]) -> bool:
        """Whether each of `names` has come."""
        return all(self._part(name) is not None for name in names)

    def clear(self) -> None:
        """Forget all of it, for example after a clock jump."""
        self._parts.clear()
        self._merged = None

    def _set_of(self, names: tuple[str, ...]) -> frozenset[str]:
        """The names of one message as a set; made anew only where they are others than last."""
        if names != self._known[0]:
            found = frozenset(names)
            if len(found) < len(names):
                twice = sorted({n for n in names if names.count(n) > 1})
                raise ObservationError(
                    f"joints twice in one message: {', '.join(twice)}: let the driver name each "
                    "once"
                )
            self._known = names, found
        return self._known[1]

    def _part(self, name: str) -> _Part | None:
        """The newest message that has this joint."""
        return next((p for k, p in reversed(self._parts.items()) if name in k), None)

    def _refuse_old(self, part: _Part, stamp_ns: int, received_ns: int) -> None:
        """Refuse a stamp that is not newer, unless it opens a new time base."""
        if stamp_ns > part.stamp_ns:
            return
        if stamp_ns == part.stamp_ns:
            raise ObservationError(SAME_STAMP)
        if received_ns - part.received_ns <= REBASE_NS:
            raise ObservationError(went_back(part.stamp_ns - stamp_ns))

    def _reading(self) -> JointReading:
        if len(self._parts) == 1:
            return next(iter(self._parts.values())).reading
        if self._merged is None:
            self._merged = self._merge()
        return self._merged

    def _merge(self) -> JointReading:
        """Each joint once, from the newest message that has it."""
        names: dict[str, float] = {}
        speeds: dict[str, float] = {}
        for part in reversed(self._parts.values()):
            reading = part.reading
            for index, name in enumerate(reading.names):
                if name in names:
                    continue
                names[name] = float(reading.position[index])
                if reading.velocity is not None:
                    speeds[name] = float(reading.velocity[index])
        velocity = np.array(list(speeds.values())) if len(speeds) == len(names) else None
        return JointReading(tuple(names), np.array(list(names.values())), velocity)
