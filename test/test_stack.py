"""The judge of the closed loop can tell a step from a motion inside the limits."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from stack import EMBODIMENT, assert_inside_the_limits  # noqa: E402

from gr00t_ros.sidecar.embodiment_file import load_embodiment  # noqa: E402
from gr00t_ros.sim.record import ROW_NS, Record  # noqa: E402


def smooth_move() -> Record:
    """All joints 0.1 rad in 2 s: velocity and acceleration 0 at both ends."""
    names = load_embodiment(EMBODIMENT).joint_names
    t = np.linspace(0.0, 1.0, 2001)[:, None] * np.ones(len(names))
    position = 0.1 * t**3 * (10 - 15 * t + 6 * t**2)
    velocity = 0.1 * 30 * t**2 * (1 - t) ** 2 / 2
    acceleration = 0.1 * 60 * t * (1 - t) * (1 - 2 * t) / 4
    time_ns = np.arange(len(t), dtype=np.int64) * ROW_NS
    return Record(names, 0, time_ns, position, velocity, acceleration, position)


def stepped(field: str, size: float) -> Record:
    """The same with a step of one joint in one field, in the middle of the motion."""
    record = smooth_move()
    values = getattr(record, field).copy()
    values[1000:, 3] += size
    return replace(record, **{field: values})


def test_a_smooth_move_is_inside_the_limits() -> None:
    """A quintic from rest to rest passes."""
    assert_inside_the_limits(smooth_move())


@pytest.mark.parametrize(
    ("field", "size", "what"),
    [
        ("position", 1e-5, "step in position"),
        ("velocity", 0.01, "commanded acceleration"),
        ("acceleration", 0.5, "commanded jerk"),
        ("position", np.nan, "step in position"),
    ],
)
def test_a_step_is_told_by_its_name(field: str, size: float, what: str) -> None:
    """10 urad, 0.01 rad/s and 0.5 rad/s^2 from one row to the next, and a NaN, fail."""
    with pytest.raises(AssertionError, match=what):
        assert_inside_the_limits(stepped(field, size))
