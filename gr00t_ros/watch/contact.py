"""The watch on contacts: averages, bias, thresholds; and thresholds from a free motion.

A source gives values in Nm for each joint, a force in N, or a flag. One message has all of them or
some: each value has its own average and its own age. Times of values are those of their publisher,
`now_ns` is steady time. The watch measures always; the caller decides whether it reacts. A value
that is not finite is a finding of its own and never hides the values before it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.contact.sources import ContactSource
from gr00t_ros.watch.finding import AwakeTime, Finding, all_awake
from gr00t_ros.watch.table import default_ns, finding, reasoned

Floats = NDArray[np.float64]

_MOST_SAMPLES = 1024  # more than the longest average of a topic with 1 kHz
_LEAST_SAMPLES = 100  # the largest of a few values says nothing about the next ones
_LEAST = 1.0  # Nm or N, below which a threshold would be noise


class Bias:
    """The mean of each value in free motion, learned once; zero where none is learned."""

    def __init__(self, count: int, learn_ns: int) -> None:
        """Learn (count,) values, each over `learn_ns` of motion."""
        self._learn_ns, self._sums = learn_ns, np.zeros(count)
        self._samples, self._moved_ns = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._last_ns: list[int | None] = [None] * count  # of the value before, if it moved too
        self.value: Floats = np.zeros(count)

    @property
    def learned(self) -> bool:
        """Whether the bias of each value is known."""
        return bool((self._moved_ns >= self._learn_ns).all())

    @property
    def text(self) -> str:
        """How much of the motion is still needed; empty once the bias is known."""
        if self.learned:
            return ""
        return (
            f"learns its bias: {self._moved_ns.min() / 1e9:.1f} of {self._learn_ns / 1e9:.1f} s of "
            "free motion, finds no contact until then"
        )

    def take(self, at_ns: int, columns: Sequence[int], values: Floats, moving: bool) -> None:
        """Take (n,) values of these n columns at the time `at_ns`; those at rest are not used."""
        if self.learned:
            return
        for column, value in zip(columns, values, strict=True):
            last_ns, self._last_ns[column] = self._last_ns[column], at_ns if moving else None
            if not moving:
                continue
            self._sums[column] += value
            self._samples[column] += 1
            if last_ns is not None and at_ns > last_ns:
                self._moved_ns[column] += at_ns - last_ns
        if self.learned:  # mypy takes it to be as above, before the loop
            self.value = self._sums / self._samples  # type: ignore[unreachable]


class _Average:
    """The newest average of one value, and when that came."""

    def __init__(self, span_ns: int) -> None:
        self._span_ns = span_ns
        self._samples: deque[tuple[int, float]] = deque(maxlen=_MOST_SAMPLES)
        self.level = 0.0
        self.received_ns: int | None = None

    def take(self, at_ns: int, value: float, now_ns: int) -> None:
        samples, self.received_ns = self._samples, now_ns
        if samples and at_ns < samples[-1][0]:
            samples.clear()  # another publisher, or its clock was set
        samples.append((at_ns, value))
        while samples[0][0] < at_ns - self._span_ns:
            samples.popleft()
        self.level = sum(sample for _, sample in samples) / len(samples)


class ContactWatch:
    """The watch on one source."""

    def __init__(self, source: ContactSource, silence_ns: int = default_ns("contact_silence_s")):
        """Nothing was received yet; `silence_ns` is the age from which the source is silent."""
        self.source, self.silence_ns = source, silence_ns
        self._names = source.names or ("the flag",)
        self._bias = Bias(len(self._names), source.learn_ns)
        self._averages = [_Average(source.average_ns) for _ in self._names]
        self._problem, self._problem_ns = "", 0
        self._found = ""  # a contact since the last call of `findings`, however short

    def take(
        self,
        at_ns: int,
        values: Sequence[float] | Floats,
        now_ns: int,
        moving: bool,
        columns: Sequence[int] | None = None,
    ) -> bool:
        """Take the values of one message; (1,) 0.0 or 1.0 of a flag. moving: the arm moves.

        columns: which of the source's values these are; None: all. False for values that cannot be
        used: they are kept out of the averages, and become the problem.
        """
        got = np.asarray(values, dtype=np.float64)
        which = range(len(self._names)) if columns is None else columns
        names = [self._names[column] for column in which]
        if len(got) != len(names):
            self.refuse(f"got {len(got)} values, expected {len(names)}: {', '.join(names)}", now_ns)
            return False
        if not np.isfinite(got).all():
            bad = [f"{names[i]} {got[i]}" for i in np.flatnonzero(~np.isfinite(got))]
            self.refuse(f"got {', '.join(bad)}, expected finite numbers", now_ns)
            return False
        for column, value in zip(which, got.tolist(), strict=True):
            self._averages[column].take(at_ns, value, now_ns)
        self._bias.take(at_ns, which, got, moving)
        self._found = self._contact() or self._found
        return True

    def refuse(self, problem: str, now_ns: int) -> None:
        """Note a message that cannot be used, with what was got and what was expected."""
        self._problem, self._problem_ns = problem, now_ns

    @property
    def residual(self) -> Floats | None:
        """(N,) the averages less the bias; None until each value was received."""
        if any(one.received_ns is None for one in self._averages):
            return None
        return np.array([one.level for one in self._averages]) - self._bias.value

    def findings(
        self, now_ns: int, fault: bool, awake_ns: AwakeTime = all_awake, mixed: str = ""
    ) -> tuple[Finding, ...]:
        """The findings since the last call: a contact, values that cannot be used, silence.

        None of a source that cannot find a contact. A contact stops soon. fault: they fault, else
        they pause. awake_ns: how much of an age this process was awake. mixed: which publishers
        send the same values at once; it is not known whose are right.
        """
        found, self._found = self._contact() or self._found, ""
        if not self.source.reacts:
            return ()
        texts = [found, mixed, self._unusable(now_ns), self._silent(now_ns, awake_ns)]
        contact, *others = (f"{self._label}: {text}" if text else "" for text in texts)
        every = [replace(finding("contact", contact, fault), soon=True)] if contact else []
        every += [reasoned("contact", text, fault) for text in others if text]
        return tuple(every)

    def text(self, now_ns: int, mixed: str = "") -> str:
        """The state of the source in one line: its largest value beside its threshold."""
        parts = [mixed, self._unusable(now_ns), self._silent(now_ns, all_awake), self._bias.text]
        if not self.source.reacts:
            parts.append("no thresholds in the file, only shown")
        return "; ".join(part for part in (self._measured(), *parts) if part)

    @property
    def _label(self) -> str:
        return f"contact {self.source.name} on {self.source.topic}"

    def _shares(self, values: Floats) -> Floats:
        """(N,) sizes of the values; of a force one length."""
        return np.abs(values) if self.source.type != "wrench" else np.array([_length(values)])

    def _largest(self) -> tuple[str, float, float | None] | None:
        """Name, size and threshold of the value that is largest beside its threshold."""
        residual = self.residual
        if residual is None:
            return None
        sizes, source = self._shares(residual), self.source
        limits = source.thresholds or None
        shares = sizes if limits is None else sizes / np.array(limits)
        most = int(np.argmax(shares))
        name = source.names[most] if source.type != "wrench" and source.names else "force"
        return name, float(sizes[most]), None if limits is None else limits[most]

    def _measured(self) -> str:
        largest = self._largest()
        if largest is None:
            return ""
        name, size, limit = largest
        if self.source.type == "flag":
            return "contact" if size else "no contact"
        of = "" if limit is None else f" of {limit:g}"
        return f"{name} {size:.2f}{of} {self.source.unit}"

    def _contact(self) -> str:
        """What was found, if a value exceeds its threshold."""
        largest = self._largest()
        if largest is None or not self._bias.learned:
            return ""
        name, size, limit = largest
        if self.source.type == "flag":
            return "the robot reports a contact" if size else ""
        if limit is None:
            return ""
        wrong = self._wrong_bias()
        if wrong:
            return wrong
        if size <= limit:
            return ""
        return f"{name} {size:.1f} {self.source.unit}, at most {limit:g} allowed"

    def _wrong_bias(self) -> str:
        """Why the learned bias cannot be right: it would be a contact by itself."""
        limits, sizes = np.array(self.source.thresholds), self._shares(self._bias.value)
        over = np.flatnonzero(~(sizes <= limits))
        if not len(over):
            return ""
        one = int(over[0])
        return (
            f"the learned bias of {self.source.names[one]} is {sizes[one]:.1f} Nm, expected at "
            f"most its threshold {limits[one]:g}: the sign of the efforts, the masses of the "
            "description or the payload do not fit"
        )

    def _unusable(self, now_ns: int) -> str:
        """What is wrong with the messages; for as long as a silence is allowed after the last."""
        recent = bool(self._problem) and now_ns - self._problem_ns <= self.silence_ns
        return self._problem if recent else ""

    def _silent(self, now_ns: int, awake_ns: AwakeTime) -> str:
        """Which values did not come for longer than is allowed, or never."""
        came = {
            name: one.received_ns for name, one in zip(self._names, self._averages, strict=True)
        }
        never = [name for name, received_ns in came.items() if received_ns is None]
        if len(never) == len(came):
            joints = self.source.type in ("external_torques", "effort")
            of = f" of {', '.join(never)}" if joints else ""
            return f"nothing usable received{of}, expected messages: start its publisher"
        if never:
            return (
                f"nothing usable received of {', '.join(never)}, others come: start their "
                "publisher, or correct names"
            )
        ages_ns = {
            name: awake_ns(now_ns - at_ns) for name, at_ns in came.items() if at_ns is not None
        }
        late = [name for name, age_ns in ages_ns.items() if age_ns > self.silence_ns]
        if not late:
            return ""
        of = f" of {', '.join(late)}" if len(late) < len(came) else ""
        return (
            f"last usable message{of} {max(ages_ns.values()) / 1e9:.2f} s ago, at most "
            f"{self.silence_ns / 1e9:.2f} s allowed: check its publisher and the network"
        )


def _length(force: Floats) -> float:
    return float(np.linalg.norm(force))


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

    def take(self, at_ns: int, values: Floats, columns: Sequence[int] | None = None) -> None:
        """Take (n,) values of one message; columns: which of the source's values, None: all."""
        taken = self._watch.take(at_ns, values, at_ns, False, columns)
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
            parts = (
                f"{source.topic}: {why}",
                self._unusable or ("" if count else self._watch.text(0)),
            )
            return Proposal(source, count, "; ".join(part for part in parts if part))
        every = np.array(self._rows)
        bias = every.mean(axis=0) if source.learn_ns else np.zeros(every.shape[1])
        free = every - bias
        sizes = np.linalg.norm(free, axis=1)[:, None] if source.type == "wrench" else np.abs(free)
        largest = tuple(float(value) for value in sizes.max(axis=0))
        proposed = tuple(max(_LEAST, math.ceil(2.0 * margin * value) / 2.0) for value in largest)
        shown = tuple(float(value) for value in bias) if source.learn_ns else ()
        return Proposal(source, count, "", largest, proposed, shown)
