"""The source of a running policy node: a ROS node of its own that subscribes and calls services.

It publishes nothing and has no part in what the policy node does. Its thread has all callbacks; the
event loop only takes what these have left.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import rclpy
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage

from gr00t_ros.errors import SettingsError
from gr00t_ros.msg import EpisodeEvent, JointComparison, PolicyStatus
from gr00t_ros.ros import qos
from gr00t_ros.ros.join import join_as_client
from gr00t_ros.ros.process import refuse_unknown
from gr00t_ros.ros.transports import avoid_shared_memory
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.preview import topic_part
from gr00t_ros.text_table import one_line
from gr00t_ros.tools.operator import HARDWARE
from gr00t_ros.watch.finding import without_numbers
from gr00t_ros.web.live_commands import LiveCommands
from gr00t_ros.web.snapshot import Curves, empty, label, snapshot
from gr00t_ros.web.view import LIVE_S

MOST_EVENTS: Final = 200
_MOST_TEXT: Final = 500


class EventLog:
    """Any thread adds events and reads them."""

    def __init__(self) -> None:
        """No event yet."""
        self._lock = threading.Lock()
        self._events: deque[dict[str, Any]] = deque(maxlen=MOST_EVENTS)
        self._number = 0

    def add(self, level: str, text: str) -> None:
        """Keep an event of now; level: info, warn or error."""
        with self._lock:
            self._number += 1
            line = one_line(text, _MOST_TEXT)
            event = {"number": self._number, "time_s": time.time(), "level": level, "text": line}
            self._events.append(event)

    def since(self, number: int) -> list[dict[str, Any]]:
        """The events with a larger number, oldest first."""
        with self._lock:
            if number >= self._number:
                return []
            return [event for event in self._events if event["number"] > number]


RECORDER: Final = "/gr00t_record"
MOST_PICTURE_BYTES: Final = 4 * 1024 * 1024
_CAMERA: Final = "video."
_LOOK_S: Final = 0.1
_PICTURE_OLD_S: Final = 2.0  # an older picture is not what the policy sees
_HISTORY: Final = 20
_JPEG: Final = b"\xff\xd8"
_BEGAN: Final = "start"
_ENDED: Final = frozenset({"stop", "success", "failure", "discard"})
_SOURCED: Final = frozenset({"source", "intervene", "resume"})
_EVENTS: Final = QoSProfile(
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""As the recorder publishes its events."""


class LiveSource:
    """A Source (web/view) over one policy node, which may start, end and start again."""

    def __init__(
        self, policy: str, arguments: Sequence[str] = (), recorder: str = RECORDER
    ) -> None:
        """Join the ROS graph; `close` leaves it. Raises SettingsError for wrong ROS arguments.

        policy, recorder: full names of the two nodes.
        """
        self.cameras: tuple[str, ...] = ()
        self._policy, self._recorder = policy, recorder
        self._lock = threading.Lock()
        self._events = EventLog()
        self._curves = Curves()
        self._status: PolicyStatus | None = None
        self._received_s = 0.0
        self._publishers = 0
        self._connected = False
        self._event = ("", "")
        self._pictures: dict[str, tuple[float, int, bytes]] = {}
        self._history: deque[str] = deque(maxlen=_HISTORY)
        self._episode: dict[str, Any] | None = None
        self._can_record = False
        self._browsers = 0
        self._preview: dict[str, Subscription] = {}  # topic -> subscription, while somebody looks
        self._node, self._executor = _joined(arguments)
        self.commands = LiveCommands(self._node, policy, recorder)
        self._subscribe(PolicyStatus, "status", self._on_status, qos.STATUS)
        self._node.create_subscription(
            EpisodeEvent, f"{recorder}/events", self._on_episode, _EVENTS
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._node.create_timer(_LOOK_S, self._look, clock=steady)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="web live", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the ROS graph."""
        self._ended.set()
        self._thread.join(5.0)
        self._executor.shutdown()
        self._node.destroy_node()
        self._node.context.try_shutdown()

    # --- what the page shows ---------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """What changes only when the node is configured anew, or a recorder comes or goes."""
        with self._lock:
            robot = "" if self._status is None else self._status.robot
            return {
                "node": self._policy,
                "robot": robot,
                "cameras": list(self.cameras),
                "source": "live",
                "joints": list(self._curves.names),
                "can_command": True,
                "can_record": self._can_record,
                "duration_s": None,
            }

    def state(self) -> dict[str, Any]:
        """What holds now; an old status is not shown as the present one."""
        with self._lock:
            status, age_s = self._status, time.monotonic() - self._received_s
            connected = self._is_connected(age_s)
            more = {"history": list(self._history), "recorder": self._recording()}
        if status is None:
            return {**empty(), **more, **self._silence(None)}
        shown = {**snapshot(status, age_s, self._policy), **more, "connected": connected}
        if self._publishers > 1:
            shown["details"] = [["warning", self._several()], *shown["details"]]
        return shown if connected else {**shown, **self._silence(age_s)}

    def frame(self, camera: str) -> tuple[int, bytes] | None:
        """The newest picture of a camera, as it was sent to the policy; None if it is old."""
        with self._lock:
            received_s, stamp_ns, jpeg = self._pictures.get(camera, (0.0, 0, b""))
        return (stamp_ns, jpeg) if jpeg and _is_fresh(received_s) else None

    def events_since(self, number: int) -> list[dict[str, Any]]:
        """Events with a larger number, oldest first."""
        return self._events.since(number)

    def curves(self) -> dict[str, Any]:
        """The last seconds of ~/preview/joints."""
        with self._lock:
            return self._curves.at(time.monotonic())

    async def command(self, name: str, value: Any, who: str) -> tuple[bool, str]:
        """Carry out a command at the node or its recorder, and keep it as an event."""
        done, text = await self.commands.carry_out(name, value)
        shown = name if value is None else f"{name} {value!r}"
        level = "info" if done else "error" if name == "estop" else "warn"
        self._events.add(level, f"{shown} by {who}: {'' if done else 'not done: '}{text}")
        return done, text

    def watched(self, browsers: int) -> None:
        """Hear how many browsers are connected; pictures and curves are only taken for them."""
        self._browsers = browsers

    def _is_connected(self, age_s: float) -> bool:
        """Whether the newest status is the present one.

        An unconfigured node publishes its status when it changes only: it is there while the graph
        has it.
        """
        if self._status is None:
            return False
        if self._status.mode == Mode.UNCONFIGURED.value:
            return self._publishers > 0
        return age_s < LIVE_S

    def _several(self) -> str:
        return f"{self._publishers} nodes publish {self._policy}/status: give each its own name"

    def _silence(self, age_s: float | None) -> dict[str, Any]:
        """What is shown in place of the mode while the node is not heard."""
        since = "no status yet" if age_s is None else f"no status for {age_s:.1f} s"
        return {
            "connected": False,
            "severity": "error",
            "reason": f"{since} from {self._policy}: it has ended, stands still or is not reached",
            "remedy": f"if the robot must stop now, {HARDWARE}. gr00t doctor names causes",
        }

    def _recording(self) -> dict[str, Any] | None:
        if not self._can_record:
            return None
        if self._episode is None:
            return {"state": "ready", "episode": None, "seconds": None, "source": ""}
        begun_s = self._episode["begun_s"]
        seconds = None if begun_s is None else max(0.0, time.time() - begun_s)
        return {**{k: v for k, v in self._episode.items() if k != "begun_s"}, "seconds": seconds}

    # --- callbacks, on this source's thread ------------------------------------------------------

    def _spin(self) -> None:
        while not self._ended.is_set():
            try:
                self._executor.spin_once(timeout_sec=_LOOK_S)
            except ExternalShutdownException:
                return
            except Exception as error:  # the page must go on to show that something is wrong
                self._events.add("error", f"the page's server: {type(error).__name__}: {error}")

    def _subscribe(
        self, kind: type, name: str, take: Callable[[Any], None], profile: QoSProfile
    ) -> Subscription:
        return self._node.create_subscription(kind, f"{self._policy}/{name}", take, profile)

    def _on_status(self, status: PolicyStatus) -> None:
        found = [one.name for one in status.streams if one.name.startswith(_CAMERA)]
        with self._lock:
            self._status, self._received_s = status, time.monotonic()
            if status.streams:  # an unconfigured node has none; its cameras are kept
                self.cameras = tuple(name.removeprefix(_CAMERA) for name in found)
            if status.instruction and status.instruction not in [*self._history][:1]:
                self._history.appendleft(status.instruction)
        event = (status.mode, without_numbers(status.reason))
        if event != self._event:
            self._event = event
            text, severity = label(status.mode)
            level = severity if severity in ("warn", "error") else "info"
            self._events.add(level, f"{text}: {status.reason}" if status.reason else text)

    def _on_episode(self, event: EpisodeEvent) -> None:
        text = f": {event.text}" if event.text else ""
        level = "error" if event.event == "problem" else "info"
        self._events.add(level, f"recorder, episode {event.episode}: {event.event}{text}")
        stamp_s = event.header.stamp.sec + event.header.stamp.nanosec / 1e9
        with self._lock:
            if event.event == _BEGAN:
                state = {"state": "recording", "episode": event.episode, "begun_s": stamp_s}
                self._episode = {**state, "source": event.source}
            elif event.event in _ENDED or event.event == "problem":
                state = {"state": event.event, "episode": event.episode, "begun_s": None}
                self._episode = {**state, "source": event.source}
            elif event.event in _SOURCED and self._episode is not None:
                self._episode = {**self._episode, "source": event.source}

    def _on_picture(self, camera: str, message: CompressedImage) -> None:
        jpeg = bytes(message.data)
        if not jpeg.startswith(_JPEG) or len(jpeg) > MOST_PICTURE_BYTES:
            return
        stamp = message.header.stamp
        with self._lock:
            stamp_ns = max(0, stamp.sec * 10**9 + stamp.nanosec)
            self._pictures[camera] = (time.monotonic(), stamp_ns, jpeg)

    def _on_joints(self, message: JointComparison) -> None:
        with self._lock:
            self._curves.put(message, time.monotonic())

    def _look(self) -> None:
        """Look whether the node is still there, and subscribe to what browsers need."""
        publishers = self._node.count_publishers(f"{self._policy}/status")
        there = self.commands.recorder_is_there()
        with self._lock:
            if self._can_record and not there:
                self._episode = None  # a recorder that comes back records nothing at first
            more = publishers > max(1, self._publishers)
            self._publishers, self._can_record = publishers, there
            age_s = time.monotonic() - self._received_s
            connected = self._is_connected(age_s)
        if more:
            self._events.add("warn", f"{self._several()} (one that was killed stays for seconds)")
        if connected != self._connected:
            self._connected = connected
            text = "is heard" if connected else f"is silent: its last status is {age_s:.1f} s old"
            self._events.add("info" if connected else "error", f"{self._policy} {text}")
        self._follow_browsers()

    def _follow_browsers(self) -> None:
        """Subscribe to pictures and curves while a browser is connected, and to none without."""
        wanted: dict[str, tuple[type, Callable[[Any], None]]] = {}
        if self._browsers:
            wanted["preview/joints"] = (JointComparison, self._on_joints)
            for camera in self.cameras:
                take = _with_camera(self._on_picture, camera)
                wanted[f"observation/{topic_part(camera)}/compressed"] = (CompressedImage, take)
        for name in [*self._preview]:
            if name not in wanted:
                self._node.destroy_subscription(self._preview.pop(name))
        for name, (kind, take) in wanted.items():
            if name not in self._preview:
                self._preview[name] = self._subscribe(kind, name, take, qos.SENSOR)


def _joined(arguments: Sequence[str]) -> tuple[Node, SingleThreadedExecutor]:
    """A node in a context of its own, with its executor.

    It has no shared memory: a process that is killed while it holds a lock there would disturb the
    policy node (ros/transports.py).
    """
    avoid_shared_memory()
    context = rclpy.Context()
    join_as_client(arguments, context)
    node = rclpy.create_node(
        f"gr00t_web_{os.getpid()}",
        context=context,
        enable_rosout=False,
        start_parameter_services=False,
        parameter_overrides=[Parameter("start_type_description_service", value=False)],
    )
    try:
        refuse_unknown(node, arguments)
    except SettingsError as error:
        node.destroy_node()
        context.try_shutdown()
        raise SettingsError(f"{error}; gr00t web has options instead: gr00t web --help") from error
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    return node, executor


def _with_camera(
    take: Callable[[str, CompressedImage], None], camera: str
) -> Callable[[CompressedImage], None]:
    return lambda message: take(camera, message)


def _is_fresh(received_s: float) -> bool:
    return time.monotonic() - received_s <= _PICTURE_OLD_S
