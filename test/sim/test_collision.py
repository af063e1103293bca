"""The arm stops in front of a wall that the policy leads it through, by the robot's own record.

The wall is only in the scene file, not in the simulation: nothing but the check can stop the arm.
"""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from closed_loop import NEEDS_MODEL

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from stack import Stack, assert_inside_the_limits, unstarted  # noqa: E402

from gr00t_ros.demo.follow import min_clearance  # noqa: E402
from gr00t_ros.sim.robots import FRANKA  # noqa: E402

pytestmark = NEEDS_MODEL

WALL = "franka_wall"
MARGIN_M = 0.02  # of that file
APPROACH_RAD_S = 0.05
FOLLOWING_M = 1e-4  # a late tick interpolates between windows that are both clear


@pytest.fixture
def stack(ros_node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack that is not started yet, and is gone afterwards."""
    with unstarted(ros_node, tmp_path, monkeypatch) as stack:
        yield stack


def start(stack: Stack, **policy: Any) -> None:
    """The task whose cube lies behind the wall."""
    stack.start(seed=0, collision="required", scene=WALL, **policy)


def assert_clear(stack: Stack) -> None:
    """The whole record keeps the margin and the limits of motion."""
    record = stack.record()
    assert min_clearance(record, FRANKA, WALL).distance_m > MARGIN_M - FOLLOWING_M
    assert_inside_the_limits(record)


def test_the_arm_glides_to_a_stop_before_a_wall_and_asks_for_help(stack: Stack) -> None:
    """After its patience, with the wall named; the policy was asked all the while."""
    start(stack, collision_patience_s=1.0)
    reason = stack.wait_for_mode("paused_by_operator").reason
    assert " of wall in " in reason
    assert "look at what is in the way, then call ~/resume (gr00t operator resume)" in reason
    facts = {detail.key: detail.value for detail in stack.statuses[-1].details}
    assert "wall" in facts["clearance [m]"]
    assert facts["unproven stops"] == "0" and int(facts["windows over budget"]) >= 0
    assert stack.statuses[-1].chunks_accepted > 2
    assert_clear(stack)
    found = min_clearance(stack.record(), FRANKA, WALL)
    assert "wall" in found.between and found.distance_m < 2 * MARGIN_M


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.soak)]
)
def test_a_node_that_dies_before_a_wall_leaves_the_arm_clear_of_it(
    stack: Stack, number: signal.Signals
) -> None:
    """On the way there: the stop ramp of the last window is clear as well."""
    start(stack)
    stack.wait(lambda: stack.speed_rad_s > APPROACH_RAD_S, "an arm on its way")
    at_ns = stack.send("policy", number)
    stack.wait_for_robot_time(at_ns + 1_500_000_000)
    record = stack.record()
    assert not record.velocity[-1].any()
    assert_clear(stack)


def test_an_arm_that_touches_the_scene_is_not_activated(stack: Stack, tmp_path: Path) -> None:
    """The reason names both; without robot_description it would name that."""
    scene = tmp_path / "here.yaml"
    scene.write_text(
        "margin: 0.02\nobjects:\n  post: {type: sphere, xyz: [0.3, 0.0, 0.5], radius: 0.3}\n"
    )
    stack.start(seed=0, collision="required", scene=str(scene))
    stack.wait(lambda: stack.statuses and "post touch" in stack.statuses[-1].reason, "the refusal")
    assert stack.mode == "waiting"
    assert "move the arm away by hand, or correct the scene file" in stack.statuses[-1].reason
