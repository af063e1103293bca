"""The commands of ./dev: sets up .venv, then runs the command in it."""

import contextlib
import os
import subprocess
import sys

from distro import DISTROS, note, take_option

os.environ.update(take_option(sys.argv))  # before the imports: it chooses their paths

from bare import run_bare
from install import (
    install,
    install_assets,
    install_documentation,
    install_libero,
    install_training,
)
from packages import write_lock
from parts import ONCE_MORE, compiled, run_all
from prefix import DISTRO, PREFIX, PYTHON, ROOT, run_environment
from progress import SetupError

USAGE = """\
usage: ./dev [--distro jazzy|kilted] COMMAND [ARGUMENTS]

  demo [ARGS]      a simulated Franka puts a cube on a plate; --help lists the options
  test [ARGS]      lint, then all tests; arguments go to pytest
  test quick       lint, then the pure rooms without collide, and the wire: the loop to work in
  bare PYTHON ...  the rooms without ROS on any interpreter, with the newest NumPy that it has, or
                   with the one that an argument names: numpy==2.3.*
  lint             ruff, and with Jazzy mypy
  bench NAME       a benchmark; without a name: which there are
  faults [ARGS]    injects every fault into the running closed loop, writes docs/faults.md
  loop [ARGS]      records demonstrations, trains a small policy on them, deploys it (docs/loop.md)
  docs [ARGS]      builds the documentation site into docs/_build; arguments go to Sphinx
  soak [ARGS]      the tests that run for minutes to hours; arguments go to pytest
  setup            only set up .venv; `setup libero` also what demo --robot libero needs (2 GB)
  lock             after a change of requirements*.txt: writes requirements-DISTRO.lock

Each sets up what it needs first. PYTHON=python3.12 ./dev ... chooses the interpreter.
--distro kilted, also right behind COMMAND, or ROS_DISTRO=kilted takes ROS 2 Kilted and
.venv-kilted instead of Jazzy and .venv.
"""
NEED_ASSETS = ("demo", "test", "bench", "faults", "loop", "soak")


NEXT = f"""\
setup: done. Next:
  ./dev demo --watch          a simulated arm does its task; a page in the browser shows it
  ./dev test quick            lint and the tests without ROS, about a minute
  . {PREFIX.name}/bin/activate      then `gr00t --help`: every command
"""
NEXT_LIBERO = "setup: done. Next: ./dev demo --robot libero\n"


def replace_by(*arguments: str) -> None:
    """Become `python ARGUMENTS` in .venv, so that signals reach it directly."""
    sys.stdout.flush()
    os.execve(PYTHON, [str(PYTHON), *arguments], run_environment())


def lint() -> int:
    """Run ruff, then mypy; returns the first exit status that is not 0, else 0.

    Types are checked with the rclpy of one distribution: that of the next one has other types.
    """
    commands = [["ruff", "check", "--quiet", "."], ["mypy", "--no-error-summary"]]
    for command in commands if DISTROS[0] == DISTRO else commands[:1]:
        print(f"lint: {' '.join(command)}", flush=True)
        status = subprocess.call([PYTHON, "-m", *command], cwd=ROOT, env=run_environment())
        if status:
            return status
    return 0


DOCS_STRICT = ("--fail-on-warning", "--keep-going", "--fresh-env", "--quiet", "--jobs=auto")
"""Each build reads all pages: Sphinx forgets the warnings of pages that have not changed."""
DOCS = ("docs", "docs/_build")
"""The pages, and where the site is built; its first page is index.html."""
QUICK = tuple(f"test/{room}" for room in "robot observe motion watch session wire".split())


def test(arguments: list[str]) -> int:
    """Run the tests that `arguments` name, or all of them; returns the exit status."""
    if arguments[:1] == ["quick"]:
        os.environ["GR00T_TEST_QUICK"] = "1"
        replace_by("-m", "pytest", "-q", "-n=2", *QUICK, *arguments[1:])
    if arguments:
        replace_by("-m", "pytest", *ONCE_MORE, *arguments)
    return run_all()


def run(command: str, arguments: list[str]) -> int:
    """Run a command and return its exit status; some become another program and do not return."""
    if command == "demo":
        replace_by("-m", "gr00t_ros.demo", *arguments)
    if command == "bench":
        replace_by("-m", "bench", *arguments)
    if command == "loop":
        replace_by("-m", "examples.loop", *arguments)
    if command == "faults":
        replace_by("test/run_fault_matrix.py", *arguments)
    if command == "docs":
        replace_by("-m", "sphinx", *DOCS_STRICT, *arguments, *DOCS)
    if command == "soak":
        replace_by("-m", "pytest", "-m", "soak", *arguments)
    if command == "lint":
        return lint()
    if command == "test":
        with compiled() if not arguments else contextlib.nullcontext():
            status = lint()
        return status or test(arguments)
    if command == "setup":
        print(NEXT_LIBERO if "libero" in arguments else NEXT, end="")
    return 0


def main() -> int:
    """Set up, then run the command named on the command line."""
    command, arguments = (sys.argv[1:2] or ["help"])[0], sys.argv[2:]
    if command in ("help", "-h", "--help"):
        print(USAGE, end="")
        return 0
    if command not in ("setup", "lock", "lint", "docs", "bare", *NEED_ASSETS):
        print(f"./dev: no command {command!r}\n\n{USAGE}", end="", file=sys.stderr)
        return 2
    os.chdir(ROOT)
    if note():
        print(f"./dev: {note()}", file=sys.stderr)
    try:
        if command == "bare":
            return run_bare(arguments)
        install(with_models=command in NEED_ASSETS)
        if command in NEED_ASSETS:
            install_assets()
        if command == "loop":
            install_training()
        if command == "lock":
            write_lock()
        if command == "docs":
            install_documentation()
        robot = "libero" in arguments or "--robot=libero" in arguments
        if command in ("setup", "demo") and robot:
            install_libero()
    except SetupError as error:
        print(f"./dev: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n./dev: interrupted; the next call continues", file=sys.stderr)
        return 130
    return run(command, arguments)


if __name__ == "__main__":
    sys.exit(main())
