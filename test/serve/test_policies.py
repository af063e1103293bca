"""Policies are found by name and loaded when needed; errors explain wrong names."""

import subprocess
import sys
from pathlib import Path

import pytest

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.policies import HoldPolicy, make_policy


@pytest.fixture(scope="module")
def embodiment():
    """The shipped DROID arm."""
    return load_embodiment("franka_droid")


def test_a_registered_name_gives_its_policy(embodiment):
    """The names of the command line."""
    assert isinstance(make_policy("hold", embodiment), HoldPolicy)


def test_a_factory_of_ones_own_is_taken_by_its_path(embodiment):
    """A user's policy needs no change here."""
    policy = make_policy("gr00t_ros.serve.policies:make_hold_policy", embodiment)
    assert isinstance(policy, HoldPolicy)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pi0", "expected one of hold, scripted"),
        ("no.such.module:make_policy", "No module named"),
        ("gr00t_ros.serve.policies:nothing", "has no attribute 'nothing'"),
    ],
)
def test_a_name_that_gives_no_policy_is_a_settings_error_that_says_why(embodiment, name, text):
    """Unknown, not installed and misspelt are told apart."""
    with pytest.raises(SettingsError, match=text):
        make_policy(name, embodiment)


def test_the_server_loads_no_simulation_until_a_policy_needs_it():
    """The rooms' order holds at run time too: a bare venv serves the hold policy."""
    code = (
        "import sys, gr00t_ros.sidecar.__main__;"
        "print([name for name in sys.modules if name.startswith(('gr00t_ros.sim', 'cv2'))])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr
