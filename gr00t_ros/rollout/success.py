"""Success of episodes with its confidence interval, per task, suite and condition.

Infrastructure failures (a process died, a service did not answer) say nothing about the policy:
they are counted apart, in neither the successes nor the episodes of a rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gr00t_ros.evaluate.results import mean
from gr00t_ros.rollout.trial import Plain

SUCCESS, TIMEOUT, FAULT, INFRASTRUCTURE = "success", "timeout", "fault", "infrastructure"
REFUSED = "refused"
"""Outcomes of an episode. A fault is one that the policy's own chunks caused. Refused: the node did
not begin, because its chunks are too short for their latency; nothing moved."""
Z_95: Final = 1.959963984540054


def wilson(successes: int, episodes: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a rate (Wilson 1927); (0, 1) without an episode."""
    if not 0 <= successes <= episodes:
        raise ValueError(f"got {successes} successes in {episodes} episodes")
    if not episodes:
        return 0.0, 1.0
    rate, extra = successes / episodes, z * z / episodes
    middle = (rate + extra / 2) / (1 + extra)
    half = z * math.sqrt(rate * (1 - rate) / episodes + extra / (4 * episodes)) / (1 + extra)
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == episodes else middle + half
    return max(0.0, low), min(1.0, high)


@dataclass(frozen=True, slots=True)
class SuccessRate:
    """Successes in episodes with a verdict, and what failed beside them."""

    successes: int
    episodes: int
    infrastructure: int
    refused: int = 0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % by Wilson."""
        return wilson(self.successes, self.episodes)

    def figures(self) -> Plain:
        """As JSON has it."""
        low, high = self.interval
        return {
            "successes": self.successes,
            "episodes": self.episodes,
            "rate": self.successes / self.episodes if self.episodes else None,
            "low": low,
            "high": high,
            "infrastructure": self.infrastructure,
            "refused": self.refused,
        }

    def __str__(self) -> str:
        """As a table has it."""
        low, high = self.interval
        if not self.episodes:
            return f"none of 0 ({self.infrastructure} infrastructure)"
        text = f"{self.successes}/{self.episodes} ({100 * self.successes / self.episodes:.1f} %, "
        text += f"95 %: {100 * low:.1f} to {100 * high:.1f} %)"
        return text + counted(self.refused, self.infrastructure)


def counted(refused: int, infrastructure: int) -> str:
    """What stands behind a rate: failures without motion, and episodes in no rate."""
    pairs = (refused, "refused"), (infrastructure, "infrastructure")
    return "".join(f", {count} {name}" for count, name in pairs if count)


def rate_of(lines: Iterable[Plain]) -> SuccessRate:
    """The rate over some episodes."""
    outcomes = [line["outcome"] for line in lines]
    lost = outcomes.count(INFRASTRUCTURE)
    return SuccessRate(outcomes.count(SUCCESS), len(outcomes) - lost, lost, outcomes.count(REFUSED))


def condition_of(line: Plain) -> tuple[str, float]:
    """What rows of a report are grouped by."""
    return line["strategy"], line["latency_ms"]


def summarise(lines: Sequence[Plain]) -> Plain:
    """The rates of each condition, each suite in it and each task in that."""
    found = []
    for at in dict.fromkeys(map(condition_of, lines)):
        mine = [line for line in lines if condition_of(line) == at]
        suites = []
        for suite in dict.fromkeys(line["suite"] for line in mine):
            here = [line for line in mine if line["suite"] == suite]
            tasks = [
                _task([line for line in here if line["task"] == task]) for task in _tasks(here)
            ]
            suites.append({"suite": suite, **rate_of(here).figures(), "tasks": tasks})
        found.append(
            {
                "strategy": at[0],
                "latency_ms": at[1],
                **rate_of(mine).figures(),
                **_means(mine),
                "suites": suites,
            }
        )
    return {"conditions": found, "episodes": len(lines), **{k: v for k, v in _whole(lines)}}


def _tasks(lines: Sequence[Plain]) -> list[int]:
    return sorted({line["task"] for line in lines})


def _task(lines: Sequence[Plain]) -> Plain:
    instruction = next((line["instruction"] for line in lines if line["instruction"]), "")
    return {"task": lines[0]["task"], "instruction": instruction, **rate_of(lines).figures()}


def _whole(lines: Sequence[Plain]) -> Iterable[tuple[str, Any]]:
    rate = rate_of(lines)
    yield "infrastructure", rate.infrastructure
    causes = [line["cause"] for line in lines if line["outcome"] == INFRASTRUCTURE]
    yield "causes", list(dict.fromkeys(causes))


def _means(lines: Sequence[Plain]) -> Plain:
    """Means, sums and extremes over the episodes of one condition that have the figure."""
    judged = [line for line in lines if line["outcome"] != INFRASTRUCTURE]
    names = (
        "simulated_s",
        "queries",
        "end_to_end_p50_ms",
        "end_to_end_p99_ms",
        "paused_s",
        "real_time_factor",
    )
    found: Plain = {name: mean([line[name] for line in judged]) for name in names}
    for name in ("chunks_clamped", "chunks_refused"):
        found[name] = sum(line[name] for line in judged)
    tools = [one for line in judged if (one := line["motion"].get("tool"))]
    found["tool"] = {name: max(tool[name] for tool in tools) for name in (tools or [{}])[0]}
    found["motion_broken"] = sum(bool(line["motion"]["broken"]) for line in judged)
    return found
