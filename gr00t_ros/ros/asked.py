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
_SILENT_S: Final = 4.0
"""Without an answer for this long, the state is asked whether the transition was made. Fast DDS
sends a lost request again after 3 s."""
TRANSITIONS: Final = {
    "configure": ("unconfigured", "inactive"),
    "activate": ("inactive", "active"),
    "deactivate": ("active", "inactive"),
    "cleanup": ("inactive", "unconfigured"),
}
"""Label of a transition -> labels of the states before and after it."""
_PRIMARY: Final = frozenset({"unconfigured", "inactive", "active", "finalized"})
"""Labels of the states in which a lifecycle node stays; in all others a transition goes on."""


class AskedService:
    """One request to one service, sent as soon as the service is there.

    again_s: sent again after this time without an answer, then after twice that time, and so on up
    to 4 s or again_s, because an answer may be lost while discovery goes on. inf: sent once.
    until_s: not sent for the first time after this, steady time.
    """

    def __init__(
        self,
        client: Client,
        service: str,
        request: Any,
        again_s: float,
        until_s: float = math.inf,
    ) -> None:
        """`answer` sends and returns; service: its name for texts."""
        self.service, self._until_s = service, until_s
        self._client, self._request, self._again_s = client, request, again_s
        self._futures: list[Any] = []
        self._due_s = 0.0
        self.sent_s = math.inf
        """When the request was sent last, steady time, s; inf: never."""

    @property
    def sent(self) -> bool:
        """Whether the service was there."""
        return bool(self._futures)

    def answer(self) -> Any:
        """The answer, None until it is there; sends the request if it is due."""
        answer = self._received()
        if answer is None and (not self.sent or time.monotonic() >= self._due_s):
            self._send()
            answer = self._received()
        return answer

    def again(self) -> None:
        """Let `answer` send the request once more."""
        self._due_s = 0.0

    def _received(self) -> Any:
        return next((future.result() for future in self._futures if future.done()), None)

    def _send(self) -> None:
        if not self._client.service_is_ready():
            return
        if not self.sent and time.monotonic() > self._until_s:
            return
        if self.sent:
            self._again_s = min(self._again_s * 2.0, max(self._again_s, _AGAIN_MOST_S))
        self.sent_s = time.monotonic()
        self._due_s = self.sent_s + self._again_s
        if len(self._futures) == _UNANSWERED:
            self._client.remove_pending_request(self._futures.pop(0))
        self._futures.append(self._client.call_async(self._request))


class IntroducedClient:
    """The client of a service for requests that must not be carried out twice; keep it.

    A request is sent once the service's node has answered a harmless one. A participant hears of
    another one's clients in their order, so that node knows this client too, and its answer is not
    lost. A node that was started anew is asked again if it was seen to be gone. One without
    parameter services cannot be asked, and counts as one that knows the client.
    """

    def __init__(self, node: Node, kind: Any, service: str) -> None:
        """node: makes the clients; service: its full name."""
        from rcl_interfaces.srv import GetParameters

        self._node, self.service = node, service
        self._client = node.create_client(kind, service)
        self._harmless = f"{service.rpartition('/')[0]}/get_parameters"
        self._asks = node.create_client(GetParameters, self._harmless)
        self._introduction = self._introduce()

    @property
    def is_there(self) -> bool:
        """Whether the service is discovered now."""
        return bool(self._client.service_is_ready())

    def is_known(self) -> bool:
        """Whether the service is there and its node knows the client; asks if that is due."""
        if not self.is_there:
            self._introduction = self._introduce()
            return False
        if self._introduction.answer() is not None:
            return True
        return not self._introduction.sent and not self._node.count_services(self._harmless)

    def ask(self, request: Any, until_s: float = math.inf) -> AskedOnce:
        """A request that is sent once, when the service's node knows the client.

        until_s: not after this, steady time, s.
        """
        asked = AskedService(self._client, self.service, request, math.inf, until_s)
        return AskedOnce(self, asked)

    def _introduce(self) -> AskedService:
        from rcl_interfaces.srv import GetParameters

        return AskedService(self._asks, self._harmless, GetParameters.Request(), _AGAIN_S)


class AskedOnce:
    """One request of an IntroducedClient."""

    def __init__(self, client: IntroducedClient, asked: AskedService) -> None:
        """`answer` sends and returns; asked: the request, which has not been sent."""
        self.client, self._asked = client, asked

    @property
    def sent(self) -> bool:
        """Whether the request was sent: it may be carried out."""
        return self._asked.sent

    @property
    def sent_s(self) -> float:
        """As AskedService.sent_s."""
        return self._asked.sent_s

    def answer(self) -> Any:
        """The answer, None until it is there; sends the request if it is due."""
        return self._asked.answer() if self.sent or self.client.is_known() else None


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

    @property
    def is_there(self) -> bool:
        """Whether the node is discovered now."""
        return bool(self._state.service_is_ready())

    def state(self) -> AskedService:
        """A request for the present state; its answer is a GetState.Response."""
        from lifecycle_msgs.srv import GetState

        return AskedService(self._state, self._state_name, GetState.Request(), _AGAIN_S)

    def change(self, label: str, repeats: bool = True) -> AskedTransition:
        """A request for a transition, one of TRANSITIONS; see AskedTransition."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        request = ChangeState.Request(transition=Transition(label=label))
        asked = AskedService(self._change, self._change_name, request, math.inf)
        return AskedTransition(self, asked, TRANSITIONS[label], repeats)


class AskedTransition:
    """One transition of a lifecycle node. Where the answer is lost, the node's state decides.

    why_not, once `answer` is False: REFUSED by the node; LOST: no answer came, and the state is as
    before; CHANGED: no answer came, and the node is in a state of which the transition does not
    begin: it was started anew, or somebody else changed it.
    """

    REFUSED, LOST, CHANGED = "refused", "lost", "changed"

    def __init__(
        self, client: LifecycleClient, asked: AskedService, states: tuple[str, str], repeats: bool
    ) -> None:
        """asked: the request, not yet sent; states: before and after the transition.

        repeats: send the request again where it was lost. Not for a transition that somebody may
        have taken back since, as the state is as before then, too. Such a one is not sent at all in
        a state of which it does not begin: it could arrive in a later one.
        """
        self.why_not = ""
        self._client, self._asked = client, asked
        self._start, self._goal = states
        self._state: AskedService | None = client.state()
        self._before: str | None = None  # the state when the request was sent
        self._repeats, self._repeated = repeats, False
        self._due_s = 0.0

    def answer(self) -> bool | None:
        """Whether the transition was made, None until that is known; sends what is due."""
        if self._before is None:
            self._before = self._present()
            if self._before is None:
                return None
            self._due_s = time.monotonic() + _SILENT_S
        if not self._repeats and self._before in _PRIMARY - {self._start}:
            return self._no(self.CHANGED)
        answer = self._asked.answer()
        if answer is None:
            return self._made_without_answer()
        if answer.success or not self._repeated:
            return bool(answer.success) or self._no(self.REFUSED)
        # A repeated request is refused where the first one was carried out and its answer lost.
        state = self._present()
        return None if state is None else state == self._goal or self._no(self.REFUSED)

    def _no(self, why: str) -> bool:
        self.why_not = why
        return False

    def _made_without_answer(self) -> bool | None:
        """What the state says; the request is sent again if the node is where it was."""
        if time.monotonic() < self._due_s or (state := self._present()) is None:
            return None
        if state == self._before:
            if not self._repeats:
                return self._no(self.LOST)
            self._asked.again()
            self._repeated = True
        elif state in _PRIMARY:
            return state == self._goal or self._no(self.CHANGED)
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
