"""GR00T-WholeBodyControl's upper-body goal: its content, and whose monotonic clock it is timed by.

Facts: NVlabs/GR00T-WholeBodyControl 1983e88, decoupled_wbc: run_teleop_policy_loop.py,
interpolation_policy.py, run_g1_control_loop.py. Knows no message, topic and clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

LEAD_NS = 40_000_000
"""A goal is to be reached so much later: two periods of the receiver's loop of 50 Hz, so that its
interpolation does not run dry when one goal comes a period late."""

SAME_CLOCK_NS = 200_000_000
"""Two readings of one monotonic clock, one of them sent over a topic at 50 Hz, are no farther
apart. Two hosts' clocks count from their own boots."""


def goal(
    position: NDArray[np.float64],
    monotonic_ns: int,
    walk: Sequence[float] | None = None,
    height_m: float | None = None,
) -> dict[str, object]:
    """What is sent at monotonic_ns of the robot host's clock: plain lists and numbers.

    position: (N,) rad, the upper body's joints in the receiver's order. walk: x, y (m/s) and about
    z (rad/s). Where both are None they are left out, and its keyboard walks the robot; with either
    the receiver stops walking by itself when no goal came for 1 s.
    Raises ValueError for what is not finite.
    """
    content: dict[str, object] = {
        "target_upper_body_pose": position.tolist(),
        "target_time": (monotonic_ns + LEAD_NS) / 1e9,
        "timestamp": monotonic_ns / 1e9,
    }
    if walk is not None:
        content["navigate_cmd"] = list(walk)
    if height_m is not None:
        content["base_height_command"] = height_m
    numbers = [*position, *(walk or ()), 0.0 if height_m is None else height_m]
    if not np.isfinite(numbers).all():
        raise ValueError(f"got {content}, expected finite numbers")
    return content


def another_clock(status: Mapping[object, object], monotonic_ns: int) -> str:
    """Why target times by this host's clock mean nothing to the sender of `status`; "" if they do.

    The receiver's control loop sends its own monotonic time as `timestamp`, s, with its status.
    """
    told = status.get("timestamp")
    if isinstance(told, bool) or not isinstance(told, (int, float)) or not np.isfinite(told):
        return f"timestamp: got {told!r} in the robot's status, expected its monotonic time in s"
    apart_s = told - monotonic_ns / 1e9
    if abs(apart_s) <= SAME_CLOCK_NS / 1e9:
        return ""
    return (
        f"host: the robot's monotonic clock is {apart_s:+.2f} s from this one's, expected the same "
        "clock: target_time is read by it, so run this streamer on the robot's own computer"
    )
