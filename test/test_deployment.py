"""Container files and workflows pass the linters of their formats, where these are installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ("check-jsonschema", "--builtin-schema")


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (("hadolint",), "docker/Dockerfile"),
        (("actionlint",), ".github/workflows/ci.yml"),
        ((*SCHEMA, "vendor.compose-spec"), "docker/compose.yaml"),
        ((*SCHEMA, "vendor.compose-spec"), "docker/compose.jetson.yaml"),
        ((*SCHEMA, "vendor.github-workflows"), ".github/workflows/ci.yml"),
        ((*SCHEMA, "vendor.dependabot"), ".github/dependabot.yml"),
        ((*SCHEMA, "vendor.github-issue-forms"), ".github/ISSUE_TEMPLATE/problem.yml"),
        ((*SCHEMA, "vendor.github-issue-config"), ".github/ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_a_linter_accepts_the_file(command: tuple[str, ...], file: str):
    """Its exit status is 0, or the test shows what it says."""
    scripts = str(Path(sys.executable).parent)
    tool = shutil.which(command[0], path=scripts) or shutil.which(command[0])
    if tool is None:
        pytest.skip(f"{command[0]} is missing: pip install -r requirements-lint.txt")
    done = subprocess.run([tool, *command[1:], file], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
