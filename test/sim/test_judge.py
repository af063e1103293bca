"""The judge of a record finds every step, and takes neither noise nor a lawful motion for one."""

from dataclasses import replace

import numpy as np
import pytest

from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.sim.record import (
    ROW_NS,
    WINDOW_DELAY,
    Record,
    TimedRows,
    broken,
    explained,
    extremes,
)

LIMITS = load_embodiment("franka_droid").limits


def record_of(position: np.ndarray, velocity: np.ndarray, acceleration: np.ndarray) -> Record:
    """A record of N consecutive rows of LIMITS' joints, each argument (N,): all do the same."""
    rows = [
        np.tile(values[:, None], len(LIMITS.names)) for values in (position, velocity, acceleration)
    ]
    return Record(LIMITS.names, 0, np.arange(len(position)) * ROW_NS, *rows, rows[0])


def smooth_move(size: float = 0.1) -> Record:
    """All joints 0.1 rad in 2 s: velocity and acceleration 0 at both ends."""
    t = np.linspace(0.0, 1.0, 2001)
    position = size * t**3 * (10 - 15 * t + 6 * t**2)
    velocity = size * 30 * t**2 * (1 - t) ** 2 / 2
    return record_of(position, velocity, size * 60 * t * (1 - t) * (1 - 2 * t) / 4)


def stepped(field: str, size: float) -> Record:
    """The same with a step of one joint in one field, in the middle of the motion."""
    record = smooth_move()
    values = getattr(record, field).copy()
    values[1000:, 3] += size
    return replace(record, **{field: values})


def test_a_smooth_move_is_inside_the_limits() -> None:
    """A quintic from rest to rest passes, and makes no step."""
    assert broken(smooth_move(), LIMITS) == []


@pytest.mark.parametrize(
    ("field", "size", "what"),
    [
        ("position", 1e-5, "step in position"),
        ("velocity", 0.01, "acceleration"),
        ("velocity", 0.001, "jerk"),
        ("acceleration", 0.5, "jerk"),
        ("velocity", 9.0, "velocity"),
        ("acceleration", 9.0, "acceleration"),
        ("position", np.nan, "step in position"),
        ("velocity", np.nan, "velocity"),
    ],
)
def test_a_step_is_told_by_its_name_and_its_joint(field: str, size: float, what: str) -> None:
    """10 urad, 0.01 rad/s and 0.5 rad/s^2 from one row to the next, and a NaN, are found."""
    said = broken(stepped(field, size), LIMITS)
    assert any(line.startswith(f"{what} of {LIMITS.names[3]}: ") for line in said), said
    assert all(LIMITS.names[3] in line for line in said)


def test_a_gap_in_the_record_is_told() -> None:
    """What happened in it nobody knows."""
    record = smooth_move()
    kept = np.arange(2001) != 1000
    fields = ("time_ns", "position", "velocity", "acceleration", "measured")
    gap = replace(record, **{field: getattr(record, field)[kept] for field in fields})
    assert "the record has gaps" in broken(gap, LIMITS)


def test_noise_of_the_clocks_offset_is_no_jerk_and_no_step() -> None:
    """Rows of a motion at 0.5 rad/s, played up to 1 us early or late: 2 urad from row to row.

    The third difference of position alone would be more than 400 rad/s^3.
    """
    noise_s = np.where(np.arange(2001) // 20 % 2, 0.5e-6, -0.5e-6)
    record = smooth_move(size=0.5)
    shaken = replace(record, position=record.position + record.velocity * noise_s[:, None])
    assert np.abs(np.diff(shaken.position, n=3, axis=0)).max() / 1e-9 > 400.0
    assert broken(shaken, LIMITS) == []
    np.testing.assert_array_equal(extremes(shaken).jerk, extremes(record).jerk)


def test_an_empty_record_has_no_motion() -> None:
    """Before the first row there is nothing to difference."""
    nothing = np.empty(0)
    np.testing.assert_array_equal(extremes(record_of(nothing, nothing, nothing)).jerk, np.zeros(8))


def test_extremes_of_a_smooth_motion_are_its_derivatives_maxima() -> None:
    """A sine of 1 rad at 2 rad/s: 2 rad/s, 4 rad/s^2, 8 rad/s^3."""
    t = np.arange(4000) * 1e-3
    found = extremes(record_of(np.sin(2 * t), 2 * np.cos(2 * t), -4 * np.sin(2 * t)))
    assert found.velocity[0] == pytest.approx(2.0, rel=1e-3)
    assert found.acceleration[0] == pytest.approx(4.0, rel=1e-3)
    assert found.jerk[0] == pytest.approx(8.0, rel=1e-2)
    assert found.step[0] < 1e-9


def test_a_position_step_that_hides_behind_zero_velocities_is_a_step() -> None:
    """1 mrad in one cycle, whatever the trajectory's own velocities say."""
    position = np.zeros(10)
    position[5:] = 1e-3
    found = extremes(record_of(position, np.zeros(10), np.zeros(10)))
    assert found.step[0] == pytest.approx(1e-3)


def test_a_velocity_step_shows_although_the_position_is_continuous() -> None:
    """Linear waypoints: the corner is an acceleration that no field of theirs states."""
    t = np.arange(20) * 1e-3
    position = np.where(t < 0.01, 0.0, 0.1 * (t - 0.01))
    velocity = np.where(t < 0.01, 0.0, 0.1)
    found = extremes(record_of(position, velocity, np.zeros(20)))
    assert found.acceleration[0] == pytest.approx(100.0)


def test_a_late_window_is_named_as_the_probable_cause() -> None:
    """The time of the largest change, and when and how late the latest window came."""
    delays = TimedRows(np.array([900, 999]) * ROW_NS, np.array([[0.004], [0.131]]))
    record = replace(stepped("velocity", 0.1), commands={f"{WINDOW_DELAY}arm": delays})
    assert explained(record) == (
        "the velocity changed most at 1.000 s of the record; the latest window arrived at "
        "0.999 s, 131 ms after its stamp, at arm"
    )
    assert explained(smooth_move()) == ""
