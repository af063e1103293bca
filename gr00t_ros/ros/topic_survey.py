"""Looks at a running robot's topics for a few seconds: cameras, joint states, controllers, URDF.

Publishes nothing and commands nothing. Takes what is told, as a Known; refuses to know which
camera or joint a policy means.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String

from gr00t_ros.core.errors import Gr00tError
from gr00t_ros.ros import qos
from gr00t_ros.ros.cdr import CompressedView
from gr00t_ros.ros.compressed import size as compressed_size
from gr00t_ros.ros.controller_state import STATE_TYPES
from gr00t_ros.ros.urdf import joint_ranges
from gr00t_ros.sidecar.known import Camera, Controller, Known

_LOOK_S = 0.2  # between two looks at the graph: discovery takes a second or two
_STATE_SUFFIXES = ("/controller_state", "/state")  # Jazzy's controllers, Humble's


@dataclass(slots=True)
class Seen:
    """What one topic has sent: how often, from when to when (s), and its newest message."""

    kind: Any
    count: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    message: Any = field(default=None)

    @property
    def rate_hz(self) -> float:
        """Messages a second over the time seen; 0 before the second one."""
        span_s = self.last_s - self.first_s
        return (self.count - 1) / span_s if self.count > 1 and span_s > 0 else 0.0


class Survey:
    """Subscribes to every topic of a kind worth knowing, as it appears."""

    def __init__(self, node: Node) -> None:
        """Look through `node`; nothing is subscribed before the first `look`."""
        self._node = node
        self.seen: dict[str, Seen] = {}
        self._kinds = {_type_name(k): k for k in (Image, CompressedImage, JointState, *STATE_TYPES)}

    def look(self) -> None:
        """Subscribe to what the graph has now and is not subscribed yet."""
        for topic, types in self._node.get_topic_names_and_types():
            kind = self._kinds.get(types[0])
            if topic == "/robot_description" and types == ["std_msgs/msg/String"]:
                self._subscribe(topic, String, qos.STATUS)  # latched by robot_state_publisher
            elif kind is not None:
                self._subscribe(topic, kind, qos_profile_sensor_data)

    def known(self) -> Known:
        """What has been seen, topics in the order of their names."""
        heard = {topic: seen for topic, seen in sorted(self.seen.items()) if seen.count}
        described = heard.get("/robot_description")
        return Known(
            cameras=tuple(filter(None, (_camera(topic, seen) for topic, seen in heard.items()))),
            joint_topics={
                t: tuple(s.message.name) for t, s in heard.items() if s.kind is JointState
            },
            controllers=tuple(_controller(t, s) for t, s in heard.items() if s.kind in STATE_TYPES),
            ranges=joint_ranges(described.message.data) if described else {},
            positions={
                name: position
                for s in heard.values()
                if s.kind is JointState
                for name, position in zip(s.message.name, s.message.position, strict=False)
            },
        )

    def _subscribe(self, topic: str, kind: Any, profile: Any) -> None:
        if topic in self.seen:
            return
        seen = self.seen[topic] = Seen(kind)

        def take(message: Any) -> None:
            now_s = time.monotonic()
            seen.first_s = seen.first_s if seen.count else now_s
            seen.count, seen.last_s, seen.message = seen.count + 1, now_s, message

        self._node.create_subscription(kind, topic, take, profile)


def survey(seconds: float, ros_arguments: Sequence[str] | None = None) -> Known:
    """Return what the topics tell within `seconds` of steady time; starts and ends rclpy."""
    rclpy.init(args=list(ros_arguments or ()))
    node = rclpy.create_node("gr00t_survey", enable_rosout=False, start_parameter_services=False)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        found = Survey(node)
        _spin(executor, found, time.monotonic() + seconds)
        return found.known()
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def _spin(executor: SingleThreadedExecutor, found: Survey, until_s: float) -> None:
    looked_s = 0.0
    while (now_s := time.monotonic()) < until_s:
        if now_s - looked_s >= _LOOK_S:
            found.look()
            looked_s = now_s
        executor.spin_once(timeout_sec=_LOOK_S)


def _type_name(kind: Any) -> str:
    package, folder, name = kind.__module__.split(".")[0], "msg", kind.__name__
    return f"{package}/{folder}/{name}"


def _camera(topic: str, seen: Seen) -> Camera | None:
    if seen.kind is Image:
        return Camera(topic, seen.message.height, seen.message.width, "raw", seen.rate_hz)
    if seen.kind is not CompressedImage:
        return None
    try:
        payload = np.frombuffer(seen.message.data, np.uint8)
        height_px, width_px = compressed_size(CompressedView(0, seen.message.format, payload))
    except Gr00tError:
        return None  # depth or a format that no policy takes
    return Camera(topic, height_px, width_px, "compressed", seen.rate_hz)


def _controller(topic: str, seen: Seen) -> Controller:
    """The controller behind a state topic; its commands come on its own namespace."""
    base = topic
    for suffix in _STATE_SUFFIXES:
        base = base.removesuffix(suffix)
    name = base.rsplit("/", 1)[-1].removesuffix("_controller")
    return Controller(name, f"{base}/joint_trajectory", topic, tuple(seen.message.joint_names))
