"""gr00t eval: its options, what it refuses, and the comparison of two results."""

import copy
import json

import pytest

pytest.importorskip("mujoco", reason="made episodes need the simulator")
pytest.importorskip("matplotlib", reason="reports need matplotlib")
pytest.importorskip("av", reason="datasets need PyAV")
pytest.importorskip("pyarrow", reason="datasets need pyarrow")

from dataset_files import EMBODIMENT, content, write_groot, write_lerobot3
from made_episodes import MadeReference

from gr00t_ros.evaluate import command
from gr00t_ros.evaluate.__main__ import main
from gr00t_ros.evaluate.report.compare import comparison, text_of
from gr00t_ros.robot.files import find_embodiment, load_embodiment
from gr00t_ros.serve.policies import HoldPolicy


@pytest.fixture
def dataset(monkeypatch):
    """A dataset of two made episodes under every path."""
    made = [MadeReference(number, rows=24) for number in range(2)]
    monkeypatch.setattr(command, "dataset_references", lambda path: made)
    monkeypatch.setattr(command, "chosen", lambda found, numbers: found)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder of `results`, and what was printed when they were written."""
    return {"folder": tmp_path_factory.mktemp("results") / "a"}


@pytest.fixture
def results(kept, dataset, serve, robot, capsys):
    """A folder with results, and what was printed; evaluated once, and only read from then on."""
    if "said" not in kept:
        port = serve(HoldPolicy(robot)).address.rpartition(":")[2]
        words = ["open-loop", "--dataset-path", "x", "--embodiment", "desk6", "--port", port]
        status = main([*words, "--output", str(kept["folder"]), "--drawn", "0"])
        said = capsys.readouterr()
        assert status == 0, said.err
        kept["said"] = said.out
    return kept["folder"], kept["said"]


def test_the_command_prints_the_table_and_the_diagnosis(results):
    """Joint by joint with units and baselines."""
    folder, out = results
    assert "arm: desk6_joint6  rad" in out and "MSE hold" in out
    assert "The policy holds the state (2 of 2 episodes)" in out and "report.html" in out
    assert {path.name for path in folder.iterdir()} == {"report.html", "results.json", "arrays.npz"}


def test_two_results_are_compared_joint_by_joint(results, tmp_path, capsys):
    """Differences, findings that came or went, settings that differ; the exit status is 0."""
    first = json.loads((results[0] / "results.json").read_text())
    second = copy.deepcopy(first)
    second["summary"]["components"][0]["mse"] *= 1.5
    second["summary"]["findings"] = []
    second["settings"]["every_rows"] = 16
    (tmp_path / "b.json").write_text(json.dumps(second))
    for verb in ("compare", "--compare"):
        assert main([verb, str(results[0]), str(tmp_path / "b.json")]) == 0
        out = capsys.readouterr().out
        assert "+50.0 %" in out and "every_rows" in out and "holds" in out
    assert "findings: the same" in text_of(comparison(first, first))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "o"], "one of both"),
        (["b", "--dataset-path", "x", "--output", "o"], "one of both"),
        (["--dataset-path", "x"], "expected --output DIR"),
        (["--dataset-path", "x", "--output", "o", "--model-path", "m"], "gr00t sidecar start"),
        (["--dataset-path", "x", "--output", "o", "--sources", "robot"], "expected one of"),
        (["--dataset-path", "x", "--output", "o"], "expected --embodiment"),
        (["no_such_bag", "--output", "o"], "no_such_bag: no such file or folder"),
        (
            ["--dataset-path", "x", "--output", "o", "--embodiment", "desk6"]
            + ["--server", "a:1", "--port", "2"],
            "expected one of both",
        ),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_done(dataset, capsys, words, message):
    """Exit status 2, with what to do."""
    try:
        status = main(["open-loop", *words])
    except SystemExit as end:
        status = end.code
    assert status == 2 and message in capsys.readouterr().err


def test_an_unknown_key_is_refused_before_the_folder_is_made(dataset, tmp_path, capsys):
    """Once, and not for each episode."""
    words = ["open-loop", "--dataset-path", "x", "--embodiment", "desk6", "--modality-keys", "arn"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("did you mean arm?") == 1 and not (tmp_path / "out").exists()


class Fails(HoldPolicy):
    """Answers the probes of the handshake, which are zeros, and nothing else."""

    def __call__(self, observation, options):
        if observation["state"]["arm"].any():
            raise ValueError("no such thing in sight")
        return super().__call__(observation, options)


def test_the_status_is_two_if_all_episodes_failed(dataset, serve, robot, tmp_path, capsys):
    """The report names each of them all the same."""
    port = serve(Fails(robot)).address.rpartition(":")[2]
    words = ["open-loop", "--dataset-path", "x", "--embodiment", "desk6", "--port", port]
    assert main([*words, "--output", str(tmp_path / "a")]) == 2
    assert capsys.readouterr().out.count("FAILED made/") == 2


@pytest.mark.parametrize("name", ["results.json", "report.html", "notes.txt"])
def test_no_file_of_a_folder_is_overwritten(dataset, tmp_path, capsys, name):
    """Of this report, of a demo's, of anybody's: another run needs another folder."""
    (tmp_path / name).write_text("kept")
    words = ["open-loop", "--dataset-path", "x", "--embodiment", "desk6"]
    assert main([*words, "--output", str(tmp_path)]) == 2
    assert f"got one with {name}, expected a new or empty folder" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "kept"


def test_a_file_that_is_no_result_is_refused(tmp_path, capsys):
    """By its schema."""
    (tmp_path / "x.json").write_text('{"schema": "other/1"}')
    assert main(["compare", str(tmp_path / "x.json"), str(tmp_path / "x.json")]) == 2
    assert "got schema 'other/1', expected 'gr00t_ros.evaluation/1'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("summary",), [], "summary: got [], expected an object"),
        (("summary", "components"), None, "summary.components: got None, expected a list"),
        (("summary", "components", 0), 3, "summary.components[0]: got 3, expected an object"),
        (
            ("summary", "components", 0, "mse"),
            "low",
            "summary.components[0].mse: got 'low', expected a finite number or null",
        ),
        (
            ("summary", "components", 0, "mae"),
            1e301,
            "expected a finite number or null",
        ),
        (("summary", "findings", 0, "kind"), {}, "summary.findings[0].kind: got {}, expected"),
        (("summary", "relative_error"), True, "got True, expected a finite number or null"),
        (("settings",), "x", "settings: got 'x', expected an object"),
        (("episodes", 1, "name"), 7, "episodes[1].name: got 7, expected a text"),
    ],
)
def test_results_of_a_wrong_shape_are_refused_with_their_place(
    results, tmp_path, capsys, place, value, message
):
    """A file that was edited, or cut, gives one line and no traceback."""
    content = json.loads((results[0] / "results.json").read_text())
    within = content
    for name in place[:-1]:
        within = within[name]
    within[place[-1]] = value
    (tmp_path / "b.json").write_text(json.dumps(content))
    assert main(["compare", str(results[0]), str(tmp_path / "b.json")]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'b.json'}: " in said and message in said and len(said.splitlines()) == 1
    del within[place[-1]]
    (tmp_path / "b.json").write_text(json.dumps(content))
    if isinstance(within, dict):
        assert main(["compare", str(tmp_path / "b.json"), str(results[0])]) == 2
        assert "got none, expected" in capsys.readouterr().err


@pytest.mark.parametrize("write", [write_groot, write_lerobot3])
def test_a_dataset_is_evaluated_by_the_command(write, serve, tmp_path, capsys):
    """Both flavours, chosen episodes, their pictures; the hold policy's error is the baseline."""
    file, data = tmp_path / "three_joints.yaml", tmp_path / "data"
    file.write_text(EMBODIMENT)
    write(data, content(episodes=3, rows=30))
    port = serve(HoldPolicy(load_embodiment(str(file)))).address.rpartition(":")[2]
    words = ["--dataset-path", data, "--embodiment", file, "--port", port, "--output"]
    words += [tmp_path / "out", "--traj-ids", 0, 2, "--drawn", 1, "--json"]
    status = main(["open-loop", *map(str, words)])
    said = capsys.readouterr()
    assert status == 0, said.err
    found = json.loads(said.out)
    assert [one["rows"] for one in found["episodes"]] == [30, 36] and found["failed"] == []
    for part in found["summary"]["components"]:
        assert part["mse"] == part["hold_mse"] > 0.0
    page = (tmp_path / "out" / "report.html").read_text()
    worst = found["episodes"][found["summary"]["worst_first"][0]]
    assert page.count("data:image/jpeg") == 2 * worst["queries"] > 0  # two cameras


def test_recordings_of_two_robots_are_refused_and_where_they_differ_is_named(tmp_path, capsys):
    """With one file for both, a joint's actions would be read under another joint's name."""
    content = find_embodiment("desk6").read_text()
    for name, rate in (("a", "rate_hz: 20.0"), ("b", "rate_hz: 15.0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "embodiment.yaml").write_text(content.replace("rate_hz: 20.0", rate, 1))
    words = ["open-loop", str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(tmp_path / "o")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "rate_hz is 15.0, not 20.0" in said and "not of one robot" in said
    assert not (tmp_path / "o").exists()
