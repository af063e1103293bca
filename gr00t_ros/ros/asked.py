"""A request to a service whose answer may be lost.

A server of rmw_fastrtps drops its answer to a client that it has not discovered within 100 ms, and
a client still counts a server that was killed as there. Both happen on a busy machine.
"""

from __future__ import annotations

import time
from typing import Any, Final

AGAIN_S: Final = 0.25
"""A request that changes nothing is repeated after this time without an answer."""


class Asked:
    """One request to one service, sent as soon as the service is there.

    again_s: sent again after this time without an answer, then after twice that time, and so on,
    because an answer may be lost while discovery goes on. inf: sent once.
    """

    def __init__(self, client: Any, service: str, request: Any, again_s: float) -> None:
        """`answer` sends and returns; service: its full name."""
        self.service = service
        self._client, self._request, self._again_s = client, request, again_s
        self._futures: list[Any] = []
        self._due_s = 0.0

    @property
    def sent(self) -> bool:
        """Whether the service was there."""
        return bool(self._futures)

    def answer(self) -> Any:
        """The answer, None until it is there; sends the request if it is due."""
        now_s = time.monotonic()
        if (not self.sent or now_s >= self._due_s) and self._client.service_is_ready():
            self._again_s *= 2.0 if self.sent else 1.0
            self._due_s = now_s + self._again_s
            self._futures.append(self._client.call_async(self._request))
        return next((future.result() for future in self._futures if future.done()), None)

    def again(self) -> None:
        """Let `answer` send the request once more."""
        self._due_s = 0.0


def introduction(node: Any, service: str) -> Asked | None:
    """A harmless request to the node of `service`; None if that node answers no such request.

    node: has a client of `service` already. A participant hears of another one's clients in their
    order: a server that answers this request knows the client of `service` too.
    """
    from rcl_interfaces.srv import GetParameters

    name = f"{node.resolve_service_name(service).rpartition('/')[0]}/get_parameters"
    if name not in dict(node.get_service_names_and_types()):
        return None
    client = node.create_client(GetParameters, name)
    return Asked(client, name, GetParameters.Request(), AGAIN_S)
