"""Pictures as JPEG between a robot and a server: bytes, time, error, beside the plain wire.

Round trips of one robot to the same trivial server: directly, through one plain proxy, and through
gr00t sidecar compress and restore, each a process of its own, in random order in one run. There is
no network between them: what a link of a given rate adds is computed from the bytes, and so is the
rate below which the pair is faster than the plain wire.

Pictures: smooth colours, edges and sensor noise (standard deviation 3 of 255), at quality 90.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.paired import Report, Target, interleave, percentile, ratio
from bench.proxy import ENDLESS, Asker, process, proxy
from gr00t_ros.proxy.pictures import MEASURED_FIRST, Compress, Restore
from gr00t_ros.wire.messages import Generation, KeyStyle
from gr00t_ros.wire.template import RequestTemplate

CASES = {"2 x 480x640": (2, 480, 640), "3 x 720x1280": (3, 720, 1280)}
QUALITIES = (75, 90, 95)
ROUNDS, SMOKE_ROUNDS = 60, 2
NOISE = 3.0  # standard deviation, of 255
MAX_BYTES = 64 * 1024 * 1024
LINKS_MBIT = (50, 100, 1000)

LEAST_RATIO = 4.0  # bytes, at quality 90
MOST_ERROR = 3.0  # mean, of 255: as the noise of the sensor
MOST_LARGEST = 64.0  # of 255
MOST_MS_A_MPIXEL = 40.0  # of both sides together, on one core
LEAST_MBIT = 100.0  # a link of this rate or slower gains


def scene(cameras: int, height: int, width: int) -> NDArray[np.uint8]:
    """Pictures (cameras, height, width, 3): gradients, boxes with edges, noise of a sensor."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    found = []
    for camera in range(cameras):
        colours = np.stack([200 * x, 200 * y, 120 + 80 * np.sin(7 * x * y + camera)], axis=-1)
        for _ in range(30):
            top, left = random.integers(0, height - 20), random.integers(0, width - 20)
            tall, wide = random.integers(10, height // 4), random.integers(10, width // 4)
            colours[top : top + tall, left : left + wide] = random.integers(0, 256, 3)
        found.append(colours + random.normal(0, NOISE, colours.shape))
    return np.clip(np.array(found), 0, 255).astype(np.uint8)


def pair(stack: ExitStack, port: int, quality: int) -> int:
    """Start restore before the server on `port` and compress before it; return its port."""
    where = ("--listen", "127.0.0.1:0", *ENDLESS)
    restore = stack.enter_context(
        process("gr00t_ros.sidecar", "restore", "--upstream", f"127.0.0.1:{port}", *where)
    )
    words = ("--upstream", f"127.0.0.1:{restore}", "--quality", str(quality), *where)
    return stack.enter_context(process("gr00t_ros.sidecar", "compress", *words))


def round_trips(pictures: NDArray[np.uint8], rounds: int) -> dict[str, list[float]]:
    """Return the round trips of each way to the same server, ms."""
    with ExitStack() as stack:
        port = stack.enter_context(process("bench.wire_peer", "zmq", "msgpack_numpy"))
        ports = {
            "direct": port,
            "proxy": stack.enter_context(proxy(port)),
            "JPEG 90": pair(stack, port, 90),
        }
        askers = {
            name: stack.enter_context(closing(Asker(p, partial(template, pictures))))
            for name, p in ports.items()
        }
        trips_us = interleave(
            {name: asker.ask_us for name, asker in askers.items()}, rounds, MEASURED_FIRST
        )
    return {name: [us / 1e3 for us in values] for name, values in trips_us.items()}


def sides(frame: bytes, quality: int, rounds: int) -> dict[str, float]:
    """Return what one quality costs in this process: bytes, errors, and CPU ms of each side."""
    compress, restore = Compress(quality), Restore(MAX_BYTES)
    for _ in range(MEASURED_FIRST):  # these measure the error too, which takes time
        sent = compress.request(frame)
    took: dict[str, list[float]] = {"compress": [], "restore": []}
    for _ in range(rounds):
        start_ns = time.process_time_ns()
        compress.request(frame)
        middle_ns = time.process_time_ns()
        restore.request(sent)
        took["compress"].append((middle_ns - start_ns) / 1e6)
        took["restore"].append((time.process_time_ns() - middle_ns) / 1e6)
    counts = compress.counts
    return {
        "bytes": float(len(sent)),
        "times_less": len(frame) / len(sent),
        "mean_error": counts.mean_error,
        "largest_error": float(counts.largest_error),
    } | {f"{name}_ms": statistics.median(values) for name, values in took.items()}


def case(cameras: int, height: int, width: int, rounds: int) -> dict[str, Any]:
    """Return all figures of one size of pictures."""
    pictures = scene(cameras, height, width)
    trips = round_trips(pictures, rounds)
    frame = bytes(template(pictures, Generation.B3, "nested").frame)
    found = {f"quality {quality}": sides(frame, quality, rounds) for quality in QUALITIES}
    p50_ms = {name: statistics.median(values) for name, values in trips.items()}
    saved = len(frame) - found["quality 90"]["bytes"]
    added_ms = max(p50_ms["JPEG 90"] - p50_ms["proxy"], 1e-3)
    return {
        "plain_bytes": len(frame),
        "sides": found,
        "round_trip_p50_ms": p50_ms,
        "round_trip_p99_ms": {name: percentile(values, 99) for name, values in trips.items()},
        "ratio_to_direct": {name: ratio(trips, name, "direct") for name in trips},
        "gains_below_mbit": saved * 8 / 1e3 / added_ms,
        "megapixels": cameras * height * width / 1e6,
        "link_ms": {
            f"{rate} Mbit/s": {
                "plain": p50_ms["proxy"] + len(frame) * 8 / 1e3 / rate,
                "JPEG 90": p50_ms["JPEG 90"] + found["quality 90"]["bytes"] * 8 / 1e3 / rate,
            }
            for rate in LINKS_MBIT
        },
    }


def template(
    pictures: NDArray[np.uint8], generation: Generation, key_style: KeyStyle
) -> RequestTemplate:
    """Return a request with these pictures."""
    found = RequestTemplate(
        {f"camera{i}": (1, *one.shape[:2]) for i, one in enumerate(pictures)},
        {"joint_position": (1, 7)},
        "instruction",
        generation=generation,
        key_style=key_style,
    )
    for i, one in enumerate(pictures):
        found.video[f"camera{i}"][0, 0] = one
    return found


def run(smoke: bool = False) -> Report:
    """Measure both sizes."""
    rounds = SMOKE_ROUNDS if smoke else ROUNDS
    cases = {name: case(*shape, rounds) for name, shape in CASES.items()}
    targets = []
    for name, found in cases.items():
        side = found["sides"]["quality 90"]
        own_ms = side["compress_ms"] + side["restore_ms"]
        targets += [
            Target(f"{name}, quality 90, bytes: times less", side["times_less"], LEAST_RATIO, True),
            Target(f"{name}, quality 90, mean error of 255", side["mean_error"], MOST_ERROR),
            Target(f"{name}, largest error of 255", side["largest_error"], MOST_LARGEST),
            Target(
                f"{name}, both sides, CPU ms a megapixel",
                own_ms / found["megapixels"],
                MOST_MS_A_MPIXEL,
            ),
            Target(f"{name}, gains below, Mbit/s", found["gains_below_mbit"], LEAST_MBIT, True),
        ]
    return Report("jpeg", tuple(lines(cases, rounds)), {"cases": cases}, tuple(targets))


def lines(cases: dict[str, dict[str, Any]], rounds: int) -> Iterator[str]:
    """All tables."""
    for name, found in cases.items():
        yield f"{name}, plain {found['plain_bytes'] / 1e6:.2f} MB, {rounds} rounds"
        head = f"{'':>14}{'MB':>8}{'less':>8}{'mean err':>10}{'largest':>9}"
        yield f"{head}{'CPU ms: pack':>14}{'unpack':>9}"
        for quality, row in found["sides"].items():
            yield (
                f"{quality:>14}{row['bytes'] / 1e6:8.3f}{row['times_less']:8.1f}"
                f"{row['mean_error']:10.2f}{row['largest_error']:9.0f}"
                f"{row['compress_ms']:14.1f}{row['restore_ms']:9.1f}"
            )
        yield f"{'round trip':>14}{'p50 ms':>8}{'p99 ms':>8}{'ratio':>8}"
        for way, p50_ms in found["round_trip_p50_ms"].items():
            p99_ms, times = found["round_trip_p99_ms"][way], found["ratio_to_direct"][way]
            yield f"{way:>14}{p50_ms:8.1f}{p99_ms:8.1f}{times:8.2f}"
        for link, row in found["link_ms"].items():
            yield f"{link:>14}: " + ", ".join(f"{way} {ms:.0f} ms" for way, ms in row.items())
        yield f"{'':>14}  faster than plain below {found['gains_below_mbit']:.0f} Mbit/s\n"
