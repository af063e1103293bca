"""One get_action round trip over loopback: the template compared with plain codecs and raw TCP.

All variants alternate in random order in one run, each with a trivial server in a separate process.
Measured are:

- round trip: wall time of one whole request, until the reply is parsed.
- encode + decode: CPU of the calling thread for the codec only, without the socket.
- GIL: CPU of the calling thread over the whole request, without that of the wait for the reply.
  This is an upper bound of the time that the GIL is held, because other system calls release it
  too. For the plain codecs, which mostly copy under the GIL, it is close; so the ratio is rather
  understated.
- allocation: tracemalloc's peak over one request, in frames (Python's and numpy's memory;
  libzmq's own buffers are not traced, so the copy of a plain send is not counted).
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.paired import Report, Target, interleave, percentile, ratio, ratio_interval
from bench.wire_variants import Variant, connected

SIZES = {"2x224x224": (1, 224, 224), "2x480x640": (1, 480, 640), "DROID 2x2x180x320": (2, 180, 320)}
ROUNDS, SMOKE_ROUNDS = 200, 3


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one request: wall time, this thread's CPU without waits, the process's CPU."""

    wall_us: float
    held_us: float
    process_us: float


def _ask(variant: Variant) -> Cost:
    process, waited, thread = time.process_time_ns(), variant.waited_ns, time.thread_time_ns()
    wall = time.perf_counter_ns()
    variant.ask()
    wall = time.perf_counter_ns() - wall
    thread = time.thread_time_ns() - thread - (variant.waited_ns - waited)
    return Cost(wall / 1e3, thread / 1e3, (time.process_time_ns() - process) / 1e3)


def _codec_us(variant: Variant) -> float:
    start = time.thread_time_ns()
    variant.encode()
    variant.decode()
    return (time.thread_time_ns() - start) / 1e3


def _peak_bytes(variant: Variant) -> int:
    variant.ask()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        variant.ask()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def measure(shape: tuple[int, int, int], rounds: int) -> dict[str, Any]:
    """Return the samples of all variants for two cameras of `shape` (T, H, W)."""
    with connected(shape) as variants:
        costs = interleave({k: partial(_ask, v) for k, v in variants.items()}, rounds)
        codec = interleave({k: partial(_codec_us, v) for k, v in variants.items()}, rounds)
        frame = variants["template"].template.frame.nbytes
        peaks = {name: _peak_bytes(variant) / frame for name, variant in variants.items()}
    return {
        "frame_bytes": frame,
        "wall": {name: [cost.wall_us for cost in c] for name, c in costs.items()},
        "held": {name: [cost.held_us for cost in c] for name, c in costs.items()},
        "process": {name: [cost.process_us for cost in c] for name, c in costs.items()},
        "codec": codec,
        "peak_frames": peaks,
    }


def _figures(samples: Mapping[str, Any]) -> dict[str, Any]:
    """Return medians, p99 and ratios of one size."""
    figures: dict[str, Any] = {"frame_bytes": samples["frame_bytes"], "variants": {}}
    for name, wall in samples["wall"].items():
        figures["variants"][name] = {
            "round_trip_p50_us": statistics.median(wall),
            "round_trip_p99_us": percentile(wall, 99),
            "codec_cpu_us": statistics.median(samples["codec"][name]),
            "gil_at_most_us": statistics.median(samples["held"][name]),
            "process_cpu_us": statistics.median(samples["process"][name]),
            "peak_frames": samples["peak_frames"][name],
        }
    for name, kind, over, under in (
        ("round_trip_to_tcp", "wall", "template", "raw TCP"),
        ("round_trip_to_npy", "wall", "template", "npy plain"),
        ("codec_cpu_gain", "codec", "npy plain", "template"),
        ("gil_gain", "held", "npy plain", "template"),
    ):
        figures[name] = ratio(samples[kind], over, under)
        figures[f"{name}_ci95"] = ratio_interval(samples[kind], over, under)
    return figures


def _lines(size: str, figures: Mapping[str, Any], rounds: int) -> list[str]:
    lines = [
        f"\n{size}, {figures['frame_bytes'] / 1e6:.2f} MB, {rounds} rounds",
        f"{'us':>28}{'p50':>8}{'p99':>8}{'codec':>8}{'GIL <=':>8}{'process':>9}{'alloc':>8}",
    ]
    for name, row in figures["variants"].items():
        values = [f"{row[key]:8.0f}" for key in row if key != "peak_frames"]
        lines.append(f"{name:>28}{''.join(values)} {row['peak_frames']:7.2f}x")
    for name in ("round_trip_to_tcp", "round_trip_to_npy", "codec_cpu_gain", "gil_gain"):
        low, high = figures[f"{name}_ci95"]
        lines.append(f"{name:>28}{figures[name]:8.2f}  [{low:.2f}, {high:.2f}]")
    return lines


def _targets(sizes: Mapping[str, Any]) -> tuple[Target, ...]:
    """Return the goals of the wire."""
    small, middle = sizes["2x224x224"], sizes["2x480x640"]
    return (
        Target("2x480x640 codec CPU, npy plain / template", middle["codec_cpu_gain"], 10, True),
        Target("2x480x640 GIL, npy plain / template", middle["gil_gain"], 20, True),
        Target("2x480x640 round trip, template / raw TCP", middle["round_trip_to_tcp"], 1.4),
        Target("2x480x640 round trip, template / npy plain", middle["round_trip_to_npy"], 0.35),
        Target("2x224x224 round trip, template / raw TCP", small["round_trip_to_tcp"], 2.3),
        *(
            Target(f"{name} peak allocation, frames", f["variants"]["template"]["peak_frames"], 0.1)
            for name, f in sizes.items()
        ),
    )


def run(smoke: bool = False) -> Report:
    """Measure every size."""
    rounds = SMOKE_ROUNDS if smoke else ROUNDS
    sizes = {size: _figures(measure(shape, rounds)) for size, shape in SIZES.items()}
    lines = [line for size, figures in sizes.items() for line in _lines(size, figures, rounds)]
    return Report("wire", (*lines, ""), sizes, _targets(sizes))
