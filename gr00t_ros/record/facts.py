"""What is known of one episode beside its messages: the content of episode.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from gr00t_ros.dataset.episode import SOURCES
from gr00t_ros.errors import BagError
from gr00t_ros.record.episode_bag import write_whole

FILE: Final = "episode.json"
KEPT: Final = "kept"
DISCARDED: Final = "discarded"


@dataclass(slots=True)
class EpisodeFacts:
    """One episode; all times are bag time, ns.

    start_ns: what lies before it in the bag is pre-roll. sources: (from, who commands the robot),
    each until the next. interventions: (from, to) of each takeover. dropped: topic -> messages that
    were sent and are not in the bag. success: None if nobody said. problem: why the episode ended
    or is incomplete; empty if nothing was wrong.
    """

    index: int
    instruction: str
    robot: str
    policy_node: str
    start_ns: int
    stop_ns: int = 0
    outcome: str = KEPT
    success: bool | None = None
    sources: list[tuple[int, str]] = field(default_factory=list)
    interventions: list[tuple[int, int]] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    problem: str = ""

    @property
    def duration_s(self) -> float:
        """From start to stop."""
        return (self.stop_ns - self.start_ns) * 1e-9

    def seconds_of(self, source: str) -> float:
        """How long this source commanded the robot."""
        ends = [*(time_ns for time_ns, _ in self.sources[1:]), self.stop_ns]
        spans = zip(self.sources, ends, strict=True) if self.sources else ()
        return sum((end - begin) * 1e-9 for (begin, name), end in spans if name == source)


def write_facts(folder: Path, facts: EpisodeFacts) -> None:
    """Write episode.json into an episode's folder, whole or not at all; raises OSError."""
    content = asdict(facts)
    if not facts.problem:
        del content["problem"]
    write_whole(folder / FILE, json.dumps(content, indent=1) + "\n")


def read_facts(folder: Path) -> EpisodeFacts | None:
    """The facts of an episode's folder; None if it was not finished.

    Raises BagError that names what is wrong in the file.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BagError(f"{path}: cannot be read: {error}") from error
    try:
        return _facts(content)
    except (KeyError, TypeError, ValueError) as error:
        raise BagError(f"{path}: {type(error).__name__} {error}; gr00t record recover") from error


def _facts(content: Mapping[str, Any]) -> EpisodeFacts:
    facts = EpisodeFacts(**content)
    facts.sources = [(int(time_ns), str(name)) for time_ns, name in facts.sources]
    facts.interventions = [(int(begin), int(end)) for begin, end in facts.interventions]
    unknown = {name for _, name in facts.sources} - set(SOURCES)
    if (
        unknown
        or facts.outcome not in (KEPT, DISCARDED)
        or facts.success not in (True, False, None)
    ):
        got = f"sources {sorted(unknown)}, outcome {facts.outcome!r}, success {facts.success!r}"
        raise ValueError(f"got {got}; expected {', '.join(SOURCES)}; {KEPT} or {DISCARDED}")
    return facts
