"""Reports are listed by what they hold, and no path leads out of their folder."""

import json
import os

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.errors import SettingsError  # noqa: E402
from gr00t_ros.evaluate.report.compare import comparison  # noqa: E402
from gr00t_ros.evaluate.results import SCHEMA  # noqa: E402
from gr00t_ros.rollout.benchmark import Benchmark  # noqa: E402
from gr00t_ros.rollout.episode import blank  # noqa: E402
from gr00t_ros.rollout.folder import SUMMARY  # noqa: E402
from gr00t_ros.rollout.strategy import STRATEGIES  # noqa: E402
from gr00t_ros.rollout.success import SUCCESS, summarise  # noqa: E402
from gr00t_ros.rollout.trial import Condition, Evaluation  # noqa: E402
from gr00t_ros.web import reports as module  # noqa: E402
from gr00t_ros.web.reports import Reports  # noqa: E402

EVALUATED = Evaluation(
    *(Benchmark("b", ("python", "sim.py"), "libero_panda", "/b"), {"s": (0, 1)}, 1, 7),
    (Condition(STRATEGIES["node"], 50.0),),
)
EVALUATION = {
    "schema": SCHEMA,
    "settings": {"robot": "franka"},
    "summary": {"relative_error": 0.25, "findings": [], "components": []},
    "episodes": [{"name": "0"}, {"name": "1"}],
}
DEMO = {"success": True, "robot": "g1", "instruction": "pick it", "problem": ""}


def report(folder, name, file, content, time_s):
    """A report's folder with its page and figures, which were written at that time."""
    made = folder / name
    made.mkdir(parents=True)
    (made / "report.html").write_text("<title>report</title>")
    (made / file).write_text(json.dumps(content))
    os.utime(made / file, (time_s, time_s))
    return made


@pytest.fixture
def folder(tmp_path):
    """Two reports and a comparison, beside a secret that no report has."""
    (tmp_path / "secret.json").write_text('{"token": "abc"}')
    made = tmp_path / "reports"
    report(made, "eval", "results.json", EVALUATION, 100)
    report(made, "run", "figures.json", DEMO, 200)
    (made / "both.json").write_text(json.dumps(comparison(EVALUATION, EVALUATION)))
    os.utime(made / "both.json", (50, 50))
    return made


def test_every_listed_report_can_be_opened(folder):
    """One name that is no UTF-8 would keep the page from showing any: no address can have it."""
    for name in (b"a\xffb", b"back\\slash", "\U0001f600 #?%20 \"'<b>\n".encode()):
        report(folder, os.fsdecode(name), "results.json", EVALUATION, 300)
    found = Reports(folder).listed()
    assert [one["name"] for one in found][:2] == ["\U0001f600 #?%20 \"'<b>\n", "run"]
    for one in found:
        assert one["name"].encode() and Reports(folder).file(one["name"], "").path.is_file()


def test_reports_are_listed_newest_first_with_what_they_say(folder):
    """Kind, title and time come from the figures; other folders and files are left out."""
    (folder / "unfinished").mkdir()
    (folder / "unfinished" / "report.html").write_text("")
    (folder / "notes.json").write_text('{"a": 1}')
    (folder / "broken.json").write_text("{")
    found = Reports(folder).listed()
    assert [(one["name"], one["kind"], one["path"], one["time_s"]) for one in found] == [
        ("run", "demo", "run/", 200),
        ("eval", "open loop", "eval/", 100),
        ("both.json", "comparison", "both.json", 50),
    ]
    assert found[0]["title"] == "SUCCESS: g1, pick it"
    assert found[1]["title"] == "franka, 2 episodes, relative error 0.25, 0 findings"


def test_a_report_of_a_closed_loop_is_listed_and_its_videos_are_served(folder):
    """As `gr00t eval libero` writes it."""
    lines = [{**blank(one), "outcome": SUCCESS} for one in EVALUATED.trials()]
    run = report(folder, "libero", SUMMARY, summarise(lines), 300)
    (run / "videos").mkdir()
    (run / "videos" / "one.mp4").write_bytes(b"video")
    first = Reports(folder).listed()[0]
    assert (first["name"], first["kind"]) == ("libero", "closed loop")
    assert first["title"] == "2 episodes, node 50.0 ms: 2 of 2"
    assert Reports(folder).file("libero", "videos/one.mp4").content_type == "video/mp4"
    assert "media-src 'self'" in module.CONTENT_SECURITY_POLICY


def test_one_report_alone_may_be_given(folder):
    """The folder of a report lists itself, and its files are served."""
    alone = Reports(folder / "eval")
    assert [one["name"] for one in alone.listed()] == ["eval"]
    assert alone.file("eval", "").path == folder / "eval" / "report.html"


def test_files_of_a_report_are_served_with_their_type(folder):
    """The page without a path, figures by name, a comparison as it is."""
    reports = Reports(folder)
    assert reports.file("run", "").content_type.startswith("text/html")
    assert reports.file("run", "figures.json").path.read_text() == json.dumps(DEMO)
    assert reports.file("both.json", "").content_type == "application/json"


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("..", "secret.json"),
        ("run", "../../secret.json"),
        ("run", "../eval/report.html"),
        ("run", "/etc/passwd"),
        ("run", "gone.html"),
        ("run", "a\0b.html"),
        ("run", "device.json"),
        ("run", "linked.json"),
        ("run", "over/secret.json"),
        ("run", "script.js"),
        ("run", "web.log"),
        ("run", "large.json"),
        ("outside", ""),
        ("notes.json", ""),
        ("both.json", "x"),
        ("../reports/run", ""),
        ("", ""),
    ],
)
def test_what_is_no_file_of_a_report_is_refused(folder, monkeypatch, name, inside):
    """Paths and links that leave the report, other kinds, and what is too large."""
    run = folder / "run"
    os.mkfifo(run / "device.json")
    (run / "linked.json").symlink_to(folder.parent / "secret.json")
    (run / "over").symlink_to(folder.parent)
    (run / "script.js").write_text("alert(1)")
    (run / "web.log").write_text("http://127.0.0.1:8780/?token=abc")
    (run / "large.json").write_text("x" * 2000)
    report(folder.parent, "elsewhere", "figures.json", DEMO, 1)
    (folder / "outside").symlink_to(folder.parent / "elsewhere")
    (folder / "notes.json").write_text('{"a": 1}')
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    with pytest.raises(SettingsError, match="expected"):
        Reports(folder).file(name, inside)


def test_a_report_whose_parts_lie_elsewhere_is_not_listed(folder):
    """A linked folder, linked figures and a loop of links are left out; the others remain."""
    report(folder.parent, "elsewhere", "figures.json", DEMO, 1)
    (folder / "outside").symlink_to(folder.parent / "elsewhere")
    (folder / "loop").symlink_to(folder / "loop")
    half = folder / "half"
    half.mkdir()
    (half / "report.html").write_text("")
    (half / "figures.json").symlink_to(folder.parent / "elsewhere" / "figures.json")
    assert {one["name"] for one in Reports(folder).listed()} == {"run", "eval", "both.json"}


def test_a_folder_that_is_not_there_is_named(tmp_path):
    """One line: what, where, what was expected."""
    with pytest.raises(SettingsError, match="gone: no such folder, expected reports"):
        Reports(tmp_path / "gone")
