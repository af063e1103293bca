"""The terminal of a recorder: keys that begin and end episodes, and its screen as lines of text."""

from __future__ import annotations

import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final

from rclpy.clock import Clock, ClockType

from gr00t_ros.record.facts import EpisodeFacts
from gr00t_ros.record.node import RecordNode
from gr00t_ros.record.recording import GB
from gr00t_ros.record.session import DISCARD, FAILURE, STOP, SUCCESS
from gr00t_ros.text_table import printable, table
from gr00t_ros.tools.operator_screen import cut, frame

if TYPE_CHECKING:
    from gr00t_ros.record.node import RecordNode


_KEYS_S, _DRAW_S = 0.05, 0.25

KEYS: Final = {
    # key: what it does
    "b": "begin",
    "s": "stop and keep",
    "d": "discard",
    "y": "success",
    "n": "failure",
    " ": "take over, hand back",
    "q": "quit",
}
_ENDS: Final = {"s": STOP, "d": DISCARD, "y": SUCCESS, "n": FAILURE}


def is_terminal() -> bool:
    """Whether there is a terminal for keys and screen."""
    dumb = os.environ.get("TERM", "dumb") == "dumb"
    return sys.stdin.isatty() and sys.stdout.isatty() and not dumb


class Terminal:
    """Reads keys one by one inside the context; `show` draws a node's screen from then on."""

    def __init__(self) -> None:
        """Change nothing yet."""
        self._before: list[object] | None = None
        self._said = ""
        self._first = True

    def __enter__(self) -> Terminal:
        """Read keys without waiting for a line."""
        self._before = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back as it was."""
        with suppress(termios.error):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)  # type: ignore[arg-type]

    def show(self, node: RecordNode) -> RecordNode:
        """Draw the node's screen and carry out keys while it is spun; returns the node."""
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        view = FiguresReader(node)
        node.create_timer(_KEYS_S, lambda: self._read(node), clock=steady)
        node.create_timer(_DRAW_S, lambda: self._draw(view), clock=steady)
        return node

    def _read(self, node: RecordNode) -> None:
        while select.select([sys.stdin], [], [], 0.0)[0]:
            key = os.read(sys.stdin.fileno(), 1).decode(errors="replace")
            if not key:
                return
            press(key, node, self._say)

    def _say(self, text: str) -> None:
        self._said = text

    def _draw(self, view: FiguresReader) -> None:
        width, rows = shutil.get_terminal_size()
        lines = screen(view.figures(), KEYS, self._said, width)
        sys.stdout.write(frame(lines, rows, self._first))
        sys.stdout.flush()
        self._first = False


def press(key: str, node: RecordNode, say: Callable[[str], None]) -> None:
    """Carry out one key; `say` gets the result, for a takeover some time later."""
    if key in _ENDS:
        say(node.end(_ENDS[key]) or KEYS[key])
    elif key == "b":
        say(node.start() or KEYS[key])
    elif key == " ":
        on = not node.recorder.session.taken_over
        say("asks the policy node ...")
        node.spawn(node.intervene(on), lambda problem: say(problem or _TAKEN[on]))
    elif key == "q":
        os.kill(os.getpid(), 2)  # as Ctrl-C: the open episode is kept
    else:
        say(f"key {key!r} does nothing")


_TAKEN = {True: "taken over: the robot is yours", False: "handed back"}


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


class FiguresReader:
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
    """The whole screen as lines, each at most `width` columns wide. said: what a key did."""
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
