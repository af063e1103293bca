"""The commands of the tutorials: each is run by a test, or its page says that it is not."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from closed_loop import NEEDS_MODEL  # noqa: E402
from node_robot import free_port  # noqa: E402

from gr00t_ros.record.facts import KEPT, write_facts  # noqa: E402
from gr00t_ros.record.recording import Recording  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REMOTE = DOCS / "tutorials" / "remote_gpu.md"
DATA = DOCS / "tutorials" / "record_train_deploy.md"
PAGES = (DOCS / "tutorials" / "first_robot.md", DATA, REMOTE, DOCS / "editor.md")
WALKED = DOCS / "without_ros2.md"
"""test/tools/test_walk.py runs every command of this page as it is written."""
LOOP = "test/examples/test_loop.py::test_the_whole_loop_runs_and_says_what_it_found"
"""A test of ./dev soak: it trains, and needs PyTorch."""
RUN_ELSEWHERE = {
    "./dev demo": "test/demo/test_demo.py::test_the_task_is_done_inside_the_limits",
    "./dev demo --embodiment franka_droid_n16 --record my_recording --seed 1": (
        "test/demo/test_demo.py::test_a_cube_that_is_not_there_is_a_failure_without_motion"
    ),
    "SMALL_POLICY=$PWD/trained/policy.pt ./dev demo --embodiment franka_droid_n16 "
    "--policy examples.small_policy.serve:make --seed 0": LOOP,
    "./dev loop --output loop": LOOP,
    "python3 -m examples.small_policy.train my_dataset --output trained --minutes 20": LOOP,
    "SMALL_POLICY=trained/policy.pt gr00t sidecar examples.small_policy.serve:make "
    "--embodiment franka_droid_n16 --port 5555": LOOP,
    "gr00t embodiment validate ur5e_2f85": (
        "test/tools/test_embodiment_tool.py::test_validate_says_what_a_shipped_file_says"
    ),
    **dict.fromkeys(
        ("gr00t embodiment explain fit", "gr00t embodiment explain margin"),
        "test/tools/test_embodiment_schema.py::"
        "test_a_key_is_explained_at_each_place_where_it_may_stand",
    ),
    "gr00t embodiment schema > embodiment.schema.json": (
        "test/tools/test_embodiment_schema.py::"
        "test_document_and_shipped_schema_are_made_from_the_tables"
    ),
}
"""Commands with the test that runs each, with values of its own.

All others run at the end of this file (`REMOTE`, `DATA`) or on the page `WALKED`.
"""
EMBODIMENT = "franka_droid_n16"
LIMIT_S = 60.0


def here(links, page):
    """The commands of a page that run in this file, in their order."""
    for command, marked in links.commands(page):
        if not marked and command not in RUN_ELSEWHERE:
            yield command


def everywhere(links):
    """Page, command, and whether it is marked as not run, of all pages."""
    for page in PAGES:
        for command, marked in links.commands(page):
            yield page.name, command, marked


def test_every_command_is_run_by_a_test_or_marked(links):
    """A block of commands that no test runs begins with `# (not run here: REASON)`."""
    run = {command for command, _ in links.commands(WALKED)} | set(RUN_ELSEWHERE)
    run |= {*here(links, REMOTE), *here(links, DATA)}
    unknown = [
        (p, command) for p, command, marked in everywhere(links) if not marked | (command in run)
    ]
    assert unknown == []
    assert set(RUN_ELSEWHERE) <= {command for _, command, _ in everywhere(links)}


@pytest.mark.parametrize("test", sorted(set(RUN_ELSEWHERE.values())))
def test_the_test_that_runs_a_command_is_there(test):
    """Whoever renames it sees that a page counts on it."""
    file, _, name = test.partition("::")
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_a_marked_block_is_seen(links, tmp_path):
    """Lines are joined at backslashes, comments are no commands."""
    page = tmp_path / "page.md"
    page.write_text(
        "```bash\na \\\n  b  # why\n# c\n```\n```bash\n# (not run here: far)\nd '#e'\n```\n"
    )
    assert list(links.commands(page))[0] == ("a b", False)
    assert [marked for _, marked in links.commands(page)] == [False, True]


def test_every_option_of_a_command_of_ours_exists(links, reference_pages):
    """Of marked commands too, as far as they are ours: the help of the verb has them."""
    text = reference_pages.commands()
    helps = dict(re.findall(r"^##+ gr00t ([^\n]+)\n\n```text\n(.*?)^```", text, re.M | re.S))
    asked = 0
    for page, command, _ in everywhere(links):
        words = shlex.split(command.partition(" --ros-args")[0].partition(" > ")[0])
        words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
        if words[0] != "gr00t" or words[1].startswith("-"):
            continue
        verb, second = (*words[1:3], "")[:2]
        if ":" in second:
            second = "hold"  # a policy of one's own is served with the options of ours
        shown = helps.get(f"{verb} {second}") or helps[verb]
        for option in (word for word in words if word.startswith("--")):
            assert option in shown, f"{page}: {command}: the help has no {option}"
        asked += 1
    assert asked > 10


class Terminals:
    """Runs commands in one folder; a server stays until the end, the next command waits for it."""

    def __init__(self, folder: Path) -> None:
        (folder / "bin").mkdir()
        program = folder / "bin" / "gr00t"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gr00t_ros.tools.gr00t "$@"\n')
        program.chmod(0o755)
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self._where = {"cwd": folder, "env": os.environ | {"PATH": path}}
        self._ports = {name: str(free_port()) for name in ("5555", "5556")}
        self._servers: list[subprocess.Popen[str]] = []

    def run(self, command: str) -> str:
        """One command as it is written, but for its ports; its output, and status 0."""
        for written, port in self._ports.items():
            command = command.replace(written, port)
        done = subprocess.run(
            ["bash", "-euc", command],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            **self._where,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"[-4000:]
        return done.stdout

    def serve(self, command: str) -> None:
        """A server in a terminal of its own, until it says that it is ready."""
        for written, port in self._ports.items():
            command = command.replace(written, port)
        server = subprocess.Popen(
            ["bash", "-euc", f"exec {command}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self._where,
        )
        self._servers.append(server)
        assert server.stdout is not None
        said = ""
        for line in server.stdout:
            said += line
            if "READY " in line:
                return
        pytest.fail(f"{command}: ended before it was ready\n{said}")

    def close(self) -> None:
        """End all servers."""
        for server in self._servers:
            server.kill()
            server.communicate()


@pytest.fixture
def terminals(tmp_path):
    """Terminals in a folder of their own."""
    opened = Terminals(tmp_path)
    yield opened
    opened.close()


def stays(command):
    """Whether a command serves until Ctrl-C."""
    return command.startswith(("gr00t sidecar hold", "gr00t sidecar proxy"))


def test_a_server_behind_a_proxy_with_keys_is_set_up_as_the_page_says(links, terminals):
    """All on one computer: server, keys, proxy, ping, check and bench through it."""
    said = {}
    for command in here(links, REMOTE):
        if stays(command):
            terminals.serve(command)
        else:
            said[command.split()[2]] = terminals.run(command)
    assert list(said) == ["keys", "ping", "check", "bench"]
    assert all(said.values())


@NEEDS_MODEL
def test_a_recording_becomes_a_dataset_that_is_evaluated_as_the_page_says(
    links, terminals, tmp_path
):
    """The first second of a demonstration; the hold policy answers in place of the trained one."""
    for name in ("av", "matplotlib", "pyarrow", "rosbags"):
        pytest.importorskip(name, reason="recordings, datasets and reports need it")
    from examples.loop.lockstep import record_episode
    from gr00t_ros.sim.robots import make_policy

    embodiment = load_embodiment(EMBODIMENT)
    recording = Recording(tmp_path / "my_recording", EMBODIMENT, 0)
    folder = recording.episode(0)
    facts = record_episode(folder, 0, embodiment, make_policy(embodiment), 1000, 1.2)
    write_facts(folder, replace(facts, outcome=KEPT))  # it ends before the cube lies there
    terminals.serve(f"gr00t sidecar hold --embodiment {EMBODIMENT} --host 127.0.0.1 --port 5555")
    commands = list(here(links, DATA))
    said = [terminals.run(command) for command in commands]
    assert [command.split()[1:3][-1] for command in commands] == [
        *("info", "convert", "validate", "open-loop"),
    ]
    assert "1 of 1 episodes kept" in said[0]
    assert (tmp_path / "my_dataset" / "meta" / "modality.json").exists()
    assert (tmp_path / "my_report" / "report.html").exists()
