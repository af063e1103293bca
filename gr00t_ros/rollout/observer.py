"""The evaluation's own ROS node: asks simulation and policy node, and keeps what they publish."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import rclpy
from geometry_msgs.msg import TwistStamped
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from gr00t_ros.errors import NodeError
from gr00t_ros.motion.replay_settings import HORIZON_TOO_SHORT
from gr00t_ros.msg import ActionChunk, PolicyStatus, TaskState
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.rollout.benchmark import Benchmark
from gr00t_ros.rollout.trial import Plain, Trial
from gr00t_ros.ros import qos
from gr00t_ros.ros.asked import IntroducedClient, LifecycleClient
from gr00t_ros.ros.join import join_as_client
from gr00t_ros.ros.policy_node import DROPPED, POLICY_NODE
from gr00t_ros.sim.record import TimedRows
from gr00t_ros.srv import ResetTask, SetInstruction

ANSWER_S: Final = 60.0
RESET_S: Final = 300.0
"""Longest wait for an answer; a simulation may load a scene before it answers a reset."""
SILENT_S: Final = 60.0
"""Longest wait for the simulation's next state."""
_SPIN_S: Final = 0.02
_INACTIVE: Final = ("unconfigured", "waiting", "ready", "fault_inactive")
"""Values of Mode (session/mode.py) in which the node is not active."""
_TWIST = 6


@dataclass(frozen=True, slots=True)
class Begin:
    """When an episode began: simulated time, control step, and steady time of this machine."""

    simulated_s: float = 0.0
    step: int = 0
    wall_s: float = 0.0


def seconds(stamp: Any) -> float:
    """A stamp or duration, s."""
    return float(stamp.sec) + 1e-9 * float(stamp.nanosec)


class Observer:
    """Joins the domain of the environment. Every wait ends, and fails at once if `check` raises."""

    def __init__(self, benchmark: Benchmark, robot: Embodiment, check: Callable[[], None]) -> None:
        """check: raises NodeError if a process has ended."""
        self._benchmark, self._check = benchmark, check
        self._context = rclpy.Context()
        join_as_client(context=self._context)
        self.node = rclpy.create_node(
            "gr00t_rollout",
            context=self._context,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[
                Parameter("use_sim_time", value=True),
                Parameter("start_type_description_service", value=False),
            ],
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._clients: dict[str, IntroducedClient] = {}
        self.after_spin: Callable[[], None] = lambda: None
        """Called each time after what has arrived was taken."""
        self._lifecycle = LifecycleClient(self.node, POLICY_NODE)
        self.state: TaskState | None = None
        self.status: PolicyStatus | None = None
        self.statuses = 0
        self._state_s = 0.0
        self.pictures: dict[str, Any] = {}
        """Camera -> its newest (H, W, 3) uint8 picture."""
        self.forget()
        subscribe = self.node.create_subscription
        subscribe(TaskState, benchmark.state_topic, self._on_state, qos.CHUNK)
        subscribe(PolicyStatus, f"{POLICY_NODE}/status", self._on_status, qos.STATUS)
        subscribe(ActionChunk, f"{POLICY_NODE}/action_chunk", self._on_chunk, qos.CHUNK)
        for stream in robot.video:
            if stream.transport != "compressed":
                subscribe(Image, stream.topic, self._keeps(stream.key), qos.SENSOR)
        for output in robot.commands:
            if output.type == "twist_stamped":
                subscribe(TwistStamped, output.topic, self._on_twist, qos.CHUNK)

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def forget(self) -> None:
        """Begin to keep chunks, modes and commands anew."""
        self.chunks: list[tuple[float, float, bool, str]] = []
        """Of each chunk: s from its observation until now, inference s, accepted, reason."""
        self.modes: list[tuple[float, str, str]] = []
        """Simulated time, mode and reason of each change of the node's mode."""
        self.began: Begin | None = None
        """When the node was first seen active; None: not yet."""
        self._twists: list[tuple[int, tuple[float, ...]]] = []

    @property
    def now(self) -> Begin:
        """The present as the begin of an episode."""
        return Begin(self.now_s, self.state.step if self.state else 0, time.monotonic())

    @property
    def now_s(self) -> float:
        """Simulated time of the newest state."""
        return seconds(self.state.header.stamp) if self.state is not None else 0.0

    @property
    def twists(self) -> TimedRows:
        """The velocities that were sent, (M, 6) by their stamps in simulated time."""
        times_ns = np.array([time_ns for time_ns, _ in self._twists], dtype=np.int64)
        return TimedRows(times_ns, np.array([row for _, row in self._twists]).reshape(-1, _TWIST))

    # --- waiting -------------------------------------------------------------------------

    def spin(self) -> None:
        """Take what arrives next; NodeError if a process has ended."""
        self._executor.spin_once(timeout_sec=_SPIN_S)
        self._check()
        self.after_spin()

    def wait(self, condition: Callable[[], Any], limit_s: float, what: Callable[[], str]) -> None:
        """Until `condition()`; NodeError with `what()` after limit_s seconds of this machine."""
        end_s = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end_s:
                raise NodeError(f"{what()} (waited {limit_s:g} s)")
            self.spin()

    def follow(self) -> None:
        """Take what arrives; NodeError if the simulation has been silent for too long."""
        self.spin()
        if time.monotonic() - self._state_s > SILENT_S:
            raise NodeError(f"{self._benchmark.state_topic}: silent for {SILENT_S:g} s")

    def call(self, kind: Any, service: str, request: Any, limit_s: float = ANSWER_S) -> Any:
        """The answer of a service; NodeError if it does not come."""
        client = self._clients.get(service)
        if client is None:  # kept: discovery takes longer than the call
            client = self._clients[service] = IntroducedClient(self.node, kind, service)
        self.wait(lambda: client.is_there, limit_s, lambda: f"no service {service}")
        self.wait(client.is_known, limit_s, lambda: f"{service}: its node answers nothing")
        asked = client.ask(request)
        self.wait(lambda: asked.answer() is not None, limit_s, lambda: f"{service}: no answer")
        return asked.answer()

    # --- simulation and policy node ------------------------------------------------------

    def reset_task(self, trial: Trial) -> tuple[str, float]:
        """Put the simulation at the begin of the trial; returns instruction and time limit, s."""
        request = ResetTask.Request(
            suite=trial.suite, task=trial.task, episode=trial.episode, seed=trial.seed
        )
        answer = self.call(ResetTask, self._benchmark.reset_service, request, RESET_S)
        if not answer.success:
            raise NodeError(f"{self._benchmark.reset_service}: {answer.message}")
        before, self.state = self.now_s, None
        self._state_s = time.monotonic()

        def arrived() -> bool:
            one = self.state
            if one is None or (one.suite, one.task, one.episode) != (
                *(trial.suite, trial.task, trial.episode),
            ):
                return False
            return not one.success

        self.wait(arrived, SILENT_S, lambda: f"{self._benchmark.state_topic}: no state of {trial}")
        if self.now_s < before:
            raise NodeError(
                f"/clock: got {self.now_s:.3f} s after a reset, {before:.3f} s before it; expected "
                "simulated time that only rises"
            )
        return str(answer.instruction), float(answer.limit_s)

    def save_record(self) -> None:
        """Let the simulation write its record; NodeError if it does not."""
        service = self._benchmark.save_service
        answer = self.call(Trigger, service, Trigger.Request())
        if not answer.success:
            raise NodeError(f"{service}: {answer.message}")

    def change(self, transition: str) -> bool:
        """Ask for a transition of the policy node; whether it was made."""
        asked = self._lifecycle.change(transition)
        answer: bool | None = None

        def answered() -> bool:
            nonlocal answer
            answer = asked.answer()
            return answer is not None

        self.wait(
            answered, ANSWER_S, lambda: f"{POLICY_NODE}: no answer to the transition {transition}"
        )
        return bool(answer)

    def trigger(self, name: str) -> str:
        """Call one of the operator's services; returns why it was refused, empty if not."""
        answer = self.call(Trigger, f"{POLICY_NODE}/{name}", Trigger.Request())
        return "" if answer.success else str(answer.message) or "no reason"

    def instruct(self, text: str) -> None:
        """Give the instruction; NodeError if it is refused."""
        request = SetInstruction.Request(instruction=text)
        answer = self.call(SetInstruction, f"{POLICY_NODE}/set_instruction", request)
        if not answer.success:
            raise NodeError(f"{POLICY_NODE}/set_instruction: {answer.message}")

    def fresh_status(self, limit_s: float = ANSWER_S) -> PolicyStatus:
        """The next status of the node."""
        seen = self.statuses
        self.wait(lambda: self.statuses > seen, limit_s, lambda: f"{POLICY_NODE}/status: silent")
        assert self.status is not None
        return self.status

    @property
    def ready(self) -> bool:
        """Whether the node may be activated."""
        return bool(self.status and self.status.ready)

    @property
    def too_short(self) -> str:
        """Why the node does not begin with chunks as short or as late as these; empty if it may.

        The comparison in the details counts only where it is the node's reason too: an earlier
        episode's latency refuses nothing.
        """
        if self.status is None:
            return ""
        values = (p.value for p in self.status.details if p.key == HORIZON_TOO_SHORT)
        return next((str(value) for value in values if value in self.status.reason), "")

    @property
    def why(self) -> str:
        """What the node says about itself, for the text of an error."""
        return f"{self.status.mode}: {self.status.reason}" if self.status else "no status"

    @property
    def refused(self) -> bool:
        """Whether the newest chunk was refused, so that it may have caused a fault.

        A chunk that was dropped came at a wrong time, and causes none.
        """
        *_, accepted, reason = self.chunks[-1] if self.chunks else (True, "")
        return not accepted and not reason.startswith(DROPPED)

    # --- subscriptions -------------------------------------------------------------------

    def _on_state(self, state: TaskState) -> None:
        self.state, self._state_s = state, time.monotonic()

    def _on_status(self, status: PolicyStatus) -> None:
        if self.status is None or status.mode != self.status.mode:
            self.modes.append((self.now_s, str(status.mode), str(status.reason)))
        if self.began is None and status.mode not in _INACTIVE:
            self.began = self.now
        self.status, self.statuses = status, self.statuses + 1

    def _on_chunk(self, chunk: ActionChunk) -> None:
        since_s = 1e-9 * self.node.get_clock().now().nanoseconds - seconds(chunk.header.stamp)
        taken_s = seconds(chunk.inference_duration)
        self.chunks.append((since_s, taken_s, bool(chunk.accepted), str(chunk.reason)))

    def _on_twist(self, message: TwistStamped) -> None:
        move, turn = message.twist.linear, message.twist.angular
        row = (move.x, move.y, move.z, turn.x, turn.y, turn.z)
        self._twists.append((Time.from_msg(message.header.stamp).nanoseconds, row))

    def _keeps(self, key: str) -> Callable[[Image], None]:
        def keep(image: Image) -> None:
            if image.encoding == "rgb8" and image.step == 3 * image.width:
                flat: NDArray[np.uint8] = np.frombuffer(image.data, np.uint8)
                self.pictures[key] = flat.reshape(image.height, image.width, 3)

        return keep


def identity(status: PolicyStatus | None) -> Plain:
    """What the node knows of its policy server."""
    if status is None:
        return {}
    names = ("server", "server_generation", "array_codec", "key_style", "embodiment_tag")
    return {name: str(getattr(status, name)) for name in names}
