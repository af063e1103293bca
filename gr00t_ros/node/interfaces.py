"""The topics and services of the policy node as a table: names, types, and what each is for.

docs/interfaces.md is made from it. A test compares it with what a running node has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EntityKind = Literal["publishes", "subscribes", "serves"]


@dataclass(frozen=True, slots=True)
class Interface:
    """One topic or service; a name in capitals stands for the names in the embodiment file.

    types: all that may occur, separated by comma. only_with: parameter and value with which alone
    it is there.
    """

    kind: EntityKind
    name: str
    types: str
    qos: str
    text: str
    only_with: str = ""


_TRIGGER = "std_srvs/srv/Trigger"
_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
_LATCHED, _RELIABLE, _BEST_EFFORT = "reliable, latched", "reliable", "best effort"
_ANY = "any of its publisher"

INTERFACES: tuple[Interface, ...] = (
    Interface(
        "publishes",
        "~/status",
        "gr00t_ros/msg/PolicyStatus",
        _LATCHED,
        "mode, reason, remedy, streams with their ages, latencies, counts",
    ),
    Interface(
        "publishes",
        "~/action_chunk",
        "gr00t_ros/msg/ActionChunk",
        _RELIABLE,
        "every prediction, accepted, refused or dropped, with the stamp of its observation",
    ),
    Interface(
        "publishes",
        "~/exchange",
        "gr00t_ros/msg/Exchange",
        _RELIABLE,
        "each query's exact request and reply, only while somebody subscribes (sidecar.md, Parity)",
    ),
    Interface(
        "publishes",
        "~/flows",
        "gr00t_ros/msg/ObservationFlow",
        _RELIABLE,
        "each observation's times from camera to controller, only while somebody subscribes "
        "(trace.md)",
    ),
    Interface(
        "publishes",
        "/diagnostics",
        "diagnostic_msgs/msg/DiagnosticArray",
        _RELIABLE,
        "streams, policy server, plan and controllers, once a second and at each change",
    ),
    Interface(
        "publishes",
        "~/clearance_markers",
        "visualization_msgs/msg/MarkerArray",
        _RELIABLE,
        "scene and nearest pair ahead, with `collision: required` and while somebody subscribes",
    ),
    Interface(
        "publishes",
        "~/preview/markers",
        "visualization_msgs/msg/MarkerArray",
        _RELIABLE,
        "predicted, committed and driven path of each arm, while somebody subscribes (preview.md)",
    ),
    *(
        Interface(
            "publishes",
            f"~/preview/{kind}/ARM",
            "nav_msgs/msg/Path",
            _RELIABLE,
            f"{text}, while somebody subscribes",
        )
        for kind, text in (
            ("predicted", "the newest chunk as the way of an end effector"),
            ("committed", "what was sent last, from now to its stop"),
            ("driven", "the measured way of the last 5 s"),
        )
    ),
    Interface(
        "publishes",
        "~/preview/joints",
        "gr00t_ros/msg/JointComparison",
        _RELIABLE,
        "each joint predicted, commanded and measured, while somebody subscribes",
    ),
    Interface(
        "publishes",
        "~/observation/VIDEO/compressed",
        "sensor_msgs/msg/CompressedImage",
        _RELIABLE,
        "the picture as it is sent to the server, while somebody subscribes",
    ),
    Interface(
        "publishes",
        "OUTPUT.topic",
        _TRAJECTORY,
        _RELIABLE,
        "windows to a trajectory controller, only while active",
    ),
    Interface(
        "publishes",
        "~/windows/OUTPUT",
        f"{_TRAJECTORY}, trajectory_msgs/msg/MultiDOFJointTrajectory",
        _RELIABLE,
        "windows to a streamer (`gr00t stream ...`), only while active",
    ),
    Interface(
        "publishes",
        "~/shadow/OUTPUT",
        _TRAJECTORY,
        _RELIABLE,
        "the same windows in shadow, where nothing is commanded",
    ),
    Interface(
        "subscribes",
        "VIDEO.topic",
        "sensor_msgs/msg/Image, sensor_msgs/msg/CompressedImage",
        _ANY,
        "camera images, subscribed by the node `gr00t_policy_images` (dds.md)",
    ),
    Interface(
        "subscribes",
        "STATE.topic",
        "sensor_msgs/msg/JointState, geometry_msgs/msg/PoseStamped, sensor_msgs/msg/Imu",
        _BEST_EFFORT,
        "joint states, poses, IMU; several publishers may each send their own joints",
    ),
    Interface(
        "subscribes",
        "OUTPUT.state_topic",
        "control_msgs/msg/JointTrajectoryControllerState, gr00t_ros/msg/ControllerState",
        _BEST_EFFORT,
        "what a controller holds or plays; without it a start uses measured positions",
    ),
    Interface(
        "subscribes",
        "CONTACT.topic",
        "sensor_msgs/msg/JointState, std_msgs/msg/Float64MultiArray, "
        "geometry_msgs/msg/WrenchStamped, std_msgs/msg/Bool",
        _BEST_EFFORT,
        "external torques, efforts, a force or a flag: what the arm touches",
    ),
    Interface(
        "subscribes",
        "~/e_stop",
        "std_msgs/msg/Bool",
        _ANY,
        "topic of a button: true stops the arm and latches a fault until ~/reset",
    ),
    Interface(
        "subscribes",
        "~/dead_man",
        "std_msgs/msg/Bool",
        _ANY,
        "topic of a switch: with dead_man_required the arm moves only while true is repeated",
    ),
    Interface(
        "subscribes",
        "/robot_description",
        "std_msgs/msg/String",
        _LATCHED,
        "URDF: compared with the file's limits, and the source of its chains",
    ),
    Interface(
        "subscribes",
        "/robot_description_semantic",
        "std_msgs/msg/String",
        _LATCHED,
        "SRDF: pairs of links that are not checked against each other",
        "collision: required",
    ),
    Interface(
        "subscribes",
        "~/obstacles",
        "visualization_msgs/msg/MarkerArray",
        _RELIABLE,
        "live obstacles as CUBE, SPHERE and CYLINDER; repeat the message, also an empty one",
        "obstacles: markers",
    ),
    Interface(
        "subscribes",
        "~/planning_scene",
        "moveit_msgs/msg/PlanningScene",
        _RELIABLE,
        "live obstacles of MoveIt: remap to /monitored_planning_scene",
        "obstacles: planning_scene",
    ),
    Interface(
        "subscribes",
        "~/collision_object",
        "moveit_msgs/msg/CollisionObject",
        _RELIABLE,
        "single changes of them: remap to /collision_object",
        "obstacles: planning_scene",
    ),
    Interface("serves", "~/pause", _TRIGGER, "", "controlled stop, holds until ~/resume"),
    Interface("serves", "~/resume", _TRIGGER, "", "leaves the pause of ~/pause"),
    Interface(
        "serves",
        "~/estop",
        _TRIGGER,
        "",
        "controlled stop into a latched fault; also while inactive",
    ),
    Interface("serves", "~/reset", _TRIGGER, "", "leaves a fault, if its cause is gone"),
    Interface(
        "serves",
        "~/set_instruction",
        "gr00t_ros/srv/SetInstruction",
        "",
        "a new instruction begins a new episode",
    ),
    Interface(
        "serves",
        "~/trace",
        "gr00t_ros/srv/Trace",
        "",
        "records the flows of some seconds and writes them as a Perfetto trace (trace.md)",
    ),
)
