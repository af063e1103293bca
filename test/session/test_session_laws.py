"""After any sequence of events a session keeps its invariants."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from oracle import HOME, MS
from session_rig import FAULT, HELD_MODES, INACTIVE, PAUSE, TICK_NS, Rig

from gr00t_ros.session.mode import FAULTED, MOVING, Mode

EVENTS = st.sampled_from(
    "tick ticks chunk far late old failed error pause fault instruction deactivate reset "
    "back stall moved unknown activate e_stop operator_pause resume still_bad".split()
)


def happen(rig: Rig, event: str) -> None:
    """One thing that a caller may do, in whatever mode the session is."""
    session = rig.session
    if event in ("tick", "ticks", "pause", "fault"):
        findings = {"pause": (PAUSE,), "fault": (FAULT,)}.get(event, ())
        rig.tick(*findings, count=13 if event == "ticks" else 1)
    elif event == "activate" and session.mode in (Mode.WAITING, Mode.READY):
        rig.held = HOME.copy() if rig.held is None else rig.held
        rig.activate()
    elif event in ("chunk", "late", "old") and session.episode:
        age_ns = 10_000 * MS if event == "late" else 60 * MS
        rig.merge(age_ns=age_ns, episode=session.episode - (event == "old"))
    elif event == "far" and session.episode:
        rig.merge_far()
    elif event in ("failed", "error"):
        session.query_failed(event, rig.now_ns, answered=event == "error")
    elif event == "instruction":
        session.change_instruction(rig.now_ns)
    elif event == "deactivate" and session.active:
        session.deactivate(rig.now_ns)
    elif event == "e_stop":
        session.fault(rig.now_ns, "e-stop")
    elif event == "operator_pause":
        session.pause(rig.now_ns)
    elif event in ("reset", "resume", "still_bad"):
        go_on = session.resume if event == "resume" else session.reset
        findings = (FAULT,) if event == "still_bad" else ()
        go_on(rig.now_ns, HOME if rig.held is None else rig.held, findings)
    elif event in ("back", "stall"):
        rig.now_ns += -300 * MS if event == "back" else 300 * MS
        rig.tick()
    elif event in ("moved", "unknown"):
        rig.held = HOME + 0.1 if event == "moved" else None


@settings(max_examples=examples(150))
@given(st.lists(EVENTS, max_size=40))
def test_no_window_is_ever_returned_in_a_mode_that_forbids_motion(events) -> None:
    """Whatever happens in whatever order; every way into motion begins a new episode."""
    rig = Rig()
    for event in ["activate", "chunk", *events]:
        before, count = rig.mode, len(rig.windows)
        asked = rig.session.query_due(rig.now_ns)
        assert not (asked and before in (*HELD_MODES, *INACTIVE))
        episode = rig.session.episode
        happen(rig, event)
        if len(rig.windows) > count:
            assert before in MOVING, event
        if before in (*HELD_MODES, *INACTIVE) and rig.mode in MOVING - {Mode.STOPPING}:
            assert rig.session.episode == episode + 1
        assert rig.session.active == (rig.mode not in INACTIVE)
    for window in rig.windows:
        assert np.isfinite(window.positions).all()
        assert not window.velocities[-1].any() and not window.accelerations[-1].any()


@settings(max_examples=examples(150))
@given(st.lists(EVENTS, max_size=40))
def test_no_sequence_but_its_own_service_lifts_a_fault_or_an_operators_pause(events) -> None:
    """From a fault only ~/reset leads on, from ~/pause only ~/resume or a new activation."""
    rig = Rig()
    latched = held_back = False
    for event in ["activate", "chunk", "tick", *events]:
        before = rig.mode
        happen(rig, event)
        settled = rig.mode is not Mode.STOPPING
        if latched and event == "reset" and before in FAULTED:
            latched = False
        if held_back and (event == "activate" and before in INACTIVE):
            held_back = False
        if held_back and event == "resume" and before is Mode.PAUSED_BY_OPERATOR:
            held_back = False
        if event == "operator_pause" and rig.session.active and before not in FAULTED:
            held_back = held_back or rig.session.pause(rig.now_ns) == ""
        latched = latched or rig.mode in FAULTED
        if latched and settled:
            assert rig.mode in FAULTED, event
        elif held_back and settled:
            assert rig.mode in (Mode.PAUSED_BY_OPERATOR, *FAULTED, *INACTIVE), event


@settings(max_examples=examples(60))
@given(st.lists(EVENTS, max_size=30), st.sampled_from([PAUSE, FAULT, None]))
def test_whatever_happened_an_arm_without_chunks_comes_to_rest_and_stays(events, finding) -> None:
    """Within four seconds, in any case; and afterwards nothing is published."""
    rig = Rig().activate()
    for event in events:
        happen(rig, event)
    rig.tick(*([finding] if finding else []), count=200)
    assert rig.tick(*([finding] if finding else []), count=20) == []
    if rig.session.episode:
        assert not rig.session.replay.velocity(rig.now_ns).any()


@settings(max_examples=examples(60))
@given(st.lists(EVENTS.filter(lambda e: e not in ("back", "moved", "unknown")), max_size=30))
def test_what_was_told_to_the_controllers_stays_true_for_the_commit_time(events) -> None:
    """A window may differ from the one before only later than 80 ms from now: no step, ever."""
    rig = Rig()
    told, last = HOME[np.newaxis], None
    for event in ["activate", "chunk", *["tick"] * 5, *events, *["tick"] * 30]:
        if last is not None:  # the controller plays what it was sent, also of an abandoned plan
            rig.held = at_knots(last, np.array([rig.now_ns]))[0]
        for sent_ns, window in happen_and_list(rig, event):
            knots_ns = np.arange(-(-sent_ns // TICK_NS), (sent_ns + 80 * MS) // TICK_NS + 1)
            if last is not None:
                told = at_knots(last, knots_ns * TICK_NS)
            assert np.all(at_knots(window, knots_ns * TICK_NS) == told), event
            last = window


def happen_and_list(rig: Rig, event: str):
    """The windows of an event with the times of their ticks."""
    count = len(rig.windows)
    happen(rig, event)
    return zip(rig.sent_ns[count:], rig.windows[count:], strict=True)


def at_knots(window, times_ns: np.ndarray) -> np.ndarray:
    """(N, J) position at knots; before its first row a window holds that, after its last too."""
    rows = (times_ns - window.stamp_ns) // TICK_NS
    return window.positions[np.clip(rows, 0, len(window.positions) - 1)]
