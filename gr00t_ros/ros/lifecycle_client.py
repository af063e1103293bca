"""Asks a lifecycle node for its state and for transitions, also where an answer is lost."""

from __future__ import annotations

import math
import time
from typing import Any, Final

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState

from gr00t_ros.ros.asked import AGAIN_S, Asked

TRANSITIONS: Final = {
    "configure": (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
    "activate": (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
    "deactivate": (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE),
    "cleanup": (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED),
}
"""Label -> number of the transition, state after it."""
_SILENT_S: Final = 3.0
"""Without an answer for this long, the state is asked whether the transition was made."""


class LifecycleClient:
    """The clients of a lifecycle node's state; keep it: discovery takes longer than a call.

    The client of get_state is made last. A participant hears of another one's clients in their
    order, so a node that answers get_state can answer change_state too.
    """

    def __init__(self, node: Any, name: str) -> None:
        """node: makes the clients; name: the lifecycle node's."""
        self._change_name, self._state_name = f"{name}/change_state", f"{name}/get_state"
        self._change = node.create_client(ChangeState, self._change_name)
        self._state = node.create_client(GetState, self._state_name)

    def state(self) -> Asked:
        """A request for the present state; its answer is a GetState.Response."""
        return Asked(self._state, self._state_name, GetState.Request(), AGAIN_S)

    def change(self, label: str) -> AskedTransition:
        """A request for a transition, one of TRANSITIONS."""
        number, goal = TRANSITIONS[label]
        request = ChangeState.Request(transition=Transition(id=number))
        asked = Asked(self._change, self._change_name, request, math.inf)
        return AskedTransition(self, asked, goal)


class AskedTransition:
    """One transition of a lifecycle node. Where the answer is lost, the node's state decides."""

    def __init__(self, client: LifecycleClient, asked: Asked, goal: int) -> None:
        """asked: the request, not yet sent; goal: the state after the transition."""
        self._client, self._asked, self._goal = client, asked, goal
        self._state: Asked | None = client.state()
        self._before: int | None = None  # the state when the request was sent
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
        """True if the state says so; the request is sent again if the node is where it was."""
        if time.monotonic() < self._due_s or (state := self._present()) is None:
            return None
        if state == self._before:
            self._asked.again()
            self._repeated = True
        elif state == self._goal:
            return True
        self._due_s = time.monotonic() + _SILENT_S
        return None

    def _present(self) -> int | None:
        """The state by a request that is new each time, None until its answer is there."""
        self._state = self._state or self._client.state()
        answer = self._state.answer()
        if answer is None:
            return None
        self._state = None
        return int(answer.current_state.id)
