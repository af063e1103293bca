"""The pool on Ray Serve: what a second replica adds, and what a killed one costs.

Throughput: two pools on one local Ray, of one and of two replicas of the scripted policy with a
simulated model time (pool_policy.py), asked in turns in one run. Sixteen robots send requests as
fast as they are answered, which is two batches for each of two replicas.

Killed: a replica of the second pool gets SIGKILL while the robots ask. A request that ends without
an action is a chunk that its robot goes without.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.paired import Report, Target, interleave, percentile
from bench.pool_policy import MODEL_S, ROW_S
from gr00t_ros.errors import Gr00tError
from gr00t_ros.pool.cluster import INSTALL
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.link import PolicyLink

ROOT = Path(__file__).resolve().parents[1]
ROBOTS = 16
ROWS = 4
ROUNDS, SMOKE_ROUNDS = 5, 1
SLICE_S, SMOKE_SLICE_S = 4.0, 1.0
WITHIN = 0.15  # issue 17, point 8
TIMEOUT_MS = 10_000
READY_S = 120.0
AGAIN_S = 0.02  # before asking again after an error


class Robot:
    """One robot's connection to a pool, which asks for the same zeros again and again."""

    def __init__(self, port: int) -> None:
        client = PolicyServerClient("127.0.0.1", port, TIMEOUT_MS, key_style="nested")
        self._link = PolicyLink(client, load_embodiment("franka_droid"), None)
        self._link.check()
        self.took_ms = list[float]()
        self.failed = list[str]()

    def ask(self, until: float) -> None:
        """Send requests until that time; keep their times, and the texts of those that failed."""
        self.took_ms, self.failed = [], []
        while time.monotonic() < until:
            start_ns = time.perf_counter_ns()
            try:
                self._link.query(lambda template: None, 0)
            except Gr00tError as error:
                self.failed.append(str(error))
                time.sleep(AGAIN_S)
            else:
                self.took_ms.append((time.perf_counter_ns() - start_ns) / 1e6)

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


class Fleet:
    """Robots that ask one pool at the same time."""

    def __init__(self, port: int, count: int) -> None:
        self._client = PolicyServerClient("127.0.0.1", port, TIMEOUT_MS)
        self.robots = [Robot(port) for _ in range(count)]

    def ask(self, seconds: float, killed: bool = False) -> float:
        """Let all ask; return the answers per second. killed: kill a replica half way."""
        start = time.monotonic()
        threads = [threading.Thread(target=one.ask, args=(start + seconds,)) for one in self.robots]
        for thread in threads:
            thread.start()
        if killed:
            time.sleep(seconds / 2)
            os.kill(self.replica_pids()[0], signal.SIGKILL)
        for thread in threads:
            thread.join()
        return sum(len(one.took_ms) for one in self.robots) / (time.monotonic() - start)

    def state(self) -> dict[str, Any]:
        """Return what the pool's ping shows."""
        reply: dict[str, Any] = self._client._call("ping")
        return dict(reply["pool"])

    def replica_pids(self) -> list[int]:
        """Return the processes of the replicas that have answered."""
        return [int(name.rpartition(":")[2]) for name in self.state()["answers"]]

    def close(self) -> None:
        """Close all connections."""
        for one in self.robots:
            one.close()
        self._client.close()


@contextmanager
def local_ray(cpus: int) -> Iterator[str]:
    """Run a Ray on this machine; yield its address."""
    if find_spec("ray") is None:
        raise SystemExit(f"ray: not installed, expected it here: {INSTALL}")
    import ray

    paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # its workers import our policy
    context = ray.init(num_cpus=cpus, include_dashboard=False, object_store_memory=1 << 30)
    try:
        yield str(context.address_info["address"])
    finally:
        ray.shutdown()


@contextmanager
def pool(address: str, replicas: int) -> Iterator[int]:
    """Run a pool on a Ray; yield its port."""
    words = (
        *("--ray", address, "--name", f"bench_{replicas}", "--replicas", str(replicas)),
        *("--policy", "bench.pool_policy:make_slow_policy", "--embodiment", "franka_droid"),
        *("--listen", "127.0.0.1:0", "--batch", str(ROWS), "--deadline-ms", str(TIMEOUT_MS)),
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "gr00t_ros.sidecar", "pool", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    timer = threading.Timer(READY_S, child.kill)
    timer.start()
    try:
        assert child.stdout is not None
        ready = next((line for line in child.stdout if line.startswith("READY ")), "")
        if not ready:
            raise SystemExit(f"a pool of {replicas} has not started in {READY_S:g} s")
        timer.cancel()
        yield int(ready.strip().rpartition(":")[2])
    finally:
        timer.cancel()
        child.terminate()
        child.wait()


def run(smoke: bool = False) -> Report:
    """Measure both."""
    rounds, seconds = (SMOKE_ROUNDS, SMOKE_SLICE_S) if smoke else (ROUNDS, SLICE_S)
    with ExitStack() as stack:
        address = stack.enter_context(local_ray(5))
        fleets = {}
        for replicas in (1, 2):
            port = stack.enter_context(pool(address, replicas))
            fleets[replicas] = Fleet(port, ROBOTS)
            stack.callback(fleets[replicas].close)
        took = {replicas: list[float]() for replicas in fleets}

        def ask(replicas: int) -> float:
            rate = fleets[replicas].ask(seconds)
            took[replicas] += [ms for one in fleets[replicas].robots for ms in one.took_ms]
            return rate

        found = interleave(
            {"1 replica": lambda: ask(1), "2 replicas": lambda: ask(2)}, rounds, warm_up=1
        )
        before = fleets[2].state()
        killed_rate = fleets[2].ask(2 * seconds, killed=True)
        after = fleets[2].state()
        lost = [len(one.failed) for one in fleets[2].robots]
        texts = sorted({text for one in fleets[2].robots for text in one.failed})
    times = statistics.median(found["2 replicas"]) / statistics.median(found["1 replica"])
    figures = {
        "answers_per_s": found,
        "throughput_ratio": times,
        "p50_ms": {replicas: statistics.median(ms) for replicas, ms in took.items()},
        "p99_ms": {replicas: percentile(ms, 99) for replicas, ms in took.items()},
        "pool": {"before": before, "after": after},
        "killed": {"answers_per_s": killed_rate, "failed_by_robot": lost, "texts": texts},
        "retried": after["retried"] - before["retried"],
    }
    targets = (
        Target("2 replicas / 1 replica, answers per second", times, 2 * (1 - WITHIN), True),
        Target("killed replica, chunks that one robot went without", max(lost), 1),
    )
    return Report("pool", tuple(lines(figures, rounds, seconds)), figures, targets)


def lines(figures: dict[str, Any], rounds: int, seconds: float) -> Iterator[str]:
    """All tables."""
    model = f"{MODEL_S * 1e3:g} ms + {ROW_S * 1e3:g} ms a further row, batches of {ROWS}"
    yield f"{ROBOTS} robots, {model}; {rounds} rounds of {seconds:g} s"
    yield f"{'':>20}{'1/s':>8}{'p50 ms':>8}{'p99 ms':>8}"
    for replicas, (name, rates) in enumerate(figures["answers_per_s"].items(), 1):
        p50, p99 = figures["p50_ms"][replicas], figures["p99_ms"][replicas]
        yield f"{name:>20}{statistics.median(rates):8.1f}{p50:8.0f}{p99:8.0f}"
    killed = figures["killed"]
    yield f"{'one of 2 killed':>20}{killed['answers_per_s']:8.1f}"
    yield f"requests sent again: {figures['retried']}; failed: {sum(killed['failed_by_robot'])}"
    yield from killed["texts"]
    yield ""
