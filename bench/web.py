"""What the operator page costs the policy node: its tick and latency with five browsers and none.

The simulated Franka, the wave policy, the node and gr00t web are processes of their own. Phases
with five browsers (aiohttp clients that acknowledge everything at once, in a process of their own)
and without any follow each other in random order, on the same node. Measured are: how far the time
between two windows is from its median, the age of the observation when its chunk is published, and
the CPU of the node. Medians of phases are compared, so what changes on the machine changes both.

    ./dev bench web
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import rclpy
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from bench.paired import Report, Target, interleave, ratio, ratio_interval
from gr00t_ros.demo.bringup import Bringup
from gr00t_ros.msg import ActionChunk, PolicyStatus
from gr00t_ros.ros import qos
from gr00t_ros.ros.policy_node import POLICY_NODE

EMBODIMENT, BROWSERS = "franka_droid", 5
ROUNDS, PHASE_S = 8, 10.0
SMOKE_ROUNDS, SMOKE_PHASE_S = 1, 2.0
START_S = 60.0
WINDOWS = "/fr3_arm_controller/joint_trajectory"
NOT_SLOWER = 1.1
"""Most tick deviation and latency with five browsers, by those without."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Medians of one phase; cpu: 1 is one core."""

    tick_ms: float
    latency_ms: float
    cpu: float


class Watch:
    """Hears the node's windows, chunks and mode, as they arrive."""

    def __init__(self, node: Node) -> None:
        """Subscribe."""
        self._node = node
        self.mode = ""
        self.windows_s: list[float] = []
        self.latencies_s: list[float] = []
        node.create_subscription(PolicyStatus, f"{POLICY_NODE}/status", self._status, qos.STATUS)
        node.create_subscription(ActionChunk, f"{POLICY_NODE}/action_chunk", self._chunk, qos.CHUNK)
        node.create_subscription(JointTrajectory, WINDOWS, self._window, qos.COMMAND)

    def spin(self, seconds: float) -> None:
        """Take what arrives in that time."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            rclpy.spin_once(self._node, timeout_sec=0.05)

    def wait_for(self, mode: str) -> None:
        """Wait until the node is in that mode."""
        end_s = time.monotonic() + START_S
        while self.mode != mode:
            if time.monotonic() > end_s:
                raise RuntimeError(f"mode {self.mode!r}, expected {mode} within {START_S:g} s")
            rclpy.spin_once(self._node, timeout_sec=0.05)

    def phase(self, seconds: float, pid: int) -> Phase:
        """Measure for that time."""
        self.wait_for("replaying")
        self.windows_s.clear()
        self.latencies_s.clear()
        before_s, begin_s = _cpu_s(pid), time.monotonic()
        self.spin(seconds)
        cpu = (_cpu_s(pid) - before_s) / (time.monotonic() - begin_s)
        gaps = [b - a for a, b in zip(self.windows_s, self.windows_s[1:], strict=False)]
        if len(gaps) < 2 or not self.latencies_s:
            raise RuntimeError("the node did not move the arm in a phase")
        middle = statistics.median(gaps)
        tick = statistics.fmean(abs(gap - middle) for gap in gaps)
        return Phase(1e3 * tick, 1e3 * statistics.median(self.latencies_s), cpu)

    def _status(self, message: PolicyStatus) -> None:
        self.mode = message.mode

    def _window(self, _message: JointTrajectory) -> None:
        self.windows_s.append(time.monotonic())

    def _chunk(self, message: ActionChunk) -> None:
        stamp = message.header.stamp
        self.latencies_s.append(time.time() - (stamp.sec + stamp.nanosec / 1e9))


def run(smoke: bool = False) -> Report:
    """Measure both variants in random order."""
    rounds, seconds = (SMOKE_ROUNDS, SMOKE_PHASE_S) if smoke else (ROUNDS, PHASE_S)
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 101)))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    rclpy.init()
    node = rclpy.create_node("gr00t_sim_bench")  # the node lets such a name read its windows
    try:
        with TemporaryDirectory() as place, _stack(Path(place)) as bringup:
            watch, address = Watch(node), _address(bringup)
            pid = bringup.children["policy"].pid

            def without() -> Phase:
                return watch.phase(seconds, pid)

            def with_five() -> Phase:
                with _browsers(address):
                    return watch.phase(seconds, pid)

            variants = {"none": without, "five": with_five}
            found = interleave(variants, rounds, warm_up=0 if smoke else 1)
    finally:
        node.destroy_node()
        rclpy.shutdown()
    return _report(found, rounds, seconds)


def _report(found: dict[str, list[Phase]], rounds: int, seconds: float) -> Report:
    lines = [f"{rounds} phases of {seconds:g} s each, {BROWSERS} browsers against none", ""]
    lines += ["| of the node | none | five | ratio | 95 % |", "|---|---|---|---|---|"]
    figures: dict[str, object] = {"rounds": rounds, "phase_s": seconds}
    ratios = {}
    for name in ("tick_ms", "latency_ms", "cpu"):
        samples = {one: [getattr(p, name) for p in phases] for one, phases in found.items()}
        ratios[name] = ratio(samples, "five", "none")
        low, high = ratio_interval(samples, "five", "none")
        none, five = (statistics.median(samples[one]) for one in ("none", "five"))
        lines.append(
            f"| {name} | {none:.3f} | {five:.3f} | {ratios[name]:.2f} | {low:.2f} to {high:.2f} |"
        )
        figures[name] = {"none": none, "five": five, "ratio": ratios[name], "interval": [low, high]}
    targets = (
        Target("tick deviation with five browsers, by that without", ratios["tick_ms"], NOT_SLOWER),
        Target("latency with five browsers, by that without", ratios["latency_ms"], NOT_SLOWER),
    )
    return Report("web", tuple(lines), figures, targets)


@contextmanager
def _stack(folder: Path) -> Iterator[Bringup]:
    """Robot, server, node, autostart and page."""
    bringup = Bringup(folder)
    try:
        bringup.start_node("robot", {"synthetic_cameras": True})
        port = bringup.start_sidecar("wave", "--embodiment", EMBODIMENT)
        named = {"embodiment": EMBODIMENT, "port": port, "instruction": "wave"}
        bringup.start_node("policy", named)
        bringup.start_node("autostart", {})
        bringup.start("web", [sys.executable, "-m", "gr00t_ros.web", "--port", "0"])
        yield bringup
    finally:
        bringup.end()


def _address(bringup: Bringup) -> str:
    """Base and token for watching, as gr00t web prints them."""
    end_s = time.monotonic() + START_S
    while (found := re.search(r"watch: +(http\S+)", bringup.log("web"))) is None:
        if time.monotonic() > end_s or bringup.ended("web"):
            raise RuntimeError(f"gr00t web did not start:\n{bringup.log('web')}")
        time.sleep(0.05)
    return found[1]


@contextmanager
def _browsers(address: str) -> Iterator[None]:
    """Five browsers in a process of their own, each with pictures of every camera."""
    words = [sys.executable, "-m", "bench.web", address]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        if child.stdout.readline().strip() != "READY":
            raise RuntimeError("the browsers got no pictures")
        yield
    finally:
        child.kill()
        child.wait()


async def _browse(address: str, ready: list[int]) -> None:
    import aiohttp

    base, _, query = address.partition("/?")
    headers = {"Origin": base}
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{base}/ws?{query}", headers=headers)
        seen = False
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                ack = {"type": "ack", "kind": "frame", "camera": message.data[0]}
                await socket.send_json(ack)
                if not seen:
                    seen = True
                    ready.append(1)
                    if len(ready) == BROWSERS:
                        print("READY", flush=True)
            elif (kind := message.json()["type"]) in ("state", "curves"):
                await socket.send_json({"type": "ack", "kind": kind})


async def _browse_all(address: str) -> None:
    ready: list[int] = []
    await asyncio.gather(*(_browse(address, ready) for _ in range(BROWSERS)))


def _cpu_s(pid: int) -> float:
    """The CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(words: Sequence[str]) -> None:
    """Browse until killed."""
    asyncio.run(_browse_all(words[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
