"""What a policy server is and how it wants to be asked, from its replies (wire.md 6).

It refuses to know sockets: the client brings replies and a way to try an observation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from gr00t_ros.core.errors import RefusedError, RemoteError, SettingsError
from gr00t_ros.core.modality import ModalityConfig
from gr00t_ros.sidecar import messages
from gr00t_ros.sidecar.arrays import ArrayCodec
from gr00t_ros.sidecar.messages import Generation, KeyStyle
from gr00t_ros.sidecar.template import RequestTemplate

KeyStyleSetting = Literal["auto", "nested", "flat"]
_STYLES: tuple[KeyStyle, ...] = ("nested", "flat")


@dataclass(frozen=True, slots=True)
class Server:
    """What `PolicyClient.connect` found: how to talk to this server, and what it expects."""

    generation: Generation
    array_codec: ArrayCodec
    key_style: KeyStyle
    modality: ModalityConfig
    ping_ns: int


Probe = Callable[[Server], RequestTemplate]


def read_server(reply: object, ping_ns: int, setting: KeyStyleSetting) -> Server:
    """Return the server of a get_modality_config reply, nested where the style is open.

    N1.5 is flat whatever `setting` says. Raises `WireError`.
    """
    generation = messages.recognise(reply)
    modality = messages.parse_modality(reply, generation)
    style: KeyStyle = "flat" if generation.is_n15 or setting == "flat" else "nested"
    return Server(generation, generation.array_codec, style, modality, ping_ns)


def find_key_style(
    found: Server, probe: Probe | None, act: Callable[[RequestTemplate, Server], object]
) -> Server:
    """Return `found` with the first key style in which `act(probe(server), server)` works.

    Only `RemoteError` makes it try the next style. Raises `RefusedError` with both of the
    server's texts where none works, `SettingsError` without a probe.
    """
    if probe is None:
        raise SettingsError("key_style auto needs a probe, else configure nested or flat")
    said = []
    for style in _STYLES:
        candidate = replace(found, key_style=style)
        try:
            act(probe(candidate), candidate)
        except RemoteError as error:
            said.append(f"{style}: {error}")
        else:
            return candidate
    raise RefusedError("the server takes the observation in no key style; " + "; ".join(said))
