"""With the extra: the scripted policy does a task in LIBERO itself, without ROS."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv-libero" / "bin" / "python"
LIMIT_S = 300.0


@pytest.mark.skipif(not PYTHON.exists(), reason="the extra libero is not installed (.venv-libero)")
def test_the_chocolate_pudding_comes_into_the_basket(tmp_path):
    """At the start a bottle hides half of it."""
    script = ROOT / "test" / "fixtures" / "libero_episode.py"
    environment = {**os.environ, "MUJOCO_GL": "osmesa", "LIBERO_CONFIG_PATH": str(tmp_path)}
    environment.pop("PYTHONPATH", None)
    ended = subprocess.run(
        [PYTHON, script, "8", "20"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=environment,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    outcome = json.loads(ended.stdout.strip().splitlines()[-1])
    assert outcome["success"], outcome
