"""Container files and workflows: they pass the linters of their formats, where these are installed.

What needs no linter: who runs a container, what it may read, and what the image is built from.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
DOCKERIGNORE = (ROOT / ".dockerignore").read_text().split()
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


@pytest.mark.parametrize("name", ["proxy", "node", "web"])
def test_the_user_of_a_container_and_its_robots_folder_are_chosen(name):
    """Fast DDS shares memory between processes of one user alone: of the node and of drivers."""
    service = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"][name]
    assert service["ipc"] == "host" and service["user"] == "${UID_GID:-1000:1000}"
    assert service["volumes"] == ["${ROBOT_FILES:-./robot}:/robot:ro"]


def test_the_image_has_a_home_for_any_user():
    """Logs go there; Docker would set HOME to / for a user without an entry in /etc/passwd."""
    home, *_ = re.findall(r"^ENV HOME=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert f"chmod 1777 {home}" in DOCKERFILE


def test_what_git_ignores_is_not_sent_to_docker():
    """Caches and environments of several GB."""
    ignored = (ROOT / ".gitignore").read_text().split()
    folders = {line.strip("/") for line in ignored if line.endswith("/") and "docs/" not in line}
    sent = folders - {line.removeprefix("**/") for line in DOCKERIGNORE}
    assert not sent and {".git", "docs", "test", "shared"} <= set(DOCKERIGNORE)


def test_the_public_workflow_installs_the_linters_before_the_tests():
    """Otherwise they would be skipped there, and nobody would see it."""
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    runs = [step.get("run", "") for step in jobs["tests"]["steps"]]
    linters = runs.index(".venv/bin/pip install -r requirements-lint.txt")
    assert linters < runs.index("./dev test")
    assert any(
        "./dev soak test/release" in step.get("run", "") for step in jobs["packages"]["steps"]
    )
