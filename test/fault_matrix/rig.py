"""The whole stack with a relay, a cable to cut, and servers to exchange.

It has one function for each action; the rows say which action is done when.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from pose_robot import POSE_FILE
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.event_handler import PublisherEventCallbacks
from ros_fixtures import call, collect, deep, made, wait_for_discovery
from stack import EMBODIMENT, INSTRUCTION, MOVING_RAD_S, RELAYED, Stack
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from fault_matrix.around import Around, around_file
from fault_matrix.cable import Cable
from fault_matrix.lateness import Lateness
from gr00t_ros.demo.bringup import ros_arguments
from gr00t_ros.msg import ActionChunk, PolicyStatus
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros import qos
from gr00t_ros.ros.asked import LifecycleClient
from gr00t_ros.srv import SetInstruction

TESTS = Path(__file__).resolve().parent.parent
PATH = f"{TESTS}:{TESTS / 'fixtures'}"
OTHER_EMBODIMENT = "franka_droid_n16"
RECORD_SPAN_S = 900.0
TASK_REPEAT_S = 3.0
OPERATOR_PERIOD_S = 0.1
REST_RAD_S = 0.01
SHUTDOWNS = {
    "active": Transition.TRANSITION_ACTIVE_SHUTDOWN,
    "inactive": Transition.TRANSITION_INACTIVE_SHUTDOWN,
    "unconfigured": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
}


class Rig(Stack):
    """One bring-up of a group of faults. `rendered`: with cameras and the policy that sees.

    Without it, or with `around`, a policy sweeps joint 1 for ever. With it, whenever the task is
    done the cubes are put back and the task is given again.
    """

    def __init__(
        self, node: Any, folder: Path, cable: Cable, lateness: Lateness, rendered: bool
    ) -> None:
        self.lateness = lateness  # before the first message
        super().__init__(node, folder, "/sim/joint_states")
        self.node, self.cable, self.rendered = node, cable, rendered
        self._lifecycle = LifecycleClient(node, "/gr00t_policy")
        self.seen: list[tuple[int, Any]] = []
        self.fault_file = folder / "faults.txt"
        self.plant_file = folder / "plant.txt"
        self.folder = folder
        self.kept: dict[str, Any] = {}
        self.embodiment = POSE_FILE
        self._around: Around | None = None
        self.chunks = collect(node, ActionChunk, "/gr00t_policy/action_chunk", qos.CHUNK)
        self._policy: dict[str, Any] = {}
        self._simulated = False
        self._jumped_ns = 0
        self.asked_s = 0.0
        self.pressed, self.held = False, True
        self.silent: set[str] = set()
        # The node subscribes with every QoS: warnings about those that do not match are not needed.
        quiet = PublisherEventCallbacks(use_default_callbacks=False)
        self._switches = {
            name: node.create_publisher(
                Bool, f"/gr00t_policy/{name}", qos.COMMAND, event_callbacks=quiet
            )
            for name in ("e_stop", "dead_man")
        }
        node.create_timer(OPERATOR_PERIOD_S, self._operate)
        status = "/gr00t_policy/status"
        node.create_subscription(PolicyStatus, status, self._on_status, deep(qos.STATUS))

    # --- processes -------------------------------------------------------------------------

    def begin(
        self,
        seed: int,
        simulated: bool,
        policy: dict[str, Any],
        network: str = "near",
        around: bool = False,
    ) -> None:
        """Start everything and wait until the arm moves; `network` and `around` as in a Group."""
        outputs = load_embodiment(EMBODIMENT).outputs if network != "near" else ()
        commands = [output.topic for output in outputs]
        states = [output.state_topic for output in outputs]
        relay: dict[str, object] = {"source_prefix": "/sim"}
        relay |= {"command_topics": commands} if commands else {}
        relay |= {"controller_state_topics": states} if network == "far" else {}
        remaps = [f"{topic}:=/sim{topic}" for topic in (*RELAYED, *commands, *states)]
        robot = {
            "seed": seed,
            "record_path": str(self.folder / "record.npz"),
            "record_span_s": RECORD_SPAN_S,
            "synthetic_cameras": not self.rendered,
            "publish_clock": simulated,
            "interpolate_from_desired_state": simulated,
        }
        self._simulated = simulated
        if around:
            self._around, self.embodiment = Around(self.node), around_file(self.folder)
            self.start_commands()
        self.bringup.start_node("robot", robot, *remaps)
        self.bringup.start_node("relay", relay)
        self.start_server()
        self._policy = {
            "embodiment": str(self.embodiment),
            "port": self.cable.port,
            "instruction": INSTRUCTION,
            "timeout_ms": 3000,
            "use_sim_time": simulated,
            **policy,
        }
        self.start_policy()
        self.wait_for_motion()

    def end(self) -> None:
        """End all processes; their output stays in the folder."""
        self.signal_all_to_go_on()
        self.bringup.end()

    def start_server(self) -> None:
        """Start the policy server without a fault, and connect the cable to it."""
        self.answer_with("")
        policy, file = "scripted" if self.rendered else "sweep_policy:make_policy", EMBODIMENT
        if self._around is not None:
            policy, file = "drive_policy:make_policy", str(self.embodiment)
        self.cable.target = self._serve("sidecar", "--policy", policy, "--embodiment", file)

    def start_other_server(self) -> None:
        """Start a server of another embodiment, and connect the cable to it; ends connections."""
        self.kept["target"] = self.cable.target
        if "other" not in self.bringup.children:
            command = ("--policy", "hold", "--embodiment", OTHER_EMBODIMENT)
            self.kept["other"] = self._serve("other", *command)
        self.lead_to(self.kept["other"])

    def lead_to(self, port: int) -> None:
        """Exchange the server behind the address that the node uses."""
        self.cable.target = port
        self.cable.close_all()

    def start_policy(self) -> None:
        """Start the node, and autostart, which activates it once."""
        module = ("-m", "fault_matrix.policy", str(self.plant_file))
        command = [sys.executable, *module, *ros_arguments(self._policy)]
        self.bringup.start("policy", ["env", f"PYTHONPATH={PATH}", *command])
        self.lateness.watch(self.bringup.children["policy"].pid)
        self.bringup.start_node("autostart", {})

    def start_commands(self) -> None:
        """Start the process that sends the base's commands."""
        self.bringup.start_node("commands", {"embodiment": str(self.embodiment)})

    @property
    def around(self) -> Around:
        """What is around the arm, in a group that has it."""
        assert self._around is not None, "a group with around=True"
        return self._around

    def plant(self, what: str) -> None:
        """Plant a stall of fault_matrix/policy.py in the node's replay thread; "" removes it."""
        fresh = self.plant_file.with_suffix(".new")
        fresh.write_text(what)
        fresh.replace(self.plant_file)

    def answer_with(self, faults: str) -> None:
        """Make the server spoil its answers from now on; "" for none."""
        fresh = self.fault_file.with_suffix(".new")
        fresh.write_text(faults)
        fresh.replace(self.fault_file)

    def _serve(self, role: str, *command: str) -> int:
        """Start a server as `role`; returns its port."""
        options = ("--port", "0", "--fault-file", str(self.fault_file))
        path = f"PYTHONPATH={PATH}"
        module = ("-m", "fault_matrix.server")
        self.bringup.start(role, ["env", path, sys.executable, *module, *options, *command])
        line = self.wait(
            lambda: [t for t in self.bringup.log(role).splitlines() if t.startswith("READY")],
            f"{role} to be ready",
        )[0]
        return int(line.rpartition(":")[2])

    # --- services --------------------------------------------------------------------------

    def trigger(self, service: str) -> Any:
        """The answer of a Trigger service."""
        return call(self.node, Trigger, service, Trigger.Request())

    def reset(self) -> Any:
        """The answer of the node's ~/reset."""
        return self.trigger("/gr00t_policy/reset")

    def set_controllers(self, active: bool) -> None:
        """Activate or deactivate the robot's controllers."""
        request = SetBool.Request(data=active)
        assert call(self.node, SetBool, "/gr00t_sim_robot/set_controller_active", request).success

    def instruct(self, text: str) -> Any:
        """The answer of the node's ~/set_instruction."""
        request = SetInstruction.Request(instruction=text)
        return call(self.node, SetInstruction, "/gr00t_policy/set_instruction", request)

    def set_parameter(self, name: str, value: float | int) -> Any:
        """The result of setting one parameter of the node."""
        kind = ParameterType.PARAMETER_INTEGER
        said = ParameterValue(type=kind, integer_value=value if isinstance(value, int) else 0)
        if isinstance(value, bool):
            said = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value)
        elif isinstance(value, float):
            said = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
        request = SetParameters.Request(parameters=[Parameter(name=name, value=said)])
        answer = call(self.node, SetParameters, "/gr00t_policy/set_parameters", request)
        return answer.results[0]

    def change(self, transition: str) -> bool:
        """Make a transition; returns whether the node made it."""
        if transition != "shutdown":
            return made(self._lifecycle.change(transition))
        request = ChangeState.Request(transition=Transition(id=SHUTDOWNS[self.state]))
        return bool(call(self.node, ChangeState, "/gr00t_policy/change_state", request).success)

    @property
    def state(self) -> str:
        """The node's lifecycle state."""
        answer = wait_for_discovery(self._lifecycle.state().answer, "the node's state")
        return str(answer.current_state.label)

    def jump_clock(self, by_s: float) -> None:
        """Make the simulated clock jump; the robot's controllers go on."""
        self.inject("clock", "jump", by_s, into="robot")
        self._jumped_ns += round(by_s * 1e9)

    # --- observations ----------------------------------------------------------------------

    def robot_ns(self) -> int:
        """The present time on the clock of the robot's record."""
        return self._stamp_ns() - self._jumped_ns if self._simulated else time.monotonic_ns()

    def position_rad(self, joint: str) -> float:
        """The measured position of one joint."""
        return float(self._joints.position[list(self._joints.name).index(joint)])

    def since(self, mark: int) -> list[tuple[int, Any]]:
        """The statuses after the first `mark` ones, with the steady time of their arrival, ns."""
        return list(self.seen)[mark:]

    def wait_for_motion(self) -> None:
        """As Stack's; a task that is done is set up and given again."""
        fast = f"mode replaying and an arm joint above {MOVING_RAD_S} rad/s"
        self.wait(self._moving_or_asked, fast, 40.0)

    def wait_for_rest(self) -> None:
        """Wait until the robot measures no motion."""
        self.wait(lambda: self.speed_rad_s < REST_RAD_S, "an arm at rest")

    def dead(self) -> str:
        """The message if the simulated robot has ended by itself; it comes before all others."""
        if not self.bringup.ended("robot"):
            return ""
        return f"the simulated robot ended: {self.bringup.log('robot').strip()[-300:]}; "

    def told(self, mark: int) -> list[tuple[int, str, str]]:
        """Arrival, mode and reason of each status since the mark that changed one of both."""
        said = [(at_ns, status.mode, status.reason) for at_ns, status in self.since(mark)]
        return [b for a, b in pairwise([(0, "", ""), *said]) if a[1:] != b[1:]]

    def _moving_or_asked(self) -> bool:
        if self.mode == "replaying" and self.speed_rad_s > MOVING_RAD_S:
            return True
        done = (
            self._around is None
            and self._robot.get("success")
            and self.mode in ("replaying", "holding")
        )
        if done and time.monotonic() - self.asked_s > TASK_REPEAT_S:
            self.asked_s = time.monotonic()
            self.trigger("/gr00t_sim_robot/put_cubes_back")
            self.instruct(INSTRUCTION)
        return False

    def _operate(self) -> None:
        """Publish the state of both switches, as their drivers do, except of those in `silent`."""
        for name, said in (("e_stop", self.pressed), ("dead_man", self.held)):
            if name not in self.silent:
                self._switches[name].publish(Bool(data=said))

    def _on_joints(self, message: Any) -> None:
        super()._on_joints(message)
        self.lateness.robot_spoke()

    def _on_status(self, message: Any) -> None:
        self.seen.append((time.monotonic_ns(), message))
