"""The robots of bench/reaction.py as embodiment files: the Franka arm, N cameras of 640x480."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bench.camera_publisher import HEIGHT_PX, WIDTH_PX
from bench.reaction_cameras import topic
from gr00t_ros.robot.files import load_embodiment

STEP_HZ, HORIZON = 30.0, 24
ARM = "/fr3_arm_controller/joint_trajectory"
_SHIPPED = "franka_droid"


def write_files(folder: Path, cameras: int, fps: float) -> tuple[Path, Path]:
    """The file of the node and the server, and the one of the stand-in robot: without its cameras.

    The pictures are sent in full size. A stand-in robot's own camera goes to a topic of its own.
    """
    pictures = {f"camera{n}": _camera(topic(n), fps) for n in range(cameras)}
    own = {"unused": _camera("/bench/unused", 1.0) | {"size": [8, 8]}}
    files = folder / "node.yaml", folder / "stand_in.yaml"
    for file, video in zip(files, (pictures, own), strict=True):
        file.write_text(yaml.safe_dump(_robot() | {"video": video}, sort_keys=False))
    return files


def _robot() -> dict[str, Any]:
    """The shipped Franka without its gripper, its pose and its workspace."""
    source = Path(load_embodiment(_SHIPPED).source)
    robot: dict[str, Any] = yaml.safe_load(source.read_text())
    del robot["workspace"]
    arm = robot["outputs"]["arm"]
    return robot | {
        "rate_hz": STEP_HZ,
        "action_horizon": HORIZON,
        "state": {"joint_position": robot["state"]["joint_position"]},
        "action": {"joint_position": robot["action"]["joint_position"]},
        "outputs": {"arm": arm},
        "limits": {name: robot["limits"][name] for name in arm["names"]},
    }


def _camera(name: str, fps: float) -> dict[str, Any]:
    return {
        "topic": name,
        "size": [HEIGHT_PX, WIDTH_PX],
        "fit": "pad",
        "delta_indices": [0],
        "rate_hz": fps,
    }
