"""What a failed query means: whether it may pass by itself, and what a person has to do where not.

A server's error has no code: only its text tells (wire.md 7). KINDS is the one table. Its texts are
those of upstream's strict checks and key errors (wire.md 6 to 8), of numpy and torch where a width
is wrong, and of our own proxy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from gr00t_ros.core.errors import (
    ChunkError,
    ClosedError,
    DeadlineError,
    RefusedError,
    RemoteError,
    UnreachableError,
    WireError,
)


class Outlook(str, Enum):
    """What may be expected of the next query after one that failed."""

    PASSES = "may pass"  # asked again, longer and longer apart; watch server_errors
    PERSON = "needs a person"  # no query can mend it: a fault
    COUNTED = "is counted"  # an answer that is no chunk: watch consecutive_failures
    SILENT = "no answer"  # watch sidecar_dead
    UNASKED = "not asked"  # nothing was sent, for a reason of our own


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of error text: `pattern` is searched for in it; `remedy` is what a person can do."""

    name: str
    outlook: Outlook
    pattern: str
    remedy: str


_FILE = "compare the embodiment file with the server's model: gr00t-sidecar check"

WANTS_FLAT = Kind(
    "key style, the server has flat keys",
    Outlook.PERSON,
    r"'video\.[^']*' must be in observation|^'(video|state)\.[^']*'$",
    "start with key_style flat or auto",
)
WANTS_NESTED = Kind(
    "key style, the server has nested keys",
    Outlook.PERSON,
    r"must contain a 'video' key|^'video'$|unexpected keyword argument 'video",
    "start with key_style nested or auto",
)
WIDTH = Kind(
    "width",
    Outlook.PERSON,
    r"must have width|boolean index did not match|could not be broadcast|could not broadcast"
    r"|must match the (existing )?size|shapes cannot be multiplied|[Ss]izes of tensors must match",
    "a key's width is not the model's: " + _FILE,
)
OTHER = Kind("any other text", Outlook.PASSES, r"", "look into the policy server's log, restart it")

KINDS: tuple[Kind, ...] = (
    Kind(
        "busy",
        Outlook.PASSES,
        r"^busy\b",
        "raise execute_steps, or let fewer robots share the server",
    ),
    Kind(
        "memory",
        Outlook.PASSES,
        r"(?i)out of memory|OutOfMemory",
        "free the memory of the server's GPU, or restart the server",
    ),
    Kind(
        "server behind the proxy",
        Outlook.PASSES,
        r"^the policy server (went away|cannot be|did not answer|answered in several)",
        "start the policy server behind the proxy",
    ),
    Kind("token", Outlook.PERSON, r"^Unauthorized", "check the api token"),
    WANTS_FLAT,
    WANTS_NESTED,
    Kind(
        "array codec",
        Outlook.PERSON,
        r"must be a numpy array\. Got <class 'dict'>|^'dict' object has no attribute",
        "the server reads another generation's arrays than it announces: update its checkout",
    ),
    WIDTH,
    Kind("action", Outlook.PERSON, r"^Action key ", "serve a model whose config fits its actions"),
    Kind(
        "observation",
        Outlook.PERSON,
        r"must be in observation|must contain a '|must be a dictionary|must be a numpy array"
        r"|must be a (tuple or )?list|must have batch size|horizon must be|channel 'C' must be"
        r"|^Language batch item|not found in state dict",
        _FILE,
    ),
    Kind(
        "request",
        Outlook.PERSON,
        r"^Unknown endpoint|unexpected keyword argument|must be a mapping"
        r"|is not forwarded by this proxy|^request\b|^got a request of|held a secret",
        "is this the policy server of a GR00T generation that docs/sidecar.md names?",
    ),
    Kind("missing key", Outlook.PERSON, r"^'[^']*'$", _FILE),
    OTHER,
)
"""The first that matches counts; the last matches every text."""


def kind_of(said: str) -> Kind:
    """Return the row of an error text, which is the server's own words and may be empty."""
    return next(kind for kind in KINDS if re.search(kind.pattern, said))


def outlook_of(error: Exception) -> Outlook:
    """Return what may be expected after a query that ended in `error`."""
    if isinstance(error, RemoteError):
        return kind_of(error.said).outlook
    if isinstance(error, RefusedError):
        return Outlook.PERSON
    if isinstance(error, ChunkError):
        return Outlook.COUNTED if error.kind == "finite" else Outlook.PERSON
    if isinstance(error, WireError):
        return Outlook.COUNTED
    if isinstance(error, ClosedError):  # it lives, and may keep the next connection
        return Outlook.PASSES
    if isinstance(error, DeadlineError | UnreachableError):
        return Outlook.SILENT
    return Outlook.UNASKED


def advised(error: Exception) -> str:
    """Return the text of `error` and, where a server's words need one, what to do about them."""
    if not isinstance(error, RemoteError):
        return str(error)
    return f"{error}; {kind_of(error.said).remedy}"


def suspects(said: str, widths: Mapping[str, int]) -> tuple[str, ...]:
    """Return the keys that a text about a width may mean; none where it names one, or is no such.

    Upstream fails in the arithmetic of its normalisation, whose text has the two widths and no key
    (wire.md 8). `widths`: D of each state key that was sent.
    """
    if kind_of(said) is not WIDTH or any(f"'{key}'" in said for key in widths):
        return ()
    sizes = {int(digits) for digits in re.findall(r"(?<!axis )(?<!dimension )\b\d{1,4}\b", said)}
    if len(sizes - {1}) > 1:  # axes of batch and time are ones too
        sizes -= {1}
    return tuple(key for key, width in widths.items() if width in sizes)
