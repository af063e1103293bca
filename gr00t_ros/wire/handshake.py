"""Finds out a policy server's generation, codec, key style and modality config (wire.md 6).

No sockets: the client passes in replies, and a function that tries an observation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from gr00t_ros.errors import RefusedError, RemoteError, SettingsError
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.text_table import one_line
from gr00t_ros.watch.server import OTHER, WANTS_FLAT, WANTS_NESTED, kind_of
from gr00t_ros.wire import messages
from gr00t_ros.wire.arrays import ArrayCodec
from gr00t_ros.wire.messages import Generation, KeyStyle
from gr00t_ros.wire.template import RequestTemplate

KeyStyleSetting = Literal["auto", "nested", "flat"]
_STYLES: tuple[KeyStyle, ...] = ("nested", "flat")


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What `PolicyServerClient.connect` found: how to talk to this server, and what it expects.

    proxy: what a batching proxy of ours says about itself, "" without one.
    """

    generation: Generation
    array_codec: ArrayCodec
    key_style: KeyStyle
    modality: ModalityConfig
    ping_ns: int
    proxy: str = ""


Probe = Callable[[ServerInfo], RequestTemplate]


def read_server(
    reply: object, ping_ns: int, setting: KeyStyleSetting, proxy: object = None
) -> ServerInfo:
    """Return the server that sent a get_modality_config reply; ``auto`` counts as nested here.

    proxy: the entry of that name in the ping's reply. N1.5 is always flat, whatever `setting` is.
    Raises `WireError`.
    """
    generation = messages.recognise(reply)
    modality = messages.parse_modality(reply, generation)
    style: KeyStyle = "flat" if generation.is_n15 or setting == "flat" else "nested"
    says = one_line(proxy, messages.MAX_KEY_TEXT) if isinstance(proxy, str) else ""
    return ServerInfo(generation, generation.array_codec, style, modality, ping_ns, says)


def find_key_style(
    found: ServerInfo, probe: Probe | None, act: Callable[[RequestTemplate, ServerInfo], object]
) -> ServerInfo:
    """Return `found` with the key style in which `act(probe(server), server)` works.

    Nested is tried first. Flat is tried if the server's error text is about keys or is unknown.
    Error texts about anything else, such as busy or a width, pass through as `RemoteError`.
    Raises `RefusedError` with both texts if the server takes neither style, and `SettingsError`
    without a probe.
    """
    if probe is None:
        raise SettingsError("key_style auto needs a probe, else configure nested or flat")
    nested, flat = (replace(found, key_style=style) for style in _STYLES)
    try:
        act(probe(nested), nested)
    except RemoteError as error:
        to_nested = error
    else:
        return nested
    wants_flat = kind_of(to_nested.server_text) is WANTS_FLAT
    if not wants_flat and kind_of(to_nested.server_text) is not OTHER:
        raise to_nested
    try:
        act(probe(flat), flat)
    except RemoteError as to_flat:
        if not wants_flat:  # only an action in reply would have shown that it takes flat keys
            raise to_nested from None
        if kind_of(to_flat.server_text) is not WANTS_NESTED:
            raise
        raise RefusedError(
            "the server takes the observation in no key style; "
            f"nested: {to_nested}; flat: {to_flat}"
        ) from None
    return flat
