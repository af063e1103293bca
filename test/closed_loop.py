"""The demos without ROS: simulation, cameras, policy, guard and replay in one loop.

Each step of 2 ms the servos get what the trajectory controller would play of the plan.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gr00t_ros.core.chunk import ActionChunk, from_reply
from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.guard import Verdict
from gr00t_ros.core.replay import Replay, ReplaySettings
from gr00t_ros.core.state import JointReading, PoseReading, encode
from gr00t_ros.sim.assets import G1, INSTALL_COMMAND, PANDA, installed
from gr00t_ros.sim.cameras import Cameras
from gr00t_ros.sim.physics import Simulation
from gr00t_ros.sim.robots import robot_for
from gr00t_ros.sim.scripted import make_policy

NEEDS_MODEL = pytest.mark.skipif(not installed(PANDA), reason=f"no robot model: {INSTALL_COMMAND}")
NEEDS_G1 = pytest.mark.skipif(not installed(G1), reason=f"no robot model: {INSTALL_COMMAND}")
INSTRUCTION = "Put the red cube on the blue plate."
Picture = NDArray[np.uint8]
STEP_NS = 2_000_000
TICK_NS = 20_000_000
SETTLE_S = 1.0


def observe(
    embodiment: Embodiment, simulation: Simulation, picture: Picture, text: str = INSTRUCTION
) -> dict[str, Any]:
    """The nested observation of the simulation's present state; every camera shows `picture`."""
    names, position, velocity = simulation.joint_state()
    joints = JointReading(names, position, velocity)
    link = simulation.robot.poses[0]
    pose = PoseReading(*simulation.pose(link), link.frame)
    return {
        "video": {
            stream.key: np.repeat(picture[None, None], len(stream.delta_indices), axis=1)
            for stream in embodiment.video
        },
        "state": {
            stream.key: encode(stream, joints if stream.source == "joints" else pose)[None, None]
            for stream in embodiment.state
        },
        "language": {embodiment.language_key: [[text]]},
    }


@dataclass
class Outcome:
    """What a run left: success, its time, and everything the policy said."""

    success: bool = False
    seconds: float = 0.0
    chunks: list[ActionChunk] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    infos: list[Any] = field(default_factory=list)
    tracking_rad: float = 0.0


class ClosedLoop:
    """One episode of the embodiment's robot; the knobs break the observation or the timing."""

    def __init__(self, embodiment: Embodiment, seed: int) -> None:
        self.embodiment = embodiment
        self.robot = robot_for(embodiment)
        self.simulation = Simulation(self.robot, seed)
        self.task = self.robot.make_task(self.simulation, seed)
        self.policy = make_policy(embodiment)
        self.text = self.robot.instruction
        self.latency_s = 0.15
        self.executed_steps = 8
        self.alter: Callable[[dict[str, Any]], None] = lambda observation: None
        self.before_query: Callable[[float], None] = lambda time_s: None
        self._replay = Replay(
            embodiment.limits, ReplaySettings(), embodiment.workspace, embodiment.command_limits
        )
        self._columns = self.robot.columns(embodiment.joint_names)
        self._replay.start(0, self.simulation.joint_state()[1][self._columns])
        self._targets = self.robot.ready_rad
        self._query_ns = 0
        self._reply: tuple[int, ActionChunk] | None = None
        self.outcome = Outcome()

    def run(self, limit_s: float = 20.0) -> Outcome:
        """Run until the task has been done for SETTLE_S, or the limit."""
        with Cameras(self.simulation.model, *self.robot.picture_px) as cameras:
            since_ns: int | None = None
            for now_ns in range(0, round(limit_s * 1e9), STEP_NS):
                self._step(cameras, now_ns)
                if not self.task.report()["success"]:
                    since_ns = None
                elif since_ns is None:
                    since_ns = now_ns
                elif now_ns - since_ns > SETTLE_S * 1e9:
                    self.outcome.success, self.outcome.seconds = True, since_ns * 1e-9
                    break
        return self.outcome

    def _step(self, cameras: Cameras, now_ns: int) -> None:
        if self._reply is None and now_ns >= self._query_ns:
            self._ask(cameras, now_ns)
        if self._reply is not None and now_ns >= self._reply[0]:
            self.outcome.verdicts.append(self._replay.accept(self._reply[1], now_ns))
            self._reply = None
        if now_ns % TICK_NS == 0:
            self._replay.tick(now_ns)
        target = self._replay.position(now_ns)
        self._targets[self._columns] = target
        self.simulation.set_targets(self._targets)
        self.simulation.step()
        off = np.abs(self.simulation.joint_state()[1][self._columns][:7] - target[:7]).max()
        self.outcome.tracking_rad = max(self.outcome.tracking_rad, float(off))

    def _ask(self, cameras: Cameras, now_ns: int) -> None:
        self.before_query(now_ns * 1e-9)
        camera = self.robot.camera_names[0]
        picture = cameras.render(self.simulation.positions(), [camera])[camera]
        observation = observe(self.embodiment, self.simulation, picture, self.text)
        self.alter(observation)
        action, info = self.policy(observation, None)
        sequence = len(self.outcome.chunks)
        rows = {key: values[0] for key, values in action.items()}
        chunk = from_reply(self.embodiment, rows, sequence, 0, now_ns)
        self.outcome.chunks.append(chunk)
        self.outcome.infos.append(info)
        ready_ns = now_ns + round(self.latency_s * 1e9)
        self._reply = ready_ns, chunk
        self._query_ns = max(ready_ns, now_ns + self.executed_steps * self.embodiment.step_ns)


def fastest(chunks: Sequence[ActionChunk], embodiment: Embodiment) -> float:
    """The fastest arm step of any chunk, as a share of the joints' velocity limits."""
    steps = [np.abs(np.diff(chunk.joints[:, :7], axis=0)).max(axis=0) for chunk in chunks]
    step_s = embodiment.step_ns * 1e-9
    return float((np.max(steps, axis=0) / (step_s * embodiment.limits.velocity[:7])).max())
