"""A policy server as the policy of an open loop: the node's own client, handshake and requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.evaluate.open_loop import Action, RowObservation
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.address import refuse_closed, shown
from gr00t_ros.wire.client import DEFAULT_TIMEOUT_MS, PolicyServerClient
from gr00t_ros.wire.curve import ClientKeys
from gr00t_ros.wire.handshake import KeyStyleSetting
from gr00t_ros.wire.link import PolicyLink
from gr00t_ros.wire.template import RequestTemplate


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """How all servers are accessed."""

    timeout_ms: int = DEFAULT_TIMEOUT_MS
    token: Token | None = None
    key_style: KeyStyleSetting = "auto"
    curve: ClientKeys | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """One server."""

    host: str
    port: int

    def __str__(self) -> str:
        """HOST:PORT."""
        return shown(self.host, self.port)


class ServerPolicy:
    """Answers with what the server answers; each `begin` resets it before the next query."""

    def __init__(self, link: PolicyLink, key: int) -> None:
        """key: differs between all episodes that a server may get."""
        self._link, self._episode = link, key

    def begin(self) -> None:
        """Let the next query reset the server."""
        self._episode += 1

    def predict(self, observation: RowObservation) -> tuple[Action, int]:
        """Send one observation; raises what the link raises."""

        def fill(template: RequestTemplate) -> None:
            template.set_instruction(observation.instruction)
            _copy(template.video, observation.video)
            _copy(template.state, observation.state)

        _, action, inference_ns = self._link.query(fill, self._episode)
        return action, inference_ns


def _copy(
    slots: Mapping[str, NDArray[np.generic]], values: Mapping[str, NDArray[np.generic]]
) -> None:
    for key, slot in slots.items():
        slot[0] = values[key]


@contextmanager
def connected(
    address: Address, access: ServerAccess, embodiment: Embodiment
) -> Iterator[ServerPolicy]:
    """The policy of a server that has been checked against the embodiment, as the node does it."""
    refuse_closed(address.host, address.port)
    client = PolicyServerClient(
        address.host,
        address.port,
        access.timeout_ms,
        access.token,
        access.key_style,
        curve=access.curve,
    )
    link = PolicyLink(client, embodiment, access.token)
    try:
        link.check()
        yield ServerPolicy(link, 0)
    finally:
        link.close()
