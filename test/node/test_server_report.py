"""The check's table and the client's counters appear in the log and in /diagnostics."""

from dataclasses import replace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.node.server import ServerReport  # noqa: E402
from gr00t_ros.observe.modality import (
    fit,  # noqa: E402
    fit_table,  # noqa: E402
)
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.serve.policies import modality_of  # noqa: E402
from gr00t_ros.wire.client import ClientCounts  # noqa: E402

OK, WARN, ERROR, STALE = b"\0", b"\1", b"\2", b"\3"
ROBOT = load_embodiment("franka_droid")


def rows_of(**changed):
    """The rows of a server that serves the robot, but for these modalities' keys."""
    modality = dict(modality_of(ROBOT))
    for name, keys in changed.items():
        modality[name] = replace(modality[name], keys=keys)
    return fit(ROBOT, modality)


def values(entry):
    """An entry's values as a mapping."""
    return {pair.key: pair.value for pair in entry.values}


def test_the_table_is_logged_once_and_again_when_it_changes():
    """A check that repeats each second must not fill the log."""
    log = []
    report = ServerReport(ClientCounts(), False, "arm", log.append)
    for rows in ((), rows_of(), rows_of(), rows_of(video=("other",)), ()):
        report.note(rows)
    assert len(log) == 2
    assert log[0] == f"modality check: fits\n{fit_table(rows_of())}"
    assert "MISSING !" in log[1] and "rows do not fit" in log[1]


@pytest.mark.parametrize(
    ("rows", "strict", "level", "text"),
    [
        ((), False, STALE, "no server was checked yet"),
        (rows_of(), True, OK, "fits"),
        (rows_of(video=("wrist_image_left",)), False, WARN, "fits"),
        (rows_of(video=("wrist_image_left",)), True, ERROR, "1 of 10 rows do not fit"),
        (rows_of(video=("other",)), False, ERROR, "rows do not fit"),
    ],
)
def test_the_level_follows_the_verdict(rows, strict, level, text):
    """A camera too many is a warning, and an error where every difference counts."""
    report = ServerReport(ClientCounts(), strict, "arm", lambda _: None)
    report.note(rows)
    entry = report.entries()[0]
    assert (entry.name, entry.level) == ("gr00t_policy: modality", level)
    assert text in entry.message


def test_diagnostics_have_the_cells_of_the_table():
    """Every key of either side, and the horizon."""
    report = ServerReport(ClientCounts(), False, "arm", lambda _: None)
    report.note(rows_of(video=("wrist_image_left",)))
    found = values(report.entries()[0])
    assert found["video exterior_image_1_left"] == "extra | in the file | none"
    assert found["action"] == "matches | horizon 40 | horizon 40"
    assert len(found) == len(rows_of(video=("wrist_image_left",)))


def test_counters_are_read_when_they_are_told():
    """They go on counting on another thread."""
    counts = ClientCounts()
    report = ServerReport(counts, False, "arm", lambda _: None)
    counts.requests, counts.replies, counts.timeouts = 5, 4, 1
    entry = report.entries()[1]
    assert entry.message == "4 of 5 requests answered" and values(entry)["timeouts"] == "1"
