"""With the extra: the scripted policy does a task in LIBERO itself, without ROS."""

import json
import subprocess
from ctypes.util import find_library
from pathlib import Path

import pytest

from gr00t_ros.sim.libero.extra import INSTALL, environment, libero_python

SCRIPT = Path(__file__).resolve().parents[2] / "fixtures" / "libero_episode.py"
PYTHON = libero_python()
LIMIT_S = 300.0


@pytest.mark.skipif(PYTHON is None, reason=f"LIBERO is not installed: {INSTALL}")
@pytest.mark.skipif(find_library("OSMesa") is None, reason="robosuite's cameras need libosmesa6")
def test_the_chocolate_pudding_comes_into_the_basket(tmp_path):
    """At the start a bottle hides half of it."""
    ended = subprocess.run(
        [PYTHON, SCRIPT, "8", "20"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=environment() | {"MUJOCO_GL": "osmesa", "LIBERO_CONFIG_PATH": str(tmp_path)},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    outcome = json.loads(ended.stdout.strip().splitlines()[-1])
    assert outcome["success"], outcome
