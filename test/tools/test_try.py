"""`gr00t try` moves any robot's file without a robot, on this machine alone, and reports it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from ros_fixtures import place, wait_until  # noqa: E402
from stand_in_interfaces import gripper_actions  # noqa: E402, F401

from gr00t_ros.demo.isolation import own_domain  # noqa: E402
from gr00t_ros.demo.tried_file import tried_file  # noqa: E402
from gr00t_ros.demo.try_report import (  # noqa: E402
    PeakRate,
    TriedJoint,
    TriedOutput,
    TryReport,
    report_text,
)
from gr00t_ros.robot.files import load_embodiment  # noqa: E402

FOLDER = Path(__file__).parents[2] / "config" / "embodiments"
MARK = "GR00T_TRY_TEST"
"""An environment variable by which a test finds the processes of its own run."""
LIMIT_S = 150.0


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of one run, whose processes must all have ended with it.

    It counts as a domain in use: the run has five processes in one of its own.
    """
    mark = str(tmp_path)
    with place():
        yield os.environ | {MARK: mark, "ROS_LOG_DIR": str(tmp_path), "TMPDIR": str(tmp_path)}
    left = marked(mark)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"left running: {left}"


def marked(mark: str) -> list[int]:
    """The processes that have this mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            variables = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if f"{MARK}={mark}".encode() in variables.split(b"\0"):
            found.append(int(entry.name))
    return found


def run_try(environment: dict[str, str], *arguments: str) -> Any:
    """The run's exit status, output and errors."""
    command = [sys.executable, "-m", "gr00t_ros.demo.try_robot", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=LIMIT_S)
    print(done.stdout, done.stderr)
    return done


def settled(file: Path) -> str:
    """All questions of a file, accepted."""
    return ",".join(mark.path for mark in load_embodiment(str(file)).unsettled)


SHORT = ("so101",)
FILES = [
    pytest.param(path, id=path.stem, marks=[] if path.stem in SHORT else [pytest.mark.soak])
    for path in sorted(FOLDER.glob("*.yaml"))
]


@pytest.mark.parametrize("path", FILES)
def test_every_file_moves_inside_its_limits(path: Path, request: pytest.FixtureRequest) -> None:
    """Each waved joint moves, every other output is held for a reason, and nothing else happens."""
    if any(output.goals is not None for output in load_embodiment(str(path)).commands):
        request.getfixturevalue("gripper_actions")
    environment = request.getfixturevalue("environment")
    done = run_try(environment, str(path), "--seconds", "2", "--settled", settled(path), "--json")
    assert done.returncode == 0, done.stderr
    report, robot = json.loads(done.stdout), load_embodiment(str(path))
    assert report["success"] is True and report["problems"] == []
    assert report["motion_s"] >= 2.0
    assert [one["name"] for one in report["joints"]] == list(robot.joint_names)
    for joint in report["joints"]:
        assert joint["lower_limit"] < joint["lowest"] <= joint["highest"] < joint[
            "upper_limit"
        ] or (joint["lowest"] == joint["highest"])
        assert joint["velocity"]["most"] <= joint["velocity"]["limit"]
    names = {one.name for one in (*robot.outputs, *robot.commands, *robot.poses)}
    assert {one["name"] for one in report["outputs"]} == names
    assert all(one["result"].startswith(("moved", "held")) for one in report["outputs"])
    assert report["chunks"]["accepted"] >= 1 and report["chunks"]["refused"] == 0
    assert report["latencies_ms"]["inference"][0] > 0.0


@pytest.mark.soak
def test_a_streamed_arm_and_what_is_not_installed_here(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Points through gr00t_streamer, a held pose, a gripper without its action's package: named."""
    content = yaml.safe_load((FOLDER / "franka_droid.yaml").read_text())
    arm = {"type": "forward_command", "topic": "/forward", "state_topic": "/arm_stream/state"}
    content["outputs"]["arm"] |= arm
    with_hand(content)
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    done = run_try(environment, str(file), "--seconds", "1.5")
    assert done.returncode == 0, done.stderr
    assert (
        "output gripper (franka_gripper) is left out: franka_msgs is not installed" in done.stdout
    )
    assert "arm     forward_command  moved by up to 0.0" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("SUCCESS")


FRANKA = {"switch": [0.03, 0.05], "speed": 0.1, "force": 30.0, "epsilon": [0.08, 0.08]}


def with_hand(content: Any, kind: str = "franka_gripper", goals: Any = FRANKA) -> None:
    """Make the gripper one that gets goals by an action."""
    (old,) = content["outputs"]["gripper"]["names"]
    content["outputs"]["gripper"] = {
        "type": kind,
        "topic": "/hand",
        "names": ["width"],
        "goals": goals,
    }
    content["action"]["gripper_position"] = {"output": "gripper", "scale": [0.08, 0.0]}
    del content["limits"][old]
    content["limits"]["width"] = {"range": [0.0, 0.08]}


def test_open_questions_are_listed_and_nothing_is_started(environment: dict[str, str]) -> None:
    """Exit 1, each question with what is assumed, and how to accept it."""
    path = FOLDER / "so101.yaml"
    done = run_try(environment, str(path), "--settled", "state.single_arm.range")
    assert done.returncode == 1
    left = [one for one in settled(path).split(",") if one != "state.single_arm.range"]
    assert f"{len(left)} open" in done.stdout
    assert all(f"- {name}: " in done.stdout for name in left)
    assert f"--settled '{','.join(left)}'" in done.stdout
    assert "starting" not in done.stderr
    listed = json.loads(run_try(environment, str(path), "--json").stdout)
    assert [one["path"] for one in listed["questions"]] == settled(path).split(",")


@pytest.mark.parametrize(
    ("old", "new", "settled_names", "status", "text"),
    [
        ("rate_hz: 20.0", "rate_hs: 20.0", "", 1, "unknown key 'rate_hs' (did you mean 'rate_hz'"),
        ("", "", "state.arm", 2, "settled names state.arm, expected of its unsettled places: none"),
    ],
)
def test_a_file_that_cannot_be_tried_says_why(
    old: str,
    new: str,
    settled_names: str,
    status: int,
    text: str,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """One line that names the file; exit 1 where the file is wrong, 2 where the command is."""
    file = tmp_path / "mine.yaml"
    content = (FOLDER / "desk6.yaml").read_text()
    assert old in content
    file.write_text(content.replace(old, new))
    done = run_try(environment, str(file), "--settled", settled_names)
    assert done.returncode == status
    (line,) = done.stderr.splitlines()
    assert text in line and str(file) in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_process_at_any_moment(
    number: signal.Signals, environment: dict[str, str], tmp_path: Path
) -> None:
    """Ctrl-C while the processes start, and a termination in motion."""
    command = [sys.executable, "-m", "gr00t_ros.demo.try_robot", "desk6", "--seconds", "60"]
    errors = tmp_path / "errors"
    with errors.open("w") as file:
        child = subprocess.Popen(command, env=environment, stderr=file, start_new_session=True)
    until = "replaying" if number == signal.SIGTERM else "starting"
    wait_until(lambda: until in errors.read_text() or child.poll() is not None, until, LIMIT_S)
    if number == signal.SIGINT:
        wait_until(lambda: len(marked(environment[MARK])) > 1, "a process of the run")
    assert child.poll() is None, errors.read_text()
    child.send_signal(number)
    assert child.wait(LIMIT_S) == 130
    assert "interrupted: everything is ended" in errors.read_text()
    assert "Traceback" not in errors.read_text()


@pytest.mark.soak
def test_even_a_kill_leaves_no_process_behind(environment: dict[str, str], tmp_path: Path) -> None:
    """The kernel tells the processes of a run that theirs was killed."""
    command = [sys.executable, "-m", "gr00t_ros.demo.try_robot", "desk6", "--seconds", "60"]
    errors = tmp_path / "errors"
    with errors.open("w") as file:
        child = subprocess.Popen(command, env=environment, stderr=file, start_new_session=True)
    wait_until(lambda: "replaying" in errors.read_text(), "motion", LIMIT_S)
    assert len(marked(environment[MARK])) >= 4
    child.kill()
    child.wait()
    wait_until(lambda: not marked(environment[MARK]), "the end of all processes")


@pytest.mark.soak
def test_what_is_left_running_ends_at_ctrl_c(environment: dict[str, str], tmp_path: Path) -> None:
    """The report comes first; the exit status is its verdict."""
    command = [sys.executable, "-m", "gr00t_ros.demo.try_robot", "desk6", "--seconds", "2"]
    output = tmp_path / "output"
    with output.open("w") as file:
        child = subprocess.Popen(
            [*command, "--keep"], env=environment, stdout=file, stderr=file, start_new_session=True
        )
    wait_until(lambda: "left running: export ROS_DOMAIN_ID=" in output.read_text(), "it", LIMIT_S)
    assert "SUCCESS" in output.read_text()
    assert len(marked(environment[MARK])) >= 4
    child.send_signal(signal.SIGINT)
    assert child.wait(LIMIT_S) == 0


def test_a_domain_is_ones_own_and_only_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never the user's domain, no peers, no discovery server; the environment is restored."""
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    monkeypatch.setenv("ROS_STATIC_PEERS", "192.168.1.20")
    monkeypatch.setenv("ROS_DISCOVERY_SERVER", "192.168.1.20:11811")
    before = dict(os.environ)
    with own_domain() as domain:
        assert 1 <= domain <= 101 and domain != 7
        assert os.environ["ROS_DOMAIN_ID"] == str(domain)
        assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
        assert not {"ROS_STATIC_PEERS", "ROS_DISCOVERY_SERVER"} & set(os.environ)
        with own_domain() as other:
            assert other != domain
    assert dict(os.environ) == before


def test_what_needs_the_robot_is_replaced_and_named(tmp_path: Path) -> None:
    """A driver's own messages, a package, a chain that only a description has, and its box."""
    content = yaml.safe_load((FOLDER / "franka_droid.yaml").read_text())
    content["outputs"]["arm"]["type"] = "unitree_low_cmd"
    with_hand(content)
    names = content["state"]["joint_position"]["names"]
    content["state"]["eef_9d"].pop("chain")
    content["state"]["eef_9d"]["names"] = names
    content["workspace"].pop("chain")
    content["workspace"].pop("pose")
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    tried = tried_file(str(file), tmp_path)
    assert tried.path != file and load_embodiment(str(file)).workspace is not None
    assert [line.split(" is ")[0] for line in tried.replaced] == [
        "output arm",
        "output gripper (franka_gripper)",
        "state eef_9d",
        "workspace",
    ]
    robot = tried.robot
    assert [output.type for output in robot.outputs] == ["joint_trajectory"]
    assert robot.commands == () and robot.action[1].output is None
    assert [one.source for one in robot.state if one.key == "eef_9d"] == ["pose"]
    assert robot.workspace is None
    assert [one.key for one in robot.action] == list(content["action"])


def test_a_box_that_the_arm_cannot_reach_is_found_before_anything_starts(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """A workspace in another frame is a frequent mistake."""
    content = yaml.safe_load((FOLDER / "franka_droid.yaml").read_text())
    content["workspace"] |= {"x": [5.0, 6.0]}
    file = tmp_path / "far.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    done = run_try(environment, str(file))
    assert done.returncode == 1 and "expected a box that the arm reaches" in done.stderr
    assert "starting" not in done.stderr


def test_no_simulator_is_needed() -> None:
    """Where mujoco is not installed, files can be tried all the same."""
    code = (
        "import sys; sys.modules['mujoco'] = None\n"
        "import gr00t_ros.demo.try_robot, gr00t_ros.sim.stand_in.robot"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_document_shows_the_report_as_it_is() -> None:
    """The tutorial's output has the lines and columns of today's report."""
    document = (Path(__file__).parents[2] / "docs" / "own_robot.md").read_text()
    _, _, rest = document.partition("gr00t try my_desk6.yaml\n```\n```text\n")
    shown = [" ".join(line.split()) for line in rest.partition("\n```")[0].splitlines()]
    rate = PeakRate(0.06, 2.0)
    report = TryReport(
        file="my_desk6.yaml",
        robot="desk6",
        embodiment_tag="new_embodiment",
        problem="",
        motion_s=10.1,
        joints=(TriedJoint("desk6_joint1", "arm", -0.05, 0.05, -2.8, 2.8, rate, rate, rate),),
        outputs=(TriedOutput("arm", "joint_trajectory", "moved by up to 0.100"),),
        chunks={"queries": 1},
        latencies_ms={"inference": (1.0, 2.0, 3.0)},
    )
    lines = [" ".join(line.split()) for line in report_text(report).splitlines()]
    fixed = [line for line in lines if not any(mark in line for mark in ("desk6_", "--", "s:"))]
    fixed += ["desk6_joint1", "chunks: ", "latencies p50/p99/max, ms: ", "pauses: none"]
    assert not [line for line in fixed if not any(line in one for one in shown)]


@pytest.mark.soak
@pytest.mark.usefixtures("gripper_actions")
@pytest.mark.parametrize(
    ("kind", "goals", "shown"),
    [
        ("franka_gripper", FRANKA, "no goal was sent"),
        ("gripper_command", {"hysteresis": 0.01}, "1 messages, all 0.08"),
        ("parallel_gripper_command", {"hysteresis": 0.01}, "1 messages, all 0.08"),
    ],
)
def test_a_gripper_by_action_stays_where_it_is(
    kind: str,
    goals: dict[str, Any],
    shown: str,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """Where the action's package is installed: no goal, or the one of its present position."""
    content = yaml.safe_load((FOLDER / "franka_droid.yaml").read_text())
    with_hand(content, kind, goals)
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    done = run_try(environment, str(file), "--seconds", "2")
    assert done.returncode == 0, done.stderr
    assert "replaced" not in done.stdout
    (line,) = (one for one in done.stdout.splitlines() if one.startswith("gripper "))
    assert "held: a gripper by action gets no new goal" in line and line.endswith(shown)
