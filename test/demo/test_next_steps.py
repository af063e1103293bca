"""What the demo says to do next exists, and is said after a success alone."""

import sys
from collections import defaultdict
from html import escape
from pathlib import Path

import pytest

from gr00t_ros.demo.__main__ import _options
from gr00t_ros.demo.follow import finish
from gr00t_ros.demo.report import NEXT_STEPS, DemoResult

ROOT = Path(__file__).parents[2]


def test_every_next_step_can_be_taken():
    """Pages are there, and options of the demo are options of the demo."""
    for _, command in NEXT_STEPS:
        words = command.split()
        if words[:2] == ["./dev", "demo"]:
            assert _options(words[2:])
        elif words[0].endswith(".md"):
            assert (ROOT / words[0]).is_file()
        else:
            own = Path(sys.prefix).name  # .venv, or .venv-kilted
            assert command == f". {own}/bin/activate && gr00t --help"


@pytest.mark.parametrize("success", [True, False])
def test_after_a_success_the_next_steps_are_shown_and_the_verdict_is_last(
    tmp_path, capsys, success
):
    """On the terminal and in the report; after a failure the reason alone."""
    figures: dict[str, object] = defaultdict(int, limits_broken=[])
    status = finish(DemoResult(success, "the verdict", figures), tmp_path, _options([]))
    printed, page = capsys.readouterr().out.splitlines(), (tmp_path / "report.html").read_text()
    assert status == (0 if success else 1) and "the verdict" in printed[-1]
    for text, command in NEXT_STEPS:
        assert any(command in line and text in line for line in printed) is success
        assert (escape(text) in page) is success
