"""What camera frames cost the node: pulled inputs against plain callbacks, in the same run.

1 to 3 cameras of 480x640 at 30 Hz and joint states at 100 Hz come from another process. Slices
of both variants alternate in random order. Each measures the CPU of the whole process and that
of its threads that run Python, an upper bound of the time that the GIL is held; the middleware's
threads are the difference. Idle: frames arrive, nobody asks. Observing: every 200 ms all cameras
are decoded and resized into a request's slots, by the same code in both variants.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from bench import camera_publisher as source
from bench.camera_readers import SLOT_PX, Callbacks, Pulled, embodiment
from bench.paired import Report, Target
from gr00t_ros.ros import cdr, convert

VARIANTS = {"pulled": Pulled, "callbacks": Callbacks}
LOADS = ("idle", "observing")
MEASURES = ("cpu_percent", "python_percent", "frames_hz")
ROUNDS, SLICE_S, SMOKE_SLICE_S = 3, 3.0, 0.3
OBSERVE_S = 0.2
GOAL = 0.5
"""Of the CPU that callbacks take, the most that pulling may, in every row."""
LIMIT_S = 30.0
PROFILE_FRAMES = 300


@dataclass(frozen=True, slots=True)
class Kind:
    """What one slice does."""

    variant: str
    cameras: int
    load: str


@dataclass(frozen=True, slots=True)
class Slice:
    """CPU in percent of one core, frames a second and camera that reached Python."""

    kind: Kind
    cpu_percent: float
    python_percent: float
    frames_hz: float
    observations: int


def run(smoke: bool = False) -> Report:
    """Measure, and compare medians with the goal: pulling costs half of what callbacks do."""
    slices = _slices(1, SMOKE_SLICE_S) if smoke else _slices(ROUNDS, SLICE_S)
    table = _table(slices)
    targets = [
        Target(f"{row['cameras']} cameras {row['load']}: CPU, pulled / callbacks", ratio, GOAL)
        for row in table
        if isinstance(ratio := row["cpu_percent_ratio"], float)
    ]
    figures = {"medians": table, "slices": [asdict(each) for each in slices]}
    return Report("camera", (*_lines(table), *_profile()), figures, tuple(targets))


def _slices(rounds: int, slice_s: float) -> list[Slice]:
    """All slices, `rounds` of each kind, each round in a random order of its own."""
    kinds = [
        Kind(variant, cameras, load)
        for cameras in range(1, source.CAMERAS + 1)
        for load in LOADS
        for variant in VARIANTS
    ]
    with publishing(), _reading() as node:
        return [
            _measure(node, kind, slice_s)
            for _ in range(rounds)
            for kind in random.sample(kinds, len(kinds))
        ]


@contextmanager
def publishing() -> Iterator[None]:
    """Run the publishing process, in a ROS domain of its own where none is given."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 101)))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    with tempfile.TemporaryDirectory() as folder:
        profile = str(source.write_profile(Path(folder)))
        environment = os.environ | {"FASTRTPS_DEFAULT_PROFILES_FILE": profile}
        command = [sys.executable, "-m", "bench.camera_publisher"]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            if child.stdout is None or "READY" not in child.stdout.readline():
                raise RuntimeError("the publishing process did not start")
            yield
        finally:
            child.send_signal(signal.SIGINT)
            child.wait(LIMIT_S)


@contextmanager
def _reading() -> Iterator[Node]:
    """A node that a thread spins, as the policy node's is."""
    rclpy.init()
    node = rclpy.create_node("bench_reader")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinner = threading.Thread(target=executor.spin)
    spinner.start()
    try:
        yield node
    finally:
        executor.shutdown()
        spinner.join(LIMIT_S)
        node.destroy_node()
        rclpy.shutdown()


def _measure(node: Node, kind: Kind, slice_s: float) -> Slice:
    """One slice, counted from the moment that frames arrive."""
    slots = np.zeros((kind.cameras, 1, 1, *SLOT_PX, 3), np.uint8)
    reader = VARIANTS[kind.variant](node, kind.cameras, slots)
    try:
        _wait_for_frames(reader, kind.cameras)
        frames, before = reader.received(), _clocks()
        observations = _work(reader, kind.load, time.monotonic() + slice_s)
        seconds, cpu, python = (b - a for a, b in zip(before, _clocks(), strict=True))
        frames_hz = (reader.received() - frames) / seconds / kind.cameras
        return Slice(kind, 100 * cpu / seconds, 100 * python / seconds, frames_hz, observations)
    finally:
        reader.close()


def _clocks() -> tuple[float, float, float]:
    """Seconds: wall, CPU of the process, CPU of its threads that run Python."""
    clocks = (time.pthread_getcpuclockid(t.ident) for t in threading.enumerate() if t.ident)
    return time.monotonic(), time.process_time(), sum(map(time.clock_gettime, clocks))


def _profile() -> Iterator[str]:
    """CPU of one frame's steps in the inputs, and of the decoding that both variants share."""
    message = Image(height=source.HEIGHT_PX, width=source.WIDTH_PX, encoding="bgr8")
    message.step = 3 * source.WIDTH_PX
    message.data = np.random.default_rng(0).bytes(message.height * message.step)
    raw = bytes(serialize_message(message))
    (stream,) = embodiment(1).video
    slot = np.zeros((*SLOT_PX, 3), np.uint8)
    steps: dict[str, Callable[[], object]] = {
        "parse the header": lambda: cdr.image(raw),
        "check (parses it)": lambda: convert.check(raw, "raw"),
        "brightness (parses it)": lambda: convert.level(raw, "raw"),
        "decode and resize (parses it)": lambda: convert.decode_into(raw, stream, slot),
    }
    yield "one frame, us of CPU; decoding costs both variants the same, 5 times a second and camera"
    for name, step in steps.items():
        step()
        begin_s = time.thread_time()
        for _ in range(PROFILE_FRAMES):
            step()
        yield f"  {name:32}{1e6 * (time.thread_time() - begin_s) / PROFILE_FRAMES:8.1f}"


def _wait_for_frames(reader: Pulled | Callbacks, cameras: int) -> None:
    end = time.monotonic() + LIMIT_S
    while not (reader.received() >= 3 * cameras and reader.observe()):
        if time.monotonic() > end:
            raise RuntimeError(f"no frames of {cameras} cameras within {LIMIT_S:.0f} s")
        time.sleep(0.05)


def _work(reader: Pulled | Callbacks, load: str, end: float) -> int:
    """Observe every 200 ms, or only wait, until `end`; how many observations were made."""
    observations, due = 0, time.monotonic()
    while time.monotonic() < end:
        if load == "observing":
            observations += reader.observe()
        due += OBSERVE_S
        time.sleep(max(0.0, min(due, end) - time.monotonic()))
    return observations


def _table(slices: Sequence[Slice]) -> list[dict[str, float | str]]:
    """Medians by cameras and load, with the ratios pulled / callbacks."""
    table = []
    for cameras in range(1, source.CAMERAS + 1):
        for load in LOADS:
            row: dict[str, float | str] = {"cameras": cameras, "load": load}
            for measure in MEASURES:
                pulled, callbacks = (
                    _median(slices, Kind(variant, cameras, load), measure) for variant in VARIANTS
                )
                row[f"{measure}_pulled"], row[f"{measure}_callbacks"] = pulled, callbacks
                row[f"{measure}_ratio"] = pulled / callbacks
            table.append(row)
    return table


def _median(slices: Sequence[Slice], kind: Kind, measure: str) -> float:
    return statistics.median(getattr(each, measure) for each in slices if each.kind == kind)


def _lines(table: Sequence[dict[str, float | str]]) -> Iterator[str]:
    yield f"{source.HEIGHT_PX}x{source.WIDTH_PX} bgr8 at 30 Hz, medians of {ROUNDS} x {SLICE_S} s"
    yield f"{'':20}{'process CPU %':^24}{'Python threads %':^24}{'frames/s to Python':^20}"
    yield f"{'cameras, load':20}" + 2 * f"{'pull':>7}{'callb.':>8}{'ratio':>8} " + "   pull  callb."
    for row in table:
        yield f"{row['cameras']}, {row['load']:17}" + " ".join(
            f"{row[m + '_pulled']:7.1f}{row[m + '_callbacks']:8.1f}"
            + (f"{row[m + '_ratio']:8.2f}" if m != "frames_hz" else "")
            for m in MEASURES
        )
