"""The parser and the statuses that every command uses, apart from any command."""

import argparse
import os
import subprocess
import sys

import pytest

from gr00t_ros import errors
from gr00t_ros.command_line import (
    DONE,
    MISUSE,
    NO,
    Command,
    CommandParser,
    number,
    program,
    refusal,
    run,
    status_of,
    whole_number,
)


def parser():
    """A command with two verbs, as argparse's sub-commands."""
    group = CommandParser(prog="gr00t thing", description="Things.", example="gr00t thing go")
    verbs = group.add_subparsers(required=True, metavar="VERB")
    go = verbs.add_parser("go", example="gr00t thing go --to PLACE")
    go.add_argument("--to", required=True, metavar="PLACE")
    go.add_argument("--mode", choices=("fast", "slow"))
    go.missing["--to"] = "where it goes"
    verbs.add_parser("halt")
    return group


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("hlt", "gr00t thing: argument VERB: got 'hlt'; did you mean halt?"),
        ("go", "gr00t thing go: expected --to PLACE: where it goes"),
        ("go --too x", "gr00t thing go: unknown option --too: did you mean --to?"),
        ("go --to=x --xyz", "gr00t thing go: unknown option --xyz"),
        ("go --to x y", "gr00t thing go: unexpected y"),
        (
            "go --to x --mode fats",
            "gr00t thing go: argument --mode: got 'fats'; did you mean fast?",
        ),
        ("halt --to x", "gr00t thing halt: unknown option --to"),
    ],
)
def test_wrong_words_show_the_usage_of_the_verb_that_they_follow(words, error, capsys):
    """And the nearest name; status 2."""
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(words.split())
    assert ended.value.code == MISUSE
    said = capsys.readouterr().err
    assert said.startswith(f"usage: {error.partition(':')[0]} ") and said.endswith(f"{error}\n")


def test_right_words_are_parsed_and_values_may_look_like_anything():
    """A text with a blank is no option, and nothing behind -- is one."""
    found = parser().parse_args(["go", "--to", "--a b", "--mode", "slow"])
    assert (found.to, found.mode) == ("--a b", "slow")
    free = CommandParser(prog="x")
    free.add_argument("words", nargs="*")
    assert free.parse_args(["--", "--no"]).words == ["--no"]


def test_help_ends_with_the_example(capsys):
    """Also of a verb, whatever else is wrong on the line."""
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["go", "--help"])
    assert ended.value.code == DONE
    assert capsys.readouterr().out.endswith("\nexample:\n  gr00t thing go --to PLACE\n")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.EmbodimentError("x"), NO),
        (errors.RefusedError("x"), NO),
        (errors.RemoteError("x"), NO),
        (errors.ChunkError("x"), NO),
        (errors.ObservationError("x"), NO),
        (errors.UnreadableError("x"), MISUSE),
        (errors.SettingsError("x"), MISUSE),
        (errors.ProfileError("x"), MISUSE),
        (errors.BagError("x"), MISUSE),
        (errors.NodeError("x"), MISUSE),
        (errors.LaunchError("x"), MISUSE),
        (errors.UnreachableError("x"), MISUSE),
        (errors.DeadlineError("x"), MISUSE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_type_of_an_error_decides_the_status(error, status):
    """1 where the answer is no, 2 where there is none."""
    assert status_of(error) == status


def test_an_option_in_place_of_a_verb_is_answered_with_where_options_go():
    """It may be a right one."""
    error = refusal("gr00t thing", "--to", ["go"])
    assert error == "gr00t thing: got '--to'; options follow a verb: gr00t thing VERB --to"
    assert refusal("gr00t thing", "og", ["go", "halt"]).endswith("expected one of go, halt")


def test_a_program_keeps_the_status_of_its_command():
    """Unless the reader has gone: test/tools/test_gr00t.py has that as a process."""
    assert program(lambda: 5) == 5


IGNORING = """
import signal, subprocess, sys
from gr00t_ros.command_line import program

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
sys.exit(program(lambda: subprocess.call([sys.executable, "-c", "raise SystemExit(4)"])))
"""


def test_a_child_s_status_is_known_below_a_program_that_ignores_sigchld():
    """A process inherits that; subprocess then takes every child's status for 0."""
    assert subprocess.run([sys.executable, "-c", IGNORING], check=False).returncode == 4


ENDING = """
import os, signal, sys
from gr00t_ros.command_line import program

class Late:
    def __del__(self, kill=os.kill, me=os.getpid(), number=signal.SIGINT):
        kill(me, number)

late = Late()
signal.signal(signal.SIGINT, lambda *_: None)
sys.exit(program(lambda: 3))
"""


def test_a_second_ctrl_c_while_python_ends_changes_no_status():
    """As launch sends it behind the terminal's own: Python has dropped all handlers by then."""
    assert subprocess.run([sys.executable, "-c", ENDING], check=False).returncode == 3


def ended(command, redirect="", **environment):
    """A program that runs this expression as its command, with its streams redirected."""
    script = (
        f"import os, sys; from gr00t_ros.command_line import program; sys.exit(program({command}))"
    )
    return subprocess.run(
        ["bash", "-c", f'exec "$0" "$@" {redirect}', sys.executable, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_program_whose_streams_are_closed_keeps_the_status_of_its_command(status):
    """Whatever it prints, and wherever."""
    says = f"lambda: print('x') or print('x', file=sys.stderr) or len(sys.stdin.read()) or {status}"
    assert ended(says, "<&- >&- 2>&-").returncode == status


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("times", [1, 100_000])
def test_an_output_that_is_full_is_one_line_and_status_2(times, unbuffered):
    """While it is printed, and at the end."""
    command = f"lambda: print('text' * {times}) or 0"
    full = ended(command, ">/dev/full", PYTHONUNBUFFERED=unbuffered)
    said = (
        "gr00t: stdout: No space left on device\n",
        "gr00t: an output: No space left on device\n",
    )
    assert full.stderr in said
    assert full.returncode == MISUSE


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_text_can_be_printed_in_every_encoding(encoding):
    """What the encoding does not have is escaped: a robot's name, a file's bytes."""
    text = "caf\u00e9 \u4eba \udcff"
    both = f"lambda: print({text!a}) or print({text!a}, file=sys.stderr) or 0"
    said = ended(both, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert said.returncode == 0, said.stderr
    assert said.stdout.endswith("\\udcff\n") and said.stderr.endswith("\\udcff\n")


LONG = "a" * 300


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (f"lambda: os.stat({LONG!r})", f"gr00t: {LONG}: File name too long\n"),
        ("lambda: open('/proc/none/x', 'w')", "gr00t: /proc/none/x: No such file or directory\n"),
        ("lambda: os.listdir('/dev/null')", "gr00t: /dev/null: Not a directory\n"),
    ],
)
def test_a_file_that_the_system_refuses_is_one_line_and_status_2(command, problem):
    """Where no command reports it better."""
    refused = ended(command)
    assert (refused.returncode, refused.stderr) == (MISUSE, problem)


def test_an_error_of_the_system_that_is_about_no_file_is_a_bug():
    """It keeps its traceback."""
    raised = ended("lambda: os.read(99, 1)")
    assert raised.returncode == 1 and "Traceback" in raised.stderr


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (number(0.1, 600.0), "0", "0.1 to 600"),
        (number(0.1, 600.0), "nan", "0.1 to 600"),
        (number(0.1, 600.0), "soon", "0.1 to 600"),
        (whole_number(0, 65_535), "65536", "a whole number from 0 to 65535"),
        (whole_number(0, 65_535), "-1", "a whole number from 0 to 65535"),
        (whole_number(0, 65_535), "1.5", "a whole number from 0 to 65535"),
    ],
)
def test_an_option_outside_its_range_says_what_it_got_and_what_was_expected(read, text, expected):
    """Text that is no number is outside as well."""
    with pytest.raises(argparse.ArgumentTypeError) as raised:
        read(text)
    assert str(raised.value) == f"got {text!r}, expected {expected}"


def test_an_option_inside_its_range_is_a_number():
    """Both ends are inside."""
    assert [number(1.0, 2.0)("1"), number(1.0, 2.0)("2.0"), whole_number(0, 5)("5")] == [
        1.0,
        2.0,
        5,
    ]


def test_a_command_whose_module_is_missing_says_which(monkeypatch, capsys):
    """As on a machine without ROS 2; a missing module of our own is a bug, and is raised."""
    monkeypatch.setitem(sys.modules, "rclpy", None)
    monkeypatch.delitem(sys.modules, "gr00t_ros.tools.doctor", raising=False)
    doctor = Command("", "tools.doctor:main")
    assert run(doctor, "gr00t doctor", []) == MISUSE
    error = capsys.readouterr().err
    assert "needs the Python module 'rclpy'" in error and "source ROS 2's setup.bash" in error
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        run(Command("", "tools.nowhere:main"), "gr00t nowhere", [])
