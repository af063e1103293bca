"""How old a sample is, and the one rule of what is late and what comes from the future.

A sample has two ages: by its header stamp (ROS time), and by its arrival (steady time). It is late
if either is above the limit: an old stamp means old data, and no arrival means a silent topic. A
stamp more than a tolerance ahead of ROS time means that the clocks disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

from gr00t_ros.observe.buffer import Sample

CONTROLLER_MAX_AGE_NS = 200_000_000
"""A controller's state older than this does not show where it holds the arm now.

Controllers publish their state at 20 Hz or more by default (state_publish_rate 50)."""


@dataclass(frozen=True, slots=True)
class Age:
    """The ages of one sample now; `stamp_ns` is negative for a stamp in the future."""

    stamp_ns: int
    silent_ns: int

    @staticmethod
    def of(sample: Sample, now_ros_ns: int, now_ns: int) -> Age:
        """The ages of `sample`; its stamp is ROS time, its arrival steady time like `now_ns`."""
        return Age(now_ros_ns - sample.stamp_ns, now_ns - sample.received_ns)

    @property
    def ns(self) -> int:
        """The larger of both ages, at least 0."""
        return max(self.stamp_ns, self.silent_ns, 0)

    def late(self, limit_ns: int) -> bool:
        """Whether the sample is too old, by its stamp or by its arrival."""
        return self.ns > limit_ns

    def future(self, tolerance_ns: int) -> bool:
        """Whether the stamp is more than `tolerance_ns` ahead of ROS time."""
        return -self.stamp_ns > tolerance_ns

    @property
    def in_future(self) -> str:
        """How far the stamp is in the future, as a text: to the ms, as the tolerance is."""
        return f"stamp is {-self.stamp_ns / 1e9:.3f} s in the future"
