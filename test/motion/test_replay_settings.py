"""Settings that contradict each other are refused with both names and the rule."""

from dataclasses import fields, replace

import pytest

from gr00t_ros.errors import SettingsError
from gr00t_ros.motion.replay_settings import RANGES, ReplaySettings

MS = 1_000_000
GOOD = ReplaySettings()


def test_the_defaults_keep_every_rule() -> None:
    """And are returned as they are."""
    assert GOOD.check() is GOOD


def put(name: str, value: float) -> ReplaySettings:
    """The defaults with another value of a row of RANGES, in the row's unit."""
    if not name.endswith("_ms"):
        return replace(GOOD, **{name: value})  # type: ignore[arg-type]
    return replace(GOOD, **{f"{name.removesuffix('_ms')}_ns": round(value * MS)})  # type: ignore[arg-type]


def test_every_number_has_a_range() -> None:
    """A new one cannot be forgotten; its default is in the range."""
    texts = {"commit", "merge", "merge_commands"}
    numbers = {field.name for field in fields(ReplaySettings)} - texts
    assert {name.replace("_ns", "_ms") for name in numbers} == set(RANGES)
    assert all(allowed.has(GOOD.value(name)) for name, allowed in RANGES.items())


@pytest.mark.parametrize("name", RANGES)
def test_a_value_out_of_its_range_is_refused_as_the_parameter_is_set(name: str) -> None:
    """The message has the parameter's name, value and range, times in ms, at both ends."""
    allowed = RANGES[name]
    beside = [allowed.low - 1, allowed.high + 1, float("nan")]
    if name.endswith("_ms"):
        beside[-1] = allowed.low - 0.5
    if allowed.step:
        beside.append(allowed.low + allowed.step / 2)
    for value in beside:
        with pytest.raises(SettingsError) as caught:
            put(name, value).check()
        assert str(caught.value) == f"{name}: got {value:g}, expected {allowed.text}"


def test_an_unknown_merge_is_refused_by_name() -> None:
    """It has no range."""
    with pytest.raises(SettingsError, match="merge: got 'median', expected one of"):
        replace(GOOD, merge="median").check()  # type: ignore[arg-type]


def test_the_commit_time_must_survive_what_it_is_for() -> None:
    """Commit >= (lost + 1) * refresh + jitter + |offset| + 2 ms: 92 ms by default."""
    assert replace(GOOD, commit_ns=92 * MS).check()
    with pytest.raises(
        SettingsError,
        match=r"commit_ms: got 91, expected at least 92 = 2 \* refresh_ms \(20\) \+ 52",
    ):
        replace(GOOD, commit_ns=91 * MS).check()
    with pytest.raises(SettingsError, match="commit_ms"):
        replace(GOOD, refresh_ns=50 * MS).check()
    assert replace(GOOD, refresh_ns=50 * MS, commit_ns=200 * MS).check()
    with pytest.raises(SettingsError, match="commit_ms"):
        replace(GOOD, lost_windows=2).check()


def test_the_horizon_lies_beyond_the_commit_time() -> None:
    """Else every window would branch in the tail of the one before."""
    with pytest.raises(
        SettingsError, match=r"horizon_ms: got 230, expected at least 240 = commit_ms"
    ):
        replace(GOOD, commit_ns=200 * MS, horizon_ns=230 * MS).check()


def test_a_window_begins_before_the_controllers_own_time() -> None:
    """A stamp in the controller's future would make it ramp from where it is."""
    with pytest.raises(SettingsError, match="past_ms"):
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
