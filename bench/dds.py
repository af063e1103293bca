"""How many camera frames arrive at the node's own subscription, by the middleware's settings.

Two cameras publish their frames together from another process, which is started again with each
Fast DDS profile. This process reads as the node does, with PulledSubscription, but with a deeper
queue. Sent frames are counted by the publisher's sequence numbers. Made for docs/dds.md:

    ./dev bench dds
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import rclpy
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from bench.camera_publisher import publish_now
from bench.paired import Report, Target
from gr00t_ros.inputs import cdr
from gr00t_ros.ros.pulled import PulledSubscription
from gr00t_ros.ros.transports import profiles_variable
from gr00t_ros.tools.doctor_checks import LOST_SHARE

PROFILE = Path(__file__).parents[1] / "config" / "fastdds_large_frames.xml"
CAMERAS, RATE_HZ = 2, 30.0
SIZES_PX = ((480, 640), (720, 1280), (1080, 1920))
SEGMENTS_MB: Mapping[str, int] = {"default": 0, "16 MB": 16, "64 MB": 64}
DEPTH = 5  # rclcpp's SensorDataQoS, which drivers use; deep enough to count each frame here
RELIABILITIES: Mapping[str, QoSProfile] = {
    "best effort": QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT),
    "reliable": QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE),
}
SLICE_S, SMOKE_S, LIMIT_S = 5.0, 0.5, 30.0
PULL_S = 0.002
ARRIVE_SHARE = 1.0 - LOST_SHARE  # the doctor's limit
_STOPPED = ("64 MB", "reliable")
_BESIDE = "beside a stopped reader"


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: frames that a camera sent and that arrived, a second, and their median delay."""

    segment: str
    reliability: str
    height_px: int
    width_px: int
    stopped_reader: bool
    sent_hz: float
    arrived_hz: float
    late_ms: float

    @property
    def kind(self) -> str:
        """Reliability, and whether a stopped reader ran beside."""
        return self.reliability + (f", {_BESIDE}" if self.stopped_reader else "")


def run(smoke: bool = False) -> Report:
    """Measure every setting once; a reliable camera of 480x640 must arrive with any segment.

    smoke: a short slice of one size and one segment.
    """
    slice_s, sizes_px = (SMOKE_S, SIZES_PX[:1]) if smoke else (SLICE_S, SIZES_PX)
    segments = (_STOPPED[0],) if smoke else tuple(SEGMENTS_MB)
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 101)))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    rclpy.init()
    node = rclpy.create_node("bench_dds")
    try:
        rows = [
            _measure(node, segment, reliability, size_px, stopped, slice_s)
            for size_px in sizes_px
            for segment in segments
            for reliability in RELIABILITIES
            for stopped in ((False, True) if (segment, reliability) == _STOPPED else (False,))
        ]
    finally:
        node.destroy_node()
        rclpy.shutdown()
    figures = {"rows": [asdict(row) for row in rows]}
    return Report("dds", tuple(_lines(rows)), figures, tuple(_targets(rows)))


def _targets(rows: Sequence[Row]) -> Iterator[Target]:
    for row in rows:
        if row.reliability == "reliable" and row.height_px == SIZES_PX[0][0]:
            name = f"480x640, {row.segment} segment, {row.kind}: arrived of {RATE_HZ:g} Hz"
            yield Target(name, row.arrived_hz / RATE_HZ, ARRIVE_SHARE, at_least=True)


def _measure(
    node: Node,
    segment: str,
    reliability: str,
    size_px: tuple[int, int],
    stopped: bool,
    slice_s: float,
) -> Row:
    """Measure one slice, which begins when frames of both cameras arrive."""
    with _child("publish", *map(str, size_px), reliability, segment=SEGMENTS_MB[segment]):
        profiles = (RELIABILITIES[reliability],)
        cameras = [
            PulledSubscription(node, (Image,), f"/bench/dds{n}", profiles=profiles)
            for n in range(CAMERAS)
        ]
        try:
            _wait_for_frames(cameras)
            if not stopped:
                return Row(segment, reliability, *size_px, stopped, *_count(cameras, slice_s))
            with _child("read", reliability) as reader:
                reader.send_signal(signal.SIGSTOP)
                try:
                    return Row(segment, reliability, *size_px, stopped, *_count(cameras, slice_s))
                finally:
                    reader.send_signal(signal.SIGCONT)
        finally:
            for camera in cameras:
                camera.destroy()


def _count(cameras: Sequence[PulledSubscription], slice_s: float) -> tuple[float, float, float]:
    """Frames sent and arrived a second and camera, and the median delay, ms."""
    numbers: list[list[int]] = [[] for _ in cameras]
    late_ms = []
    start = time.monotonic()
    while (now := time.monotonic()) < start + slice_s:
        for camera, seen in zip(cameras, numbers, strict=True):
            raw = camera.take()
            if raw is not None and camera.number is not None:
                seen.append(camera.number)
                late_ms.append((time.time_ns() - cdr.image(raw).stamp_ns) / 1e6)
        time.sleep(PULL_S)
    seconds = (now - start) * len(cameras)
    sent = sum(seen[-1] - seen[0] + 1 for seen in numbers if seen)
    arrived = sum(len(seen) for seen in numbers)
    return (
        sent / seconds,
        arrived / seconds,
        statistics.median(late_ms) if late_ms else float("nan"),
    )


def _wait_for_frames(cameras: Sequence[PulledSubscription]) -> None:
    end, missing = time.monotonic() + LIMIT_S, list(cameras)
    while missing:
        missing = [camera for camera in missing if camera.take() is None]
        if time.monotonic() > end:
            raise RuntimeError(f"no frames of {missing[0].topic} within {LIMIT_S:.0f} s")
        time.sleep(PULL_S)


@contextmanager
def _child(*arguments: str, segment: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Run this file as another process; `segment`: its shared-memory segment in MB, 0: default."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        if segment:
            profile = Path(folder) / "profile.xml"
            profile.write_text(PROFILE.read_text().replace("67108864", str(segment * 2**20)))
            environment[profiles_variable()] = str(profile)
        command = [sys.executable, "-m", "bench.dds", *arguments]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            if child.stdout is None or "READY" not in child.stdout.readline():
                raise RuntimeError(f"{arguments[0]}: the other process did not start")
            yield child
        finally:
            child.send_signal(signal.SIGINT)
            child.wait(LIMIT_S)


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    yield f"{CAMERAS} cameras, rgb8 at {RATE_HZ:g} Hz, both frames published together"
    yield ""
    yield "| frame | publisher's segment | offered and requested | sent | arrived | late, median |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        size = f"{row.height_px}x{row.width_px}"
        came = f"{row.sent_hz:.1f} Hz | {row.arrived_hz:.1f} Hz | {row.late_ms:.1f} ms"
        yield f"| {size} | {row.segment} | {row.kind} | {came} |"


def main(arguments: Sequence[str]) -> None:
    """Run as the other process: publish HEIGHT WIDTH RELIABILITY, or read RELIABILITY."""
    rclpy.init()
    node = rclpy.create_node(f"bench_dds_{arguments[0]}")
    profile = RELIABILITIES[arguments[-1]]
    topics = [f"/bench/dds{n}" for n in range(CAMERAS)]
    if arguments[0] == "read":
        for topic in topics:
            node.create_subscription(Image, topic, lambda _message: None, profile, raw=True)
    else:
        height_px, width_px = map(int, arguments[1:3])
        image = Image(height=height_px, width=width_px, encoding="rgb8", step=3 * width_px)
        image.data.frombytes(bytes(3 * height_px * width_px))
        serialised = bytearray(serialize_message(image))
        publishers = [node.create_publisher(Image, topic, profile) for topic in topics]

        def publish() -> None:
            for publisher in publishers:
                publish_now(publisher, serialised)

        node.create_timer(
            1.0 / RATE_HZ,
            publish,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
    print("READY", flush=True)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        return


if __name__ == "__main__":
    main(sys.argv[1:])
