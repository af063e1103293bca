"""The e-stop latches, and the dead-man switch must be held."""

import pytest

from gr00t_ros.watch.finding import RESET, Reaction
from gr00t_ros.watch.operator import DeadMan, EStop

MS = 1_000_000
AGES = [(0, False), (500 * MS - 1, False), (500 * MS, False), (500 * MS + 1, True), (10**15, True)]


def test_nobody_pressed_is_no_stop() -> None:
    """And a topic that is not required may be silent for ever."""
    watch = EStop()
    assert watch.finding(10**15) is None
    watch.see(False, "/e_stop", 0)
    assert watch.finding(10**15) is None


@pytest.mark.parametrize("by", ["~/estop", ""])
def test_a_press_latches_until_it_is_cleared(by) -> None:
    """Whoever it was, a nameless one included."""
    watch = EStop()
    watch.press(by)
    found = watch.finding(10**15)
    assert found is not None
    assert (found.watch, found.reaction) == ("e_stop", Reaction.FAULT)
    assert found.reason == f"e-stop pressed by {by}; release the e-stop, then {RESET}"
    assert watch.clear() is True
    assert watch.finding(10**15) is None


def test_a_released_button_stays_latched() -> None:
    """A release alone never lets the arm move."""
    watch = EStop()
    watch.see(True, "/e_stop", 0)
    watch.see(False, "/e_stop", 1)
    assert watch.finding(2) is not None
    assert watch.clear() is True
    assert watch.finding(2) is None


def test_a_button_that_is_still_pressed_cannot_be_cleared() -> None:
    """Nor is its press forgotten by trying."""
    watch = EStop()
    watch.see(True, "/e_stop", 0)
    assert watch.clear() is False
    assert watch.finding(0) is not None


def test_the_first_press_is_the_one_that_is_named() -> None:
    """Later ones do not hide who stopped the arm."""
    watch = EStop()
    watch.see(True, "/e_stop", 0)
    watch.press("~/estop")
    found = watch.finding(0)
    assert found is not None and "pressed by /e_stop;" in found.reason


def test_a_required_topic_that_never_came_is_a_stop() -> None:
    """Before the first message nobody could stop the arm."""
    found = EStop(required=True).finding(0)
    assert found is not None and found.reaction is Reaction.FAULT
    assert found.reason.startswith("e-stop topic required, nothing was received on it; ")


@pytest.mark.parametrize(("age_ns", "faults"), AGES)
def test_a_required_topic_that_is_silent_is_a_stop(age_ns, faults) -> None:
    """Above half a second."""
    watch = EStop(required=True)
    watch.see(False, "/e_stop", 7)
    found = watch.finding(7 + age_ns)
    assert (found is not None) is faults
    if found is not None:
        assert found.reaction is Reaction.FAULT
        assert found.reason.startswith(
            f"e-stop topic silent for {age_ns / 1e9:.2f} s, at most 0.50 s allowed; "
        )


def test_the_dead_man_is_off_by_default() -> None:
    """Released or silent."""
    watch = DeadMan()
    assert watch.finding(10**15) is None
    watch.see(False, 0)
    assert watch.finding(10**15) is None


@pytest.mark.parametrize(("age_ns", "pauses"), AGES)
def test_a_switch_that_is_no_longer_reported_pauses(age_ns, pauses) -> None:
    """Above half a second, and by itself no longer with the next report."""
    watch = DeadMan(required=True)
    watch.see(True, 7)
    found = watch.finding(7 + age_ns)
    assert (found is not None) is pauses
    if found is not None:
        assert (found.watch, found.reaction) == ("dead_man", Reaction.PAUSE)
        assert found.reason == (
            f"dead-man switch last reported pressed {age_ns / 1e9:.2f} s ago, at most 0.50 s "
            "allowed; press the dead-man switch"
        )
    watch.see(True, 7 + age_ns)
    assert watch.finding(7 + age_ns) is None


def test_a_released_switch_pauses_at_once() -> None:
    """As does one that was never pressed."""
    watch = DeadMan(required=True)
    never = watch.finding(0)
    watch.see(True, 1)
    watch.see(False, 2)
    released = watch.finding(2)
    assert never is not None and never == released
    assert released.reason == "dead-man switch is not pressed; press the dead-man switch"


def test_an_e_stop_that_nobody_could_hear_was_not_silent():
    """The process slept: its silence counts from when it listens again."""
    stop = EStop(required=True)
    stop.see(False, "~/e_stop", 0)
    assert stop.finding(1000 * MS) is not None
    assert stop.finding(1000 * MS, lambda age_ns: age_ns // 4) is None
