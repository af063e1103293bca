"""gr00t-sidecar bench: how fast a server answers, pings and inferences, p50 and p99.

Infers zero observations of the embodiment one after the other; the first ones, which warm the
server up, are the check's and are not counted.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing

from gr00t_ros.core.latency import Latencies
from gr00t_ros.sidecar.cli.ping import describe
from gr00t_ros.sidecar.cli.report import Report, facts, milliseconds
from gr00t_ros.sidecar.cli.target import Target, add_embodiment, ask, positive, question
from gr00t_ros.sidecar.link import Link
from gr00t_ros.sidecar.text_table import table

_HEADER = ("", "count", "p50 ms", "p99 ms", "max ms")
_STAGES = ("ping", "inference")


def main(argv: Sequence[str]) -> int:
    """Print the percentiles; 0, 1 where an answer is wrong, 2 where none comes."""
    parser = question("bench", "Round trip and inference time of a policy server; nothing moves.")
    add_embodiment(parser)
    parser.add_argument("--count", type=positive, default=50, help="of each (%(default)s)")
    return ask(parser, argv, _bench)


def _bench(target: Target, options: argparse.Namespace) -> Report:
    count = options.count
    latencies = Latencies(window=count)
    client = target.client()
    with closing(Link(client, target.embodiment(), target.token)) as link:
        found = link.check()
        for _ in range(count):
            latencies.add("ping", client.ping())
            _, _, inference_ns = link.query(lambda template: None, episode=0)
            latencies.add("inference", inference_ns)
    figures = describe(client.address, found.server) | {
        "key_style": found.server.key_style,
        "warmup_ms": milliseconds(found.warmup_ns),
    }
    stages = {stage: _figures(latencies, stage) for stage in _STAGES}
    rows = [(stage, *values.values()) for stage, values in stages.items()]
    return Report(figures | stages, f"{facts(figures)}\n\n{table(_HEADER, rows)}")


def _figures(latencies: Latencies, stage: str) -> dict[str, float]:
    summary = latencies.summary(stage)
    return {
        "count": summary.count,
        "p50_ms": milliseconds(summary.p50_ns),
        "p99_ms": milliseconds(summary.p99_ns),
        "max_ms": milliseconds(summary.max_ns),
    }
