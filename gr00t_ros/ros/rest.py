"""Whether the arm is measured to rest, asked while a transition keeps the executor waiting."""

from __future__ import annotations

import time
from collections.abc import Callable

from gr00t_ros.core.errors import Gr00tError
from gr00t_ros.ros.inputs import Inputs
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.ros.surroundings import Positions, Surroundings

_SPAN_S = 0.1  # over which the measured speed is taken


def wait_for_rest(
    session_active: Callable[[], bool], inputs: Inputs, around: Surroundings, values: Parameters
) -> str:
    """Wait until the session ended and the arm rests, at most stop_timeout_s; why not, or empty."""
    deadline_s = time.monotonic() + values.stop_timeout_s
    while time.monotonic() < deadline_s:
        if not session_active() and _measured_at_rest(inputs, around, values.rest_velocity):
            return ""
    return f"no rest was measured within {values.stop_timeout_s} s"


def _measured_at_rest(inputs: Inputs, around: Surroundings, velocity_rad_s: float) -> bool:
    """Whether no joint moved faster on average over the next 0.1 s; False where it is not known."""
    before = _pulled(inputs, around)
    time.sleep(_SPAN_S)
    after = _pulled(inputs, around)
    if before is None or after is None:
        return False
    return float(abs(after - before).max()) < velocity_rad_s * _SPAN_S


def _pulled(inputs: Inputs, around: Surroundings) -> Positions | None:
    """(J,) measured position from messages pulled here: the executor's timer is waiting."""
    inputs.pull()
    try:
        return around.measured()
    except Gr00tError:
        return None
