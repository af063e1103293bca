"""The evaluation plays real episodes: simulation, server and policy node as processes."""

import json
import multiprocessing
import os
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest
from ros_fixtures import wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.command_line import DONE, MISUSE, NO  # noqa: E402
from gr00t_ros.rollout import episode, worker  # noqa: E402
from gr00t_ros.rollout.command import closed_loop  # noqa: E402
from gr00t_ros.rollout.film import RATE_HZ  # noqa: E402

FIXTURES = Path(__file__).parents[1] / "fixtures"
PATHS = os.environ.get("PYTHONPATH", "").split(os.pathsep)
"""What the caller has there already, such as Ray."""
SPEED = "0.4"
"""Of simulated time. What a busy machine is late by the clock is late by less motion then."""
POLICY = (
    "python -m gr00t_ros.sidecar reach_policy:make_policy --embodiment libero_panda --port {port}"
)


def words(folder, *more):
    """The command line of two tasks with two episodes each; the simulation dies once in the third.

    The node takes what comes late from a busy machine for a pause at most.
    """
    left = folder / "died"
    simulation = [sys.executable, str(FIXTURES / "stand_in_task.py"), "--dies", "1,0"]
    simulation += ["--speed", SPEED]
    simulation += ["--left", str(left)]
    late = ("camera_fault_age_s=60.0", "joint_fault_age_s=60.0", "controller_silence_s=5.0")
    return [
        *("--simulation", shlex.join(simulation), "--embodiment", "libero_panda"),
        *("--real-time-factor", SPEED),
        *("--namespace", "/stand_in", "--policy", POLICY, "--suite", "near", "--tasks", "0,1"),
        *("--episodes", "2", "--output", str(folder / "out")),
        *(word for one in late for word in ("--parameter", one)),
        *more,
    ]


def lines(folder):
    """The lines so far: task and episode, outcome, and all else."""
    text = (folder / "out" / "episodes.jsonl").read_text()
    return [
        (one["task"], one["episode"], one["outcome"], one)
        for one in map(json.loads, text.splitlines())
    ]


@pytest.mark.timeout(240)
def test_two_tasks_of_two_episodes_a_death_and_the_run_that_goes_on(
    ros_domain, tmp_path, monkeypatch, capsys
):
    """Success is the simulation's; a death is no verdict, and only that is played again."""
    monkeypatch.setenv("PYTHONPATH", str(FIXTURES))
    assert closed_loop(words(tmp_path)) == NO
    found = lines(tmp_path)
    assert [one[:3] for one in found] == [
        *((0, 0, "success"), (0, 1, "success"), (1, 0, "infrastructure"), (1, 1, "success")),
    ]
    assert "simulation ended with status 3" in found[2][3]["cause"]
    first = found[0][3]
    assert first["instruction"] == "go up" and first["limit_s"] == 8.0
    assert 0.0 < first["simulated_s"] < 8.0 and first["steps"] > 0
    assert first["queries"] >= 1 and first["end_to_end_p50_ms"] > 0.0
    assert first["motion"]["messages"] > 0 and first["motion"]["broken"] == []
    assert first["motion"]["largest"]["z"] == pytest.approx(0.078, abs=1e-6)
    assert first["server"]["server_generation"] == "N1.7"
    assert all((tmp_path / "out" / name).stat().st_size for name in first["pictures"])
    assert len(first["pictures"]) == 2
    assert len(first["videos"]) == 2 and first["no_video"] == ""
    for name in first["videos"]:
        frames = cv2.VideoCapture(str(tmp_path / "out" / name)).get(cv2.CAP_PROP_FRAME_COUNT)
        assert frames == pytest.approx(RATE_HZ * first["simulated_s"], abs=3)
    assert "3/3" in capsys.readouterr().out

    assert closed_loop(words(tmp_path)) == DONE
    assert [one[:3] for one in lines(tmp_path)[4:]] == [(1, 0, "success")]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["infrastructure"] == 0 and summary["conditions"][0]["successes"] == 4
    assert worker._kept is None, "its processes have ended"

    assert closed_loop(words(tmp_path, "--seed", "1")) == MISUSE
    assert "seed: got 1, there it was 0" in capsys.readouterr().err


def processes_of(folder):
    """Those of stacks whose logs go below the folder."""
    wanted = f"ROS_LOG_DIR={folder}/".encode()
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            found += [one.name] if wanted in (one / "environ").read_bytes() else []
        except OSError:  # ended, or another user's
            continue
    return found


def said(folder, role, pattern):
    """What a pattern finds in the log of a role, one of each stack."""
    logs = (folder / "out" / "logs").glob(f"*/{role}.log")
    return [re.search(pattern, log.read_text())[1] for log in logs]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "more",
    [
        pytest.param((), id="pool"),
        pytest.param(
            ("--ray", "local"),
            marks=pytest.mark.skipif(find_spec("ray") is None, reason="no ray: pip install ray"),
            id="ray",
        ),
    ],
)
def test_two_workers_have_a_stack_each_and_leave_no_process(
    more, ros_domain, tmp_path, monkeypatch, capsys
):
    """Simulation, policy server and node of each in another domain, on another port."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(FIXTURES), *PATHS))))
    (tmp_path / "died").touch()
    before = set(multiprocessing.active_children())
    two = ("--workers", "2", "--episodes", "1", *more)
    assert closed_loop(words(tmp_path, *two)) == DONE
    found = sorted(lines(tmp_path))
    assert [one[:3] for one in found] == [(0, 0, "success"), (1, 0, "success")]
    assert all(line["motion"]["broken"] == [] for *_, line in found)
    assert "2/2" in capsys.readouterr().out
    assert len(set(said(tmp_path, "simulation", r"domain (\d+)"))) == 2
    assert len(set(said(tmp_path, "server", r"READY tcp://\S+:(\d+)"))) == 2
    wait_until(lambda: not processes_of(tmp_path), "the end of all processes of the stacks")
    wait_until(lambda: set(multiprocessing.active_children()) <= before, "the end of the workers")


def test_what_cannot_be_evaluated_is_said_before_anything_starts(tmp_path, capsys):
    """Open questions of the file, no policy, an unknown strategy."""
    for more, said in (
        (("--settled", "", "--embodiment", "so100"), "open questions"),
        (("--policy", ""), "got no policy"),
        (("--strategy", "chunky"), "did you mean chunk?"),
        (("--parameter", "port"), "expected NAME=VALUE"),
        (("--workers", "2", "--parameter", "robot_id=a"), "got one id for 2 workers"),
        (("--tasks", "all"), "how many is not known"),
    ):
        assert closed_loop(words(tmp_path, *more)) == MISUSE
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.timeout(120)
def test_chunks_that_are_too_short_for_their_latency_are_a_verdict(
    ros_domain, tmp_path, monkeypatch, capsys
):
    """The system does not begin to move: that is no success, and the machine is not at fault."""
    monkeypatch.setenv("PYTHONPATH", str(FIXTURES))
    monkeypatch.setattr(episode, "REFUSED_S", 1.0)
    # far above the 0.3 s that fit: simulated time, in which it is judged, is slow on a busy machine
    one = ("--latency-ms", "800", "--tasks", "0", "--episodes", "1")
    assert closed_loop(words(tmp_path, *one)) == DONE
    ((_, _, outcome, line),) = lines(tmp_path)
    assert outcome == "refused" and "too short: needed are" in line["cause"]
    assert line["chunks_accepted"] == 0 and line["simulated_s"] is None
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["infrastructure"] == 0 and summary["conditions"][0]["successes"] == 0
    assert "0/1 (0.0 %, 95 %: 0.0 to 79.3 %), 1 refused" in capsys.readouterr().out
