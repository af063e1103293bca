"""A starting embodiment file from what a server tells, the rest marked to be filled in.

Pure: a modality config in, YAML text out. What the wire does not tell (topics, sizes, joint
names, rates, limits, the tag itself) is FILL_IN, and core/embodiment.parse refuses the file by
naming every place that still is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gr00t_ros.core.modality import ModalityConfig, ModalityEntry, said_of
from gr00t_ros.core.schema import FILL_IN

_NONE = ModalityEntry((), ())
_COMMANDS = ("ABSOLUTE NON_EEF", "RELATIVE NON_EEF", "")


def skeleton(modality: ModalityConfig, source: str, tag: str | None = None) -> str:
    """Return the YAML of an embodiment that fits `modality`, made from the server at `source`."""
    action = modality.get("action", _NONE)
    lines = [
        f"# Started by `gr00t-sidecar describe` from {_text(source)}.",
        f"# Replace every {FILL_IN}; config/embodiments/franka_droid.yaml shows what may stand.",
        f"robot: {FILL_IN}",
        f"embodiment_tag: {_text(tag) if tag else FILL_IN}",
        f"rate_hz: {FILL_IN}  # of action steps and of history",
        f"action_horizon: {len(action.delta_indices)}{_horizon_warning(action)}",
        *_language(modality.get("language", _NONE)),
        *_section("video", modality.get("video", _NONE), _camera),
        *_section("state", modality.get("state", _NONE), _state),
        *_actions(action),
        "",
        f"outputs: {FILL_IN}  # name: {{type, topic, state_topic, names}} of each controller",
        f"limits: {FILL_IN}  # of every joint that an output names",
    ]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """Return a text as a double-quoted YAML scalar on one line."""
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def _horizon_warning(action: ModalityEntry) -> str:
    if action.delta_indices == tuple(range(len(action.delta_indices))):
        return ""
    return f"  # the server's steps are {list(action.delta_indices)}: this cannot be replayed"


def _language(entry: ModalityEntry) -> Iterator[str]:
    yield f"language_key: {_text(entry.keys[0]) if entry.keys else FILL_IN}"
    if len(entry.keys) > 1:
        others = ", ".join(map(_text, entry.keys[1:]))
        yield f"# the server has further language keys, which are not sent: {others}"


def _section(
    name: str, entry: ModalityEntry, body: Callable[[list[int]], Iterator[str]]
) -> Iterator[str]:
    yield ""
    yield f"{name}:" if entry.keys else f"{name}: {FILL_IN}  # the server announces none"
    for key in entry.keys:
        yield f"  {_text(key)}:"
        yield from (f"    {line}" for line in body(list(entry.delta_indices)))


def _camera(delta_indices: list[int]) -> Iterator[str]:
    yield f"topic: {FILL_IN}"
    yield f"size: {FILL_IN}  # [height, width] in pixels, the same for all cameras"
    yield f"fit: {FILL_IN}  # pad or stretch"
    yield f"delta_indices: {delta_indices}"


def _state(delta_indices: list[int]) -> Iterator[str]:
    yield f"from: {FILL_IN}  # joints, or pose with encode in place of names"
    yield f"topic: {FILL_IN}"
    yield f"names: {FILL_IN}  # in the server's order; its count must be the checkpoint's width"
    yield f"delta_indices: {delta_indices}"


def _actions(entry: ModalityEntry) -> Iterator[str]:
    yield ""
    yield "action:" if entry.keys else f"action: {FILL_IN}  # the server announces none"
    configs = entry.action_configs or (None,) * len(entry.keys)
    for key, config in zip(entry.keys, configs, strict=True):
        said = said_of(config)
        yield f"  {_text(key)}:  # {_text(said) if said else 'the server says nothing of it'}"
        if said in _COMMANDS:
            yield f"    output: {FILL_IN}  # or ignored: true with names"
        else:
            yield "    ignored: true  # these are no joint positions"
            yield f"    names: {FILL_IN}  # one for each of its values"
            if said.startswith("DELTA"):
                yield "    representation: delta"
