"""Settings that contradict each other are refused with both names and the rule."""

from dataclasses import replace

import pytest

from gr00t_ros.errors import SettingsError
from gr00t_ros.motion.replay_settings import ReplaySettings

MS = 1_000_000
GOOD = ReplaySettings()


def test_the_defaults_keep_every_rule() -> None:
    """And are returned as they are."""
    assert GOOD.check() is GOOD


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("knot_ns", 15 * MS),
        ("knot_ns", 0),
        ("refresh_ns", 0),
        ("refresh_ns", 51 * MS),
        ("commit_ns", -1),
        ("horizon_ns", 2000 * MS),
        ("past_ns", 0),
        ("fade_ns", 0),
        ("merge", "median"),
        ("velocity_scale", 0.0),
        ("velocity_scale", 1.01),
        ("velocity_scale", float("nan")),
        ("lost_windows", -1),
        ("delivery_jitter_ns", -1),
        ("clock_offset_ns", 31 * MS),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_name(name: str, value: object) -> None:
    """Name, value and range are in the message."""
    with pytest.raises(SettingsError, match=f"{name}: got"):
        replace(GOOD, **{name: value}).check()  # type: ignore[arg-type]


def test_the_commit_time_must_survive_what_it_is_for() -> None:
    """Commit >= (lost + 1) * refresh + jitter + |offset| + 2 ms: 92 ms by default."""
    assert replace(GOOD, commit_ns=92 * MS).check()
    with pytest.raises(SettingsError, match=r"commit_ns: got 91000000, expected at least 92000000"):
        replace(GOOD, commit_ns=91 * MS).check()
    with pytest.raises(SettingsError, match="commit_ns"):
        replace(GOOD, refresh_ns=50 * MS).check()
    assert replace(GOOD, refresh_ns=50 * MS, commit_ns=200 * MS).check()
    with pytest.raises(SettingsError, match="commit_ns"):
        replace(GOOD, lost_windows=2).check()


def test_the_horizon_lies_beyond_the_commit_time() -> None:
    """Else every window would branch in the tail of the one before."""
    with pytest.raises(SettingsError, match="horizon_ns"):
        replace(GOOD, commit_ns=200 * MS, horizon_ns=230 * MS).check()


def test_a_window_begins_before_the_controllers_own_time() -> None:
    """A stamp in the controller's future would make it ramp from where it is."""
    with pytest.raises(SettingsError, match="past_ns"):
        replace(GOOD, past_ns=40 * MS).check()


@pytest.mark.parametrize(
    ("steps", "step_ns", "executed", "latency_ms", "expected"),
    [
        (16, 33_333_333, 8, 160, True),
        (16, 33_333_333, 8, 250, False),
        (40, 66_666_667, 8, 400, True),
        (40, 66_666_667, 8, 1284, False),
    ],
)
def test_a_chunk_covers_the_time_until_the_next_one_or_not(
    steps: int, step_ns: int, executed: int, latency_ms: int, expected: bool
) -> None:
    """control.md 1, item 8: 16 steps at 30 Hz are fine to about 160 ms, unusable at 250."""
    needed_ns = GOOD.needed_ns(step_ns, executed, latency_ms * MS)
    assert (steps * step_ns >= needed_ns) is expected
