"""The offset between two clocks from noisy readings: constant under noise, at once in a step.

Its caller reads the clocks. A window's stamp moves with this offset, so its noise becomes motion:
where it moves by d between two windows, the arm at velocity v moves by v*d beside its course, and
a robot that differentiates its commands at 1 kHz sees v*d/h^2 and 2*v*d/h^3 (the third difference
of a step is 1, -2, 1; h = 1 ms). At 1.3 rad/s, 75 ns are 0.1 rad/s^2 and 195 rad/s^3, which stood
on top of the 400 with which a stop begins; 5 ns are 0.007 rad/s^2 and 13 rad/s^3.

So a reading moves the estimate only where it rules it out. Each reading bounds the offset from both
sides, however long it was interrupted, and Linux slews its monotonic and its system clock alike:
one estimate stays right until somebody sets the clock.
"""

from __future__ import annotations

from dataclasses import dataclass

# What a reading rules the estimate out by is believed in this share: smooths over about 30
# readings, which at 50 Hz follows a clock that is slewed by 500 ppm (NTP's most) to within 0.3 ms.
SHARE = 1 / 32
# Below this it is the coarseness of an earlier reading, and the estimate moves by CREEP_NS alone:
# about five readings are made between two windows, which is 5 ns.
COARSE_NS = 1_000
CREEP_NS = 1
# Ruled out by more than this: a step of a clock.
STEP_NS = 1_000_000


@dataclass(slots=True)
class ClockOffset:
    """The estimate of `other - own` in ns; None until the first reading."""

    # An int: as a float, ROS time in ns comes in steps of 256 ns, and each would be a step.
    estimate_ns: int | None = None

    def update(self, before_ns: int, other_ns: int, after_ns: int) -> int:
        """Take one reading of the other clock, made between two of the own; returns the offset.

        The true offset lies in [other - after, other - before]. The first reading, and one after a
        step, is taken at its middle: its caller makes those as narrow as it can.
        """
        low_ns, high_ns = other_ns - after_ns, other_ns - before_ns
        estimate_ns = self.estimate_ns
        if estimate_ns is None or not low_ns - STEP_NS <= estimate_ns <= high_ns + STEP_NS:
            estimate_ns = (low_ns + high_ns) // 2
        else:
            nearest_ns = min(max(estimate_ns, low_ns), high_ns)
            estimate_ns += _move_ns(nearest_ns - estimate_ns)
        self.estimate_ns = estimate_ns
        return estimate_ns


def _move_ns(away_ns: int) -> int:
    if abs(away_ns) > COARSE_NS:
        return round(SHARE * away_ns)
    return min(max(away_ns, -CREEP_NS), CREEP_NS)
