"""What the simulated robot is commanded: the newest twist and the gripper's sense, as an action.

LIBERO's controller takes one action a control step: three numbers for the way, three for the turn
and one for the gripper, each -1 to 1. It puts its goal 0.05 m (0.5 rad) times the number ahead of
where the tool is, and follows that goal like a spring. So the tool does not move 0.05 m in a step:
in steady motion it moves REACH_M times the number, as measured (docs/libero.md).
"""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEP_NS = 50_000_000
"""A control step, ns of simulated time."""
REACH_M, REACH_RAD = 0.013, 0.13
"""Motion of the tool in one step of steady motion with 1.0, m and rad."""
FRAME = "fer_link0"
"""Of a twist; its axes are those of LIBERO's world."""
SILENCE_NS = 200_000_000
"""Without a newer twist for this long the tool holds, ns of simulated time."""
KEPT_ROWS = 100_000
OPENING, CLOSING = -1.0, 1.0
"""The gripper's number of an action."""
_STILL_M_S = 1e-4

# Twist at which the tool moves with 1.0, (6,) m/s and rad/s.
FULL_TWIST = np.repeat([REACH_M, REACH_RAD], 3) / (STEP_NS * 1e-9)


class TwistInput:
    """The newest twist that may be followed. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: tuple[int, Floats] | None = None
        self._earliest_ns = 0
        self._rows: deque[tuple[int, Floats]] = deque(maxlen=KEPT_ROWS)

    def accept(self, frame: str, stamp_ns: int, twist: Floats, now_ns: int) -> str:
        """Follow a twist (6,) from now on, or return why not.

        ``stamp_ns``, ``now_ns``: simulated time. A receiver that guessed would move the arm.
        """
        reason = self._unfit(frame, stamp_ns, twist, now_ns)
        with self._lock:
            if not reason:
                self._newest = stamp_ns, twist
                self._rows.append((stamp_ns, twist))
        return reason

    def forget(self, now_ns: int) -> None:
        """Hold, and take no twist that was stamped until now: it was meant for another episode."""
        with self._lock:
            self._newest, self._earliest_ns = None, now_ns

    def action(self, now_ns: int) -> Floats:
        """The first six numbers of the action (6,); zeros if the newest twist is too old."""
        with self._lock:
            newest = self._newest
        if newest is None or now_ns - newest[0] > SILENCE_NS:
            return np.zeros(6)
        return np.clip(newest[1] / FULL_TWIST, -1.0, 1.0)

    def rows(self) -> tuple[NDArray[np.int64], Floats]:
        """Stamps (M,) and twists (M, 6) of what was accepted."""
        with self._lock:
            rows = list(self._rows)
        stamps = np.array([stamp for stamp, _ in rows], dtype=np.int64)
        return stamps, np.array([twist for _, twist in rows]).reshape(len(rows), 6)

    def _unfit(self, frame: str, stamp_ns: int, twist: Floats, now_ns: int) -> str:
        if frame != FRAME:
            return f"frame_id: got {frame!r}, expected {FRAME!r}"
        if not np.isfinite(twist).all():
            return "twist: got NaN or infinity, expected finite numbers"
        if stamp_ns <= self._earliest_ns:
            return f"stamp: got {stamp_ns / 1e9:.3f} s, from before the reset"
        if abs(now_ns - stamp_ns) > SILENCE_NS:
            off = (now_ns - stamp_ns) / 1e9
            return f"stamp: got {off:+.3f} s behind simulated time, expected at most 0.2"
        return ""


class GripperSense:
    """Whether LIBERO's gripper opens or closes: it knows nothing between.

    The controller plays a trajectory of the finger's position; the gripper takes its direction.
    """

    def __init__(self) -> None:
        """Opening, as LIBERO's episodes begin."""
        self._sense = OPENING

    def action(self, velocity_m_s: float) -> float:
        """OPENING or CLOSING: the way that the finger was last commanded to move."""
        if abs(velocity_m_s) > _STILL_M_S:
            self._sense = OPENING if velocity_m_s > 0.0 else CLOSING
        return self._sense

    def forget(self) -> None:
        """Opening again, for a new episode."""
        self._sense = OPENING
