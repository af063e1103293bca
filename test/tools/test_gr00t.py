"""Every command is a verb of `gr00t` with help, version, completion and the same exit statuses."""

import ast
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gr00t_ros.bags.__main__ import BAG
from gr00t_ros.command_line import CLOSED_PIPE, JSON_HELP
from gr00t_ros.convert.__main__ import DATASET
from gr00t_ros.evaluate.__main__ import EVAL
from gr00t_ros.robot.files import shipped_embodiments
from gr00t_ros.serve.policies import POLICIES
from gr00t_ros.sidecar.__main__ import SIDECAR
from gr00t_ros.tools import gr00t
from gr00t_ros.tools.embodiment import EMBODIMENT
from gr00t_ros.tools.gr00t import ALIASES, COMMANDS, following

ROOT = Path(__file__).parents[2]
NODES = (
    *(("policy",), ("autostart",), ("sim", "robot"), ("sim", "stand-in"), ("sim", "relay")),
    *(("stream", "joints"), ("stream", "commands"), ("sim", "libero")),
)
TABLES = (COMMANDS, *(one.verbs for one in (SIDECAR, EMBODIMENT, BAG, DATASET, EVAL)))
CALLED_BY_OTHERS = {
    "record.info:main": "record.__main__, whose words without a verb are those of a recording",
    "record.recover:main": "the same",
    "sidecar.serve:own_policy": "SIDECAR.other: a word with a colon in place of a verb",
}
"""Commands that are in none of TABLES, and what calls them."""

OPERATOR = ("status", "watch", "pause", "resume", "reset", "estop", "instruction", "set")
VERBS = {
    "sidecar": SIDECAR.verbs,
    "embodiment": EMBODIMENT.verbs,
    "bag": BAG.verbs,
    "dataset": DATASET.verbs,
    "operator": OPERATOR,
}
LEAVES = [
    *(("try",), ("doctor",), ("record",), ("record", "info"), ("record", "recover")),
    *((group, verb) for group in VERBS for verb in VERBS[group]),
]
STRICT = [words for words in LEAVES if words != ("operator", "estop")]
"""A stop is not refused for a superfluous word."""
SERVERS = ("hold", "wave", "scripted", "replay", "lerobot", "faulty")
CLIENTS = (
    *(("sidecar", verb) for verb in ("ping", "check", "bench", "infer", "describe")),
    *(("embodiment", "new"), ("embodiment", "validate")),
)
BESIDE = {
    "replay": ("--dataset", "/tmp"),
    "lerobot": ("--checkpoint", "/tmp"),
    "infer": ("--observation", "/tmp/file.npz"),
}
"""What a verb needs beside the option that a test is about."""


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


def places(commands):
    """MODULE:FUNCTION of each command."""
    for command in commands.values():
        yield from places(command.verbs) if command.verbs else (command.place,)


def commands_in(source):
    """Names of public functions that make an exit status of words: `f(argv: Sequence[str]) -> int`.

    Not of one that the file itself runs, as `python -m` does.
    """
    tree = ast.parse(source)
    own = ast.unparse(tree.body[-1]) if tree.body else ""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_") or not node.returns:
            continue
        taken = [ast.unparse(each.annotation or each) for each in node.args.args]
        runs = own.startswith("if __name__ == '__main__'") and f"{node.name}(" in own
        words = len(taken) == 1 and "Sequence[str]" in taken[0]
        if words and ast.unparse(node.returns) == "int" and not runs:
            yield node.name


def test_every_command_is_a_row_of_a_table():
    """A function that no table names could be called by nobody, and no other test would see it."""
    package, found = ROOT / "gr00t_ros", set()
    for path in package.rglob("*.py"):
        module = ".".join(path.relative_to(package).with_suffix("").parts)
        found |= {f"{module}:{name}" for name in commands_in(path.read_text())}
    listed = {place for table in TABLES for place in places(table)}
    assert found - listed == set(CALLED_BY_OTHERS)
    assert "sidecar.ask:ping" in found


def test_a_command_without_a_row_is_found():
    """The check can fail, and tells commands from programs and from functions of other values."""
    verb = "def ping(argv: Sequence[str]) -> int: ..."
    assert list(commands_in(verb)) == ["ping"]
    assert list(commands_in("def main(words: Sequence[str] | None = None) -> int: ...")) == ["main"]
    for other in (
        "def _ping(argv: Sequence[str]) -> int: ...",
        "def ping(number: int) -> int: ...",
        f"{verb}\nif __name__ == '__main__':\n    sys.exit(ping(sys.argv[1:]))",
    ):
        assert list(commands_in(other)) == []


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


@pytest.mark.parametrize("verb", ["ping", "check", "bench", "infer", "describe", "dump", "parity"])
def test_help_of_a_question_names_the_server_and_has_an_example(verb, capsys):
    """One way to name a server in all of them."""
    assert gr00t.main(["sidecar", verb, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(f"usage: gr00t sidecar {verb}")
    assert "--server HOST:PORT" in text and "--token-file" in text
    assert f"example: gr00t sidecar {verb} --server gpu:5555" in text


def help_of(words, capsys):
    """What --help prints."""
    assert gr00t.main([*words, "--help"]) == 0
    return capsys.readouterr().out


def error_of(words, capsys):
    """What wrong usage prints on stderr; nothing else, and status 2."""
    assert gr00t.main([*words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_help_of_every_verb_has_the_same_words_for_the_same_thing(words, capsys):
    """Usage with the whole verb, one example, one name for each kind of value, and units."""
    called = " ".join(("gr00t", *words))
    text = help_of(words, capsys)
    assert text.startswith(f"usage: {called} ") and re.search(
        f"\n\nexample:\n  {called}( .*)?\n$", text
    )
    flat = " ".join(text.split())
    for option, value in (
        *(("token-file", "FILE"), ("embodiment", "NAME|FILE"), ("settled", "NAMES")),
        *(("server", "HOST:PORT"), ("timeout-ms", "MS"), ("tag", "TAG"), ("output", "FILE|DIR")),
    ):
        named = set(re.findall(rf"^  --{option} (\S+)", text, re.MULTILINE))
        assert named <= {value, *value.split("|")}, (option, named)
    assert ("--json" in flat) == (f"--json {JSON_HELP}" in flat)
    for row in re.split(r"\n  (?=--)", text)[1:]:
        row = " ".join(row.partition("\n\n")[0].split())
        if re.match(r"--(\S+-(ms|hz|mib)|seconds) ", row):
            assert re.search(r"\d (ms|Hz|MiB|s)\b", row), row


@pytest.mark.parametrize("words", STRICT, ids=" ".join)
def test_a_misspelt_option_shows_the_verb_s_own_usage_and_the_nearest_option(words, capsys):
    """Before a value that is missing; and no option is abbreviated."""
    error = error_of((*words, "--hepl"), capsys)
    assert error.startswith(f"usage: {' '.join(('gr00t', *words))} ")
    assert error.endswith("unknown option --hepl: did you mean --help?\n")
    if words in CLIENTS:
        assert "did you mean --server?" in error_of((*words, "--serve", "gpu:5555"), capsys)


@pytest.mark.parametrize(
    ("group", "word", "near"),
    [
        *(("sidecar", f"{verb}x", verb) for verb in SIDECAR.verbs),
        *(("embodiment", f"{verb}x", verb) for verb in EMBODIMENT.verbs),
        *(("bag", f"{verb}x", verb) for verb in BAG.verbs),
        *(("stream", "joint", "joints"), ("stream", "command", "commands")),
        *(("sim", "robo", "robot"), ("sim", "standin", "stand-in"), ("sim", "rely", "relay")),
    ],
)
def test_a_misspelt_verb_of_a_group_is_answered_with_the_nearest(group, word, near, capsys):
    """As at the top."""
    error = error_of((group, word), capsys)
    assert error == f"gr00t {group}: unknown verb '{word}'; did you mean {near}?\n"


@pytest.mark.parametrize("group", ["sidecar", "embodiment", "bag", "operator", "sim", "stream"])
def test_the_help_of_a_group_ends_with_an_example_of_it(group, capsys):
    """And says in plain words how to go on."""
    text = help_of((group,), capsys)
    assert f"`gr00t {group} VERB --help` shows the options of a verb" in text
    example = re.search(rf"\n\nexample:\n  gr00t ({group} \S+) .*\n$", text)
    assert example and tuple(example[1].split()) in {*LEAVES, *NODES}


@pytest.mark.parametrize("verb", [*SERVERS, "check", "bench", "infer"])
def test_no_robot_is_taken_that_nobody_named(verb, capsys, monkeypatch):
    """The error has the option and every name; a server takes none from the environment."""
    monkeypatch.setenv("GROOT_EMBODIMENT_TAG", "unitree_g1" if verb in SERVERS else "")
    error = error_of(("sidecar", verb, *BESIDE.get(verb, ())), capsys)
    assert "expected --embodiment NAME|FILE: the robot, for which there is no default" in error
    assert all(name in error for name in shipped_embodiments())


@pytest.mark.parametrize("verb", [*SERVERS, "start"])
def test_a_server_that_is_given_a_server_says_where_it_listens(verb, capsys):
    """--server is the clients' option."""
    error = error_of(("sidecar", verb, "--server", "gpu:5555"), capsys)
    assert "unknown option --server: this command is the server" in error
    assert "--host and --port are where it listens" in error


@pytest.mark.parametrize("words", CLIENTS, ids=" ".join)
@pytest.mark.parametrize("option", ["--host", "--port"])
def test_a_client_that_is_given_host_or_port_names_server(words, option, capsys):
    """One way to name a server."""
    error = error_of((*words, option, "1"), capsys)
    assert f"unknown option {option}: a server is named by --server HOST:PORT" in error


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "embodiment validate franka_droid"),
        (0, "embodiment explain margin"),
        (1, "try BROKEN"),
        (1, "try OPEN"),
        (2, "try"),
        (2, "try /no/such.yaml"),
        (2, "try /tmp"),
        (2, "try nobody"),
        (2, "try desk6 --settled foo"),
        (1, "bag info BAG --embodiment BROKEN"),
        (1, "bag info BAG --embodiment OPEN"),
        (2, "bag info /no/such --embodiment desk6"),
        (2, "bag info BAG --embodiment nobody"),
        (2, "bag info BAG"),
        (2, "bag play /no/such"),
        (2, "operator set velocity_scale"),
        (2, "operator instruction put the cup"),
        (2, "doctor desk6"),
        (2, "doctor embodiment:=desk6"),
        (1, "embodiment validate BROKEN"),
        (1, "embodiment validate OPEN"),
        (1, "sidecar check --embodiment BROKEN --server 127.0.0.1:1"),
        (2, "embodiment validate /no/such.yaml"),
        (2, "embodiment validate /tmp"),
        (2, "embodiment validate nobody"),
        (2, "embodiment validate franka_droid --settled foo"),
        (2, "embodiment validate franka_droid --server nowhere"),
        (2, "embodiment explain foo"),
        (2, "embodiment new --dataset /no/such"),
        (2, "sidecar check --embodiment nobody"),
        (2, "sidecar infer --embodiment desk6 --observation /no/such.npz"),
        (2, "sidecar parity /no/such.npz --server 127.0.0.1:1"),
        (2, "sidecar parity /no/such.npz --host 127.0.0.1 --port 0"),
        (2, "sidecar dump --observation /no/such.npz"),
        (2, "sidecar dump --random --embodiment nobody --observation /no/such.npz"),
        (2, "sidecar ping --server nowhere"),
        (2, "sidecar hold --embodiment nobody"),
        (2, "sidecar hold --embodiment BROKEN"),
        (2, "sidecar no_such_module:factory --embodiment desk6"),
        (2, "sidecar faulty --embodiment desk6 --fault foo"),
        (2, "sidecar wave --embodiment desk6 --codec B4"),
        (2, "sidecar start nothing"),
        (2, "sidecar start hold"),
        (2, "sidecar start n17 --embodiment desk6 --working-directory /no/such"),
        (2, "sidecar proxy --upstream nowhere"),
        (2, "sidecar keys /dev/null"),
    ],
)
def test_exit_statuses_follow_one_rule(status, words, tmp_path, capsys, caplog):
    """0 done; 1 a file that was read does not hold; 2 wrong usage, or it could not run."""
    for name, text in (("BROKEN", "robot: [1\n"), ("OPEN", "robot: FILL_IN\n")):
        (tmp_path / f"{name}.yaml").write_text(text)
        words = words.replace(name, str(tmp_path / f"{name}.yaml"))
    assert gr00t.main(words.split()) == status
    said = capsys.readouterr().err + caplog.text  # pytest takes the log of a server
    assert (said == "") == (status == 0) and "Traceback" not in said


def test_every_server_ends_with_0_at_ctrl_c_also_while_it_starts_and_no_question_does():
    """And each policy that has a name is a verb."""
    servers = {*SERVERS, "start", "proxy", "compress", "restore", "pool"}
    assert {verb for verb, row in SIDECAR.verbs.items() if row.interrupted == 0} == servers
    assert {row.interrupted for row in EMBODIMENT.verbs.values()} == {130}
    assert set(POLICIES) <= set(SERVERS)


def test_each_command_of_the_documents_names_its_robot():
    """A command that is copied from a page must not end with wrong usage."""
    verbs = "|".join((*SERVERS, "check", "bench", "infer"))
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "config").rglob("*.yaml")]
    lines = [
        line
        for page in pages
        for line in page.read_text().replace("\\\n", "").splitlines()
        if re.search(rf"^[^|`]*sidecar,? ({verbs})\b.* --", line)
    ]
    assert len(lines) > 12
    assert [line for line in lines if "--embodiment" not in line] == []


def test_the_page_has_the_exit_statuses():
    """docs/using.md is where a user looks them up."""
    page = (ROOT / "docs" / "using.md").read_text()
    part = page.partition("## Exit statuses")[2].partition("\n## ")[0]
    assert re.findall(r"^\| (\d+) \|", part, re.MULTILINE) == ["0", "1", "2", "130", "141"]


@pytest.mark.parametrize(
    "words",
    [
        *(("sidecar", verb) for verb in ("ping", "describe")),
        ("sidecar", "check", "--embodiment", "desk6"),
        ("embodiment", "new"),
        ("embodiment", "validate", "desk6"),
    ],
    ids=" ".join,
)
def test_an_interrupt_ends_a_question_with_130(words):
    """There was no answer; a server would end with 0. At whatever step it is."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        server = f"127.0.0.1:{mute.getsockname()[1]}"
        command = [sys.executable, "-m", "gr00t_ros.tools.gr00t", *words]
        child = subprocess.Popen(
            [*command, "--server", server, "--timeout-ms", "600000"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        mute.accept()[0].close()
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=120)
    assert (child.returncode, error) == (130, "")


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


@pytest.mark.parametrize(
    "words",
    [
        ("gr00t_ros.tools.gr00t", "embodiment", "validate", "franka_droid"),
        ("gr00t_ros.tools.gr00t", "embodiment", "schema"),
        ("gr00t_ros.tools.gr00t", "sidecar", "infer", "--help"),
        ("gr00t_ros.tools.gr00t", "sidecar", "hold", "--embodiment", "desk6", "--port", "0"),
        ("gr00t_ros.tools.gr00t", "--help"),
        *(("gr00t_ros.tools.gr00t", verb, "--help") for verb in ("try", "doctor", "policy", "bag")),
        ("gr00t_ros.tools.gr00t", "operator", "estop", "--help"),
        ("gr00t_ros.sidecar", "--help"),
        ("gr00t_ros.tools.embodiment", "explain", "margin"),
    ],
    ids=" ".join,
)
def test_a_reader_that_has_gone_ends_it_without_a_traceback(words):
    """As `gr00t embodiment validate franka_droid | head -1` does."""
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", *words],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(writing)
    assert ended.returncode == CLOSED_PIPE, ended.stderr
    assert "Traceback" not in ended.stderr and "BrokenPipe" not in ended.stderr


LONG = "a" * 300


@pytest.mark.parametrize(
    "words",
    [
        *(("embodiment", "validate", LONG), ("embodiment", "new", "--dataset", LONG)),
        *(("dataset", "info", LONG), ("dataset", "validate", LONG), ("bag", "play", LONG)),
        *(("bag", "info", LONG, "--embodiment", "desk6"), ("record", "info", LONG)),
        *(
            ("layout", "--embodiment", "desk6", "--output", LONG),
            ("scene", "check", "franka_table", "--robot", LONG),
        ),
        *(("trace", LONG, "--output", f"{LONG}.pftrace"), ("eval", "compare", LONG, LONG)),
        ("eval", "open-loop", "--dataset-path", LONG, "--embodiment", "desk6", "--output", LONG),
    ],
    ids=lambda words: " ".join(word for word in words if word != LONG),
)
def test_a_path_that_the_system_refuses_is_one_line_and_status_2(words):
    """Whichever command gets it, and whether it reads or writes it."""
    pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
    refused = run(*words)
    assert refused.returncode == 2, refused
    assert "Traceback" not in refused.stderr
    assert LONG[:200] in refused.stderr.splitlines()[-1]


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
        free.bind(("127.0.0.1", 0))  # kept, and nobody listens
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
            assert asked.returncode == 2
            assert f"{server}: nobody listens on this port" in asked.stderr, words


def test_validate_as_json_has_what_the_tables_have(capsys):
    """And an error as JSON too."""
    assert gr00t.main(["embodiment", "validate", "franka_droid", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["robot"] == "franka_droid" and len(told["limits"]) == 8
    assert {row["part"] for row in told["parts"]} == {"video", "state", "action", "output"}
    assert gr00t.main(["embodiment", "validate", "no_such_robot", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["kind"] == "UnreadableError"


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


@pytest.mark.parametrize(("verb", "stops"), [("estop", True), ("pause", True), ("status", False)])
def test_an_operators_verb_without_operator_says_what_to_type(capsys, verb, stops):
    """Nothing was sent, and who wanted to stop the robot must know that at once."""
    assert gr00t.main([verb]) == 2
    error = capsys.readouterr().err
    assert f"type: gr00t operator {verb}" in error
    assert ("NOTHING WAS STOPPED" in error) is stops
