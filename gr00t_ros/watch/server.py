"""Watches on the policy server: silence, errors, non-finite chunks; and what each error text means.

A server's error has no code, only text (wire.md 7). KINDS is the one table of which errors may pass
and what a person has to do about the others. Its texts are those of upstream's strict checks and
key errors (wire.md 6 to 8), of numpy and torch for a wrong width, and of our own proxy. All times
are steady time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from gr00t_ros.errors import (
    ChunkError,
    ClosedError,
    DeadlineError,
    RefusedError,
    RemoteError,
    ResetError,
    UnreachableError,
    WireError,
)
from gr00t_ros.watch.finding import AwakeTime, Finding, all_awake
from gr00t_ros.watch.table import LONGEST_WAIT_NS, default, default_ns, finding, reasoned


class Outlook(str, Enum):
    """What to expect of the next query after one that failed."""

    PASSES = "may pass"  # query again after growing waits; watch server_errors
    PERSON = "needs a person"  # no further query can help: a fault
    COUNTED = "is counted"  # an answer without a usable chunk: watch consecutive_failures
    SILENT = "no answer"  # watch sidecar_dead
    UNASKED = "not asked"  # nothing was sent, for a reason on our side


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One kind of error text: `pattern` is searched in it; `remedy` is what a person can do."""

    name: str
    outlook: Outlook
    pattern: str
    remedy: str


_FILE = "compare the embodiment file with the server's model: gr00t sidecar check"

WANTS_FLAT = ErrorKind(
    "key style, the server has flat keys",
    Outlook.PERSON,
    r"'video\.[^']*' must be in observation|^'(video|state)\.[^']*'$",
    "start with key_style flat or auto",
)
WANTS_NESTED = ErrorKind(
    "key style, the server has nested keys",
    Outlook.PERSON,
    r"must contain a 'video' key|^'video'$|unexpected keyword argument 'video",
    "start with key_style nested or auto",
)
WIDTH = ErrorKind(
    "width",
    Outlook.PERSON,
    r"must have width|boolean index did not match|could not be broadcast|could not broadcast"
    r"|must match the (existing )?size|shapes cannot be multiplied|[Ss]izes of tensors must match",
    "a key's width is not the model's: " + _FILE,
)
OTHER = ErrorKind(
    "any other text", Outlook.PASSES, r"", "look into the policy server's log, restart it"
)

_REQUEST = ErrorKind(
    "request",
    Outlook.PERSON,
    r"^Unknown endpoint|unexpected keyword argument|must be a mapping"
    r"|is not forwarded by this proxy|^request\b|^got a request of|held a secret",
    "is this the policy server of a GR00T generation that docs/sidecar.md names?",
)
_ANY_ENDPOINT: tuple[ErrorKind, ...] = (
    ErrorKind(
        "busy",
        Outlook.PASSES,
        r"^busy\b",
        "raise execute_steps, or let fewer robots share the server",
    ),
    ErrorKind(
        "memory",
        Outlook.PASSES,
        r"(?i)out of memory|OutOfMemory",
        "free the memory of the server's GPU, or restart the server",
    ),
    ErrorKind(
        "server behind the proxy",
        Outlook.PASSES,
        r"^the policy server (went away|cannot be|did not answer|answered (in several|without))",
        "start the policy server behind the proxy; if it runs, see its log and the proxy's",
    ),
    ErrorKind(
        "answers twice",
        Outlook.PERSON,
        r"^the policy server answered a request twice",
        "use a server that answers once (docs/sidecar.md)",
    ),
    ErrorKind("token", Outlook.PERSON, r"^Unauthorized", "check the api token"),
)

KINDS: tuple[ErrorKind, ...] = (
    *_ANY_ENDPOINT,
    WANTS_FLAT,
    WANTS_NESTED,
    ErrorKind(
        "array codec",
        Outlook.PERSON,
        r"must be a numpy array\. Got <class 'dict'>|^'dict' object has no attribute",
        "the server reads another generation's arrays than it announces: update its checkout",
    ),
    WIDTH,
    ErrorKind(
        "action", Outlook.PERSON, r"^Action key ", "serve a model whose config fits its actions"
    ),
    ErrorKind(
        "observation",
        Outlook.PERSON,
        r"must be in observation|must contain a '|must be a dictionary|must be a numpy array"
        r"|must be a (tuple or )?list|must have batch size|horizon must be|channel 'C' must be"
        r"|^Language batch item|not found in state dict",
        _FILE,
    ),
    _REQUEST,
    ErrorKind("missing key", Outlook.PERSON, r"^'[^']*'$", _FILE),
    OTHER,
)
"""The first row that matches is used; the last row matches every text."""

RESET_KINDS: tuple[ErrorKind, ...] = (
    *_ANY_ENDPOINT,
    ErrorKind(
        "reset without options",
        Outlook.PERSON,
        r"unexpected keyword argument 'options'",
        "its reset takes no options: clear robot_id, if no other robot asks this server",
    ),
    _REQUEST,
    ErrorKind(
        "reset",
        Outlook.PASSES,
        r"",
        "the policy's own reset failed: see the policy server's log, restart it",
    ),
)
"""The same for the answer to a reset, which has no observation that could be wrong."""


def kind_of(text: str) -> ErrorKind:
    """Return the row of an error text, as the server wrote it; it may be empty."""
    return _row(KINDS, text)


def _kind(error: RemoteError) -> ErrorKind:
    rows = RESET_KINDS if isinstance(error, ResetError) else KINDS
    return _row(rows, error.server_text)


def _row(rows: tuple[ErrorKind, ...], text: str) -> ErrorKind:
    return next(kind for kind in rows if re.search(kind.pattern, text))


def outlook_of(error: Exception) -> Outlook:
    """Return what to expect of the next query after one that ended in `error`."""
    if isinstance(error, RemoteError):
        return _kind(error).outlook
    if isinstance(error, RefusedError):
        return Outlook.PERSON
    if isinstance(error, ChunkError):
        return Outlook.COUNTED if error.kind == "finite" else Outlook.PERSON
    if isinstance(error, WireError):
        return Outlook.COUNTED
    if isinstance(error, ClosedError):  # the server is alive and may keep the next connection
        return Outlook.PASSES
    if isinstance(error, DeadlineError | UnreachableError):
        return Outlook.SILENT
    return Outlook.UNASKED


def advised(error: Exception) -> str:
    """Return the text of `error`, with the remedy if the server sent it."""
    if not isinstance(error, RemoteError):
        return str(error)
    return f"{error}; {_kind(error).remedy}"


def suspects(text: str, widths: Mapping[str, int]) -> tuple[str, ...]:
    """Return the keys whose width an error text may mean.

    Returns none if the text is not about a width or names a key itself. Upstream fails in the
    arithmetic of its normalisation, whose text has the two widths and no key (wire.md 8). widths: D
    of each state key that was sent.
    """
    if kind_of(text) is not WIDTH or any(f"'{key}'" in text for key in widths):
        return ()
    sizes = {int(digits) for digits in re.findall(r"(?<!axis )(?<!dimension )\b\d{1,4}\b", text)}
    if len(sizes - {1}) > 1:  # a 1 may also be the axis of batch or time
        sizes -= {1}
    return tuple(key for key, width in widths.items() if width in sizes)


CHECK_NS = 250_000_000
"""Least time between two checks of the server in a pause, in which a session sends no queries."""


def growing_wait_ns(first_ns: int, errors: int) -> int:
    """Wait after an error that may pass, after `errors` others in a row: each doubles it."""
    return min(first_ns << min(errors, 10), LONGEST_WAIT_NS)


class SidecarDead:
    """Measures for how long a request, a query or a ping, has had no answer."""

    def __init__(
        self,
        server: str,
        pause_ns: int = default_ns("sidecar_silence_s"),
        fault_ns: int = default_ns("sidecar_fault_s"),
        awake_ns: AwakeTime = all_awake,
    ) -> None:
        """Pause above `pause_ns` of silence, fault above `fault_ns`; `server` is its address.

        awake_ns: how much of an age this process was awake: asleep it could not receive an answer,
        so sleep does not count towards the fault.
        """
        self._server, self._awake_ns = server, awake_ns
        self.pause_ns, self.fault_ns = pause_ns, fault_ns
        self._since_ns: int | None = None
        self._infers_ns: int | None = None  # when the reset before the open query was answered
        self._repeated = False  # a request before the newest one is open too

    def asked(self, now_ns: int) -> None:
        """A request was sent. Time counts from the first one without an answer, not a repeat."""
        self._repeated, self._infers_ns = self._since_ns is not None, None
        if self._since_ns is None or now_ns < self._since_ns:
            self._since_ns = now_ns

    def reset_answered(self, at_ns: int) -> None:
        """The reset before the open query was answered at that time: the server infers since then.

        Each of the two may take `pause_ns`. The time for the fault is not renewed. Neither is that
        for the pause if it had passed, or if a request before this query had no answer: a server
        that answers only resets must not be waited for again and again.
        """
        since_ns = self._since_ns
        if since_ns is not None and not self._repeated and 0 < at_ns - since_ns <= self.pause_ns:
            self._infers_ns = at_ns

    def answered(self) -> None:
        """An answer came; an error text also shows that the server is alive."""
        self._since_ns = None

    def withdrawn(self, asked_ns: int) -> None:
        """The request of that time was not sent after all, because there was no observation."""
        if self._since_ns == asked_ns:
            self._since_ns = None

    def finding(self, now_ns: int) -> Finding | None:
        """A finding for the silence up to now; without a request there is none.

        In a pause no queries are sent: pings must continue, or the silence becomes a fault.
        """
        if self._since_ns is None:
            return None
        silent_ns = now_ns - self._since_ns
        worse = silent_ns > self.pause_ns and self._awake_ns(silent_ns) > self.fault_ns
        if not worse:
            silent_ns = now_ns - (self._infers_ns or self._since_ns)
            if silent_ns <= self.pause_ns:
                return None
        awake_ns = self._awake_ns(silent_ns)
        limit_ns = self.fault_ns if worse else self.pause_ns
        slept_ns = silent_ns - awake_ns
        slept = f" (this node slept for {slept_ns / 1e9:.2f} s of it)" if slept_ns else ""
        text = (
            f"policy server {self._server}: no answer for {silent_ns / 1e9:.2f} s{slept}, at most "
            f"{limit_ns / 1e9:.2f} s allowed"
        )
        return finding("sidecar_dead", text, worse)


class ServerErrors:
    """Measures for how long the server has answered only with errors that may pass.

    The time for the pause runs from the first error to a chunk or a passed check. Only a chunk
    resets the time for the fault: else a server that passes the check with zeros and fails on every
    real observation would be tried forever. The time comes from `finding`, which is called at each
    tick.
    """

    def __init__(
        self,
        server: str,
        pause_ns: int = default_ns("server_errors_s"),
        fault_ns: int = default_ns("server_errors_fault_s"),
        awake_ns: AwakeTime = all_awake,
    ) -> None:
        """Pause above `pause_ns` of errors, fault above `fault_ns`; `server` is its address.

        awake_ns: how much of an age this process was awake: asleep it sent no request.
        """
        self._server, self._awake_ns = server, awake_ns
        self.pause_ns, self.fault_ns = pause_ns, fault_ns
        self._words = ""  # of the newest error; empty without one
        self._since_ns: int | None = None
        self._before_ns = 0  # time of earlier errors since the last chunk
        self._tries = 0
        self._try_at_ns: int | None = None

    def failed(self, words: str) -> None:
        """A query or a check was answered by an error; `words`: its text with the remedy."""
        self._words, self._try_at_ns = words or "an error without a text", None

    def answered(self) -> None:
        """A chunk came."""
        self._words, self._since_ns, self._try_at_ns = "", None, None
        self._before_ns = self._tries = 0

    def recovered(self, now_ns: int) -> None:
        """A check has passed, or has failed with an error that does not pass by waiting."""
        if self._since_ns is not None:
            self._before_ns += self._awake_ns(max(0, now_ns - self._since_ns))
        self._words, self._since_ns, self._try_at_ns = "", None, None

    def finding(self, now_ns: int) -> Finding | None:
        """A finding for the errors up to now."""
        if not self._words:
            return None
        if self._since_ns is None or now_ns < self._since_ns:
            self._since_ns = now_ns
        if self._try_at_ns is None:
            self._try_at_ns = now_ns + growing_wait_ns(CHECK_NS, self._tries)
            self._tries += 1
        lasts_ns = self._awake_ns(now_ns - self._since_ns)
        worse = self._before_ns + lasts_ns > self.fault_ns
        if not worse and lasts_ns <= self.pause_ns:
            return None
        limit_ns = self.fault_ns if worse else self.pause_ns
        seen_ns = self._before_ns + lasts_ns if worse else lasts_ns
        text = (
            f"policy server {self._server}: errors alone for {seen_ns / 1e9:.2f} s, at most "
            f"{limit_ns / 1e9:.2f} s allowed, the last: {self._words}"
        )
        return finding("server_errors", text, worse)

    def try_due(self, now_ns: int) -> bool:
        """Whether a session at rest should check the server again now, after an error."""
        return self._try_at_ns is not None and now_ns >= self._try_at_ns


class NonFinite:
    """Counts chunks with NaN or infinity since the last reset, also with good chunks between."""

    def __init__(self, limit: int = default("such chunks that fault")) -> None:
        """Drop each such chunk; fault at number `limit`."""
        self.limit = limit
        self._count = 0

    def see(self, where: str) -> Finding:
        """Take one such chunk; `where` names the position of the value in it."""
        self._count += 1
        text = f"{where}: chunk {self._count} that is not finite, fault at {self.limit}"
        return finding("non_finite", text, self._count >= self.limit)

    def reset(self) -> None:
        """Reset the count."""
        self._count = 0


def consecutive_refusals(count: int, limit: int, last_reason: str) -> Finding | None:
    """Watch refused chunks and answers in a row; `limit` of them are a fault."""
    if count < limit:
        return None
    text = f"{count} answers of the policy server refused in a row, the last: {last_reason}"
    return reasoned("consecutive_failures", text)
