"""Every command is a verb of `gr00t` with help, version, completion and the same exit statuses."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gr00t_ros.tools import gr00t
from gr00t_ros.tools.gr00t import ALIASES, COMMANDS, following

ROOT = Path(__file__).parents[2]
NODES = (
    *(("policy",), ("autostart",), ("sim", "robot"), ("sim", "stand-in"), ("sim", "relay")),
    *(("stream", "joints"), ("stream", "commands")),
)


def run(*words, **environment):
    """`gr00t` with these words as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gr00t_ros.tools.gr00t", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
        check=False,
    )


def every_command():
    """Each command as the words that call it."""
    for name, command in COMMANDS.items():
        yield from ((name, verb) for verb in command.verbs) if command.verbs else ((name,),)


def test_without_a_verb_or_with_a_wrong_one_it_says_what_there_is(capsys):
    """Usage on stderr and status 2; the nearest verb is named."""
    assert gr00t.main([]) == 2
    error = capsys.readouterr().err
    assert error.startswith("usage: gr00t VERB") and all(name in error for name in COMMANDS)
    assert gr00t.main(["docto"]) == 2
    assert "did you mean doctor?" in capsys.readouterr().err
    assert gr00t.main(["sim", "arm"]) == 2
    assert "expected one of robot, stand-in, relay" in capsys.readouterr().err


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_help_of_every_command_has_its_name_in_the_usage_and_status_0(words, capsys):
    """The nodes too: they print it and start nothing."""
    if words[0] == "sim":
        pytest.importorskip("mujoco", reason="the simulator is not installed")
    assert gr00t.main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: gr00t {' '.join(words)}"), text
    if words in NODES:
        assert "\nparameters:\n" in text and "\nexample:\n  gr00t " in text


@pytest.mark.parametrize("verb", ["ping", "check", "bench", "infer", "describe"])
def test_help_of_a_question_names_the_server_and_has_an_example(verb, capsys):
    """One way to name a server in all of them."""
    assert gr00t.main(["sidecar", verb, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(f"usage: gr00t sidecar {verb}")
    assert "--server HOST:PORT" in text and "--token-file" in text
    assert f"example: gr00t sidecar {verb} --server gpu:5555" in text


def test_the_version_is_that_of_the_package(capsys):
    """Also behind a verb, and behind the older names."""
    wanted = ElementTree.parse(ROOT / "package.xml").findtext("version")
    for words in (["--version"], ["doctor", "--version"], ["sim", "robot", "--version"]):
        assert gr00t.main(words) == 0
        assert capsys.readouterr().out == f"gr00t_ros {wanted}\n"


def test_the_older_names_and_those_of_ros2_run_are_the_same_commands(monkeypatch, capsys):
    """gr00t-sim-robot, and scripts/sim_robot."""
    pytest.importorskip("mujoco", reason="the simulator is not installed")
    for program in ("/usr/bin/gr00t-sim-robot", "/opt/lib/gr00t_ros/sim_robot"):
        monkeypatch.setattr(sys, "argv", [program, "--help"])
        assert gr00t.alias() == 0
        assert capsys.readouterr().out.startswith("usage: gr00t sim robot")
    scripts = {path.name.replace("_", "-") for path in (ROOT / "scripts").iterdir()} - {"gr00t"}
    known = {name for name, command in COMMANDS.items() if not command.verbs}
    assert scripts == (known | set(ALIASES)) & scripts and scripts >= set(ALIASES)


def test_a_reader_that_has_gone_ends_it_without_a_traceback():
    """As `gr00t embodiment validate franka_droid | head -1` does."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "gr00t_ros.tools.gr00t", "embodiment", "validate"]
    ended = subprocess.run(
        [*command, "franka_droid"], stdout=writing, stderr=subprocess.PIPE, timeout=120, check=False
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (gr00t.CLOSED_PIPE, b"")


def test_wrong_usage_is_status_2_with_the_verb_in_the_usage():
    """From argparse, and from the nodes."""
    pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
    wrong = run("embodiment", "validate", "--nonsense", "franka_droid")
    assert wrong.returncode == 2 and "usage: gr00t embodiment" in wrong.stderr
    wrong = run("policy", "--server", "gpu")
    assert wrong.returncode == 2 and "'gpu': expected HOST:PORT" in wrong.stderr
    wrong = run("policy", "--embodiment")
    assert wrong.returncode == 2 and "--embodiment: got no value" in wrong.stderr


def test_a_closed_port_is_known_at_once_wherever_a_server_is_named():
    """Long before the deadline of a minute, which only counts for a host that does not refuse."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{free.getsockname()[1]}"
    for words in (
        ("sidecar", "ping"),
        ("sidecar", "check", "--embodiment", "franka_droid"),
        ("embodiment", "validate", "franka_droid"),
        ("embodiment", "new"),
    ):
        asked = subprocess.run(
            [sys.executable, "-m", "gr00t_ros.tools.gr00t", *words, "--server", server]
            + ["--timeout-ms", "600000"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert asked.returncode in (1, 2)
        assert f"{server}: nobody listens on this port" in asked.stderr, words


def test_validate_as_json_has_what_the_tables_have(capsys):
    """And an error as JSON too."""
    assert gr00t.main(["embodiment", "validate", "franka_droid", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["robot"] == "franka_droid" and len(told["limits"]) == 8
    assert {row["part"] for row in told["parts"]} == {"video", "state", "action", "output"}
    assert gr00t.main(["embodiment", "validate", "no_such_robot", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["kind"] == "EmbodimentError"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {"doctor", "sidecar", "embodiment", "--version"}),
        (("sidecar",), {"ping", "check", "proxy"}),
        (("sidecar", "ping"), {"--server", "--token-file", "--json"}),
        (("sidecar", "ping", "--json"), {"--server", "--token-file"}),
        (("embodiment",), {"new", "validate"}),
        (("embodiment", "validate", "franka_droid"), {"--topics", "--json"}),
        (("completion",), {"bash", "zsh"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_may_follow_is_read_from_the_help(words, expected):
    """So it cannot differ from what the commands take."""
    assert expected <= set(following(words))


def test_bash_completes_a_verb_and_an_option(tmp_path):
    """With the script that `gr00t completion bash` prints."""
    command = tmp_path / "gr00t"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m gr00t_ros.tools.gr00t "$@"\n')
    command.chmod(0o755)
    script = """
        source <(gr00t completion bash)
        COMP_WORDS=(gr00t embodiment va); COMP_CWORD=2; _gr00t; echo "${COMPREPLY[@]}"
        COMP_WORDS=(gr00t sidecar ping --tok); COMP_CWORD=3; _gr00t; echo "${COMPREPLY[@]}"
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    told = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PATH": path},
        check=True,
    )
    assert told.stdout.split() == ["validate", "--token-file"]
