"""Episodes out of recordings and bags: rows at the embodiment file's rate, and their gaps.

A row's time is the start plus a multiple of the period. Its observation is what the node would have
sent then, its action what was commanded then. A row without either is a gap, and nothing fills it.
A gap refuses the episode or splits it; only a few rows at its beginning or end may be left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import String

from gr00t_ros.bags.bag import Bag, open_bag
from gr00t_ros.bags.message_types import read_message
from gr00t_ros.convert.commanded import Commanded, CommandedRow
from gr00t_ros.convert.observations import BagInputs, KeptPictures, RecordedPicture, in_time
from gr00t_ros.convert.pictures import BagPictures
from gr00t_ros.convert.predicted import Predicted
from gr00t_ros.dataset.episode import HUMAN, SOURCES, Episode
from gr00t_ros.dataset.staged import BagIdentity
from gr00t_ros.errors import BagError, ObservationError, RotationError, SettingsError
from gr00t_ros.graph.limits import DESCRIPTION
from gr00t_ros.motion.chunk import to_reply
from gr00t_ros.msg import PolicyStatus
from gr00t_ros.observe.observation import Observation, ObservationSettings
from gr00t_ros.record.facts import EpisodeFacts
from gr00t_ros.record.session import PolicyNodeState, RecordingSession, RecordingSettings
from gr00t_ros.robot.described import described, unreadable
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.rotation import Pose
from gr00t_ros.robot.urdf.text import urdf_root
from gr00t_ros.ros.policy_node import POLICY_NODE, STATUS_TYPE

KEPT_BYTES: Final = 256 * 2**20
"""Pictures of an episode, as they were sent, that stay in memory: else its bag is read again."""
LEAST_S: Final = 1.0
"""A part of an episode that is shorter is left out: it holds no whole action chunk."""
LONGEST_SILENCE_S: Final = 600.0
"""Without any message for longer the clock was set: there is no row for each period of 56 years."""
EDGE_ROWS: Final = 5
"""At most so many rows may be missing at the beginning or the end of an episode: more are a gap."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows that are not in the dataset, s after the start of the episode, and why.

    Where another instruction begins, `from_s` equals `to_s`. is_gap: whether the episode is refused
    for it; not for a few rows at its beginning or end.
    """

    from_s: float
    to_s: float
    why: str
    is_gap: bool = True

    def __str__(self) -> str:
        if self.to_s == self.from_s:
            return f"at {self.from_s:.2f} s, no row: {self.why}"
        return f"{self.from_s:.2f} s to {self.to_s:.2f} s: {self.why}"


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one recorded episode without a gap; `cut` is what is not in them.

    Only a part that reaches the end of the episode has its success; that of the others is unknown.
    """

    episodes: tuple[Episode, ...]
    cut: tuple[Cut, ...] = ()


@dataclass(frozen=True, slots=True)
class EpisodeReference:
    """One episode that is not read yet.

    facts: what its recorder says; None for a bag of another recorder. instruction: of a bag that
    has none. settings: the ages and the skew that the node allows.
    """

    path: Path
    embodiment: Embodiment
    settings: ObservationSettings
    facts: EpisodeFacts | None = None
    keep_size: bool = False
    instruction: str = ""

    @property
    def name(self) -> str:
        """The bag's name."""
        return self.path.name

    @property
    def bag(self) -> BagIdentity:
        """What tells its bag from every other one, wherever it lies; BagError without one."""
        files, looks = self._looks()
        content = hashlib.sha256()
        try:
            for path in files:
                content.update(_sha256(path))
        except OSError as error:
            raise BagError(f"{self.path}: cannot be read: {error}") from error
        return {**looks, "sha256": content.hexdigest()}

    def is_of(self, bags: Sequence[BagIdentity]) -> bool:
        """Whether its bag is one of these; BagError without one.

        Its content is read only where a bag looks the same: episodes in simulated time often do. A
        bag whose content was not noted is told by its looks alone.
        """
        _, looks = self._looks()
        alike = [one for one in bags if looks.items() <= one.items()]
        bag = self.bag if alike else {}
        return any(one.items() <= bag.items() for one in alike)

    def _looks(self) -> tuple[tuple[Path, ...], BagIdentity]:
        """Its files, and what can be said of them without their content."""
        with open_bag(self.path) as bag:
            size = sum(one.stat().st_size for one in bag.files)
            name = bag.files[0].name
            return tuple(bag.files), {"file": name, "start_ns": bag.start_ns, "bytes": size}

    def load(self) -> Episode:
        """Read the episode; BagError for a gap in its rows, with where and how long."""
        return self.load_whole().episodes[0]

    def load_whole(self) -> Parts:
        """Read the episode as one part; BagError for a gap in its rows, with where and how long."""
        parts = self.load_parts()
        gaps = [str(one) for one in parts.cut if one.is_gap]
        if gaps:
            raise BagError(
                f"{self.path}: it has gaps or several instructions, after its start: "
                f"{'; '.join(gaps):.1500}; nothing fills gaps: convert with --gaps split, or "
                "discard the episode"
            )
        return parts

    def load_parts(self) -> Parts:
        """Read the episode in parts without a gap; BagError if there is no row at all."""
        try:
            return _Reading(self).parts()
        except (ObservationError, SettingsError, BagError) as error:
            text = str(error)
            where = "" if text.startswith(str(self.path)) else f"{self.path}: "
            raise BagError(f"{where}{text}") from error


@dataclass(slots=True)
class _Rows:
    """What is known of all rows so far; a row that is a gap has its reason."""

    stamps_ns: list[int] = field(default_factory=list)
    observed: list[Observation | None] = field(default_factory=list)
    commanded: list[CommandedRow] = field(default_factory=list)
    predicted: list[dict[str, NDArray[np.float32]]] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)


class _Reading:
    """One pass over one bag."""

    def __init__(self, reference: EpisodeReference) -> None:
        self._of = reference
        self._facts = reference.facts
        self._instructions: list[tuple[int, str]] = []  # (from, text), of a plain bag
        self._node = POLICY_NODE if self._facts is None else self._facts.policy_node or POLICY_NODE
        self._rows, self._kept = _Rows(), KeptPictures(KEPT_BYTES)
        self._file = reference.path  # the one storage file opens faster than its folder
        self._robot = reference.embodiment
        # One period after the last row: where its deltas lead to.
        self._last: CommandedRow | None = None

    def parts(self) -> Parts:
        with open_bag(self._of.path) as bag:
            if self._facts is None:
                self._facts = self._plain_facts(bag)
            self._robot = _described(bag, self._of.embodiment)
            self._file = bag.files[0] if len(bag.files) == 1 else self._of.path
            self._read(bag)
        return self._cut()

    def _plain_facts(self, bag: Bag) -> EpisodeFacts:
        """Facts of a bag of another recorder: sources as the policy node's status has them."""
        topic = next((one.name for one in bag.topics if one.type_name == STATUS_TYPE), "")
        self._node = topic.rpartition("/")[0] or POLICY_NODE
        robot = self._of.embodiment.tag
        facts = EpisodeFacts(0, "", robot, self._node, bag.start_ns, bag.end_ns)
        session = RecordingSession(RecordingSettings(robot, self._node), "", 0)
        for message in bag.messages([topic]) if topic else ():
            status = read_message(message, PolicyStatus)
            session.policy = PolicyNodeState(status.mode, status.episode, status.instruction)
            self._instruct(message.time_ns, status.instruction)
            if not facts.sources or facts.sources[-1][1] != session.source:
                facts.sources.append((message.time_ns, session.source))
        if not topic:
            facts.sources.append((bag.start_ns, HUMAN))
        return facts

    def _instruct(self, time_ns: int, text: str) -> None:
        """Note an instruction that differs from the one before."""
        if text and (not self._instructions or self._instructions[-1][1] != text):
            self._instructions.append((time_ns, text))

    def _instruction(self, row: int) -> str:
        """What the robot was told in that row; before the first instruction it is that."""
        assert self._facts is not None
        instructions = self._instructions
        until = [text for time_ns, text in instructions if time_ns <= self._rows.stamps_ns[row]]
        first = instructions[0][1] if instructions else self._facts.instruction
        text = until[-1] if until else first
        return self._of.instruction or text

    def _read(self, bag: Bag) -> None:
        """Feed all messages in order, and make each row when the bag has reached its time."""
        assert self._facts is not None
        inputs = BagInputs(bag, self._robot, self._of.settings)
        commanded = Commanded(bag, self._robot, self._node)
        predicted, chunks = Predicted(self._robot), f"{self._node}/action_chunk"
        has_chunks = any(one.name == chunks and not one.problem for one in bag.topics)
        topics = {*inputs.topics, *commanded.topics, *({chunks} if has_chunks else ())}
        period_ns = 1e9 / self._robot.rate_hz
        start_ns, stop_ns = self._facts.start_ns, self._facts.stop_ns or bag.end_ns
        count = int((stop_ns - start_ns) / period_ns) + 1
        due, due_ns, heard_ns = 0, start_ns, start_ns
        future_ns = self._of.settings.future_ns
        for message in in_time(bag.messages(topics), inputs.stamped, future_ns):
            self._refuse_silence(heard_ns, min(message.time_ns, stop_ns))
            heard_ns = max(heard_ns, message.time_ns)
            while due <= count and due_ns < message.time_ns:
                self._row(due_ns, due == count, inputs, commanded, predicted)
                due += 1
                due_ns = start_ns + round(due * period_ns)
            if due > count:
                break
            if message.topic in inputs.topics:
                inputs.put(message.topic, message.time_ns, message.data)
            if message.topic in commanded.topics:
                commanded.put(message.topic, message.time_ns, message.data)
            if message.topic == chunks:
                predicted.put(message)
        self._refuse_silence(heard_ns, stop_ns)
        for number in range(due, count + 1):
            time_ns = start_ns + round(number * period_ns)
            self._row(time_ns, number == count, inputs, commanded, predicted)

    def _refuse_silence(self, from_ns: int, to_ns: int) -> None:
        """Refuse a bag whose times do not belong together, or an episode far outside its bag."""
        seconds = (to_ns - from_ns) * 1e-9
        if seconds > LONGEST_SILENCE_S:
            raise BagError(
                f"{self._of.path}: got no message from {_date(from_ns)} to {_date(to_ns)} "
                f"({seconds:.0f} s), expected one every {LONGEST_SILENCE_S:.0f} s at least: the "
                "clock was set during the episode, or it was not recorded then: discard it"
            )

    def _row(
        self,
        now_ns: int,
        beyond: bool,
        inputs: BagInputs,
        commanded: Commanded,
        predicted: Predicted,
    ) -> None:
        row = commanded.at(now_ns)
        if beyond:
            self._last = row
            return
        found = inputs.observe(now_ns)
        why = ""
        if not isinstance(found, Observation):
            problems = [inputs.problem(gap) for gap in found]
            why = "; ".join(
                f"{gap}" + (f" ({problem})" if problem else "")
                for gap, problem in zip(found, problems, strict=True)
            )
        elif row.unknown:
            name = row.unknown[0]
            why = f"nothing says what was commanded to {name}: {commanded.sources(name)}"
        rows = self._rows
        rows.stamps_ns.append(now_ns)
        rows.observed.append(found if isinstance(found, Observation) else None)
        if isinstance(found, Observation):
            self._kept.take(found)
        rows.commanded.append(row)
        rows.predicted.append(predicted.at(now_ns))
        rows.gaps.append(why)

    def _cut(self) -> Parts:
        """The runs of complete rows, and what lies before, between and after them."""
        gaps = self._rows.gaps
        runs = list(_runs(gaps))
        if not any(not why for _, _, why in runs):
            first = f": {gaps[0]}" if gaps else ""
            raise BagError(f"{self._of.path}: it has no complete row{first}")
        rate_hz = self._robot.rate_hz
        whole = [
            part for first, end, why in runs if not why for part in self._of_one_text(first, end)
        ]
        long = [one for one in whole if one[1] - one[0] >= LEAST_S * rate_hz]
        cut = [
            Cut(first / rate_hz, end / rate_hz, why, not self._is_edge(first, end))
            for first, end, why in runs
            if why
        ]
        cut += [
            Cut(end / rate_hz, end / rate_hz, self._change(end))
            for (_, end), (begin, _) in pairwise(whole)
            if end == begin
        ]
        if len(whole) > 1:
            short = [one for one in whole if one not in long]
            why = f"{LEAST_S:g} s without a gap are the least"
            cut += [Cut(first / rate_hz, end / rate_hz, why) for first, end in short]
            whole = long
        episodes = [self._episode(first, end) for first, end in whole]
        named = [
            replace(one, name=f"{one.name} part {number}") if len(episodes) > 1 else one
            for number, one in enumerate(episodes, 1)
        ]
        return Parts(tuple(named), tuple(sorted(cut, key=lambda one: one.from_s)))

    def _of_one_text(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """(first row, row after the last) of rows with the same instruction."""
        for row in range(first + 1, end + 1):
            if row == end or self._instruction(row) != self._instruction(first):
                yield first, row
                first = row

    def _change(self, row: int) -> str:
        before, after = self._instruction(row - 1), self._instruction(row)
        return f"the instruction changes from {before!r} to {after!r}"

    def _is_edge(self, first: int, end: int) -> bool:
        """Whether these rows are none, or a few at the beginning or the end of the episode."""
        at_edge = first == 0 or end == len(self._rows.gaps)
        return at_edge and end - first <= EDGE_ROWS

    def _episode(self, first: int, end: int) -> Episode:
        facts, rows = self._facts, self._rows
        assert facts is not None
        observed = [one for one in rows.observed[first:end] if one is not None]
        stamps_ns = np.array(rows.stamps_ns[first:end], np.int64)
        predicted = rows.predicted[first:end]
        seen = any(np.isfinite(values).any() for one in predicted for values in one.values())
        return Episode(
            name=self._of.name,
            rate_hz=self._robot.rate_hz,
            instruction=self._instruction(first),
            stamps_ns=stamps_ns,
            state={
                stream.key: np.stack([one.state[stream.key][0] for one in observed])
                for stream in self._robot.state
            },
            action=self._actions(first, end),
            video={
                stream.key: BagPictures(
                    self._file,
                    stream,
                    [_taken(one, stream.key) for one in observed],
                    self._of.keep_size,
                )
                for stream in self._robot.video
            },
            source=_sources(facts, stamps_ns),
            intervention=_interventions(facts, stamps_ns),
            predicted=(
                {key: np.stack([one[key] for one in predicted]) for key in predicted[0]}
                if seen
                else {}
            ),
            success=facts.success if self._is_edge(end, len(rows.gaps)) else None,
        )

    def _actions(self, first: int, end: int) -> dict[str, NDArray[np.float32]]:
        """What was commanded, in the form of the server's reply."""
        every = [*self._rows.commanded, *([self._last] if self._last is not None else [])]
        rows = every[first:end]
        poses = {
            output.name: self._steps(output.name, every[first : end + 1], len(rows))
            for output in self._robot.poses
        }
        try:
            return to_reply(
                self._robot,
                np.stack([row.joints for row in rows]),
                np.stack([row.commands for row in rows]),
                poses,
                np.stack([row.speeds for row in rows]),
            )
        except RotationError as error:
            raise BagError(f"{self._of.path}: a commanded pose: {error}") from error

    def _steps(self, name: str, rows: Sequence[CommandedRow], count: int) -> list[Pose]:
        """The poses of an output, or the deltas from each row to the next."""
        poses = [row.poses[name] for row in rows]
        keys = [key for key in self._robot.action if key.output == name]
        if all(key.representation != "delta" for key in keys):
            return poses[:count]
        return [
            Pose(after.position - before.position, after.rotation @ before.rotation.T)
            for before, after in zip(poses[:count], [*poses[1:], poses[-1]], strict=False)
        ]


def _sha256(path: Path) -> bytes:
    """The digest of a file's content; hashlib.file_digest is new in Python 3.11."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.digest()


def _date(time_ns: int) -> str:
    """A bag time as a person reads it."""
    return f"{datetime.fromtimestamp(time_ns // 10**9, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _taken(one: Observation, key: str) -> RecordedPicture:
    value = one.video[key][0].value
    assert isinstance(value, RecordedPicture)
    return value


def _described(bag: Bag, embodiment: Embodiment) -> Embodiment:
    """The embodiment with the chains of the bag's robot description, as the node takes them."""
    if not any(one.name == DESCRIPTION and not one.problem for one in bag.topics):
        return embodiment
    message = next(iter(bag.messages([DESCRIPTION])), None)
    if message is None:
        return embodiment
    try:
        root = urdf_root(read_message(message, String).data, "robot_description")
    except SettingsError as error:
        return unreadable(embodiment, str(error))
    return described(embodiment, root, DESCRIPTION)[0]


def _runs(gaps: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """(first row, row after the last, reason of the first row) of rows that are alike."""
    first = 0
    for row in range(1, len(gaps) + 1):
        if row == len(gaps) or bool(gaps[row]) != bool(gaps[first]):
            yield first, row, gaps[first]
            first = row


def _sources(facts: EpisodeFacts, stamps_ns: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(N,) indices of SOURCES: who commanded at each time; idle before anybody did."""
    times = np.array([time_ns for time_ns, _ in facts.sources], np.int64)
    names = [SOURCES.index("idle"), *(SOURCES.index(name) for _, name in facts.sources)]
    return np.array(names, np.uint8)[np.searchsorted(times, stamps_ns, side="right")]


def _interventions(facts: EpisodeFacts, stamps_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) whether a person had taken over; a takeover without an end lasts to the end."""
    found = np.zeros(len(stamps_ns), np.bool_)
    for begin_ns, end_ns in facts.interventions:
        found |= (stamps_ns >= begin_ns) & ((stamps_ns < end_ns) | (end_ns <= begin_ns))
    return found
