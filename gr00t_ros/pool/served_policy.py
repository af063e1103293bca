"""A policy in a server of its own: started by its profile, in the environment that it names.

So a replica holds NVIDIA's policy without sharing its Python, torch or ray with this package. The
server listens on this machine only.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import zmq

from gr00t_ros.errors import LaunchError, RemoteError, SidecarError, WireError
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.serve.policies import Action, PolicyObservation
from gr00t_ros.supervise.profile import Overrides, Profile
from gr00t_ros.supervise.supervisor import Phase, Restarts, Supervisor, WriteLog
from gr00t_ros.wire import messages
from gr00t_ros.wire.client import Connection, PolicyServerClient
from gr00t_ros.wire.codec import MAX_BYTES, encode
from gr00t_ros.wire.messages import Generation

_LOOK_S: Final = 0.1
_CONNECT_MS: Final = 5_000
_STOP_S: Final = 30.0


class ServedPolicy:
    """Asks a server that this object starts and ends; the server's end is the policy's end.

    generation, modality: the server's. Raises `LaunchError` and `ProfileError` if the server does
    not start, with what is missing.
    """

    def __init__(
        self,
        profile: Profile,
        overrides: Overrides,
        flat: bool,
        timeout_ms: int,
        log: WriteLog,
        accept_noncommercial: bool,
    ) -> None:
        """Start it and wait until it answers. flat: it has flat keys. timeout_ms: of one call."""
        own = replace(overrides, host="127.0.0.1", port=0)
        self._flat, self._timeout_ms = flat, timeout_ms
        # Ray restarts the replica, and so the server: two that restart would count twice.
        self._supervisor = Supervisor(
            *(profile, own, log),
            accept_noncommercial=accept_noncommercial,
            restarts=Restarts(limit=0),
        )
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._supervisor.start()
        try:
            self._address = self._until_ready()
            self._connection = Connection(self._context, self._address, MAX_BYTES, None)
        except BaseException:
            self.close()
            raise

    def __call__(
        self, observation: PolicyObservation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return the server's answer; raises what the client raises."""
        data = _flat(observation) if self._flat else dict(observation)
        if not self.generation.is_n15:
            data = {"observation": data, "options": options}
        reply = self._ask(messages.GET_ACTION, data)
        action, info = (reply, {}) if self.generation.is_n15 else self._pair(reply)
        if self._flat:
            action = {key.removeprefix("action."): value for key, value in action.items()}
        return action, info

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return the server's reply."""
        return messages.expect_map(self._ask(messages.RESET, {"options": options}), messages.RESET)

    def check_health(self) -> None:
        """Raise `LaunchError` if the server has ended."""
        state = self._supervisor.state()
        if not state.ready:
            raise LaunchError(f"{state.profile} on {state.host}:{state.port}: {state}")

    def close(self) -> None:
        """End the server; idempotent."""
        self._supervisor.stop(_STOP_S)
        self._context.destroy(linger=0)

    def _until_ready(self) -> str:
        while True:
            state = self._supervisor.state()
            if state.phase is Phase.FAILED:
                raise LaunchError(f"sidecar profile {state.profile}: {state}")
            if state.ready:
                break
            time.sleep(_LOOK_S)
        style: messages.KeyStyle = "flat" if self._flat else "nested"
        client = PolicyServerClient(state.host, state.port, _CONNECT_MS, key_style=style)
        try:
            server = client.connect()
        finally:
            client.close()
        self.generation: Generation = server.generation
        self.modality: ModalityConfig = server.modality
        self._flat = server.key_style == "flat"
        return client.address

    def _ask(self, endpoint: str, data: Mapping[str, Any]) -> Any:
        frame = encode(messages.request(endpoint, data), self.generation.array_codec)
        where = f"{endpoint} to {self._address} ({self._timeout_ms} ms)"
        end_ns = time.monotonic_ns() + self._timeout_ms * 1_000_000
        try:
            reply = self._connection.exchange(frame, where, end_ns)
            if endpoint == messages.GET_ACTION:
                self._connection.listen_once(where)
        except (SidecarError, WireError):  # a late reply must not be taken for the next one's
            self._connection.close()
            self._connection = Connection(self._context, self._address, MAX_BYTES, None)
            raise
        try:
            return messages.read_reply(reply, endpoint, MAX_BYTES)
        except RemoteError as error:  # clients decide by the server's own words (wire.md 7)
            raise RemoteError(error.server_text) from None

    def _pair(self, reply: Any) -> tuple[Action, Mapping[str, Any]]:
        if not isinstance(reply, list) or len(reply) != 2:
            got = type(reply).__name__
            raise WireError(f"{messages.GET_ACTION}: reply {got}, expected [action, info]")
        return messages.expect_map(reply[0], messages.GET_ACTION), reply[1]


def _flat(observation: PolicyObservation) -> dict[str, Any]:
    """Return the flat form: video.KEY, state.KEY, and language as a list of B texts."""
    flat: dict[str, Any] = {
        f"{name}.{key}": value
        for name in ("video", "state")
        for key, value in observation[name].items()
    }
    language = observation["language"]
    return flat | {key: [text for (text,) in rows] for key, rows in language.items()}
