"""The stages of the loop: each runs the command of a user, and knows whether it is done."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from examples.loop.lockstep import record_scene
from examples.small_policy.dataset import episodes_of, held_back
from gr00t_ros.demo.bringup import Bringup
from gr00t_ros.evaluate.results import JSON_NAME
from gr00t_ros.record.facts import DISCARDED, KEPT, read_facts, write_facts
from gr00t_ros.robot.files import load_embodiment

EMBODIMENT = "franka_droid_n16"
ROOT = Path(__file__).parents[2]
FIRST_SEED = 1000
"""Seeds of the recorded scenes count from here, those of the deployment from 0."""
CHECKPOINT, CURVE = "policy.pt", "curve.jsonl"
SERVED = "examples.small_policy.serve:make"
MOST_SCENES = 5
"""Scenes that are tried for each episode that is wanted."""
EPISODE_S = 45.0
"""Time after which an episode has failed, s of steady time."""


class StageError(Exception):
    """A stage did not reach its end; the text says which command, and where its output is."""


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop: where it works and how much it does."""

    folder: Path
    episodes: int
    held_out: int
    train_minutes: float
    threads: int
    live: bool
    plant: str

    @property
    def recording(self) -> Path:
        """The recorded episodes."""
        return self.folder / "recording"

    @property
    def dataset(self) -> Path:
        """The converted dataset, as it was recorded."""
        return self.folder / "dataset"

    @property
    def trained_on(self) -> Path:
        """The dataset that is trained on: the converted one, or its copy with a planted fault."""
        return self.folder / f"dataset_{self.plant}" if self.plant else self.dataset

    @property
    def results(self) -> Path:
        """Where training, evaluation and deployment put theirs."""
        return self.folder / (f"results_{self.plant}" if self.plant else "results")

    @property
    def logs(self) -> Path:
        """The output of the commands."""
        return self.folder / (f"logs_{self.plant}" if self.plant else "logs")

    @property
    def checkpoint(self) -> Path:
        """The trained policy."""
        return self.results / "training" / CHECKPOINT


def run(loop: Loop, name: str, *arguments: str, accept: Sequence[int] = (0,), **extra: str) -> int:
    """Run `python ARGUMENTS` in the checkout; its output goes to a log. Returns the exit status."""
    log = loop.logs / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **extra}
    with log.open("a") as output:
        status = subprocess.call(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if status not in accept:
        raise StageError(f"{name}: exit status {status} of {' '.join(arguments)}\n{_end(log)}")
    return status


def _end(log: Path) -> str:
    """The last lines of a log, and where it is."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([*lines[-12:], str(log)])


def gr00t(loop: Loop, name: str, *arguments: str, accept: Sequence[int] = (0,)) -> int:
    """Run a command of gr00t."""
    return run(loop, name, "-m", "gr00t_ros.tools.gr00t", *arguments, accept=accept)


def demo(loop: Loop, name: str, seed: int, json_file: Path, *more: str, **extra: str) -> bool:
    """Run ./dev demo once; whether the cube came to lie on the plate."""
    arguments = ("--embodiment", EMBODIMENT, "--seed", str(seed), "--timeout", str(EPISODE_S))
    files = ("--json", str(json_file), "--report", str(json_file.with_suffix("")))
    json_file.parent.mkdir(parents=True, exist_ok=True)
    json_file.unlink(missing_ok=True)  # of an earlier call
    words = ("-m", "gr00t_ros.demo", *arguments, *files, *more)
    run(loop, name, *words, accept=(0, 1), **extra)
    if not json_file.exists():  # it ended before the episode began
        raise StageError(f"{name}: the demo did not begin\n{_end(loop.logs / f'{name}.log')}")
    return bool(json.loads(json_file.read_text())["success"])


def record(loop: Loop) -> None:
    """Record demonstrations of the scripted policy, one a scene, until enough succeeded."""
    _remove_unfinished(loop.recording)
    while (missing := loop.episodes - len(kept(loop.recording))) > 0:
        there = {int(folder.name.split("_")[1]) for folder in loop.recording.glob("episode_*")}
        if len(there) >= MOST_SCENES * loop.episodes:
            raise StageError(
                f"record: {len(there) - loop.episodes + missing} of {len(there)} scenes failed, "
                f"expected {loop.episodes} successes; look at one: {loop.recording}"
            )
        if loop.live:  # gr00t record numbers behind the last episode, and fills no hole
            begin = max(there, default=-1) + 1
            for one in range(begin, begin + missing):
                _record_live(loop, one)
        else:
            free = (one for one in count() if one not in there)
            _record_in_lockstep(loop, list(islice(free, missing)))


def kept(recording: Path) -> list[Path]:
    """The folders of the episodes that succeeded."""
    facts = {folder: read_facts(folder) for folder in sorted(recording.glob("episode_*"))}
    return [folder for folder, one in facts.items() if one is not None and one.outcome == KEPT]


def _record_in_lockstep(loop: Loop, indices: Sequence[int]) -> None:
    """Record these episodes in processes beside each other."""
    spawn = multiprocessing.get_context("spawn")
    os.environ.setdefault("LP_NUM_THREADS", "1")  # of the software renderer, in each process
    with ProcessPoolExecutor(loop.threads, mp_context=spawn) as pool:
        waiting = {
            pool.submit(record_scene, loop.recording, EMBODIMENT, FIRST_SEED + one, one): one
            for one in indices
        }
        for done in as_completed(waiting):
            said = "recorded" if done.result() else "failed, discarded"
            print(f"  scene {FIRST_SEED + waiting[done]}: {said}", flush=True)


def _record_live(loop: Loop, index: int) -> None:
    """Record one episode with the real nodes, in real time, as ./dev demo --record does."""
    path = loop.folder / "demonstrations" / f"{index}.json"
    success = demo(loop, "record", FIRST_SEED + index, path, "--record", str(loop.recording))
    folder = loop.recording / f"episode_{index:06d}"
    facts = read_facts(folder)
    if facts is None:
        raise StageError(f"{folder}: was not finished; {loop.logs / 'record.log'}")
    if not success:
        facts.outcome = DISCARDED
        write_facts(folder, facts)
    said = "recorded" if success else "failed, discarded"
    print(f"  scene {FIRST_SEED + index}: {said}", flush=True)


def demos(folder: Path) -> dict[int, dict[str, Any]]:
    """Seed -> the figures of its demo, of those that ended."""
    found = {int(path.stem): json.loads(path.read_text()) for path in folder.glob("*.json")}
    return dict(sorted(found.items()))


def _remove_unfinished(recording: Path) -> None:
    """Remove the episode during which an earlier call was ended: its scene is recorded again."""
    for folder in recording.glob("episode_*"):
        if not (folder / "episode.json").exists():
            print(f"  {folder.name} was not finished: removed", flush=True)
            shutil.rmtree(folder)


def convert(loop: Loop) -> None:
    """Make the dataset."""
    if (loop.dataset / "meta" / "info.json").exists():
        return
    words = ("dataset", "convert", str(loop.recording), "--output", str(loop.dataset))
    begun = loop.dataset.with_name(f"{loop.dataset.name}.partial").exists()
    more = ("--resume",) if begun else ()
    gr00t(loop, "convert", *words, "--format", "groot", "--embodiment", EMBODIMENT, *more)


def validate(loop: Loop) -> dict[str, Any]:
    """Check the dataset that is trained on; the findings."""
    path = loop.results / "validate.json"
    if not path.exists():
        loop.results.mkdir(parents=True, exist_ok=True)
        words = ("-m", "gr00t_ros.tools.gr00t", "dataset", "validate", str(loop.trained_on))
        command = [sys.executable, *words, "--embodiment", EMBODIMENT, "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode not in (0, 1):
            raise StageError(f"validate: exit status {done.returncode}\n{done.stderr}")
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(done.stdout)
        unfinished.replace(path)
    return dict(json.loads(path.read_text()))


def train(loop: Loop) -> None:
    """Train the small policy; a second call continues."""
    if training(loop) and training(loop)[-1]["minutes"] >= loop.train_minutes:
        return
    words = ("-m", "examples.small_policy.train", str(loop.trained_on))
    more = ("--minutes", str(loop.train_minutes), "--threads", str(loop.threads))
    run(loop, "train", *words, "--output", str(loop.checkpoint.parent), *more)


def training(loop: Loop) -> list[dict[str, float]]:
    """The lines of the training curve so far; a last one that is not whole is cut off."""
    path = loop.checkpoint.parent / CURVE
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        os.truncate(path, whole)
    return [json.loads(line) for line in data[:whole].splitlines()]


def evaluate(loop: Loop) -> None:
    """Evaluate open loop on the episodes that were held back from training, as recorded.

    A policy that learned from a faulty copy is asked about what the robot really sees.
    """
    output = loop.results / "open_loop"
    if _is_complete(output / JSON_NAME):
        return
    shutil.rmtree(output, ignore_errors=True)  # of a call that was ended meanwhile
    bringup = Bringup(loop.logs)
    os.environ["SMALL_POLICY"] = str(loop.checkpoint)
    try:
        words = ("--embodiment", EMBODIMENT, "--port", "0")
        port = bringup.start_sidecar(SERVED, *words, timeout_s=120.0)
        episodes = map(str, held_back(episodes_of(loop.dataset)))
        where = ("--dataset-path", str(loop.dataset), "--traj-ids", *episodes)
        where += ("--swap-cameras", *(stream.key for stream in load_embodiment(EMBODIMENT).video))
        server = ("--host", "127.0.0.1", "--port", str(port), "--embodiment", EMBODIMENT)
        gr00t(loop, "open_loop", "eval", "open-loop", *where, *server, "--output", str(output))
    finally:
        bringup.end()


def _is_complete(results: Path) -> bool:
    """Whether the file of an evaluation is there, of all episodes: after Ctrl-C it has some."""
    return results.exists() and not json.loads(results.read_text()).get("interrupted")


def deploy(loop: Loop) -> None:
    """Let the trained policy do the task through the node, on scenes that it has not seen."""
    done = demos(loop.results / "deployed")
    for seed in range(loop.held_out):
        if seed not in done:
            path = loop.results / "deployed" / f"{seed}.json"
            extra = {"SMALL_POLICY": str(loop.checkpoint)}
            success = demo(loop, "deploy", seed, path, "--policy", SERVED, **extra)
            print(f"  scene {seed}: {'success' if success else 'failure'}", flush=True)


def successes(figures: Mapping[int, Mapping[str, Any]]) -> int:
    """How many of these demos succeeded."""
    return sum(bool(one["success"]) for one in figures.values())
