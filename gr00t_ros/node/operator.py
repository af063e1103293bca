"""The operator's services, available at any time: ~/pause, ~/resume, ~/reset, ~/estop.

Each is a Trigger that answers success or the reason for a failure. The service ~/estop is a
functional stop, as fast as the limits allow; it is not an emergency stop as defined in ISO 10218.
The button topic ~/e_stop is in operator_watches. A latched fault outlives its configuration: it is
kept here until the next one. Runs on the executor thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

from rclpy.node import Node
from std_srvs.srv import Trigger

from gr00t_ros.errors import Gr00tError, StalledError
from gr00t_ros.node.wiring import Configured, Leave
from gr00t_ros.ros.policy_node import NOT_CONFIGURED
from gr00t_ros.session.session import Session
from gr00t_ros.watch.table import finding

REPEATED_S = 1.0
"""A request that follows its own refusal within this time counts as asked again by a program. Those
of this project repeat ~/resume and ~/reset each 0.1 s while the arm still stops."""
NEWER_STOP = (
    "a stop was asked for meanwhile: look at the robot, and ask again after a second if it may move"
)


class RefusedLeave:
    """When a request to leave a pause or fault was refused first, and last; steady time, s."""

    def __init__(self) -> None:
        """Nothing was refused yet."""
        self._first_s = self._last_s = -math.inf

    def begun_s(self, now_s: float) -> float:
        """When the request of now was made first: its caller may ask again after a refusal."""
        return self._first_s if now_s - self._last_s < REPEATED_S else now_s

    def end(self) -> None:
        """The next request is a new one."""
        self._last_s = -math.inf

    def refuse(self, begun_s: float, now_s: float) -> None:
        """The request of `begun_s` was refused, for the first time or again."""
        self._first_s, self._last_s = begun_s, now_s


class Operator:
    """The four services of one node; `latched`: the reason of a fault while not configured."""

    def __init__(self, node: Node, configured: Callable[[], Configured | None]) -> None:
        """Create the services; `configured` returns the parts that exist at the time of a call."""
        self.latched = ""
        self._node, self._configured = node, configured
        self._stopped_s = -math.inf  # when ~/pause or ~/estop was called last, steady time
        self._refused: dict[Leave, RefusedLeave] = {
            Session.resume: RefusedLeave(),
            Session.reset: RefusedLeave(),
        }
        actions: dict[str, Callable[[], str]] = {
            "pause": self._pause,
            "resume": partial(self._leave, Session.resume),
            "reset": self._reset,
            "estop": self._estop,
        }
        for name, action in actions.items():
            node.create_service(Trigger, f"~/{name}", partial(_answer, action))

    def _pause(self) -> str:
        self._stopped_s = time.monotonic()
        parts = self._configured()
        if parts is None:
            return NOT_CONFIGURED
        try:
            return str(parts.replay.call(lambda session, now_ns: session.pause(now_ns), stops=True))
        except StalledError as error:  # an e-stop is latched in any case, a pause is not
            raise StalledError(f"{error}, if there is motion then", begun=error.begun) from error

    def _reset(self) -> str:
        if self._configured() is not None or not self.latched:
            return self._leave(Session.reset)
        self.latched = ""
        return ""

    def _estop(self) -> str:
        self._stopped_s = time.monotonic()
        reason = finding("e_stop", "e-stop pressed by service ~/estop").reason
        parts = self._configured()
        try:
            if parts is None:
                self.latched = reason
            else:
                parts.replay.call(lambda session, now_ns: session.fault(now_ns, reason), stops=True)
        finally:  # not before: a terminal that is halted lets the logger wait
            self._node.get_logger().error(reason)
        return ""

    def _leave(self, leave: Leave) -> str:
        """Continue from rest under the conditions of an activation (see Configured.leave).

        A request that is asked again while the arm stops was made before a newer stop: that stop
        would end by a press of a button which came before it.
        """
        parts = self._configured()
        if parts is None:
            return NOT_CONFIGURED
        now_s, refused = time.monotonic(), self._refused[leave]
        begun_s = refused.begun_s(now_s)
        if begun_s < max(self._stopped_s, parts.pressed_s):
            refused.refuse(begun_s, now_s)  # of other programs that repeat theirs, too
            return NEWER_STOP
        why = parts.leave(leave)
        if why:
            refused.refuse(begun_s, time.monotonic())
        else:
            refused.end()
        return why


def why_not(action: Callable[[], object]) -> str:
    """Run a service's action; returns why it failed, empty if it succeeded. Never raises.

    If a service callback raised, its caller would get no answer.
    """
    try:
        action()
    except StalledError as error:
        return f"{error}; press the robot's hardware e-stop if it must stop now"
    except Gr00tError as error:
        return str(error)
    except Exception as error:
        return f"internal error: {type(error).__name__}: {error}"
    return ""


def _answer(
    action: Callable[[], str], _request: Trigger.Request, response: Trigger.Response
) -> Trigger.Response:
    result: list[str] = []
    response.message = why_not(lambda: result.append(action())) or result[0]
    response.success = not response.message
    return response
