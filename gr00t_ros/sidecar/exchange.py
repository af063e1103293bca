"""One exchange with a policy server: a raw observation, the request's and the reply's exact bytes.

An observation is kept apart from the server that it goes to, so that it can be sent to a server of
another generation, codec and key style.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import UnreachableError, WireError
from gr00t_ros.wire import messages
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.arrays import ArrayCodec
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.codec import MAX_BYTES, decode, encode
from gr00t_ros.wire.envelope import read_envelope
from gr00t_ros.wire.handshake import ServerInfo
from gr00t_ros.wire.messages import Generation, KeyStyle
from gr00t_ros.wire.robot_id import ROBOT_ID
from gr00t_ros.wire.template import MAX_INSTRUCTION_BYTES

SEED: Final = "seed"
"""The option in which some servers take a seed; the others ignore it (wire.md 10)."""

ActionRows = Mapping[str, NDArray[np.floating[Any]]]


@dataclass(frozen=True, slots=True, eq=False)
class RawObservation:
    """What a policy sees, without the form in which a server of one generation takes it.

    video: key -> (T, H, W, 3) uint8. state: key -> (T, D) float32. The instruction is sent under
    each language key. options: of the request, such as a seed. stamp_ns: ROS time of the
    observation, 0 if it has none.
    """

    video: Mapping[str, NDArray[np.uint8]]
    state: Mapping[str, NDArray[np.float32]]
    language_keys: tuple[str, ...]
    instruction: str
    options: Mapping[str, Any] = field(default_factory=dict)
    stamp_ns: int = 0

    def request(self, server: ServerInfo, token: Token | None = None) -> bytes:
        """Return the get_action request of this observation for `server`."""
        size = len(self.instruction.encode(errors="replace"))
        if size > MAX_INSTRUCTION_BYTES:
            raise WireError(
                f"instruction of {size} bytes, expected at most {MAX_INSTRUCTION_BYTES}"
            )
        message = messages.get_action_request(
            {key: values[np.newaxis] for key, values in self.video.items()},
            {key: values[np.newaxis] for key, values in self.state.items()},
            self.language_keys,
            self.instruction,
            server.generation,
            server.key_style,
            None if token is None else token.reveal(),
            dict(self.options) or None,
        )
        return encode(message, server.array_codec)


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """One request and its reply; those of a node come in the message of this name (gr00t_ros.msg).

    request: its exact bytes, but without the API token (`token_removed`: it had one). reply: its
    exact bytes. action: key -> (H, D) as the reply has it, without the batch axis.
    """

    generation: Generation
    array_codec: ArrayCodec
    key_style: KeyStyle
    server: str
    request: bytes
    reply: bytes
    action: ActionRows
    token_removed: bool = False
    inference_ns: int = 0


def ask_for_action(
    client: PolicyServerClient, server: ServerInfo, observation: RawObservation, token: Token | None
) -> Exchange:
    """Reset the server's episode and ask for one action; raises what the client raises.

    Raises UnreachableError if the connection was lost since `connect`: another server may be there.
    """
    connection = client.counts.connections
    client.begin_episode()
    frame = observation.request(server, token)
    started_ns = time.monotonic_ns()
    client.get_action(frame)
    took_ns = time.monotonic_ns() - started_ns
    if client.counts.connections != connection:
        raise UnreachableError(
            f"{client.address}: the connection was lost and is back, perhaps to another server; "
            "run it again"
        )
    return Exchange(
        server.generation,
        server.array_codec,
        server.key_style,
        client.address,
        without_token(frame),
        client.reply,
        read_action(client.reply, server.generation, server.key_style),
        token_removed=token is not None,
        inference_ns=took_ns,
    )


def without_token(frame: bytes | memoryview) -> bytes:
    """Return a request without its API token; all other bytes are as they were."""
    return bytes(read_envelope(frame).with_token(None))


def read_action(reply: bytes, generation: Generation, key_style: KeyStyle) -> ActionRows:
    """Return the action in a reply's bytes, key -> (H, D); raises as the client does."""
    content = messages.read_reply(reply, messages.GET_ACTION, MAX_BYTES)
    return messages.action_rows(content, generation, key_style)


def read_request(frame: bytes, generation: Generation, stamp_ns: int = 0) -> RawObservation:
    """Return the observation in a request that this package has sent; raises WireError."""
    message = messages.expect_map(decode(frame), "request")
    data = messages.expect_map(message.get("data"), "request: data")
    options: Mapping[str, Any] = {}
    if not generation.is_n15:
        options = dict(messages.expect_map(data.get("options") or {}, "request: options"))
        options.pop(ROBOT_ID, None)  # who asks the same again has no part in the robot's episode
        data = messages.expect_map(data.get("observation"), "request: observation")
    nested = data if "video" in data or "state" in data else _nested(data)
    try:
        video = {key: values[0] for key, values in nested["video"].items()}
        state = {key: values[0] for key, values in nested["state"].items()}
        language = dict(nested["language"])
        text = next(iter(language.values()))
        while isinstance(text, list):
            text = text[0]
    except (KeyError, IndexError, TypeError, AttributeError, StopIteration) as error:
        raise WireError(f"request: no observation of this package: {error!r:.200}") from error
    return RawObservation(video, state, tuple(language), str(text), options, stamp_ns)


def _nested(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the nested form of flat keys; what has no modality in front is language."""
    found: dict[str, dict[str, Any]] = {"video": {}, "state": {}, "language": {}}
    for name, value in flat.items():
        modality, _, key = name.partition(".")
        if modality in ("video", "state"):
            found[modality][key] = value
        else:
            found["language"][name] = value
    return found
