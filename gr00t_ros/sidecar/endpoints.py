"""A policy behind a GR00T server's endpoints: request bytes in, reply bytes out.

Pure: it knows no socket, clock or log. Every request gets one reply, whatever its bytes; what
goes wrong becomes upstream's ``{"error": text}`` (wire.md 3 and 7).
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from gr00t_ros.core.errors import RefusedError, WireError
from gr00t_ros.sidecar import codec, messages
from gr00t_ros.sidecar.dialect import Dialect
from gr00t_ros.sidecar.envelope import read_envelope
from gr00t_ros.sidecar.policies import Action, Policy
from gr00t_ros.sidecar.strict import check_action, check_flat, check_nested, check_widths
from gr00t_ros.sidecar.token import Token

_MAX_ERROR_TEXT: Final = 2000  # characters; upstream sends all of it

_Reply = tuple[Action, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply and what it was: endpoint "" where none was read; error None where it went well.

    stop: the server ends after it. late_s, sent: how much later it goes out than it could, and
    whether at all (faulty.py).
    """

    frame: bytes
    endpoint: str
    error: str | None = None
    stop: bool = False
    late_s: float = 0.0
    sent: bool = True


class Answers(Protocol):
    """Whatever has one answer to each request frame."""

    def answer(self, frame: bytes, max_bytes: int = codec.MAX_BYTES) -> Answer:
        """Answer one request frame; raises nothing."""

    def refuse(self, text: str, endpoint: str = "") -> Answer:
        """Return the error reply with that text."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a policy is served.

    flat: keys as Gr00tSimPolicyWrapper's (N1.5 is flat without it). strict: upstream's checks,
    and the state widths where given. token: asked for in every endpoint, ping included.
    allow_kill: upstream's kill endpoint ends the server for anybody; ours only where this says so.
    """

    flat: bool = False
    strict: bool = True
    token: Token | None = None
    allow_kill: bool = False
    state_widths: Mapping[str, int] = field(default_factory=dict)


class Endpoints:
    """The endpoints of one policy in one generation's dialect."""

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
        """Answer one request frame; raises nothing, an error is a reply."""
        endpoint = ""
        try:
            self._check_token(frame)
            request = codec.decode(frame, max_bytes, self._dialect.reads)
            endpoint = self._endpoint_of(request)
            reply = codec.encode(self._call(endpoint, request), self._dialect.writes)
            return Answer(reply, endpoint, stop=endpoint == messages.KILL)
        except Exception as error:  # a policy may raise anything; upstream sends str(error) too
            return self.refuse(str(error), endpoint)

    def refuse(self, text: str, endpoint: str = "") -> Answer:
        """Return the error reply with that text."""
        text = text[:_MAX_ERROR_TEXT].encode("utf-8", "replace").decode("utf-8")
        return Answer(codec.encode({"error": text}, self._dialect.writes), endpoint, error=text)

    def get_action(self, observation: Any, options: Any = None) -> object:
        """Serve N1.6's and N1.7's get_action; data's keys are this signature, as upstream."""
        if self._terms.flat:
            action, info = self._act_flat(observation, options)
            return [{f"action.{key}": value for key, value in action.items()}, info]
        action, info = self._act(observation, options)
        return [action, info]

    def reset(self, options: Any = None) -> object:
        """Serve reset; the policy's map is the reply."""
        return self._policy.reset(options)

    def _endpoint_of(self, request: Any) -> str:
        if not isinstance(request, dict):
            raise RefusedError(f"'{type(request).__name__}' object has no attribute 'get'")
        endpoint = request.get("endpoint", messages.GET_ACTION)
        if endpoint not in self._without_input and endpoint not in self._with_input:
            raise RefusedError(f"Unknown endpoint: {endpoint}")
        return str(endpoint)

    def _check_token(self, frame: bytes) -> None:
        """Raise before anything is decoded: a stranger costs a walk over his envelope.

        What is no envelope as the proxy's has no token either, and nothing else is told.
        """
        token = self._terms.token
        if token is None:
            return
        try:
            given = read_envelope(frame).token or ""
        except WireError:
            given = ""
        if not hmac.compare_digest(given.encode(), token.reveal().encode()):
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
        # Unchecked, a wrong observation fails here with upstream's bare texts: its
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
        """Serve N1.5: without a batch axis unless every state array has three axes.

        Late N1.5 Gr00tPolicy.get_action; its transforms' own checks have other words than the
        strict ones used here.
        """
        states = [value for key, value in data.items() if "state" in key]
        batched = all(len(value.shape) == 3 for value in states)
        observation = data if batched else {key: _batch(value) for key, value in data.items()}
        action, _ = self._act_flat({key: _texts(value) for key, value in observation.items()}, None)
        return {f"action.{key}": value if batched else value[0] for key, value in action.items()}


def _batch(value: Any) -> Any:
    return value[np.newaxis] if isinstance(value, np.ndarray) else value


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class TorchEndpoints:
    """Generation T as a client of today meets it: nothing it sends can be read.

    The N1 server torch.loads every request and answers the bytes ``ERROR`` to what it cannot
    load; its real replies are zip files. To a zip it answers an empty one: no pickle is read
    or written.
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
