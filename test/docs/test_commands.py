"""Every command of every page is run by a test, or its page says that it is not."""

import re
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from command_lines import is_parsed, words_of  # noqa: E402
from page_commands import (  # noqa: E402
    AS_WRITTEN,
    DOCS,
    PAGES,
    RUN_ELSEWHERE,
    WALKED,
    all_commands,
    run_as_written,
)

ROOT = DOCS.parent
ALSO_PARSED = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples/small_policy/README.md",
)
"""No pages of the site: their commands are parsed, and need no mark."""


def test_every_command_is_run_by_a_test_or_marked(links):
    """A block of commands that no test runs begins with `# (not run here: REASON)`."""
    run = {command for command, _ in links.commands(WALKED)} | set(RUN_ELSEWHERE)
    for page in AS_WRITTEN:
        run |= set(run_as_written(links, page))
    unknown = [
        (p, command) for p, command, marked in all_commands(links) if not marked | (command in run)
    ]
    assert unknown == []
    assert set(RUN_ELSEWHERE) <= {command for _, command, _ in all_commands(links)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_what_it_is(links, page):
    """A block without a language would hide commands from these tests."""
    known = {"bash", "console", "text", "json", "yaml", "python", "{toctree}"}
    assert set(links.fences(page)) <= known


@pytest.mark.parametrize("test", sorted(set(RUN_ELSEWHERE.values())))
def test_the_test_that_runs_a_command_is_there(test):
    """Whoever renames it sees that a page counts on it."""
    file, _, name = test.partition("::")
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_a_marked_block_is_seen(links, tmp_path):
    """Lines are joined at backslashes, comments are no commands; nor is the output of a console."""
    page = tmp_path / "page.md"
    page.write_text(
        "```bash\na \\\n  b  # why\n# c\n```\n```bash\n# (not run here: far)\nd '#e'\n```\n"
        "```console\n$ f\ng\n```\n```text\nh\n```\n"
    )
    commands = [("a b", False), ("d '#e'", True), ("f", False)]
    assert list(links.commands(page)) == commands
    assert links.fences(page) == ["bash", "bash", "console", "text"]


def test_the_parser_of_its_program_takes_every_command_of_ours(links):
    """Of marked commands too. `gr00t VERB` must be known, and each option and choice of it."""
    ours = [(page, c) for page, c, _ in all_commands(links) if page != WALKED.name]
    parsed = [command for _, command in ours if is_parsed(command)]
    assert len(parsed) > 100


@pytest.mark.parametrize(
    "command",
    [
        "gr00t sidecar pong --server 127.0.0.1:5555",
        "gr00t layout --embodyment franka_droid --output layouts &",
        "gr00t policy --speed 3",
        "gr00t policy --ros-args -p 'instructions:=wave'",
        "gr00t operator stop",
        "ros2 run gr00t_ros doctor --xml",
        "ros2 launch gr00t_ros franka.launch.py exterior:=/left",
        "X=1 ./dev demos --seed 1",
        "./dev demo --seeds 1",
        "python3 -m gr00t_ros.nowhere",
    ],
)
def test_a_wrong_command_is_found(command):
    """By the program's own parser."""
    with pytest.raises(AssertionError):
        is_parsed(command)


def test_variables_and_what_follows_a_command_are_not_its_words():
    """They are the shell's."""
    assert words_of("A=1 B=$PWD gr00t web --bag x > y") == ["gr00t", "web", "--bag", "x"]
    assert words_of("cd x && ls") == ["cd", "x"]


def _blocks(page: Path) -> str:
    return "\n".join(re.findall(r"^```(?:bash)?\n(.*?)^```", page.read_text(), re.M | re.S))


@pytest.mark.parametrize("page", ALSO_PARSED, ids=lambda page: page.parent.name + "_" + page.name)
def test_the_commands_beside_the_site_are_parsed_too(page):
    """What a newcomer reads first."""
    for line in _blocks(page).splitlines():
        command = re.sub(r"(^|\s)#.*", "", line).strip()
        if command.startswith(("gr00t ", "./dev ", "ros2 ")) and "NAME" not in command:
            assert is_parsed(command), command
