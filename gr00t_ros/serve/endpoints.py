"""A GR00T server's endpoints in front of a policy: request bytes in, reply bytes out.

Every request gets one reply, whatever its bytes are; errors become upstream's ``{"error": text}``
(wire.md 3 and 7). DIALECTS is the table of the differences between server generations (wire.md 1
to 5); the pickling servers before N1.5's npy codec have no row. The strict checks keep upstream's
texts and order (Isaac-GR00T gr00t/policy/gr00t_policy.py), because clients react to these texts;
only the width check is ours. Pure: no socket, clock or log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from gr00t_ros.errors import ChunkError, ObservationError, RefusedError, WireError
from gr00t_ros.observe.modality import ModalityConfig, ModalityEntry
from gr00t_ros.serve.policies import Action, Policy
from gr00t_ros.wire import codec, messages
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.arrays import ArrayCodec
from gr00t_ros.wire.codec import MODALITY_MARKERS
from gr00t_ros.wire.envelope import read_token
from gr00t_ros.wire.messages import Generation

_OLD_MARKER, _NEW_MARKER = MODALITY_MARKERS
_MAX_ERROR_TEXT: Final = 2000  # characters; upstream sends all of it
_ACTION_AXES: Final = 3  # (B, H, D)
_AXES = {"Video": "(B, T, H, W, C)", "State": "(B, T, D)"}
_DTYPES = {"Video": np.uint8, "State": np.float32}

_Reply = tuple[Action, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one server generation does differently.

    writes, reads: array codecs; an array in another codec stays a map, as upstream. marker: the
    key that marks a ModalityConfig. n15: data is the bare observation, always flat; the reply is
    the action map alone, keys are prefixed, as_json is a JSON text, and there is no reset
    endpoint.
    """

    writes: ArrayCodec
    reads: tuple[ArrayCodec, ...]
    marker: str
    n15: bool = False

    def modality_reply(self, modality: ModalityConfig) -> dict[str, object]:
        """Return the get_modality_config reply as plain maps, ready to encode."""
        return {name: self._entry(name, entry) for name, entry in modality.items()}

    def _entry(self, name: str, entry: ModalityEntry) -> dict[str, object]:
        delta_indices = list(entry.delta_indices)
        if self.n15:
            prefix = "" if name == "language" else f"{name}."
            keys = [prefix + key for key in entry.keys]
            fields = {"delta_indices": delta_indices, "modality_keys": keys}
            return {self.marker: True, "as_json": json.dumps(fields, separators=(",", ":"))}
        configs = entry.action_configs
        return {
            self.marker: True,
            "as_json": {
                "delta_indices": delta_indices,
                "modality_keys": list(entry.keys),
                "sin_cos_embedding_keys": None,
                "mean_std_embedding_keys": None,
                "action_configs": None if configs is None else [dict(item) for item in configs],
            },
        }


DIALECTS: Mapping[Generation, Dialect] = {
    Generation.A0: Dialect("npy", ("npy",), _OLD_MARKER, n15=True),
    Generation.A1: Dialect("npy", ("npy",), _OLD_MARKER),
    Generation.A2: Dialect("npy", ("npy",), _OLD_MARKER),
    Generation.B2: Dialect("msgpack_numpy", ("msgpack_numpy",), _NEW_MARKER),
    Generation.B3: Dialect("msgpack_numpy", ("npy", "msgpack_numpy"), _NEW_MARKER),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply. endpoint: "" if none was read. error: its text, None for a normal reply.

    rows: batch size of an action. stop: the server ends after it. late_s: delay before it is sent.
    sent: whether it is sent at all. Both are for faulty.py.
    """

    frame: bytes
    endpoint: str
    error: str | None = None
    rows: int = 1
    stop: bool = False
    late_s: float = 0.0
    sent: bool = True


class Answers(Protocol):
    """Anything that returns one answer to each request frame."""

    def answer(self, frame: bytes, max_bytes: int = codec.MAX_BYTES) -> Answer:
        """Answer one request frame; never raises."""

    def refuse(self, text: str, endpoint: str = "") -> Answer:
        """Return the error reply with that text."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The options of a served policy.

    flat: flat keys, as Gr00tSimPolicyWrapper has them (N1.5 is flat without it). strict: make
    upstream's checks, and check `state_widths` where given. token: required at every endpoint,
    ping included. allow_kill: whether the kill endpoint ends the server; upstream's always does,
    for any client.
    """

    flat: bool = False
    strict: bool = True
    token: Token | None = None
    allow_kill: bool = False
    state_widths: Mapping[str, int] = field(default_factory=dict)


class Endpoints:
    """The endpoints of one policy, in one generation's dialect."""

    def __init__(self, policy: Policy, dialect: Dialect, terms: Terms) -> None:
        self._policy = policy
        self._dialect = dialect
        self._terms = terms
        self._without_input: dict[str, Callable[[], object]] = {
            messages.PING: self._ping,
            messages.KILL: self._kill,
            messages.GET_MODALITY_CONFIG: self._get_modality_config,
        }
        self._with_input: dict[str, Callable[..., object]] = {messages.GET_ACTION: self.get_action}
        if not dialect.n15:
            self._with_input[messages.RESET] = self.reset

    def answer(self, frame: bytes, max_bytes: int = codec.MAX_BYTES) -> Answer:
        """Answer one request frame; never raises: an error is a reply."""
        endpoint = ""
        try:
            self._check_token(frame)
            request = codec.decode(frame, max_bytes, self._dialect.reads)
            endpoint = self._endpoint_of(request)
            content = self._call(endpoint, request)
            rows = _rows(content) if endpoint == messages.GET_ACTION else 1
            reply = codec.encode(content, self._dialect.writes)
            return Answer(reply, endpoint, rows=rows, stop=endpoint == messages.KILL)
        except Exception as error:  # a policy may raise anything; upstream sends str(error) too
            return self.refuse(str(error), endpoint)

    def refuse(self, text: str, endpoint: str = "") -> Answer:
        """Return the error reply with that text."""
        text = text[:_MAX_ERROR_TEXT].encode("utf-8", "replace").decode("utf-8")
        return Answer(codec.encode({"error": text}, self._dialect.writes), endpoint, error=text)

    def get_action(self, observation: Any, options: Any = None) -> object:
        """Serve N1.6's and N1.7's get_action; the parameters are the keys of data, as upstream."""
        if self._terms.flat:
            action, info = self._act_flat(observation, options)
            return [{f"action.{key}": value for key, value in action.items()}, info]
        action, info = self._act(observation, options)
        return [action, info]

    def reset(self, options: Any = None) -> object:
        """Serve reset; the map that the policy returns is the reply, an empty one for None."""
        reply = self._policy.reset(options)
        return {} if reply is None else reply

    def _endpoint_of(self, request: Any) -> str:
        if not isinstance(request, dict):
            raise RefusedError(f"'{type(request).__name__}' object has no attribute 'get'")
        endpoint = request.get("endpoint", messages.GET_ACTION)
        if endpoint not in self._without_input and endpoint not in self._with_input:
            raise RefusedError(f"Unknown endpoint: {endpoint}")
        return str(endpoint)

    def _check_token(self, frame: bytes) -> None:
        """Raise before anything is decoded, so that an unknown client costs little time.

        Keys that servers ignore are no hindrance. A frame without a valid envelope counts as a
        request without a token: the reply to an unknown client says no more than that.
        """
        token = self._terms.token
        if token is None:
            return
        try:
            given = read_token(frame)
        except WireError:
            given = None
        if not token.matches(given):
            raise RefusedError("Unauthorized: Invalid API token")

    def _call(self, endpoint: str, request: Mapping[str, Any]) -> object:
        if endpoint in self._without_input:
            return self._without_input[endpoint]()
        data = request.get("data", {})
        if self._dialect.n15:
            return self._get_action_n15(data)
        return self._with_input[endpoint](**data)

    def _ping(self) -> object:
        return {"status": "ok", "message": "Server is running"}

    def _kill(self) -> object:
        if not self._terms.allow_kill:
            raise RefusedError("kill is not allowed on this server (start it with --allow-kill)")
        return None

    def _get_modality_config(self) -> object:
        return self._dialect.modality_reply(self._policy.modality)

    def _act(self, observation: Any, options: Any) -> _Reply:
        if self._terms.strict:
            check_nested(observation, self._policy.modality)
            check_widths(observation, self._terms.state_widths)
        # Without the checks a wrong observation fails here with upstream's bare error texts: its
        # _unbatch_observation takes the first camera's shape, then state, then language.
        _ = next(iter(observation["video"].values())).shape[0]
        nested = {name: observation[name] for name in ("video", "state", "language")}
        action, info = self._policy(nested, options)
        if self._terms.strict:
            check_action(action, self._policy.modality)
        return action, info

    def _act_flat(self, observation: Any, options: Any) -> _Reply:
        modality = self._policy.modality
        if self._terms.strict:
            check_flat(observation, modality)
        nested: dict[str, dict[str, Any]] = {
            name: {key: observation[f"{name}.{key}"] for key in modality[name].keys}
            for name in ("video", "state")
        }
        nested["language"] = {
            key: [[str(text)] for text in observation[key]] for key in modality["language"].keys
        }
        return self._act(nested, options)

    def _get_action_n15(self, data: Any) -> object:
        """Serve N1.5: there is no batch axis unless every state array has three axes.

        As late N1.5's Gr00tPolicy.get_action. Its transforms have checks of their own, with other
        texts than the strict checks used here.
        """
        states = [value for key, value in data.items() if "state" in key]
        batched = all(len(value.shape) == 3 for value in states)
        observation = data if batched else {key: _batch(value) for key, value in data.items()}
        action, _ = self._act_flat({key: _texts(value) for key, value in observation.items()}, None)
        return {f"action.{key}": value if batched else value[0] for key, value in action.items()}


def _rows(content: Any) -> int:
    """Return the batch size of a get_action reply, 1 without a batch axis."""
    action = content[0] if isinstance(content, list) else content
    values = next(iter(action.values()), None)
    return len(values) if values is not None and np.ndim(values) == _ACTION_AXES else 1


def _batch(value: Any) -> Any:
    return value[np.newaxis] if isinstance(value, np.ndarray) else value


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class TorchEndpoints:
    """Generation T as a present client sees it: the server can read none of its requests.

    The N1 server calls torch.load on every request and answers the bytes ``ERROR`` if that fails;
    its real replies are zip files. This stand-in answers a zip with an empty zip, so that it
    neither reads nor writes a pickle.
    """

    _EMPTY_ZIP = b"PK\x05\x06" + bytes(18)

    def answer(self, frame: bytes, max_bytes: int = codec.MAX_BYTES) -> Answer:
        """Answer ``ERROR``, or an empty zip to a zip."""
        if frame.startswith(b"PK"):
            return Answer(self._EMPTY_ZIP, "")
        return self.refuse("generation T reads torch.save only")

    def refuse(self, text: str, endpoint: str = "") -> Answer:
        """Return the bytes ERROR, T's only error reply."""
        return Answer(b"ERROR", endpoint, error=text)


def check_nested(observation: Mapping[str, Any], modality: ModalityConfig) -> None:
    """Check ``{"video": {key: (B,T,H,W,3) uint8}, "state": {key: (B,T,D) float32}, "language"}``.

    T is the number of the modality's delta indices; language is ``{key: [[str]] * B}``. Additional
    keys and modalities are allowed. Raises ObservationError with upstream's text, and TypeError
    where upstream's len() raises it (a value without length).
    """
    for name in ("video", "state", "language"):
        if name not in observation:
            raise ObservationError(f"Observation must contain a '{name}' key")
        if not isinstance(observation[name], dict):
            raise ObservationError(
                f"Observation '{name}' must be a dictionary. "
                f"Got {type(observation[name])}: {observation[name]}"
            )
    batch: int | None = None
    for name in ("video", "state", "language"):
        for key in modality[name].keys:
            title = f"{name.capitalize()} key '{key}'"
            if key not in observation[name]:
                raise ObservationError(f"{title} must be in observation")
            value = observation[name][key]
            size = len(value)
            if batch is not None and size != batch:
                raise ObservationError(f"{title} must have batch size {batch}. Got {size}")
            batch = size
            _check_value(name.capitalize(), key, value, len(modality[name].delta_indices))


def check_flat(observation: Mapping[str, Any], modality: ModalityConfig) -> None:
    """Check the flat form: ``video.<key>``, ``state.<key>``, language bare as a list of B strings.

    Checks shapes and dtypes as check_nested does. Like upstream's wrapper it does not compare
    batch sizes. Raises ObservationError with upstream's text.
    """
    for name in ("video", "state"):
        for key in modality[name].keys:
            flat = f"{name}.{key}"
            if flat not in observation:
                raise ObservationError(f"{name.capitalize()} key '{flat}' must be in observation")
            horizon = len(modality[name].delta_indices)
            _check_array(name.capitalize(), key, observation[flat], horizon)
    for key in modality["language"].keys:
        if key not in observation:
            raise ObservationError(f"Language key '{key}' must be in observation")
        texts = observation[key]
        if not isinstance(texts, list | tuple):
            raise ObservationError(
                f"Language key '{key}' must be a tuple or list. Got {type(texts)}"
            )
        if not isinstance(texts[0], str):
            raise ObservationError(f"Language batch item must be a string. Got {type(texts[0])}")


def check_widths(observation: Mapping[str, Any], widths: Mapping[str, int]) -> None:
    """Check the last axis of each nested state array against the embodiment's widths.

    Raises ObservationError that names the key, the width found and the width expected.
    """
    for key, width in widths.items():
        got = observation["state"][key].shape[-1]
        if got != width:
            raise ObservationError(f"State key '{key}' must have width {width}. Got {got}")


def check_action(action: Mapping[str, Any], modality: ModalityConfig) -> None:
    """Check a policy's action: every key is a (B, H, D) float32 array, H the action horizon.

    Raises ChunkError with upstream's text. A wrong action is this server's fault, and the client
    must get an error instead of a chunk of the wrong shape.
    """
    horizon = len(modality["action"].delta_indices)
    for key in modality["action"].keys:
        title = f"Action key '{key}'"
        value = action.get(key)
        if key not in action:
            raise ChunkError(f"{title} must be in action")
        if not isinstance(value, np.ndarray):
            raise ChunkError(f"{title} must be a numpy array. Got {type(value)}")
        if value.dtype != np.float32:
            raise ChunkError(f"{title} must be a numpy array of type np.float32. Got {value.dtype}")
        if value.ndim != 3:
            raise ChunkError(f"{title} must be a numpy array of shape (B, T, D), got {value.shape}")
        if value.shape[1] != horizon:
            raise ChunkError(f"{title}s horizon must be {horizon}. Got {value.shape[1]}")


def _check_value(kind: str, key: str, value: object, horizon: int) -> None:
    if kind == "Language":
        _check_language(key, value, horizon)
    else:
        _check_array(kind, key, value, horizon)


def _check_array(kind: str, key: str, value: object, horizon: int) -> None:
    title = f"{kind} key '{key}'"
    dtype = _DTYPES[kind]
    if not isinstance(value, np.ndarray):
        raise ObservationError(f"{title} must be a numpy array. Got {type(value)}")
    if value.dtype != dtype:
        raise ObservationError(
            f"{title} must be a numpy array of type np.{dtype.__name__}. Got {value.dtype}"
        )
    if value.ndim != len(_AXES[kind].split(",")):
        raise ObservationError(
            f"{title} must be a numpy array of shape {_AXES[kind]}, got {value.shape}"
        )
    # Upstream uses the key's closing quote as an apostrophe: 'key's horizon.
    if value.shape[1] != horizon:
        raise ObservationError(f"{title}s horizon must be {horizon}. Got {value.shape[1]}")
    if kind == "Video" and value.shape[-1] != 3:
        raise ObservationError(f"{title}s channel 'C' must be 3. Got {value.shape[-1]}")


def _check_language(key: str, value: object, horizon: int) -> None:
    title = f"Language key '{key}'"
    if not isinstance(value, list):
        raise ObservationError(f"{title} must be a list. Got {type(value)}")
    for item in value:
        if len(item) != horizon:
            # Upstream prints the batch size here, not the item's length.
            raise ObservationError(f"{title}s horizon must be {horizon}. Got {len(value)}")
        if not isinstance(item, list):
            raise ObservationError(f"Language batch item must be a list. Got {type(item)}")
        if len(item) != 1:
            raise ObservationError(
                f"Language batch item must have exactly one item. Got {len(item)}"
            )
        if not isinstance(item[0], str):
            raise ObservationError(f"Language batch item must be a string. Got {type(item[0])}")
