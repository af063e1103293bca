"""In shadow the plan follows the arm where other programs move it."""

from dataclasses import replace

import numpy as np
import pytest
from oracle import HOME, MS, fr3_limits
from session_rig import Rig

from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.session.session import Session


def moving_in_shadow() -> Rig:
    """In motion; the controllers hold what others told them."""
    rig = Rig().moving()
    rig.session.settings = replace(rig.session.settings, shadow=True)
    rig.held = HOME + 0.5
    return rig


def test_nothing_waits_for_an_arm_that_others_move() -> None:
    """After a tick that came too late the plan starts anew at the arm, which moves on."""
    replay = Replay(fr3_limits(), ReplaySettings())
    rig = Rig(session=Session(replay, SessionSettings(shadow=True)))

    def ticks(count: int) -> None:
        for _ in range(count):
            rig.held = rig.held + 0.001
            rig.tick()

    rig.moving()
    rig.now_ns += 150 * MS
    ticks(1)
    assert "no window has left" in rig.session.reason and rig.mode is Mode.PAUSED
    ticks(rig.session.settings.healthy_ticks)
    assert rig.mode is Mode.BLENDING_IN
    assert rig.session.merge(chunk_from(rig, rig.held), rig.now_ns, rig.held).accepted
    np.testing.assert_array_equal(rig.session.replay.position(rig.now_ns), rig.held)
    ticks(25)
    assert rig.mode is Mode.REPLAYING
    rig.now_ns += 150 * MS
    rig.session.deactivate(rig.now_ns)
    ticks(2)
    assert not rig.session.active


def chunk_from(rig: Rig, start: np.ndarray):
    """A chunk that begins at `start`, as a policy gives that sees the arm there."""
    chunk = rig.chunk()
    return type(chunk)(0, chunk.episode, rig.now_ns, chunk.step_ns, start + 0 * chunk.joints, {})


def test_a_chunk_of_where_the_arm_was_moved_starts_the_plan_there() -> None:
    """Outside shadow it would be a jump, and the third of them a fault."""
    rig = moving_in_shadow()
    for count in range(1, 6):
        rig.held = rig.held + 0.2
        verdict = rig.session.merge(chunk_from(rig, rig.held), rig.now_ns, rig.held)
        assert verdict.accepted
        assert rig.session.counts.restarts == count
        np.testing.assert_array_equal(rig.session.replay.position(rig.now_ns), rig.held)
        rig.tick()
    assert rig.mode is Mode.REPLAYING
    assert rig.session.counts.refused == 0


@pytest.mark.parametrize("held_known", [True, False])
def test_a_chunk_that_is_far_from_the_arm_itself_stays_refused(held_known) -> None:
    """It tells of a policy that would have jumped on a robot that it commands."""
    rig = moving_in_shadow()
    far = chunk_from(rig, HOME + 1.5)
    verdict = rig.session.merge(far, rig.now_ns, rig.held if held_known else None)
    assert (verdict.accepted, verdict.kind) == (False, "jump")
    assert rig.session.counts.refused == 1


def test_outside_shadow_a_jump_never_starts_the_plan_again() -> None:
    """The controllers play it: a new start in motion would be a step."""
    rig = Rig().moving()
    before = rig.session.replay.velocity(rig.now_ns)
    rig.held = HOME + 0.5
    assert rig.session.merge(chunk_from(rig, rig.held), rig.now_ns, rig.held).kind == "jump"
    np.testing.assert_array_equal(rig.session.replay.velocity(rig.now_ns), before)
    assert rig.session.counts.restarts == 0
