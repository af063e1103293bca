"""The node's own motion, offline: what it follows, refuses and how it comes to rest."""

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="made episodes need the simulator")

from made_episodes import Recorded, made_episode

from gr00t_ros.evaluate.open_loop import OpenLoopSettings

ROWS = 96


@pytest.fixture(scope="module")
def episode(robot):
    """About five seconds of Desk6."""
    return made_episode(robot, rows=ROWS)


def apart(measures, from_s=0.0):
    """Largest distance of the shaped motion from the recorded one, rad."""
    found = measures.deployed
    late = found.time_s >= from_s
    return np.nanmax(np.abs(found.position - found.recorded)[late])


def test_chunks_of_the_recording_are_followed_closely(robot, episode, measured):
    """All are accepted, the limits are kept, and the shaped motion is the recorded one."""
    found = measured(robot, episode, Recorded(robot, episode))
    guard = found.deployed.guard
    assert (guard.chunks, guard.accepted, guard.refused, guard.stops) == (12, 12, 0, 0)
    assert apart(found, from_s=1.0) < 0.01  # the plan begins at rest, the recording in motion
    limits = robot.limits
    assert (found.shaped.most[0] <= limits.velocity).all()
    assert (found.shaped.most[1] <= 1.001 * limits.acceleration).all()


def test_a_late_chunk_is_followed_from_its_latency_on(robot, episode, measured):
    """The plan rests until the first one arrives, and what is past is dropped."""
    late = OpenLoopSettings(latency_ns=400_000_000)
    found = measured(robot, episode, Recorded(robot, episode), late)
    assert found.deployed.time_s[0] == pytest.approx(0.4)
    assert np.isnan(found.played[:8]).all() and np.isfinite(found.played[8:]).all()
    assert found.deployed.guard.late == 1  # the last chunk arrives after the last row


def test_a_chunk_that_jumps_is_refused_with_its_row_and_reason(robot, episode, measured):
    """One of them; the plan goes on with the chunk before it."""

    def jump(chunks, _, query):
        return {key: rows + (0.5 if query == 4 else 0.0) for key, rows in chunks.items()}

    guard = measured(robot, episode, Recorded(robot, episode, jump)).deployed.guard
    assert guard.refused_rows == [32] and guard.stops == 0
    assert guard.reasons["jump"][0] == 1 and "desk6_joint1" in guard.reasons["jump"][1]


def test_after_refusals_the_plan_begins_anew_where_the_arm_was_recorded(robot, episode, measured):
    """Three in a row are a fault; the motion has a gap there and never jumps."""

    def wild(chunks, _, query):
        return {key: rows + (0.5 if 2 <= query < 6 else 0.0) for key, rows in chunks.items()}

    found = measured(robot, episode, Recorded(robot, episode, wild))
    guard = found.deployed.guard
    assert guard.refused == 4 and guard.faults == 1
    assert np.isnan(found.deployed.position).any()
    steps = np.abs(np.diff(found.deployed.position, axis=0))
    assert np.nanmax(steps) < 0.05
    assert np.abs(found.deployed.position[-1] - found.deployed.recorded[-1]).max() < 0.01
