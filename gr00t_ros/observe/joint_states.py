"""One topic's JointStates as one state: the newest value of each joint with its own stamp and age.

An arm and its gripper may publish their own joints on one topic; a sample of several joints is as
old as the oldest of them. JointPublishers detects whether each joint comes from one publisher at a
time: every publisher numbers its messages from 1 (rmw's publication_sequence_number), so two
publishers both continue one count. If the middleware gives no numbers, the graph must not have more
publishers than there are disjoint sets of joints. `now_ns` is steady time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from gr00t_ros.errors import ObservationError
from gr00t_ros.observe.buffer import Sample
from gr00t_ros.observe.readings import JointReading, refuse_uneven

FASTEST_HZ = 20_000
SKIPPED = 128
"""Between two received messages one publisher's number grows by at most SKIPPED plus FASTEST_HZ
times the time between them: the reader's queue and the network may lose messages."""

REMEMBERED_NS = 10_000_000_000
"""A publisher, or a conflict of two, is remembered this long."""

_MOST_SETS = 256  # of names on one topic; more sets than this are a faulty publisher

JointKeys = frozenset[str]
WHOLE: JointKeys = frozenset({""})
"""The key of a topic whose messages have no joints."""


@dataclass(slots=True)
class _Count:
    """One publisher's count: its newest number, and when that came."""

    number: int
    seen_ns: int

    def goes_on(self, number: int, now_ns: int) -> bool:
        """Whether the publisher of this count may have sent `number`."""
        ahead, gap_ns = number - self.number, max(0, now_ns - self.seen_ns)
        return 0 < ahead <= SKIPPED + gap_ns * FASTEST_HZ // 1_000_000_000


@dataclass(slots=True)
class _Track:
    """The publishers of a set of joints that always came in the same messages."""

    owner: _Count
    alone_ns: int  # when the owner first sent, or another publisher last did
    former: _Count | None = None  # of the owner before a handover
    intruded: bool = False  # another publisher sent after the owner's last message
    mixed_ns: int | None = None  # when two publishers last sent these joints at the same time

    def see(self, number: int, now_ns: int, handover_ns: int) -> bool:
        """Take one message; False if it is not the owner's."""
        former = self.former
        if former is not None and now_ns - former.seen_ns >= REMEMBERED_NS:
            former = None
        if former is not None and not former.goes_on(number, now_ns):
            former = None
        # Of two counts that may go on with this number, the nearer one does.
        nearer = former is not None and former.number > self.owner.number
        if self.owner.goes_on(number, now_ns) and not nearer:
            if self.intruded:
                self.mixed_ns = now_ns
            self.owner, self.intruded = _Count(number, now_ns), False
            return True
        self.alone_ns = now_ns
        if former is not None:
            self.former, self.mixed_ns = _Count(number, now_ns), now_ns
            return False
        if now_ns - self.owner.seen_ns <= handover_ns:
            self.intruded = True
            return False
        self.owner, self.former, self.intruded = _Count(number, now_ns), self.owner, False
        return True

    def mixed(self, now_ns: int) -> bool:
        return self.mixed_ns is not None and now_ns - self.mixed_ns < REMEMBERED_NS

    def forget(self) -> None:
        self.former, self.intruded, self.mixed_ns = None, False, None


class JointPublishers:
    """The publishers of one topic, distinguished by the numbers of their messages."""

    def __init__(self, handover_ns: int) -> None:
        """Another publisher may take over after the owner was silent for `handover_ns`.

        The attribute may be changed at any time.
        """
        self.handover_ns = handover_ns
        self._tracks: dict[JointKeys, list[_Track]] = {}
        self._where: dict[str, _Track] = {}
        self._unnumbered: dict[JointKeys, int] = {}
        self._unnumbered_since: dict[JointKeys, int] = {}  # since the number of publishers changed
        self._publishers = 1

    def see(self, keys: Set[str], number: int | None, now_ns: int) -> bool:
        """Take one message that has `keys`; False if another publisher already sends one of them.

        Such a message must not be used: its publisher is a second one, or is about to take over.
        """
        one = frozenset(keys)
        if number is None:
            if len(self._unnumbered) >= _MOST_SETS:
                self._unnumbered.clear()
                self._unnumbered_since.clear()
            self._unnumbered[one] = now_ns
            self._unnumbered_since.setdefault(one, now_ns)
            return True
        tracks = self._tracks.get(one) or self._divide(one, number, now_ns)
        return all([track.see(number, now_ns, self.handover_ns) for track in tracks])

    def graph(self, publishers: int) -> None:
        """Take the number of publishers in the graph: a single publisher cannot be in conflict."""
        if publishers != self._publishers:
            self._unnumbered_since.clear()
        self._publishers = publishers
        if publishers <= 1:
            for track in self._where.values():
                track.forget()

    def mixed(self, now_ns: int) -> tuple[str, ...]:
        """The keys that two publishers sent at the same time in the last REMEMBERED_NS."""
        found = {key for key, track in self._where.items() if track.mixed(now_ns)}
        return tuple(sorted(found | self._indistinct(now_ns)))

    def alone_since_ns(self, keys: Collection[str]) -> int | None:
        """Since when each of these keys has come from one publisher alone; None: not from any yet.

        A takeover by another publisher begins this time anew. Without numbers only the graph can
        contradict, and the time begins anew when its number of publishers changes.
        """
        since = [self._key_alone_since_ns(key) for key in keys]
        known = [one for one in since if one is not None]
        return max(known) if known and len(known) == len(since) else None

    def _key_alone_since_ns(self, key: str) -> int | None:
        track = self._where.get(key)
        numbered = [] if track is None else [track.alone_ns]
        sets = (first for one, first in self._unnumbered_since.items() if key in one)
        return max((*numbered, *sets), default=None)

    def _divide(self, keys: JointKeys, number: int, now_ns: int) -> list[_Track]:
        """The tracks of a new set of keys; a track that has only some of them is divided in two."""
        if len(self._tracks) >= _MOST_SETS:
            self._tracks.clear()
            self._where.clear()
        fresh = _Track(_Count(number - 1, now_ns), now_ns)
        parts: dict[int, _Track] = {}
        for key in keys:
            old = self._where.get(key)
            self._where[key] = fresh if old is None else parts.setdefault(id(old), replace(old))
        for known in (*self._tracks, keys):
            found = {id(track): track for track in (self._where[key] for key in known)}
            self._tracks[known] = list(found.values())
        return self._tracks[keys]

    def _indistinct(self, now_ns: int) -> set[str]:
        """Without numbers: the keys that more than one publisher may be sending."""
        sets = [k for k, seen in self._unnumbered.items() if now_ns - seen < REMEMBERED_NS]
        if self._publishers <= 1 or not sets:
            return set()
        every = [key for one in sets for key in one]
        twice = {key for key in every if every.count(key) > 1}
        return twice or (set(every) if self._publishers > len(sets) else set())


REBASE_NS = 1_000_000_000
"""A stream whose stamps all lie before the newest one for this long has a new time base.

By then the stream is stale and the arm is stopped. Without this rule one stamp from the future
would make the stream unusable until the node restarts. Repeated stamps do not open a new time base:
they are a frozen sensor.
"""

SAME_STAMP = "two messages with the same stamp: is the sensor frozen? restart its driver"
_MOST_PARTS = 64
_NO_JOINTS: JointKeys = frozenset()
"""Of a message as a broadcaster may send it before it knows its joints. Beside it every later
message would have to be merged, which takes eight times as long."""


def went_back(behind_ns: int) -> str:
    """The message for a stamp that is `behind_ns` older than the previous one."""
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
    """The newest value of every joint of one topic; the caller serialises access."""

    def __init__(self) -> None:
        """Start without any message."""
        self._parts: dict[frozenset[str], _Part] = {}  # the newest message is the last
        self._merged: JointReading | None = None
        self._known: tuple[tuple[str, ...], frozenset[str]] = ((), frozenset())

    def take(self, stamp_ns: int, received_ns: int, reading: JointReading) -> None:
        """Take one message, of all joints or of some.

        Raises ObservationError, and changes nothing, if the message has a joint twice or not as
        many positions as names, or if its stamp is not newer than the newest of each of its joints.
        """
        refuse_uneven(reading)
        names = self._set_of(tuple(reading.names))
        shared = [known for known in self._parts if not known.isdisjoint(names)]
        for known in shared:
            self._refuse_old(self._parts[known], stamp_ns, received_ns)
        for known in shared:
            if known <= names:
                del self._parts[known]
        self._parts.pop(_NO_JOINTS, None)  # such a message says nothing once there is another one
        if len(self._parts) >= _MOST_PARTS:
            del self._parts[next(iter(self._parts))]
        self._parts[names] = _Part(stamp_ns, received_ns, reading)
        self._merged = None

    def sample(self, names: Sequence[str]) -> Sample | None:
        """The newest values of all joints, with the stamp and the arrival of the oldest of `names`.

        A name that was never received does not count here; observe/readings refuses it. If none of
        them was received, the newest message gives the stamp. None before the first message.
        """
        every = list(self._parts.values())
        if len(every) > 1:  # with a single message all joints have its age
            known = (self._part(name) for name in names)
            parts = [part for part in known if part is not None] or every[-1:]
        else:
            parts = every
        if not parts:
            return None
        stamp_ns = min(part.stamp_ns for part in parts)
        return Sample(stamp_ns, min(part.received_ns for part in parts), self._reading())

    def older(self, names: Sequence[str], since_ns: int) -> tuple[str, ...]:
        """Those of `names` whose last message came before `since_ns`, or never."""
        parts = [(name, self._part(name)) for name in names]
        return tuple(n for n, part in parts if part is None or part.received_ns < since_ns)

    def has(self, names: Collection[str]) -> bool:
        """Whether each of `names` was received."""
        return all(self._part(name) is not None for name in names)

    def clear(self) -> None:
        """Forget all messages, for example after a clock jump."""
        self._parts.clear()
        self._merged = None

    def _set_of(self, names: tuple[str, ...]) -> frozenset[str]:
        """The names of one message as a set; kept while the next messages have the same names."""
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
        """All joints, each from the newest message that has it."""
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
