"""The proxy before a policy server: what it adds to one client's round trip, and how it shares.

Round trip: the same two cameras of 480x640 to the same trivial server, directly and through
proxies, in random order in one run. Every proxy is a separate process.

Sharing: eight robots, each with its own CURVE key, send requests as fast as they are answered, to a
server that needs 50 ms for each. Added latency is the median time of their answers minus eight
times that of one robot alone. Then the first robot opens four connections. Jain's index of the
robots' shares, (sum x)^2 / (n sum x^2), is 1 if all get the same (Jain, Chiu, Hawe 1984).

Batches: eight robots on a server that needs 5 ms for each further row of a batch, through a proxy
without and one with batches (and one with batches and CURVE). All ask again as soon as they are
answered.

Strangers: the time that the proxy's rules need for the largest requests with a wrong token (the
best of several, because other load on the machine only adds), and the time of a good ping while
twenty clients send such requests without a pause.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from bench.paired import Report, Target, interleave, percentile, ratio, ratio_interval
from bench.strangers import FRAMES
from gr00t_ros.errors import RemoteError
from gr00t_ros.proxy.core import Limits, ProxyCore
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.curve import ClientKeys, new_pair, read_client_keys, write_pair
from gr00t_ros.wire.link import PolicyLink
from gr00t_ros.wire.messages import Generation, KeyStyle
from gr00t_ros.wire.template import RequestTemplate

SHAPE = (1, 480, 640)
ROUNDS, SMOKE_ROUNDS = 200, 3
ROBOTS = 8
GREEDY = 4  # connections of the first robot
INFERENCE_MS = 50
ROW_MS = 5  # for each further row of a batch: issue 17, point 7
SHARE_S, SMOKE_SHARE_S = 8.0, 0.5
BATCH = ("--batch", str(ROBOTS), "--wait-ms", "5")
BATCH_GAIN, BATCH_P99 = 4.0, 2.5  # issue 17
STRANGERS = 20
STRANGER_MS = 2.0  # issue 11
PING_S = 0.02  # between pings, the rate that a client is allowed
TIMEOUT_MS = 20_000
WARM_UP = 2  # requests of each robot that are not counted: nobody's turn has come round before
BUSY_S = 0.01  # before asking again
ENDLESS = ("--rate-hz", "1e6", "--burst", "1000000")


@contextmanager
def process(*words: str) -> Iterator[int]:
    """Run a Python module in a separate process; yield the port at the end of its first line."""
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
    """One client that sends the same request to the trivial server again and again."""

    def __init__(
        self,
        port: int,
        template_of: Callable[[Generation, KeyStyle], RequestTemplate],
        curve: ClientKeys | None = None,
    ) -> None:
        self._client = PolicyServerClient(
            "127.0.0.1", port, TIMEOUT_MS, key_style="nested", curve=curve
        )
        server = self._client.connect()
        self._template = template_of(server.generation, server.key_style)

    def ask_us(self) -> float:
        """Return the round trip of one request."""
        start = time.perf_counter_ns()
        self._client.get_action(self._template)
        return (time.perf_counter_ns() - start) / 1e3

    def close(self) -> None:
        """Close the client."""
        self._client.close()


def two_cameras(generation: Generation, key_style: KeyStyle) -> RequestTemplate:
    """Return a request with two cameras."""
    return RequestTemplate(
        dict.fromkeys(("exterior", "wrist"), SHAPE),
        {"joint_position": (1, 7)},
        "instruction",
        generation=generation,
        key_style=key_style,
    )


def round_trips(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the round trips of every connection to the same server, us."""
    with ExitStack() as stack:
        port = stack.enter_context(process("bench.wire_peer", "zmq", "msgpack_numpy"))
        plain = stack.enter_context(proxy(port))
        secured = stack.enter_context(proxy(port, "--keys", str(folder)))
        askers = {
            "direct": Asker(port, two_cameras),
            "proxy": Asker(plain, two_cameras),
            "proxy, CURVE": Asker(secured, two_cameras, curve(folder, 0)),
        }
        for asker in askers.values():
            stack.enter_context(closing(asker))
        return interleave({name: asker.ask_us for name, asker in askers.items()}, rounds)


def curve(folder: Path, robot: int) -> ClientKeys:
    """Return the keys of one robot."""
    return read_client_keys(folder / "server.public", folder / f"robot{robot}.secret")


class Robot(threading.Thread):
    """One connection of a robot that sends requests as fast as they are answered."""

    def __init__(
        self, name: int, port: int, keys: ClientKeys | None, go: threading.Event, seconds: float
    ) -> None:
        super().__init__()
        self.robot, self.took_ms, self.busy = name, list[float](), 0
        self._go, self._seconds = go, seconds
        client = PolicyServerClient("127.0.0.1", port, TIMEOUT_MS, key_style="nested", curve=keys)
        self._link = PolicyLink(client, load_embodiment("franka_droid"), None)
        self._link.check()

    def run(self) -> None:
        """After the signal and the first requests, send requests for the given seconds."""
        self._go.wait()
        for _ in range(WARM_UP):
            self._ask()
        self.took_ms.clear()
        self.busy = 0
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            self._ask()
        self._link.close()

    def _ask(self) -> None:
        try:
            self.took_ms.append(self._link.query(lambda template: None, 0)[2] / 1e6)
        except RemoteError:
            self.busy += 1
            time.sleep(BUSY_S)


def share(
    port: int, robots: Sequence[tuple[int, ClientKeys | None]], seconds: float
) -> dict[str, float]:
    """Let the robots' connections send requests at the same time; return shares and times."""
    go = threading.Event()
    threads = [Robot(name, port, keys, go, seconds) for name, keys in robots]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    return summary(threads, seconds)


def sharing(folder: Path, seconds: float) -> dict[str, dict[str, float]]:
    """Return shares and latencies of each case."""
    words = ("hold", "--embodiment", "franka_droid", "--port", "0", "--delay-ms", str(INFERENCE_MS))
    with ExitStack() as stack:
        port = stack.enter_context(process("gr00t_ros.sidecar", *words))
        secured = stack.enter_context(proxy(port, "--keys", str(folder)))
        alone = [(0, None)]
        every = [(robot, None) for robot in range(ROBOTS)]
        more = [(0, None)] * (GREEDY - 1)
        return {
            "1 robot, direct": share(port, alone, seconds),
            "8 robots, direct": share(port, every, seconds),
            "8 robots, proxy": share(secured, keyed(folder, every), seconds),
            "one with 4, direct": share(port, [*every, *more], seconds),
            "one with 4, proxy": share(secured, keyed(folder, [*every, *more]), seconds),
        }


def batching(folder: Path, seconds: float) -> dict[str, dict[str, float]]:
    """Return throughput and latencies of eight robots without and with batches."""
    model = ("--delay-ms", str(INFERENCE_MS), "--row-ms", str(ROW_MS))
    words = ("hold", "--embodiment", "franka_droid", "--port", "0", *model)
    with ExitStack() as stack:
        port = stack.enter_context(process("gr00t_ros.sidecar", *words))
        single, batches = (stack.enter_context(proxy(port, *words)) for words in ((), BATCH))
        secured = stack.enter_context(proxy(port, "--keys", str(folder), *BATCH))
        every = [(robot, None) for robot in range(ROBOTS)]
        return {
            "1 robot": share(single, every[:1], seconds),
            "1 robot, --batch": share(batches, every[:1], seconds),
            "8 robots": share(single, every, seconds),
            "8 robots, --batch": share(batches, every, seconds),
            "8, --batch, CURVE": share(secured, keyed(folder, every), seconds),
        }


def keyed(folder: Path, robots: Sequence[tuple[int, None]]) -> list[tuple[int, ClientKeys | None]]:
    """Give each connection its robot's keys."""
    return [(robot, curve(folder, robot)) for robot, _ in robots]


def summary(connections: Sequence[Robot], seconds: float) -> dict[str, float]:
    """Return the fairness of the shares and the times of the answers."""
    answers: dict[int, int] = {}
    for one in connections:
        answers[one.robot] = answers.get(one.robot, 0) + len(one.took_ms)
    took = [took_ms for one in connections for took_ms in one.took_ms]
    return {
        "answers_per_s": sum(answers.values()) / seconds,
        "jain": jain(list(answers.values())),
        "p50_ms": statistics.median(took),
        "p99_ms": percentile(took, 99),
        "busy": sum(one.busy for one in connections),
    }


def jain(shares: Sequence[float]) -> float:
    """Return Jain's fairness index."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def stranger_costs() -> dict[str, float]:
    """Return the time that the proxy's rules need for each request of a stranger, ms."""
    costs = {}
    for name, frame in FRAMES.items():
        core = ProxyCore(Limits(rate_hz=1e6, burst=1_000_000), Token("right"))
        took_ns = []
        for _ in range(20):
            start_ns = time.perf_counter_ns()
            (reply,) = core.request("stranger", (b"", b""), (frame,), start_ns)
            took_ns.append(time.perf_counter_ns() - start_ns)
            assert b"error" in bytes(reply.frame)
        costs[name] = min(took_ns) / 1e6
    return costs


def pings(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the round trips of good pings, without and with strangers, ms."""
    file = folder / "token"
    file.touch(0o600)
    file.write_text("right")
    with ExitStack() as stack:
        port = stack.enter_context(
            process("gr00t_ros.sidecar", "hold", "--embodiment", "franka_droid", "--port", "0")
        )
        words = ("--upstream", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0")
        front = stack.enter_context(
            process("gr00t_ros.sidecar", "proxy", *words, "--token-file", str(file))
        )
        client = stack.enter_context(
            closing(PolicyServerClient("127.0.0.1", front, TIMEOUT_MS, Token("right")))
        )
        found = {"alone": [ping_ms(client) for _ in range(rounds)]}
        stack.enter_context(process("bench.strangers", str(front), str(STRANGERS)))
        return found | {"beside strangers": [ping_ms(client) for _ in range(rounds)]}


def ping_ms(client: PolicyServerClient) -> float:
    """Return one ping's round trip, ms, after the pause that the proxy's rate limit needs."""
    time.sleep(PING_S)
    return client.ping() / 1e6


def run(smoke: bool = False) -> Report:
    """Measure all four."""
    rounds, seconds = (SMOKE_ROUNDS, SMOKE_SHARE_S) if smoke else (ROUNDS, SHARE_S)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for key in ("server", *(f"robot{robot}" for robot in range(ROBOTS))):
            write_pair(folder, key, *new_pair())
        trips, cases = round_trips(folder, rounds), sharing(folder, seconds)
        batched = batching(folder, seconds)
        pinged, costs = pings(folder, rounds), stranger_costs()
    ratios = {name: ratio(trips, name, "direct") for name in trips}
    alone_ms = cases["1 robot, direct"]["p50_ms"]
    added_ms = {name: row["p50_ms"] - ROBOTS * alone_ms for name, row in cases.items()}
    together = batched["8 robots, --batch"]
    gain = together["answers_per_s"] / batched["8 robots"]["answers_per_s"]
    targets = (
        Target("2x480x640 round trip, proxy with CURVE / direct", ratios["proxy, CURVE"], 8),
        Target(
            "8 robots, Jain's index through the proxy", cases["8 robots, proxy"]["jain"], 0.99, True
        ),
        Target(
            "one with 4 connections, Jain's index", cases["one with 4, proxy"]["jain"], 0.98, True
        ),
        Target("8 robots, added latency, ms", added_ms["8 robots, proxy"], 40),
        Target("8 robots, answers with batches / without", gain, BATCH_GAIN, True),
        Target(
            "8 robots with batches, p99 / p99 of one robot",
            together["p99_ms"] / batched["1 robot"]["p99_ms"],
            BATCH_P99,
        ),
        Target("8 robots with batches, Jain's index", together["jain"], 0.99, True),
        Target("a stranger's dearest request, ms", max(costs.values()), STRANGER_MS),
        Target(
            f"good ping beside {STRANGERS} strangers, p99 ms",
            percentile(pinged["beside strangers"], 99),
            STRANGERS * STRANGER_MS,
        ),
    )
    figures = {
        "round_trip_p50_us": {name: statistics.median(values) for name, values in trips.items()},
        "round_trip_p99_us": {name: percentile(values, 99) for name, values in trips.items()},
        "ratio_to_direct": ratios,
        "ratio_ci95": {name: ratio_interval(trips, name, "direct") for name in trips},
        "sharing": cases,
        "batches": batched,
        "added_latency_ms": added_ms,
        "stranger_ms": costs,
        "ping_p50_ms": {name: statistics.median(values) for name, values in pinged.items()},
        "ping_p99_ms": {name: percentile(values, 99) for name, values in pinged.items()},
    }
    return Report("proxy", tuple(lines(figures, rounds, seconds)), figures, targets)


def lines(figures: dict[str, Any], rounds: int, seconds: float) -> Iterator[str]:
    """All tables."""
    yield f"2 x 480x640, {rounds} rounds"
    yield f"{'us':>20}{'p50':>8}{'p99':>8}{'ratio':>8}"
    for name, p50 in figures["round_trip_p50_us"].items():
        low, high = figures["ratio_ci95"][name]
        p99, times = figures["round_trip_p99_us"][name], figures["ratio_to_direct"][name]
        yield f"{name:>20}{p50:8.0f}{p99:8.0f}{times:8.2f}  [{low:.2f}, {high:.2f}]"
    yield f"\n{INFERENCE_MS} ms inference, {seconds:g} s each"
    yield from shared(figures["sharing"])
    yield f"\n{INFERENCE_MS} ms inference, {ROW_MS} ms a further row, {seconds:g} s each"
    yield from shared(figures["batches"])
    yield ""
    yield f"\na request with a wrong token{'ms':>12}"
    for name, cost_ms in figures["stranger_ms"].items():
        yield f"{name:>27}{cost_ms:12.3f}"
    yield f"\n{'a good ping, ms':>20}{'p50':>8}{'p99':>8}"
    for name, p50 in figures["ping_p50_ms"].items():
        yield f"{name:>20}{p50:8.2f}{figures['ping_p99_ms'][name]:8.2f}"
    yield ""


def shared(cases: dict[str, dict[str, float]]) -> Iterator[str]:
    """Return the table of several connections' answers."""
    yield f"{'':>20}{'1/s':>8}{'Jain':>8}{'p50 ms':>8}{'p99 ms':>8}{'busy':>8}"
    for name, row in cases.items():
        answers, took = f"{row['answers_per_s']:8.1f}", f"{row['p50_ms']:8.1f}{row['p99_ms']:8.1f}"
        yield f"{name:>20}{answers}{row['jain']:8.3f}{took}{row['busy']:8.0f}"
