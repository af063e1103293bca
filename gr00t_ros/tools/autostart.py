"""Node gr00t_autostart: configures the policy node and activates it once its status says ready.

It ends with status 0 after the activation, by whomever, and does nothing more: a policy node that
was deactivated, or that crashed and was started again, must not begin to move by itself. SIGINT and
SIGTERM also end it with 0, as every node of this package: launch reports any other status as an
error. While the policy node is not ready, autostart logs the reason from the node's status.
"""

import math
import sys
import threading
import time
from collections.abc import Callable, Sequence

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from gr00t_ros.command_line import NO
from gr00t_ros.errors import Gr00tError
from gr00t_ros.msg import PolicyStatus
from gr00t_ros.ros.asked import AskedTransition, LifecycleClient
from gr00t_ros.ros.node_help import NodeHelp, asks_for_help
from gr00t_ros.ros.policy_node import POLICY_NAME
from gr00t_ros.ros.process import (
    MISUSE,
    OK,
    ROS_REFUSALS,
    checked_name,
    declared,
    initialise,
    refuse_unknown,
    refused,
)
from gr00t_ros.ros.qos import STATUS
from gr00t_ros.ros.transports import avoid_shared_memory
from gr00t_ros.session.mode import Mode
from gr00t_ros.signals import StoppedBySignal, stop_on_signals

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
        self._lifecycle = LifecycleClient(self, self._policy)
        self.create_subscription(PolicyStatus, f"{self._policy}/status", self._on_status, STATUS)
        self._status: PolicyStatus | None = None
        self._logged = ("", 0.0)  # the last reason for waiting, and when it was logged
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._stop = stop
        self._activating = False
        self._was_active = False  # by its status, since this node began; not by a stop of before
        self._mode = ""  # of the last status
        self._episode: int | None = None  # before the first request that may still be carried out

    def run(self) -> int:
        """Exit status: 0 once the policy node was activated or on `stop`, 1 if it cannot be."""
        try:
            if self._state() == "unconfigured":
                self._made(self._lifecycle.change("configure"), "configure")
            if self._state() == "unconfigured":
                self.get_logger().error(f"{self._policy} refused to configure: {self._reason()}")
                return NO
            while (state := self._state()) == "inactive":
                if self._activate_when_ready():
                    return OK  # whatever its state is now: somebody may have deactivated it
            if state == "active":
                return OK
            self.get_logger().error(f"{self._policy} is {state}: {self._reason()}")
            return NO
        except StoppedBySignal:
            text = f"interrupted before node {self._policy} was activated"
            if self._activating:
                text = f"interrupted: node {self._policy} may be active: see gr00t operator status"
            self.get_logger().info(text)
            return OK
        finally:
            self._executor.shutdown()

    def _activate_when_ready(self) -> bool:
        """Try once, after a status that is newer than the last attempt says ready.

        Returns whether it was activated, by this or by somebody else. Where the answer is lost, the
        node's status decides, not its state: a person may have deactivated it since then, and the
        arm must not move again. An activation begins an episode.
        """
        ready = self._wait(self._ready)
        if ready is None or self._was_active or self._has_other_episode():
            return self._give_up()
        self._episode, self._status, self._activating = ready.episode, None, True
        asked = self._lifecycle.change("activate", repeats=False)
        if self._made(asked, "activate"):
            self.get_logger().info(f"{self._policy} is active")
            return True
        if asked.why_not == asked.LOST:
            self._status = None  # only one that was made after the state was told counts
        # An inactive node tells its status again and again, one that is not configured does not.
        limit_s = math.inf if asked.why_not == asked.LOST else REPEAT_S
        self._wait(lambda: self._status, limit_s)
        if self._was_active or self._has_other_episode():
            return self._give_up()
        if asked.why_not != asked.LOST:
            self._episode = None  # what was not sent or was refused is not carried out any more
        self._activating = False
        text = {
            asked.REFUSED: "refused to activate",
            asked.LOST: "did not answer and is inactive, it is asked again",
            asked.CHANGED: "was started anew, or changed by somebody else",
        }[asked.why_not]
        self.get_logger().warning(f"{self._policy} {text}: {self._reason()}")
        return False

    def _give_up(self) -> bool:
        """The node was active since autostart began: it does not activate it (again)."""
        if self._status is not None and self._status.mode in _ACTIVE:
            self.get_logger().info(f"{self._policy} is active")
        else:
            self.get_logger().warning(
                f"{self._policy} was active or got an instruction since autostart waits for it: it "
                "is not activated again; start autostart again"
            )
        return True

    def _has_other_episode(self) -> bool:
        """Whether an episode began since the status before the first request that may have come."""
        if self._status is None or self._episode is None:
            return False
        new = self._status.mode == Mode.UNCONFIGURED.value  # its episodes begin anew
        return not new and self._status.episode != self._episode

    def _ready(self) -> PolicyStatus | None:
        """The status that ends the wait: ready, or of a node that is active already."""
        if self._status is not None and (self._status.ready or self._was_active):
            return self._status
        return None

    def _log_waiting(self, reason: str) -> None:
        """Log what is waited for, at once and then every REPEAT_S."""
        now = time.monotonic()
        if reason != self._logged[0] or now > self._logged[1] + REPEAT_S:
            self.get_logger().info(f"waiting for {self._policy}: {reason}")
            self._logged = (reason, now)

    def _reason(self) -> str:
        if self._status is None:
            return "no status yet"
        return str(self._status.reason or self._status.mode)

    def _on_status(self, status: PolicyStatus) -> None:
        goes_on = status.mode == Mode.STOPPING.value and self._mode in ("", status.mode)
        self._was_active = self._was_active or (status.mode in _ACTIVE and not goes_on)
        self._status, self._mode = status, status.mode

    def _state(self) -> str:
        """The policy node's state; waits without limit for the node and for its answer."""
        asked, begun_s = self._lifecycle.state(), time.monotonic()
        while (answer := asked.answer()) is None:
            self._log_silence("its state", begun_s)
            self._spin()
        return str(answer.current_state.label)

    def _made(self, asked: AskedTransition, label: str) -> bool:
        """Whether the transition was made; waits without limit until that is known.

        False also once the status shows that the node was active: nothing is sent from then on.
        """
        begun_s = time.monotonic()
        while not self._was_active:
            if (made := asked.answer()) is not None:
                return made
            self._log_silence(f"the answer to {label}", begun_s)
            self._spin()
        return False

    def _log_silence(self, awaited: str, begun_s: float) -> None:
        """Log that the node is not there, or that what it owes has been missing for REPEAT_S."""
        if not self._lifecycle.is_there:
            self._log_waiting(
                f"no node {self._policy} in ROS_DOMAIN_ID {self.context.get_domain_id()} yet; "
                "start it with gr00t policy --embodiment NAME|FILE --server HOST:PORT"
            )
        elif time.monotonic() > begun_s + REPEAT_S:
            self._log_waiting(f"{awaited} does not come")

    def _wait(
        self, status: Callable[[], PolicyStatus | None], limit_s: float = math.inf
    ) -> PolicyStatus | None:
        end_s = time.monotonic() + limit_s
        while (found := status()) is None and time.monotonic() < end_s:
            self._log_waiting(self._reason())
            self._spin()
        return found

    def _spin(self) -> None:
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
