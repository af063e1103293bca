"""The offset between two clocks from noisy readings: smooth in drift, at once in a step.

Its caller reads the clocks. A window's stamp moves with this offset, so its noise becomes motion:
1 us at 1 rad/s is 1 urad, which a robot that differentiates at 1 kHz sees as 1 rad/s^2.
"""

from __future__ import annotations

from dataclasses import dataclass

# Share of a reading's deviation that is believed: smooths over about 30 readings, which at
# 50 Hz follows a clock that is slewed by 500 ppm (NTP's most) to within 0.3 ms.
SHARE = 1 / 32
# A deviation beyond what the reading itself can explain, by this much, is a step of a clock.
STEP_NS = 1_000_000


@dataclass(slots=True)
class ClockOffset:
    """The estimate of `other - own` in ns; None until the first reading."""

    # An int: as a float, ROS time in ns comes in steps of 256 ns, and each would be a step.
    estimate_ns: int | None = None

    def update(self, before_ns: int, other_ns: int, after_ns: int) -> int:
        """Take one reading of the other clock, made between two of the own; returns the offset.

        The true offset lies in [other - after, other - before]: a reading that was interrupted
        is a wide interval, and moves the estimate only where the interval rules it out.
        """
        low_ns, high_ns = other_ns - after_ns, other_ns - before_ns
        middle_ns = (low_ns + high_ns) // 2
        estimate_ns = self.estimate_ns
        if estimate_ns is None or not low_ns - STEP_NS <= estimate_ns <= high_ns + STEP_NS:
            estimate_ns = middle_ns
        elif high_ns - low_ns < STEP_NS:
            estimate_ns += round(SHARE * (middle_ns - estimate_ns))
        self.estimate_ns = estimate_ns
        return estimate_ns
