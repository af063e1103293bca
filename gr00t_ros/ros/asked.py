"""Requests to services, and transitions of a lifecycle node, whose answers may be lost.

A server of rmw_fastrtps drops its answer to a client that it has not discovered within 100 ms, and
a client still counts a server that was killed as there. Both happen on a busy machine. Messages
of ROS are imported where they are used: commands that need no ROS import this file.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rclpy.client import Client
    from rclpy.node import Node

_AGAIN_S: Final = 0.25
"""A request that changes nothing is repeated after this time without an answer."""
_AGAIN_MOST_S: Final = 4.0
"""The longest time between two of them: a node that starts anew is not kept waiting for longer."""
_UNANSWERED: Final = 8
"""Requests of one AskedService that wait for an answer at a time; the oldest is given up."""
_SILENT_S: Final = 3.0
"""Without an answer for this long, the state is asked whether the transition was made."""
TRANSITIONS: Final = {
    "configure": "inactive",
    "activate": "active",
    "deactivate": "inactive",
    "cleanup": "unconfigured",
}
"""Label of a transition -> label of the state after it."""
_PRIMARY: Final = frozenset({"unconfigured", "inactive", "active", "finalized"})
"""Labels of the states in which a lifecycle node stays; in all others a transition goes on."""


class AskedService:
    """One request to one service, sent as soon as the service is there.

    again_s: sent again after this time without an answer, then after twice that time, and so on up
    to 4 s, because an answer may be lost while discovery goes on. inf: sent once.
    """

    def __init__(self, client: Client, service: str, request: Any, again_s: float) -> None:
        """`answer` sends and returns; service: its full name."""
        self.service = service
        self._client, self._request, self._again_s = client, request, again_s
        self._futures: list[Any] = []
        self._due_s = 0.0

    @property
    def sent(self) -> bool:
        """Whether the service was there."""
        return bool(self._futures)

    is_there = sent

    def answer(self) -> Any:
        """The answer, None until it is there; sends the request if it is due."""
        now_s = time.monotonic()
        if (not self.sent or now_s >= self._due_s) and self._client.service_is_ready():
            if self.sent:
                self._again_s = min(self._again_s * 2.0, max(self._again_s, _AGAIN_MOST_S))
            self._due_s = now_s + self._again_s
            if len(self._futures) == _UNANSWERED:
                self._client.remove_pending_request(self._futures.pop(0))
            self._futures.append(self._client.call_async(self._request))
        return next((future.result() for future in self._futures if future.done()), None)

    def again(self) -> None:
        """Let `answer` send the request once more."""
        self._due_s = 0.0


class AskedOnce:
    """One request that must not be carried out twice, to a service of another node.

    It is sent as soon as that node has answered a harmless request, and so does not lose the
    answer to a client that it has not discovered.
    """

    def __init__(self, node: Node, kind: Any, service: str, request: Any) -> None:
        """node: makes the client; service: its full name. `answer` sends and returns."""
        self.service, self._node = service, node
        self._client = node.create_client(kind, service)
        self._asked = AskedService(self._client, service, request, math.inf)
        self._introduction: AskedService | None = None

    @property
    def is_there(self) -> bool:
        """Whether the service is discovered."""
        return bool(self._client.service_is_ready())

    @property
    def sent(self) -> bool:
        """Whether the service was there, and its node knows the client."""
        return self._asked.sent

    def answer(self) -> Any:
        """The answer, None until it is there; sends the request if it is due."""
        if not self.sent and not self._is_known():
            return None
        return self._asked.answer()

    def _is_known(self) -> bool:
        if not self.is_there:
            return False
        self._introduction = self._introduction or introduction(self._node, self.service)
        return self._introduction is None or self._introduction.answer() is not None


class LifecycleClient:
    """The clients of a lifecycle node's state; keep it: discovery takes longer than a call.

    The client of get_state is made last. A participant hears of another one's clients in their
    order, so a node that answers get_state can answer change_state too.
    """

    def __init__(self, node: Node, name: str) -> None:
        """node: makes the clients; name: the lifecycle node's."""
        from lifecycle_msgs.srv import ChangeState, GetState

        self._change_name, self._state_name = f"{name}/change_state", f"{name}/get_state"
        self._change = node.create_client(ChangeState, self._change_name)
        self._state = node.create_client(GetState, self._state_name)

    def state(self) -> AskedService:
        """A request for the present state; its answer is a GetState.Response."""
        from lifecycle_msgs.srv import GetState

        return AskedService(self._state, self._state_name, GetState.Request(), _AGAIN_S)

    def change(self, label: str) -> AskedTransition:
        """A request for a transition, one of TRANSITIONS."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        request = ChangeState.Request(transition=Transition(label=label))
        asked = AskedService(self._change, self._change_name, request, math.inf)
        return AskedTransition(self, asked, TRANSITIONS[label])


class AskedTransition:
    """One transition of a lifecycle node. Where the answer is lost, the node's state decides."""

    def __init__(self, client: LifecycleClient, asked: AskedService, goal: str) -> None:
        """asked: the request, not yet sent; goal: the state after the transition."""
        self._client, self._asked, self._goal = client, asked, goal
        self._state: AskedService | None = client.state()
        self._before: str | None = None  # the state when the request was sent
        self._repeated = False
        self._due_s = 0.0

    def answer(self) -> bool | None:
        """Whether the transition was made, None until that is known; sends what is due."""
        if self._before is None:
            self._before = self._present()
            if self._before is None:
                return None
            self._due_s = time.monotonic() + _SILENT_S
        answer = self._asked.answer()
        if answer is None:
            return self._made_without_answer()
        if answer.success or not self._repeated:
            return bool(answer.success)
        # A repeated request is refused where the first one was carried out and its answer lost.
        state = self._present()
        return None if state is None else state == self._goal

    def _made_without_answer(self) -> bool | None:
        """What the state says; the request is sent again if the node is where it was.

        Another state is that of a node that was started anew, or that somebody else changed.
        """
        if time.monotonic() < self._due_s or (state := self._present()) is None:
            return None
        if state == self._before:
            self._asked.again()
            self._repeated = True
        elif state in _PRIMARY:
            return state == self._goal
        self._due_s = time.monotonic() + _SILENT_S
        return None

    def _present(self) -> str | None:
        """The state by a request that is new each time, None until its answer is there."""
        self._state = self._state or self._client.state()
        answer = self._state.answer()
        if answer is None:
            return None
        self._state = None
        return str(answer.current_state.label)


def introduction(node: Node, service: str) -> AskedService | None:
    """A harmless request to the node of `service`; None if that node answers no such request.

    node: has a client of `service` already. A participant hears of another one's clients in their
    order: a server that answers this request knows the client of `service` too.
    """
    from rcl_interfaces.srv import GetParameters

    name = f"{node.resolve_service_name(service).rpartition('/')[0]}/get_parameters"
    if name not in dict(node.get_service_names_and_types()):
        return None
    client = node.create_client(GetParameters, name)
    return AskedService(client, name, GetParameters.Request(), _AGAIN_S)
