"""System packages beside Python: a C++ compiler, Python's headers, EGL and Mesa.

Checks for the program or library itself and not for a Debian package, so that it also works where
it was installed in another way (another distribution, an NVIDIA driver's EGL).
"""

import ctypes
import os
import shutil
import sysconfig
from pathlib import Path

from prefix import build_environment
from progress import SetupError, step

LIBRARIES = Path("/usr/lib")


def install_system_packages() -> None:
    """Install the missing packages if this is root on Debian or Ubuntu.

    Otherwise raises SetupError with the command to run.
    """
    packages = missing_packages()
    if not packages:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SetupError(
            "system packages are missing. On Debian or Ubuntu run\n"
            f"    sudo apt-get update && sudo {' '.join(command)}\n"
            "and start ./dev again."
        )
    environment = build_environment() | {"DEBIAN_FRONTEND": "noninteractive"}
    step("list of Debian packages", ["apt-get", "update"], environment)
    step(f"Debian packages {' '.join(packages)}", command, environment)


def missing_packages() -> list[str]:
    """The Debian names of the missing packages."""
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return [
        package
        for package, there in (
            ("g++", shutil.which("c++") and shutil.which("cc")),
            (f"libpython{sysconfig.get_python_version()}-dev", headers.exists()),
            ("libegl1", _loads("libEGL.so.1")),
            ("libopengl0", _loads("libOpenGL.so.0")),
            ("libgl1", _loads("libGL.so.1")),
            ("libegl-mesa0", _egl_vendors()),
            ("libgl1-mesa-dri", _software_renderer() or _egl_vendors() - {"50_mesa"}),
        )
        if not there
    ]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _egl_vendors() -> set[str]:
    folders = (Path("/usr/share/glvnd/egl_vendor.d"), Path("/etc/glvnd/egl_vendor.d"))
    return {file.stem for folder in folders for file in folder.glob("*.json")}


def _software_renderer() -> bool:
    """Whether Mesa's drivers are installed: one file each until Mesa 24.1, one library since."""
    return any(
        next(LIBRARIES.glob(pattern), None)
        for pattern in ("**/dri/swrast_dri.so", "**/libgallium-*.so")
    )
