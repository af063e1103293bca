"""Live obstacles in front of a moving arm, by the robot's own record.

They are only messages, not in the simulation: nothing but the check can stop the arm.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from closed_loop import NEEDS_MODEL

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from obstacle_markers import marker  # noqa: E402
from stack import Stack, assert_inside_the_limits, rows_from, unstarted  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from gr00t_ros.demo.follow import min_clearance  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.sim.record import Record  # noqa: E402
from gr00t_ros.sim.robots import FRANKA  # noqa: E402

pytestmark = NEEDS_MODEL

PERIOD_S = 0.05
WALL_XYZ, WALL_SIZE = (0.5, 0.18, 0.2), (0.25, 0.02, 0.4)  # across the way to the cube
APPROACH_RAD_S, STANDING_RAD_S = 0.02, 0.005
SLOW = 0.05
"""Share of the velocity limits: the wall is 10 cm away, and a late machine publishes it later."""


class Detector:
    """Publishes what it has, again and again, as a program that detects obstacles."""

    def __init__(self, node: Any) -> None:
        self.markers: list[Any] = []
        self.silent = False
        topic = "/gr00t_policy/obstacles"
        self._publisher = node.create_publisher(MarkerArray, topic, qos.OBSTACLES)
        node.create_timer(PERIOD_S, self._publish)

    def _publish(self) -> None:
        if not self.silent:
            self._publisher.publish(MarkerArray(markers=self.markers))


@pytest.fixture
def stack(ros_node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack that is not started yet, and is gone afterwards."""
    with unstarted(ros_node, tmp_path, monkeypatch) as stack:
        yield stack


def start(stack: Stack, **policy: Any) -> None:
    """The task without a scene file; obstacles are messages alone."""
    stack.start(seed=0, collision="required", obstacles="markers", **policy)
    stack.wait(lambda: stack.speed_rad_s > APPROACH_RAD_S, "an arm on its way")


def details(stack: Stack) -> dict[str, str]:
    """The details of the newest status."""
    return {detail.key: detail.value for detail in stack.statuses[-1].details}


def between(record: Record, from_ns: int, to_ns: int) -> Record:
    """The rows of a record between two moments of the steady clock."""
    rows = slice(rows_from(record, from_ns), rows_from(record, to_ns))
    return replace(
        record,
        time_ns=record.time_ns[rows],
        position=record.position[rows],
        velocity=record.velocity[rows],
    )


def test_a_box_that_appears_stops_the_arm_and_one_that_goes_lets_it_go_on(
    stack: Stack, ros_node: Any, tmp_path: Path
) -> None:
    """Without contact while it is there; then the stream falls silent: a pause until it is back."""
    detector = Detector(ros_node)
    start(stack, collision_patience_s=60.0, velocity_scale=SLOW)
    wall = marker(Marker.CUBE, WALL_SIZE, WALL_XYZ, frame="fr3_link0", ns="wall")
    detector.markers = [wall]
    appeared_ns = time.monotonic_ns()
    stack.wait(
        lambda: (
            stack.speed_rad_s < STANDING_RAD_S
            and "obstacle wall/0" in details(stack).get("clearance [m]", "")
        ),
        "an arm that stands before the wall",
    )
    assert stack.mode not in ("fault", "paused_by_operator")
    gone_ns = time.monotonic_ns()
    detector.markers = [marker(ns="wall", action=Marker.DELETE)]
    stack.wait(lambda: stack.speed_rad_s > APPROACH_RAD_S, "an arm that goes on")

    detector.silent = True
    silent = ("obstacles: nothing received for", "check the program")
    stack.wait(  # a late machine may pause for another reason first
        lambda: (
            stack.mode == "paused" and all(part in stack.statuses[-1].reason for part in silent)
        ),
        "the silent detector as the reason",
    )
    detector.silent = False
    stack.wait(lambda: stack.speed_rad_s > APPROACH_RAD_S, "an arm that goes on")

    record = stack.record()
    assert_inside_the_limits(record)
    scene = tmp_path / "wall.yaml"
    scene.write_text(
        f"margin: 0.02\nobjects:\n  wall: {{type: box, xyz: {list(WALL_XYZ)}, "
        f"size: {list(WALL_SIZE)}}}\n"
    )
    found = min_clearance(between(record, appeared_ns, gone_ns), FRANKA, str(scene))
    assert found.distance_m > 0.0, found
