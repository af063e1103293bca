"""The operator's services, available at any time: ~/pause, ~/resume, ~/reset, ~/estop.

Each is a Trigger that answers success or the reason for a failure. The service ~/estop is a
functional stop, as fast as the limits allow; it is not an emergency stop as defined in ISO 10218.
The button topic ~/e_stop is in operator_watches. A latched fault outlives its configuration: it is
kept here until the next one. Runs on the executor thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rclpy.node import Node
from std_srvs.srv import Trigger

from gr00t_ros.errors import Gr00tError, StalledError
from gr00t_ros.node.wiring import Configured, Leave
from gr00t_ros.ros.policy_node import NOT_CONFIGURED
from gr00t_ros.session.session import Session
from gr00t_ros.watch.table import finding


class Operator:
    """The four services of one node; `latched`: the reason of a fault while not configured."""

    def __init__(self, node: Node, configured: Callable[[], Configured | None]) -> None:
        """Create the services; `configured` returns the parts that exist at the time of a call."""
        self.latched = ""
        self._node, self._configured = node, configured
        actions: dict[str, Callable[[], str]] = {
            "pause": self._pause,
            "resume": partial(self._leave, Session.resume),
            "reset": self._reset,
            "estop": self._estop,
        }
        for name, action in actions.items():
            node.create_service(Trigger, f"~/{name}", partial(_answer, action))

    def _pause(self) -> str:
        parts = self._configured()
        if parts is None:
            return NOT_CONFIGURED
        return str(parts.replay.call(lambda session, now_ns: session.pause(now_ns)))

    def _reset(self) -> str:
        if self._configured() is not None or not self.latched:
            return self._leave(Session.reset)
        self.latched = ""
        return ""

    def _estop(self) -> str:
        reason = finding("e_stop", "e-stop pressed by service ~/estop").reason
        self._node.get_logger().error(reason)
        parts = self._configured()
        if parts is None:
            self.latched = reason
        else:
            parts.replay.call(lambda session, now_ns: session.fault(now_ns, reason), stops=True)
        return ""

    def _leave(self, leave: Leave) -> str:
        """Continue from rest under the conditions of an activation (see Configured.leave)."""
        parts = self._configured()
        return NOT_CONFIGURED if parts is None else parts.leave(leave)


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
