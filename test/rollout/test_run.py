"""A run plays what has no verdict, goes on after a stop, and refuses other settings."""

import errno
import json
import os
from dataclasses import replace

import pytest
from broken_json import each_broken, line_about, spoil

from gr00t_ros.errors import NodeError, SettingsError
from gr00t_ros.rollout import worker
from gr00t_ros.rollout.benchmark import Benchmark, libero
from gr00t_ros.rollout.command import MOST_IN_A_ROW, run
from gr00t_ros.rollout.episode import blank
from gr00t_ros.rollout.folder import EPISODES, Folder
from gr00t_ros.rollout.report import page
from gr00t_ros.rollout.strategy import STRATEGIES
from gr00t_ros.rollout.success import INFRASTRUCTURE, SUCCESS, TIMEOUT, summarise
from gr00t_ros.rollout.trial import Condition, Evaluation
from gr00t_ros.sim.libero.extra import slow_time

EVALUATION = Evaluation(
    *(Benchmark("b", ("python", "sim.py"), "libero_panda", "/b"), {"s": (0, 1)}, 2, 7),
    (Condition(STRATEGIES["node"]), Condition(STRATEGIES["chunk"], 50.0)),
)


class Now:
    """Workers that answer at once, each trial with the next outcome."""

    def __init__(self, outcomes):
        self.outcomes, self.played, self._values = list(outcomes), [], []

    def submit(self, function, evaluation, trial, folder):
        """As evaluate.spread.Workers."""
        assert function is worker.play and evaluation == EVALUATION
        self.played.append(trial.key)
        outcome = self.outcomes.pop(0)
        line = {**blank(trial), "outcome": outcome, "cause": "why <it> ended", "simulated_s": 1.5}
        self._values.append(outcome if isinstance(outcome, Exception) else line)
        return len(self._values) - 1

    def wait(self, handles):
        """All have ended."""
        return [(handle, self._values[handle]) for handle in handles]

    def close(self):
        """There is nothing to end."""


def played(tmp_path, outcomes, count=1):
    """Run in the folder; the workers and the lines."""
    workers = Now(outcomes)
    folder = Folder(tmp_path, EVALUATION, {"hash": "1"})
    return workers, run(EVALUATION, folder, workers, count, lambda text: None)


def test_a_run_that_was_stopped_goes_on_and_plays_again_what_has_no_verdict(tmp_path):
    """A verdict is kept, of success and of failure; a torn last line is dropped."""
    outcomes = [SUCCESS, INFRASTRUCTURE, TIMEOUT, RuntimeError("killed"), *[SUCCESS] * 4]
    workers, lines = played(tmp_path, outcomes)
    assert len(workers.played) == len(lines) == 8
    assert [line["outcome"] for line in lines][:4] == [
        SUCCESS, INFRASTRUCTURE, TIMEOUT, INFRASTRUCTURE,
    ]  # fmt: skip
    assert lines[3]["cause"] == "the worker ended: RuntimeError: killed"
    with (tmp_path / EPISODES).open("a") as file:
        file.write('{"strategy": "no')
    workers, lines = played(tmp_path, [SUCCESS, SUCCESS])
    assert workers.played == [("node", 0.0, "s", 0, 1), ("node", 0.0, "s", 1, 1)]
    assert [line["outcome"] for line in lines].count(SUCCESS) == 7
    assert len((tmp_path / EPISODES).read_text().splitlines()) == 10
    assert not played(tmp_path, [])[0].played


@pytest.mark.parametrize("fails_after", [0, 1, 100])
def test_a_line_on_a_full_disk_is_written_whole_or_not_at_all(tmp_path, monkeypatch, fails_after):
    """The system may take a part of it first; the next line would be glued to that."""
    write, left = os.write, [fails_after]

    def full(file, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = write(file, bytes(data)[: left[0]])
        left[0] -= taken
        return taken

    played(tmp_path, [SUCCESS] * 8)
    before = (tmp_path / EPISODES).read_bytes()
    folder = Folder(tmp_path, EVALUATION, {"hash": "1"})
    line = json.loads(before.splitlines()[-1])
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(SettingsError, match=f"{EPISODES}: No space left on device; .* goes on"):
            folder.append(line)
    assert (tmp_path / EPISODES).read_bytes() == before
    folder.append(line)
    assert (tmp_path / EPISODES).read_bytes() == before + before.splitlines(keepends=True)[-1]


def test_other_settings_are_refused_with_what_differs(tmp_path):
    """In the same folder; also another embodiment file."""
    played(tmp_path, [SUCCESS] * 8)
    with pytest.raises(SettingsError, match=r"seed: got 8, there it was 7"):
        Folder(tmp_path, replace(EVALUATION, seed=8), {"hash": "1"})
    with pytest.raises(SettingsError, match=r"hash: got '2', there it was '1'"):
        Folder(tmp_path, EVALUATION, {"hash": "2"})
    (tmp_path / "settings.json").unlink()
    with pytest.raises(SettingsError, match="without settings.json"):
        Folder(tmp_path, EVALUATION, {"hash": "1"})


@each_broken
def test_a_folder_with_a_broken_file_is_refused_by_its_name(tmp_path, content):
    """The settings, or a whole line of episodes.jsonl: no run goes on from what it cannot read."""
    folder = Folder(tmp_path, EVALUATION, {"hash": "1"})
    spoil(tmp_path / EPISODES, content)
    with (tmp_path / EPISODES).open("ab") as file:
        file.write(b"\n{}\n")
    with pytest.raises(SettingsError) as caught:
        folder.lines()
    assert line_about(tmp_path / EPISODES, str(caught.value))
    spoil(tmp_path / "settings.json", content)
    with pytest.raises(SettingsError) as caught:
        Folder(tmp_path, EVALUATION, {"hash": "1"})
    assert line_about(tmp_path / "settings.json", str(caught.value))


@pytest.mark.parametrize("count", [1, 2])
def test_a_run_in_which_nothing_works_ends(tmp_path, count):
    """After three in a row of each worker, with the cause; it can go on."""
    with pytest.raises(NodeError, match="why <it> ended"):
        played(tmp_path, [INFRASTRUCTURE] * 8, count)
    assert len((tmp_path / EPISODES).read_text().splitlines()) == MOST_IN_A_ROW * count


def test_the_page_tells_rates_conditions_and_what_failed_beside_the_policy(tmp_path):
    """Texts of others are escaped; the scripted policy is not beside published numbers."""
    _, lines = played(tmp_path, [SUCCESS, INFRASTRUCTURE, TIMEOUT, *[SUCCESS] * 5])
    html = page(json.loads((tmp_path / "settings.json").read_text()), summarise(lines), lines, None)
    assert "chunk" in html and "+50 ms" in html and "195/200" in html
    assert "why &lt;it&gt; ended" in html and "why <it>" not in html
    assert "1 of 8 episodes have no verdict" in html


@pytest.mark.parametrize(
    ("wanted", "tasks"), [("all", tuple(range(10))), ("3", (3,)), ("0,2,5-7", (0, 2, 5, 6, 7))]
)
def test_tasks_are_named_as_numbers_and_spans(wanted, tasks):
    """In their order, each once."""
    assert libero().tasks("libero_object", wanted) == tasks


@pytest.mark.parametrize(
    ("suite", "wanted"),
    [("libero_none", "all"), ("libero_10", "10"), ("libero_10", "x"), ("libero_10", "1-"),
     ("libero_10", "")],
)  # fmt: skip
def test_others_are_refused(suite, wanted):
    """With what is expected."""
    with pytest.raises(SettingsError, match="expected"):
        libero().tasks(suite, wanted)


def test_the_file_for_slow_time_has_the_defaults_of_the_watches_divided_by_its_factor():
    """The launch file and the demo read it; the evaluation computes them for any factor."""
    assert libero(0.25).parameters == slow_time()
    assert libero(0.5).parameters["clock_silence_s"] == slow_time()["clock_silence_s"] / 2.0
