"""Rolled states in the node: by what was sent and the shortest latency, or as measured."""

import numpy as np
import pytest
from oracle import MS

from gr00t_ros.errors import SettingsError
from gr00t_ros.inputs.rolling import Rolling
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.clocks import Latencies
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.observe.observation import Observation
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.session.schedule import LATENCY_MEMORY

ROBOT = load_embodiment("franka_droid")
OFFSET_NS = 10**18  # of ROS time to plan time
START_NS, NOW_NS = 1_000 * MS, 1_600 * MS
SETTINGS = ReplaySettings()
HOME = np.array([0.1, -0.5, 0.2, -2.0, 0.1, 1.6, 0.3, 0.4])


def courses():
    """What was sent up to NOW_NS of a motion of all arm joints by 0.2 rad/s."""
    replay = Replay(ROBOT.limits, SETTINGS)
    replay.start(START_NS, HOME)
    step_ns = ROBOT.step_ns
    rows = np.tile(HOME, (ROBOT.action_horizon, 1))
    rows[:, :7] += 0.2 * step_ns * 1e-9 * np.arange(len(rows))[:, None]
    assert replay.accept(ActionChunk(1, 1, START_NS, step_ns, rows, {}), START_NS).accepted
    for now_ns in range(START_NS, NOW_NS + 1, 20 * MS):
        replay.tick(now_ns)
    return replay.planner.courses


def rolling(sent):
    """After these courses were sent."""
    return Rolling(
        lambda: ROBOT,
        lambda: (sent, SETTINGS.commit_ns),
        lambda: OFFSET_NS,
        shadow=False,
        rtc=False,
    )


def observation():
    """Zeros, 30 ms old."""
    state = {s.key: np.zeros((1, s.width), np.float32) for s in ROBOT.state}
    return Observation(NOW_NS - 30 * MS + OFFSET_NS, {}, state)


def known(*latencies_ms):
    """These latencies of earlier queries."""
    found = Latencies()
    for latency_ms in latencies_ms:
        found.add("end_to_end", latency_ms * MS)
    return found


def test_it_rolls_to_the_earliest_execution_of_the_chunk():
    """The shortest of the newest latencies, and the commit."""
    roll, sent = rolling(courses()), observation()
    rolled = roll(sent, known(5, *[90] * (LATENCY_MEMORY - 1), 60, 120))
    assert roll.by_ns == 60 * MS + SETTINGS.commit_ns
    assert rolled.stamp_ns == sent.stamp_ns + roll.by_ns
    moved = rolled.state["joint_position"][0]
    np.testing.assert_allclose(moved, 0.2 * roll.by_ns * 1e-9, rtol=0.15)


@pytest.mark.parametrize("case", ["no plan", "no latency"])
def test_without_plan_or_latency_it_is_sent_as_it_was_measured(case):
    """And an earlier roll is not taken for this one's."""
    roll, sent = rolling(courses()), observation()
    roll(sent, known(60))
    assert roll.by_ns
    if case == "no plan":
        roll._sent = rolling(())._sent
    assert roll(sent, known(60) if case == "no plan" else Latencies()) is sent
    assert roll.by_ns == 0


@pytest.mark.parametrize(
    ("shadow", "rtc", "why"),
    [(True, False, "in shadow"), (False, True, "rtc counts steps from the observation's time")],
)
def test_with_what_contradicts_it_it_is_refused(shadow, rtc, why):
    """In shadow another program moves the arm; RTC counts steps from the observation."""
    with pytest.raises(SettingsError, match=f"roll_state: {why}"):
        Rolling(lambda: ROBOT, lambda: ((), 0), lambda: OFFSET_NS, shadow, rtc)
