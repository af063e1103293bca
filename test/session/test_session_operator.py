"""~/pause, ~/resume and ~/estop do in every mode what the operator asks for, or say why not."""

import numpy as np
import pytest
from oracle import HOME, MS, fr3_limits
from session_rig import ACTIVE, FAULT, INACTIVE, PAUSE, Rig, at_mode

from gr00t_ros.errors import PlanError
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.session.session import Session

PAUSABLE = [m for m in ACTIVE if m is not Mode.FAULT]
ESTOP = "e-stop pressed by service ~/estop"


# ~/pause.


@pytest.mark.parametrize("mode", PAUSABLE)
def test_a_pause_stops_every_active_mode_and_lasts_however_healthy_the_inputs_are(mode) -> None:
    """A controlled stop at rest, no windows, no queries, and no chunk lifts it."""
    rig = at_mode(mode)
    assert rig.session.pause(rig.now_ns) == ""
    rig.until(Mode.PAUSED_BY_OPERATOR)
    assert not rig.session.replay.velocity(rig.now_ns).any()
    assert rig.tick(count=100) == []
    assert rig.merge().kind == "unwanted"
    rig.session.change_instruction(rig.now_ns)
    assert rig.merge().kind == "unwanted"
    assert not rig.session.query_due(rig.now_ns)
    assert rig.mode is Mode.PAUSED_BY_OPERATOR
    assert "~/resume" in rig.session.reason


@pytest.mark.parametrize("mode", [Mode.FAULT, *INACTIVE])
def test_a_pause_is_refused_where_nothing_could_move_and_disturbs_nothing(mode) -> None:
    """With the mode as the reason."""
    rig = at_mode(mode)
    reason = rig.session.reason
    assert rig.session.pause(rig.now_ns) == f"mode is {mode.value}: there is no motion to pause"
    assert (rig.mode, rig.session.reason) == (mode, reason)


def test_a_pause_of_a_pause_is_no_error_and_no_second_stop() -> None:
    """While it stops and at rest."""
    rig = Rig().moving()
    for _ in range(3):
        assert rig.session.pause(rig.now_ns) == ""
        rig.tick()
    rig.until(Mode.PAUSED_BY_OPERATOR)
    assert rig.session.pause(rig.now_ns) == ""
    assert rig.mode is Mode.PAUSED_BY_OPERATOR


def test_a_pause_stops_as_smoothly_as_any_other_stop() -> None:
    """The windows after it are those of a stop: to the last bit those of a watch's pause."""
    windows = []
    for stop in (lambda rig: rig.session.pause(rig.now_ns), lambda rig: rig.tick(PAUSE)):
        rig = Rig().moving()
        stop(rig)
        rig.until(Mode.PAUSED, Mode.PAUSED_BY_OPERATOR, findings=(PAUSE,))
        windows.append(rig.windows[-1])
    np.testing.assert_array_equal(windows[0].positions[-1], windows[1].positions[-1])


@pytest.mark.parametrize("order", ["watch first", "operator first"])
def test_of_a_watchs_pause_and_the_operators_the_operators_lasts(order) -> None:
    """Whichever came first, healthy inputs do not lift it."""
    rig = Rig().moving()
    if order == "watch first":
        rig.tick(PAUSE)
        assert rig.session.pause(rig.now_ns) == ""
    else:
        assert rig.session.pause(rig.now_ns) == ""
        rig.tick(PAUSE)
    rig.until(Mode.PAUSED_BY_OPERATOR)
    rig.tick(PAUSE, count=3)
    assert rig.tick(count=100) == []
    assert rig.mode is Mode.PAUSED_BY_OPERATOR


def test_a_clock_that_runs_back_does_not_lift_an_operators_pause() -> None:
    """It pauses too, and that pause would end by itself."""
    rig = Rig().paused_by_operator()
    rig.now_ns -= 500 * MS
    assert rig.tick(count=100) == []
    assert rig.mode is Mode.PAUSED_BY_OPERATOR
    assert "~/resume" in rig.session.reason


# ~/resume.


def test_a_resume_begins_a_new_episode_that_waits_for_a_fresh_chunk_and_blends_in() -> None:
    """Chunks asked for before the pause are dropped, the arm stays until one of now comes."""
    rig = Rig().paused_by_operator()
    old = rig.session.episode
    rig.tick(count=20)
    assert rig.leave(HOME) == ""
    assert (rig.mode, rig.session.episode) == (Mode.BLENDING_IN, old + 1)
    assert rig.session.query_due(rig.now_ns)
    assert rig.merge(episode=old).kind == "unwanted"
    assert rig.tick(count=50) == []
    rig.held = rig.session.replay.position(rig.now_ns)
    assert rig.merge().accepted
    rig.until(Mode.REPLAYING)


@pytest.mark.parametrize("mode", [m for m in (*ACTIVE, *INACTIVE) if m != "paused_by_operator"])
def test_a_resume_of_anything_but_an_operators_pause_is_refused(mode) -> None:
    """Above all not of a fault, nor of a watch's pause whose cause persists."""
    rig = at_mode(mode)
    episode = rig.session.episode
    answer = rig.session.resume(rig.now_ns, HOME, ())
    assert answer == f"mode is {mode.value}, only a pause by ~/pause can be resumed"
    assert (rig.mode, rig.session.episode) == (mode, episode)


@pytest.mark.parametrize("finding", [PAUSE, FAULT])
def test_a_resume_is_refused_with_the_reason_while_a_cause_persists(finding) -> None:
    """And works afterwards."""
    rig = Rig().paused_by_operator()
    assert rig.leave(HOME, finding) == f"the cause persists: {finding.reason}"
    assert rig.mode is Mode.PAUSED_BY_OPERATOR
    assert rig.leave(HOME) == ""
    assert rig.mode is Mode.BLENDING_IN


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_resume_from_a_position_that_is_no_number_leaves_the_pause(bad) -> None:
    """The service answers with the error; healthy inputs still do not lift it."""
    rig = Rig().paused_by_operator()
    rig.tick(count=20)
    with pytest.raises(PlanError):
        rig.leave(np.array([bad, *HOME[1:]]))
    rig.tick(FAULT)
    rig.until(Mode.FAULT)
    assert rig.leave(HOME) == ""
    assert rig.mode is Mode.PAUSED_BY_OPERATOR


# A fault in an operator's pause.


@pytest.mark.parametrize("moment", ["stopping", "paused"])
def test_a_reset_of_a_fault_that_came_in_an_operators_pause_leaves_the_pause(moment) -> None:
    """Who resets a camera's fault may not know of the colleague who paused the arm."""
    rig = Rig().moving()
    assert rig.session.pause(rig.now_ns) == ""
    rig.tick() if moment == "stopping" else rig.until(Mode.PAUSED_BY_OPERATOR)
    rig.until(Mode.FAULT, findings=(FAULT,))
    episode = rig.session.episode
    assert rig.leave(HOME) == ""
    assert (rig.mode, rig.session.episode) == (Mode.PAUSED_BY_OPERATOR, episode)
    assert rig.tick(count=100) == [] and "~/resume" in rig.session.reason
    assert rig.leave(HOME) == ""
    assert rig.mode is Mode.BLENDING_IN


def test_a_new_activation_ends_an_operators_pause() -> None:
    """It is the operator's own command to move."""
    rig = Rig().paused_by_operator()
    rig.session.deactivate(rig.now_ns)
    rig.until(Mode.WAITING)
    rig.activate()
    rig.tick(FAULT)
    rig.until(Mode.FAULT)
    assert rig.leave(HOME) == ""
    assert rig.mode is Mode.BLENDING_IN


# ~/estop.


@pytest.mark.parametrize("mode", ACTIVE)
def test_an_e_stop_stops_every_active_mode_into_the_latched_fault(mode) -> None:
    """No sooner than the committed motion has played, no later than any other stop."""
    rig = at_mode(mode)
    rig.session.fault(rig.now_ns, ESTOP)
    rig.assert_comes_to_rest() if rig.windows else rig.until(Mode.FAULT)
    rig.tick()
    assert (rig.mode, rig.session.reason) == (Mode.FAULT, ESTOP)
    assert rig.tick(count=100) == []


@pytest.mark.parametrize("mode", INACTIVE)
def test_an_e_stop_of_an_inactive_node_latches_and_no_activation_is_accepted(mode) -> None:
    """Not even when everything is ready; a reset lets it be ready again."""
    rig = at_mode(mode)
    rig.session.fault(rig.now_ns, ESTOP)
    rig.session.set_ready(True, "")
    rig.session.set_ready(False, "no camera")
    assert (rig.mode, rig.session.reason) == (Mode.FAULT_INACTIVE, ESTOP)
    assert rig.tick(count=5) == [] and not rig.session.active
    assert rig.leave(HOME, FAULT) == f"the cause persists: {FAULT.reason}"
    episode = rig.session.episode
    assert rig.leave(HOME) == ""
    assert (rig.mode, rig.session.episode) == (Mode.WAITING, episode)
    rig.activate()


# A fault and a deactivation.


@pytest.mark.parametrize("order", ["fault first", "deactivation first", "fault at rest"])
def test_a_fault_and_a_deactivation_end_inactive_and_latched_with_the_faults_reason(order) -> None:
    """Deactivating acknowledges nothing: its cause would be lost without a word."""
    rig = Rig().moving()
    if order == "fault first":
        rig.tick(FAULT)
        rig.session.deactivate(rig.now_ns)
    elif order == "deactivation first":
        rig.session.deactivate(rig.now_ns)
        rig.tick(FAULT)
    else:
        rig.until(Mode.FAULT, findings=(FAULT,)).session.deactivate(rig.now_ns)
    rig.assert_comes_to_rest()
    rig.session.set_ready(True, "")
    assert (rig.mode, rig.session.reason) == (Mode.FAULT_INACTIVE, FAULT.reason)
    assert not rig.session.active
    assert rig.leave(HOME) == ""
    rig.activate()


def test_an_instruction_stops_what_still_moves_after_the_last_chunk() -> None:
    """At a tenth of the speed the plan lags by 0.6 s behind its chunk: 0.42 rad were still to come.

    The same request a tick earlier, while the chunk lasts, stops the arm as fast.
    """
    replay = Replay(fr3_limits(), ReplaySettings(velocity_scale=0.1))
    rig = Rig(Session(replay, SessionSettings())).activate()
    assert rig.merge(rad=0.6, steps=17).accepted
    rig.until(Mode.STOPPING)
    assert "no chunk left to play" in rig.session.reason
    before = replay.position(rig.now_ns)
    assert np.abs(replay.velocity(rig.now_ns)).max() > 0.2
    rig.session.change_instruction(rig.now_ns)
    assert rig.session.reason == "instruction changed"
    rig.until(Mode.HOLDING, limit=15)
    assert np.abs(replay.position(rig.now_ns) - before).max() < 0.06
    assert rig.merge(rad=0.1).accepted, "the new instruction's chunk is followed"
