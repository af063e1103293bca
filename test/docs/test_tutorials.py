"""The commands of two tutorials are run as they are written, in their order."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from closed_loop import NEEDS_MODEL  # noqa: E402
from page_commands import DATA, REMOTE, run_as_written  # noqa: E402

from gr00t_ros.record.facts import KEPT, write_facts  # noqa: E402
from gr00t_ros.record.recording import Recording  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.supervise.launcher import free_port  # noqa: E402

EMBODIMENT = "franka_droid_n16"
LIMIT_S = 60.0


class Terminals:
    """Runs commands in one folder; a server stays until the end, the next command waits for it."""

    def __init__(self, folder: Path) -> None:
        (folder / "bin").mkdir()
        program = folder / "bin" / "gr00t"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gr00t_ros.tools.gr00t "$@"\n')
        program.chmod(0o755)
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self._where = {"cwd": folder, "env": os.environ | {"PATH": path}}
        self._ports = {name: str(free_port("127.0.0.1")) for name in ("5555", "5556")}
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
    for command in run_as_written(links, REMOTE):
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
    commands = list(run_as_written(links, DATA))
    said = [terminals.run(command) for command in commands]
    assert [command.split()[1:3][-1] for command in commands] == [
        *("info", "convert", "validate", "open-loop"),
    ]
    assert "1 of 1 episodes kept" in said[0]
    assert (tmp_path / "my_dataset" / "meta" / "modality.json").exists()
    assert (tmp_path / "my_report" / "report.html").exists()
