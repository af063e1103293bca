"""What is known of one episode beside its messages: the content of episode.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from gr00t_ros.dataset.episode import SOURCES
from gr00t_ros.errors import BagError
from gr00t_ros.folder import write_whole
from gr00t_ros.robot.data_file import read_json
from gr00t_ros.text_table import one_line

EPISODE_FILE: Final = "episode.json"
KEPT: Final = "kept"
DISCARDED: Final = "discarded"
EMPTY: Final = "recovered: its bag holds no message"
"""The problem of an episode that a repair has discarded."""


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
    write_whole(folder / EPISODE_FILE, json.dumps(content, indent=1) + "\n")


def read_facts(folder: Path) -> EpisodeFacts | None:
    """The facts of an episode's folder; None if it was not finished.

    Raises BagError that names what is wrong in the file.
    """
    path = folder / EPISODE_FILE
    try:
        content = read_json(path, BagError)
    except BagError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise BagError(f"{error}; {_remedy(folder)}") from error
    try:
        return _facts(content)
    except ValueError as error:
        raise BagError(f"{path}: {error}; {_remedy(folder)}") from error


def _remedy(folder: Path) -> str:
    return f"gr00t record recover {folder} rebuilds it from its bag"


def _facts(content: dict[str, Any]) -> EpisodeFacts:
    """The facts of a file's content; ValueError with key, what was got, what was expected."""
    known = {
        one.name: one.default is MISSING and one.default_factory is MISSING
        for one in fields(EpisodeFacts)
    }
    for key in content.keys() - known.keys():
        raise ValueError(f"{key}: got an unknown key, expected {', '.join(known)}")
    for key, required in known.items():
        if key not in content and required:
            raise ValueError(f"{key}: got nothing, expected {_EXPECTED[key][1]}")
        fits, expected = _EXPECTED[key]
        if key in content and not fits(content[key]):
            raise ValueError(f"{key}: got {_shown(content[key])}, expected {expected}")
    facts = EpisodeFacts(**content)
    facts.sources = [(time_ns, name) for time_ns, name in facts.sources]
    facts.interventions = [(begin, end) for begin, end in facts.interventions]
    if 0 < facts.stop_ns < facts.start_ns:
        raise ValueError(f"stop_ns: got {facts.stop_ns}, expected at least {facts.start_ns}")
    return facts


def is_right(content: dict[str, Any], key: str) -> bool:
    """Whether a file's content has a value for the key that can be one."""
    return key in content and _EXPECTED[key][0](content[key])


def _shown(value: object) -> str:
    return one_line(json.dumps(value), 80)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _are_pairs(value: object, second: Callable[[object], bool]) -> bool:
    """Whether it is a list of [time, second] with times that do not fall."""
    if not isinstance(value, list):
        return False
    for one in value:
        if not (isinstance(one, list) and len(one) == 2 and _is_count(one[0]) and second(one[1])):
            return False
    return all(a[0] <= b[0] for a, b in pairwise(value))


def _are_sources(value: object) -> bool:
    return _are_pairs(value, lambda name: isinstance(name, str) and name in SOURCES)


def _are_drops(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


_TEXT = (_is_text, "a text")
_COUNT = (_is_count, "an integer from 0 to 2^63 - 1")
_EXPECTED: Final[dict[str, tuple[Callable[[object], bool], str]]] = {
    "index": _COUNT,
    "instruction": _TEXT,
    "robot": _TEXT,
    "policy_node": _TEXT,
    "start_ns": _COUNT,
    "stop_ns": _COUNT,
    "outcome": (lambda value: value in (KEPT, DISCARDED), f"{KEPT} or {DISCARDED}"),
    "success": (lambda value: value is None or type(value) is bool, "true, false or null"),
    "sources": (
        _are_sources,
        f"[[time_ns, name], ...] with times in their order, names of {', '.join(SOURCES)}",
    ),
    "interventions": (
        lambda value: _are_pairs(value, _is_count),
        "[[from_ns, to_ns], ...] with times in their order",
    ),
    "dropped": (_are_drops, "an object of topics with numbers of messages"),
    "problem": _TEXT,
}
"""Key -> whether a value is right, and what is."""
