"""A server of ours for the shipped arm, and the verbs run in this process."""

import json

import pytest

from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.faulty import Faulty, read_fault
from gr00t_ros.serve.policies import HoldPolicy
from gr00t_ros.sidecar.__main__ import main
from gr00t_ros.wire.messages import Generation

NAMES = "HOST PORT TIMEOUT_MS API_TOKEN STRICT".split()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """No name of another client leaks in from the shell."""
    for name in (*(f"GROOT_POLICY_{name}" for name in NAMES), "GROOT_EMBODIMENT_TAG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("GR00T_API_TOKEN", raising=False)


@pytest.fixture(scope="session")
def robot():
    """The shipped DROID arm."""
    return load_embodiment("franka_droid")


@pytest.fixture
def hold(serve, robot):
    """Serve the hold policy for the arm, with faults where they are named; its HOST:PORT."""

    def start(*faults, generation="B3", policy=None, **settings):
        codec = Generation(generation).array_codec

        def around(inner):
            return Faulty(inner, [read_fault(text) for text in faults], codec, pytest.fail, 1)

        server = serve(policy or HoldPolicy(robot), generation, around=around, **settings)
        return server.address.removeprefix("tcp://")

    return start


@pytest.fixture
def ask(capsys):
    """Run a verb; its exit status, what it printed, and its errors."""

    def run(*words):
        status = main(words)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def ask_json(ask):
    """Run a verb with --json; its exit status and the figures."""

    def run(*words):
        status, out, _ = ask(*words, "--json")
        return status, json.loads(out)

    return run
