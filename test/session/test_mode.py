"""Each pair of mode and event leads where the table says or is refused, with no dead ends."""

from itertools import product

import pytest

from gr00t_ros.errors import ModeError
from gr00t_ros.session.mode import (
    ACTIVE,
    AT_REST,
    CAUSES,
    FAULTED,
    MOVING,
    TRANSITIONS,
    Event,
    Mode,
    advance,
    ends_in,
    more_severe,
)

# The table once more, by hand, as an operator would say it.
LEGAL = """
unconfigured configure -> waiting
waiting ready -> ready
waiting cleanup -> unconfigured
ready not_ready -> waiting
ready cleanup -> unconfigured
waiting latch -> fault_inactive
ready latch -> fault_inactive
fault_inactive latch -> fault_inactive
fault_inactive cleanup -> unconfigured
fault_inactive reset -> waiting
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
stopping rest_operator -> paused_by_operator
stopping rest_fault -> fault
stopping rest_inactive -> waiting
stopping rest_latched -> fault_inactive
holding chunk -> blending_in
holding stop -> stopping
paused healthy -> blending_in
paused stop -> stopping
paused_by_operator resume -> blending_in
paused_by_operator stop -> stopping
fault reset -> blending_in
fault reset_paused -> paused_by_operator
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
    assert set(TRANSITIONS) == set(ROWS)


def test_it_says_of_every_event_who_causes_it() -> None:
    """No event comes out of nowhere, and none is told that nothing causes."""
    assert set(CAUSES) == set(Event) == {event for _, event in TRANSITIONS}


def test_every_mode_is_unconfigured_inactive_moving_or_at_rest() -> None:
    """So that the modes in which nothing is published are all the others."""
    inactive = {Mode.WAITING, Mode.READY, Mode.FAULT_INACTIVE}
    assert MOVING.isdisjoint(AT_REST) and inactive.isdisjoint(ACTIVE)
    assert inactive | ACTIVE | {Mode.UNCONFIGURED} == set(Mode)


def test_motion_begins_only_by_an_operator_a_chunk_or_healthy_inputs() -> None:
    """No other event leads from a mode at rest into one that plays chunks."""
    entering = {
        event
        for (mode, event), after in TRANSITIONS.items()
        if mode not in MOVING and after in (Mode.BLENDING_IN, Mode.REPLAYING)
    }
    assert entering == {Event.ACTIVATE, Event.CHUNK, Event.HEALTHY, Event.RESUME, Event.RESET}


@pytest.mark.parametrize(
    ("mode", "event"),
    [
        (Mode.PAUSED, Event.HEALTHY),
        (Mode.PAUSED_BY_OPERATOR, Event.RESUME),
        (Mode.FAULT, Event.RESET),
        (Mode.READY, Event.ACTIVATE),
    ],
)
def test_one_event_alone_leads_from_each_mode_that_waits_for_it_into_motion(mode, event) -> None:
    """Healthy inputs do not lift an operator's pause, nor does ~/resume a fault."""
    onward = {e for (m, e), after in TRANSITIONS.items() if m is mode and after is Mode.BLENDING_IN}
    assert onward == {event}


def test_every_active_mode_can_be_stopped_and_no_other() -> None:
    """A stop is never an illegal event while the node is active."""
    assert {mode for mode, event in TRANSITIONS if event is Event.STOP} == ACTIVE


def test_a_fault_is_left_by_a_reset_alone_or_kept_through_stop_and_latch() -> None:
    """Neither a chunk nor readiness nor an activation ends it."""
    resets = {Event.RESET, Event.RESET_PAUSED}
    assert {event for mode, event in TRANSITIONS if mode is Mode.FAULT} == resets | {Event.STOP}
    ways = {event for mode, event in TRANSITIONS if mode is Mode.FAULT_INACTIVE}
    assert ways == {Event.RESET, Event.LATCH, Event.CLEANUP}
    assert {Mode.FAULT, Mode.FAULT_INACTIVE} == FAULTED


RESTS = [event for event in Event if event.value.startswith("rest_")]
# The gravest first; a fault and a deactivation make one that is both.
SEVERITY = "rest_latched rest_inactive rest_fault rest_operator rest_pause rest_hold".split()


@pytest.mark.parametrize("pair", list(product(RESTS, RESTS)), ids=name)
def test_a_stop_with_two_reasons_ends_in_the_graver_whichever_came_first(pair) -> None:
    """Every pair; no reason of a stop is ever lost to a milder one."""
    if {e.value for e in pair} == {"rest_fault", "rest_inactive"}:
        assert more_severe(*pair) is Event.REST_LATCHED
    else:
        assert more_severe(*pair).value == min((e.value for e in pair), key=SEVERITY.index)
    assert sorted(SEVERITY) == sorted(e.value for e in RESTS)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("after_stop", RESTS)
def test_a_stop_ends_in_no_less_than_the_mode_it_begins_in(mode, after_stop) -> None:
    """A fault stays one, an operator's pause stays one, a stop under way keeps its end."""
    expected = {
        Mode.STOPPING: after_stop,
        Mode.FAULT: Event.REST_FAULT,
        Mode.PAUSED_BY_OPERATOR: Event.REST_OPERATOR,
    }
    assert ends_in(mode, after_stop) is expected.get(mode, Event.REST_HOLD)


def test_a_moving_mode_comes_to_rest_only_through_stopping() -> None:
    """Nothing falls from replay into a mode that publishes nothing."""
    into_rest = {
        mode for (mode, _), after in TRANSITIONS.items() if mode in MOVING and after not in MOVING
    }
    assert into_rest == {Mode.STOPPING}


def test_every_mode_can_be_reached_and_left() -> None:
    """From unconfigured to each mode and back."""
    reached = {Mode.UNCONFIGURED}
    for _ in Mode:
        reached |= {after for (mode, _), after in TRANSITIONS.items() if mode in reached}
    assert reached == set(Mode)
    returning = {Mode.UNCONFIGURED}
    for _ in Mode:
        returning |= {mode for (mode, _), after in TRANSITIONS.items() if after in returning}
    assert returning == set(Mode)
