"""Node /libero: LIBERO's Panda, cameras and tasks with the ROS interface of a real robot.

The topics are those of config/embodiments/libero_panda.yaml. Time is simulated: it begins when the
first task is reset, only rises, stands still while a task is reset, and is never faster than the
real-time factor: a busy machine makes it slower. So it needs no real-time priority.

Three threads: physics steps the child, publishes and resets; one reads the child's pictures; the
executor takes commands and service calls.
"""

from __future__ import annotations

import argparse
import array
import queue
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from numpy.typing import NDArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock as RclpyClock
from rclpy.clock import ClockType
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time as RosTime
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

from gr00t_ros.command_line import number
from gr00t_ros.errors import Gr00tError, SettingsError, ThreadError
from gr00t_ros.msg import TaskState
from gr00t_ros.ros import qos
from gr00t_ros.ros.node_help import NodeHelp
from gr00t_ros.ros.process import SpunApart, declared, refuse_unknown, run_node
from gr00t_ros.ros.windows import to_time
from gr00t_ros.sim.controller import Follower, SimulatedController, parameter_node
from gr00t_ros.sim.libero.commands import STEP_NS, GripperSense, TwistInput
from gr00t_ros.sim.libero.extra import require_libero
from gr00t_ros.sim.libero.motion import ToolRecorder
from gr00t_ros.sim.libero.process import RESET_LIMIT_S, Child
from gr00t_ros.sim.record import ROW_NS, CommandRecorder, save_or_explain
from gr00t_ros.sim.robot import SIMULATED_START_NS
from gr00t_ros.sim.sensors import SENSOR_OUT
from gr00t_ros.srv import ResetTask

TICK_NS = 2_000_000
"""One step of LIBERO's physics."""
CYCLES = TICK_NS // ROW_NS
STEP_TICKS = STEP_NS // TICK_NS
SLACK_TICKS = 2
"""Ticks that may be caught up: in a longer burst every message would be late in simulated time."""
PICTURE_PX = 256
CAMERAS = ("front", "wrist")
JOINTS = (
    *(f"fer_joint{number}" for number in range(1, 8)),
    "fer_finger_joint1",
    "fer_finger_joint2",
)
FINGER = "fer_finger_joint1"
GRIPPER = "gripper_controller"
# LIBERO's second finger counts downwards; Franka's driver publishes both upwards.
_SIGNS = np.array([*[1.0] * 8, -1.0])
_FINGER_COLUMN = JOINTS.index(FINGER)

# Periods of publishing, in ticks.
CLOCK_TICKS = 2
SENSOR_TICKS = 5
CONTROLLER_TICKS = 10

_CHECK_PERIOD_S = 0.2
_FACTOR, _FACTORS = "--real-time-factor", (0.01, 10.0)
"""The option, and the smallest and largest value of its parameter."""
_PICTURES_LIMIT_S = 30.0
_TABLE: dict[str, tuple[object, str]] = {
    "real_time_factor": (0.25, "Fastest speed of simulated time; latencies shrink by it"),
    "record_path": ("", "File (.npz) for the record, by service and at the end; '' for none"),
    "suite": ("", "Suite of which an episode begins at once, such as libero_object; '': wait"),
    "task": (0, "Index of the task of that episode"),
    "episode": (0, "Index of its initial state"),
    "record_span_s": (300.0, "Newest part of the run that the record keeps, s"),
}


class LiberoRobot(Node):
    """Nothing moves and no topic has a message before the first episode: ResetTask, or `suite`."""

    def __init__(self) -> None:
        """Start the child; SettingsError without the extra or for wrong parameters."""
        super().__init__("libero")
        values: dict[str, Any] = {
            name: declared(
                self, name, default, ParameterDescriptor(description=what, read_only=True)
            )
            for name, (default, what) in _TABLE.items()
        }
        refuse_unknown(self)
        low, high = _FACTORS
        if not low <= values["real_time_factor"] <= high:
            raise SettingsError(
                f"real_time_factor: got {values['real_time_factor']}, expected {low:g} to {high:g}"
            )
        self._record_path = str(values["record_path"])
        self._pace = Pace(TICK_NS / values["real_time_factor"], SLACK_TICKS)
        self._twists, self._sense = TwistInput(), GripperSense()
        self._follower = Follower((FINGER,), np.array([0.0]))
        self._recorder = CommandRecorder((FINGER,), values["record_span_s"])
        self._tool = ToolRecorder(values["record_span_s"], TICK_NS)
        self._time_ns, self._tick = SIMULATED_START_NS, 0
        self._measured = np.zeros(len(JOINTS)), np.zeros(len(JOINTS))
        self._task = TaskState()
        self._wanted: queue.SimpleQueue[tuple[ResetTask.Request, Any]] = queue.SimpleQueue()
        self._pictures: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._pictures_due = 0  # asked for and not come yet
        self._running, self._stop = False, threading.Event()
        self._error: BaseException | None = None
        self._child = Child(require_libero(), self._on_pictures)
        self._open()
        node = parameter_node(self._follower, GRIPPER, "splines", self.context)
        self._parameter_services = SpunApart("parameters", [node], self.context)
        if values["suite"]:
            where = {name: values[name] for name in ("suite", "task", "episode")}
            self._wanted.put((ResetTask.Request(**where), Future()))
        self._thread = threading.Thread(target=self._run, name="physics", daemon=True)
        self._thread.start()
        self.get_logger().info("waiting for /libero/reset_task")

    def destroy_node(self) -> None:
        """End the physics and the child, save the record, then destroy the node."""
        self._stop.set()
        self._thread.join()
        self._child.close()
        if self._record_path:
            self._on_save(Trigger.Request(), Trigger.Response())
        self._parameter_services.end()
        super().destroy_node()

    def _open(self) -> None:
        """Create publishers, subscriptions and services."""
        self._time = self.create_publisher(Clock, "/clock", SENSOR_OUT)
        self._joints = self.create_publisher(JointState, "/joint_states", SENSOR_OUT)
        self._pose = self.create_publisher(PoseStamped, "/ee_pose", SENSOR_OUT)
        self._images = {
            name: self.create_publisher(Image, f"/camera/{name}/image_raw", SENSOR_OUT)
            for name in CAMERAS
        }
        self._state = self.create_publisher(TaskState, "~/task_state", qos.DIAGNOSTICS)
        self._gripper = SimulatedController(
            self, GRIPPER, self._follower, lambda: (self._time_ns, 0), self._measured_finger
        )
        self.create_subscription(
            TwistStamped, "/servo_node/delta_twist_cmds", self._on_twist, qos.COMMAND
        )
        self.create_service(ResetTask, "~/reset_task", self._on_reset)
        self.create_service(Trigger, "~/save_record", self._on_save)
        self.create_timer(
            _CHECK_PERIOD_S, self._check, clock=RclpyClock(clock_type=ClockType.STEADY_TIME)
        )

    # --- commands and services, on the executor's thread

    def _on_twist(self, message: TwistStamped) -> None:
        move, turn = message.twist.linear, message.twist.angular
        reason = self._twists.accept(
            message.header.frame_id,
            RosTime.from_msg(message.header.stamp).nanoseconds,
            np.array([move.x, move.y, move.z, turn.x, turn.y, turn.z]),
            self._time_ns,
        )
        if reason:
            self.get_logger().error(f"refused twist: {reason}", throttle_duration_sec=1.0)

    async def _on_reset(
        self, request: ResetTask.Request, response: ResetTask.Response
    ) -> ResetTask.Response:
        """Answers when the physics thread has done it; other calls go on meanwhile."""
        done: Any = Future(executor=self.executor)
        self._wanted.put((request, done))
        answer = await done
        response.success = not answer.get("error")
        response.message = answer.get("error", "")
        response.instruction = answer.get("instruction", "")
        response.limit_s = float(answer.get("limit_s", 0.0))
        return response

    def _on_save(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        record = self._recorder.snapshot(0, self._tool.rows(*self._twists.rows()))
        response.success, response.message = save_or_explain(self._record_path, record)
        self.get_logger().info(response.message)
        return response

    def _check(self) -> None:
        """Raise ThreadError if a thread has ended: a dead robot must not look still."""
        self._parameter_services.check()
        if self._error is not None:
            raise ThreadError(f"physics thread: {self._error}") from self._error

    # --- the physics thread

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if not self._wanted.empty():
                    self._reset(*self._wanted.get())
                elif self._running:
                    self._advance()
                else:
                    self._stop.wait(0.01)
        except Exception as error:
            self._error = error

    def _reset(self, request: ResetTask.Request, done: Any) -> None:
        """Begin an episode; simulated time stands still until the robot is there."""
        where = {"suite": request.suite, "task": request.task, "episode": request.episode}
        self._running = False
        try:
            answer = self._child.ask(
                "reset", RESET_LIMIT_S, **where, seed=int(request.seed) % 2**32
            )
            self._begin(request, answer["state"])
            self.get_logger().info(f"the task: {answer['instruction']}")
            done.set_result(answer)
        except Gr00tError as error:
            self.get_logger().error(f"reset: {error}")
            done.set_result({"error": str(error)})
            self._child.check()  # a child that has ended ends the robot

    def _begin(self, request: ResetTask.Request, state: Mapping[str, list[float]]) -> None:
        self._task = TaskState(suite=request.suite, task=request.task, episode=request.episode)
        self._twists.forget(self._time_ns)
        self._sense.forget()
        self._tool.begin(self._time_ns)
        self._measure(state)
        self._follower.set_active(False, self._measured_finger()[0])
        self._follower.set_active(True, self._measured_finger()[0])
        self._tick = 0
        self._pace.begin()
        self._child.ask("picture", picture=self._time_ns)
        self._pictures_due += 1
        self._publish(state)
        self._publish_task(False)
        self._wait_for_pictures()
        self._running = True

    def _advance(self) -> None:
        """One tick: the gripper's cycles, a step of the physics, and what is due after it."""
        if not self._pace.wait(self._stop):
            return
        if self._tick % STEP_TICKS == 0:
            twist = self._twists.action(self._time_ns)
        ends = (self._tick + 1) % STEP_TICKS == 0
        for cycle_ns in range(self._time_ns + ROW_NS, self._time_ns + TICK_NS + 1, ROW_NS):
            motion = self._follower.command(cycle_ns)
            self._recorder.append(cycle_ns, *motion, self._measured_finger()[0])
        if self._tick % STEP_TICKS == 0:
            self._action = [*twist.tolist(), self._sense.action(float(motion[1][0]))]
        if ends:
            self._wait_for_pictures()  # of the step before: every step has its pictures
        self._tick += 1
        self._time_ns += TICK_NS
        answer = self._child.ask(
            "step", action=self._action, picture=self._time_ns if ends else None
        )
        self._pictures_due += ends
        self._measure(answer["state"])
        self._tool.append(self._time_ns, answer["state"], self._action)
        self._publish(answer["state"])
        if answer["done"] is not None:
            self._publish_task(answer["done"])

    def _wait_for_pictures(self) -> None:
        """Wait for all that were asked for, also before a reset: none may come a step late."""
        try:
            while self._pictures_due:
                self._pictures.get(timeout=_PICTURES_LIMIT_S)
                self._pictures_due -= 1
        except queue.Empty:
            self._child.check()
            raise

    def _measure(self, state: Mapping[str, list[float]]) -> None:
        self._measured = (
            np.array(state["position"]) * _SIGNS,
            np.array(state["velocity"]) * _SIGNS,
        )

    def _measured_finger(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        position, velocity = self._measured
        column = slice(_FINGER_COLUMN, _FINGER_COLUMN + 1)
        return position[column], velocity[column]

    def _publish(self, state: Mapping[str, list[float]]) -> None:
        stamp = to_time(self._time_ns)
        if self._tick % CLOCK_TICKS == 0:
            self._time.publish(Clock(clock=stamp))
        if self._tick % SENSOR_TICKS == 0:
            position, velocity = self._measured
            joints = JointState(
                name=JOINTS,
                position=position.tolist(),
                velocity=velocity.tolist(),
                effort=(np.array(state["effort"]) * _SIGNS).tolist(),
            )
            joints.header.stamp = stamp
            self._joints.publish(joints)
            self._pose.publish(_pose(stamp, state["tool"]))
        if self._tick % CONTROLLER_TICKS == 0:
            self._gripper.publish_state(stamp)

    def _publish_task(self, done: bool) -> None:
        self._task.header.stamp = to_time(self._time_ns)
        self._task.step = self._tick // STEP_TICKS
        if done and not self._task.success:
            seconds = self._tick * TICK_NS * 1e-9
            self.get_logger().info(f"the task is done, {seconds:.1f} s after the reset")
        self._task.success = self._task.success or done
        self._state.publish(self._task)

    # --- the thread that reads the child

    def _on_pictures(self, time_ns: int, pictures: Mapping[str, bytes]) -> None:
        for name, values in pictures.items():
            message = Image(
                height=PICTURE_PX, width=PICTURE_PX, encoding="rgb8", step=3 * PICTURE_PX
            )
            message.header.stamp = to_time(time_ns)
            message.header.frame_id = f"{name}_camera"
            message.data = array.array("B", values)
            self._images[name].publish(message)
        self._pictures.put(time_ns)


class Pace:
    """Simulated time that is never faster than wanted, and slower where the machine is busy.

    Ticks a period apart; a late one delays all later ones, but for what `slack` catches up.
    """

    def __init__(self, period_ns: float, slack: int) -> None:
        """``period_ns``: steady time between two ticks; ``slack``: ticks that may be caught up.

        So `slack` + n ticks never take less than n periods.
        """
        self._period_ns = period_ns
        self._slack_ns = slack * period_ns
        self._due_ns = 0.0

    def begin(self) -> None:
        """The next tick is due a period from now."""
        self._due_ns = time.monotonic_ns() + self._period_ns

    def wait(self, stop: threading.Event) -> bool:
        """Wait until the next tick is due; False when ``stop`` was set."""
        left_ns = self._due_ns - time.monotonic_ns()
        if left_ns > 0:
            stop.wait(left_ns * 1e-9)
        self._due_ns = max(self._due_ns, time.monotonic_ns() - self._slack_ns) + self._period_ns
        return not stop.is_set()


def _pose(stamp: object, tool: Sequence[float]) -> PoseStamped:
    message = PoseStamped()
    message.header.stamp = stamp
    message.header.frame_id = "world"
    place, turn = message.pose.position, message.pose.orientation
    place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w = tool
    return message


HELP = NodeHelp(
    "gr00t sim libero",
    "Node libero: LIBERO's Panda and tasks with the topics of a robot; service /libero/reset_task "
    "begins an episode. --real-time-factor F is short for its parameter. An optional extra: ./dev "
    "setup libero installs it.",
    tuple((name, default, what) for name, (default, what) in _TABLE.items()),
    "gr00t sim libero --real-time-factor 0.25",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the robot until SIGINT or SIGTERM; `--real-time-factor F` is short for its parameter."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return run_node(LiberoRobot, _with_factor(words), about=HELP)


def _with_factor(words: Sequence[str]) -> list[str]:
    """The words with the option as a parameter; ends with MISUSE for a wrong value."""
    split = words.index("--ros-args") if "--ros-args" in words else len(words)
    parser = argparse.ArgumentParser(prog=HELP.command, add_help=False, allow_abbrev=False)
    parser.add_argument(_FACTOR, type=number(*_FACTORS), metavar="F")
    # what it does not know is for run_node, which knows --help and what was probably meant
    options, others = parser.parse_known_args(words[:split])
    if options.real_time_factor is None:
        return list(words)
    # a float, because rclpy refuses the whole number of `:=1`; a parameter that is given wins
    chosen = ("--ros-args", "-p", f"real_time_factor:={options.real_time_factor!r}")
    return [*others, *chosen, *words[split + 1 :]]


if __name__ == "__main__":
    sys.exit(main())
