"""mode: every pair of mode and event, legal or not, and what the table can and cannot do."""

from itertools import product

import pytest

from gr00t_ros.core.errors import ModeError
from gr00t_ros.core.mode import ACTIVE, MOVING, TABLE, Event, Mode, advance

# The table once more, by hand, as an operator would say it.
LEGAL = """
unconfigured configure -> waiting
waiting ready -> ready
waiting cleanup -> unconfigured
ready not_ready -> waiting
ready cleanup -> unconfigured
ready activate -> blending_in
blending_in chunk -> blending_in
blending_in blended -> replaying
blending_in stop -> stopping
replaying chunk -> replaying
replaying stop -> stopping
stopping chunk -> blending_in
stopping stop -> stopping
stopping rest_hold -> holding
stopping rest_pause -> paused
stopping rest_fault -> fault
stopping rest_inactive -> waiting
holding chunk -> blending_in
holding episode -> blending_in
holding stop -> stopping
paused episode -> blending_in
paused stop -> stopping
fault episode -> blending_in
fault stop -> stopping
"""
ROWS = {
    (Mode(mode), Event(event)): Mode(after)
    for mode, event, _, after in (line.split() for line in LEGAL.split("\n") if line)
}
EVERY = list(product(Mode, Event))


def name(pair) -> str:
    """A readable test id."""
    return "-".join(part.value for part in pair)


@pytest.mark.parametrize("pair", EVERY, ids=name)
def test_every_pair_goes_where_the_hand_written_table_says_or_is_refused_by_name(pair) -> None:
    """A ModeError names the mode, the event and each event that would have been allowed."""
    mode, event = pair
    if pair in ROWS:
        assert advance(mode, event) is ROWS[pair]
        return
    with pytest.raises(ModeError) as caught:
        advance(mode, event)
    allowed = ", ".join(sorted(e.value for m, e in ROWS if m is mode))
    assert str(caught.value) == (
        f"mode {mode.value}: got event {event.value}, expected one of {allowed}"
    )


def test_the_table_has_no_other_rows() -> None:
    """What is pinned above is all there is."""
    assert set(TABLE) == set(ROWS)


def test_motion_begins_only_by_an_operators_activation_a_chunk_or_an_episode() -> None:
    """No other event leads from a mode at rest into one that plays chunks."""
    entering = {
        event
        for (mode, event), after in TABLE.items()
        if mode not in MOVING and after in (Mode.BLENDING_IN, Mode.REPLAYING)
    }
    assert entering == {Event.ACTIVATE, Event.CHUNK, Event.EPISODE}


def test_every_active_mode_can_be_stopped_and_no_other() -> None:
    """A stop is never an illegal event while the node is active."""
    assert {mode for mode, event in TABLE if event is Event.STOP} == ACTIVE


def test_a_fault_is_left_by_an_episode_or_a_stop_alone() -> None:
    """Neither a chunk nor readiness ends it."""
    assert {event for mode, event in TABLE if mode is Mode.FAULT} == {Event.EPISODE, Event.STOP}


def test_a_moving_mode_comes_to_rest_only_through_stopping() -> None:
    """Nothing falls from replay into a mode that publishes nothing."""
    into_rest = {
        mode for (mode, _), after in TABLE.items() if mode in MOVING and after not in MOVING
    }
    assert into_rest == {Mode.STOPPING}


def test_every_mode_can_be_reached_and_left() -> None:
    """From unconfigured to each mode and back."""
    reached = {Mode.UNCONFIGURED}
    for _ in Mode:
        reached |= {after for (mode, _), after in TABLE.items() if mode in reached}
    assert reached == set(Mode)
    returning = {Mode.UNCONFIGURED}
    for _ in Mode:
        returning |= {mode for (mode, _), after in TABLE.items() if after in returning}
    assert returning == set(Mode)
