"""What the simulated Panda does with twists and with the gripper's trajectory, without LIBERO."""

import threading
import time

import numpy as np
import pytest

from gr00t_ros.sim.libero.commands import (
    CLOSING,
    FRAME,
    FULL_TWIST,
    OPENING,
    SILENCE_NS,
    GripperSense,
    TwistInput,
)
from gr00t_ros.sim.libero.extra import INSTALL, VARIABLE, require_libero
from gr00t_ros.sim.libero.robot import Pace

S = 1_000_000_000


def test_a_twist_is_the_policys_own_action_until_the_commands_fall_silent():
    """Then the action is zero: the tool holds."""
    twists = TwistInput()
    assert twists.accept(FRAME, 10 * S, 0.5 * FULL_TWIST, 10 * S) == ""
    np.testing.assert_allclose(twists.action(10 * S + SILENCE_NS), np.full(6, 0.5))
    assert not twists.action(10 * S + SILENCE_NS + 1).any()


@pytest.mark.parametrize(
    ("frame", "stamp_ns", "value", "why"),
    [
        ("world", 10 * S, 0.1, "frame_id: got 'world'"),
        (FRAME, 10 * S, np.nan, "NaN"),
        (FRAME, 9 * S, 0.1, "behind simulated time"),
        (FRAME, 11 * S, 0.1, "behind simulated time"),
        (FRAME, 0, 0.1, "stamp"),
    ],
)
def test_a_twist_that_is_not_sure_moves_nothing(frame, stamp_ns, value, why):
    """The one before it still counts, until it is too old."""
    twists = TwistInput()
    assert why in twists.accept(frame, stamp_ns, np.full(6, value), 10 * S)
    assert not twists.action(10 * S).any()


def test_a_twist_from_before_a_reset_does_not_move_the_new_episode():
    """Simulated time stands while a task is reset, so its stamp is young."""
    twists = TwistInput()
    twists.accept(FRAME, 10 * S, 0.5 * FULL_TWIST, 10 * S)
    twists.forget(10 * S)
    assert not twists.action(10 * S).any()
    assert "before the reset" in twists.accept(FRAME, 10 * S, 0.5 * FULL_TWIST, 10 * S)


def test_the_gripper_goes_the_way_that_it_was_last_commanded():
    """Its trajectory at rest says nothing new."""
    sense = GripperSense()
    found = [sense.action(velocity) for velocity in (0.0, -0.05, 0.0, 0.05, 0.0)]
    assert found == [OPENING, CLOSING, CLOSING, OPENING, OPENING]


def test_simulated_time_does_not_catch_up_what_it_missed():
    """After a late tick the next ones are a period apart again, but for the slack."""
    period_ns, slack = 2_000_000.0, 2
    pace, stop = Pace(period_ns, slack), threading.Event()
    pace.begin()
    pace._due_ns -= 1000 * period_ns  # a second late, as on a busy machine
    began_ns = time.monotonic_ns()
    for _ in range(slack + 1 + 10):
        assert pace.wait(stop)
    assert time.monotonic_ns() - began_ns >= 9 * period_ns
    stop.set()
    assert not pace.wait(stop)


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch):
    """Nothing of it is imported by the package."""
    monkeypatch.setenv(VARIABLE, "/nonexistent/python")
    with pytest.raises(Exception, match=INSTALL.replace(".", r"\.")):
        require_libero()
