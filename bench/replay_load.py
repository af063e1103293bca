"""The load of `bench replay`: three cameras are read, and requests are sent to a policy server.

Cameras and server are other processes. Every 160 ms the newest frames are decoded into a request
and sent. For each answer a chunk that swings the arm is delivered, so that windows are published.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

from bench.camera_publisher import CAMERAS
from bench.camera_readers import SLOT_PX, Callbacks, Pulled
from bench.motion_scenarios import HOME
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.template import RequestTemplate

ASK_S, TIMEOUT_MS, LIMIT_S = 0.16, 5000, 30.0
STEP_NS, STEPS = 66_666_667, 40
KEYS = tuple(f"camera{number}" for number in range(CAMERAS))


class Load:
    """Runs from construction to `close`; `deliver` gets each chunk, on the load's own thread."""

    def __init__(
        self,
        reader: Pulled | Callbacks,
        slots: NDArray[np.uint8],
        port: int,
        deliver: Callable[[ActionChunk], object],
    ) -> None:
        self._reader, self._slots, self._deliver = reader, slots, deliver
        self._client = PolicyServerClient("127.0.0.1", port, TIMEOUT_MS, key_style="nested")
        self._ended = threading.Event()
        self.answers = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread after its request in flight."""
        self._ended.set()
        self._thread.join(LIMIT_S)
        self._client.close()

    def _run(self) -> None:
        server = self._client.connect()
        template = RequestTemplate(
            dict.fromkeys(KEYS, (1, *SLOT_PX)),
            {"joint_position": (1, 7)},
            "instruction",
            generation=server.generation,
            key_style=server.key_style,
        )
        template.set_instruction("put the red cube on the blue plate")
        while not self._ended.wait(ASK_S):
            if self._reader.observe():
                for key, slot in zip(KEYS, self._slots, strict=True):
                    template.video[key][...] = slot
                stamp_ns = time.monotonic_ns()
                self._client.get_action(template)
                self.answers += 1
                self._deliver(swing(self.answers, stamp_ns))


def swing(sequence: int, stamp_ns: int) -> ActionChunk:
    """A chunk in which all joints of an FR3 swing by 0.2 rad about home."""
    seconds = (stamp_ns % 10**12 + STEP_NS * np.arange(STEPS)) * 1e-9
    joints = HOME + 0.2 * np.sin(np.outer(seconds, np.linspace(0.5, 1.5, len(HOME))))
    return ActionChunk(sequence, 1, stamp_ns, STEP_NS, joints, {})


def reading(
    node: Node, kind: type[Pulled] | type[Callbacks]
) -> tuple[Pulled | Callbacks, NDArray[np.uint8]]:
    """A reader of all cameras, after frames have arrived, and its slots."""
    slots = np.zeros((CAMERAS, 1, 1, *SLOT_PX, 3), np.uint8)
    reader = kind(node, CAMERAS, slots)
    end = time.monotonic() + LIMIT_S
    while not reader.observe():
        if time.monotonic() > end:
            reader.close()
            raise RuntimeError(f"no frames of {CAMERAS} cameras within {LIMIT_S:.0f} s")
        time.sleep(0.05)
    return reader, slots
