"""Reads a file that somebody else may have made: bounded text, and JSON as plain values.

Such files are opened here only; robot/plain_yaml.py parses the text as YAML. A file must be
regular, of bounded size and depth, in UTF-8, with finite numbers and no key twice. Does not depend
on what the file means.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from gr00t_ros.errors import Gr00tError, SettingsError

MAX_DEPTH: Final = 40
"""Levels of nested maps and lists; a dataset's metadata has six, an embodiment file five."""

MAX_DIGITS: Final = 64
"""Characters of a number: 2**64 has 20, a double 24."""

MAX_RESULTS_BYTES: Final = 256 * 1024 * 1024
"""Largest results of an evaluation: some thousand episodes of 30 kB, or 100,000 of a line each."""

_MAX_JSON_BYTES: Final = 32 * 1024 * 1024  # a hundred thousand lines of episodes.jsonl are ten MB
_MARKS: Final = re.compile(r'\\.|["\[\]{}]', re.DOTALL)


def read_text(
    path: Path,
    max_bytes: int,
    error_type: type[Gr00tError],
    unreadable: type[Gr00tError] | None = None,
) -> str:
    """Return the text of a regular file in UTF-8, with or without a byte order mark.

    Raises `error_type` naming the file: more than `max_bytes`, and with the line where the bytes
    are no UTF-8. Raises `unreadable`, else `error_type`, if it is missing, unreadable, a folder or
    a pipe.
    """
    no_file = unreadable or error_type
    try:
        data = _bytes(path, max_bytes, error_type, no_file)
    except IsADirectoryError as error:
        raise no_file(f"{path}: a folder, expected a file: name a file in it") from error
    except OSError as error:
        raise no_file(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the path
        raise no_file(f"{str(path)!r}: {error}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        raise error_type(f"{path}:{line}: byte 0x{byte:02x} is no UTF-8, expected text") from error


def read_json(
    path: Path,
    error_type: type[Gr00tError] = SettingsError,
    max_bytes: int = _MAX_JSON_BYTES,
) -> dict[str, Any]:
    """Return the map in a JSON file; raises `error_type` naming it, line and column.

    The error's cause is the OSError where there was one.
    """
    return _map(read_text(path, max_bytes, error_type), path, 1, error_type)


def read_json_lines(
    path: Path, max_bytes: int = _MAX_JSON_BYTES
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, its map) of a file with a JSON map on each line; blanks pass.

    Raises SettingsError as `read_json`.
    """
    lines = read_text(path, max_bytes, SettingsError).split("\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, _map(line, path, number, SettingsError)


def unicode_problem(text: str) -> str:
    """Why no file or message may contain `text`: half a character or a NUL; empty if it may."""
    if "\0" in text:
        return "a NUL in a text"
    halves = any("\ud800" <= char <= "\udfff" for char in text)
    return "half a UTF-16 character in a text" if halves else ""


def options_problem(options: Mapping[str, object]) -> str:
    """Which of a command's options no file or message may contain, and why; empty if all may.

    A word of a command line that is not UTF-8 comes as such a text.
    """
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if problem := unicode_problem(str(one)):
                return f"{name}: got {str(one)!r:.80}, {problem}: expected UTF-8 without NUL"
    return ""


class _RefusedError(ValueError):
    """Valid JSON that this package does not accept; `index` is its place, None if unknown."""

    def __init__(self, text: str, index: int | None = None) -> None:
        super().__init__(text)
        self.index = index


def _bytes(
    path: Path, max_bytes: int, error_type: type[Gr00tError], no_file: type[Gr00tError]
) -> bytes:
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise no_file(f"{path}: a pipe, socket or device, expected a file")
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise error_type(f"{path}: {status.st_size} bytes, expected {max_bytes} at most")
    return data


def _without_waiting(path: str, flags: int) -> int:
    """Open without waiting for the writer of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _map(text: str, path: Path, first_line: int, error_type: type[Gr00tError]) -> dict[str, Any]:
    """Return the map that `text` is; its first line is number `first_line` of the file."""

    def refuse(problem: str, index: int | None) -> NoReturn:
        place = ""
        if index is not None:
            line, column = text.count("\n", 0, index), index - (text.rfind("\n", 0, index) + 1)
            place = f":{line + first_line}:{column + 1}"
        raise error_type(f"{path}{place}: no JSON that can be read: {problem}") from None

    deep = _deep_at(text)
    if deep is not None:
        refuse(f"nested more than {MAX_DEPTH} deep", deep)
    try:
        content = json.loads(
            text,
            parse_int=lambda digits: int(_number(digits, text)),
            parse_float=lambda digits: float(_number(digits, text)),
            parse_constant=lambda name: float(_number(name, text)),
            object_pairs_hook=lambda pairs: _object(pairs, text),
        )
    except json.JSONDecodeError as error:
        refuse(error.msg, error.pos)
    except _RefusedError as error:
        refuse(str(error), error.index)
    if not isinstance(content, dict):
        refuse(f"got {type(content).__name__} at the top, expected a map", 0)
    if problem := next(filter(None, map(unicode_problem, _texts(content))), ""):
        refuse(problem, None)
    return content


def _deep_at(text: str) -> int | None:
    """Return the index of the first bracket that is nested too deep; None if none is."""
    depth, inside = 0, False
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return None
    for found in _MARKS.finditer(text):
        mark = found.group()
        if mark == '"':
            inside = not inside
        elif not inside:
            depth += (mark in "[{") - (mark in "]}")
            if depth > MAX_DEPTH:
                return found.start()
    return None


def _number(digits: str, text: str) -> str:
    """Return `digits` where they are a finite number of bounded length."""
    if len(digits) > MAX_DIGITS:
        raise _RefusedError(f"a number of {len(digits)} characters", _once(digits, text))
    if not math.isfinite(float(digits)):
        raise _RefusedError(f"{digits}, expected a finite number", _once(digits, text))
    return digits


def _once(part: str, text: str) -> int | None:
    """Return where `part` is, None where that is not certain."""
    return text.find(part) if text.count(part) == 1 else None


def _object(pairs: list[tuple[str, Any]], text: str) -> dict[str, Any]:
    """Return the map of `pairs`; JSON's own rule is that the last of two equal keys wins."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            again = [m.start() for m in re.finditer(re.escape(json.dumps(key)) + r"\s*:", text)]
            index = again[1] if len(again) == 2 else None
            raise _RefusedError(f"key {key[:60]!r} is written twice", index)
        found[key] = value
    return found


def _texts(value: object) -> Iterator[str]:
    """Yield every text in `value`, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
