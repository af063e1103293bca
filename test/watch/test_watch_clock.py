"""ROS time that jumps or stands still is found by comparison with steady time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.watch.finding import Finding, Reaction
from gr00t_ros.watch.inputs import ClockDoubt, ClockJump, SilentClock

MS = 1_000_000
START = 1_700_000_000_000 * MS
TICK = 20 * MS


def jump(simulated: bool, ros_ns: int, steady_ns: int = TICK):
    """What is found when ROS time goes by `ros_ns` while steady time goes by `steady_ns`."""
    watch = ClockJump(simulated)
    assert watch.check(START, 5 * MS) is None
    return watch.check(START + ros_ns, 5 * MS + steady_ns)


@pytest.mark.parametrize(
    ("simulated", "ros_ns", "found"),
    [
        (False, TICK, None),
        (False, TICK - 50 * MS, None),
        (False, TICK - 50 * MS - 1, "clock_backward"),
        (False, 0, None),
        (False, -3600_000 * MS, "clock_backward"),
        (False, TICK + 500 * MS, None),
        (False, TICK + 500 * MS + 1, "clock_forward"),
        (True, 0, None),
        (True, -MS, None),
        (True, -MS - 1, "clock_backward"),
        (True, TICK + 500 * MS, None),
        (True, TICK + 500 * MS + 1, "clock_forward"),
    ],
)
def test_a_jump_pauses_beyond_its_threshold(simulated, ros_ns, found) -> None:
    """A simulated clock may stand still; every other one has to keep pace."""
    got = jump(simulated, ros_ns)
    assert (got and got.watch) == found
    assert got is None or got.reaction is Reaction.PAUSE


def test_the_reason_tells_the_size_of_the_jump_and_what_is_allowed() -> None:
    """In seconds, to either side."""
    back, ahead = jump(True, -1234 * MS), jump(True, TICK + 2000 * MS)
    assert back is not None and back.reason.startswith(
        "ROS time went back by 1.234 s, at most 0.001 s allowed; "
    )
    assert ahead is not None and ahead.reason.startswith(
        "ROS time went ahead by 2.000 s, at most 0.500 s allowed; "
    )


@pytest.mark.parametrize("simulated", [False, True])
def test_a_process_that_slept_saw_no_jump(simulated) -> None:
    """Both clocks went on alike."""
    assert jump(simulated, 60_000 * MS, 60_000 * MS) is None


def test_each_jump_is_found_once() -> None:
    """The motion then goes on by the new time."""
    watch = ClockJump(simulated=False)
    watch.check(START, 0)
    assert watch.check(START - 10_000 * MS, TICK) is not None
    assert watch.check(START - 10_000 * MS + TICK, 2 * TICK) is None


@given(st.lists(st.integers(0, 1000), max_size=20), st.integers(-10_000, 10_000))
def test_a_clock_that_keeps_pace_never_jumps(steps_ms, offset_ms) -> None:
    """Whatever its offset and however irregularly it is read."""
    watch, steady_ns = ClockJump(simulated=False), 0
    for step in steps_ms:
        steady_ns += step * MS
        assert watch.check(START + offset_ms * MS + steady_ns, steady_ns) is None


@pytest.mark.parametrize(
    ("silent_ns", "pauses"),
    [(0, False), (500 * MS - 1, False), (500 * MS, False), (500 * MS + 1, True), (10**12, True)],
)
def test_a_clock_that_stands_still_pauses(silent_ns, pauses) -> None:
    """Above half a second of steady time; a ROS time of zero is one that never began."""
    for ros_ns in (0, START):
        watch = SilentClock()
        assert watch.check(ros_ns, 7) is None
        found = watch.check(ros_ns, 7 + silent_ns)
        assert (found is not None) is pauses
        if found is not None:
            assert (found.watch, found.reaction) == ("silent_clock", Reaction.PAUSE)
            assert found.reason.startswith(
                f"/clock: no new time for {silent_ns / 1e9:.2f} s, at most 0.50 s allowed; "
            )


@pytest.mark.parametrize("change_ns", [-5000 * MS, -1, 1, 5000 * MS])
def test_any_change_of_the_clock_ends_its_silence(change_ns) -> None:
    """Back as well: that is the other watch's."""
    watch = SilentClock()
    watch.check(START, 0)
    assert watch.check(START, 600 * MS) is not None
    assert watch.check(START + change_ns, 620 * MS) is None
    assert watch.check(START + change_ns, 1120 * MS) is None
    assert watch.check(START + change_ns, 1121 * MS) is not None


AGES = tuple(Finding(w, Reaction.FAULT, "old") for w in ("stream_age", "controller_silent"))
OTHER = Finding("tracking_error", Reaction.FAULT, "blocked")


def reactions(doubt: ClockDoubt, steady_ns: int) -> list[str]:
    """What becomes of two old streams and of a blocked arm."""
    return [f.reaction.value for f in doubt.excused((*AGES, OTHER), steady_ns)]


@pytest.mark.parametrize("simulated", [True, False])
def test_ages_are_no_fault_while_the_clock_jumped_or_stands_still(simulated) -> None:
    """For 0.3 s after a jump; as long as a simulated clock is silent, and 0.3 s more."""
    doubt = ClockDoubt()
    doubt.note(START, 0, jumped=False, simulated=simulated)
    assert reactions(doubt, 0) == ["fault", "fault", "fault"]
    doubt.note(START + 1, 1 * MS, jumped=True, simulated=simulated)
    assert reactions(doubt, 301 * MS) == ["pause", "pause", "fault"]
    assert reactions(doubt, 301 * MS + 1) == ["fault", "fault", "fault"]
    doubt.note(START + 1, 400 * MS, jumped=False, simulated=simulated)
    expected = "pause" if simulated else "fault"
    assert reactions(doubt, 700 * MS) == [expected, expected, "fault"]
