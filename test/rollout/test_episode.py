"""The times of an episode count from when the node was active, not from when its answer came."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.msg import ActionChunk, PolicyStatus, TaskState  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.rollout import episode  # noqa: E402
from gr00t_ros.rollout import observer as observer_module  # noqa: E402
from gr00t_ros.rollout.benchmark import Benchmark  # noqa: E402
from gr00t_ros.rollout.episode import TrialRun  # noqa: E402
from gr00t_ros.rollout.film import RATE_HZ  # noqa: E402
from gr00t_ros.rollout.observer import Observer  # noqa: E402
from gr00t_ros.rollout.strategy import STRATEGIES  # noqa: E402
from gr00t_ros.rollout.trial import Condition, Evaluation, Trial  # noqa: E402

BENCHMARK = Benchmark("one", ("sim",), "libero_panda", "/one")
TRIAL = Trial("near", 0, 1, 0, Condition(STRATEGIES["node"]))


@pytest.fixture
def wall(monkeypatch):
    """The clock of episode and observer; the test sets its time `now_s`."""
    clock = SimpleNamespace(monotonic=lambda: clock.now_s, now_s=0.0)
    monkeypatch.setattr(episode, "time", clock)
    monkeypatch.setattr(observer_module, "time", clock)
    return clock


def line_of(observer, folder, **stack):
    """The line of an episode that this observer sees."""
    stack = SimpleNamespace(
        evaluation=Evaluation(BENCHMARK, {"near": (0,)}, 1, 0, (TRIAL.condition,)),
        robot=load_embodiment("libero_panda"),
        use=lambda condition: False,
        **stack,
    )
    try:
        return TrialRun(stack, observer, TRIAL, folder / "pictures").run()
    finally:
        observer.close()


class Played(Observer):
    """An observer whose simulation and node are a list: what arrives during which call."""

    def __init__(self, while_activated, wall):
        """while_activated: (time s, step, mode) of what arrives before the answer to activate."""
        super().__init__(BENCHMARK, load_embodiment("libero_panda"), lambda: None)
        self._arrives = while_activated
        self.pictures = {"image": np.zeros((16, 16, 3), np.uint8)}
        self._wall = wall
        self.see(5.0, 100, "ready")

    def see(self, time_s, step, mode, success=False):
        """A state of the task, then a status of the node; four times slower than the clock."""
        self._wall.now_s = 4 * time_s
        state = TaskState(suite="near", task=0, episode=1, step=step, success=success)
        state.header.stamp.sec, state.header.stamp.nanosec = divmod(round(time_s * 1e9), 10**9)
        self._on_state(state)
        self._on_status(PolicyStatus(mode=mode, ready=mode == "ready"))
        self.after_spin()

    def reset_task(self, trial):
        return "go up", 8.0

    def fresh_status(self, limit_s=0.0):
        return self.status

    def change(self, transition):
        if transition == "activate":
            for time_s, step, mode in self._arrives:
                self.see(time_s, step, mode)
        return True

    def trigger(self, name):
        assert name == "pause"
        self.see(self.now_s, self.state.step, "paused_by_operator", success=True)
        return ""

    def instruct(self, text):
        pass

    def follow(self):
        """The task is done with the next state."""
        self.see(self.now_s + 0.5, self.state.step + 10, "replaying", success=True)


@pytest.mark.parametrize(
    ("arrives", "simulated_s", "steps"),
    [
        ([], 0.5, 10),  # the answer is there before any status
        ([(5.1, 102, "blending_in")], 0.5, 10),
        # the answer was lost, and the state asked for, while the robot moved for 2 s
        ([(5.1, 102, "blending_in"), (6.0, 120, "replaying"), (7.1, 142, "holding")], 2.5, 50),
        ([(5.1, 102, "ready"), (5.2, 104, "ready"), (5.3, 106, "blending_in")], 0.5, 10),
    ],
)
def test_a_late_answer_shortens_no_episode(ros_domain, tmp_path, wall, arrives, simulated_s, steps):
    """A success in 0.0 s was reported, because the answer came when the task was done."""
    observer = Played(arrives, wall)
    line = line_of(observer, tmp_path)
    assert (line["outcome"], line["cause"]) == ("success", "")
    assert line["simulated_s"] == pytest.approx(simulated_s)
    assert line["steps"] == steps
    assert line["real_time_factor"] == 0.25
    video = cv2.VideoCapture(str(tmp_path / line["videos"][0]))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(RATE_HZ * simulated_s, abs=2)


class Faulted(Played):
    """A node that faults after a chunk of which nothing was played."""

    reason = ""

    def follow(self):
        self._on_chunk(ActionChunk(accepted=False, reason=self.reason))
        self.see(self.now_s + 0.5, self.state.step + 10, "fault")


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("fr3_joint4, step 0: got 1.0, limits -0.1 to 0.1", "fault"),
        ("dropped: of an older episode, or not wanted now", "infrastructure"),
        ("dropped: all 16 steps due 33 ms or more ago", "infrastructure"),
    ],
)
def test_a_fault_is_the_policys_only_after_a_chunk_that_was_refused(
    ros_domain, tmp_path, wall, reason, outcome
):
    """A chunk that came at a wrong time, because the machine was late, causes none."""
    observer = Faulted([], wall)
    observer.reason = reason
    line = line_of(observer, tmp_path)
    assert line["outcome"] == outcome


class Slow(Played):
    """A node that is not ready, because the chunks are too short."""

    too_short = "a chunk of 16 steps is 800 ms, too short"
    ready = False

    def wait(self, condition, limit_s, what):
        """Until it is true; each look takes 3 s of this machine."""
        while not condition():
            self._wall.now_s += 3.0


def test_a_node_that_refused_is_started_anew_for_the_next_episode(ros_domain, tmp_path, wall):
    """It checks its server until it is fast: as during a reset, when simulated time stands."""
    observer, renewed = Slow([], wall), []
    line = line_of(observer, tmp_path, renew=lambda: renewed.append(True))
    assert (line["outcome"], line["cause"]) == ("refused", observer.too_short)
    assert renewed == [True]
