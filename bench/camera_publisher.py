"""Cameras at 30 Hz and joint states at 100 Hz for bench/camera.py, from a separate process.

    python -m bench.camera_publisher

Publishes until SIGINT or SIGTERM. It sends serialised bytes with a new stamp, to use as little CPU
as possible; a camera without a subscriber costs nothing.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

import rclpy
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState

CAMERAS = 3
HEIGHT_PX, WIDTH_PX = 480, 640
IMAGE_BYTES = 3 * HEIGHT_PX * WIDTH_PX
RATE_HZ, JOINT_HZ = 30.0, 100.0
JOINTS = tuple(f"joint{number}" for number in range(1, 8))

# The default shared-memory segment of 0.5 MB drops most best-effort frames of 0.9 MB
# (performance.md, camera path). A camera driver needs the same profile.
PROFILE = """<?xml version="1.0" encoding="UTF-8" ?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <transport_descriptors>
    <transport_descriptor>
      <transport_id>large</transport_id><type>SHM</type><segment_size>67108864</segment_size>
    </transport_descriptor>
    <transport_descriptor><transport_id>udp</transport_id><type>UDPv4</type></transport_descriptor>
  </transport_descriptors>
  <participant profile_name="camera" is_default_profile="true">
    <rtps>
      <userTransports>
        <transport_id>large</transport_id><transport_id>udp</transport_id>
      </userTransports>
      <useBuiltinTransports>false</useBuiltinTransports>
    </rtps>
  </participant>
</profiles>
"""


def write_profile(folder: Path) -> Path:
    """Write the Fast DDS profile that the publishing process is started with."""
    path = folder / "large_segment.xml"
    path.write_text(PROFILE)
    return path


def topic(camera: int) -> str:
    """The topic of camera 0, 1, ..."""
    return f"/bench/camera{camera}"


def publish_now(publisher: Publisher, serialised: bytearray) -> None:
    """Publish with the present time as stamp, which follows the four bytes of encapsulation.

    A picture's first pixels change with it, as a camera's noise does: the node treats equal
    pictures as a fault.
    """
    now_ns = time.time_ns()
    struct.pack_into("<iI", serialised, 4, *divmod(now_ns, 10**9))
    if len(serialised) > IMAGE_BYTES:
        struct.pack_into("<Q", serialised, len(serialised) - IMAGE_BYTES, now_ns)
    publisher.publish(bytes(serialised))


def _timer(node: Node, rate_hz: float, publisher: Publisher, message: Image | JointState) -> None:
    serialised = bytearray(serialize_message(message))
    clock = Clock(clock_type=ClockType.STEADY_TIME)
    node.create_timer(1.0 / rate_hz, lambda: publish_now(publisher, serialised), clock=clock)


def main() -> None:
    """Publish until a signal."""
    rclpy.init()
    node = rclpy.create_node("bench_cameras")
    image = Image(height=HEIGHT_PX, width=WIDTH_PX, encoding="bgr8", step=3 * WIDTH_PX)
    image.data.frombytes(bytes(range(256)) * (HEIGHT_PX * WIDTH_PX * 3 // 256))
    for camera in range(CAMERAS):
        _timer(node, RATE_HZ, node.create_publisher(Image, topic(camera), 1), image)
    state = JointState(name=JOINTS, position=[0.1] * 7, velocity=[0.0] * 7)
    _timer(node, JOINT_HZ, node.create_publisher(JointState, "/bench/joints", 1), state)
    print("READY", flush=True)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        return


if __name__ == "__main__":
    main()
