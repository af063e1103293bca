"""gr00t dataset info and validate say what a dataset holds and what is wrong with it."""

import json
from pathlib import Path

import pytest

pytest.importorskip("av")
pytest.importorskip("pyarrow")

import dataset_files as files  # noqa: E402

from gr00t_ros.command_line import DONE, MISUSE, NO  # noqa: E402
from gr00t_ros.convert import info, validate  # noqa: E402
from gr00t_ros.tools.documents import check_document  # noqa: E402

CONTENT = files.content(episodes=3, rows=45)
ONE = ("--workers", "1")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A good dataset of each format, which no test changes."""
    folder = tmp_path_factory.mktemp("good")
    files.write_groot(folder / "groot", CONTENT)
    files.write_lerobot3(folder / "lerobot3", CONTENT)
    (folder / "robot.yaml").write_text(files.EMBODIMENT)
    return folder


@pytest.fixture
def groot(tmp_path):
    """A dataset that a test may change."""
    return files.write_groot(tmp_path / "set", CONTENT)


@pytest.mark.parametrize("form", ["groot", "lerobot3"])
def test_a_good_dataset_is_done(written, form, capsys):
    """Nothing but the lags and the numbers of what was checked."""
    robot = str(written / "robot.yaml")
    assert validate.main([str(written / form), "--embodiment", robot, *ONE]) == DONE
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[-1] == "3 episodes, 144 rows: no errors, no warnings" and not err
    assert lines[0].startswith("state +1.0 rows behind the action (correlation 1.00)")
    assert len(lines) == 4


def test_errors_are_told_and_end_with_status_one(groot, capsys):
    """For people five of a check and the number of the others; for programs all of them."""
    files.edit_json(
        groot / "meta/modality.json",
        lambda m: m["action"].update({f"k{i}": {"start": 0, "end": 9} for i in range(8)}),
    )
    assert validate.main([str(groot), *ONE]) == NO
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("error slice_beyond: meta/modality.json") for line in lines) == 5
    assert "  3 more of slice_beyond" in lines
    assert validate.main([str(groot), "--json", *ONE]) == NO
    figures = json.loads(capsys.readouterr().out)
    assert figures["counts"]["slice_beyond"] == 8 and figures["episodes"] == 3
    found = [one for one in figures["findings"] if one["check"] == "slice_beyond"]
    assert len(found) == 8 and found[0]["level"] == "error"
    assert found[0]["to_do"] == "correct start and end in modality.json"
    assert figures["lags_rows"]["state"]["rows"] == pytest.approx(1.0, abs=0.3)


def test_warnings_alone_leave_the_status_good(groot, capsys):
    """The dataset can be trained on."""
    (groot / "meta/stats.json").unlink()
    assert validate.main([str(groot), *ONE]) == DONE
    assert "warning stats_missing" in capsys.readouterr().out


def test_metadata_that_lead_nowhere_are_told_alone(groot, capsys):
    """Rows and videos cannot be found then, which is said."""
    (groot / "meta/info.json").write_text("[]")
    assert validate.main([str(groot), *ONE]) == NO
    out = capsys.readouterr().out
    assert "error meta_file" in out and "rows and videos are not checked" in out


def test_names_of_others_do_not_steer_the_terminal(groot, capsys):
    """Escapes of a dataset are not printed."""
    files.edit_json(
        groot / "meta/modality.json",
        lambda m: m["video"].update({"\x1b]0;owned\x07": {"original_key": "\x1b[2Jgone"}}),
    )
    files.edit_json(groot / "meta/info.json", lambda i: i.update(robot_type="\x1b[31mred"))
    assert validate.main([str(groot), *ONE]) == NO
    info.main([str(groot)])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and "camera_unknown" in out


def test_the_document_shows_the_table_of_checks():
    """It is made from the table."""
    path = Path(__file__).parents[2] / "docs" / "dataset_checks.md"
    assert path.read_text() == check_document()


@pytest.mark.parametrize("verb", [info, validate])
def test_no_dataset_is_misuse_in_one_line(tmp_path, verb, capsys):
    """Standard error says which file was looked for."""
    assert verb.main([str(tmp_path)]) == MISUSE
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and "info.json" in err


@pytest.mark.parametrize("form", ["groot", "lerobot3"])
def test_info_tells_what_a_dataset_holds(written, form, capsys):
    """The numbers, keys, cameras and tasks, as text and as JSON."""
    assert info.main([str(written / form)]) == DONE
    text = capsys.readouterr().out
    assert "3 episodes of 45 to 51 rows (median 48), 144 rows at 10 Hz, 14.4 s" in text
    assert "state.arm" in text and "observation.state[0:2]" in text and "48x64 h264" in text
    assert info.main([str(written / form), "--json"]) == DONE
    figures = json.loads(capsys.readouterr().out)
    assert figures["tasks"] == {"lift the cube": 2, "put it down": 1}
    assert figures["state"]["gripper"]["names"] == ["jaw"]
    assert figures["episodes_by_success"] == {"unknown": 3}
    assert list(figures["cameras"]) == ["front", "wrist"]


def test_info_counts_sources_interventions_and_successes(groot, capsys):
    """Where they are recorded."""
    import numpy as np
    import pyarrow
    from pyarrow import parquet

    path, count = files.data_file(groot), len(CONTENT[0])
    table = parquet.read_table(path, partitioning=None)
    sources = np.array([0] * 30 + [1] * (count - 30))
    for name, values in (
        ("source", sources),
        ("intervention", sources == 1),
        ("next.success", np.arange(count) == count - 1),
    ):
        table = table.append_column(name, pyarrow.array(values))
    parquet.write_table(table, path)
    assert info.main([str(groot)]) == DONE
    out = capsys.readouterr().out
    assert "success: 1 yes, 2 unknown" in out
    assert "rows commanded by: 30 policy, 15 human" in out
    assert "rows with an intervention: 15" in out
