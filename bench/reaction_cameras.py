"""Cameras whose pictures show a number that changes at random times, for bench/reaction.py.

    python -m bench.reaction_cameras CAMERAS FPS STAGGER FILE

The number is in the first two bytes of each picture. Each change goes to FILE as a line: the number
and the stamp of the first picture that shows it, ROS time in ns. STAGGER 0: all cameras expose at
once; 1: they are spread over the frame period. Publishes until SIGINT or SIGTERM.
"""

from __future__ import annotations

import random
import struct
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np
import rclpy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from bench.camera_publisher import HEIGHT_PX, IMAGE_BYTES, WIDTH_PX
from gr00t_ros.ros.periodic import sleep_until
from gr00t_ros.signals import stop_on_signals
from gr00t_ros.sim.sensors import SENSOR_OUT

STILL_S = (0.8, 1.2)
"""Time between two changes: the motion that follows the first one has then all but ended."""
_NUMBER, _GREYS = struct.Struct("<H"), (86, 95)
_SHIFTS = 4096  # of one field of noise: a picture's is the field from a byte on


def topic(camera: int) -> str:
    """The topic of camera 0, 1, ..."""
    return f"/bench/camera{camera}/image_raw"


def number_in(picture: bytes) -> int:
    """The number that a picture shows. picture: at least its first bytes."""
    return int(_NUMBER.unpack_from(picture)[0])


class Stimulus:
    """The number in the world; it changes at random times, and each first sight is written."""

    def __init__(self, file: Path) -> None:
        self._random, self._file = random.Random(), file.open("w", buffering=1)
        self._number, self._shown = 0, 0
        self._changes_ns = time.monotonic_ns()

    def seen(self, exposed_ns: int, stamp_ns: int) -> int:
        """The number at steady time `exposed_ns`, seen by a picture with that ROS stamp."""
        while exposed_ns >= self._changes_ns:
            self._number += 1
            self._changes_ns += round(self._random.uniform(*STILL_S) * 1e9)
        if self._number != self._shown:
            self._shown = self._number
            self._file.write(f"{self._number} {stamp_ns}\n")
        return self._number


class Camera:
    """Publishes one camera's pictures as bytes with a new stamp, number and noise."""

    def __init__(self, node: rclpy.node.Node, camera: int) -> None:
        image = Image(height=HEIGHT_PX, width=WIDTH_PX, encoding="rgb8", step=3 * WIDTH_PX)
        image.header.frame_id = f"camera{camera}"
        image.data.frombytes(bytes(IMAGE_BYTES))
        # Bytes with a new stamp, as bench/camera_publisher: rclpy would need 1 ms each.
        serialised = serialize_message(image)
        self._first = len(serialised) - IMAGE_BYTES
        self._head = bytearray(serialised[: self._first + _NUMBER.size])
        noise = np.random.default_rng(camera).integers(*_GREYS, IMAGE_BYTES + _SHIFTS, np.uint8)
        self._noise = memoryview(noise.tobytes())
        self._publisher = node.create_publisher(Image, topic(camera), SENSOR_OUT)

    def publish(self, stamp_ns: int, number: int, frame: int) -> None:
        """Publish a picture; every frame has other noise everywhere, as a camera's."""
        struct.pack_into("<iI", self._head, 4, *divmod(stamp_ns, 10**9))
        _NUMBER.pack_into(self._head, self._first, number)
        shift = frame % _SHIFTS
        noise = self._noise[shift : shift + IMAGE_BYTES - _NUMBER.size]
        self._publisher.publish(b"".join((self._head, noise)))


def publish(cameras: int, fps: float, stagger: float, file: Path) -> None:
    """Publish until a signal."""
    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    stop = stop_on_signals()
    node = rclpy.create_node("bench_reaction_cameras")
    all_cameras = [Camera(node, camera) for camera in range(cameras)]
    stimulus = Stimulus(file)
    begin_ns, period_ns = time.monotonic_ns(), 1e9 / fps
    for frame in count():
        for place, camera in enumerate(all_cameras):
            exposed_ns = begin_ns + round((frame + stagger * place / cameras) * period_ns)
            sleep_until(exposed_ns)
            if stop.is_set():
                return
            stamp_ns = exposed_ns + time.time_ns() - time.monotonic_ns()
            camera.publish(stamp_ns, stimulus.seen(exposed_ns, stamp_ns), frame)


if __name__ == "__main__":
    _words = sys.argv[1:]
    publish(int(_words[0]), float(_words[1]), float(_words[2]), Path(_words[3]))
