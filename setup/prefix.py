"""The path of the virtual environment, one for each ROS 2 distribution, and its variables."""

import os
from pathlib import Path

from distro import chosen

ROOT = Path(__file__).resolve().parent.parent
DISTRO = chosen()
"""`./dev --distro` sets it before this module is imported."""
PREFIX = ROOT / (".venv" if DISTRO == "jazzy" else f".venv-{DISTRO}")
PYTHON = PREFIX / "bin" / "python"

# With these variables a sourced ROS 2 or colcon overlay would mix its libraries with the wheels'.
LEAKS = (
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "RMW_IMPLEMENTATION",
    "ROS_DISTRO",
    "ROS_VERSION",
    "ROS_PYTHON_VERSION",
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)


# Many images and CI systems set it. Without bytecode every process compiles all that it imports at
# each start: numpy takes 0.25 s instead of 0.1 s.
SLOWS = "PYTHONDONTWRITEBYTECODE"


def build_environment() -> dict[str, str]:
    """The caller's environment without another ROS, with .venv's programs first."""
    environment = {key: value for key, value in os.environ.items() if key not in (*LEAKS, SLOWS)}
    environment["VIRTUAL_ENV"] = str(PREFIX)
    path = environment.get("PATH", os.defpath)
    environment["PATH"] = f"{PREFIX / 'bin'}{os.pathsep}{path}"
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return environment


def run_environment() -> dict[str, str]:
    """`build_environment` with the variables that ROS and the renderer need at run time."""
    environment = build_environment()
    environment["AMENT_PREFIX_PATH"] = str(PREFIX)
    environment["ROS_DISTRO"] = DISTRO  # recorded bags name it
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    environment.setdefault("MUJOCO_GL", "egl")
    return environment
