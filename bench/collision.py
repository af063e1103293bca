"""What the proof of a window costs: distances of all pairs, bisection, Franka and G1 among boxes.

One thread, no ROS. The plan follows slow waves about the ready pose, among random boxes that stand
clear of it; some windows lead into one. Beside it, in the same run and on the same windows, the
naive check: the distances at every knot, which proves nothing; and the whole tick with and without
the check, whose period is 20 ms.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

import numpy as np

from bench.paired import Report, Target, percentile
from gr00t_ros.collide.description import disabled_pairs, read_description
from gr00t_ros.collide.engine import CollisionEngine
from gr00t_ros.collide.files import read_mesh
from gr00t_ros.collide.scene import Scene, parse_scene
from gr00t_ros.collide.window import WindowCheck
from gr00t_ros.graph.collision_model import pairs_of
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.clearance import Ahead
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import MS, ReplaySettings
from gr00t_ros.motion.shaper import Rows
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.sim.description import RobotDescription
from gr00t_ros.sim.robots import find_robot
from gr00t_ros.sim.urdf import robot_srdf, robot_urdf

ROBOTS, BOXES = ("franka", "g1"), (5, 20)
TICKS, SMOKE_TICKS = 1500, 40
STEPS, STEP_NS, ASKED_EVERY = 24, 50 * MS, 20
P50_MS, P99_MS = 1.0, 4.0
"""Goals of one tick's checks at 50 Hz on one core."""
PERIOD_MS = ReplaySettings().refresh_ns / MS


@dataclass(slots=True)
class Measured:
    """A check that takes the time of its own calls, and the naive check on the same windows."""

    check: WindowCheck
    engine: CollisionEngine
    scene: int = 0
    tick_ms: float = 0.0
    naive_tick_ms: float = 0.0
    ticks_ms: list[float] = field(default_factory=list)
    naive_ms: list[float] = field(default_factory=list)
    proven_ms: list[float] = field(default_factory=list)
    whole_ms: list[float] = field(default_factory=list)
    without_ms: list[float] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)
    refused: int = 0

    def begin(self, position: np.ndarray) -> None:
        """As WindowCheck.begin."""
        start = time.perf_counter()
        self.check.begin(position)
        self.tick_ms = 1e3 * (time.perf_counter() - start)

    def look(self, rows: Rows, knot_s: float, reserve: bool = False) -> Ahead:
        """As WindowCheck.look; then the same rows by the naive check, which is not counted."""
        start = time.perf_counter()
        found = self.check.look(rows, knot_s, reserve)
        spent_ms = 1e3 * (time.perf_counter() - start)
        self.tick_ms += spent_ms
        self.evaluations.append(found.evaluations)
        self.refused += not found.clear
        if found.clear:
            start = time.perf_counter()
            for position in rows.position:
                self.engine.distances(position, self.check.pairs.margin)
            naive_ms = 1e3 * (time.perf_counter() - start)
            self.naive_tick_ms += naive_ms
            self.naive_ms.append(naive_ms)
            self.proven_ms.append(spent_ms)
        return found


def run(smoke: bool = False) -> Report:
    """Measure each robot with each number of boxes."""
    lines = [
        "robot  boxes  pairs  check p50/p99/max ms  evaluations p50/p99  not clear  to naive  "
        "whole tick p50/p99/max ms  without"
    ]
    figures, targets = {}, []
    for name in ROBOTS[:1] if smoke else ROBOTS:
        for boxes in BOXES[:1] if smoke else BOXES:
            found = measure(find_robot(name), boxes, SMOKE_TICKS if smoke else TICKS)
            p50, p99 = statistics.median(found.ticks_ms), percentile(found.ticks_ms, 99)
            share = statistics.median(found.proven_ms) / statistics.median(found.naive_ms)
            looks, whole = found.evaluations, percentile(found.whole_ms, 99)
            lines.append(
                f"{name:<6} {boxes:>5} {len(found.engine.pairs):>6}  "
                f"{p50:5.2f}/{p99:5.2f}/{max(found.ticks_ms):5.2f}      "
                f"{statistics.median(looks):>6.0f}/{percentile(looks, 99):<6.0f}"
                f"{found.refused:>12} {share:>10.2f}    {_spread(found.whole_ms):>20} "
                f"{_spread(found.without_ms):>16}"
            )
            figures[f"{name} {boxes}"] = {
                "p50_ms": p50,
                "p99_ms": p99,
                "to_naive": share,
                "whole_p99_ms": whole,
                "without_p99_ms": percentile(found.without_ms, 99),
            }
            targets += [
                Target(f"{name} with {boxes} boxes: tick p50 ms", p50, P50_MS),
                Target(f"{name} with {boxes} boxes: tick p99 ms", p99, P99_MS),
                Target(f"{name} with {boxes} boxes: whole tick p99 ms", whole, PERIOD_MS),
            ]
    return Report("collision", tuple(lines), figures, tuple(targets))


def _spread(ms: list[float]) -> str:
    return f"{statistics.median(ms):.2f}/{percentile(ms, 99):.2f}/{max(ms):.2f}"


def measure(robot: RobotDescription, boxes: int, ticks: int) -> Measured:
    """Tick a plan of this robot among so many boxes."""
    embodiment = load_embodiment(robot.embodiment)
    names, settings = embodiment.joint_names, ReplaySettings()
    home = robot.ready_rad[robot.columns(names)]
    engine = _engine(robot, names, home, boxes)
    measured = Measured(WindowCheck(pairs_of(engine), engine.distances), engine)
    replay = Replay(embodiment.limits, settings, motion_check=measured)
    without = Replay(embodiment.limits, settings)
    now_ns = 1000 * MS
    for one in (replay, without):
        one.start(now_ns, home)
    for tick in range(ticks):
        if tick % ASKED_EVERY == 0:
            for one in (replay, without):
                _follow(one, now_ns, home)
        measured.tick_ms = measured.naive_tick_ms = 0.0
        whole_ms = _ticked_ms(replay, now_ns) - measured.naive_tick_ms
        measured.whole_ms.append(whole_ms)
        measured.without_ms.append(_ticked_ms(without, now_ns))
        measured.ticks_ms.append(measured.tick_ms)
        now_ns += settings.refresh_ns
    return measured


def _ticked_ms(replay: Replay, now_ns: int) -> float:
    start = time.perf_counter()
    replay.tick(now_ns)
    return 1e3 * (time.perf_counter() - start)


def _follow(replay: Replay, now_ns: int, home: np.ndarray) -> None:
    """A chunk of waves of 0.25 rad about home, that begins where the plan is."""
    seconds = (now_ns + STEP_NS * np.arange(STEPS)) * 1e-9
    rates = 0.6 + 0.5 * np.arange(len(home)) / len(home)
    rows = home + 0.25 * np.sin(np.outer(seconds, rates))
    rows += replay.position(now_ns) - rows[0]
    replay.accept(ActionChunk(0, 1, now_ns, STEP_NS, rows, {}), now_ns)


def _engine(
    robot: RobotDescription, names: tuple[str, ...], home: np.ndarray, boxes: int
) -> CollisionEngine:
    """The robot among random boxes, each at least 3 cm from it in its ready pose."""
    model = robot.build_model(0)
    disabled = disabled_pairs(robot_srdf(robot, model), robot.name)
    description = read_description(robot_urdf(robot, model), robot.name, read_mesh, disabled)
    held = {joint.name: joint.ready_rad for joint in robot.joints if joint.name not in names}
    random = np.random.default_rng(1)
    kept: dict[str, object] = {}
    while len(kept) < boxes:
        centre = random.uniform((-0.2, -0.7, -0.1), (0.9, 0.7, 0.9))
        size = random.uniform(0.02, 0.3, 3)
        box = {"type": "box", "xyz": centre.tolist(), "size": size.tolist()}
        alone = CollisionEngine(description, _scene({"box": box}), names, held=held)
        scene_pairs = [index for index, pair in enumerate(alone.pairs) if pair.is_scene]
        if alone.distances(home)[scene_pairs].min() > 0.03:
            kept[f"box {len(kept)}"] = box
    return CollisionEngine(description, _scene(kept), names, held=held)


def _scene(objects: dict[str, object]) -> Scene:
    mapping = {"margin": 0.01, "robot": {"margin": 0.005}, "objects": objects}
    return parse_scene(mapping, "bench", read_mesh)
