"""The streamer's player commands what the controller's model does, less what would be a step."""

import numpy as np
import pytest

from gr00t_ros.core.sampler import JtcSampler, Trajectory
from gr00t_ros.ros.player import Player

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
    made = Player(NAMES, 0.02)
    assert made.accept(ramp(1000 * MS), 1010 * MS, START) is None
    return made


def test_says_nothing_before_its_first_window():
    """A command that nobody gave is none."""
    assert Player(NAMES, 0.02).sample(5) is None


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
    made = Player(NAMES, 0.02)
    assert "not known" in made.accept(ramp(1000 * MS), 1000 * MS, None)
    assert "jump of a" in made.accept(ramp(1000 * MS), 1000 * MS, START - [0.03, 0.0])
    assert made.sample(1000 * MS) is None
    assert made.accept(ramp(1000 * MS), 1000 * MS, START - [0.01, 0.0]) is None


def test_the_controllers_own_rejections_hold(player):
    """An end in the past and a final velocity are refused in the model's words."""
    assert "in the past" in player.accept(ramp(1 * MS), 1100 * MS, None)
    moving = ramp(1100 * MS)
    moving.velocities[-1, 0] = 0.1
    assert "final velocity" in player.accept(moving, 1100 * MS, None)
    assert player.accepted == 1
