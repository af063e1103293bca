"""The policy node's status and joint curves as the page shows them: plain values and words."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from gr00t_ros.motion.replay_settings import LATENCY_LIMIT
from gr00t_ros.msg import JointComparison, PolicyStatus, StageLatency, StreamStatus
from gr00t_ros.session.mode import Mode
from gr00t_ros.text_table import printable
from gr00t_ros.tools.operator_screen import remedy
from gr00t_ros.web.view import CURVES_S, LIVE_S

_END_TO_END: Final = "end_to_end"

LABELS: Final[dict[str, tuple[str, str]]] = {
    Mode.UNCONFIGURED.value: ("Not configured", "info"),
    Mode.WAITING.value: ("Not ready yet", "warn"),
    Mode.READY.value: ("Ready, not active", "info"),
    Mode.BLENDING_IN.value: ("Starting to move", "ok"),
    Mode.REPLAYING.value: ("Moving by the policy", "ok"),
    Mode.STOPPING.value: ("Stopping", "warn"),
    Mode.HOLDING.value: ("Waits for the policy", "warn"),
    Mode.PAUSED.value: ("Paused by a watch", "warn"),
    Mode.PAUSED_BY_OPERATOR.value: ("Paused by the operator", "warn"),
    Mode.FAULT.value: ("Fault", "error"),
    Mode.FAULT_INACTIVE.value: ("Fault, not active", "error"),
}
"""Mode -> what it is called for people, and how grave it is."""


def label(mode: str) -> tuple[str, str]:
    """What a mode is called, and how grave it is; a mode of another version is shown as it is."""
    return LABELS.get(mode, (printable(mode) or "No status yet", "warn"))


def empty() -> dict[str, Any]:
    """The snapshot while no status has come."""
    return {
        **{"stamp_s": None, "connected": False, "age_s": None, "mode": "", "label": label("")[0]},
        **{"severity": "warn", "reason": "", "remedy": "", "instruction": "", "episode": None},
        **{"streams": [], "latency": _latency([], []), "details": [], "shadow": False},
        **{"recorder": None, "history": []},
    }


def snapshot(status: PolicyStatus, age_s: float, node: str) -> dict[str, Any]:
    """The snapshot of a status of that age; recorder and history are added by its caller."""
    text, severity = label(status.mode)
    details = [[printable(one.key), printable(one.value)] for one in status.details]
    shadow = ["shadow", "true"] in details
    stamp = status.header.stamp
    return empty() | {
        "stamp_s": stamp.sec + stamp.nanosec / 1e9,
        "connected": age_s < LIVE_S,
        "age_s": round(age_s, 3),
        "mode": printable(status.mode),
        "label": f"{text} (shadow)" if shadow else text,
        "severity": severity,
        "reason": printable(status.reason),
        "remedy": remedy(status.mode, node, shadow),
        "instruction": printable(status.instruction),
        "episode": status.episode,
        "streams": [_stream(one) for one in status.streams],
        "latency": _latency(status.latencies, details),
        "details": details,
        "shadow": shadow,
    }


def _stream(one: StreamStatus) -> dict[str, Any]:
    return {
        "name": printable(one.name),
        "age_s": _finite(one.age_s) if one.age_s >= 0.0 else None,
        "limit_s": _finite(one.max_age_s),
        "ok": bool(one.fresh and not one.problem),
    }


def _latency(stages: list[StageLatency], details: list[list[str]]) -> dict[str, Any]:
    rows = [
        {
            "stage": printable(one.stage),
            "p50_ms": _milliseconds(one.p50_s),
            "p99_ms": _milliseconds(one.p99_s),
            "max_ms": _milliseconds(one.max_s),
        }
        for one in stages
    ]
    whole = next((one["p99_ms"] for one in rows if one["stage"] == _END_TO_END), None)
    limit_ms = next((float(value) for key, value in details if key == LATENCY_LIMIT), None)
    return {"stages": rows, "limit_ms": limit_ms, "end_to_end_ms": whole}


def _milliseconds(seconds: float) -> float | None:
    return _finite(1e3 * seconds)


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


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
