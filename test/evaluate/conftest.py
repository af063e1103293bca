"""The robot of the evaluation's tests, and an episode measured against a policy of this process."""

import pytest

from gr00t_ros.evaluate.measures import measure
from gr00t_ros.evaluate.open_loop import OpenLoopSettings, predict_episode
from gr00t_ros.robot.files import load_embodiment


@pytest.fixture(scope="session")
def robot():
    """Desk6: six joints, one camera, 20 rows a second, chunks of 32 steps."""
    return load_embodiment("desk6")


@pytest.fixture(scope="session")
def droid():
    """The DROID arm: two cameras, a history of one second, a gripper with a threshold."""
    return load_embodiment("franka_droid")


@pytest.fixture(scope="session")
def measured():
    """Measure an episode against a policy."""

    def run(robot, episode, policy, settings=None):
        settings = settings or OpenLoopSettings()
        return measure(episode, robot, settings, predict_episode(episode, robot, settings, policy))

    return run
