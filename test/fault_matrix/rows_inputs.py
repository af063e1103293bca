"""Rows of the fault matrix: cameras, joint states and the pose, broken in the relay."""

from __future__ import annotations

from sensor_msgs.msg import JointState

from fault_matrix.observe import goes_on
from fault_matrix.rig import Rig
from fault_matrix.row import BUSY, Fault, Group

RELAY = "gr00t_sim_relay"
ZEROS_HZ = 30.0
ARM = tuple(f"fr3_joint{number}" for number in range(1, 8))

CAMERAS = {
    "exterior camera": ("/camera/exterior/image_raw", "exterior_image_1_left"),
    "wrist camera": ("/camera/wrist/image_raw", "wrist_image_left"),
}
JOINTS, POSE = "/joint_states", "/ee_pose"
FUTURE_S, LATE_S, SLOW_S, SKEWED_S = 5.0, 1.5, 0.8, 0.6


def _zeros(rig: Rig) -> None:
    """Publish zeros, as a joint_state_publisher does beside the robot's own broadcaster."""
    publisher = rig.node.create_publisher(JointState, JOINTS, 10)

    def publish() -> None:
        zeros = JointState(name=ARM, position=[0.0] * len(ARM))
        zeros.header.stamp = rig.node.get_clock().now().to_msg()
        publisher.publish(zeros)

    rig.kept["zeros"] = publisher, rig.node.create_timer(1.0 / ZEROS_HZ, publish)


def _no_zeros(rig: Rig) -> None:
    publisher, timer = rig.kept.pop("zeros")
    rig.node.destroy_timer(timer)
    rig.node.destroy_publisher(publisher)


def _row(what: str, topic: str, relay: str, watch: str, *words: str, **more: object) -> Fault:
    """A fault of the relay that a watch must detect; the reason names stream or topic."""
    value = float(more.pop("value", 0.0))  # type: ignore[arg-type]
    more["silent"] = not words
    how = f"relay: `{relay}`" + (f" {value:g}" if value else "")
    return Fault(
        what,
        how,
        lambda rig: rig.inject(topic, relay, value),
        lambda rig: rig.inject(topic, "none"),
        watch,
        words=words,
        **more,  # type: ignore[arg-type]
    )


def _camera(name: str, topic: str, key: str, short: tuple[str, ...]) -> tuple[Fault, ...]:
    """All faults of one camera; those named in `short` are part of ./dev test."""

    def row(what: str, relay: str, watch: str, *words: str, **more: object) -> Fault:
        more["short"] = what in short
        return _row(f"{name} {what}", topic, relay, watch, key, *words, **more)

    return (
        row("stopped", "stop", "stream_age", topic),
        row("frozen, stamps too", "freeze", "stream_age"),
        row("frozen, stamps go on", "repeat", "frozen_camera"),
        row("black", "black", "black_camera"),
        row("late", "delay", "stream_age", value=LATE_S),
        row("of wrong encoding", "wrong_encoding", "stream_age", "32FC1"),
        row("of wrong size", "wrong_size", "stream_age", "before"),
        row("with zero stamps", "zero_stamp", "stream_age", "header stamp is zero"),
        row("with future stamps", "shift_stamp", "stream_content", value=FUTURE_S),
    )


_SHORT = {
    "exterior camera": ("stopped", "frozen, stamps go on", "with zero stamps"),
    "wrist camera": ("black", "of wrong encoding", "with future stamps"),
}
_CAMERA_ROWS = tuple(
    row for name, where in CAMERAS.items() for row in _camera(name, *where, _SHORT[name])
)

_JOINT_ROWS = (
    _row("joint states stopped", JOINTS, "stop", "stream_age", JOINTS, short=True),
    _row(
        *("a joint missing", JOINTS, "drop_joint", "stream_age", "fr3_joint3"),
        *("no longer comes", "other joints do"),
        value=2.0,
    ),
    _row("a joint NaN", JOINTS, "nan", "stream_content", "fr3_joint1", short=True),
    _row(
        *("a joint twice", JOINTS, "duplicate", "stream_age", "joints twice", "fr3_joint"),
        short=True,
    ),
    Fault(
        "two publishers of the same joints",
        f"another node publishes zeros on {JOINTS} at {ZEROS_HZ:g} Hz",
        _zeros,
        _no_zeros,
        "mixed_publishers",
        words=("fr3_joint1", JOINTS, "two publishers at once", RELAY, "stop one of them"),
        short=True,
    ),
    _row("joint states slow", JOINTS, "slow", "stream_age", JOINTS, value=SLOW_S),
    _row(
        *("joint states with future stamps", JOINTS, "shift_stamp", "stream_content"),
        *("state.", "in the future"),
        value=FUTURE_S,
    ),
    # Longer than joint states are kept, but not too old without the fault.
    _row(
        *(
            "exterior camera behind the joint states",
            CAMERAS["exterior camera"][0],
            "delay",
            "skew",
        ),
        *("exterior_image_1_left", "apart from the joint state", "3 in a row"),
        value=SKEWED_S,
        worse=True,
    ),
    _row("pose stopped", POSE, "stop", "stream_age", POSE),
    _row("pose NaN", POSE, "nan", "stream_content", "eef_9d"),
)

_HARMLESS = (
    _row(
        "joint states reordered",
        JOINTS,
        "reorder",
        "",
        expect="none: joints are known by name",
        observe=goes_on,
        short=True,
    ),
)

_STAY_AWAY = (
    _row(
        "camera gone for good",
        CAMERAS["exterior camera"][0],
        "stop",
        "stream_age",
        *CAMERAS["exterior camera"],
        worse=True,
        persists=True,
    ),
    _row(
        "joint states gone for good",
        JOINTS,
        "stop",
        "stream_age",
        JOINTS,
        worse=True,
        persists=True,
        short=True,
    ),
    _row("pose gone for good", POSE, "stop", "stream_age", POSE, worse=True, persists=True),
)

# Mended before the node faults, even on a slow machine.
PATIENT = (("camera_fault_age_s", 60.0), ("joint_fault_age_s", 60.0))

THAT_COME_BACK = (
    Group("Cameras", _CAMERA_ROWS, (*PATIENT, BUSY[0], BUSY[2])),
    Group("Inputs that differ harmlessly", _HARMLESS, (*PATIENT, *BUSY)),
    Group("Joint states and pose", _JOINT_ROWS, (*PATIENT, *BUSY[1:])),
)
THAT_STAY_AWAY = (Group("Inputs that stay away", _STAY_AWAY, ()),)
GROUPS = (*THAT_COME_BACK, *THAT_STAY_AWAY)
