"""What goes to the server: the camera and state streams of an embodiment, and their reading from its file.

Knows topics as names only; no ROS type, no message content, no buffer.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VideoStream:
    """One camera: modality key, topic, the size it is sent at and its history.

    `delta_indices` count steps of the embodiment's rate, at most 0 and increasing (oldest first).
    `rate_hz` is the rate at which frames are to be expected, the measure of late and of skew.
    """

    key: str
    topic: str
    height_px: int
    width_px: int
    fit: str  # "pad" | "stretch"
    delta_indices: tuple[int, ...] = (0,)
    transport: str = "raw"  # "raw" | "compressed"
    rate_hz: float = 15.0

    @property
    def period_ns(self) -> int:
        """Expected time between two frames."""
        return round(1e9 / self.rate_hz)


@dataclass(frozen=True, slots=True)
class StateStream:
    """One state key: from named joints of a JointState, or from a pose.

    joints: sent = (q - lo) / (hi - lo) where `scale` is (lo, hi), else q in the topic's unit.
    pose: `encode` says how position and orientation become numbers; `rotate` is the 3x3 matrix
    that multiplies the orientation from the right first; `frame` is the frame_id it must have.
    """

    key: str
    source: str  # "joints" | "pose"
    topic: str
    names: tuple[str, ...] = ()
    scale: tuple[float, float] | None = None
    encode: str | None = None  # None | "xyz_rot6d_rows"
    rotate: tuple[tuple[float, ...], ...] | None = None
    delta_indices: tuple[int, ...] = (0,)
    rate_hz: float = 15.0
    frame: str | None = None

    @property
    def width(self) -> int:
        """D of the sent (T, D) array."""
        return len(self.names) if self.source == "joints" else 9

    @property
    def period_ns(self) -> int:
        """Expected time between two messages."""
        return round(1e9 / self.rate_hz)
