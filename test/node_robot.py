"""The policy node as a process, with a simulated robot and a policy server as two more.

A test starts what it needs of the three and looks at them over DDS alone. Command topics are
read under a name that starts with gr00t_sim: the node refuses any other by default.
"""

import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from ros_fixtures import call, collect, wait_until
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gr00t_ros.msg import PolicyStatus
from gr00t_ros.ros import qos
from gr00t_ros.sim.assets import INSTALL_COMMAND, PANDA, installed
from gr00t_ros.srv import SetInstruction

NEEDS_ROBOT = pytest.mark.skipif(not installed(PANDA), reason=f"no robot model: {INSTALL_COMMAND}")
NODE = "/gr00t_policy"
ARM, GRIPPER = "/fr3_arm_controller/joint_trajectory", "/gripper_controller/joint_trajectory"
SWEEP = "sweep_policy:make_policy"
MOVING_RAD_S = 0.1
TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
    "shutdown": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}
STATES = {
    State.PRIMARY_STATE_UNCONFIGURED: "unconfigured",
    State.PRIMARY_STATE_INACTIVE: "inactive",
    State.PRIMARY_STATE_ACTIVE: "active",
    State.PRIMARY_STATE_FINALIZED: "finalized",
}


def free_port():
    """A TCP port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Rig:
    """The processes of one test and what they have said."""

    def __init__(self, processes, node):
        self.node, self._processes = node, processes
        self.port = free_port()
        self.policy = self.robot = self.server = None
        self._joints = None
        self.statuses = collect(node, PolicyStatus, f"{NODE}/status", qos.STATUS)
        self.diagnostics = collect(node, DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        node.create_subscription(JointState, "/joint_states", self._on_joints, qos.SENSOR)
        self._watcher = rclpy.create_node("gr00t_sim_watcher", context=node.context)
        node.executor.add_node(self._watcher)
        self.arm = collect(self._watcher, JointTrajectory, ARM, qos.COMMAND)
        self.gripper = collect(self._watcher, JointTrajectory, GRIPPER, qos.COMMAND)

    def close(self):
        """Stop watching."""
        self.node.executor.remove_node(self._watcher)
        self._watcher.destroy_node()

    # --- processes -------------------------------------------------------------------------

    def start_robot(self, *arguments):
        """The simulated robot, without a renderer; `arguments` are further ones of ROS."""
        arguments = ("--ros-args", "-p", "synthetic_cameras:=true", *arguments)
        self.robot = self._processes.start("-m", "gr00t_ros.sim.robot", *arguments, name="robot")

    def start_server(self, policy="hold", embodiment="franka_droid", delay_ms=0):
        """A policy server on this rig's port, the second time on the same one; waits for it."""
        arguments = ("--port", str(self.port), "--embodiment", embodiment)
        arguments += ("--delay-ms", str(delay_ms))
        self.server = self._processes.start(
            *("-m", "gr00t_ros.sidecar", policy, *arguments),
            name="server",
            PYTHONPATH=os.pathsep.join(
                [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
            ),
        )
        self.server.wait_for_line("^READY ")

    def start_policy(self, **parameters):
        """The node under test, with parameters as on the command line."""
        given = {"embodiment": "franka_droid", "port": self.port, "instruction": "hold still"}
        values = {**given, **parameters}
        arguments = [x for k, v in values.items() for x in ("-p", f"{k}:={v}")]
        self.policy = self._processes.start(
            "-m", "gr00t_ros.ros.node", "--ros-args", *arguments, name="policy"
        )

    def start_moving(self, **parameters):
        """Robot, server and node, active and in motion."""
        self.start_robot()
        self.start_server(SWEEP)
        self.move(**parameters)

    def move(self, **parameters):
        """The node, active and in motion, with a robot and a server that are there."""
        self.start_policy(**parameters)
        assert self.change("configure")
        self.wait_for_mode("ready")
        # As autostart: a late machine can leave a gap in the history between ready and activate.
        wait_until(lambda: self.change("activate"), "an accepted activation")
        self.wait_for_motion()

    # --- services --------------------------------------------------------------------------

    def change(self, transition):
        """Whether the node said that it made the transition."""
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[transition]))
        return call(self.node, ChangeState, f"{NODE}/change_state", request).success

    @property
    def state(self):
        """The lifecycle state as the node's own service tells it."""
        answer = call(self.node, GetState, f"{NODE}/get_state", GetState.Request())
        return STATES[answer.current_state.id]

    def instruct(self, text):
        """The answer of ~/set_instruction."""
        request = SetInstruction.Request(instruction=text)
        return call(self.node, SetInstruction, f"{NODE}/set_instruction", request)

    def ask(self, service):
        """The answer of one of the operator's services."""
        return call(self.node, Trigger, f"{NODE}/{service}", Trigger.Request())

    def reset(self):
        """The answer of ~/reset."""
        return self.ask("reset")

    # --- what is seen ----------------------------------------------------------------------

    def wait_for_mode(self, *modes: str) -> Any:
        """The newest status, once its mode is one of these."""
        return self.wait_for_status(lambda s: s.mode in modes, f"mode {' or '.join(modes)}")

    def wait_for_reason(self, *parts: str) -> Any:
        """The newest status, once its reason has all of these parts."""
        return self.wait_for_status(lambda s: all(p in s.reason for p in parts), f"reason {parts}")

    def wait_for_status(self, condition: Any, what: str) -> Any:
        """The newest status, once it meets the condition."""
        try:
            return wait_until(
                lambda: self.statuses and condition(self.statuses[-1]) and self.statuses[-1], what
            )
        except pytest.fail.Exception as failure:
            pytest.fail("\n".join([str(failure), *self.told()[-12:]]))

    def told(self) -> list[str]:
        """Mode and reason of all statuses, each only where it changed."""
        said = [f"{s.mode}: {s.reason}" for s in list(self.statuses)]
        return [b for a, b in zip(["", *said], said, strict=False) if a != b]

    def level(self, entry: str) -> Any:
        """The newest level of a /diagnostics entry, None before the first."""
        for array in reversed(list(self.diagnostics)):
            for status in array.status:
                if status.name == f"gr00t_policy: {entry}":
                    return status.level
        return None

    @property
    def speed_rad_s(self) -> float:
        """The fastest arm joint as measured now."""
        return max(abs(v) for v in self._joints.velocity[:7]) if self._joints else 0.0

    def wait_for_motion(self) -> None:
        """Until chunks are replayed and the arm is seen in motion."""
        self.wait_for_mode("replaying")
        wait_until(lambda: self.speed_rad_s > MOVING_RAD_S, "an arm in motion")

    def arm_moved_by(self, rad: float, within_s: float) -> Any:
        """What an operator may command: the first arm joint `rad` further, the others as now."""
        wait_until(lambda: self._joints, "a joint state")
        names, at = self._joints.name[:7], list(self._joints.position[:7])
        self.goal = at[0] + rad
        point = JointTrajectoryPoint(positions=[self.goal, *at[1:]], velocities=[0.0] * 7)
        point.time_from_start.sec, rest = int(within_s), within_s % 1.0
        point.time_from_start.nanosec = int(rest * 1e9)
        return JointTrajectory(joint_names=list(names), points=[point])

    def arm_at(self, joint: int, rad: float) -> bool:
        """Whether a joint is measured there, to 0.02 rad."""
        return abs(self._joints.position[joint] - rad) < 0.02

    def assert_rest(self) -> None:
        """The arm comes to rest, and every joint state of the next 0.2 s says so.

        Measured joints follow behind their commands, the more the later the machine is.
        """
        wait_until(lambda: self.speed_rad_s < 0.02, "an arm at rest")
        end, speeds = time.monotonic() + 0.2, []
        wait_until(lambda: speeds.append(self.speed_rad_s) or time.monotonic() > end, "0.2 s")
        assert max(speeds) < 0.02, f"{max(speeds):.3f} rad/s"

    def _on_joints(self, message):
        self._joints = message


def speed_at(window: Any, index: int) -> float:
    """The fastest joint of a window's point, rad/s."""
    return float(np.abs(window.points[index].velocities).max())
