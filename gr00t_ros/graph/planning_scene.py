"""Live obstacles from MoveIt: PlanningScene and CollisionObject messages.

MoveIt publishes its whole scene once and differences after that. A node that starts later asks
move_group for the whole scene, and applies the differences that came in the meantime after it.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.task import Future

from gr00t_ros.collide.description import Shape
from gr00t_ros.collide.obstacles import LiveObstacles, obstacle_shape
from gr00t_ros.errors import SettingsError
from gr00t_ros.ros import qos

Floats = NDArray[np.float64]

SCENE, OBJECT = "~/planning_scene", "~/collision_object"
SERVICE = "get_planning_scene"

# moveit_msgs/CollisionObject
_ADD, _REMOVE, _APPEND, _MOVE = range(4)
# shape_msgs/SolidPrimitive: type -> kind, and the indices of its sizes; a cone counts as the
# cylinder around it
_PRIMITIVES = {
    1: ("box", (0, 1, 2)),
    2: ("sphere", (0,)),
    3: ("cylinder", (1, 0)),
    4: ("cylinder", (1, 0)),
}
_THINNEST_M = 1e-3  # of the box around a mesh that is flat
# An answer may be lost: Fast DDS drops it to a client that the server has not discovered yet.
_ANSWER_S = 3.0
# moveit_msgs/PlanningSceneComponents: attached objects, names and geometry of the world, octomap
_COMPONENTS = 4 + 8 + 16 + 32


@dataclass(frozen=True, slots=True)
class _Object:
    """A collision object: its frame, its place there, and its shapes at that place."""

    frame: str
    xyz_m: Floats
    rotation: Floats
    shapes: tuple[Shape, ...]

    def placed(self) -> list[Shape]:
        return [
            replace(
                one,
                xyz_m=self.xyz_m + self.rotation @ one.xyz_m,
                rotation=self.rotation @ one.rotation,
            )
            for one in self.shapes
        ]


class PlanningObjects:
    """MoveIt's objects; they go into `live`, in which nobody else puts anything."""

    def __init__(self, live: LiveObstacles, carried: Sequence[str] = ()) -> None:
        """carried: names of attached things that the scene file has."""
        self._live, self._carried = live, frozenset(carried)
        self._known: dict[str, _Object] = {}
        self._attached: set[str] = set()
        self.complete = False
        """Whether a whole scene has been taken."""
        self._early: list[Any] = []

    def take_scene(self, message: Any) -> None:
        """Apply a PlanningScene: a whole one replaces everything, a difference changes it."""
        if not message.is_diff:
            self._begin(message)
        elif self.complete:
            self._apply(message)
        else:
            self._early.append(message)

    def take_answer(self, message: Any) -> None:
        """Apply the whole scene that was asked for, unless one has come as a message.

        The differences that came before it are applied after it: one of them may be newer, and
        each change is among them.
        """
        if not self.complete:
            early = self._early
            self._begin(message)
            for one in early:
                self._apply(one)

    def take_object(self, message: Any) -> None:
        """Apply a CollisionObject."""
        operation, name = _number(message.operation), str(message.id)
        if operation == _REMOVE:
            self._remove(name)
            return
        self._attached.discard(name)
        try:
            known = self._changed(operation, name, message)
        except SettingsError as error:
            self._known.pop(name, None)
            self._live.refuse(name, str(error))
        else:
            self._known[name] = known
            self._live.put(name, known.frame, known.placed())

    def _begin(self, message: Any) -> None:
        """Take a whole scene; a message of it is newer than all differences before it."""
        self._attached.clear()
        self._remove("")
        self.complete, self._early = True, []
        self._apply(message)

    def _apply(self, message: Any) -> None:
        """Apply the robot first, as MoveIt does: what it puts down is an object of the world then.

        MoveIt sends such an object as both: REMOVE from the robot, and ADD to the world
        (PlanningScene::getPlanningSceneDiffMsg).
        """
        for one in message.robot_state.attached_collision_objects:
            self._attach(one.object)
        for one in message.world.collision_objects:
            self.take_object(one)
        if len(message.world.octomap.octomap.data):
            self._live.refuse("octomap", "is an octomap, expected boxes, spheres and cylinders")
        elif not message.is_diff:
            self._live.remove("octomap")

    def _attach(self, message: Any) -> None:
        """An object at the gripper is no obstacle; the scene file says what the robot carries."""
        name = str(message.id)
        if _number(message.operation) != _REMOVE:
            self._attached.add(name)
            self._remove(name)
            return
        for one in self._attached & {name} if name else set(self._attached):
            self._attached.discard(one)
            why = "was detached from the robot, expected where it is now, among the world's objects"
            self._live.refuse(one, why)

    def _remove(self, name: str) -> None:
        """Remove an object of the world, all if `name` is empty; what is attached stays so."""
        if name:
            self._known.pop(name, None)
            self._live.remove(name)
        else:
            self._known.clear()
            self._live.clear()
        for one in sorted(self._attached - self._carried):
            why = f"is attached to the robot, expected {one!r} below attached in the scene file"
            self._live.refuse(one, why)

    def _changed(self, operation: int, name: str, message: Any) -> _Object:
        before = self._known.get(name)
        shapes = _shapes(message)
        at, rotation = _pose(message.pose)
        if operation == _ADD:
            return _Object(message.header.frame_id, at, rotation, shapes)
        if operation not in (_APPEND, _MOVE):
            raise SettingsError(f"got operation {operation}, expected 0 to 3")
        if before is None:
            raise SettingsError("is to be changed and was not added before, expected ADD first")
        if operation == _APPEND:
            return replace(before, shapes=(*before.shapes, *shapes))
        if shapes or message.primitive_poses or message.mesh_poses:
            raise SettingsError("is moved with poses of its shapes, expected its own pose alone")
        return replace(before, frame=message.header.frame_id, xyz_m=at, rotation=rotation)


def _number(operation: Any) -> int:
    """A field of type `byte`: rclpy has bytes of length 1."""
    return operation[0] if isinstance(operation, bytes) else int(operation)


def _pose(pose: Any) -> tuple[Floats, Floats]:
    """(3,) m and (3, 3) of a geometry_msgs/Pose."""
    one = obstacle_shape("sphere", (1.0,), *_numbers(pose))
    return one.xyz_m, one.rotation


def _numbers(pose: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    at, turned = pose.position, pose.orientation
    return (at.x, at.y, at.z), (turned.x, turned.y, turned.z, turned.w)


def _shapes(message: Any) -> tuple[Shape, ...]:
    """The shapes of a CollisionObject at its pose; SettingsError for what is no solid."""
    if len(message.planes):
        raise SettingsError("is a plane, expected it in the scene file")
    if len(message.primitives) != len(message.primitive_poses) and len(message.primitives):
        raise SettingsError(
            f"got {len(message.primitives)} primitives with {len(message.primitive_poses)} poses"
        )
    found = []
    for one, pose in zip(message.primitives, message.primitive_poses, strict=False):
        kind, places = _PRIMITIVES.get(int(one.type), ("", ()))
        if not kind or len(one.dimensions) <= max(places):
            raise SettingsError(
                f"got a primitive of type {one.type} with {len(one.dimensions)} dimensions, "
                "expected BOX, SPHERE, CYLINDER or CONE with all of theirs"
            )
        sizes = [float(one.dimensions[place]) for place in places]
        found.append(obstacle_shape(kind, sizes, *_numbers(pose)))
    if len(message.meshes) != len(message.mesh_poses) and len(message.meshes):
        raise SettingsError(
            f"got {len(message.meshes)} meshes with {len(message.mesh_poses)} poses"
        )
    for mesh, pose in zip(message.meshes, message.mesh_poses, strict=False):
        found.append(_around(mesh, pose))
    return tuple(found)


def _around(mesh: Any, pose: Any) -> Shape:
    """The box around a mesh, along the mesh's own axes."""
    points = np.array([(one.x, one.y, one.z) for one in mesh.vertices]).reshape(-1, 3)
    if not len(points) or not np.isfinite(points).all():
        raise SettingsError("got a mesh without points or with some that are not finite")
    lower, upper = points.min(axis=0), points.max(axis=0)
    sizes = np.maximum(upper - lower, _THINNEST_M)
    box = obstacle_shape("box", sizes.tolist(), *_numbers(pose))
    return replace(box, xyz_m=box.xyz_m + box.rotation @ (0.5 * (lower + upper)))


class PlanningSceneSource:
    """The subscriptions; whole scenes come from the topic or from move_group's service."""

    def __init__(
        self,
        node: Node,
        live: LiveObstacles,
        taken: Callable[[], None],
        carried: Sequence[str] = (),
    ) -> None:
        """Subscribe; `taken` is called after each message.

        Raises SettingsError if moveit_msgs cannot be imported.
        """
        try:
            messages: Any = importlib.import_module("moveit_msgs.msg")
            services: Any = importlib.import_module("moveit_msgs.srv")
        except ImportError as error:
            raise SettingsError(
                "obstacles: planning_scene needs the ROS package moveit_msgs, which cannot be "
                f"imported here ({error}): install ros-<distro>-moveit-msgs, or use markers"
            ) from error
        self._node, self._taken = node, taken
        self._objects = PlanningObjects(live, carried)
        self._request = services.GetPlanningScene.Request()
        self._request.components.components = _COMPONENTS
        self._client = node.create_client(services.GetPlanningScene, SERVICE)
        self._again_s = 0.0
        self._subscriptions = [
            node.create_subscription(messages.PlanningScene, SCENE, self._scene, qos.OBSTACLES),
            node.create_subscription(messages.CollisionObject, OBJECT, self._object, qos.OBSTACLES),
        ]
        self.topic = self._subscriptions[0].topic_name

    def problems(self) -> tuple[str, ...]:
        """Before a whole scene is known."""
        if self._objects.complete:
            return ()
        text = f"only differences received, and service {self._client.srv_name} has not answered"
        return (f"{text} with the whole scene: is move_group running?",)

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._node.destroy_client(self._client)

    def _scene(self, message: Any) -> None:
        self._objects.take_scene(message)
        now_s = time.monotonic()
        due = not self._objects.complete and now_s >= self._again_s
        if due and self._client.service_is_ready():
            self._again_s = now_s + _ANSWER_S
            self._client.call_async(self._request).add_done_callback(self._answered)
        self._taken()

    def _answered(self, answer: Future) -> None:
        response = answer.result() if answer.exception() is None else None
        if response is None:
            self._again_s = 0.0
        elif not response.scene.is_diff:
            self._objects.take_answer(response.scene)
            self._taken()

    def _object(self, message: Any) -> None:
        self._objects.take_object(message)
        self._taken()
