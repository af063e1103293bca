"""The thread that writes episodes: a bounded queue of messages in, bags and episode.json out.

A message that does not fit into the queue, or that the disk does not take, is counted by topic.
Orders to open and finish an episode are never dropped.
"""

from __future__ import annotations

import errno
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gr00t_ros.record.episode_bag import EpisodeBag, WritableBag
from gr00t_ros.record.facts import EpisodeFacts, write_facts
from gr00t_ros.record.preroll import RecordedMessage

_WAKE_S = 0.1
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(slots=True)
class _Open:
    """The order to open an episode, and what happens to its messages until it is finished."""

    folder: Path
    lost: Counter[str] = field(default_factory=Counter)
    written: int = 0
    bytes: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Finish:
    folder: Path
    facts: EpisodeFacts
    label: bool = False  # write the facts alone


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened to the messages of the open episode, else of the last one."""

    written: int
    bytes: int
    queued_bytes: int
    lost: dict[str, int]


class EpisodeWriter:
    """Owns the open bag. All methods may be called from any thread."""

    def __init__(
        self,
        most_bytes: int,
        make_bag: Callable[[Path], WritableBag] = EpisodeBag,
        give_room: Callable[[], None] = lambda: None,
        log: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """Start the thread.

        most_bytes: of messages in the queue. give_room: makes room on a full disk for an index.
        log: receives what went wrong, from the thread.
        """
        self._most_bytes, self._make_bag, self._log = most_bytes, make_bag, log
        self._give_room = give_room
        self._changed = threading.Condition()
        self._queue: deque[RecordedMessage | _Open | _Finish] = deque()
        self._bytes = 0
        # the episode that was begun last, and the one before it that the thread may still write
        self._newest = self._current = _Open(Path())
        self._bag: WritableBag | None = None
        self._made: set[Path] = set()  # folders of this recorder: it writes to no other one
        self._ending = self._busy = False
        self._thread = threading.Thread(target=self._run, name="episode_writer", daemon=True)
        self._thread.start()

    # --- any thread ----------------------------------------------------------------------------

    @property
    def problem(self) -> str:
        """Why the open episode cannot be written on; empty while it can."""
        with self._changed:
            return self._newest.problem

    @property
    def counts(self) -> Counts:
        """Messages written, waiting and lost."""
        with self._changed:
            one = self._newest
            return Counts(one.written, one.bytes, self._bytes, dict(one.lost))

    def open(self, folder: Path, preroll: Iterable[RecordedMessage]) -> None:
        """Begin an episode in a folder that does not exist yet, with these messages first."""
        with self._changed:
            self._newest = _Open(folder)
            self._queue.append(self._newest)
            self._changed.notify_all()
        for message in preroll:
            self.write(message)

    def write(self, message: RecordedMessage) -> None:
        """Add a message to the open episode, or count it as lost."""
        with self._changed:
            if self._newest.problem or self._bytes + len(message.data) > self._most_bytes:
                self._newest.lost[message.channel.topic] += 1
                return
            self._bytes += len(message.data)
            self._queue.append(message)
            self._changed.notify_all()

    def count_lost(self, topic: str, count: int) -> None:
        """Count messages of the open episode that did not arrive here."""
        with self._changed:
            self._newest.lost[topic] += count

    def finish(self, folder: Path, facts: EpisodeFacts) -> None:
        """End the episode once all its messages are written.

        `facts` get their drops then, and the problem if something could not be written.
        """
        self._order(_Finish(folder, facts))

    def label(self, folder: Path, facts: EpisodeFacts) -> None:
        """Write the facts of a finished episode anew, with another label."""
        self._order(_Finish(folder, facts, label=True))

    def _order(self, order: _Finish) -> None:
        with self._changed:
            self._queue.append(order)
            self._changed.notify_all()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether everything is written; waits for it."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._busy, timeout_s)

    def close(self) -> None:
        """Write everything and end the thread."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join()

    # --- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._ending, _WAKE_S)
                if not self._queue and self._ending:
                    return
                item = self._queue.popleft() if self._queue else None
                self._busy = item is not None
            try:
                self._do(item)
            except Exception as error:  # else the thread would end, and with it all episodes
                self._failed(item, error)
            if isinstance(item, RecordedMessage):
                with self._changed:
                    self._bytes -= len(item.data)

    def _do(self, item: RecordedMessage | _Open | _Finish | None) -> None:
        if isinstance(item, _Open):
            self._bag, self._current = None, item
            self._bag = self._make_bag(item.folder)
            self._made.add(item.folder)
        elif isinstance(item, _Finish):
            self._finish(item)
        elif self._bag is None or self._current.problem:
            if item is not None:
                with self._changed:
                    self._current.lost[item.channel.topic] += 1
        elif item is None:
            self._bag.flush_if_due()
        else:
            with self._changed:
                self._current.written += 1
                self._current.bytes += len(item.data)
            self._bag.write(item.channel, item.time_ns, item.data)

    def _failed(self, item: RecordedMessage | _Open | _Finish | None, error: Exception) -> None:
        """Give up what could not be written; the bag stays as whole as it is.

        What no episode.json will tell, because there is none, is a problem of the open episode too.
        """
        folder = item.folder if isinstance(item, _Finish) else self._current.folder
        full = isinstance(error, OSError) and error.errno in _FULL
        remedy = "free the disk, then begin" if full else "begin"
        text = f"{folder}: cannot be written: {_told(error)}; {remedy} another episode"
        in_bag = isinstance(item, RecordedMessage) or item is None
        with self._changed:
            for episode in (self._current,) if in_bag else (self._current, self._newest):
                episode.problem = episode.problem or text
        self._log(text)
        if in_bag:
            self._drop_chunk()

    def _drop_chunk(self) -> None:
        assert self._bag is not None
        try:
            lost = self._bag.drop_chunk()
        except Exception as error:
            self._log(f"the bag is not whole: {_told(error)}; gr00t record recover repairs it")
            return
        with self._changed:
            self._current.lost.update(lost)
            self._current.written -= lost.total()

    def _finish(self, order: _Finish) -> None:
        """Write index, metadata and facts; the reserve on the disk is for them."""
        if order.folder not in self._made:
            return  # its folder could not be made, or is another recorder's: nothing is in it
        if order.label:
            write_facts(order.folder, order.facts)
            return
        try:
            self._close(order)
        except OSError:
            self._give_room()
            if self._bag is not None:
                self._drop_chunk()
            self._close(order)
        self._bag = None

    def _close(self, order: _Finish) -> None:
        if self._bag is not None:
            self._bag.close()
        with self._changed:
            lost, problem = self._current.lost, self._current.problem
            order.facts.dropped = {topic: count for topic, count in lost.items() if count}
            order.facts.problem = order.facts.problem or problem
        write_facts(order.folder, order.facts)


def _told(error: Exception) -> str:
    """An error's text; of one that is no disk's also its type."""
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
