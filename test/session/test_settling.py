"""After a clock jump the controllers rest once the old stop ramp has played."""

import numpy as np
import pytest
from oracle import HOME, fr3_limits

from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.settling import Abandonment, Settling

MS = 1_000_000


def test_without_a_jump_there_is_nothing_to_wait_for() -> None:
    """Whatever the controllers hold."""
    settling = Settling()
    assert settling.over(0, np.zeros(2)) and settling.over(20 * MS, np.ones(2))


@pytest.mark.parametrize("held", [None, np.zeros(2)])
def test_what_was_left_of_the_plan_is_waited_for(held) -> None:
    """On the new clock, to the nanosecond; then it is over for good."""
    settling = Settling()
    settling.begin(-500 * MS, 400 * MS, held)
    assert not settling.over(-100 * MS - 1, held)
    assert settling.over(-100 * MS, held)
    assert settling.over(-600 * MS, held)


@pytest.mark.parametrize(("moves", "waits"), [(0.0001, False), (0.00011, True), (np.nan, True)])
def test_a_held_position_that_moves_is_waited_for(moves, waits) -> None:
    """A quarter of a second after its last move: it may be old when it is read."""
    settling = Settling()
    settling.begin(0, 100 * MS, np.zeros(2))
    assert not settling.over(80 * MS, np.zeros(2))
    assert settling.over(100 * MS, np.array([0.0, moves])) is not waits
    if waits:
        still = np.array([0.0, moves])
        if np.isfinite(moves):
            assert not settling.over(350 * MS - 1, still)
            assert settling.over(350 * MS, still)


def test_a_second_jump_begins_anew() -> None:
    """The position before it says nothing about motion since."""
    settling = Settling()
    settling.begin(0, 100 * MS, np.zeros(2))
    assert not settling.over(50 * MS, np.zeros(2))
    settling.begin(-900 * MS, 0, np.ones(2))
    assert settling.over(-900 * MS, np.ones(2))


def test_a_controller_that_does_not_tell_for_a_while_may_move_meanwhile() -> None:
    """Its states of the new time come late; the first one is of motion, as long as none follows."""
    settling = Settling()
    settling.begin(0, 100 * MS, np.zeros(2))
    for now_ms in range(20, 400, 20):
        assert not settling.over(now_ms * MS, None)
    assert not settling.over(400 * MS, np.ones(2))
    assert not settling.over(650 * MS - 1, np.ones(2))
    assert settling.over(650 * MS, np.ones(2))


@pytest.mark.parametrize("on_time", [False, True])
def test_a_controller_that_tells_now_and_then_that_it_stands_has_settled(on_time) -> None:
    """In slow simulated time a state is too old, by steady time, before the next one comes."""
    settling, still = Settling(), np.zeros(2)
    settling.begin(0, 100 * MS, still, on_time)
    ticks = ((now_ms, still if now_ms % 60 == 0 else None) for now_ms in range(20, 1000, 20))
    over_ms = next(now_ms for now_ms, held in ticks if settling.over(now_ms * MS, held))
    assert over_ms <= 120 and (on_time or not settling.gave_up)


def test_a_controller_that_tells_now_and_then_where_it_moves_is_waited_for() -> None:
    """A quarter of a second after its last move, as one that tells at each tick."""
    settling = Settling()
    settling.begin(0, 100 * MS, np.zeros(2))
    for now_ms in range(20, 400, 20):
        held = None if now_ms % 60 else np.full(2, min(now_ms, 300) * 1e-3)
        assert not settling.over(now_ms * MS, held)
    assert not settling.over(540 * MS, np.full(2, 0.3))
    assert settling.over(600 * MS, np.full(2, 0.3))


def test_a_controller_that_never_tells_again_is_given_up() -> None:
    """Else a stop would never end, nor a deactivation; its silence is a fault of its own."""
    settling = Settling()
    settling.begin(0, 100 * MS, np.zeros(2))
    assert not settling.over(1_999 * MS, None)
    assert not settling.over(2_248 * MS, None)
    assert settling.over(2_249 * MS, None)


@pytest.mark.parametrize("limited", [False, True])
def test_a_controller_that_never_rests_is_waited_for_until_a_limit_if_there_is_one(limited) -> None:
    """Two seconds after the old plan has played."""
    settling = Settling()
    settling.begin(0, 400 * MS, np.zeros(2))
    moves = ((now_ms, np.full(2, now_ms * 1e-3)) for now_ms in range(20, 10_000, 20))
    over = [now_ms for now_ms, held in moves if settling.over(now_ms * MS, held, limited)]
    assert over[:1] == ([2_400] if limited else [])


@pytest.mark.parametrize("mode", [Mode.STOPPING, Mode.PAUSED])
def test_a_pause_waits_for_an_arm_that_never_rests_and_a_stop_ends(mode) -> None:
    """Motion must not begin by itself from an arm that others move; the stop's end is a fault."""
    replay = Replay(fr3_limits(), ReplaySettings())
    replay.start(0, HOME)
    abandonment = Abandonment(replay)
    abandonment.begin(0, 0, HOME)
    for now_ms in range(20, 10_000, 20):
        now_ns, held = now_ms * MS, HOME + now_ms * 1e-3
        over = abandonment.over(now_ns, held, mode)
        abandonment.still(now_ns, held)
        assert abandonment.moved_by_others(now_ns, held) or not over
    assert over is (mode is Mode.STOPPING)
    assert abandonment.next_may_begin(held) is over
