"""Every shipped robot keeps its limits, all joints at once, with a bad network and a dead node.

test_oracle_laws.py has the same for the FR3 alone, over far more policies and networks.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from oracle import MS, START_NS, Network, Policy, assert_lawful, play

from gr00t_ros.motion.guard import Verdict
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.limits import JointLimits

FOLDER = Path(__file__).parents[2] / "config" / "embodiments"
ROBOTS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
DURATION_MS = 2500


def middle(limits: JointLimits) -> np.ndarray:
    """(J,) half-way between the position limits."""
    return np.asarray((limits.lower + limits.upper) / 2)


def swing(limits: JointLimits, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """A path from rest that uses most of each joint's room; each call is wrong by its own offset.

    Slower than a third of the velocity limit, so that the guard lets it pass.
    """
    rng = np.random.default_rng(seed)
    half = (limits.upper - limits.lower) / 2 - limits.margin
    rate = rng.uniform(1.0, 2.0, len(half))
    size = np.minimum(0.8 * half, limits.velocity / 3 / rate) * rng.choice([-1, 1], len(half))

    def path(seconds: np.ndarray) -> np.ndarray:
        t = np.maximum(seconds, 0)[:, None]
        wrong = rng.uniform(-0.02, 0.02, len(half)) * half
        return np.asarray(size * np.sin(rate * t) * np.minimum(t, 1.0) ** 2 + wrong)

    return path


@pytest.mark.parametrize("death_ms", [None, 1300], ids=["alive", "killed"])
@pytest.mark.parametrize("robot", ROBOTS)
def test_every_robots_limits_hold_whatever_the_network_does(robot, death_ms):
    """Late, lost and doubled windows, chunks that disagree; after a death the arm is at rest."""
    embodiment = load_embodiment(robot)
    # Chunks may jump, so that the guard leaves the work to the shaper.
    limits = replace(embodiment.limits, jump=np.full(len(embodiment.joint_names), 1.0))
    replay = Replay(limits, ReplaySettings())
    home = middle(limits)
    policy = Policy(
        swing(limits, 1),
        steps=embodiment.action_horizon,
        step_ns=embodiment.step_ns,
        executed=min(8, embodiment.action_horizon // 2),
        disagreement=0.0,
    )
    verdicts: list[Verdict] = []
    events = policy.events(replay, DURATION_MS * MS, home=home, verdicts=verdicts)
    death_ns = None if death_ms is None else START_NS + death_ms * MS
    network = Network(death_ns=death_ns)
    record = play(replay, events, DURATION_MS * MS, network, held=home)
    assert_lawful(record, limits)
    assert sum(verdict.accepted for verdict in verdicts) > 1
    farthest = np.abs(record.position - home).max(axis=0) / (limits.upper - limits.lower)
    assert (farthest > 0.005).all(), "every joint moved"
    if death_ms is not None:
        assert np.ptp(record.position[-200:], axis=0).max() < 1e-9, "at rest after its tail"
