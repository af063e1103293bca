"""The messages of a browser, checked: acknowledgements and commands."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Final

from gr00t_ros.errors import SettingsError
from gr00t_ros.web.view import PAGE_COMMANDS

MOST_BYTES: Final = 8192
"""The largest message that a browser may send."""

MOST_INSTRUCTION: Final = 1000
LABELS: Final = ("success", "failure")
_TEXTS: Final = frozenset({"instruction", "record_start"})
_NUMBERS: Final = frozenset({"seek", "speed"})
_KINDS: Final = ("frame", "state", "curves")


@dataclass(frozen=True, slots=True)
class Ack:
    """The browser has shown what it was sent; camera: the index, of a frame only."""

    kind: str
    camera: int = -1


@dataclass(frozen=True, slots=True)
class PageCommand:
    """One command; `number` is the browser's own, which the answer repeats."""

    number: int
    name: str
    value: str | float | None


def parse(text: str) -> Ack | PageCommand:
    """What a message says; raises SettingsError for anything else."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise SettingsError("message: got no JSON, expected an object") from None
    if not isinstance(message, dict):
        raise SettingsError("message: got no object, expected one")
    if message.get("type") == "ack":
        return _ack(message)
    if message.get("type") == "command":
        return _command(message)
    raise SettingsError("message: got another type, expected ack or command")


def _ack(message: dict[str, Any]) -> Ack:
    kind, camera = message.get("kind"), message.get("camera", -1)
    if kind not in _KINDS or not _is_whole(camera) or (kind == "frame") != (camera >= 0):
        raise SettingsError("ack: expected a kind, and a camera for a frame")
    return Ack(kind, camera)


def _command(message: dict[str, Any]) -> PageCommand:
    number, name = message.get("id"), message.get("name")
    if not isinstance(number, int) or not _is_whole(number):
        raise SettingsError("command: expected a whole number as id")
    if not isinstance(name, str) or name not in PAGE_COMMANDS:
        raise SettingsError("command: expected one of the commands as name")
    return PageCommand(number, name, _value(name, message.get("value")))


def _value(name: str, value: Any) -> str | float | None:
    if name in _TEXTS:
        return _text(name, value)
    if name in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SettingsError(f"{name}: expected a number")
        if abs(value) > 1e9 or math.isnan(value):
            raise SettingsError(f"{name}: expected a finite number")
        return float(value)
    if name == "record_label":
        if value not in LABELS:
            raise SettingsError(f"{name}: expected one of {', '.join(LABELS)}")
        return str(value)
    return None  # the others have none, and nobody is kept from a stop for having sent one


def _text(name: str, value: Any) -> str:
    """The text; empty only where it is optional, at record_start."""
    if value is None and name == "record_start":
        return ""
    if not isinstance(value, str) or len(value) > MOST_INSTRUCTION:
        raise SettingsError(f"{name}: expected a text of at most {MOST_INSTRUCTION} characters")
    if any(0xD800 <= ord(one) <= 0xDFFF or not ord(one) for one in value):
        raise SettingsError(f"{name}: expected text in UTF-8 without the character 0")
    if not value.strip() and name == "instruction":
        raise SettingsError(f"{name}: expected a text, got an empty one")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
