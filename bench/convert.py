"""Conversion of a recorded bag: against real time, and against encoding alone with PyAV.

The bag has two cameras of 320x240 at the file's rate of 30 Hz, joint states at 200 Hz, and windows
and controller states of arm and gripper at 50 Hz. One process converts it, on one core. The
reference encodes the same pictures, already decoded and in memory, with the same settings. Both
are measured in processor time, in pairs.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from bench.paired import Report, Target, interleave, percentile, ratio
from gr00t_ros.bags.message_types import type_name, typestore
from gr00t_ros.bags.record import open_writer
from gr00t_ros.convert.conversion import ConversionSettings, convert
from gr00t_ros.convert.episodes import EpisodeReference
from gr00t_ros.convert.recordings import read_episodes
from gr00t_ros.dataset.episode import Episode
from gr00t_ros.dataset.video_encode import encode
from gr00t_ros.msg import ControllerState
from gr00t_ros.robot.embodiment import Embodiment, parse
from gr00t_ros.robot.files import find_embodiment
from gr00t_ros.ros.windows import to_duration, to_time

SECONDS, ROUNDS = 10.0, 5
RATE_HZ, SIZE = 30.0, (240, 320)
MS = 1_000_000
BEGIN_NS = 10**12
TIMES_REAL_TIME, RATIO = 5.0, 1.3


def run(smoke: bool = False) -> Report:
    """Convert and encode in turn."""
    seconds, rounds = (1.5, 1) if smoke else (SECONDS, ROUNDS)
    embodiment = _embodiment()
    with TemporaryDirectory() as name:
        folder = Path(name)
        _write_bag(folder / "bag", embodiment, seconds)
        (reference,) = read_episodes(folder / "bag", embodiment, instruction="a task")
        episode = reference.load()
        pictures = {key: list(one) for key, one in episode.video.items()}
        samples = interleave(
            {
                "conversion": lambda: _conversion(reference, embodiment, folder / "out"),
                "encoding": lambda: _encoding(pictures, folder / "alone.mp4"),
            },
            rounds,
            warm_up=1,
        )
    return _report(samples, episode)


def _report(samples: dict[str, list[float]], episode: Episode) -> Report:
    rows, length_s = len(episode), len(episode) / RATE_HZ
    speed = length_s / percentile(samples["conversion"], 50)
    over = ratio(samples, "conversion", "encoding")
    lines = tuple(
        f"{name}: {percentile(values, 50) / rows * 1e3:.2f} ms of processor time a row "
        f"({length_s / percentile(values, 50):.1f} times real time)"
        for name, values in samples.items()
    )
    return Report(
        "convert",
        lines,
        {"rows": rows, "seconds": {name: list(values) for name, values in samples.items()}},
        (
            Target("times real time on one core", speed, TIMES_REAL_TIME, at_least=True),
            Target("conversion over encoding alone", over, RATIO),
        ),
    )


def _conversion(reference: EpisodeReference, embodiment: Embodiment, output: Path) -> float:
    """Processor time of one conversion, s."""
    shutil.rmtree(output, ignore_errors=True)
    begin = time.process_time()
    result = convert([reference], embodiment, output, ConversionSettings())
    spent = time.process_time() - begin
    assert result.contents is not None, result.failed
    return spent


def _encoding(pictures: dict[str, list[Any]], path: Path) -> float:
    """Processor time of encoding all cameras, s."""
    begin = time.process_time()
    for one in pictures.values():
        encode(path, one, RATE_HZ)
    return time.process_time() - begin


def _embodiment() -> Embodiment:
    """The DROID file with two cameras of 320x240 at 30 Hz."""
    content = yaml.safe_load(find_embodiment("franka_droid").read_text())
    for camera in content["video"].values():
        camera |= {"size": list(SIZE), "rate_hz": RATE_HZ, "delta_indices": [0]}
    return parse(content | {"rate_hz": RATE_HZ}, "franka_droid at 30 Hz")


def _write_bag(folder: Path, embodiment: Embodiment, seconds: float) -> None:
    messages = sorted(_messages(embodiment, seconds), key=lambda one: one[1])
    writer = open_writer(folder, mcap=True)
    kinds = {topic: type_name(type(message)) for topic, _, message in messages}
    known = {
        topic: writer.add_connection(topic, kind, typestore=typestore([kind]))
        for topic, kind in kinds.items()
    }
    from rclpy.serialization import serialize_message

    for topic, time_ns, message in messages:
        writer.write(known[topic], time_ns, serialize_message(message))
    writer.close()


def _messages(embodiment: Embodiment, seconds: float) -> Iterator[tuple[str, int, Any]]:
    """All messages of the bag."""
    names = list(embodiment.joint_names)
    for number in range(round(seconds * 200)):
        at_ns = BEGIN_NS + number * 5 * MS
        message = JointState(name=names, position=_position(len(names), at_ns))
        message.header.stamp = to_time(at_ns)
        yield "/joint_states", at_ns, message
    for number in range(round(seconds * 50)):
        at_ns = BEGIN_NS + number * 20 * MS
        for output in embodiment.outputs:
            yield output.topic, at_ns, _window(output.names, at_ns)
            yield output.state_topic, at_ns, _state(output.names, at_ns)
    for place, stream in enumerate(embodiment.video):
        for number, pixels in enumerate(_pictures(place, round(seconds * RATE_HZ))):
            at_ns = BEGIN_NS + round(number * 1e9 / RATE_HZ)
            yield stream.topic, at_ns, _image(pixels, at_ns)


def _position(count: int, at_ns: int) -> list[float]:
    return [0.3 + 0.2 * np.sin((at_ns - BEGIN_NS) * 1e-9 + i) for i in range(count)]


def _window(names: tuple[str, ...], at_ns: int) -> JointTrajectory:
    message = JointTrajectory(joint_names=list(names))
    message.header.stamp = to_time(at_ns - 50 * MS)
    nothing = [0.0] * len(names)
    message.points = [
        JointTrajectoryPoint(
            positions=_position(len(names), at_ns + k * 20 * MS),
            velocities=nothing,
            accelerations=nothing,
            time_from_start=to_duration(k * 20 * MS),
        )
        for k in range(25)
    ]
    return message


def _state(names: tuple[str, ...], at_ns: int) -> ControllerState:
    message = ControllerState(joint_names=list(names))
    message.header.stamp = to_time(at_ns)
    message.reference.positions = message.feedback.positions = _position(len(names), at_ns)
    return message


def _image(pixels: Any, at_ns: int) -> Image:
    height, width, _ = pixels.shape
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.data.frombytes(pixels.tobytes())
    message.header.stamp = to_time(at_ns)
    return message


def _pictures(seed: int, count: int) -> Iterator[Any]:
    """Textured pictures that move, with a camera's noise."""
    random = np.random.default_rng(seed)
    height, width = SIZE
    scene = np.kron(random.integers(0, 200, (height // 16, width // 16, 3)), np.ones((16, 16, 1)))
    for number in range(count):
        noise = random.normal(0.0, 2.0, scene.shape)
        moved = np.roll(scene, 2 * number, axis=1) + 20 + noise
        yield np.clip(moved, 0, 255).astype(np.uint8)
