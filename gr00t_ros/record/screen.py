"""The screen of a recorder as lines of text: episode, source, topics with rates, disk, keys."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gr00t_ros.record.facts import EpisodeFacts
from gr00t_ros.record.recording import GB
from gr00t_ros.text_table import printable, table
from gr00t_ros.tools.operator_screen import cut

if TYPE_CHECKING:
    from gr00t_ros.record.node import RecordNode

_RATE_S = 1.0
_LABEL = 11  # columns of the label in front of a value


@dataclass(frozen=True, slots=True)
class TopicFigures:
    """One topic: messages a second, received and lost since the start; why it is not recorded."""

    topic: str
    rate_hz: float
    received: int
    lost: int
    problem: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What the screen shows. lost: messages of this episode that are not in its bag, by topic."""

    folder: str
    robot: str
    episode: EpisodeFacts | None
    last: EpisodeFacts | None
    seconds: float
    instruction: str
    source: str
    policy: str
    problem: str
    written_mb: float
    queued_mb: float
    free_gb: float
    lost: Mapping[str, int]
    topics: Sequence[TopicFigures]


class View:
    """Reads a node's figures, with the rate of each topic over the last second."""

    def __init__(self, node: RecordNode) -> None:
        """Rates begin at 0."""
        self._node = node
        self._counted_s = time.monotonic()
        self._counted: dict[str, int] = {}
        self._rates: dict[str, float] = {}

    def figures(self) -> Figures:
        """The figures of now."""
        node, recorder = self._node, self._node.recorder
        self._count()
        session, counts = recorder.session, recorder.writer.counts
        now_ns, episode = node.get_clock().now().nanoseconds, session.episode
        policy = session.policy
        teleop = "teleop: there is none" if session.settings.teleop else "silent"
        return Figures(
            folder=str(recorder.recording.folder),
            robot=node.embodiment.robot,
            episode=episode,
            last=session.last,
            seconds=0.0 if episode is None else (now_ns - episode.start_ns) * 1e-9,
            instruction=session.instruction if episode is None else episode.instruction,
            source=session.source,
            policy=teleop if policy is None else f"{policy.mode}, its episode {policy.episode}",
            problem=recorder.writer.problem or session.problem,
            written_mb=counts.bytes / 1e6,
            queued_mb=counts.queued_bytes / 1e6,
            free_gb=recorder.recording.free_bytes / GB,
            lost=counts.lost,
            topics=[
                TopicFigures(
                    one.topic, self._rates.get(one.topic, 0.0), one.received, one.lost, one.problem
                )
                for one in node.topics
            ],
        )

    def _count(self) -> None:
        now_s = time.monotonic()
        passed_s = now_s - self._counted_s
        if passed_s < _RATE_S:
            return
        received = {one.topic: one.received for one in self._node.topics}
        self._rates = {
            topic: (count - self._counted.get(topic, 0)) / passed_s
            for topic, count in received.items()
        }
        self._counted, self._counted_s = received, now_s


def screen(
    figures: Figures, keys: Mapping[str, str], said: str, width: int | None = None
) -> list[str]:
    """The whole screen as lines, each at most `width` columns wide. said: what came of a key."""
    lines = [*_head(figures), "", *_topics(figures), "", *_last(figures)]
    if said:
        lines.append(_value("key", said))
    lines.append("  ".join(f"[{'space' if key == ' ' else key}] {keys[key]}" for key in keys))
    return lines if width is None else [cut(line, width) for line in lines]


def _head(figures: Figures) -> Iterator[str]:
    episode = figures.episode
    state = "NO EPISODE OPEN"
    if episode is not None:
        state = f"RECORDS EPISODE {episode.index}  {figures.seconds:.1f} s"
    yield printable(f"{figures.robot}  {state}  source {figures.source.upper()}")
    if figures.problem:
        yield _value("PROBLEM", figures.problem)
    if figures.lost:
        lost = ", ".join(f"{count} of {topic}" for topic, count in figures.lost.items())
        yield _value("LOST", lost)
    yield _value("task", figures.instruction or "none")
    yield _value("policy", figures.policy)
    disk = f"{figures.written_mb:.0f} MB written, {figures.queued_mb:.0f} MB wait, "
    yield _value("disk", f"{disk}{figures.free_gb:.1f} GB free in {figures.folder}")


def _topics(figures: Figures) -> list[str]:
    rows = [
        (one.topic, f"{one.rate_hz:.1f}", one.received, one.lost or "", one.problem)
        for one in figures.topics
    ]
    return table(("topic", "Hz", "received", "lost", ""), rows).split("\n")


def _last(figures: Figures) -> Iterator[str]:
    last = figures.last
    if last is None:
        return
    label = {True: ", success", False: ", failure", None: ""}[last.success]
    lost = sum(last.dropped.values())
    text = f"episode {last.index}, {last.duration_s:.1f} s, {last.outcome}{label}"
    yield _value("last", f"{text}, {lost} messages lost" if lost else text)


def _value(label: str, text: str) -> str:
    return f"{label:{_LABEL}}{printable(text)}"
