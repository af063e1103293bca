"""Whether what one topic carries comes from one publisher at a time, joint by joint.

Every publisher numbers its messages from 1 (rmw's publication_sequence_number), so that messages of
two of them cannot continue one count. A restarted publisher begins a new count and the old one is
never heard again; of two that publish at once the old count goes on after the new one began. Where
the middleware tells no numbers, the graph must have no more publishers than there are disjoint sets
of joints. Refuses to know values, stamps and node names; `now_ns` is steady time.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace

FASTEST_HZ = 20_000
SKIPPED = 128
"""One publisher's number grows by no more than SKIPPED and FASTEST_HZ: what the reader's queue and
the network lose in between."""

REMEMBERED_NS = 10_000_000_000
"""How long a publisher counts that was heard, and two that were heard at once."""

_MOST_SETS = 256  # of names on one topic; whoever sends more than these sends nonsense

Keys = frozenset[str]
WHOLE: Keys = frozenset({""})
"""What a topic carries whose messages have no joints."""


@dataclass(slots=True)
class _Count:
    """One publisher's count: its newest number, and when that came."""

    number: int
    seen_ns: int

    def goes_on(self, number: int, now_ns: int) -> bool:
        """Whether the publisher of this count may have sent `number`."""
        ahead = number - self.number
        return 0 < ahead <= SKIPPED + (now_ns - self.seen_ns) * FASTEST_HZ // 1_000_000_000


@dataclass(slots=True)
class _Track:
    """What all joints have in common that always came together."""

    owner: _Count
    former: _Count | None = None  # of the owner before a handover
    intruded: bool = False  # another one was heard since the owner was
    mixed_ns: int | None = None  # when two were last heard at once

    def see(self, number: int, now_ns: int, handover_ns: int) -> bool:
        """Take one message; False where it is not the owner's."""
        if self.owner.goes_on(number, now_ns):
            if self.intruded:
                self.mixed_ns = now_ns
            self.owner, self.intruded = _Count(number, now_ns), False
            return True
        former = self.former
        if former and now_ns - former.seen_ns < REMEMBERED_NS and former.goes_on(number, now_ns):
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


class Writers:
    """The publishers of one topic, as their messages tell them apart."""

    def __init__(self, handover_ns: int) -> None:
        """Let another publisher take over once the one before was silent for `handover_ns`."""
        self._handover_ns = handover_ns
        self._tracks: dict[Keys, list[_Track]] = {}
        self._where: dict[str, _Track] = {}
        self._unnumbered: dict[Keys, int] = {}
        self._publishers = 1

    def see(self, keys: Set[str], number: int | None, now_ns: int) -> bool:
        """Take one message that has `keys`; False where another publisher already sends one.

        Such a message must not be used: it is of a second publisher, or of one that takes over.
        """
        one = frozenset(keys)
        if number is None:
            if len(self._unnumbered) >= _MOST_SETS:
                self._unnumbered.clear()
            self._unnumbered[one] = now_ns
            return True
        tracks = self._tracks.get(one) or self._divide(one, number, now_ns)
        return all([track.see(number, now_ns, self._handover_ns) for track in tracks])

    def graph(self, publishers: int) -> None:
        """Take how many publishers the graph knows: one alone has no second one beside it."""
        self._publishers = publishers
        if publishers <= 1:
            for track in self._where.values():
                track.forget()

    def mixed(self, now_ns: int) -> tuple[str, ...]:
        """The keys that two publishers were heard to send at once, lately and still."""
        found = {key for key, track in self._where.items() if track.mixed(now_ns)}
        return tuple(sorted(found | self._indistinct(now_ns)))

    def _divide(self, keys: Keys, number: int, now_ns: int) -> list[_Track]:
        """The tracks of a new set of keys; one that it shares in part is divided in two."""
        if len(self._tracks) >= _MOST_SETS:
            self._tracks.clear()
            self._where.clear()
        fresh = _Track(_Count(number - 1, now_ns))
        parts: dict[int, _Track] = {}
        for key in keys:
            old = self._where.get(key)
            self._where[key] = fresh if old is None else parts.setdefault(id(old), replace(old))
        for known in (*self._tracks, keys):
            found = {id(track): track for track in (self._where[key] for key in known)}
            self._tracks[known] = list(found.values())
        return self._tracks[keys]

    def _indistinct(self, now_ns: int) -> set[str]:
        """Without numbers: the keys of which nobody can say that one publisher sends them."""
        sets = [k for k, seen in self._unnumbered.items() if now_ns - seen < REMEMBERED_NS]
        if self._publishers <= 1 or not sets:
            return set()
        every = [key for one in sets for key in one]
        twice = {key for key in every if every.count(key) > 1}
        return twice or (set(every) if self._publishers > len(sets) else set())
