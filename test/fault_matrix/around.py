"""What is around the arm of the group with a scene: obstacles, a contact sensor, a moving base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from geometry_msgs.msg import TwistStamped
from mobile_robot import add_base
from obstacle_markers import marker
from pose_robot import with_pose
from std_msgs.msg import Bool, Float64
from visualization_msgs.msg import Marker, MarkerArray

from gr00t_ros.ros import qos

CONTACT = "/collision_detected"
PERIOD_S = 0.02
# Across the way of the policy that sweeps joint 1, and at the arm itself.
WALL_XYZ, WALL_SIZE = (0.4, 0.16, 0.25), (0.5, 0.02, 0.5)
ARM_XYZ, ARM_SIZE = (0.0, 0.0, 0.3), (0.3, 0.3, 0.3)


def around_file(folder: Path) -> Path:
    """The embodiment file of the arm on a base, with a sensor that shows contacts."""
    content = add_base(with_pose())
    content["contact"] = {"sensor": {"type": "flag", "topic": CONTACT}}
    file = folder / "around.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


class Around:
    """A detector of obstacles and a contact sensor, which publish again and again, and a base."""

    def __init__(self, node: Any) -> None:
        self.silent: set[str] = set()
        self.touched = False
        self._markers: list[Any] = []
        topic = "/gr00t_policy/obstacles"
        self._obstacles = node.create_publisher(MarkerArray, topic, qos.OBSTACLES)
        self._contact = node.create_publisher(Bool, CONTACT, qos.SENSOR)
        node.create_timer(PERIOD_S, self._publish)
        for kind, topic in ((TwistStamped, "/cmd_vel"), (Float64, "/base_height")):
            node.create_subscription(kind, topic, lambda _: None, qos.COMMAND)

    def put(self, xyz: tuple[float, ...], size: tuple[float, ...]) -> None:
        """Detect one box, in the frame of the arm's base, m."""
        self._markers = [marker(Marker.CUBE, size, xyz, frame="fr3_link0", ns="box")]

    def clear(self) -> None:
        """Detect nothing any more."""
        self._markers = [marker(ns="box", action=Marker.DELETE)]

    def _publish(self) -> None:
        if "obstacles" not in self.silent:
            self._obstacles.publish(MarkerArray(markers=self._markers))
        if "contact" not in self.silent:
            self._contact.publish(Bool(data=self.touched))
