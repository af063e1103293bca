"""A policy server that fails on purpose, in the ways that servers and networks fail.

Wraps the endpoints of any policy and drops, delays, changes or replaces their answers. No sockets
or clocks: the Answer itself says how late it is sent, and whether it is sent at all. Only
successful answers to get_action are changed, so that a client can connect; its check with a zero
observation counts as an action too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError
from gr00t_ros.serve.endpoints import Answer, Answers
from gr00t_ros.wire import codec, messages
from gr00t_ros.wire.arrays import ArrayCodec

Arrays = dict[str, NDArray[Any]]

HUGE: Final = 1e6  # rad: far outside any joint, and finite
GARBAGE_BYTES: Final = 1024
FORM: Final = "KIND[=VALUE][:WHEN]"
_FORM = re.compile(
    r"(?P<kind>[a-z]+)(=(?P<value>[^:]*))?"
    r"(:(?P<first>[1-9][0-9]{0,8})(?P<on>\+)?|:(?P<percent>[0-9]{1,3})%)?"
)


@dataclass(frozen=True, slots=True)
class PolicyFault:
    """One fault: its kind, its value, and the numbers of the actions that it affects, from 1."""

    kind: str
    value: str = ""
    first: int = 1
    last: int | None = None
    probability: float = 1.0

    def hits(self, number: int, source: random.Random) -> bool:
        """Whether the action of that number is affected; draws from `source` only if needed."""
        if number < self.first or (self.last is not None and number > self.last):
            return False
        return self.probability >= 1.0 or source.random() < self.probability


def read_fault(text: str) -> PolicyFault:
    """Read ``KIND[=VALUE][:WHEN]``; WHEN: ``3`` (that action), ``3+`` (from it on) or ``10%``.

    Raises SettingsError that lists the kinds.
    """
    match = _FORM.fullmatch(text)
    kind = match["kind"] if match else ""
    if match is None or kind not in FAULTS or int(match["percent"] or 0) > 100:
        known = "; ".join(f"{name} {meaning}" for name, meaning in FAULTS.items())
        raise SettingsError(
            f"fault {text!r:.80}: expected {FORM}, WHEN such as 3, 3+ or 10%; KIND one of: {known}"
        )
    value = match["value"] or ""
    if kind == "late":
        _late_s(value)
    first = int(match["first"] or 1)
    return PolicyFault(
        kind=kind,
        value=value,
        first=first,
        last=first if match["first"] and not match["on"] else None,
        probability=int(match["percent"]) / 100 if match["percent"] else 1.0,
    )


class Faulty:
    """Wraps the endpoints of a server and adds faults to their answers."""

    def __init__(
        self,
        inner: Answers,
        faults: Sequence[PolicyFault],
        array_codec: ArrayCodec,
        crash: Callable[[], NoReturn],
        seed: int | None = None,
    ) -> None:
        """`array_codec`: the one that `inner` writes. `crash` must end the process at once."""
        self._inner = inner
        order = list(FAULTS)
        self._faults = sorted(faults, key=lambda fault: order.index(fault.kind))
        self._array_codec = array_codec
        self._crash = crash
        self._random = random.Random(seed)
        self.actions = 0

    def answer(self, frame: bytes, max_bytes: int = codec.MAX_BYTES) -> Answer:
        """Return the inner answer with the faults applied."""
        answer = self._inner.answer(frame, max_bytes)
        if answer.endpoint != messages.GET_ACTION or answer.error is not None:
            return answer
        self.actions += 1
        for fault in self._faults:
            if fault.hits(self.actions, self._random):
                answer = self._spoil(answer, fault)
        return answer

    def refuse(self, text: str, endpoint: str = "") -> Answer:
        """Return the inner refusal."""
        return self._inner.refuse(text, endpoint)

    def _spoil(self, answer: Answer, fault: PolicyFault) -> Answer:
        if fault.kind == "crash":
            self._crash()
        if fault.kind == "drop":
            return replace(answer, sent=False)
        if fault.kind == "late":
            return replace(answer, late_s=answer.late_s + _late_s(fault.value))
        if fault.kind == "garbage":
            return replace(answer, frame=self._random.randbytes(GARBAGE_BYTES))
        if fault.kind == "error":
            refused = self.refuse(fault.value or "CUDA out of memory", answer.endpoint)
            return replace(answer, frame=refused.frame, error=refused.error)
        return replace(answer, frame=self._spoilt(answer.frame, _SPOILERS[fault.kind]))

    def _spoilt(self, frame: bytes, spoil: Callable[[Arrays], Arrays]) -> bytes:
        reply = codec.decode(frame)
        spoilt = [spoil(reply[0]), *reply[1:]] if isinstance(reply, list) else spoil(reply)
        return codec.encode(spoilt, self._array_codec)


def _late_s(value: str) -> float:
    if not re.fullmatch(r"[0-9]{1,7}", value):
        raise SettingsError(f"fault late={value!r:.40}: expected whole milliseconds, as late=500")
    return int(value) / 1e3


def _with_value(value: float) -> Callable[[Arrays], Arrays]:
    """Put `value` in the last number of each key: a check of the first step misses it."""

    def spoil(arrays: Arrays) -> Arrays:
        spoilt = {key: array.copy() for key, array in arrays.items()}
        for array in spoilt.values():
            array.flat[-1] = value
        return spoilt

    return spoil


def _wider(arrays: Arrays) -> Arrays:
    return {key: np.concatenate([array, array[..., :1]], axis=-1) for key, array in arrays.items()}


def _shorter(arrays: Arrays) -> Arrays:
    return {key: array[..., :-1, :].copy() for key, array in arrays.items()}


def _fewer(arrays: Arrays) -> Arrays:
    return dict(list(arrays.items())[1:])


_SPOILERS: Mapping[str, Callable[[Arrays], Arrays]] = {
    "nan": _with_value(np.nan),
    "inf": _with_value(np.inf),
    "huge": _with_value(HUGE),
    "shape": _wider,
    "horizon": _shorter,
    "keys": _fewer,
}

# In the order in which they are applied: the last ones leave no arrays to change.
FAULTS: Mapping[str, str] = {
    "nan": "(not a number in the last step)",
    "inf": "(infinity there)",
    "huge": f"({HUGE:g} there)",
    "shape": "(one column too many)",
    "horizon": "(one step too few)",
    "keys": "(the first key left out)",
    "late": "=MS: the reply goes out that much later",
    "drop": "(no reply)",
    "error": "=TEXT: an error reply",
    "garbage": "(random bytes)",
    "crash": "(the process ends at once)",
}
