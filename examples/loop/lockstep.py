"""One demonstration in lockstep: robot, node and policy on one simulated clock, in one process.

The simulated robot's physics, controllers, cameras and drivers, and the node's observations,
session and outputs are the code of ./dev demo. Simulated time is an integer that all of them share,
so it runs as fast as the processor allows, and nothing is late whatever else the machine does. What
differs from ./dev demo: no middleware, no policy server's process (the policy is called), and no
watches. Delays are constants, as ./dev demo has them. The bag is one of gr00t record.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import Image, JointState

from examples.loop.demonstrator import Demonstrator
from examples.loop.topics import Graph, Participant
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.msg import ActionChunk, PolicyStatus
from gr00t_ros.node.answers import action_chunk
from gr00t_ros.node.outputs import Outputs
from gr00t_ros.node.queries import QueryReply
from gr00t_ros.observe.buffer import Sample, StampedBuffer
from gr00t_ros.observe.observation import Observation, ObservationSettings, assemble
from gr00t_ros.observe.readings import JointReading
from gr00t_ros.record.episode_bag import EpisodeBag
from gr00t_ros.record.facts import KEPT, EpisodeFacts, write_facts
from gr00t_ros.record.recording import Recording
from gr00t_ros.record.session import (
    DISCARD,
    SUCCESS,
    PolicyNodeState,
    RecordingSession,
    RecordingSettings,
)
from gr00t_ros.record.topics import recorded_topics
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros import qos
from gr00t_ros.ros.policy_node import POLICY_NODE
from gr00t_ros.ros.windows import to_time
from gr00t_ros.serve.policies import Policy
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.session.session import Session
from gr00t_ros.sim.cameras import Cameras, SensorNoise
from gr00t_ros.sim.controller import Follower, SimulatedController
from gr00t_ros.sim.description import RobotDescription
from gr00t_ros.sim.loop import TICK_NS, ControlLoop, RobotSnapshot
from gr00t_ros.sim.physics import Simulation
from gr00t_ros.sim.record import CommandRecorder
from gr00t_ros.sim.robot import CONTROLLER_STATE_TICKS, SENSOR_TICKS, TASK_TICKS
from gr00t_ros.sim.robots import robot_for
from gr00t_ros.sim.sensors import Sensors

ROBOT_NODE = "/gr00t_sim_robot"
MS = 1_000_000
START_NS = 10_000 * MS
FRAME_NS = 33_333_333
PICTURE_LATE_NS = 12 * MS
"""From a picture's stamp until it is published."""
REPLY_LATE_NS = 60 * MS
"""From a query until its chunk is merged."""
WARM_UP_NS = 500 * MS
"""Sensors run for so long before the node is activated."""
STATUS_TICKS = 50
LIMIT_S = 40.0
"""Simulated time after which a demonstration has failed; they take about 13 s."""
TOLERANCES = ObservationSettings(
    video_max_age_ns=500 * MS, state_max_age_ns=200 * MS, skew_ns=50 * MS
)


def record_episode(
    folder: Path,
    index: int,
    embodiment: Embodiment,
    policy: Policy,
    seed: int,
    limit_s: float,
) -> EpisodeFacts:
    """Record the episode of one scene into a new folder; it ends with the robot's task.

    After limit_s of simulated time it has failed, and is discarded.
    """
    bag = EpisodeBag(folder)
    facts = _Lockstep(bag, index, embodiment, policy, seed, limit_s).run()
    bag.close()
    write_facts(folder, facts)
    return facts


def record_scene(recording: Path, name: str, seed: int, index: int) -> bool:
    """Record the demonstration of one scene as that episode of a recording.

    name: of the embodiment file. A failed demonstration is kept on disk as a discarded episode.
    """
    folder = Recording(recording, name, 0).episode(index)
    embodiment = load_embodiment(name)
    demonstrator = Demonstrator(embodiment, seed)
    facts = record_episode(folder, index, embodiment, demonstrator, seed, LIMIT_S)
    return facts.outcome == KEPT


@dataclass(slots=True)
class _Pace:
    """Ticks of simulated time that are all due at once, until `ended`."""

    ended: bool = False

    def time_ns(self, tick: int) -> int:
        return START_NS + tick * TICK_NS

    def wait(self, _tick: int, _stop: threading.Event) -> bool:
        return not self.ended


class _Lockstep:
    """One episode; everything runs in the physics thread, tick by tick."""

    def __init__(
        self,
        bag: EpisodeBag,
        index: int,
        embodiment: Embodiment,
        policy: Policy,
        seed: int,
        limit_s: float,
    ) -> None:
        robot = robot_for(embodiment)
        self._graph = Graph(bag, recorded_topics(embodiment, POLICY_NODE))
        self._simulation = Simulation(robot, seed)
        self._task = robot.make_task(self._simulation, seed)
        self._drivers = _Drivers(self._graph, robot, self._simulation, seed)
        start = self._simulation.joint_state()[1]
        followers = [
            Follower(one.joints, start[robot.columns(one.joints)]) for one in robot.controllers
        ]
        self._pace = _Pace()
        self._loop = ControlLoop(
            self._simulation,
            followers,
            CommandRecorder(robot.commanded_names, 1.0),
            self._pace,  # type: ignore[arg-type]  # it has what the loop needs
            self._on_tick,
        )
        self._controllers = [
            self._controller(one.name, follower, robot.columns(one.joints))
            for one, follower in zip(robot.controllers, followers, strict=True)
        ]
        self._node = _Node(self._graph, embodiment, policy, robot.instruction, index)
        self._end_ns = START_NS + WARM_UP_NS + round(limit_s * 1e9)
        self._ended = threading.Event()

    def _controller(self, name: str, follower: Follower, columns: Any) -> SimulatedController:
        def measured() -> tuple[Any, Any]:
            snapshot = self._loop.snapshot
            return snapshot.position[columns], snapshot.velocity[columns]

        node: Any = Participant(self._graph, ROBOT_NODE)
        return SimulatedController(node, name, follower, lambda: (self._graph.now_ns, 0), measured)

    def run(self) -> EpisodeFacts:
        """Run to the end of the episode; raises what ended it early."""
        self._loop.start()
        while not self._ended.wait(0.2):
            self._loop.check()
        self._loop.stop()
        return self._node.facts

    def _on_tick(self, snapshot: RobotSnapshot) -> None:
        now_ns = self._graph.now_ns = snapshot.time_ns
        tick, stamp = snapshot.tick, to_time(now_ns)
        self._drivers.publish(snapshot)
        if tick % CONTROLLER_STATE_TICKS == 0:
            for controller in self._controllers:
                controller.publish_state(stamp)
            if now_ns >= START_NS + WARM_UP_NS:
                held = np.concatenate([one.follower.commanded[0] for one in self._controllers])
                self._node.tick(tick, now_ns, held)
        if tick % TASK_TICKS == 0:
            success = bool(self._task.report()["success"])
            if success or now_ns >= self._end_ns:
                self._node.end(now_ns, success)
                self._drivers.close()
                self._pace.ended = True
                self._ended.set()


class _Drivers:
    """The drivers of joints and cameras."""

    def __init__(
        self, graph: Graph, robot: RobotDescription, simulation: Simulation, seed: int
    ) -> None:
        node: Any = Participant(graph, ROBOT_NODE)
        self._sensors = Sensors(node, robot, False)
        self._robot, self._simulation, self._noise = robot, simulation, SensorNoise(seed)
        self._cameras: Cameras | None = None  # opened in the thread that renders
        self._frame = 0
        self._exposed: deque[tuple[int, dict[str, Any]]] = deque()

    def publish(self, snapshot: RobotSnapshot) -> None:
        """Publish what is due after a tick."""
        now_ns = snapshot.time_ns
        if snapshot.tick % SENSOR_TICKS == 0:
            state = self._robot.joint_names, snapshot.position, snapshot.velocity
            self._sensors.publish_joints(to_time(now_ns), *state, self._simulation.efforts())
        if now_ns >= START_NS + self._frame * FRAME_NS:
            self._frame += 1
            if self._cameras is None:
                self._cameras = Cameras(self._simulation.model, *self._robot.picture_px)
            clean = self._cameras.render(snapshot.world, self._sensors.cameras_due(self._frame))
            self._exposed.append((now_ns, {k: self._noise.add(v) for k, v in clean.items()}))
        while self._exposed and now_ns >= self._exposed[0][0] + PICTURE_LATE_NS:
            stamp_ns, pictures = self._exposed.popleft()
            for name, picture in pictures.items():
                self._sensors.publish_image(to_time(stamp_ns), name, picture)

    def close(self) -> None:
        """Free the renderer."""
        if self._cameras is not None:
            self._cameras.close()


class _Node:
    """The policy node and the recorder beside it."""

    def __init__(
        self,
        graph: Graph,
        embodiment: Embodiment,
        policy: Policy,
        instruction: str,
        index: int,
    ) -> None:
        node: Any = Participant(graph, POLICY_NODE)
        self._embodiment, self._policy, self._instruction = embodiment, policy, instruction
        self._outputs = Outputs(node, embodiment)
        self._chunks = node.create_publisher(ActionChunk, "~/action_chunk", qos.CHUNK)
        self._status = node.create_publisher(PolicyStatus, "~/status", qos.STATUS)
        self._buffers = {
            (stream.key, topic): StampedBuffer(2_000 * MS, 500)
            for stream in embodiment.streams
            for topic in stream.topics
        }
        for topic in {topic for _, topic in self._buffers}:
            self._receive(graph, topic)
        replay = Replay(embodiment.limits, ReplaySettings(), embodiment.workspace)
        self._session = Session(replay, SessionSettings())
        self._session.set_ready(True, "")
        self._reply: tuple[int, QueryReply] | None = None
        self._asked = 0
        about = RecordingSettings(embodiment.tag, POLICY_NODE, by_policy=True)
        self._recorder = RecordingSession(about, instruction, index)

    @property
    def facts(self) -> EpisodeFacts:
        """What the recorder noted of the episode that has ended."""
        if self._recorder.last is None:
            raise RuntimeError("no episode was recorded: the node never moved the robot")
        return self._recorder.last

    def _receive(self, graph: Graph, topic: str) -> None:
        """Take each message of a topic into the buffers of its streams."""
        buffers = [buffer for (_, of), buffer in self._buffers.items() if of == topic]
        kind = Image if any(s.topic == topic for s in self._embodiment.video) else JointState

        def take(message: Any) -> None:
            stamp = message.header.stamp
            sample = Sample(stamp.sec * 10**9 + stamp.nanosec, graph.now_ns, _content(message))
            for buffer in buffers:
                buffer.push(sample)

        graph.topic(topic, kind, qos.SENSOR).subscribers.append(take)

    def tick(self, tick: int, now_ns: int, held: Any) -> None:
        """One refresh: merge what has come, send windows, query when it is due."""
        session = self._session
        if not session.active:
            session.activate(now_ns, held)
        if self._reply is not None and now_ns >= self._reply[0]:
            reply, self._reply = self._reply[1], None
            verdict = session.merge(reply.chunk, now_ns, held)
            self._chunks.publish(action_chunk(self._embodiment, reply, verdict))
        window = session.tick(now_ns, (), held)
        commands = session.replay.command_window(now_ns)
        if window is not None or commands is not None:
            session.keep(self._outputs.publish(window, 0, commands))
        if self._reply is None and session.query_due(now_ns):
            self._reply = now_ns + REPLY_LATE_NS, self._query(now_ns)
        status = PolicyNodeState(session.mode.value, session.episode, self._instruction)
        self._recorder.follow(now_ns, status)
        if tick % STATUS_TICKS == 0:
            self._publish_status(now_ns)

    def end(self, now_ns: int, success: bool) -> None:
        """End the episode with the robot's verdict."""
        self._publish_status(now_ns)
        self._recorder.end(now_ns, SUCCESS if success else DISCARD)

    def _query(self, now_ns: int) -> QueryReply:
        found = assemble(self._embodiment, self._buffers, now_ns, now_ns, TOLERANCES)
        if not isinstance(found, Observation):
            raise RuntimeError("; ".join(map(str, found)))
        observation: dict[str, dict[str, Any]] = {
            "video": {
                key: np.stack([np.asarray(sample.value) for sample in samples])[None]
                for key, samples in found.video.items()
            },
            "state": {key: rows[None] for key, rows in found.state.items()},
            "language": {self._embodiment.language_key: [[self._instruction]]},
        }
        action, _ = self._policy(observation, None)
        rows = {key: values[0] for key, values in action.items()}
        self._asked += 1
        chunk = from_reply(
            self._embodiment, rows, self._asked, self._session.episode, found.stamp_ns
        )
        return QueryReply(chunk, found.stamp_ns, REPLY_LATE_NS)

    def _publish_status(self, now_ns: int) -> None:
        message = PolicyStatus(
            mode=self._session.mode.value,
            reason=self._session.reason,
            ready=True,
            episode=self._session.episode,
            instruction=self._instruction,
            embodiment_tag=self._embodiment.tag,
        )
        message.header.stamp = to_time(now_ns)
        self._status.publish(message)


def _content(message: Any) -> object:
    """A joint reading, or the (H, W, 3) picture of an rgb8 image."""
    if isinstance(message, JointState):
        position, velocity = np.array(message.position), np.array(message.velocity)
        return JointReading(tuple(message.name), position, velocity)
    shape = (message.height, message.width, 3)
    return np.frombuffer(message.data, np.uint8).reshape(shape)
