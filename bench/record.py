"""What recording costs beside the robot: CPU, MB a second, and messages lost.

Two cameras of 480x640 rgb8 at 30 Hz and joint states at 200 Hz are published by another process.
Three writers get them, one after the other: gr00t record, gr00t bag record of the same topics, and
a process without ROS that writes the same bytes at the same rate through rosbags. Each message has
a number in its stamp, so lost ones are counted in the bag, whatever the recorder says.

    ./dev bench record
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import rclpy
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

from bench.paired import Report, Target
from gr00t_ros.bags.bag import open_bag
from gr00t_ros.bags.message_types import type_name, typestore
from gr00t_ros.bags.record import open_writer
from gr00t_ros.srv import SetInstruction

EMBODIMENT = "franka_droid"
CAMERAS = ("/camera/exterior/image_raw", "/camera/wrist/image_raw")
JOINTS = "/joint_states"
TOPICS = (*CAMERAS, JOINTS)
HEIGHT_PX, WIDTH_PX, CAMERA_HZ, JOINT_HZ = 480, 640, 30.0, 200.0
SECONDS, SMOKE_S, LIMIT_S = 60.0, 2.0, 30.0
KEPT = (30, 500)
"""Pictures and joint states that the publisher keeps: a second and more. With a queue of ten, joint
states are lost in the publisher wherever the machine is busy for 50 ms, whoever records."""
LIKE_BAG_RECORD = 1.0
"""Most CPU, by that of gr00t bag record."""


@dataclass(frozen=True, slots=True)
class Row:
    """One writer: CPU (1 is one core), MB a second, messages in the bag and lost."""

    writer: str
    cpu: float
    mb_s: float
    messages: int
    lost_of: dict[str, int]

    @property
    def lost(self) -> int:
        """Of all topics."""
        return sum(self.lost_of.values())


def run(seconds: float = SECONDS, smoke: bool = False) -> Report:
    """Measure each writer once, for `seconds`; smoke: two seconds."""
    seconds = SMOKE_S if smoke else seconds
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 101)))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    rclpy.init()
    node = rclpy.create_node("bench_record")
    try:
        with TemporaryDirectory(dir=".") as place, _child("bench.record", "publish"):
            folder = Path(place)
            rows = [
                _gr00t_record(node, folder / "recording", seconds),
                _bag_record(folder / "bag", seconds),
                _bare(folder / "bare", seconds),
            ]
    finally:
        node.destroy_node()
        rclpy.shutdown()
    ours, bag, bare = rows
    targets = (
        Target(f"messages lost in {seconds:g} s", ours.lost, 0),
        Target("CPU, by that of gr00t bag record", ours.cpu / bag.cpu, LIKE_BAG_RECORD),
    )
    figures = {
        "seconds": seconds,
        "rows": [asdict(row) | {"lost": row.lost} for row in rows],
        "by_bag_record": ours.cpu / bag.cpu,
        "by_bare_writer": ours.cpu / bare.cpu,
    }
    return Report("record", tuple(_lines(rows)), figures, targets)


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    yield f"two cameras {HEIGHT_PX}x{WIDTH_PX} rgb8 at {CAMERA_HZ:g} Hz, joints at {JOINT_HZ:g} Hz"
    yield ""
    yield "| writer | CPU, one core | MB/s | messages | lost |"
    yield "|---|---|---|---|---|"
    for row in rows:
        yield f"| {row.writer} | {row.cpu:.1%} | {row.mb_s:.1f} | {row.messages} | {row.lost} |"
    yield ""
    ours, bag, bare = rows
    by_bag, by_bare = ours.cpu / bag.cpu, ours.cpu / bare.cpu
    yield f"CPU by gr00t bag record: {by_bag:.2f}; by a bare writer: {by_bare:.2f}"
    lost = ", ".join(f"{count} of {topic}" for topic, count in ours.lost_of.items() if count)
    yield f"gr00t record lost: {lost or 'nothing'}"


def _gr00t_record(node: Node, folder: Path, seconds: float) -> Row:
    """Begin an episode once the recorder has everything, and end it."""
    words = ("--embodiment", EMBODIMENT, "--teleop", "--min-free-gb", "0.5")
    with _child("gr00t_ros.record", str(folder), *words, ready="ready to record") as child:
        _wait(lambda: all(node.count_subscribers(topic) for topic in TOPICS), "a recorder")
        time.sleep(1.0)  # the pre-roll
        _call(node, SetInstruction, "/gr00t_record/start")
        cpu = _cpu(child.pid, seconds)
        _call(node, Trigger, "/gr00t_record/stop")
    facts = json.loads((folder / "episode_000000" / "episode.json").read_text())
    row = _row("gr00t record", cpu, folder / "episode_000000", facts["start_ns"])
    counted = sum(facts["dropped"].values())
    if counted != row.lost:
        raise RuntimeError(f"the bag lacks {row.lost} messages, episode.json says {counted}")
    return row


def _bag_record(folder: Path, seconds: float) -> Row:
    words = ("record", str(folder), "--mcap", "--topics", *TOPICS)
    with _child("gr00t_ros.bags", *words, ready="RECORDING") as child:
        time.sleep(1.0)
        cpu = _cpu(child.pid, seconds)
    return _row("gr00t bag record", cpu, folder)


def _bare(folder: Path, seconds: float) -> Row:
    with _child("bench.record", "write", str(folder)) as child:
        cpu = _cpu(child.pid, seconds)
    return _row("rosbags alone, without ROS", cpu, folder)


def _row(writer: str, cpu: float, folder: Path, from_ns: int = 0) -> Row:
    """What a bag holds from a bag time on; a number that is missing is a lost message.

    Removes the bag: a minute of it has three gigabytes.
    """
    numbers: dict[str, list[int]] = {topic: [] for topic in TOPICS}
    with open_bag(folder) as bag:
        span_s = (bag.end_ns - bag.start_ns) * 1e-9
        for message in bag.messages(TOPICS, max(from_ns, bag.start_ns)):
            numbers[message.topic].append(struct.unpack_from("<i", message.data, 4)[0])
    size = sum(path.stat().st_size for path in folder.glob("*.mcap"))
    shutil.rmtree(folder)
    lost = {topic: seen[-1] - seen[0] + 1 - len(seen) for topic, seen in numbers.items()}
    return Row(writer, cpu, size / span_s / 1e6, sum(map(len, numbers.values())), lost)


def _cpu(pid: int, seconds: float) -> float:
    """The CPU that a process uses in the next seconds; 1 is one core."""
    before_s, begin_s = _cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    return (_cpu_s(pid) - before_s) / (time.monotonic() - begin_s)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _call(node: Node, kind: Any, service: str) -> None:
    client = node.create_client(kind, service)
    _wait(client.service_is_ready, service)
    future = client.call_async(kind.Request())
    rclpy.spin_until_future_complete(node, future, timeout_sec=LIMIT_S)
    if not future.done() or not future.result().success:
        raise RuntimeError(f"{service}: {future.result() if future.done() else 'no answer'}")


def _wait(condition: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end_s:
            raise RuntimeError(f"waited {LIMIT_S:g} s in vain for {what}")
        time.sleep(0.02)


@contextmanager
def _child(module: str, *words: str, ready: str = "READY") -> Iterator[subprocess.Popen[str]]:
    """Run a module as another process, once it has said that it is ready."""
    command = [sys.executable, "-m", module, *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout is not None
        try:
            said = []
            while ready not in (line := child.stdout.readline()):
                said.append(line)
                if not line:
                    raise RuntimeError(f"{module} did not start:\n{''.join(said)}")
            yield child
        finally:
            child.send_signal(signal.SIGINT)
            child.wait(LIMIT_S)


# --- the other processes -----------------------------------------------------------------------


def _messages() -> dict[str, tuple[Image | JointState, float]]:
    """Topic -> message and rate."""
    image = Image(height=HEIGHT_PX, width=WIDTH_PX, encoding="rgb8", step=3 * WIDTH_PX)
    image.data.frombytes(bytes(range(256)) * (HEIGHT_PX * WIDTH_PX * 3 // 256))
    joints = JointState(name=[f"joint{n}" for n in range(8)], position=[0.1] * 8)
    return {**{topic: (image, CAMERA_HZ) for topic in CAMERAS}, JOINTS: (joints, JOINT_HZ)}


def _publish() -> None:
    """Publish all topics, with the message's number as stamp, until SIGINT."""
    rclpy.init()
    node = rclpy.create_node("bench_robot")
    for topic, (message, rate_hz) in _messages().items():
        publisher = node.create_publisher(type(message), topic, KEPT[topic == JOINTS])
        data, count = bytearray(serialize_message(message)), [0]

        def send(
            publisher: Publisher = publisher, data: bytearray = data, count: list[int] = count
        ) -> None:
            count[0] += 1
            struct.pack_into("<i", data, 4, count[0])
            publisher.publish(bytes(data))

        node.create_timer(1.0 / rate_hz, send, clock=Clock(clock_type=ClockType.STEADY_TIME))
    print("READY", flush=True)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        return


def _write(folder: Path) -> None:
    """Write the same messages at the same rates through rosbags, until SIGINT."""
    writer = open_writer(folder, mcap=True)
    due = []
    for topic, (message, rate_hz) in _messages().items():
        kind = type_name(type(message))
        connection = writer.add_connection(topic, kind, typestore=typestore([kind]))
        due.append([0.0, 1.0 / rate_hz, connection, bytearray(serialize_message(message)), 0])
    print("READY", flush=True)
    begin_s = time.monotonic()
    try:
        while True:
            now_s = time.monotonic() - begin_s
            for row in due:
                if row[0] <= now_s:
                    row[0], row[4] = row[0] + row[1], row[4] + 1
                    struct.pack_into("<i", row[3], 4, row[4])
                    writer.write(row[2], time.time_ns(), bytes(row[3]))
            time.sleep(0.002)
    except KeyboardInterrupt:
        writer.close()


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        _publish()
    else:
        _write(Path(sys.argv[2]))
