"""./dev loop: its stages go on where they were, and say what went wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from closed_loop import NEEDS_MODEL

from examples.loop import __main__ as command
from examples.loop import stages
from examples.loop.plant import plant
from examples.loop.stages import Loop, StageError
from examples.loop.summary import open_loop, summarise
from gr00t_ros.record.facts import EpisodeFacts, write_facts
from gr00t_ros.robot.files import load_embodiment

ROOT = Path(__file__).parents[2]


def loop_in(folder, planted=""):
    """A small loop."""
    return Loop(folder, 2, 1, 0.1, 1, False, planted)


def episode(recording, index, outcome="kept"):
    """A finished episode without a bag."""
    folder = recording / f"episode_{index:06d}"
    folder.mkdir(parents=True)
    write_facts(folder, EpisodeFacts(index, "go", "robot", "/policy", 1, 2, outcome))
    return folder


def test_recording_goes_on_after_an_interruption(tmp_path, monkeypatch):
    """An unfinished episode is removed, a discarded one does not count, the next scenes follow."""
    loop = loop_in(tmp_path)
    episode(loop.recording, 0)
    episode(loop.recording, 1, "discarded")
    (loop.recording / "episode_000002").mkdir()
    asked = []

    def record(_loop, indices):
        asked.append(list(indices))
        for index in indices:
            episode(loop.recording, index)

    monkeypatch.setattr(stages, "_record_in_lockstep", record)
    stages.record(loop)
    stages.record(loop)
    assert asked == [[2]]


def test_a_hole_in_the_recording_is_filled_and_scenes_that_all_fail_end_it(tmp_path, monkeypatch):
    """Two processes record side by side: of the later one's scene the folder may be the first."""
    loop = loop_in(tmp_path)
    episode(loop.recording, 0, "discarded")
    (loop.recording / "episode_000001").mkdir()
    episode(loop.recording, 2, "discarded")
    asked = []

    def fail(_loop, indices):
        asked.append(list(indices))
        for index in indices:
            episode(loop.recording, index, "discarded")

    monkeypatch.setattr(stages, "_record_in_lockstep", fail)
    with pytest.raises(StageError, match="10 of 10 scenes failed, expected 2 successes"):
        stages.record(loop)
    assert asked[0] == [1, 3]


def test_every_stage_goes_on_after_an_end_in_its_middle(tmp_path, monkeypatch):
    """Of a conversion, an evaluation, a check and a training."""
    loop, asked = loop_in(tmp_path), []
    monkeypatch.setattr(stages, "gr00t", lambda _loop, name, *words: asked.append((name, words)))
    stages.convert(loop)
    (tmp_path / "dataset.partial").mkdir()
    stages.convert(loop)
    assert ["--resume" in words for _, words in asked] == [False, True]
    curve = loop.checkpoint.parent / "curve.jsonl"
    curve.parent.mkdir(parents=True)
    curve.write_text('{"minutes": 1.0}\n{"minut')
    assert stages.training(loop) == [{"minutes": 1.0}]
    assert curve.read_text() == '{"minutes": 1.0}\n'
    (loop.results / "open_loop").mkdir()
    monkeypatch.setattr(stages.Bringup, "start_sidecar", lambda *_, **__: 1)
    monkeypatch.setattr(stages, "episodes_of", lambda _: [0, 1, 2])
    stages.evaluate(loop)
    assert asked[-1][0] == "open_loop"
    (loop.results / "open_loop").mkdir(exist_ok=True)
    (loop.results / "open_loop" / "results.json").write_text("{}")
    stages.evaluate(loop)
    assert len(asked) == 3


def test_an_evaluation_that_was_interrupted_is_not_done(tmp_path, monkeypatch):
    """gr00t eval writes what it has after Ctrl-C, and the next call evaluates all episodes."""
    pytest.importorskip("mujoco", reason="made episodes need the simulator")
    pytest.importorskip("matplotlib", reason="reports need matplotlib")
    from made_episodes import MadeReference

    from gr00t_ros.evaluate.command import evaluate_all
    from gr00t_ros.evaluate.open_loop import OpenLoopSettings
    from gr00t_ros.evaluate.servers import Address, ServerAccess
    from gr00t_ros.evaluate.spread import WorkerTask
    from gr00t_ros.evaluate.workers import ThisProcess

    class Interrupted(ThisProcess):
        def submit(self, *_):
            raise KeyboardInterrupt

    loop, asked = loop_in(tmp_path), []

    def interrupted(_loop, name, *words):
        asked.append(name)
        output = Path(words[-1])
        output.mkdir()
        task = WorkerTask(load_embodiment("desk6"), OpenLoopSettings(), ServerAccess())
        episodes, servers = [MadeReference(0, rows=24)], [Address("127.0.0.1", 1)]
        evaluate_all(task, episodes, servers, Interrupted(), output, tell=lambda _: None)

    loop.results.mkdir()
    monkeypatch.setattr(stages, "gr00t", interrupted)
    monkeypatch.setattr(stages.Bringup, "start_sidecar", lambda *_, **__: 1)
    monkeypatch.setattr(stages, "episodes_of", lambda _: [0, 1, 2])
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            stages.evaluate(loop)
        assert (loop.results / "open_loop" / "results.json").exists()
    assert asked == ["open_loop"] * 2


def test_live_recording_goes_on_behind_the_last_episode(tmp_path, monkeypatch):
    """gr00t record fills no hole; one is there where a call was ended that recorded in lockstep."""
    loop = Loop(tmp_path, 3, 1, 0.1, 1, True, "")
    episode(loop.recording, 0)
    (loop.recording / "episode_000001").mkdir()
    episode(loop.recording, 2)
    seeds = []

    def demo(_loop, _name, seed, *_):
        seeds.append(seed)
        numbers = [int(one.name.removeprefix("episode_")) for one in loop.recording.iterdir()]
        episode(loop.recording, max(numbers, default=-1) + 1)
        return True

    monkeypatch.setattr(stages, "demo", demo)
    stages.record(loop)
    assert seeds == [stages.FIRST_SEED + 3] and len(stages.kept(loop.recording)) == 3


def test_the_figures_of_an_earlier_demo_are_not_those_of_one_that_did_not_begin(tmp_path):
    """The file of the same scene may be there from a call that was ended."""
    path = tmp_path / "1.json"
    path.write_text('{"success": true}')
    with pytest.raises(StageError, match="the demo did not begin"):
        stages.demo(loop_in(tmp_path), "record", 1, path, "--help")


def test_a_demo_that_did_not_begin_shows_the_end_of_its_log(tmp_path):
    """It leaves no figures."""
    with pytest.raises(StageError, match=r"(?s)record: the demo did not begin.*record\.log"):
        stages.demo(loop_in(tmp_path), "record", 1, tmp_path / "1.json", "--help")


def test_a_command_that_fails_is_named_with_its_output(tmp_path):
    """And with its log."""
    with pytest.raises(StageError, match=r"(?s)convert: exit status \d .*recording.*convert\.log"):
        stages.convert(loop_in(tmp_path / "nothing"))


def test_an_unknown_fault_is_refused_before_anything_runs(tmp_path, capsys):
    """The message lists the faults."""
    with pytest.raises(SystemExit) as ended:
        command.main(["--output", str(tmp_path), "--plant", "misalign=x"])
    assert ended.value.code == 2
    assert "misalign=ROWS, swap-cameras" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_planted_fault_has_its_own_dataset_and_results(tmp_path):
    """The dataset as recorded stays as it is; without a fault nothing is copied."""
    loop = loop_in(tmp_path, "swap-cameras")
    for camera in ("a", "b"):
        (loop.dataset / "videos/chunk-000" / camera).mkdir(parents=True)
        (loop.dataset / "videos/chunk-000" / camera / "one.mp4").write_text(camera)
    plant(loop_in(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]
    plant(loop)
    assert (loop.dataset / "videos/chunk-000/a/one.mp4").read_text() == "a"
    assert (loop.trained_on / "videos/chunk-000/a/one.mp4").read_text() == "b"
    assert loop.trained_on != loop.dataset and loop.results != loop_in(tmp_path).results


def test_findings_of_the_report_are_counted(tmp_path):
    """One line a kind, with the number of episodes that have it."""
    part = {"relative_baselines": {"hold": 0.5}, "relative_swapped": None}
    episodes = [
        {**part, "relative_error": 0.1, "findings": [{"kind": "pictures_apart"}]},
        {**part, "relative_error": 0.3, "findings": [{"kind": "pictures_apart"}]},
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"episodes": episodes}))
    found = open_loop(path)
    assert found["relative_error"] == pytest.approx(0.2) and found["hold"] == 0.5
    assert found["findings"] == {"pictures_apart": 2}


@pytest.mark.soak
@NEEDS_MODEL
def test_the_whole_loop_runs_and_says_what_it_found(tmp_path):
    """Two episodes and seconds of training: the policy fails, and the summary says so."""
    pytest.importorskip("torch", reason="training needs pip install torch")
    words = ("--episodes", "2", "--train-minutes", "0.2", "--held-out", "1", "--threads", "1")
    done = subprocess.run(
        [sys.executable, "-m", "examples.loop", "--output", str(tmp_path), *words],
        cwd=ROOT,
        env=os.environ | {"LP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = summarise(loop_in(tmp_path))
    assert found["episodes"] == 2 and list(found["scenes"]) == [0]
    assert found["training"] and found["open_loop"]["episodes"] == 1
    assert (tmp_path / "results/summary.html").exists()
