"""Robots that nobody has seen go through new, validate and try; a person answers the questions."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("cv2", reason="the simulated cameras need OpenCV")

from gr00t_ros.robot.field import FILL_IN  # noqa: E402

GR00T = (sys.executable, "-m", "gr00t_ros.tools.gr00t")
ARM = {
    "velocity": 2.0,
    "acceleration": 5.0,
    "jerk": 100.0,
    "margin": 0.05,
    "jump": 0.15,
    "held": 0.05,
}
RAIL = {
    "velocity": 0.4,
    "acceleration": 1.0,
    "jerk": 20.0,
    "margin": 0.01,
    "jump": 0.05,
    "held": 0.02,
}
GRIPPER = {
    **{"velocity": 0.2, "acceleration": 1.0, "jerk": 20.0},
    **{"margin": 0.0, "jump": "unchecked", "held": "unchecked"},
}


@dataclass(frozen=True)
class Invented:
    """parts: key -> joint -> its range and limits; each part has a controller of its own."""

    parts: Mapping[str, Mapping[str, tuple[list[float], dict[str, Any]]]]
    cameras: Mapping[str, tuple[int, int]]
    fps: int
    steps: int


def joints(prefix: str, count: int, limits: dict[str, Any] = ARM) -> dict[str, Any]:
    """`count` joints of an arm."""
    return {f"{prefix}_{n}": ([-2.5, 2.0 + 0.1 * n], limits) for n in range(1, count + 1)}


ROBOTS = {
    "rail_arm": Invented(
        {
            "rail": {"rail_joint": ([0.0, 1.2], RAIL)},
            "arm": joints("link", 7),
            "gripper": {"gripper_finger_joint": ([0.0, 0.05], GRIPPER)},
        },
        {"wrist": (240, 320), "side": (240, 320)},
        fps=10,
        steps=16,
    ),
    "duo": Invented(
        {"left_arm": joints("left", 5), "right_arm": joints("right", 5)},
        {"head": (180, 320)},
        fps=20,
        steps=40,
    ),
    "crane": Invented(
        {"boom": {**joints("boom", 3), "boom_slide": ([-0.3, 0.4], RAIL)}},
        {"top": (256, 256)},
        fps=15,
        steps=24,
    ),
}
SHORT = "rail_arm"


def embodiment(name: str, robot: Invented) -> dict[str, Any]:
    """The file that the stand-in stands for: the robot itself, as its maker would know it."""
    outputs = {
        part: {
            "type": "joint_trajectory",
            "topic": f"/{part}_controller/joint_trajectory",
            "state_topic": f"/{part}_controller/controller_state",
            "names": list(names),
        }
        for part, names in robot.parts.items()
    }
    return {
        "robot": name,
        "embodiment_tag": "new_embodiment",
        "rate_hz": robot.fps,
        "action_horizon": robot.steps,
        "language_key": "annotation.human.task_description",
        "video": {
            key: {
                "topic": f"/{key}/image_raw",
                "size": list(size),
                "fit": "pad",
                "delta_indices": [0],
            }
            for key, size in robot.cameras.items()
        },
        "state": {
            part: {"from": "joints", "topic": "/joint_states", "names": list(names)}
            for part, names in robot.parts.items()
        },
        "action": {part: {"output": part} for part in robot.parts},
        "outputs": outputs,
        "limits": {
            joint: {"position": span, **limits}
            for names in robot.parts.values()
            for joint, (span, limits) in names.items()
        },
    }


def dataset(robot: Invented) -> dict[str, Any]:
    """meta/modality.json and meta/info.json of a dataset of this robot."""
    slices, names = {}, []
    for part, of_part in robot.parts.items():
        slices[part] = {"start": len(names), "end": len(names) + len(of_part)}
        names += of_part
    pictures = {key: f"observation.images.{key}" for key in robot.cameras}
    return {
        "modality.json": {
            "state": slices,
            "action": slices,
            "video": {key: {"original_key": column} for key, column in pictures.items()},
            "annotation": {"human.task_description": {"original_key": "task_index"}},
        },
        "info.json": {
            "fps": robot.fps,
            "features": {
                **{
                    pictures[key]: {"dtype": "video", "shape": [*size, 3]}
                    for key, size in robot.cameras.items()
                },
                "observation.state": {"names": names},
                "action": {"names": names},
            },
        },
    }


def answered(begun: Any, known: Any) -> Any:
    """The file with its open fields answered from what the maker knows; nothing else changes."""
    if begun == FILL_IN:
        return known
    if isinstance(begun, dict):
        return {key: answered(value, known.get(key)) for key, value in begun.items()}
    return begun


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == SHORT else [pytest.mark.soak]) for n in ROBOTS]
)
def test_an_invented_robot_moves_with_nothing_edited_but_the_questions(
    name, tmp_path, processes, ros_domain
):
    """Its dataset and its topics give all the rest."""
    robot = ROBOTS[name]
    known = embodiment(name, robot)
    truth, mine = tmp_path / "truth.yaml", tmp_path / "mine.yaml"
    truth.write_text(yaml.safe_dump(known, sort_keys=False))
    (tmp_path / "meta").mkdir()
    for file, content in dataset(robot).items():
        (tmp_path / "meta" / file).write_text(json.dumps(content))
    stands = ("sim.stand_in.robot", "--ros-args", "-p", f"embodiment:={truth}")
    stand_in = processes.start("-m", f"gr00t_ros.{stands[0]}", *stands[1:], name="robot")
    stand_in.wait_for_line("stands for")

    def gr00t(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*GR00T, *words],
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | {"ROS_LOG_DIR": str(tmp_path / "ros_log")},
            check=False,
        )

    sources = ("--dataset", str(tmp_path), "--topics", "--seconds", "8")
    words = ("--robot", name, "--tag", "new_embodiment", "--output", str(mine))
    begun = gr00t("embodiment", "new", *sources, *words)
    assert begun.returncode == 0, begun.stderr
    stand_in.signal(signal.SIGINT)
    assert stand_in.wait() == 0
    opened = gr00t("embodiment", "validate", str(mine))
    assert opened.returncode == 1 and "still to be filled in:\n- action_horizon" in opened.stderr
    assert "state." not in opened.stderr and "outputs." not in opened.stderr, opened.stderr
    mine.write_text(
        yaml.safe_dump(answered(yaml.safe_load(mine.read_text()), known), sort_keys=False)
    )
    checked = gr00t("embodiment", "validate", str(mine))
    assert checked.returncode == 0, checked.stderr
    tried = gr00t("try", str(mine), "--seconds", "3", "--json")
    assert tried.returncode == 0, tried.stdout + tried.stderr
    report = json.loads(tried.stdout)
    assert report["success"] and not report["problems"], report
    assert {joint["name"] for joint in report["joints"]} == set(known["limits"])
