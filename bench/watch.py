"""What watching costs the policy node: its CPU and its tick, by those with nobody watching.

A simulated robot, a server and the node run as they do on a robot. Slices with nobody and with a
subscriber of every preview topic follow each other in random order. A tick of the preview without
a subscriber is measured by itself.

    ./dev bench watch
"""

from __future__ import annotations

import math
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import rclpy
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Path as PathMessage
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage
from visualization_msgs.msg import MarkerArray

from bench.paired import Report, Target, interleave, ratio, ratio_interval
from gr00t_ros.msg import JointComparison, PolicyStatus
from gr00t_ros.node.preview.publisher import PERIOD_NS, Preview
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros import qos
from gr00t_ros.ros.periodic import LATENESS
from gr00t_ros.ros.policy_node import POLICY_NODE
from gr00t_ros.session.preview import arms_of, topic_part

EMBODIMENT, NODE = "franka_droid", POLICY_NODE
SECONDS, SLICE_S, SMOKE_SLICE_S, LIMIT_S = 120.0, 12.0, 1.0, 60.0
"""The node's latencies are those of its last 512 ticks, 10.2 s: a slice is longer than that."""
IDLE_TICKS = 300
IDLE_COST = 0.02
"""Most CPU of the preview with nobody watching, by the node's."""
WATCHED_TICK = 1.5
"""Most p99 of the tick's lateness with everything subscribed, by that with nobody."""
_CONFIGURE, _ACTIVATE = 1, 3


def run(seconds: float = SECONDS, smoke: bool = False) -> Report:
    """Measure both variants for `seconds` each; smoke: one second each."""
    slice_s = SMOKE_SLICE_S if smoke else SLICE_S
    rounds = 1 if smoke else max(2, round(seconds / slice_s))
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 101)))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    rclpy.init()
    node = rclpy.create_node("bench_watch")
    try:
        with ExitStack() as stack:
            child = _running(stack, node)
            samples = _measure(node, child.pid, slice_s, rounds, warm_up=0 if smoke else 1)
            idle_s = _idle_tick_s(node)
    finally:
        node.destroy_node()
        rclpy.shutdown()
    return _report(samples, idle_s)


def _report(samples: dict[str, list[tuple[float, float, int]]], idle_s: float) -> Report:
    """samples: variant -> CPU, p99 of the lateness in ms, and messages of each slice."""
    cpu = {name: [one[0] for one in each] for name, each in samples.items()}
    late = {name: [one[1] for one in each] for name, each in samples.items()}
    messages = sum(one[2] for one in samples["all"])
    idle = idle_s * 1e9 / PERIOD_NS / statistics.median(cpu["nobody"])
    cost, tick = ratio(cpu, "all", "nobody"), ratio(late, "all", "nobody")
    low, high = ratio_interval(cpu, "all", "nobody")
    lines = [
        "| watched | CPU of the node, one core | p99 of the tick's lateness, ms |",
        "|---|---|---|",
        *(
            f"| {name} | {statistics.median(cpu[name]):.1%} | {statistics.median(late[name]):.2f} |"
            for name in ("nobody", "all")
        ),
        "",
        f"CPU, everything subscribed by nobody: {cost:.2f} (95 % interval {low:.2f} to {high:.2f})",
        f"p99 of the tick's lateness, everything subscribed by nobody: {tick:.2f}",
        f"one tick of the preview without a subscriber: {idle_s * 1e6:.0f} us",
        f"{messages} messages received",
    ]
    figures = {
        **{"cpu": cpu, "late_ms": late, "cpu_ratio": cost, "cpu_interval": [low, high]},
        **{"tick_ratio": tick, "idle_tick_s": idle_s, "messages": messages},
    }
    targets = (
        Target("CPU of the preview with nobody watching, by the node's", idle, IDLE_COST),
        Target("p99 of the tick's lateness, all by nobody", tick, WATCHED_TICK),
        Target("messages received", messages, 1, at_least=True),
    )
    return Report("watch", tuple(lines), figures, targets)


def _measure(
    node: Node, pid: int, slice_s: float, rounds: int, warm_up: int
) -> dict[str, list[tuple[float, float, int]]]:
    robot, status = load_embodiment(EMBODIMENT), _Newest(node)

    def nobody() -> tuple[float, float, int]:
        return _slice(node, pid, slice_s, status, [0])

    def everything() -> tuple[float, float, int]:
        count = [0]
        subscriptions = [
            node.create_subscription(kind, topic, lambda _: _count(count), qos.PREVIEW)
            for topic, kind in _topics(robot)
        ]
        try:
            _spin_until(node, lambda: count[0] > 0, "a message of the preview")
            return _slice(node, pid, slice_s, status, count)
        finally:
            for each in subscriptions:
                node.destroy_subscription(each)

    return interleave({"nobody": nobody, "all": everything}, rounds, warm_up, seed=os.getpid())


class _Newest:
    """Mode and p99 of the lateness of the node's ticks, as the newest status has them."""

    def __init__(self, node: Node) -> None:
        self.late_ms = math.nan
        node.create_subscription(PolicyStatus, f"{NODE}/status", self._take, qos.STATUS)
        self.mode = ""

    def _take(self, status: PolicyStatus) -> None:
        self.mode = status.mode
        late_s = (each.p99_s for each in status.latencies if each.stage == LATENESS)
        self.late_ms = 1e3 * next(late_s, math.nan)


def _slice(
    node: Node, pid: int, seconds: float, status: _Newest, count: list[int]
) -> tuple[float, float, int]:
    """CPU (1 is one core), p99 of the tick's lateness in ms, and messages received."""
    status.late_ms = math.nan
    first, before_s, begin_s = count[0], _cpu_s(pid), time.monotonic()
    while time.monotonic() - begin_s < seconds:
        rclpy.spin_once(node, timeout_sec=0.05)
    cpu = (_cpu_s(pid) - before_s) / (time.monotonic() - begin_s)
    if math.isnan(status.late_ms):
        raise RuntimeError(f"no status with the tick's lateness in {seconds:g} s")
    return cpu, status.late_ms, count[0] - first


def _count(count: list[int]) -> None:
    count[0] += 1


def _topics(robot: Embodiment) -> Iterator[tuple[str, type]]:
    """Every preview topic of the node, with its type."""
    yield f"{NODE}/preview/markers", MarkerArray
    yield f"{NODE}/preview/joints", JointComparison
    for arm in arms_of(robot):
        for kind in ("predicted", "committed", "driven"):
            yield f"{NODE}/preview/{kind}/{arm.name}", PathMessage
    for stream in robot.video:
        yield f"{NODE}/observation/{topic_part(stream.key)}/compressed", CompressedImage


def _idle_tick_s(node: Node) -> float:
    """CPU of one tick of a Preview to which nobody subscribes, seconds."""
    robot = load_embodiment(EMBODIMENT)
    named: Any = SimpleNamespace(
        create_publisher=lambda kind, topic, profile: node.create_publisher(
            kind, topic.replace("~", "/bench_idle"), profile
        ),
        get_logger=node.get_logger,
        destroy_publisher=node.destroy_publisher,
    )
    unused: Any = None
    preview = Preview(named, lambda: robot, unused, unused, unused, tuple, False)
    begin_s = time.process_time()
    for _ in range(IDLE_TICKS):
        preview.tick()
    took_s = time.process_time() - begin_s
    preview.destroy()
    return took_s / IDLE_TICKS


def _running(stack: ExitStack, node: Node) -> subprocess.Popen[bytes]:
    """Start robot, server and node, and activate it; returns the node's process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    stack.enter_context(
        _child("gr00t_ros.sim.robot", "--ros-args", "-p", "synthetic_cameras:=true")
    )
    server = ("--port", port, "--embodiment", EMBODIMENT)
    stack.enter_context(_child("gr00t_ros.sidecar", "wave", *server))
    values = {"embodiment": EMBODIMENT, "port": port, "instruction": "wave"}
    words = [word for key, value in values.items() for word in ("-p", f"{key}:={value}")]
    child = stack.enter_context(_child("gr00t_ros.node.node", "--ros-args", *words))
    status = _Newest(node)
    client = node.create_client(ChangeState, f"{NODE}/change_state")
    _spin_until(node, client.service_is_ready, "the node")
    _change(node, client, _CONFIGURE)
    _spin_until(node, lambda: status.mode == "ready", "mode ready")
    _change(node, client, _ACTIVATE)
    _spin_until(node, lambda: status.mode == "replaying", "mode replaying")
    return child


def _change(node: Node, client: Any, transition: int) -> None:
    request = ChangeState.Request()
    request.transition.id = transition
    future = client.call_async(request)
    _spin_until(node, future.done, "the answer of a transition")
    if not future.result().success:
        raise RuntimeError(f"the node refused transition {transition}: its output says why")


def _spin_until(node: Node, condition: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end_s:
            raise RuntimeError(f"waited {LIMIT_S:g} s in vain for {what}")
        rclpy.spin_once(node, timeout_sec=0.05)


@contextmanager
def _child(module: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    command: Sequence[str] = [sys.executable, "-m", module, *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        try:
            yield child
        finally:
            child.send_signal(signal.SIGINT)
            child.wait(LIMIT_S)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
