"""The keys of an embodiment file: one table for each kind of map, one line for each key.

The reader takes from these tables which keys a map must have and may have; its errors, the JSON
Schema and docs/embodiment_file.md take the lines. A key's `kind` names the values that it accepts:
tools/embodiment_schema.py describes each kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what it means, in one line, and the kind of its value."""

    line: str
    kind: str


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one kind of map; `place` is where such maps stand in the file.

    All of `required` and exactly one key of each group of `either` must be there. `about` is the
    sentence that introduces the table in the documents.
    """

    name: str
    place: str
    about: str
    required: Mapping[str, Key]
    optional: Mapping[str, Key] = field(default_factory=dict)
    either: tuple[Mapping[str, Key], ...] = ()

    def all(self) -> Iterator[tuple[str, Key]]:
        """Every key with its row: required ones, then those to choose from, then optional ones."""
        for rows in (self.required, *self.either, self.optional):
            yield from rows.items()


_HISTORY = Key(
    "which past steps are sent too, oldest first: [0] is the newest alone, [-15, 0] also the one "
    "15 steps of rate_hz before",
    "delta_indices",
)
_RATE = Key(
    "the lowest rate at which the driver publishes, Hz; lateness and skew are judged by it. "
    "Default: the file's rate_hz",
    "rate",
)
_COMMON = {"delta_indices": _HISTORY, "rate_hz": _RATE}

FILE = Keys(
    "file",
    "",
    "The top of the file.",
    {
        "robot": Key("the robot's name in messages", "text"),
        "embodiment_tag": Key("the embodiment tag with which the server was started", "text"),
        "rate_hz": Key("action steps a second, as in the training data", "rate"),
        "action_horizon": Key("number of steps in an action chunk", "horizon"),
        "language_key": Key(
            "the modality key of the instruction; of several keys, each gets the instruction",
            "text_or_names",
        ),
        "video": Key("the cameras, in the server's order, each under its modality key", "cameras"),
        "state": Key(
            "what the policy sees of the robot, in the server's order, each under its modality key",
            "state_keys",
        ),
        "action": Key(
            "what the policy predicts, in the server's order, each under its modality key",
            "action_keys",
        ),
        "outputs": Key("what the robot takes: controllers and grippers, by name", "outputs"),
        "limits": Key("the limits of each joint and each command that an output names", "limits"),
    },
    {
        "workspace": Key("the box that the end effector may not leave", "workspace"),
        "contact": Key("what measures that the arm touches something, by name", "contacts"),
        "view_sizes": Key(
            "any: the cameras may have different sizes, for a server that does not stack them. "
            "Default: same",
            "view_sizes",
        ),
        "variant_of": Key(
            "name of the file that the tag selects, where several files have one tag", "text"
        ),
        "server_tags": Key(
            "the tag's spelling for a server generation that differs", "server_tags"
        ),
    },
)

CAMERA = Keys(
    "camera",
    "video.KEY",
    "One camera. Its picture is cropped, rotated, flipped and resized, in this order.",
    {
        "topic": Key(
            "its topic: sensor_msgs/Image, or CompressedImage with transport: compressed", "topic"
        ),
        "size": Key("[height, width] in pixels, as sent to the server", "size"),
        "fit": Key(
            "pad keeps the picture's shape with black bars, stretch does not; choose what the "
            "training data was made with",
            "fit",
        ),
        "delta_indices": _HISTORY,
    },
    {
        "transport": Key("raw (the default) or compressed", "transport"),
        "rate_hz": _RATE,
        "crop": Key("the part of the incoming picture that is kept", "crop"),
        "rotate": Key("degrees clockwise", "quarter_turn"),
        "flip_horizontal": Key("true mirrors left and right", "flag"),
        "flip_vertical": Key("true mirrors top and bottom", "flag"),
    },
)
CROP = Keys(
    "crop",
    "video.KEY.crop",
    "The part of a picture that is kept.",
    {
        "unit": Key("pixels, or fraction: the others are shares of height and width", "crop_unit"),
        "top": Key("first row that is kept", "not_negative"),
        "left": Key("first column that is kept", "not_negative"),
        "height": Key("number of rows, or their share", "positive"),
        "width": Key("number of columns, or their share", "positive"),
    },
)

_JOINT_TOPIC = {
    "topic": Key("the topic of sensor_msgs/JointState that has the joints", "topic"),
    "topics": Key("several such topics, which are merged by joint name", "topics"),
}
_SCALE = {
    "scale": Key(
        "two joint values, in the topic's unit, for which `range` has the policy's values; one "
        "pair for all joints, or a pair for each",
        "pairs",
    ),
    "range": Key(
        "the policy's values at the two joint values of `scale`. Default: [0, 1]", "pairs"
    ),
}
_POSE = {
    "rotate": Key("3x3 matrix that multiplies the orientation from the right first", "matrix"),
    "near": Key(
        "an orientation as it is sent; of an orientation's two representations the one nearer to "
        "it is sent",
        "orientation",
    ),
    "columns": Key("which of the numbers are sent. Default: all", "columns"),
}
_ENCODE = Key("how position and orientation become numbers", "encoding")

JOINTS = Keys(
    "state_joints",
    "state.KEY",
    "A state key from joint positions.",
    {
        "from": Key("the source of the values", "from_joints"),
        "names": Key("the joints, in the order of the training data", "names"),
    },
    {**_SCALE, **_COMMON},
    (_JOINT_TOPIC,),
)
POSE = Keys(
    "state_pose",
    "state.KEY",
    "A state key from a topic of geometry_msgs/PoseStamped.",
    {
        "from": Key("the source of the values", "from_pose"),
        "topic": Key("the topic of geometry_msgs/PoseStamped", "topic"),
        "encode": _ENCODE,
    },
    {**_POSE, "frame": Key("the frame_id that each message must have", "text"), **_COMMON},
)
TF = Keys(
    "state_tf",
    "state.KEY",
    "A state key from tf2: the pose of one frame in another.",
    {
        "from": Key("the source of the values", "from_tf"),
        "frame": Key("the frame in which the pose is expressed", "text"),
        "link": Key("the frame whose pose is sent", "text"),
        "encode": _ENCODE,
    },
    {**_POSE, **_COMMON},
)
KINEMATICS = Keys(
    "state_kinematics",
    "state.KEY",
    "A state key that is computed from joint positions: the pose of one link in another.",
    {
        "from": Key("the source of the values", "from_kinematics"),
        "base": Key("the link in which the pose is expressed", "text"),
        "link": Key("the link whose pose is sent", "text"),
        "encode": _ENCODE,
    },
    {**_POSE, **_COMMON},
    (
        _JOINT_TOPIC,
        {
            "chain": Key("the links, for where no robot_description is published", "links"),
            "urdf": Key("an expanded URDF file, relative to the folder of this file", "text"),
            "names": Key("the joints, whose links come from robot_description alone", "names"),
        },
    ),
)
IMU = Keys(
    "state_imu",
    "state.KEY",
    "A state key from an Imu: the unit vector of gravity in the sensor's frame.",
    {
        "from": Key("the source of the values", "from_imu"),
        "topic": Key("the topic of sensor_msgs/Imu", "topic"),
        "encode": Key("what is sent", "gravity"),
    },
    {"frame": Key("the frame_id that each message must have", "text"), **_COMMON},
)
CONSTANT = Keys(
    "state_constant",
    "state.KEY",
    "A state key that is always the same, for what your robot does not have.",
    {
        "from": Key("the source of the values", "from_constant"),
        "values": Key("the numbers that are sent", "numbers"),
    },
    {"delta_indices": _HISTORY},
)

_REPRESENTATION = Key(
    "absolute (the default), or delta: the change in one step, which only an output of velocities "
    "or poses accepts",
    "representation",
)
_UNIT = Key("unit of the values, for messages", "unit")
COMMANDED = Keys(
    "action_commanded",
    "action.KEY",
    "An action key that an output executes. The server has already made relative values absolute.",
    {"output": Key("the output that it commands", "text")},
    {
        "names": Key(
            "what its values command, in the policy's order. Default: the output's own names",
            "names",
        ),
        "threshold": Key(
            "a value above it becomes the upper end of `range`, any other the lower end", "number"
        ),
        **_SCALE,
        "unit": _UNIT,
        "representation": _REPRESENTATION,
    },
)
IGNORED = Keys(
    "action_ignored",
    "action.KEY",
    "An action key that nothing executes.",
    {
        "ignored": Key("true, in place of an output", "true"),
        "names": Key("a name for each of its values; their number is its width", "names"),
    },
    {"unit": _UNIT, "representation": _REPRESENTATION},
)

JOINT_OUTPUT = Keys(
    "output_joints",
    "outputs.NAME",
    "Joints: a trajectory controller, or a receiver of points behind gr00t_streamer.",
    {
        "type": Key("joint_trajectory for a trajectory controller", "type_joints"),
        "topic": Key("the command topic, /CONTROLLER/joint_trajectory", "topic"),
        "state_topic": Key("the state topic, /CONTROLLER/controller_state", "topic"),
        "names": Key("the joints, in the controller's order", "names"),
    },
)
_COMMAND_NAMES = Key("a name for each value, in the order of the type", "names")
_TWIST_LIMITS = Key(
    "of a twist: largest lengths of its motion along the axes and about them, beside the limits "
    "of each name",
    "twist_limits",
)
COMMAND_OUTPUT = Keys(
    "output_command",
    "outputs.NAME",
    "Velocities of a base (three names or six), or one level such as a height.",
    {
        "type": Key("the message that the robot reads", "type_command"),
        "topic": Key("the command topic", "topic"),
        "names": _COMMAND_NAMES,
    },
    {"limits": _TWIST_LIMITS},
)
STAMPED_OUTPUT = Keys(
    "output_stamped",
    "outputs.NAME",
    "Velocities with a stamp and a frame.",
    {
        "type": Key("the message that the robot reads", "type_stamped"),
        "topic": Key("the command topic", "topic"),
        "names": _COMMAND_NAMES,
        "frame": Key("the frame_id of the messages", "text"),
    },
    {"limits": _TWIST_LIMITS},
)
_ACTION_TOPIC = Key("the name of the action, /CONTROLLER/gripper_cmd", "topic")
_GRIPPER_NAMES = Key("its one name; parallel_gripper_command sends it as the joint's", "names")
GRIPPER_OUTPUT = Keys(
    "output_gripper",
    "outputs.NAME",
    "A gripper that takes the goals of a control_msgs action.",
    {
        "type": Key("the action's type", "type_gripper"),
        "topic": _ACTION_TOPIC,
        "names": _GRIPPER_NAMES,
        "goals": Key(
            "when a value becomes a goal: {switch: [LOW, HIGH]} or {hysteresis: WIDTH}, in the "
            "unit of its range",
            "goals",
        ),
    },
)
FRANKA_OUTPUT = Keys(
    "output_franka",
    "outputs.NAME",
    "A Franka Hand behind franka_ros2's gripper node.",
    {
        "type": Key("the actions' type", "type_franka"),
        "topic": Key("the namespace of its actions move and grasp", "topic"),
        "names": Key("its one name: the width, m", "names"),
        "goals": Key(
            "when a value becomes a goal, and how it is executed: {switch: [LOW, HIGH], speed: "
            "M_S, force: N, epsilon: [INNER, OUTER]}",
            "franka_goals",
        ),
    },
)
_SWITCH = Key(
    "[low, high]: a value at or below low asks for the range's lower end, at or above high for "
    "its upper end, between them for no change",
    "interval",
)
GOALS = Keys(
    "goals",
    "outputs.NAME.goals",
    "When a value becomes a goal of a gripper.",
    {},
    {"effort": Key("N or N m of each goal. Default: the gripper's own", "positive")},
    (
        {
            "switch": _SWITCH,
            "hysteresis": Key(
                "a value becomes a goal when it differs by this much from the last goal, or is an "
                "end of the range",
                "positive",
            ),
        },
    ),
)
FRANKA_GOALS = Keys(
    "franka_goals",
    "outputs.NAME.goals",
    "When a value becomes a goal of a Franka Hand. The lower end grasps, the upper end moves.",
    {
        "switch": _SWITCH,
        "speed": Key("m/s", "positive"),
        "force": Key("N of a grasp", "positive"),
        "epsilon": Key("[inner, outer] m of a grasp", "two_not_negative"),
    },
)
POSE_OUTPUT = Keys(
    "output_pose",
    "outputs.NAME",
    "Poses of an end effector, for a Cartesian controller.",
    {
        "type": Key("the message that the robot reads", "type_pose"),
        "topic": Key("the command topic", "topic"),
        "frame": Key("the frame_id of the messages, and of the state key in `pose`", "text"),
        "names": Key("a name for each number of `encode`", "names"),
        "encode": _ENCODE,
        "pose": Key("the state key that measures this end effector", "text"),
        "limits": Key("its speeds, accelerations and box", "pose_limits"),
    },
    {
        "rotate": Key("3x3 matrix by which the training data multiplied rotations", "matrix"),
        "link": Key(
            "the link of the robot's description that the poses are of, for `collision: required`. "
            "Default: the link of the state key in `pose`",
            "text",
        ),
    },
)
_TOOL_MOTION = {
    "speed": Key("m/s", "positive"),
    "acceleration": Key("m/s^2", "positive"),
    "turn_speed": Key("rad/s", "positive"),
    "turn_acceleration": Key("rad/s^2", "positive"),
}
TWIST_LIMITS = Keys(
    "twist_limits",
    "outputs.NAME.limits",
    "The limits of a twist as a whole: of its speed along and about the axes. A stop is inside "
    "them too; a twist without them is zero at once at a stop.",
    _TOOL_MOTION,
)
POSE_LIMITS = Keys(
    "pose_limits",
    "outputs.NAME.limits",
    "The limits of an end effector that is commanded by poses.",
    {
        **_TOOL_MOTION,
        "x": Key("[lower, upper] of the box, m", "interval"),
        "y": Key("[lower, upper] of the box, m", "interval"),
        "z": Key("[lower, upper] of the box, m", "interval"),
        "jump": Key(
            "[m, rad]: largest distance of a chunk's first pose from the held one", "two_positive"
        ),
    },
)

JOINT_LIMITS = Keys(
    "limits_joint",
    "limits.JOINT",
    "The limits of a joint: rad, or m for a prismatic joint.",
    {
        "position": Key("[lower, upper], from the URDF or data sheet", "interval"),
        "velocity": Key("rad/s or m/s, from the URDF or data sheet", "positive"),
        "acceleration": Key("rad/s^2 or m/s^2; begin far below the data sheet", "positive"),
        "jerk": Key(
            "rad/s^3 or m/s^3; begin far below the data sheet, but a stop from full speed must end "
            "within 2 s",
            "positive",
        ),
        "margin": Key(
            "distance kept from both position limits; 0 for a gripper, which must reach its ends",
            "not_negative",
        ),
        "jump": Key(
            "largest distance of a chunk's first step from the held position; unchecked for a "
            "gripper, which is closed in one step",
            "positive_or_unchecked",
        ),
        "held": Key(
            "largest |held - measured| at a start; unchecked for a gripper, which an object keeps "
            "from the held position",
            "positive_or_unchecked",
        ),
    },
    {"velocity_envelope": Key("a velocity limit that depends on the position", "envelope")},
)
ENVELOPE = Keys(
    "envelope",
    "limits.JOINT.velocity_envelope",
    "v <= -offset + sqrt(slope * (upper - q)), v >= offset - sqrt(slope * (q - lower)), as an FR3 "
    "has it.",
    {
        "offset": Key("rad/s", "not_negative"),
        "slope": Key("rad/s^2", "positive"),
        "upper": Key("rad", "number"),
        "lower": Key("rad", "number"),
    },
)
_CLAMP = Key("[lower, upper] to which values are clamped", "interval")
_CHANGE = Key("largest change in a second", "positive")
VELOCITY_LIMITS = Keys(
    "limits_velocity",
    "limits.NAME",
    "The limits of a velocity.",
    {"range": _CLAMP, "rate": _CHANGE},
)
LEVEL_LIMITS = Keys(
    "limits_level",
    "limits.NAME",
    "The limits of a level.",
    {"range": _CLAMP, "rate": _CHANGE, "start": Key("the value before the first chunk", "number")},
)
GRIPPER_LIMITS = Keys(
    "limits_gripper",
    "limits.NAME",
    "The limits of a gripper that takes goals.",
    {"range": _CLAMP},
)

WORKSPACE = Keys(
    "workspace",
    "workspace",
    "The box of the end effector, whose position comes from `pose`, from a chain of joints, or "
    "from both. With a chain, a chunk whose path would leave the box is refused.",
    {
        "x": Key("[lower, upper], m", "interval"),
        "y": Key("[lower, upper], m", "interval"),
        "z": Key("[lower, upper], m", "interval"),
    },
    {
        "pose": Key("the state key that measures the end effector", "text"),
        "chain": Key("the links from the base to the end effector", "links"),
        "base": Key(
            "the link at the chain's beginning: the chain then comes from robot_description", "text"
        ),
        "link": Key("the link at the chain's end, given together with base", "text"),
        "urdf": Key("an expanded URDF file in place of chain, beside base and link", "text"),
    },
)
LINK = Keys(
    "link",
    "workspace.chain[], state.KEY.chain[]",
    "One link of a chain, as the URDF has its joint.",
    {"xyz": Key("origin of the joint in the link before it, m", "three")},
    {
        "rpy": Key("roll, pitch, yaw of that origin, rad. Default: zero", "three"),
        "joint": Key("the joint's name; a fixed link has none", "text"),
        "axis": Key("the joint's axis, of length 1; given together with joint", "three"),
    },
)
_AVERAGE = {
    "average_s": Key("time over which values are averaged, s. Default: 0.01", "average"),
}
_WHERE_FROM = Key("where the thresholds come from; given together with them", "text")
_THRESHOLDS = {
    "thresholds": Key("Nm of each joint, in the order of names", "thresholds"),
    "source": _WHERE_FROM,
}
CONTACT_TORQUES = Keys(
    "contact_torques",
    "contact.NAME",
    "External torques as the robot estimates them: sensor_msgs/JointState (in its field effort) or "
    "std_msgs/Float64MultiArray.",
    {
        "type": Key("external_torques", "type_torques"),
        "topic": Key("the topic", "topic"),
        "names": Key("the joints; of an array, in its order", "names"),
    },
    {**_THRESHOLDS, **_AVERAGE},
)
CONTACT_WRENCH = Keys(
    "contact_wrench",
    "contact.NAME",
    "The force of a geometry_msgs/WrenchStamped; its torque is not used.",
    {"type": Key("wrench", "type_wrench"), "topic": Key("the topic", "topic")},
    {
        "threshold": Key("length of the force, N", "positive"),
        "source": _WHERE_FROM,
        **_AVERAGE,
    },
)
CONTACT_FLAG = Keys(
    "contact_flag",
    "contact.NAME",
    "A std_msgs/Bool that is true while the robot itself reports a contact.",
    {"type": Key("flag", "type_flag"), "topic": Key("the topic", "topic")},
)
CONTACT_EFFORT = Keys(
    "contact_effort",
    "contact.NAME",
    "Measured efforts less those that the robot's description explains (weight and speed, with "
    "acceleration as zero). Friction and payload stay in it.",
    {
        "type": Key("effort", "type_effort"),
        "topic": Key("the topic of sensor_msgs/JointState, with its field effort", "topic"),
        "names": Key("the joints that are watched", "names"),
    },
    {
        **_THRESHOLDS,
        **_AVERAGE,
        "learn_s": Key(
            "seconds of free motion in which the mean of each joint is learned as its bias; until "
            "then this source finds no contact. 0: no bias. Default: 3",
            "learn",
        ),
    },
)
MARK = Keys(
    "mark",
    "",
    "In place of any value: a question, where no source states the value. The node does not "
    "configure until a person answers.",
    {
        "unsettled": Key("the question", "text"),
        "assumed": Key(
            "the value that is assumed, and used once the place is named as settled", "any"
        ),
    },
)

STATES = (JOINTS, POSE, TF, KINEMATICS, IMU, CONSTANT)
ACTIONS = (COMMANDED, IGNORED)
OUTPUTS = (
    JOINT_OUTPUT,
    COMMAND_OUTPUT,
    STAMPED_OUTPUT,
    GRIPPER_OUTPUT,
    FRANKA_OUTPUT,
    POSE_OUTPUT,
)
LIMITS = (JOINT_LIMITS, VELOCITY_LIMITS, LEVEL_LIMITS, GRIPPER_LIMITS)
CONTACTS = (CONTACT_TORQUES, CONTACT_WRENCH, CONTACT_FLAG, CONTACT_EFFORT)
TABLES = (
    *(FILE, CAMERA, CROP),
    *STATES,
    *ACTIONS,
    *OUTPUTS,
    *(GOALS, FRANKA_GOALS, TWIST_LIMITS, POSE_LIMITS),
    *LIMITS,
    *(ENVELOPE, WORKSPACE, LINK),
    *CONTACTS,
    MARK,
)
"""Every table, in the order of the documents."""
