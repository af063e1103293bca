"""docs/embodiments.md agrees with the shipped embodiment files."""

from pathlib import Path

from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.tools.documents import embodiment_document

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "config" / "embodiments").glob("*.yaml"))


def test_the_document_is_made_from_the_files():
    """Whoever changes a file makes it anew; the command is in its head."""
    assert (ROOT / "docs" / "embodiments.md").read_text() == embodiment_document(FILES)


def test_every_file_has_its_row_and_every_mark_its_question():
    """With its tag, its sizes, its outputs and its rate; marks by the place that settles them."""
    text = embodiment_document(FILES)
    for path in FILES:
        robot = load_embodiment(str(path))
        (row,) = [line for line in text.split("\n") if line.startswith(f"| [{path.stem}](")]
        assert f"`{robot.tag}`" in row
        assert f"{robot.rate_hz:g} Hz, {robot.action_horizon}" in row
        assert all(f"{stream.key} " in row for stream in (*robot.video, *robot.state))
        assert all(f"{o.name} " in row for o in (*robot.outputs, *robot.commands, *robot.poses))
        for mark in robot.unsettled:
            assert f"- `{mark.path}`: {mark.question}" in text
