"""The command line of every command: exit statuses, options, groups of verbs, and help.

Exit statuses, one rule for every command; docs/using.md has it for users:

- DONE: it did what it was asked. A server or node that runs until it is told to end: Ctrl-C too.
- NO: the answer is no: a file was read and does not hold, a check failed, a peer refused.
- MISUSE: wrong usage, or it could not run: a file that is missing or unreadable, an unknown name,
  a server that does not answer or cannot start.
- INTERRUPTED: Ctrl-C ended a command before its answer.
- CLOSED_PIPE: the reader of its output has gone, such as `head`.
"""

from __future__ import annotations

import argparse
import atexit
import difflib
import errno
import importlib
import io
import math
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar, cast

from gr00t_ros.errors import (
    BagError,
    DeadlineError,
    Gr00tError,
    LaunchError,
    NodeError,
    ProfileError,
    SettingsError,
    TraceError,
    UnreachableError,
    UnreadableError,
)
from gr00t_ros.middleware import check_at_import
from gr00t_ros.starting import starting
from gr00t_ros.text_table import printable, printable_lines

DONE: Final = 0
NO: Final = 1
MISUSE: Final = 2
INTERRUPTED: Final = 130
CLOSED_PIPE: Final = 141
"""As a shell reports programs that SIGINT and SIGPIPE ended."""

JSON_HELP: Final = "print JSON for programs"
"""The help text of --json in every command."""

_COULD_NOT: Final = (
    *(SettingsError, UnreadableError, ProfileError, BagError, TraceError),
    *(NodeError, LaunchError, UnreachableError, DeadlineError),
)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a write fails with, which names no file: the disk is full, or broken."""
_WIDTH: Final = 78
_HELP: Final = ("-h", "--help")
_Number = TypeVar("_Number", int, float)


def status_of(error: Gr00tError) -> int:
    """Return the exit status of a command that asks something and ends with this error."""
    return MISUSE if isinstance(error, _COULD_NOT) else NO


def fail(called: str, error: Gr00tError) -> int:
    """Print why the command `called` ends, and return its exit status."""
    print(f"{called}: {printable_lines(str(error))}", file=sys.stderr)
    return status_of(error)


def tell_progress(text: str) -> None:
    """Print at once how far a command is, to stderr: stdout has its answer alone."""
    print(text, file=sys.stderr, flush=True)


def program(run: Callable[[], int]) -> int:
    """Run a command as the whole process; return its status.

    CLOSED_PIPE if the reader of its output has gone. A file or an output that the system refuses is
    one line and MISUSE: each command reports its own files better, where it expects the refusal.
    """
    _repair_streams()
    # Where SIGCHLD is ignored, which a process inherits, the system forgets how a child ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    check_at_import()
    # launch sends a SIGINT behind the terminal's own: it must not kill a Python that ends already
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    try:
        status = run()
        sys.stdout.flush()
        sys.stderr.flush()
    except KeyboardInterrupt:  # between two commands' own handling of it
        return INTERRUPTED
    except OSError as error:
        return _refused_by_system(error)
    return status


def _repair_streams() -> None:
    """Give the process all three streams, and let every text be printed in any encoding."""
    # In the order of their numbers: each closed one gets its own number again.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - to the end of the process
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _refused_by_system(error: OSError) -> int:
    """Say what the system refused, if it was an output or a file; else raise the error."""
    broken = {name: problem for name in ("stdout", "stderr") if (problem := _problem_of(name))}
    problems = [error, *broken.values()]
    if any(isinstance(problem, BrokenPipeError) for problem in problems):
        return CLOSED_PIPE
    if error.filename is not None:
        what = error.filename
    elif broken or error.errno in _FULL:
        what = next(iter(broken), "an output")
    else:
        raise error
    print(f"gr00t: {printable(str(what))}: {error.strerror or error}", file=sys.stderr)
    return MISUSE


def _problem_of(name: str) -> OSError | None:
    """Why a stream cannot be flushed; the rest of it is then dropped.

    What is left in its buffer would raise again when the interpreter flushes it.
    """
    stream = getattr(sys, name)
    try:
        stream.flush()
    except OSError as problem:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        return problem
    return None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "did you mean X?" for the known name nearest to `word`; empty if none is near."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"did you mean {near[0]}?" if near else ""


def refusal(called: str, word: str, known: Iterable[str]) -> str:
    """Return the error for a word that is no verb of the command `called`."""
    names = list(known)
    if word.startswith("-"):
        return f"{called}: got {word!r:.60}; options follow a verb: {called} VERB {word:.60}"
    hint = nearest(word, names) or f"expected one of {', '.join(names)}"
    return f"{called}: unknown verb {word!r:.60}; {hint}"


# --- options ---------------------------------------------------------------------------------


class CommandParser(argparse.ArgumentParser):
    """The options of one command, or of a verb in `add_subparsers`.

    An unknown option or choice is answered with the nearest name. Options cannot be abbreviated,
    because a later version may have another option that begins in the same way.

    example: the command line that the help ends with. notes: lines before it, printed as they are.
    instead: option that belongs to another command -> what to use here. missing: required option
    -> what is said beside its name if it is not given.
    """

    def __init__(self, *args: Any, example: str = "", notes: str = "", **settings: Any) -> None:
        """Take `prog`, `description` and the other settings of ArgumentParser by name."""
        settings.setdefault("allow_abbrev", False)
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        description = textwrap.fill(settings.pop("description", None) or "", _WIDTH)
        parts = [notes, f"example:\n  {example}" if example else ""]
        epilog = "\n\n".join(filter(None, parts))
        settings = {"description": description or None, "epilog": epilog or None, **settings}
        super().__init__(*args, **settings)
        self.instead: dict[str, str] = {}
        self.missing: dict[str, str] = {}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as ArgumentParser does, but refuse unknown words with this command's usage."""
        words = list(sys.argv[1:] if args is None else args)
        if self._subparsers is not None:
            return super().parse_known_args(words, namespace)
        if not set(_HELP) & set(words):
            self._refuse_options(words)
        options, left = super().parse_known_args(words, namespace)
        if left:
            self.error(f"unexpected {' '.join(left):.80}")
        return options, []

    def _refuse_options(self, words: Sequence[str]) -> None:
        given = {name for name in map(_option_of, _before_end(words)) if name}
        known = self._option_string_actions
        for name in sorted(given - known.keys()):
            self.error(self._unknown(name))
        for action in self._actions:
            names = action.option_strings
            if action.required and names and not given & set(names):
                value = action.metavar or action.dest.upper()
                more = self.missing.get(names[-1], "")
                self.error(f"expected {names[-1]} {value}" + (f": {more}" if more else ""))

    def _unknown(self, option: str) -> str:
        hint = self.instead.get(option) or nearest(option, self._option_string_actions)
        return f"unknown option {option:.60}" + (f": {hint}" if hint else "")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = None if action.choices is None else list(action.choices)
        if choices is not None and value not in choices:
            names = [str(choice) for choice in choices]
            hint = nearest(str(value), names) or f"expected one of {', '.join(names)}"
            raise argparse.ArgumentError(action, f"got {value!r:.60}; {hint}")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print as ArgumentParser does, which hides that the reader has gone."""
        if message:
            (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        """Print usage and error to stderr and end with MISUSE."""
        self.print_usage(sys.stderr)
        self.exit(MISUSE, f"{self.prog}: {message}\n")


def _before_end(words: Sequence[str]) -> Sequence[str]:
    return words[: words.index("--")] if "--" in words else words


def _option_of(word: str) -> str:
    """Return the option that a word names, as argparse sees it; empty if it names none."""
    name, equals, _ = word.partition("=")
    is_option = name.startswith("--") and " " not in (name if equals else word)
    return name if is_option else ""


def number(low: float, high: float) -> Callable[[str], float]:
    """Return the type of an option that takes a number from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        return _inside(text, value, f"{low:g} to {high:g}", low <= value <= high)

    return parse


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return the type of an option that takes a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        return _inside(text, value, f"a whole number from {low} to {high}", low <= value <= high)

    return parse


def _inside(text: str, value: _Number, expected: str, is_inside: bool) -> _Number:
    if not is_inside:
        raise argparse.ArgumentTypeError(f"got {text!r:.60}, expected {expected}")
    return value


# --- groups of verbs -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """One verb, with the line that lists it.

    place: MODULE:FUNCTION below gr00t_ros, imported only when it runs. interrupted: the exit
    status at Ctrl-C: DONE for what runs until it is told to end. verbs: its own commands, with
    `about` and `example` for their list, and `other`: what takes a word with a colon, and the
    name by which it is listed. A command whose `place` lists its verbs itself has none here.
    """

    text: str
    place: str = ""
    interrupted: int = INTERRUPTED
    verbs: Mapping[str, Command] | None = None
    about: str = ""
    example: str = ""
    other: tuple[str, Command] | None = None


def run(command: Command, called: str, words: Sequence[str]) -> int:
    """Run the command that `words` name, with the words behind it; returns the exit status.

    called: what was typed before the words, as usage and errors show it.
    """
    if command.verbs is None:
        return _call(command, words)
    first, rest = (words[0], words[1:]) if words else ("", ())
    if first in _HELP:
        print(listing(command, called))
        return DONE
    if first in command.verbs:
        return run(command.verbs[first], f"{called} {first}", rest)
    if command.other and ":" in first:
        return _call(command.other[1], words)
    text = refusal(called, first, command.verbs) if first else listing(command, called)
    print(text, file=sys.stderr)
    return MISUSE


def listing(command: Command, called: str) -> str:
    """Return the help of a command that has verbs."""
    assert command.verbs is not None
    other = {command.other[0]: command.other[1]} if command.other else {}
    rows = {**command.verbs, **other}
    lines = [f"usage: {called} VERB [OPTIONS]", ""]
    lines += [command.about, ""] if command.about else []
    lines += [f"  {name:15} {row.text}" for name, row in rows.items()]
    lines += ["", f"`{called} VERB --help` shows the options of a verb and an example."]
    lines += ["", "example:", f"  {command.example}"] if command.example else []
    return "\n".join(lines)


_MISSING: Final = """\
gr00t: this command needs the Python module {!r}, which is not installed here.
If it belongs to ROS 2: source ROS 2's setup.bash in this shell, or install its wheels from PyPI
(requirements.txt in the sources of gr00t_ros lists them). Otherwise: pip install it.
"""
_GENERATED: Final = ("gr00t_ros.msg", "gr00t_ros.srv")


def _is_ours(module: str | None) -> bool:
    """Whether a module that was not found is one that every installation has: a bug."""
    known = module is None or module.split(".")[0] == "gr00t_ros"
    return known and module not in _GENERATED


def _function(place: str) -> Callable[[Sequence[str]], int]:
    """The function MODULE:NAME; ends the program where it needs a module that cannot be loaded."""
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(f"gr00t_ros.{module}"), name)
    except ModuleNotFoundError as error:
        if _is_ours(error.name):
            raise
        print(_MISSING.format(error.name), end="", file=sys.stderr)
        raise SystemExit(MISUSE) from None
    except SettingsError as error:  # of the middleware, which the command would import
        print(f"gr00t: {error}", file=sys.stderr)
        raise SystemExit(MISUSE) from None
    return cast(Callable[[Sequence[str]], int], found)


def _call(command: Command, words: Sequence[str]) -> int:
    try:
        with starting(command.interrupted):
            called = _function(command.place)
        return int(called(list(words)))
    except SystemExit as end:  # argparse: its usage, or --help
        return end.code if isinstance(end.code, int) else DONE
    except KeyboardInterrupt:
        return command.interrupted
