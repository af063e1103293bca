"""What is evaluated: settings that identify an evaluation, and its episodes one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gr00t_ros.rollout.benchmark import Benchmark
from gr00t_ros.rollout.strategy import Strategy

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """Under what the same episodes are repeated. latency_ms: added, of simulated time."""

    strategy: Strategy
    latency_ms: float = 0.0

    @property
    def name(self) -> str:
        """The strategy and the latency, as rows of a report are called."""
        return f"{self.strategy.name}, +{self.latency_ms:g} ms"


@dataclass(frozen=True, slots=True)
class Trial:
    """One episode of one task under one condition."""

    suite: str
    task: int
    episode: int
    seed: int
    condition: Condition

    @property
    def key(self) -> tuple[str, float, str, int, int]:
        """What no two trials of an evaluation have in common."""
        at = self.condition
        return at.strategy.name, at.latency_ms, self.suite, self.task, self.episode

    @property
    def name(self) -> str:
        """As progress and folders call it."""
        strategy = self.condition.strategy.name.replace(":", "-")
        latency = f"{self.condition.latency_ms:g}ms"
        return f"{self.suite}-{self.task}-{self.episode}-{strategy}-{latency}"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All settings that change a result. server: host and port, None: the scripted policy.

    episodes: of each task, from initial state first_episode on. parameters: of the policy node, in
    addition to those of the benchmark and the strategy. limit_s: simulated time of an episode, 0:
    the benchmark's own. names_robots: each worker's node has a robot_id of its own; no setting, as
    it only keeps others from changing a result.
    """

    benchmark: Benchmark
    tasks: Mapping[str, tuple[int, ...]]
    episodes: int
    seed: int
    conditions: tuple[Condition, ...]
    server: tuple[str, int] | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    limit_s: float = 0.0
    first_episode: int = 0
    names_robots: bool = False

    def trials(self) -> Iterator[Trial]:
        """In an order in which a condition changes as seldom as possible."""
        for condition in self.conditions:
            for suite, tasks in self.tasks.items():
                for task in tasks:
                    for number in range(self.episodes):
                        episode = self.first_episode + number
                        yield Trial(suite, task, episode, self.seed, condition)

    def settings(self) -> Plain:
        """As plain values, to be compared with those of an earlier run in the same folder."""
        benchmark = asdict(self.benchmark)
        for command in ("simulation", "policy"):  # the interpreter's path is no setting
            benchmark[command] = list(benchmark[command][1:])
        return {
            "benchmark": benchmark,
            "tasks": {suite: list(tasks) for suite, tasks in self.tasks.items()},
            "episodes": self.episodes,
            "first_episode": self.first_episode,
            "seed": self.seed,
            "conditions": [
                {
                    "strategy": one.strategy.name,
                    "parameters": dict(one.strategy.parameters),
                    "latency_ms": one.latency_ms,
                }
                for one in self.conditions
            ],
            "server": list(self.server) if self.server else None,
            "parameters": dict(self.parameters),
            "limit_s": self.limit_s,
        }


def differences(ours: Any, theirs: Any, name: str = "") -> list[str]:
    """What differs between two plain values, one line each."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = dict.fromkeys((*ours, *theirs))
        return [
            line
            for key in keys
            for line in differences(
                ours.get(key), theirs.get(key), f"{name}.{key}" if name else str(key)
            )
        ]
    return [] if ours == theirs else [f"{name}: got {ours!r}, there it was {theirs!r}"]
