"""Thresholds of contacts from a free motion: the largest residual of each value times a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.contact.sources import ContactSource
from gr00t_ros.watch.contact import ContactWatch

Floats = NDArray[np.float64]

_LEAST_SAMPLES = 100  # the largest of a few values says nothing about the next ones
_LEAST = 1.0  # Nm or N, below which a threshold would be noise


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one source had in a free motion; `problem` is empty if thresholds are proposed.

    One number for each joint, or one for a force. bias: only of a source that learns one.
    """

    source: ContactSource
    samples: int
    problem: str
    largest: tuple[float, ...] = ()
    proposed: tuple[float, ...] = ()
    bias: tuple[float, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What the numbers belong to."""
        return ("force",) if self.source.type == "wrench" else self.source.names


class FreeMotion:
    """The residuals of one source in a motion without contacts."""

    def __init__(self, source: ContactSource) -> None:
        """Nothing was taken yet; the source must not be a flag."""
        self._source = source
        self._watch = ContactWatch(replace(source, thresholds=(), learn_ns=0))
        self._rows: list[Floats] = []
        self._unusable = ""

    def take(self, at_ns: int, values: Floats) -> None:
        """Take the values of one message."""
        taken = self._watch.take(at_ns, values, at_ns, False)
        residual = self._watch.residual
        if taken and residual is not None:
            self._rows.append(residual)
        else:
            self._unusable = self._watch.text(at_ns)

    def refuse(self, problem: str) -> None:
        """Note a message that cannot be used."""
        self._unusable = problem

    def propose(self, margin: float) -> Proposal:
        """Thresholds of `margin` times the largest residual, rounded up to a half."""
        source, count = self._source, len(self._rows)
        if count < _LEAST_SAMPLES:
            why = f"got {count} usable messages, expected at least {_LEAST_SAMPLES}"
            parts = (f"{source.topic}: {why}", self._unusable)
            return Proposal(source, count, "; ".join(part for part in parts if part))
        every = np.array(self._rows)
        bias = every.mean(axis=0) if source.learn_ns else np.zeros(every.shape[1])
        free = every - bias
        sizes = np.linalg.norm(free, axis=1)[:, None] if source.type == "wrench" else np.abs(free)
        largest = tuple(float(value) for value in sizes.max(axis=0))
        proposed = tuple(max(_LEAST, math.ceil(2.0 * margin * value) / 2.0) for value in largest)
        shown = tuple(float(value) for value in bias) if source.learn_ns else ()
        return Proposal(source, count, "", largest, proposed, shown)
