"""The joint curves of a running node: the last seconds of ~/preview/joints."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from gr00t_ros.msg import JointComparison
from gr00t_ros.web.view import CURVES_S

_KINDS: Final = ("predicted", "commanded", "measured")
_MOST: Final = 400
"""Samples that are kept: more than the node's ten a second."""


class Curves:
    """Samples by their time of arrival; all methods run under the owner's lock."""

    def __init__(self) -> None:
        """No sample yet."""
        self._names: tuple[str, ...] = ()
        self._samples: deque[tuple[float, JointComparison]] = deque(maxlen=_MOST)

    def put(self, message: JointComparison, now_s: float) -> None:
        """Take a sample; one whose columns do not fit its names is dropped."""
        if any(len(getattr(message, kind)) != len(message.names) for kind in _KINDS):
            return
        names = tuple(message.names)
        if names != self._names:  # another configuration
            self._samples.clear()
            self._names = names
        self._samples.append((now_s, message))

    @property
    def names(self) -> tuple[str, ...]:
        """The joints of the newest sample."""
        return self._names

    def at(self, now_s: float) -> dict[str, Any]:
        """The curves of the last CURVES_S before now."""
        shown = [(at_s, one) for at_s, one in self._samples if now_s - at_s <= CURVES_S]
        return {
            "names": list(self._names),
            "t": [round(at_s - now_s, 3) for at_s, _ in shown],
            **{kind: _rows([getattr(one, kind) for _, one in shown]) for kind in _KINDS},
        }


def _rows(columns: Sequence[Sequence[float]]) -> list[list[float | None]]:
    """One row a joint from one column a sample; null where unknown."""
    return [
        [round(value, 5) if math.isfinite(value) else None for value in row]
        for row in zip(*columns, strict=True)
    ]
