"""What a person at the page can ask of a policy node and its recorder, and their answers."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any, Final

from rclpy.node import Node
from std_srvs.srv import Trigger

from gr00t_ros.ros.asked import AskedService
from gr00t_ros.srv import SetInstruction
from gr00t_ros.text_table import one_line
from gr00t_ros.tools.operator import ACCEPTED, GAP_S, HARDWARE, STOPPED, STOPPING_TEXTS
from gr00t_ros.web.request import LABELS

ESTOP_S: Final = 1.8
"""The page waits two seconds for the answer to an e-stop."""

ANSWER_S: Final = 4.5
FIND_S: Final = 1.5
"""A service that is not found by then is not there: the clients have looked since the start."""

_POLL_S: Final = 0.01
_AGAIN_S: Final = 0.1
_STOP_AGAIN_S: Final = 0.25  # an answer may be lost while discovery goes on; doubled each time
_ONCE: Final = math.inf
_PRESS: Final = Trigger.Request()
_MOST_TEXT: Final = 600
_TRIGGERS: Final = ("pause", "resume", "reset", "estop")
_RECORDER: Final = {"record_stop": "stop", "record_discard": "discard"}
_UNKNOWN: Final = "the request may still be carried out: look at the mode"


class LiveCommands:
    """The service clients of one policy node and one recorder; they exist before a button is hit.

    A client that is made at the press would first have to find the service, which takes up to
    seconds.
    """

    def __init__(self, node: Node, policy: str, recorder: str) -> None:
        """policy, recorder: full names of the two nodes."""
        self._policy, self._recorder = policy, recorder
        self._clients: dict[str, Any] = {}

        def client(kind: type, name: str) -> None:
            self._clients[name] = node.create_client(kind, name)

        for name in _TRIGGERS:
            client(Trigger, f"{policy}/{name}")
        client(SetInstruction, f"{policy}/set_instruction")
        client(SetInstruction, f"{recorder}/start")
        for name in (*_RECORDER.values(), *LABELS):
            client(Trigger, f"{recorder}/{name}")

    def recorder_is_there(self) -> bool:
        """Whether a recorder can be asked."""
        return bool(self._clients[f"{self._recorder}/start"].service_is_ready())

    async def carry_out(self, name: str, value: Any) -> tuple[bool, str]:
        """Carry out one command of the seam; returns whether it is done, and why or why not."""
        if name == "estop":
            return await self._estop()
        if name in ("pause", "resume", "reset"):
            return await self._trigger(name)
        if name == "instruction":
            request = SetInstruction.Request(instruction=value)
            answer, problem = await self._ask(f"{self._policy}/set_instruction", request)
            text = "" if answer is None else f"episode {answer.episode} begins with it"
            return _result(answer, problem, text)
        if name == "record_start":
            request = SetInstruction.Request(instruction=value or "")
            answer, problem = await self._ask(f"{self._recorder}/start", request)
            text = "" if answer is None else f"episode {answer.episode} is recorded"
            return _result(answer, problem, text)
        service = _RECORDER.get(name) or (value if value in LABELS else "")
        if not name.startswith("record_") or not service:
            return False, f"{name}: this is a robot that runs, expected a command for it"
        answer, problem = await self._ask(f"{self._recorder}/{service}", Trigger.Request())
        return _result(answer, problem, f"{service}: done")

    async def _trigger(self, name: str) -> tuple[bool, str]:
        """As gr00t operator: pause again without an answer, the others while the arm stops."""
        end_s, service = time.monotonic() + ANSWER_S, f"{self._policy}/{name}"
        asked = self._asked(service, _STOP_AGAIN_S if name == "pause" else _ONCE)
        answer, problem = await self._answer(asked, ANSWER_S)
        while answer is not None and any(part in answer.message for part in STOPPING_TEXTS):
            await asyncio.sleep(_AGAIN_S)
            left_s, until_s = end_s - time.monotonic(), asked.sent_s + GAP_S
            if left_s <= 0.0 or time.monotonic() > until_s:
                break
            asked = self._asked(service, until_s=until_s)
            answer, problem = await self._answer(asked, left_s)
        return _result(answer, problem, ACCEPTED[name])

    async def _estop(self) -> tuple[bool, str]:
        """Call ~/estop until the node confirms; anything else is reported as no stop."""
        service = f"{self._policy}/estop"
        try:
            answer, why = await self._answer(self._asked(service, _STOP_AGAIN_S), ESTOP_S)
            if answer is not None and answer.success:
                return True, f"stop confirmed by {self._policy}: {STOPPED}"
            why = why or answer.message or "the node gave no reason"
        except Exception as error:  # a stop that cannot be sent is reported too
            why = f"{type(error).__name__}: {error}"
        return False, f"STOP NOT CONFIRMED: {HARDWARE}! {one_line(why, _MOST_TEXT)}"

    async def _ask(self, service: str, request: Any) -> tuple[Any, str]:
        """The answer, or None and why there is none."""
        return await self._answer(self._asked(service, request=request), ANSWER_S)

    def _asked(
        self,
        service: str,
        again_s: float = _ONCE,
        request: Any = _PRESS,
        until_s: float = math.inf,
    ) -> AskedService:
        return AskedService(self._clients[service], service, request, again_s, until_s)

    async def _answer(self, asked: AskedService, limit_s: float) -> tuple[Any, str]:
        begin_s = time.monotonic()
        while (spent_s := time.monotonic() - begin_s) < limit_s:
            if (answer := asked.answer()) is not None:
                return answer, ""
            if not asked.sent and spent_s > FIND_S:
                break
            await asyncio.sleep(_POLL_S)
        if asked.sent:
            return None, f"{asked.service}: no answer within {limit_s:g} s; {_UNKNOWN}"
        return None, f"no service {asked.service}: does its node run?"


def _result(answer: Any, problem: str, accepted: str) -> tuple[bool, str]:
    if answer is None:
        return False, problem
    if answer.success:
        return True, accepted
    return False, one_line(answer.message, _MOST_TEXT) or "refused, without a reason"
