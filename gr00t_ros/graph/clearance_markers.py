"""Markers for RViz: the scene as the collision check knows it, and the nearest pair ahead.

They are made and published on the executor thread, and only while somebody subscribes. The nearest
points are measured with data of their own, so the replay thread never waits for a picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from gr00t_ros.collide.description import Shape
from gr00t_ros.collide.engine import CollisionEngine
from gr00t_ros.collide.scene import KEEP_IN, KEEP_OUT, OBJECT
from gr00t_ros.graph.collision import Collision
from gr00t_ros.motion.clearance import Ahead
from gr00t_ros.robot.rotation import quaternion_from_matrix
from gr00t_ros.ros import qos

Floats = NDArray[np.float64]

TOPIC: Final = "~/clearance_markers"
NEAREST: Final = "nearest pair ahead"

_PERIOD_S = 0.2
MARKER_LIFETIME_S = 1  # what is no longer published disappears, and all of it when the node is gone
_PLANE_M = 4.0
_LINE_M, _TEXT_M, _POINT_M = 0.004, 0.04, 0.006
_MOST_POINTS = 2000
_COLOURS = {
    OBJECT: ColorRGBA(r=0.70, g=0.55, b=0.35, a=0.8),
    KEEP_OUT: ColorRGBA(r=0.90, g=0.15, b=0.10, a=0.35),
    KEEP_IN: ColorRGBA(r=0.20, g=0.70, b=0.30, a=1.0),
}
_CLEAR, _NOT_CLEAR = ColorRGBA(r=0.1, g=0.8, b=0.2, a=1.0), ColorRGBA(r=1.0, g=0.4, b=0.0, a=1.0)
_CORNERS = np.stack(np.meshgrid(*[(-1.0, 1.0)] * 3), axis=-1).reshape(-1, 3)


class ClearanceMarkers:
    """The publisher of one configuration; without `collision: required` it publishes nothing."""

    def __init__(self, node: Node, collision: Collision, ahead: Callable[[], Ahead]) -> None:
        """ahead: what was found on the way of the newest window."""
        self._node, self._collision, self._ahead = node, collision, ahead
        self._publisher = node.create_publisher(MarkerArray, TOPIC, qos.MARKERS)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_PERIOD_S, self._publish, clock=steady)

    def destroy(self) -> None:
        """Remove the publisher and the timer."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def _publish(self) -> None:
        if not self._publisher.get_subscription_count():
            return
        shown = self._collision.shown()
        if shown is None:
            return
        ahead = self._ahead() if shown.running else None
        markers = [*scene_markers(shown.engine), *nearest_markers(shown.engine, ahead)]
        stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(MarkerArray(markers=[_in(m, shown.base, stamp) for m in markers]))


def _in(marker: Marker, frame: str, stamp: Time) -> Marker:
    marker.header.frame_id, marker.header.stamp = frame, stamp
    return marker


def scene_markers(engine: CollisionEngine) -> Iterator[Marker]:
    """One marker for each shape of the scene; a keep-in box is one outline."""
    roles = {one.name: one.role for one in engine.scene.solids} if engine.scene else {}
    numbers: Counter[str] = Counter()  # live obstacles of several shapes share a name
    for body in engine.solids():
        role = roles.get(body.name, OBJECT)
        if role == KEEP_IN:
            yield _outline(body.name, body.shapes)
            continue
        for shape in body.shapes:
            yield _solid(body.name, numbers[body.name], shape, _COLOURS[role])
            numbers[body.name] += 1


def nearest_markers(engine: CollisionEngine, ahead: Ahead | None) -> Iterator[Marker]:
    """A line between the nearest points of the nearest pair ahead, and its distance as text."""
    if ahead is None or ahead.position is None or len(ahead.pair) != 2:
        return
    if ahead.position.shape != (len(engine.joint_names),):
        return  # of the session before, whose model was another one
    witness = engine.witness((ahead.pair[0], ahead.pair[1]), ahead.position)
    if witness is None:
        return
    colour = _CLEAR if ahead.clear else _NOT_CLEAR
    line = _marker(NEAREST, 0, Marker.LINE_LIST, colour)
    line.scale.x = _LINE_M
    line.points = [to_point(witness.first_m), to_point(witness.second_m)]
    yield line
    text = _marker(NEAREST, 1, Marker.TEXT_VIEW_FACING, colour)
    text.scale.z = _TEXT_M
    text.pose.position = to_point(0.5 * (witness.first_m + witness.second_m))
    text.text = f"{ahead.distance_m:.3f} m in {ahead.at_s:.2f} s: {' and '.join(ahead.pair)}"
    yield text


def _marker(namespace: str, number: int, kind: int, colour: ColorRGBA) -> Marker:
    marker = Marker(ns=namespace, id=number, type=kind, action=Marker.ADD, color=colour)
    marker.pose.orientation.w = 1.0
    marker.lifetime.sec = MARKER_LIFETIME_S
    return marker


def _solid(name: str, number: int, shape: Shape, colour: ColorRGBA) -> Marker:
    kinds = {"sphere": Marker.SPHERE, "cylinder": Marker.CYLINDER, "mesh": Marker.POINTS}
    marker = _marker(f"scene: {name}", number, kinds.get(shape.kind, Marker.CUBE), colour)
    marker.pose.position = to_point(shape.xyz_m)
    turned = marker.pose.orientation
    turned.x, turned.y, turned.z, turned.w = quaternion_from_matrix(shape.rotation).tolist()
    if shape.kind == "mesh":
        marker.scale.x = marker.scale.y = _POINT_M
        some = shape.points[:: 1 + len(shape.points) // _MOST_POINTS]
        marker.points = [to_point(point) for point in some]
        return marker
    scale = marker.scale
    scale.x, scale.y, scale.z = _edges(shape)
    return marker


def _edges(shape: Shape) -> tuple[float, float, float]:
    """The edges of the box around a shape, m; a plane is a thin plate."""
    if shape.kind == "plane":
        return _PLANE_M, _PLANE_M, 1e-3
    if shape.kind == "box":
        x, y, z = shape.size_m
        return x, y, z
    width = 2.0 * shape.size_m[0]
    return width, width, shape.size_m[1] if shape.kind == "cylinder" else width


def _outline(name: str, walls: tuple[Shape, ...]) -> Marker:
    """The twelve edges of a box whose six walls come in pairs, the lower one first."""
    places = np.array([wall.xyz_m for wall in walls])
    half = 0.5 * (places[1::2] - places[0::2])
    corners = places.mean(axis=0) + _CORNERS @ half
    marker = _marker(f"scene: {name}", 0, Marker.LINE_LIST, _COLOURS[KEEP_IN])
    marker.scale.x = _LINE_M
    for one in range(8):
        for other in range(one):
            if np.count_nonzero(_CORNERS[one] != _CORNERS[other]) == 1:
                marker.points += [to_point(corners[one]), to_point(corners[other])]
    return marker


def to_point(at: Floats) -> Point:
    """A position (3,) in m as a message."""
    x, y, z = at.tolist()
    return Point(x=x, y=y, z=z)
