"""What camera frames cost the node: pulled inputs compared with plain callbacks, in the same run.

1 to 3 cameras of 480x640 at 30 Hz and joint states at 100 Hz come from another process. Slices
of both variants alternate in random order. Each slice measures the CPU time of the whole process
and that of its threads that run Python, which is an upper bound of the time that the GIL is held;
the difference is the middleware's threads. Idle: frames arrive and are not used. Observing: every
200 ms all cameras are decoded and resized into a request's slots, by the same code in both
variants. The time for decoding is reported separately, because both variants need it.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from bench import camera_publisher as source
from bench.camera_readers import SLOT_PX, Callbacks, Pulled, embodiment
from bench.paired import Report, Target
from bench.spinning import spun
from gr00t_ros.inputs import images
from gr00t_ros.ros.transports import profiles_variable

VARIANTS: Mapping[str, type[Pulled] | type[Callbacks]] = {"pulled": Pulled, "callbacks": Callbacks}
LOADS = ("idle", "observing")
MEASURES = ("cpu_percent", "python_percent", "frames_hz", "decoding_percent")
ROUNDS, SLICE_S, SMOKE_SLICE_S = 3, 3.0, 0.3
OBSERVE_S = 0.2
GOAL = 0.5
"""Largest share of the callbacks' CPU that pulling may take, in every row."""
LIMIT_S = 30.0
PROFILE_FRAMES, PROFILE_SLEPT_FRAMES, SLEEP_S = 300, 60, 0.02


@dataclass(frozen=True, slots=True)
class Kind:
    """What one slice does."""

    variant: str
    cameras: int
    load: str


@dataclass(frozen=True, slots=True)
class Slice:
    """CPU in percent of one core, the part of decoding in it, and frames a second and camera."""

    kind: Kind
    cpu_percent: float
    python_percent: float
    frames_hz: float
    decoding_percent: float
    observations: int


def run(smoke: bool = False) -> Report:
    """Measure, and compare medians with the goal: pulling costs at most half of callbacks."""
    slices = _slices(1, SMOKE_SLICE_S) if smoke else _slices(ROUNDS, SLICE_S)
    slept_frames = 3 if smoke else PROFILE_SLEPT_FRAMES
    table = _table(slices)
    targets = [
        Target(f"{row['cameras']} cameras {row['load']}: CPU, pulled / callbacks", ratio, GOAL)
        for row in table
        if isinstance(ratio := row["cpu_percent_ratio"], float)
    ]
    figures = {"medians": table, "slices": [asdict(each) for each in slices]}
    return Report("camera", (*_lines(table), *_profile(slept_frames)), figures, tuple(targets))


def _slices(rounds: int, slice_s: float) -> list[Slice]:
    """All slices, `rounds` of each kind; each round has its own random order."""
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
    """Run the publishing process, in its own ROS domain if none is given."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 101)))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    with tempfile.TemporaryDirectory() as folder:
        profile = str(source.write_profile(Path(folder)))
        environment = os.environ | {profiles_variable(): profile}
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
    """A node that a thread spins, as the policy node is."""
    rclpy.init()
    node = rclpy.create_node("bench_reader")
    try:
        with spun(node):
            yield node
    finally:
        rclpy.shutdown()


def _measure(node: Node, kind: Kind, slice_s: float) -> Slice:
    """Measure one slice, which begins when frames arrive."""
    slots = np.zeros((kind.cameras, 1, 1, *SLOT_PX, 3), np.uint8)
    reader = VARIANTS[kind.variant](node, kind.cameras, slots)
    try:
        _wait_for_frames(reader, kind.cameras)
        frames, decoding, before = reader.received(), reader.decoding_s, _clocks()
        observations = _work(reader, kind.load, time.monotonic() + slice_s)
        seconds, cpu, python = (b - a for a, b in zip(before, _clocks(), strict=True))
        frames_hz = (reader.received() - frames) / seconds / kind.cameras
        percent = (100 * each / seconds for each in (cpu, python, reader.decoding_s - decoding))
        whole, threads, decoded = percent
        return Slice(kind, whole, threads, frames_hz, decoded, observations)
    finally:
        reader.close()


def _clocks() -> tuple[float, float, float]:
    """Seconds: wall time, CPU of the process, CPU of its threads that run Python."""
    clocks = (time.pthread_getcpuclockid(t.ident) for t in threading.enumerate() if t.ident)
    return time.monotonic(), time.process_time(), sum(map(time.clock_gettime, clocks))


def _profile(slept_frames: int) -> Iterator[str]:
    """CPU of one frame's steps in the inputs, and of the decoding that both variants share.

    After a sleep the caches are cold, as they are at each pull. Most of the cost comes from that.
    """
    message = Image(height=source.HEIGHT_PX, width=source.WIDTH_PX, encoding="bgr8")
    message.step = 3 * source.WIDTH_PX
    message.data = np.random.default_rng(0).bytes(message.height * message.step)
    raw = bytes(serialize_message(message))
    (stream,) = embodiment(1).video
    slot = np.zeros((*SLOT_PX, 3), np.uint8)
    frame = images.read(raw, "raw")
    steps: dict[str, Callable[[], object]] = {
        "read: header, sizes (once)": lambda: images.read(raw, "raw"),
        "brightness": lambda: images.level(frame),
        "decode and resize": lambda: images.decode_into(frame, stream, slot),
    }
    yield f"{'one frame, us of CPU':34}{'at once':>8}{f'after {SLEEP_S * 1e3:.0f} ms of sleep':>22}"
    for name, step in steps.items():
        at_once, slept = _cost_us(step, PROFILE_FRAMES, 0.0), _cost_us(step, slept_frames, SLEEP_S)
        yield f"  {name:32}{at_once:8.1f}{slept:22.1f}"


def _cost_us(step: Callable[[], object], count: int, sleep_s: float) -> float:
    """Mean CPU time of one call, us; each call follows a sleep."""
    step()
    total_s = 0.0
    for _ in range(count):
        if sleep_s:
            time.sleep(sleep_s)
        begin_s = time.thread_time()
        step()
        total_s += time.thread_time() - begin_s
    return 1e6 * total_s / count


def _wait_for_frames(reader: Pulled | Callbacks, cameras: int) -> None:
    end = time.monotonic() + LIMIT_S
    while not (reader.received() >= 3 * cameras and reader.observe()):
        if time.monotonic() > end:
            raise RuntimeError(f"no frames of {cameras} cameras within {LIMIT_S:.0f} s")
        time.sleep(0.05)


def _work(reader: Pulled | Callbacks, load: str, end: float) -> int:
    """Observe every 200 ms, or only wait, until `end`; returns the number of observations."""
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
                row[f"{measure}_ratio"] = pulled / callbacks if callbacks else 0.0
            table.append(row)
    return table


def _median(slices: Sequence[Slice], kind: Kind, measure: str) -> float:
    return float(statistics.median(getattr(each, measure) for each in slices if each.kind == kind))


def _lines(table: Sequence[dict[str, float | str]]) -> Iterator[str]:
    yield f"{source.HEIGHT_PX}x{source.WIDTH_PX} bgr8 at 30 Hz, medians of {ROUNDS} x {SLICE_S} s"
    yield (
        f"{'':20}{'process CPU %':^24}{'Python threads %':^24}{'frames/s to Python':^16}"
        f"{'decoding, CPU %':^17}{'ratio':>8}"
    )
    yield (
        f"{'cameras, load':20}"
        + 2 * f"{'pull':>7}{'callb.':>8}{'ratio':>8} "
        + 2 * f"{'pull':>7}{'callb.':>8} "
        + "without"
    )
    for row in table:
        yield (
            f"{row['cameras']}, {row['load']:17}"
            + " ".join(
                f"{row[m + '_pulled']:7.1f}{row[m + '_callbacks']:8.1f}"
                + (f"{row[m + '_ratio']:8.2f}" if m in ("cpu_percent", "python_percent") else "")
                for m in MEASURES
            )
            + f"{_ratio_without_decoding(row):8.2f}"
        )


def _ratio_without_decoding(row: Mapping[str, float | str]) -> float:
    """Ratio pulled / callbacks of the CPU for reading cameras, without decoding."""
    pulled, callbacks = (
        float(row[f"cpu_percent_{variant}"]) - float(row[f"decoding_percent_{variant}"])
        for variant in VARIANTS
    )
    return pulled / callbacks
