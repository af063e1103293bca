"""Bags for tests: written from messages, or recorded once a session from the simulated robot."""

import struct
from pathlib import Path

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.serialization import serialize_message
from ros_fixtures import collect, wait_until
from sensor_msgs.msg import CompressedImage, Image, JointState

from gr00t_ros.bags.message_types import type_name, typestore
from gr00t_ros.bags.record import open_writer
from gr00t_ros.core.observation import ObservationSettings
from gr00t_ros.core.state import JointReading, PoseReading
from gr00t_ros.ros import qos
from gr00t_ros.ros.convert import read

MS = 1_000_000
EMBODIMENT = "franka_droid"
STREAMS = ("/camera/exterior/image_raw", "/camera/wrist/image_raw", "/joint_states", "/ee_pose")
CONTROLLERS = ("/fr3_arm_controller/controller_state", "/gripper_controller/controller_state")
# Steady time passes as this machine likes, so only bag time may judge.
SETTINGS = ObservationSettings(video_max_age_ns=30_000 * MS, state_max_age_ns=30_000 * MS)
KINDS = dict(zip(STREAMS, (Image, Image, JointState, PoseStamped), strict=True))
RECORDED_NS = 2_500 * MS
"""A second more than the history of an observation."""

_recorded: dict[str, Path] = {}


def write_bag(folder, messages, mcap=False, profiles=()):
    """A bag of (topic, bag time in ns, message); returns its folder."""
    writer = open_writer(folder, mcap)
    kinds = {topic: type_name(type(message)) for topic, _, message in messages}
    connections = {
        topic: writer.add_connection(
            topic, kind, typestore=typestore([kind]), offered_qos_profiles=profiles
        )
        for topic, kind in kinds.items()
    }
    for topic, time_ns, message in messages:
        writer.write(connections[topic], time_ns, serialize_message(message))
    writer.close()
    return folder


def write_mcap(path, channels, messages, profile="ros2"):
    """An MCAP file without index, byte by byte as its specification says; returns its path.

    `channels`: topic -> (type, encoding of the schema, schema in bytes, encoding of messages);
    `messages`: (topic, bag time in ns, bytes).
    """
    magic, numbers = b"\x89MCAP0\r\n", {topic: n for n, topic in enumerate(channels, 1)}
    records = [_mcap_record(1, _text(profile), _text("a recorder"))]
    for topic, (kind, encoding, schema, _) in channels.items():
        texts = (_text(kind), _text(encoding), _text(schema))
        records.append(_mcap_record(3, struct.pack("<H", numbers[topic]), *texts))
    for topic, (*_, encoding) in channels.items():
        number = numbers[topic]
        ids, no_metadata = struct.pack("<HH", number, number), _text("")
        records.append(_mcap_record(4, ids, _text(topic), _text(encoding), no_metadata))
    for topic, time_ns, data in messages:
        head = struct.pack("<HIQQ", numbers[topic], 0, time_ns, time_ns)
        records.append(_mcap_record(5, head, data))
    records += [_mcap_record(15, bytes(4)), _mcap_record(2, bytes(20))]
    path.write_bytes(magic + b"".join(records) + magic)
    return path


def _mcap_record(opcode, *parts):
    content = b"".join(parts)
    return struct.pack("<BQ", opcode, len(content)) + content


def _text(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<I", len(data)) + data


def edit_metadata(folder, old, new):
    """Metadata that say something else than the files; `old` must be there."""
    file = folder / "metadata.yaml"
    content = file.read_text()
    assert old in content, content
    file.write_text(content.replace(old, new))


def joint_states(count, period_ns=10 * MS, start_ns=1_000 * MS):
    """(time, message) of one joint that moves on, stamped with its bag time."""
    for index in range(count):
        message = JointState(name=["j1"], position=[float(index)])
        time_ns = start_ns + index * period_ns
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time_ns, 10**9)
        yield time_ns, message


def recorded(processes, node, folder):
    """The robot's bag as {"sqlite3": folder, "mcap": folder}, recorded by the first caller."""
    if not _recorded:
        _record(processes, node, folder)
    return _recorded


def _record(processes, node, folder):
    """Two recorders at once: 10 pictures a second are enough, and a third of the bytes."""
    settings = ("synthetic_cameras:=true", "publish_clock:=true", "camera_rate_hz:=10.0")
    options = [word for setting in settings for word in ("-p", setting)]
    robot = processes.start("-m", "gr00t_ros.sim.robot", "--ros-args", *options, name="robot")
    paths = {"sqlite3": folder / "recorded", "mcap": folder / "recorded_mcap"}
    recorders = []
    for kind, path in paths.items():
        command = ["-m", "gr00t_ros.bags", "record", str(path), "--use-sim-time"]
        command += ["--mcap"] if kind == "mcap" else []
        topics = ("--topics", *STREAMS, *CONTROLLERS)
        recorders.append(processes.start(*command, *topics, name=kind))
    for recorder in recorders:
        recorder.wait_for_line("RECORDING")
    stamps = collect(node, JointState, "/joint_states", qos.SENSOR)
    wait_until(lambda: stamps, "a joint state")
    end_ns = stamp_ns(stamps[0]) + RECORDED_NS
    wait_until(lambda: stamp_ns(stamps[-1]) > end_ns, "the end of the recording")
    for child in (*recorders, robot):
        assert child.stop() == 0, child.tail()
    _recorded.update(paths)


def stamp_ns(message):
    """Header stamp in ns."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def lanes(embodiment, buffers):
    """The buffers of topics as those of each stream's topics."""
    return {(s.key, t): buffers[t] for s in embodiment.streams for t in s.topics}


def reading(content, data):
    """A message as the buffers hold it."""
    if isinstance(content, JointState):
        return JointReading(
            tuple(content.name), np.array(content.position), np.array(content.velocity)
        )
    if isinstance(content, PoseStamped):
        place, turn = content.pose.position, content.pose.orientation
        return PoseReading(
            np.array([place.x, place.y, place.z]),
            np.array([turn.x, turn.y, turn.z, turn.w]),
            content.header.frame_id,
        )
    return read(data, "compressed" if isinstance(content, CompressedImage) else "raw")
