"""Live obstacles from topics: ~/obstacles as markers, or MoveIt's planning scene.

Messages arrive on the executor thread, which puts all obstacles into the robot's base and stores
them as one `PlacedObstacles`; the thread that owns the engine takes that over between two ticks.
Nothing is dropped in silence: what cannot be checked is a problem by name until it is deleted or
replaced.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from rclpy.node import Node
from visualization_msgs.msg import Marker, MarkerArray

from gr00t_ros.collide.obstacles import LiveObstacles, PlacedObstacles, obstacle_shape
from gr00t_ros.collide.scene import FramePose
from gr00t_ros.errors import SettingsError
from gr00t_ros.graph.planning_scene import PlanningSceneSource
from gr00t_ros.ros import qos
from gr00t_ros.ros.parameters import MARKERS, PLANNING_SCENE, Parameters
from gr00t_ros.watch.finding import AwakeTime, Finding, all_awake
from gr00t_ros.watch.table import finding

TOPIC = "~/obstacles"

Lookup = Callable[[str], FramePose | str]
"""The pose of a frame in the robot's base, or why it has none."""

_TYPES = {
    getattr(Marker, name): name
    for name in (
        *("ARROW", "CUBE", "SPHERE", "CYLINDER", "LINE_STRIP", "LINE_LIST", "CUBE_LIST"),
        *("SPHERE_LIST", "POINTS", "TEXT_VIEW_FACING", "MESH_RESOURCE", "TRIANGLE_LIST"),
    )
}


def take_markers(live: LiveObstacles, message: MarkerArray) -> None:
    """Apply the markers of one message in their order."""
    for marker in message.markers:
        name = f"{marker.ns}/{marker.id}" if marker.ns else f"{marker.id}"
        if marker.action == Marker.DELETEALL:
            live.clear(marker.ns or None)
        elif marker.action == Marker.DELETE:
            live.remove(name)
        elif marker.action != Marker.ADD:
            live.refuse(name, f"got action {marker.action}, expected ADD, DELETE or DELETEALL")
        else:
            _add(live, name, marker)


def _add(live: LiveObstacles, name: str, marker: Marker) -> None:
    at, turned, scale = marker.pose.position, marker.pose.orientation, marker.scale
    try:
        kind, size_m = _solid(marker.type, (scale.x, scale.y, scale.z))
        xyzw = (turned.x, turned.y, turned.z, turned.w)
        shape = obstacle_shape(kind, size_m, (at.x, at.y, at.z), xyzw)
    except SettingsError as error:
        live.refuse(name, str(error))
    else:
        live.put(name, marker.header.frame_id, [shape])


def _solid(kind: int, scale_m: tuple[float, float, float]) -> tuple[str, tuple[float, ...]]:
    """The kind and sizes of a marker's solid: an uneven sphere or cylinder is made rounder."""
    if kind not in (Marker.CUBE, Marker.SPHERE, Marker.CYLINDER):
        raise SettingsError(
            f"is of type {_TYPES.get(kind, kind)}, expected CUBE, SPHERE or CYLINDER"
        )
    if not all(0.0 < length < math.inf for length in scale_m):
        raise SettingsError(f"got scale {list(scale_m)} m, expected three numbers above 0")
    x, y, z = scale_m
    if kind == Marker.CUBE:
        return "box", (x, y, z)
    if kind == Marker.SPHERE:
        return "sphere", (0.5 * max(x, y, z),)
    return "cylinder", (0.5 * max(x, y), z)


class ObstacleSource(Protocol):
    """Topics of one kind that make obstacles; `take` is called after each message."""

    topic: str

    def problems(self) -> tuple[str, ...]:
        """What the messages so far leave unknown."""

    def destroy(self) -> None:
        """Unsubscribe."""


class _Markers:
    """The source ~/obstacles."""

    def __init__(self, node: Node, live: LiveObstacles, taken: Callable[[], None]) -> None:
        def take(message: MarkerArray) -> None:
            take_markers(live, message)
            taken()

        self._node = node
        self._subscription = node.create_subscription(MarkerArray, TOPIC, take, qos.OBSTACLES)
        self.topic = self._subscription.topic_name

    def problems(self) -> tuple[str, ...]:
        return ()

    def destroy(self) -> None:
        self._node.destroy_subscription(self._subscription)


class ObstacleStream:
    """The obstacles that the parameter `obstacles` names; with `off` there are none.

    `newest`: all obstacles, replaced as a whole on the executor thread; any thread may read it.
    """

    def __init__(
        self,
        node: Node,
        values: Parameters,
        lookup: Lookup,
        carried: Sequence[str] = (),
        awake_ns: AwakeTime = all_awake,
    ) -> None:
        """Subscribe.

        carried: the names of the attached things of the scene file. awake_ns: the part of an age,
        ns, during which this process was awake. Raises SettingsError for a source whose messages
        cannot be imported.
        """
        self._node, self._lookup, self._awake_ns = node, lookup, awake_ns
        self._live = LiveObstacles()
        self.newest = PlacedObstacles((), ())
        self._received_ns: int | None = None
        self._source: ObstacleSource | None = None
        self.apply(values)
        if values.obstacles == MARKERS:
            self._source = _Markers(node, self._live, self._take)
        elif values.obstacles == PLANNING_SCENE:
            self._source = PlanningSceneSource(node, self._live, self._take, carried)

    @property
    def on(self) -> bool:
        """Whether there is a source."""
        return self._source is not None

    @property
    def topic(self) -> str:
        """The topic of the source; empty without one."""
        return "" if self._source is None else self._source.topic

    def apply(self, values: Parameters) -> None:
        """Take over a changed threshold."""
        self._limit_ns = int(values.obstacles_stale_s * 1e9)

    def place(self) -> None:
        """Put all obstacles into the base again: frames may be known now. Executor thread."""
        if self._source is None:
            return
        placed = self._live.placed(self._lookup)
        problems = (*self._source.problems(), *placed.problems)
        placed = PlacedObstacles(placed.names, placed.shapes, problems)
        for problem in problems:
            if problem not in self.newest.problems:
                self._node.get_logger().warning(f"{self._source.topic}: {problem}")
        if placed != self.newest:
            self.newest = placed

    def findings(self) -> list[Finding]:
        """Findings if the stream is silent, or has something that is not checked."""
        if self._source is None:
            return []
        return [
            *self._silent(self._source.topic),
            *(
                finding("obstacle_unchecked", f"{self._source.topic}: {problem}")
                for problem in self.newest.problems
            ),
        ]

    def destroy(self) -> None:
        """Unsubscribe."""
        if self._source is not None:
            self._source.destroy()

    def _take(self) -> None:
        self._received_ns = time.monotonic_ns()
        self.place()

    def _silent(self, topic: str) -> list[Finding]:
        received_ns, limit_s = self._received_ns, self._limit_ns / 1e9
        if received_ns is None:
            return [finding("scene_stale", f"{topic}: nothing received")]
        age_ns = self._awake_ns(time.monotonic_ns() - received_ns)
        if age_ns <= self._limit_ns:
            return []
        text = f"{topic}: nothing received for {age_ns / 1e9:.2f} s, at most {limit_s:.2f} s"
        return [finding("scene_stale", f"{text} allowed")]
