"""Where an optional package is missing, tests are skipped with the reason; none vanishes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NAMES = {"mujoco": "simulator", "matplotlib": "matplotlib", "pyarrow": "pyarrow", "av": "PyAV"}
"""Optional packages of an evaluation, and how a reason calls them."""
WITHOUT = """
import sys

import pytest

sys.modules[sys.argv[1]] = None  # as if it were not installed
sys.exit(pytest.main([sys.argv[2], "--collect-only", "-q", "-rs", "-p", "no:cacheprovider"]))
"""


def test_no_conftest_hides_files():
    """A file that pytest was told to ignore is in no summary."""
    hidden = [
        path.relative_to(HERE).as_posix()
        for path in HERE.rglob("conftest.py")
        if re.search(r"collect_ignore|pytest_ignore_collect|deselect", path.read_text())
    ]
    assert hidden == []


@pytest.mark.parametrize("package", NAMES)
def test_an_evaluation_test_is_there_or_skipped_with_the_missing_package(package):
    """Each file of the folder is collected, or its skip names what is not installed."""
    folder = HERE / "evaluate"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, package, str(folder)],
        capture_output=True,
        text=True,
        cwd=HERE.parent,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    skipped = [line for line in said.splitlines() if line.startswith("SKIPPED")]
    for path in folder.glob("test_*.py"):
        reasons = [line for line in skipped if path.name in line]
        assert f"{path.name}::" in said or any(NAMES[package] in line for line in reasons), (
            path.name
        )
