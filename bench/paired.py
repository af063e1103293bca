"""Paired measurement: variants in random order in one run, so that drift affects all of them alike.

Absolute figures change with the machine and its other load; ratios of medians from one run do not.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
Samples = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Target:
    """One condition that must hold: `value` is at most, or at least, `limit`."""

    name: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def passed(self) -> bool:
        """Whether the value keeps the limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        """One line: verdict, name, value and limit."""
        sign = ">=" if self.at_least else "<="
        verdict = "PASS" if self.passed else "FAIL"
        return f"{verdict}  {self.name}: {self.value:.3g} ({sign} {self.limit:g})"


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a benchmark: lines to print, figures to store, targets met or missed."""

    name: str
    lines: tuple[str, ...]
    figures: Mapping[str, object]
    targets: tuple[Target, ...] = field(default=())


def interleave(
    variants: Mapping[str, Callable[[], T]], rounds: int, warm_up: int = 5, seed: int = 1
) -> dict[str, list[T]]:
    """Run every variant once a round, each round in a new random order; return their results."""
    order = list(variants)
    samples: dict[str, list[T]] = {name: [] for name in order}
    shuffle = random.Random(seed).shuffle
    for number in range(-warm_up, rounds):
        shuffle(order)
        for name in order:
            value = variants[name]()
            if number >= 0:
                samples[name].append(value)
    return samples


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` per cent of `values` do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def ratio(samples: Samples, over: str, under: str) -> float:
    """Return the ratio of the medians of two variants."""
    return statistics.median(samples[over]) / statistics.median(samples[under])


def ratio_interval(
    samples: Samples, over: str, under: str, resamples: int = 400, seed: int = 1
) -> tuple[float, float]:
    """Return the 95 % interval of `ratio`, by resampling rounds as pairs (percentile bootstrap)."""
    rounds = range(len(samples[over]))
    draw = random.Random(seed).choices
    ratios = []
    for _ in range(resamples):
        chosen = draw(rounds, k=len(rounds))
        drawn = {name: [samples[name][i] for i in chosen] for name in (over, under)}
        ratios.append(ratio(drawn, over, under))
    return percentile(ratios, 2.5), percentile(ratios, 97.5)
