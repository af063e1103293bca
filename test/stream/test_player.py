"""The joint player commands what the controller's model does, but never a step."""

import numpy as np
import pytest

from gr00t_ros.motion.sampler import JtcSampler, Trajectory
from gr00t_ros.stream.joints import JointPlayer

MS = 1_000_000
NAMES = ("a", "b")
START = np.array([0.1, -0.2])


def window(stamp_ns, positions):
    """A trajectory with knots every 20 ms that ends at rest."""
    count = len(positions)
    rest = np.zeros((count, 2))
    return Trajectory(
        stamp_ns,
        np.arange(count, dtype=np.int64) * 20 * MS,
        np.array(positions, dtype=np.float64),
        rest.copy(),
        rest.copy(),
    )


def ramp(stamp_ns, goal=0.02):
    """From START to `goal` further in 200 ms."""
    return window(stamp_ns, [START + goal * k / 10 for k in range(11)])


@pytest.fixture
def player():
    """A player that has accepted a ramp stamped 1 s."""
    made = JointPlayer(NAMES, 0.02)
    assert made.accept(ramp(1000 * MS), 1010 * MS, START) is None
    return made


def test_says_nothing_before_its_first_window():
    """A command that nobody gave is none."""
    assert JointPlayer(NAMES, 0.02).sample(5) is None


def test_samples_as_the_controllers_model_started_from_what_was_commanded(player):
    """The same windows at the same times give the same points to the last bit."""
    model = JtcSampler(2, interpolate_from_desired_state=True)
    model.accept(ramp(1000 * MS), 1010 * MS, START)
    second = ramp(1020 * MS)
    for now_ns in range(1010 * MS, 1300 * MS, 5 * MS):
        if now_ns == 1040 * MS:
            assert player.accept(second, now_ns, None) is None
            assert model.accept(second, now_ns, START) is None
        for ours, theirs in zip(player.sample(now_ns), model.sample(now_ns), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_holds_the_end_of_the_last_window(player):
    """After the end the last position at rest, for ever."""
    assert player.moves(1199 * MS)
    assert not player.moves(1200 * MS)
    position, velocity, _ = player.sample(9000 * MS)
    np.testing.assert_array_equal(position, START + 0.02)
    np.testing.assert_array_equal(velocity, 0.0)


@pytest.mark.parametrize("field", ["positions", "velocities", "accelerations"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(player, field, value):
    """Here the controller is less strict."""
    bad = ramp(1000 * MS)
    getattr(bad, field)[5, 1] = value
    before = player.sample(1100 * MS)[0]
    assert f"{field}: got NaN" in player.accept(bad, 1100 * MS, START)
    np.testing.assert_array_equal(player.sample(1100 * MS)[0], before)


@pytest.mark.parametrize("now_ms", [1100, 5000])
def test_a_step_is_refused_in_motion_and_at_rest(player, now_ms):
    """From what is commanded at that instant, whatever is measured."""
    now_ns = now_ms * MS
    away = window(now_ns, [player.sample(now_ns)[0] + [0.0, 0.021]] * 5)
    reason = player.accept(away, now_ns, away.positions[0])
    assert reason.startswith("jump of b: got 0.0210 rad")
    near = window(now_ns, [player.sample(now_ns)[0] + [0.0, 0.019]] * 5)
    assert player.accept(near, now_ns, None) is None


def test_the_first_window_must_begin_where_the_robot_is_measured():
    """Neither an unknown state nor another one will do."""
    made = JointPlayer(NAMES, 0.02)
    assert "not known" in made.accept(ramp(1000 * MS), 1000 * MS, None)
    assert "jump of a" in made.accept(ramp(1000 * MS), 1000 * MS, START - [0.03, 0.0])
    assert made.sample(1000 * MS) is None
    assert made.accept(ramp(1000 * MS), 1000 * MS, START - [0.01, 0.0]) is None


def test_the_controllers_own_rejections_hold(player):
    """An end in the past is refused too, and a final velocity in the model's words."""
    past = player.accept(ramp(1 * MS), 1100 * MS, None)
    assert past.startswith("end: got 0.899 s in the past, expected one to come: is the clock of")
    future = player.accept(ramp(1900 * MS), 1100 * MS, None)
    assert future.startswith("begin: got 0.800 s in the future") and "is the clock of" in future
    moving = ramp(1100 * MS)
    moving.velocities[-1, 0] = 0.1
    assert "final velocity" in player.accept(moving, 1100 * MS, None)
    assert player.accepted == 1


# Jumps and gaps of time: the ramp of `player` is at half its way at 1.1 s.


def told(player, now_ms, steady_ms):
    """What is wrong with these times, and the point commanded at them."""
    wrong = player.tell_time(now_ms * MS, steady_ms * MS)
    return wrong, player.sample(now_ms * MS)[0]


@pytest.mark.parametrize("there_ms", [40, 1100 - 1, 90_000])
def test_a_clock_that_jumps_takes_the_motion_along_to_its_end(player, there_ms):
    """Back or far ahead: no point is skipped, none is played twice, and it ends where it would."""
    expected = [told(player, now_ms, now_ms)[1] for now_ms in range(1010, 1101, 5)][-1]
    wrong, point = told(player, there_ms, 1105)
    assert ("clock went back" if there_ms < 1100 else "clock went on") in wrong
    np.testing.assert_array_equal(point, expected)
    model = JtcSampler(2, interpolate_from_desired_state=True)
    model.accept(ramp(1000 * MS), 1010 * MS, START)
    model.sample(1010 * MS)
    for late_ms in range(5, 205, 5):
        wrong, point = told(player, there_ms + late_ms, 1105 + late_ms)
        assert wrong == ""
        np.testing.assert_allclose(point, model.sample((1100 + late_ms) * MS)[0], atol=1e-12)
    assert not player.moves((there_ms + 205) * MS)


def test_a_clock_that_stands_still_stops_the_points_and_is_no_jump(player):
    """Simulated time is paused; the motion goes on with it."""
    told(player, 1050, 1050)
    before = told(player, 1055, 1055)[1]
    for steady_ms in range(1060, 3000, 5):
        wrong, point = told(player, 1055, steady_ms)
        assert wrong == ""
        np.testing.assert_array_equal(point, before)
    assert told(player, 1060, 3000)[0] == "" and player.moves(1060 * MS)


def test_windows_of_the_new_time_are_taken_after_a_jump_and_those_of_the_old_are_not(player):
    """One that begins where the motion is now; one that was under way while the clock jumped."""
    held = [told(player, now_ms, now_ms)[1] for now_ms in range(1010, 1101, 5)][-1]
    told(player, 40, 1105)
    assert player.accept(ramp(1020 * MS), 40 * MS, None).startswith("begin: got 0.980 s in the")
    assert player.accept(window(20 * MS, [held, held]), 40 * MS, None) is None
    np.testing.assert_array_equal(told(player, 45, 1110)[1], held)


def test_a_late_call_goes_on_from_where_it_was(player):
    """0.15 s without a point would be a step of as much motion."""
    before = [told(player, now_ms, now_ms)[1] for now_ms in range(1010, 1051, 5)][-1]
    wrong, point = told(player, 1200, 1200)
    assert "playing on from here" in wrong
    np.testing.assert_array_equal(point, before)
    assert told(player, 1205, 1205)[0] == ""


def test_a_simulated_clock_that_comes_after_a_late_call_moves_the_arm_by_no_step(player):
    """The tick may run before the executor has taken what /clock said meanwhile."""
    before = [told(player, now_ms, now_ms)[1] for now_ms in range(1010, 1051, 5)][-1]
    wrong, point = told(player, 1050, 1200)
    assert "by 0.000 s in 0.150 s: playing on from here" in wrong
    np.testing.assert_array_equal(point, before)
    wrong, point = told(player, 1200, 1205)
    assert "the clock went on by 0.150 s in 0.005 s: playing on from here" in wrong
    np.testing.assert_array_equal(point, before)
    for steady_ms in range(1210, 1511, 5):
        assert told(player, steady_ms - 5, steady_ms)[0] == ""
    assert told(player, 1705, 1515)[0] == "", "later a coarse /clock may go on by so much"


def test_nor_after_a_sleep_in_which_a_window_of_before_it_was_waiting(player):
    """The tick that holds also takes it; what /clock says a tick later is no motion of one tick."""
    before = [told(player, now_ms, now_ms)[1] for now_ms in range(1010, 1051, 5)][-1]
    wrong, point = told(player, 1050, 1400)
    assert wrong.startswith("asleep for 0.35 s")
    assert player.accept(ramp(1000 * MS), 1050 * MS, None) is None
    wrong, point = told(player, 1400, 1405)
    assert "the clock went on by 0.350 s in 0.005 s: playing on from here" in wrong
    np.testing.assert_allclose(point, before, atol=1e-9)


def test_after_a_sleep_the_point_that_was_left_commanded_is_held(player):
    """The controller has held it all the time: going on would be a step of velocity."""
    before = [told(player, now_ms, now_ms)[1] for now_ms in range(1010, 1051, 5)][-1]
    wrong, point = told(player, 3050, 3050)
    assert wrong.startswith("asleep for 2.00 s")
    for now_ms in range(3050, 3300, 5):
        np.testing.assert_array_equal(told(player, now_ms, now_ms)[1], before)
    assert not player.moves(3050 * MS)


def test_times_before_the_first_point_are_no_jump():
    """Nothing is commanded yet: simulated time begins when it likes."""
    player = JointPlayer(NAMES, 0.02)
    assert player.tell_time(0, 5) == ""
    assert player.tell_time(10**18, 3 * 10**9) == ""
    assert player.accept(ramp(1000 * MS), 990 * MS, START).startswith("begin: got 0.010 s")


def played(player, now_ms, goes):
    """The point that is due then, and whether the receiver takes it."""
    motion = player.sample(now_ms * MS)
    assert not player.waits, "nothing may be sent"
    player.gone(goes, now_ms * MS, now_ms * MS)
    return motion[0]


def test_a_receiver_that_was_away_gets_no_step_but_a_window_that_begins_at_its_last_point(player):
    """It holds its last point; the motion that it missed would be commanded at once."""
    last = [played(player, now_ms, True) for now_ms in range(1010, 1051, 5)][-1]
    for now_ms in range(1055, 1151, 5):
        played(player, now_ms, False)
    played(player, 1155, False)
    assert player.waits and not player.moves(1155 * MS)
    np.testing.assert_array_equal(player.sample(1160 * MS)[0], last)
    assert player.accept(window(1160 * MS, [START + 0.1] * 3), 1165 * MS, None).startswith("jump")
    assert player.waits
    assert player.accept(window(1160 * MS, [last] * 3), 1170 * MS, None) is None
    np.testing.assert_array_equal(played(player, 1175, True), last)


def away(player):
    """The point that a receiver, away from 1.05 s on, has got last; the player waits."""
    last = [played(player, now_ms, True) for now_ms in range(1010, 1051, 5)][-1]
    for now_ms in range(1055, 1160, 5):
        played(player, now_ms, False)
    assert player.waits
    return last


def measured(player, begin_ms, end_ms, position):
    """Whether the player still waits after this robot was measured every 5 ms."""
    for now_ms in range(begin_ms, end_ms, 5):
        player.measured_at(position, now_ms * MS, now_ms * MS)
    return player.waits


def test_the_held_point_is_sent_again_once_the_robot_rests_there(player):
    """Its message has the base's velocities too: a robot that walks need not wait for a window."""
    last = away(player)
    assert measured(player, 1160, 1660, last + 0.019)
    assert not measured(player, 1660, 1670, last - 0.019)
    np.testing.assert_array_equal(played(player, 1670, True), last)


@pytest.mark.parametrize("between", [None, START + [0.0, 0.1]])
def test_a_robot_that_is_elsewhere_or_passes_by_gets_nothing(player, between):
    """A receiver that was started anew moves the arms itself; without a position nobody knows."""
    last = away(player)
    assert measured(player, 1160, 3000, between)
    assert measured(player, 3000, 3400, last)
    assert measured(player, 3400, 3405, between)
    assert measured(player, 3405, 3900, last)


def test_a_receiver_that_takes_nothing_when_the_robot_rests_is_waited_for_again(player):
    """Its first refusal counts: there is no 0.1 s of motion that it might have missed."""
    last = away(player)
    assert not measured(player, 1160, 1670, last)
    played(player, 1670, False)
    assert measured(player, 1670, 2170, last)


def test_one_point_that_does_not_go_stops_no_motion(player):
    """The next one is where the motion would be: no longer a way than after a late call."""
    for now_ms in range(1010, 1201, 5):
        played(player, now_ms, goes=now_ms != 1100)
    np.testing.assert_allclose(player.sample(1205 * MS)[0], START + 0.02)


def test_without_a_point_that_has_gone_the_begin_is_held():
    """The receiver was away from the first one on: nothing of the window was commanded."""
    player = JointPlayer(NAMES, 0.02)
    assert player.accept(ramp(1000 * MS), 1010 * MS, START) is None
    begin = played(player, 1010, False)
    assert player.waits
    np.testing.assert_array_equal(player.sample(1200 * MS)[0], begin)
