"""What is requested in the tick in which plan time ran back is carried out, whatever that is."""

import pytest
from session_rig import ACTIVE, MS, TICK_NS, at_mode

from gr00t_ros.session.mode import FAULTED, MOVING, Mode

STOPS = {
    "pause": lambda session, now_ns: session.pause(now_ns),
    "e_stop": lambda session, now_ns: session.fault(now_ns, "e-stop"),
    "deactivate": lambda session, now_ns: session.deactivate(now_ns),
    "instruction": lambda session, now_ns: session.change_instruction(now_ns),
}
ENDS = {
    "pause": {Mode.PAUSED_BY_OPERATOR},
    "e_stop": {Mode.FAULT},
    "deactivate": {Mode.WAITING, Mode.FAULT_INACTIVE},
    "instruction": {Mode.BLENDING_IN, Mode.PAUSED_BY_OPERATOR, Mode.FAULT},
}


@pytest.mark.parametrize("back_ns", [1, TICK_NS, 900 * MS])
@pytest.mark.parametrize("mode", ACTIVE)
@pytest.mark.parametrize("request_of", STOPS)
def test_a_request_that_sees_the_jump_first_is_carried_out(request_of, mode, back_ns) -> None:
    """No call raises; the session ends where the request leads; nothing of the old plan is sent."""
    rig = at_mode(mode)
    episode, faulted = rig.session.episode, mode in FAULTED
    rig.now_ns -= back_ns + TICK_NS  # before the tick that was last
    refusal = STOPS[request_of](rig.session, rig.now_ns)
    assert rig.tick(count=100) == []
    if request_of == "pause" and faulted:
        assert "no motion to pause" in refusal
        assert rig.mode is Mode.FAULT
    else:
        assert not refusal
        assert rig.mode in ENDS[request_of] | ({Mode.FAULT_INACTIVE} if faulted else set())
    if request_of == "instruction":
        assert rig.session.episode > episode


@pytest.mark.parametrize("mode", ACTIVE)
def test_other_calls_in_that_tick_are_answered(mode) -> None:
    """A chunk, a failed query, ~/resume and ~/reset: none raises, and none begins a motion."""
    rig = at_mode(mode)
    chunk = rig.chunk()
    rig.now_ns -= 500 * MS
    session = rig.session
    assert session.merge(chunk, rig.now_ns, rig.held).kind == "unwanted"
    assert not session.query_failed("timeout", rig.now_ns, answered=False)
    assert session.resume(rig.now_ns, rig.held, ())
    assert session.reset(rig.now_ns, rig.held, ())
    assert rig.mode not in MOVING - {Mode.STOPPING}


@pytest.mark.parametrize("mode", ACTIVE)
def test_a_jump_that_a_request_sees_first_pauses_as_one_that_a_tick_sees(mode) -> None:
    """With the same reason, and as long."""
    seen, first = at_mode(mode), at_mode(mode)
    for rig in (seen, first):
        rig.now_ns -= 500 * MS
    first.session.query_failed("timeout", first.now_ns, answered=False)
    for _ in range(60):
        seen.tick()
        first.tick()
        assert (seen.mode, seen.session.reason) == (first.mode, first.session.reason)
