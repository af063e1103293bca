"""What the operator may ask for at any time: the services ~/pause, ~/resume, ~/reset, ~/estop.

Each is a Trigger and answers success, or why not. ~/estop is a functional stop: as fast as the
limits allow, no emergency stop in the sense of ISO 10218. A latched fault outlives its
configuration; it is kept here between two of them. Runs on the executor thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rclpy.node import Node
from std_srvs.srv import Trigger

from gr00t_ros.errors import Gr00tError, StalledError
from gr00t_ros.node.wiring import Configured, Leave
from gr00t_ros.session.session import Session
from gr00t_ros.watch.table import finding

NOT_CONFIGURED = "not configured"


class Operator:
    """The four services of one node; `latched` is a fault's reason while nothing is configured."""

    def __init__(self, node: Node, configured: Callable[[], Configured | None]) -> None:
        """Offer the services; `configured` tells the parts that exist at the time of a call."""
        self.latched = ""
        self._node, self._configured = node, configured
        actions = {
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
        reason = finding("e_stop", "e-stop pressed by ~/estop").reason
        self._node.get_logger().error(reason)
        parts = self._configured()
        if parts is None:
            self.latched = reason
        else:
            parts.replay.call(lambda session, now_ns: session.fault(now_ns, reason), stops=True)
        return ""

    def _leave(self, leave: Leave) -> str:
        """Go on from rest as an activation would: no cause persists, held and measured agree."""
        parts = self._configured()
        return NOT_CONFIGURED if parts is None else parts.leave(leave)


def why_not(action: Callable[[], object]) -> str:
    """Do what a service was asked for; why it failed, empty when it is done. Never raises.

    A callback that raises would leave its caller without an answer.
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
    said: list[str] = []
    response.message = why_not(lambda: said.append(action())) or said[0]
    response.success = not response.message
    return response
