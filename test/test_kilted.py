"""A short run on ROS 2 Kilted, where `./dev setup --distro kilted` has made .venv-kilted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KILTED = ROOT / ".venv-kilted"
TESTS = ("test/ros/test_unknown.py", "test/node/test_node_base.py")
"""Nodes that begin, end and cannot begin; one that moves a robot."""


@pytest.mark.skipif(sys.prefix == str(KILTED), reason="all tests run on Kilted here")
@pytest.mark.skipif(
    not (KILTED / "setup.json").is_file(), reason=".venv-kilted: ./dev setup --distro kilted"
)
def test_nodes_start_move_and_end_on_kilted():
    """All tests there: `./dev test --distro kilted`, in a job of the public repository."""
    environment = os.environ | {"AMENT_PREFIX_PATH": str(KILTED)}
    environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    environment.pop("LD_LIBRARY_PATH", None)
    command = [KILTED / "bin" / "python", "-m", "pytest", "-q", "-p", "no:xdist", *TESTS]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
