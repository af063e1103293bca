"""A session continues where the arm is after other commands and after clock jumps."""

import numpy as np
import pytest
from oracle import HOME, MS
from session_rig import ADRIFT, AT_REST, DROP, FAULT, PAUSE, TICK_NS, Rig, at_mode

from gr00t_ros.errors import PlanError
from gr00t_ros.session.mode import Mode
from gr00t_ros.watch.finding import Finding, Reaction


@pytest.mark.parametrize("mode", AT_REST)
@pytest.mark.parametrize("leave", ["deactivate", "fault"])
def test_a_stop_at_rest_publishes_nothing(mode, leave) -> None:
    """Somebody may have moved the arm since: a window would take it back in one step."""
    rig = at_mode(mode)
    rig.held = HOME + 0.5
    getattr(rig.session, leave)(rig.now_ns, *(["x"] if leave == "fault" else []))
    assert rig.tick(PAUSE, count=30) == []
    rest = Mode.FAULT_INACTIVE if mode is Mode.FAULT else Mode.WAITING
    assert rig.mode is (rest if leave == "deactivate" else Mode.FAULT)


@pytest.mark.parametrize("mode", [Mode.BLENDING_IN, Mode.HOLDING])
def test_a_chunk_merged_at_rest_is_forgotten_if_a_stop_comes_before_it_is_sent(mode) -> None:
    """Chunk and fault between two ticks: the arm does not move."""
    rig = Rig().activate() if mode is Mode.BLENDING_IN else Rig().holding()
    rig.held = rig.session.replay.position(rig.now_ns)
    assert rig.merge().accepted
    rig.session.fault(rig.now_ns, "x")
    assert rig.tick(count=30) == []
    assert rig.mode is Mode.FAULT


@pytest.mark.parametrize("mode", [Mode.BLENDING_IN, *AT_REST])
def test_the_arm_starts_from_the_held_position_if_somebody_else_commanded(mode) -> None:
    """Before the first chunk, while holding, after a pause and after a reset."""
    rig = Rig().activate() if mode is Mode.BLENDING_IN else at_mode(mode)
    rig.tick(PAUSE if mode is Mode.PAUSED else DROP, count=30)
    rig.held = rig.session.replay.position(rig.now_ns) + 0.1
    if mode in (Mode.FAULT, Mode.PAUSED_BY_OPERATOR):
        assert rig.leave(rig.held) == ""
    if mode is Mode.PAUSED:
        rig.until(Mode.BLENDING_IN)
    if mode in (Mode.BLENDING_IN, Mode.HOLDING):
        rig.merge()  # its rows begin where the plan was, 0.1 rad from the arm: allowed
        assert rig.mode is Mode.BLENDING_IN
    np.testing.assert_array_equal(rig.session.replay.position(rig.now_ns), rig.held)
    rig.merge()
    np.testing.assert_array_equal(rig.tick()[0].positions[0], rig.held)


@pytest.mark.parametrize("apart", [1e-6, -1e-6])
def test_a_difference_that_a_controllers_rounding_explains_keeps_our_own_rest(apart) -> None:
    """A plan re-seeded from every reading in single precision would creep."""
    rig = Rig().holding()
    rig.tick(count=30)
    rest = rig.session.replay.position(rig.now_ns)
    rig.held = rest + 0.99 * apart
    rig.merge()
    np.testing.assert_array_equal(rig.session.replay.position(rig.now_ns), rest)


def test_a_reading_that_may_be_older_than_our_own_rest_is_not_believed() -> None:
    """A controller's state may be 0.2 s old: right after a stop it still tells of the motion."""
    rig = Rig().holding()
    rest = rig.session.replay.position(rig.now_ns)
    rig.held = rest - 0.01
    assert rig.merge().accepted
    np.testing.assert_array_equal(rig.session.replay.position(rig.now_ns), rest)


@pytest.mark.parametrize("mode", AT_REST)
def test_without_a_controllers_word_the_arm_goes_on_from_our_own_rest(mode) -> None:
    """Design decision 11."""
    rig = at_mode(mode)
    rig.tick(PAUSE, count=30)
    rest, rig.held = rig.session.replay.position(rig.now_ns), None
    if mode in (Mode.FAULT, Mode.PAUSED_BY_OPERATOR):
        assert rig.leave(rest) == ""
    rig.until(Mode.BLENDING_IN, Mode.HOLDING)
    rig.merge()
    np.testing.assert_allclose(rig.tick()[0].positions[0], rest, atol=1e-12)


@pytest.mark.parametrize("back_ns", [TICK_NS + 1, 100 * MS, 900 * MS])
@pytest.mark.parametrize("mode", [Mode.BLENDING_IN, Mode.REPLAYING, Mode.STOPPING, Mode.HOLDING])
def test_a_clock_that_runs_back_clears_the_plan_and_pauses(mode, back_ns) -> None:
    """The controllers play the last window's tail; nothing of the old plan is sent again."""
    rig = at_mode(mode)
    rig.tick()
    rig.held = HOME + 0.2
    rig.now_ns -= back_ns
    sent = len(rig.windows)
    rig.until(Mode.PAUSED, limit=60)
    assert len(rig.windows) == sent
    assert rig.session.reason == f"the clock went back by {(back_ns - TICK_NS) / 1e9:.3f} s"
    np.testing.assert_array_equal(rig.session.replay.position(rig.now_ns), rig.held)
    rig.until(Mode.BLENDING_IN)
    assert rig.merge().accepted
    np.testing.assert_array_equal(rig.tick()[0].positions[0], rig.held)


def test_the_pause_after_a_clock_jump_begins_when_the_old_tail_has_played() -> None:
    """Until then a controller is in motion, whatever the new plan says."""
    rig = Rig().moving()
    left_ns = rig.session.replay.motion_left_ns(rig.now_ns)
    assert left_ns > 300 * MS
    rig.now_ns -= 900 * MS
    began_ns = rig.now_ns
    rig.until(Mode.PAUSED)
    assert left_ns <= rig.now_ns - began_ns <= left_ns + 3 * TICK_NS


def test_the_pause_after_a_clock_jump_waits_for_a_controller_that_still_moves() -> None:
    """One may begin the tail late, when its own clock comes to it."""
    rig = Rig().moving()
    rig.now_ns -= 900 * MS
    for _ in range(100):
        rig.held = rig.held + 0.002
        assert rig.tick() == []
        assert rig.mode is Mode.STOPPING
    rig.until(Mode.PAUSED, limit=20)
    rig.until(Mode.BLENDING_IN)
    assert rig.merge().accepted
    np.testing.assert_array_equal(rig.tick()[0].positions[0], rig.held)


@pytest.mark.parametrize("told_before", [True, False])
def test_after_a_leap_of_plan_time_the_arm_goes_on_from_where_its_controller_came_to_rest(
    told_before,
) -> None:
    """The controllers never leapt: by plan time they rest, and still play the old tail."""
    rig = Rig().activate()
    rig.merge()
    rig.tick(count=20)
    assert rig.session.replay.motion_left_ns(rig.now_ns) > 0
    ahead = Finding("clock_forward", Reaction.PAUSE, "ROS time went ahead")
    if told_before:
        rig.tick(ahead)
    rig.now_ns += 2_000 * MS
    windows = rig.tick(*([] if told_before else [ahead]))
    for _ in range(20):
        rig.held = rig.held + 0.002
        windows += rig.tick()
        assert rig.mode is Mode.STOPPING
    rig.until(Mode.PAUSED).until(Mode.BLENDING_IN)
    assert windows == []
    np.testing.assert_array_equal(rig.session.replay.position(rig.now_ns), rig.held)


@pytest.mark.parametrize("jump_ms", [-2000, 2000])
def test_inputs_that_a_jump_made_forgotten_are_waited_for(jump_ms) -> None:
    """The watch may see the jump a tick before the session: then nobody tells for some ticks."""
    rig = Rig().activate()
    rig.merge()
    rig.tick(count=20)
    rig.tick(Finding("clock_forward", Reaction.PAUSE, "ROS time jumped"))
    rig.now_ns += jump_ms * MS
    moving, rig.held = rig.held, None
    windows = rig.tick(count=40)
    assert rig.mode is Mode.STOPPING
    rig.held = moving + 0.1
    rig.until(Mode.PAUSED).until(Mode.BLENDING_IN)
    assert windows == []
    np.testing.assert_array_equal(rig.session.replay.position(rig.now_ns), rig.held)


def test_while_plan_time_stands_still_nothing_is_sent_and_all_of_it_when_it_runs_on() -> None:
    """A robot whose clock runs on would get it late; one that stands still misses nothing."""
    rig = Rig().activate()
    rig.merge()
    rig.tick(count=20)
    rig.now_ns -= TICK_NS
    rig.merge()
    assert rig.session.tick(rig.now_ns, (), rig.held) is None
    assert rig.session.tick(rig.now_ns, (PAUSE,), rig.held) is None
    rig.now_ns += TICK_NS
    assert rig.session.tick(rig.now_ns, (PAUSE,), rig.held) is not None


def test_a_node_that_slept_does_not_wait_for_controllers_that_did_not() -> None:
    """No clock told of a jump: after two seconds the tail has played."""
    rig = Rig().activate()
    rig.merge()
    rig.tick(count=20)
    rig.now_ns += 2_000 * MS
    rig.tick(PAUSE)
    assert rig.mode is Mode.PAUSED


def test_a_hairs_breadth_beside_the_plan_is_where_the_controller_holds() -> None:
    """A third of a milliradian was a step in the robot's record: 330 rad/s^2."""
    rig = Rig().activate()
    rig.merge()
    rig.tick(count=5)
    rig.until(Mode.PAUSED, findings=(PAUSE,))
    rig.tick(PAUSE, count=20)
    rig.held = rig.session.replay.position(rig.now_ns) + 3e-4
    rig.until(Mode.BLENDING_IN)
    np.testing.assert_array_equal(rig.session.replay.position(rig.now_ns), rig.held)


def test_a_clock_that_runs_back_where_no_controller_tells_its_position_is_a_fault() -> None:
    """Nobody knows where a plan could start."""
    rig = Rig().moving()
    rig.held = None
    rig.now_ns -= 100 * MS
    assert rig.tick(count=130) == []
    assert rig.mode is Mode.FAULT
    assert "no controller has published its state since" in rig.session.reason


def test_equal_times_are_no_clock_jump() -> None:
    """A simulated clock may stand still between two ticks."""
    rig = Rig().moving()
    for _ in range(5):
        rig.tick()
        rig.now_ns -= TICK_NS
    assert rig.mode is Mode.REPLAYING


def test_a_tick_that_cannot_plan_raises_and_the_fault_that_follows_stops_the_arm() -> None:
    """As the replay thread does it: nothing is published by the tick that raised."""
    rig = Rig().moving()
    rig.now_ns -= 100 * MS
    rig.held = np.full(7, np.nan)
    with pytest.raises(PlanError):
        rig.tick()
    rig.held = HOME.copy()
    rig.now_ns += 200 * MS
    rig.session.fault(rig.now_ns, "internal error")
    rig.assert_comes_to_rest()
    assert rig.mode is Mode.FAULT


def test_the_wait_after_a_clock_jump_begins_anew_and_the_old_retry_time_is_forgotten() -> None:
    """Healthy ticks of an earlier pause do not count, and a time of the old clock is never due."""
    rig = Rig().paused().until(Mode.BLENDING_IN)
    rig.held = rig.session.replay.position(rig.now_ns)
    rig.merge()
    rig.until(Mode.REPLAYING)
    rig.session.query_failed("late", rig.now_ns, answered=False)
    rig.now_ns -= 900 * MS
    rig.until(Mode.PAUSED)
    rig.tick(count=9)
    assert rig.mode is Mode.PAUSED
    rig.until(Mode.BLENDING_IN)
    assert rig.session.query_due(rig.now_ns)


@pytest.mark.parametrize("mode", AT_REST)
def test_the_plan_is_not_even_asked_in_a_mode_that_must_not_move(mode, monkeypatch) -> None:
    """Whatever it would say."""
    rig = at_mode(mode)
    monkeypatch.setattr(rig.session.replay, "tick", lambda now_ns: pytest.fail("asked"))
    rig.tick(*([PAUSE] if mode is Mode.PAUSED else []), count=5)
    assert rig.mode is mode


def test_a_controller_that_plays_something_else_is_left_to_its_tail() -> None:
    """Nothing more is sent; the pause begins when the tail has played, where the arm then is."""
    rig = Rig().moving()
    left_ns = rig.session.replay.motion_left_ns(rig.now_ns)
    began_ns, sent = rig.now_ns, len(rig.windows)
    rig.held = HOME + 0.05
    rig.until(Mode.PAUSED, findings=(ADRIFT,), limit=60)
    assert len(rig.windows) == sent
    assert left_ns <= rig.now_ns - began_ns <= left_ns + 3 * TICK_NS
    assert rig.session.reason == ADRIFT.reason
    rig.until(Mode.BLENDING_IN)
    assert rig.merge().accepted
    np.testing.assert_array_equal(rig.tick()[0].positions[0], rig.held)


def test_where_a_controller_does_not_tell_what_it_holds_the_pause_is_a_fault() -> None:
    """It could not end: the next plan would begin where the last one ended, and step there."""
    rig = Rig().moving()
    sent, rig.held = len(rig.windows), None
    rig.tick(ADRIFT)
    rig.until(Mode.FAULT, limit=60)
    assert len(rig.windows) == sent
    assert rig.session.reason == ADRIFT.reason


@pytest.mark.parametrize("mode", [Mode.HOLDING, Mode.PAUSED])
def test_at_rest_what_the_controller_holds_is_nobodys_fault(mode) -> None:
    """Whoever moved the arm: the next plan starts from there."""
    rig = at_mode(mode)
    rig.tick(ADRIFT, count=3)
    assert rig.session.reason != ADRIFT.reason
    assert rig.mode is not Mode.STOPPING


def test_a_graver_stop_stays_graver_when_the_controller_plays_something_else() -> None:
    """A fault's own stop is no longer sent either; the fault is latched all the same."""
    rig = Rig().moving()
    rig.tick(FAULT)
    sent = len(rig.windows)
    rig.until(Mode.FAULT, findings=(ADRIFT,), limit=60)
    assert len(rig.windows) == sent
    assert rig.session.reason == FAULT.reason


@pytest.mark.parametrize("ticks", [3, 15])
def test_a_plan_that_began_without_the_held_position_begins_anew_where_it_is_known(ticks) -> None:
    """A robot of which one controller never publishes: known with the first chunk alone.

    After a stall the last window was lost, and the arm rests where the plan does not say.
    """
    rig = Rig().moving()
    rig.held = None
    rig.tick(Finding("replay_starvation", Reaction.PAUSE, "a stall", stop_ramp_only=True))
    rig.until(Mode.BLENDING_IN).tick(count=ticks)
    held = rig.session.replay.position(rig.now_ns)
    held[0] += 0.03
    assert rig.session.merge(rig.chunk(), rig.now_ns, held).accepted
    (window,) = rig.tick()
    np.testing.assert_array_equal(window.positions[0], held)
    rig.tick(count=10)
    moved = rig.session.replay.position(rig.now_ns)
    assert rig.session.merge(rig.chunk(), rig.now_ns, held).accepted
    assert np.abs(rig.session.replay.position(rig.now_ns) - moved).max() == 0.0, "only once"


def test_after_a_clock_jump_a_plan_without_held_positions_begins_where_its_windows_end() -> None:
    """The controllers play their stop ramp to its end; where the plan was is a place on the way."""
    rig = Rig().moving()
    rig.held = None
    rig.tick()
    course = rig.session.replay.planner.course
    end = rig.session.replay.position(course.end_ns)
    assert np.abs(end - rig.session.replay.position(rig.now_ns)).max() > 0.01
    rig.now_ns += 800 * MS
    rig.tick(Finding("clock_forward", Reaction.PAUSE, "ROS time went ahead"))
    rig.until(Mode.FAULT)
    np.testing.assert_array_equal(rig.session.replay.position(rig.now_ns), end)
