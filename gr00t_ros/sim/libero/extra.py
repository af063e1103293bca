"""Where the extra's environment is, and how to get it; without it nothing of LIBERO is imported."""

from __future__ import annotations

import os
from pathlib import Path

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.files import config_folders, find_yaml, read_yaml
from gr00t_ros.sim.assets import cache_dir

LIBERO, SUITE = "libero", "libero_object"
"""The robot's name for ./dev demo, and the suite that it plays by default."""
INSTALL = "./dev setup libero"
VARIABLE = "GR00T_LIBERO_PYTHON"
"""The interpreter of another environment with LIBERO, instead of the checkout's."""
_ENVIRONMENT = ".venv-libero"
# Of ROS, which has another Python, and of GL, whose platform follows from MUJOCO_GL.
_LEAKS = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "AMENT_PREFIX_PATH",
          "_ROS_WHEELS_BOOTSTRAP_COMPLETE", "PYOPENGL_PLATFORM")  # fmt: skip
_STAMP = "setup.json"  # setup/install.py writes it when the environment is complete


def libero_python() -> Path | None:
    """The interpreter that has LIBERO; None without the extra."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen) if os.access(chosen, os.X_OK) else None
    folder = Path(__file__).resolve().parents[3] / _ENVIRONMENT
    return folder / "bin" / "python" if (folder / _STAMP).is_file() else None


def require_libero() -> Path:
    """The interpreter that has LIBERO; the SettingsError says how to install it."""
    python = libero_python()
    if python is None:
        raise SettingsError(
            "LIBERO is not installed: it is an optional extra of 2 GB. In a checkout run once: "
            f"{INSTALL}; elsewhere install requirements-libero.txt with pip's --no-deps into a "
            f"virtual environment of its own and name its interpreter in {VARIABLE}"
        )
    return python


def slow_time_file() -> Path:
    """The parameter file of the policy node for simulated time that is slow."""
    return find_yaml("slow_time", config_folders(""), "parameters", SettingsError)


def slow_time() -> dict[str, float]:
    """What that file sets."""
    (node,) = read_yaml(slow_time_file(), "a parameter", SettingsError).values()
    assert isinstance(node, dict)
    return dict(node["ros__parameters"])


def environment() -> dict[str, str]:
    """The environment variables of a process of the extra's Python, with MuJoCo's EGL."""
    kept = {name: value for name, value in os.environ.items() if name not in _LEAKS}
    # LIBERO reads its paths from a file of this folder if there is one, by default the user's
    return kept | {"MUJOCO_GL": "egl", "LIBERO_CONFIG_PATH": str(cache_dir() / "libero")}
