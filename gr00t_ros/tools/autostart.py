"""Node gr00t_autostart: configures the policy node and activates it once its status says ready.

It ends with status 0 after the activation and does nothing more: a policy node that was
deactivated, or that crashed and was started again, must not begin to move by itself. SIGINT and
SIGTERM also end it with 0, as every node of this package: launch reports any other status as an
error. While the policy node is not ready, autostart logs the reason from the node's status.
"""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from gr00t_ros.command_line import NO
from gr00t_ros.errors import Gr00tError
from gr00t_ros.msg import PolicyStatus
from gr00t_ros.ros.node_help import NodeHelp, asks_for_help
from gr00t_ros.ros.policy_node import POLICY_NAME
from gr00t_ros.ros.process import (
    MISUSE,
    OK,
    ROS_REFUSALS,
    StoppedBySignal,
    checked_name,
    declared,
    initialise,
    refuse_unknown,
    refused,
    stop_on_signals,
)
from gr00t_ros.ros.qos import STATUS
from gr00t_ros.ros.transports import avoid_shared_memory
from gr00t_ros.session.mode import Mode

ANSWER_LIMIT_S = 30.0
"""Longest wait for the answer to a transition; none of them waits for the sidecar (design.md 8)."""

_ACTIVE = frozenset(
    mode.value
    for mode in Mode
    if mode not in (Mode.UNCONFIGURED, Mode.WAITING, Mode.READY, Mode.FAULT_INACTIVE)
)
"""The modes of a node that is active, or that still stops after it was."""

REPEAT_S = 5.0
"""An unchanged reason for waiting is logged again after this long."""


class Autostart(Node):
    """Requests two transitions of one lifecycle node, each only when it can succeed."""

    def __init__(self, stop: threading.Event) -> None:
        """The parameter `node` is the policy node's name, relative to this node's namespace.

        `stop` ends `run` at its next wake-up; a signal handler may set it. Raises SettingsError
        for any other parameter.
        """
        super().__init__("gr00t_autostart")
        name, default, meaning = _NODE
        descriptor = ParameterDescriptor(description=meaning, read_only=True)
        self._policy = str(declared(self, name, default, descriptor))
        refuse_unknown(self)
        checked_name("parameter node", self._policy)
        # get_state last: a node that answers it knows both clients (ros/asked.py)
        self._change_state = self.create_client(ChangeState, f"{self._policy}/change_state")
        self._get_state = self.create_client(GetState, f"{self._policy}/get_state")
        self.create_subscription(PolicyStatus, f"{self._policy}/status", self._on_status, STATUS)
        self._status: PolicyStatus | None = None
        self._logged = ("", 0.0)  # the last reason for waiting, and when it was logged
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._stop = stop
        self._activating = False
        self._was_active = False  # by its status, since its activation was requested

    def run(self) -> int:
        """Exit status: 0 once the policy node is active or on `stop`, 1 if it cannot be active."""
        try:
            if self._state() == State.PRIMARY_STATE_UNCONFIGURED:
                self._change(Transition.TRANSITION_CONFIGURE)
            if self._state() == State.PRIMARY_STATE_UNCONFIGURED:
                self.get_logger().error(f"{self._policy} refused to configure: {self._reason()}")
                return NO
            while self._state() == State.PRIMARY_STATE_INACTIVE:
                if self._activate_when_ready():
                    return 0  # whatever its state is now: somebody may have deactivated it
            state = self._call(self._get_state, GetState.Request()).current_state
            if state.id == State.PRIMARY_STATE_ACTIVE:
                return 0
            self.get_logger().error(f"{self._policy} is {state.label}: {self._reason()}")
            return NO
        except StoppedBySignal:
            text = f"interrupted before node {self._policy} was activated"
            if self._activating:
                text = f"interrupted: node {self._policy} may be active: see gr00t operator status"
            self.get_logger().info(text)
            return 0
        finally:
            self._executor.shutdown()

    def _activate_when_ready(self) -> bool:
        """Try once, after a status that is newer than the last attempt says ready.

        Returns whether it was activated.
        """
        self._wait(self._ready)
        self._status, self._was_active, self._activating = None, False, True
        accepted = self._change(Transition.TRANSITION_ACTIVATE)
        self._activating = accepted
        if accepted:
            self.get_logger().info(f"{self._policy} is active")
        else:
            self._wait(lambda: self._status is not None)
            self.get_logger().warning(f"{self._policy} refused to activate: {self._reason()}")
        return accepted

    def _ready(self) -> bool:
        if self._status is not None and self._status.ready:
            return True
        self._log_waiting(self._reason())
        return False

    def _log_waiting(self, reason: str) -> None:
        """Log what is waited for, at once and then every REPEAT_S."""
        now = time.monotonic()
        if reason != self._logged[0] or now > self._logged[1] + REPEAT_S:
            self.get_logger().info(f"waiting for {self._policy}: {reason}")
            self._logged = (reason, now)

    def _is_there(self, client: Any) -> bool:
        """Whether the policy node is discovered; else say what is waited for."""
        if client.service_is_ready():
            return True
        name = client.srv_name.rpartition("/")[0]
        self._log_waiting(
            f"no node {name} in ROS_DOMAIN_ID {self.context.get_domain_id()} yet; start it with "
            "gr00t policy --embodiment NAME|FILE --server HOST:PORT"
        )
        return False

    def _reason(self) -> str:
        if self._status is None:
            return "no status yet"
        return str(self._status.reason or self._status.mode)

    def _on_status(self, status: PolicyStatus) -> None:
        self._status = status
        self._was_active = self._was_active or (self._activating and status.mode in _ACTIVE)

    def _state(self) -> int:
        return int(self._call(self._get_state, GetState.Request()).current_state.id)

    def _change(self, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        answer = self._call(self._change_state, request)
        return answer is None or bool(answer.success)

    def _call(self, client: Any, request: Any) -> Any:
        """The response; waits for the service without limit, and asks again if no answer comes.

        None if the status shows that the node has been activated: where the answer is lost, another
        request would start an arm again that a person has deactivated in the meantime.
        """
        while True:
            self._wait(lambda: self._is_there(client))
            future = client.call_async(request)
            self._wait(partial(self._is_over, future), ANSWER_LIMIT_S)
            if future.done():
                return future.result()
            client.remove_pending_request(future)
            if self._was_active:
                return None
            self.get_logger().warning(f"no answer from {client.srv_name}; asking again")

    def _is_over(self, future: Any) -> bool:
        return self._was_active or bool(future.done())

    def _wait(self, condition: Callable[[], bool], limit_s: float = float("inf")) -> None:
        end = time.monotonic() + limit_s
        while not condition() and time.monotonic() < end:
            if self._stop.is_set():
                raise StoppedBySignal
            self._executor.spin_once(timeout_sec=0.05)


_NODE = ("node", POLICY_NAME, "The policy node's name")
HELP = NodeHelp(
    "gr00t autostart",
    "Node gr00t_autostart: configures the policy node and activates it once its status says "
    "ready. The robot moves from then on. It ends afterwards, and never activates a second time.",
    (_NODE,),
    "gr00t autostart --ros-args -p node:=gr00t_policy",
)


def main(args: Sequence[str] | None = None) -> int:
    """Run until the policy node is active, or until SIGINT or SIGTERM."""
    if asks_for_help(args):
        print(HELP.text())
        return OK
    stop = stop_on_signals()
    try:
        avoid_shared_memory()  # and be announced often: a policy node that starts later finds it
        initialise(args, HELP)
        node = Autostart(stop)
    except (Gr00tError, *ROS_REFUSALS) as error:
        print(refused(error), file=sys.stderr)
        rclpy.try_shutdown()
        return MISUSE
    try:
        return node.run()
    finally:
        node.destroy_node()
        rclpy.shutdown()


if __name__ == "__main__":
    sys.exit(main())
