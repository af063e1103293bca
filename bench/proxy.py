"""The proxy beside a policy server: what it adds to one client's round trip, and how it shares.

Round trip: the same two cameras of 480x640 to the same trivial server, directly and through
proxies, in random order in one run. Every proxy is a process of its own.

Sharing: eight robots ask a server that takes 50 ms for each, as fast as they are answered, with
a CURVE key each. Added latency is what their median answer takes beyond eight times one robot's
alone. Then the first robot opens four connections: Jain's index of the robots' shares,
(sum x)^2 / (n sum x^2), is 1 where all get the same (Jain, Chiu, Hawe 1984).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from bench.paired import Report, Target, interleave, percentile, ratio, ratio_interval
from gr00t_ros.core.errors import RemoteError
from gr00t_ros.sidecar.client import PolicyClient
from gr00t_ros.sidecar.curve import new_pair
from gr00t_ros.sidecar.embodiment_file import load_embodiment
from gr00t_ros.sidecar.keys import ClientKeys, read_client_keys, write_pair
from gr00t_ros.sidecar.link import Link
from gr00t_ros.sidecar.template import RequestTemplate

SHAPE = (1, 480, 640)
ROUNDS = 200
ROBOTS = 8
GREEDY = 4  # connections of the first robot
INFERENCE_MS = 50
SHARE_S = 8.0
TIMEOUT_MS = 20_000
BUSY_S = 0.01  # before asking again
ENDLESS = ("--rate-hz", "1e6", "--burst", "1000000")


@contextmanager
def process(*words: str) -> Iterator[int]:
    """Run a Python module in a process of its own; yield the port at the end of its first line."""
    child = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert child.stdout is not None
        yield int(child.stdout.readline().strip().rpartition(":")[2])
    finally:
        child.terminate()
        child.wait()


def proxy(port: int, *words: str) -> Any:
    """Run a proxy before the server on `port`."""
    where = ("--upstream", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0")
    return process("gr00t_ros.sidecar", "proxy", *where, *ENDLESS, *words)


class Asker:
    """One client that asks the trivial server the same two cameras again and again."""

    def __init__(self, port: int, curve: ClientKeys | None = None) -> None:
        self._client = PolicyClient("127.0.0.1", port, TIMEOUT_MS, key_style="nested", curve=curve)
        server = self._client.connect()
        self._template = RequestTemplate(
            dict.fromkeys(("exterior", "wrist"), SHAPE),
            {"joint_position": (1, 7)},
            "instruction",
            generation=server.generation,
            key_style=server.key_style,
        )

    def ask_us(self) -> float:
        """Return the round trip of one request."""
        start = time.perf_counter_ns()
        self._client.get_action(self._template)
        return (time.perf_counter_ns() - start) / 1e3

    def close(self) -> None:
        """Close the client."""
        self._client.close()


def round_trips(folder: Path) -> dict[str, list[float]]:
    """Return the round trips of every way to the same server, us."""
    with ExitStack() as stack:
        port = stack.enter_context(process("bench.wire_peer", "zmq", "msgpack_numpy"))
        plain = stack.enter_context(proxy(port))
        secured = stack.enter_context(proxy(port, "--keys", str(folder)))
        askers = {
            "direct": Asker(port),
            "proxy": Asker(plain),
            "proxy, CURVE": Asker(secured, curve(folder, 0)),
        }
        for asker in askers.values():
            stack.enter_context(closing(asker))
        return interleave({name: asker.ask_us for name, asker in askers.items()}, ROUNDS)


def curve(folder: Path, robot: int) -> ClientKeys:
    """Return the keys of one robot."""
    return read_client_keys(folder / "server.public", folder / f"robot{robot}.secret")


class Robot(threading.Thread):
    """One connection of a robot that asks as fast as it is answered."""

    def __init__(self, name: int, port: int, keys: ClientKeys | None, go: threading.Event) -> None:
        super().__init__()
        self.robot, self.took_ms, self.busy = name, list[float](), 0
        self._go, self._until = go, 0.0
        client = PolicyClient("127.0.0.1", port, TIMEOUT_MS, key_style="nested", curve=keys)
        self._link = Link(client, load_embodiment("franka_droid"), None)
        self._link.check()

    def run(self) -> None:
        """Ask for SHARE_S after the signal."""
        self._go.wait()
        end = time.monotonic() + SHARE_S
        while time.monotonic() < end:
            try:
                self.took_ms.append(self._link.query(lambda template: None, 0)[2] / 1e6)
            except RemoteError:
                self.busy += 1
                time.sleep(BUSY_S)
        self._link.close()


def share(port: int, robots: Sequence[tuple[int, ClientKeys | None]]) -> list[Robot]:
    """Let connections of robots ask at the same time; return them with what they measured."""
    go = threading.Event()
    threads = [Robot(name, port, keys, go) for name, keys in robots]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    return threads


def sharing(folder: Path) -> dict[str, dict[str, float]]:
    """Return shares and latencies of each case."""
    words = ("hold", "--port", "0", "--delay-ms", str(INFERENCE_MS))
    with ExitStack() as stack:
        port = stack.enter_context(process("gr00t_ros.sidecar", *words))
        secured = stack.enter_context(proxy(port, "--keys", str(folder)))
        alone = [(0, None)]
        every = [(robot, None) for robot in range(ROBOTS)]
        more = [(0, None)] * (GREEDY - 1)
        return {
            "1 robot, direct": summary(share(port, alone)),
            "8 robots, direct": summary(share(port, every)),
            "8 robots, proxy": summary(share(secured, keyed(folder, every))),
            "one with 4, direct": summary(share(port, [*every, *more])),
            "one with 4, proxy": summary(share(secured, keyed(folder, [*every, *more]))),
        }


def keyed(folder: Path, robots: Sequence[tuple[int, None]]) -> list[tuple[int, ClientKeys | None]]:
    """Give each connection its robot's keys."""
    return [(robot, curve(folder, robot)) for robot, _ in robots]


def summary(connections: Sequence[Robot]) -> dict[str, float]:
    """Return the shares' fairness and the median answer."""
    answers: dict[int, int] = {}
    for one in connections:
        answers[one.robot] = answers.get(one.robot, 0) + len(one.took_ms)
    took = [took_ms for one in connections for took_ms in one.took_ms]
    return {
        "answers_per_s": sum(answers.values()) / SHARE_S,
        "jain": jain(list(answers.values())),
        "p50_ms": statistics.median(took),
        "p99_ms": percentile(took, 99),
        "busy": sum(one.busy for one in connections),
    }


def jain(shares: Sequence[float]) -> float:
    """Return Jain's fairness index."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def run() -> Report:
    """Measure both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for key in ("server", *(f"robot{robot}" for robot in range(ROBOTS))):
            write_pair(folder, key, *new_pair())
        trips, cases = round_trips(folder), sharing(folder)
    ratios = {name: ratio(trips, name, "direct") for name in trips}
    alone_ms = cases["1 robot, direct"]["p50_ms"]
    added_ms = {name: row["p50_ms"] - ROBOTS * alone_ms for name, row in cases.items()}
    targets = (
        Target("2x480x640 round trip, proxy with CURVE / direct", ratios["proxy, CURVE"], 8),
        Target(
            "8 robots, Jain's index through the proxy", cases["8 robots, proxy"]["jain"], 0.99, True
        ),
        Target(
            "one with 4 connections, Jain's index", cases["one with 4, proxy"]["jain"], 0.98, True
        ),
        Target("8 robots, added latency, ms", added_ms["8 robots, proxy"], 40),
    )
    figures = {
        "round_trip_p50_us": {name: statistics.median(values) for name, values in trips.items()},
        "round_trip_p99_us": {name: percentile(values, 99) for name, values in trips.items()},
        "ratio_to_direct": ratios,
        "ratio_ci95": {name: ratio_interval(trips, name, "direct") for name in trips},
        "sharing": cases,
        "added_latency_ms": added_ms,
    }
    return Report("proxy", tuple(lines(figures)), figures, targets)


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """Both tables."""
    yield f"2 x 480x640, {ROUNDS} rounds"
    yield f"{'us':>20}{'p50':>8}{'p99':>8}{'ratio':>8}"
    for name, p50 in figures["round_trip_p50_us"].items():
        low, high = figures["ratio_ci95"][name]
        p99, times = figures["round_trip_p99_us"][name], figures["ratio_to_direct"][name]
        yield f"{name:>20}{p50:8.0f}{p99:8.0f}{times:8.2f}  [{low:.2f}, {high:.2f}]"
    yield f"\n{INFERENCE_MS} ms inference, {SHARE_S:.0f} s each"
    yield f"{'':>20}{'1/s':>8}{'Jain':>8}{'p50 ms':>8}{'p99 ms':>8}{'busy':>8}"
    for name, row in figures["sharing"].items():
        answers, took = f"{row['answers_per_s']:8.1f}", f"{row['p50_ms']:8.1f}{row['p99_ms']:8.1f}"
        yield f"{name:>20}{answers}{row['jain']:8.3f}{took}{row['busy']:8.0f}"
    yield ""
