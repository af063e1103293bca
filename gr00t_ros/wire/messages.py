"""The GR00T policy server's endpoints: request envelopes, reply checks, generations.

Pure: maps in, maps out; codec.py has the bytes, except that a torch reply is recognised here. See
wire.md 1, 3, 5, 6, 8 and 9 for what each generation expects. Every text from a server (error
texts, keys, config values) enters the package here, and becomes one short printable line.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, Literal, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import RefusedError, RemoteError, ResetError, WireError
from gr00t_ros.observe.modality import MODALITIES, ModalityConfig, ModalityEntry
from gr00t_ros.text_table import one_line
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.arrays import ArrayCodec
from gr00t_ros.wire.codec import MODALITY_MARKERS, ModalityConfigMap, decode, decode_action

KeyStyle = Literal["nested", "flat"]
_T = TypeVar("_T")

PING: Final = "ping"
GET_MODALITY_CONFIG: Final = "get_modality_config"
GET_ACTION: Final = "get_action"
RESET: Final = "reset"
KILL: Final = "kill"

PROXY: Final = "proxy"
"""Key in the reply to a ping: what a batching proxy of ours says about itself, a text."""

SKIPPED: Final = "skipped"
"""Key in the reply to a reset of a batching proxy or pool of ours, which reset nothing: why."""

MAX_ERROR_TEXT: Final = 500  # characters: strict servers quote whole observations
MAX_KEY_TEXT: Final = 128
MAX_KEYS: Final = 256  # per modality; the largest known has 21
MAX_INFO: Final = 64  # entries of a reply's info map that are read
MAX_DELTA_INDICES: Final = 1024
_MAX_DELTA: Final = 1_000_000  # steps
TORCH_REFUSAL: Final = (
    "the server speaks the pickled torch protocol of N1 and early N1.5, whose replies would run"
    " code when read: update its Isaac-GR00T checkout to 7f53666 (2025-09-10, pull request 329)"
    " or newer, best N1.6 or N1.7"
)
_UNKNOWN: Final = (
    "this client does not know the server's generation (it knows N1.5 since 7f53666, N1.6 and"
    f" N1.7), expected one kind of ModalityConfig marker, {' or '.join(MODALITY_MARKERS)}. Use one"
    " of these releases of Isaac-GR00T, or a newer gr00t_ros."
)
_NO_RESET: Final = re.compile(
    r"(?i:unknown endpoint|invalid endpoint|endpoint 'reset' not found)"
    r"|\A'reset'\Z"  # a KeyError's text: of a server that looks its endpoints up in a dict
)
_SEEN: Final = 400  # characters quoted of an unknown server's answer


class Generation(Enum):
    """A generation of upstream's server (wire.md 1); A1/A2 and B2/B3 look alike on the wire."""

    T = "T"
    A0 = "A0"
    A1 = "A1"
    A2 = "A2"
    B2 = "B2"
    B3 = "B3"

    @property
    def label(self) -> str:
        """The model version, as operators know it."""
        return _LABELS[self]

    @property
    def array_codec(self) -> ArrayCodec:
        """The array codec for requests: every server of this generation reads it."""
        return "msgpack_numpy" if self in (Generation.B2, Generation.B3) else "npy"

    @property
    def is_n15(self) -> bool:
        """Whether requests are bare and flat, replies are a bare map, and there is no reset."""
        return self in (Generation.T, Generation.A0)


_LABELS: Final = {
    Generation.T: "N1/N1.5 (torch)",
    Generation.A0: "N1.5",
    Generation.A1: "N1.6/N1.7-EA",
    Generation.A2: "N1.6/N1.7-EA",
    Generation.B2: "N1.7",
    Generation.B3: "N1.7",
}


def request(
    endpoint: str, data: Mapping[str, object] | None = None, token: str | None = None
) -> dict[str, object]:
    """Return the envelope of a request, with `data` and the token only where they are given."""
    message: dict[str, object] = {"endpoint": endpoint}
    if data is not None:
        message["data"] = data
    if token is not None:
        message["api_token"] = token
    return message


def get_action_request(
    video: Mapping[str, object],
    state: Mapping[str, object],
    language_keys: Sequence[str],
    instruction: str,
    generation: Generation,
    key_style: KeyStyle,
    token: str | None = None,
    options: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return the get_action request of one observation, batch size 1.

    `video` values are (1, T, H, W, 3) uint8, `state` values (1, T, D) float32. They are only
    placed, so stand-ins work too. The instruction is placed under each of `language_keys`.
    Requests for N1.5 are always flat and bare, whatever `key_style` is, and have no options.
    """
    if key_style == "nested" and not generation.is_n15:
        language: object = {key: [[instruction]] for key in language_keys}
        observation = {"video": dict(video), "state": dict(state), "language": language}
    else:
        observation = {f"video.{key}": value for key, value in video.items()}
        observation |= {f"state.{key}": value for key, value in state.items()}
        observation |= {key: [instruction] for key in language_keys}
    if generation.is_n15:
        return request(GET_ACTION, observation, token)
    return request(GET_ACTION, {"observation": observation, "options": options}, token)


def read_reply(
    data: bytes | memoryview, endpoint: str, max_bytes: int, token: Token | None = None
) -> Any:
    """Return the decoded reply of `endpoint`, or raise the error that it stands for.

    Raises `RefusedError` for generation T and for a wrong token. Raises `RemoteError`, of a reset
    `ResetError`, with the server's text (which may be empty) as one printable line, cut and with
    `token` redacted.
    Raises `TooLargeError` and `WireError` for invalid bytes.
    """
    if bytes(data[:2]) == b"PK" or bytes(data[:6]) == b"ERROR":
        raise RefusedError(f"{endpoint}: {TORCH_REFUSAL}")
    reply = (decode_action if endpoint == GET_ACTION else decode)(data, max_bytes)
    if not (isinstance(reply, dict) and "error" in reply):
        return reply
    text = reply["error"]
    if not isinstance(text, str):
        raise WireError(f"{endpoint}: error reply holds {type(text).__name__}, expected a text")
    line = _error_line(text, token)
    if line.startswith("Unauthorized"):
        raise RefusedError(f"{endpoint}: {line}; check the api token")
    kind = ResetError if endpoint == RESET else RemoteError
    raise kind(f"{endpoint}: the server answered: {line or '(no text)'}", line)


def _error_line(text: str, token: Token | None) -> str:
    """Return a server's text as one line, redacted before the cut: a cut token would not match."""
    line = one_line(text, 4 * MAX_ERROR_TEXT)
    return one_line(token.redact(line) if token else line, MAX_ERROR_TEXT)


def has_no_reset(error: RemoteError) -> bool:
    """Whether the answer to a reset proves that the server has none: N1.5, some forks (wire.md 3).

    A policy whose reset failed answers any other text, also an empty one.
    """
    return _NO_RESET.search(error.server_text) is not None


def refuses_options(error: RemoteError) -> bool:
    """Whether a reset failed since it takes no options: data is keyword arguments (wire.md 3)."""
    return "unexpected keyword argument 'options'" in error.server_text


def expect_map(reply: object, endpoint: str) -> dict[str, Any]:
    """Return `reply` if it is a map, else raise `WireError`."""
    if not isinstance(reply, dict):
        raise WireError(f"{endpoint}: reply is {type(reply).__name__}, expected a map")
    return reply


def recognise(reply: object) -> Generation:
    """Return the generation of the server that sent this get_modality_config reply (wire.md 6).

    A1 stands for A1 and A2, B2 for B2 and B3. Raises `RefusedError` that quotes the reply for an
    unknown generation: a guess could choose a codec that the server misreads. A reply of
    generation T never gets here, see `read_reply`.
    """
    configs = expect_map(reply, GET_MODALITY_CONFIG)
    marked = [config for config in configs.values() if isinstance(config, ModalityConfigMap)]
    kinds = {(config.marker, config.form) for config in marked}
    if kinds == {(MODALITY_MARKERS[0], "text")}:
        return Generation.A0
    if kinds == {(MODALITY_MARKERS[0], "map")}:
        return Generation.A1
    if {marker for marker, _ in kinds} == {MODALITY_MARKERS[1]}:
        return Generation.B2
    seen = "; ".join(f"{key!r:.40}: {_seen(value)}" for key, value in configs.items())
    raise RefusedError(f"{GET_MODALITY_CONFIG}: {_UNKNOWN} It answered {seen[:_SEEN] or '{}'}")


def _seen(config: object) -> str:
    """Return a short description of a config's form on the wire."""
    if isinstance(config, ModalityConfigMap):
        return f"{config.marker} with as_json as {config.form}"
    if isinstance(config, dict):
        return f"map of {', '.join(f'{key!r:.40}' for key in list(config)[:8]) or 'nothing'}"
    return type(config).__name__


def parse_modality(reply: object, generation: Generation) -> ModalityConfig:
    """Return the server's modality config, without N1.5's key prefixes.

    A modality that the server does not name becomes an entry without keys. Modalities other than
    video, state, action and language are left out. Raises `WireError` that names what is malformed.
    """
    configs = expect_map(reply, GET_MODALITY_CONFIG)
    return {
        modality: _entry(configs[modality], modality, generation)
        if modality in configs
        else ModalityEntry((), ())
        for modality in MODALITIES
    }


def _entry(config: object, modality: str, generation: Generation) -> ModalityEntry:
    where = f"{GET_MODALITY_CONFIG}: {modality}"
    if not isinstance(config, ModalityConfigMap):
        raise WireError(f"{where} is {type(config).__name__}, expected a ModalityConfig")
    indices: Any = config.get("delta_indices")
    keys: Any = config.get("modality_keys")
    if not _is_list_of(int, indices) or len(indices) > MAX_DELTA_INDICES:
        expected = f"at most {MAX_DELTA_INDICES} integers"
        raise WireError(f"{where}.delta_indices is {reprlib.repr(indices)}, expected {expected}")
    if any(abs(index) > _MAX_DELTA for index in indices):
        raise WireError(f"{where}.delta_indices: expected none beyond {_MAX_DELTA} steps")
    keys = [one_line(key, MAX_KEY_TEXT) for key in keys] if _is_list_of(str, keys) else None
    if keys is None or len(set(keys)) != len(keys) or len(keys) > MAX_KEYS:
        got, expected = reprlib.repr(config.get("modality_keys")), "distinct texts"
        raise WireError(f"{where}.modality_keys is {got}, expected at most {MAX_KEYS} {expected}")
    if generation.is_n15:
        keys = [key.removeprefix(f"{modality}.") for key in keys]
    return ModalityEntry(tuple(indices), tuple(keys), _action_configs(config, len(keys), where))


def _action_configs(
    config: ModalityConfigMap, count: int, where: str
) -> tuple[Mapping[str, object], ...] | None:
    configs = config.get("action_configs")
    if configs is None:
        return None
    if not _is_list_of(dict, configs) or len(configs) != count:
        raise WireError(f"{where}.action_configs: expected one map for each of {count} keys")
    return tuple(
        {field: _enum(one.get(field)) for field in ("rep", "type", "format", "state_key")}
        for one in configs
    )


def _enum(value: object) -> str | None:
    """Return one field of an action config as text; enums are sent by their names (wire.md 5)."""
    if value is None:
        return None
    return one_line(value if isinstance(value, str) else reprlib.repr(value), MAX_KEY_TEXT)


def _is_list_of(kind: type[_T], value: object) -> TypeGuard[list[_T]]:
    return isinstance(value, list) and all(type(item) is kind for item in value)


def parse_action(
    reply: object, generation: Generation, key_style: KeyStyle
) -> dict[str, NDArray[np.float32]]:
    """Return the action of a get_action reply: key -> (H, D) float32, physical units.

    As `action_rows`, with all values as float32.
    """
    rows = action_rows(reply, generation, key_style)
    return {key: _float32(values) for key, values in rows.items()}


def read_info(reply: object, generation: Generation) -> dict[str, bool | int | float | str]:
    """Return the info map of a get_action reply: its plain values, at most MAX_INFO; N1.5 has none.

    A scalar of numpy is the plain value that it holds, as is an array without axes. Texts become
    one short printable line each. An info that is no map counts as empty: it says nothing, and the
    action beside it may be good.
    """
    info = reply[1] if not generation.is_n15 and isinstance(reply, list) else None
    found: dict[str, bool | int | float | str] = {}
    for name, value in info.items() if isinstance(info, dict) else ():
        if len(found) == MAX_INFO:
            break
        if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
            value = value.item()
        if isinstance(name, str) and isinstance(value, bool | int | float | str):
            plain = one_line(value, MAX_KEY_TEXT) if isinstance(value, str) else value
            found[one_line(name, MAX_KEY_TEXT)] = plain
    return found


def action_rows(
    reply: object, generation: Generation, key_style: KeyStyle
) -> dict[str, NDArray[np.floating[Any]]]:
    """Return the action of a get_action reply: key -> (H, D) in the dtype that it has on the wire.

    N1.6 and later answer [action, info]. N1.5 answers the bare action map, where a key of one
    value may be (H,). The batch axis may be missing, as from N1.5 and N2. ``action.`` is stripped
    from flat keys. Values are not checked here: NaN passes, the guard refuses it. Raises
    `WireError` that names the key.
    """
    action = reply
    if not generation.is_n15:
        if not isinstance(reply, list) or len(reply) != 2:
            raise WireError(f"{GET_ACTION}: reply {type(reply).__name__}, expected [action, info]")
        action = reply[0]
    arrays: dict[str, NDArray[np.floating[Any]]] = {}
    flat = generation.is_n15 or key_style == "flat"
    for name, value in expect_map(action, GET_ACTION).items():
        key = one_line(name, MAX_KEY_TEXT) if isinstance(name, str) else ""
        key = key.removeprefix("action.") if flat else key
        if not isinstance(name, str) or key in arrays or len(arrays) >= MAX_KEYS:
            expected = f"at most {MAX_KEYS} distinct texts"
            raise WireError(f"{GET_ACTION}: action key {reprlib.repr(name)}, expected {expected}")
        arrays[key] = _rows(value, key, generation)
    return arrays


def _rows(value: object, key: str, generation: Generation) -> NDArray[np.floating[Any]]:
    """Return one action key's values as (H, D); the batch size must be 1."""
    if not isinstance(value, np.ndarray):
        raise WireError(f"{GET_ACTION}: {key} is {type(value).__name__}, expected an array")
    if value.dtype.kind != "f":
        raise WireError(f"{GET_ACTION}: {key} is {value.dtype}, expected float16, 32 or 64")
    if value.ndim == 3 and value.shape[0] == 1:
        rows: NDArray[np.floating[Any]] = value[0]
        return rows
    if generation.is_n15 and value.ndim == 1:
        return value[:, np.newaxis]
    if value.ndim != 2:
        raise WireError(
            f"{GET_ACTION}: {key} has shape {value.shape}, expected (1, H, D) or (H, D)"
        )
    return value


def _float32(rows: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return a copy as float32; what is too large becomes infinite."""
    with np.errstate(over="ignore"):
        return rows.astype(np.float32)
