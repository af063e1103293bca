"""./dev finds an interpreter that works, keeps other ROS installs out, and says what is missing."""

import importlib
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def setup_module(monkeypatch):
    """Imports a module of setup/, which lies on no path."""
    monkeypatch.syspath_prepend(str(ROOT / "setup"))
    return importlib.import_module


def dev(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ./dev, in an environment without PYTHON unless it is given."""
    base = {key: value for key, value in os.environ.items() if key != "PYTHON"}
    return subprocess.run(
        ["/bin/sh", str(ROOT / "dev"), *arguments],
        env=base | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def program(folder: Path, name: str, text: str) -> None:
    """An executable shell script."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_shims_that_fail_are_passed_over(tmp_path):
    """An interpreter counts when it runs, wherever on the path it stands."""
    program(tmp_path / "shims", "python3.12", "exit 127")
    program(tmp_path / "shims", "python3.11", "exit 127")
    program(tmp_path / "real", "python3.11", f'echo taken; exec "{sys.executable}" "$@"')
    path = f"{tmp_path / 'shims'}:{tmp_path / 'real'}:/usr/bin:/bin"
    result = dev("help", PATH=path, PYTHON="python3.11")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("taken\nusage: ./dev")


def test_the_interpreter_of_the_environment_comes_first(tmp_path):
    """Before those on the path, whose shims take long; a broken one is passed over."""
    (tmp_path / "setup").symlink_to(ROOT / "setup")
    shutil.copy(ROOT / "dev", tmp_path / "dev")  # it works in the folder in which it lies
    program(tmp_path / "base", "python3", f'echo taken; exec "{sys.executable}" "$@"')
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(tmp_path / "base" / "python3")
    command = ["/bin/sh", str(tmp_path / "dev"), "help"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHON"}

    def printed() -> str:
        return subprocess.check_output(command, env=environment, text=True, timeout=60)

    assert printed().startswith("taken\nusage: ./dev")
    program(tmp_path / "base", "python3", "exit 1")
    assert printed().startswith("usage: ./dev")


def test_an_interpreter_that_is_too_old_is_refused(tmp_path):
    """The version is asked for; the chosen one is not silently replaced by another."""
    program(tmp_path, "python-old", "exit 1")
    result = dev("help", PYTHON=str(tmp_path / "python-old"))
    assert result.returncode == 1
    assert "No Python 3.10 to 3.13" in result.stderr
    assert "apt-get install" in result.stderr


def test_an_unknown_command_is_refused_with_the_usage():
    """Before anything is set up."""
    result = dev("frobnicate", PYTHON=sys.executable)
    assert result.returncode == 2
    assert "no command 'frobnicate'" in result.stderr


def test_another_ros_does_not_leak_in(setup_module, monkeypatch):
    """A sourced ROS 2 would mix its libraries with the wheels'; other choices stay."""
    prefix = setup_module("prefix")
    for name in ("PYTHONPATH", "LD_LIBRARY_PATH", "RMW_IMPLEMENTATION", "AMENT_PREFIX_PATH"):
        monkeypatch.setenv(name, "/opt/ros/humble")
    monkeypatch.setenv("ROS_DISTRO", "humble")
    monkeypatch.setenv("ROS_DOMAIN_ID", "17")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = prefix.run_environment()
    assert "PYTHONDONTWRITEBYTECODE" not in environment, "each start would compile all imports"
    assert "/opt/ros/humble" not in environment.values()
    assert environment["ROS_DISTRO"] == prefix.DISTRO
    assert environment["ROS_DOMAIN_ID"] == "17"
    assert environment["AMENT_PREFIX_PATH"] == str(prefix.PREFIX)


@pytest.mark.parametrize(
    ("argv", "left"),
    [
        (["setup", "--distro", "kilted", "test", "-x"], ["setup", "test", "-x"]),
        (["setup", "test", "--distro", "kilted", "-x"], ["setup", "test", "-x"]),
        (["setup", "test", "--distro=kilted"], ["setup", "test"]),
    ],
)
def test_the_distribution_is_named_before_the_command_or_right_behind_it(setup_module, argv, left):
    """Both ways it is no argument of the command."""
    assert setup_module("distro").take_option(argv) == {"ROS_DISTRO": "kilted"}
    assert argv == left


def test_arguments_of_the_command_are_not_taken_for_the_option(setup_module):
    """The demo or pytest may have an option of that name."""
    argv = ["setup", "test", "-k", "--distro", "kilted"]
    assert setup_module("distro").take_option(argv) == {}
    assert argv == ["setup", "test", "-k", "--distro", "kilted"]


@pytest.mark.parametrize("arguments", [("--distro", "humble"), ("help", "--distro=")])
def test_a_chosen_distribution_without_wheels_is_refused(arguments):
    """Nothing is set up, and the message says which there are."""
    result = dev(*arguments, PYTHON=sys.executable)
    assert result.returncode == 2
    assert f"--distro is {'humble' if 'humble' in arguments else ''!r}" in result.stderr
    assert "expected jazzy or kilted" in result.stderr


@pytest.mark.parametrize(
    ("variable", "taken", "said"),
    [
        ("", "jazzy", ""),
        ("kilted", "kilted", ""),
        ("humble", "jazzy", "takes jazzy and nothing of"),
    ],
)
def test_a_sourced_ros_chooses_the_distribution_where_it_can(
    setup_module, monkeypatch, variable, taken, said
):
    """Another one is named, with what is taken instead: its libraries are kept out anyway."""
    distro = setup_module("distro")
    monkeypatch.setenv("ROS_DISTRO", variable)
    assert distro.chosen() == taken
    assert said in distro.note() and bool(said) == bool(distro.note())


def test_missing_system_packages_are_named_with_their_command(setup_module, monkeypatch):
    """Who is not root gets a line to copy, and nothing is tried."""
    system = setup_module("system")
    monkeypatch.setattr(system, "missing_packages", lambda: ["g++", "libegl1"])
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
    with pytest.raises(system.SetupError, match="sudo apt-get install .* g\\+\\+ libegl1"):
        system.install_system_packages()


@pytest.mark.parametrize("content", [None, "", "{", '{"requirements": "x"}'])
def test_an_unfinished_environment_is_not_used(setup_module, monkeypatch, tmp_path, content):
    """Without a whole stamp .venv is made anew."""
    install = setup_module("install")
    stamp = tmp_path / "setup.json"
    if content is not None:
        stamp.write_text(content)
    monkeypatch.setattr(install, "STAMP", stamp)
    assert not install._usable(install._read_stamp())


def test_a_failing_step_shows_the_end_of_its_output(setup_module, monkeypatch, tmp_path):
    """The error has the last lines and the place of the rest."""
    progress = setup_module("progress")
    monkeypatch.setattr(progress, "LOG", tmp_path / "setup.log")
    command = [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"]
    with pytest.raises(progress.SetupError, match="failed: a step\nthe reason\nwhole output: "):
        progress.step("a step", command, dict(os.environ))


def test_what_is_left_of_a_set_up_is_shown(setup_module, monkeypatch, tmp_path, capsys):
    """At its begin for all steps, behind each ended step for the rest."""
    progress = setup_module("progress")
    monkeypatch.setattr(progress, "LOG", tmp_path / "setup.log")
    progress.announce(["venv", "package", "models"])
    assert "setup: 3 steps, about 38 s" in capsys.readouterr().out
    assert progress.left_s("venv") == 27 + 7
    progress.step("a step", [sys.executable, "-c", ""], dict(os.environ), "package")
    assert progress.left_s("venv") == 7
    progress.announce([])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("stamp", "no_uv", "steps"),
    [
        ({}, "", ["venv", "uv", "packages", "package"]),
        ({}, "1", ["venv", "packages by pip", "package"]),
        ({"package": "old"}, "", ["package"]),
        ({"package": "new"}, "", []),
    ],
)
def test_only_what_is_missing_is_announced(setup_module, monkeypatch, stamp, no_uv, steps):
    """A second set-up announces nothing."""
    install = setup_module("install")
    monkeypatch.setenv(install.NO_UV, no_uv)
    assert install._steps(stamp, {"package": "new"}) == steps


def test_set_up_says_what_to_do_next(setup_module):
    """With commands that there are."""
    text = (ROOT / "setup" / "__main__.py").read_text()
    (shown,) = re.findall(r'^NEXT = f"""(.*?)"""', text, re.S | re.M)
    for command in re.findall(r"\./dev (\w+)", shown):
        assert f"\n  {command} " in text


def test_a_package_of_a_bare_environment_can_be_pinned(setup_module):
    """What is no pin is pytest's."""
    words = ["numpy==2.3.*", "test/robot", "-k", "a==b or c"]
    pins = setup_module("bare").split_pins(words)
    assert pins == (["numpy==2.3.*"], ["test/robot", "-k", "a==b or c"])


def test_what_one_command_needs_is_installed_once(setup_module, monkeypatch, tmp_path):
    """Sphinx comes with the first ./dev docs, and again only when its requirements change."""
    install, asked = setup_module("install"), []
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "LOCK", tmp_path / "setup.lock")
    monkeypatch.setattr(install, "STAMP", tmp_path / "setup.json")
    monkeypatch.setattr(install, "DOCS_REQUIREMENTS", tmp_path / "requirements-docs.txt")
    monkeypatch.setattr(install, "step", lambda name, command, _: asked.append(command[-1]))
    install.STAMP.write_text('{"requirements": "x", "python": "3.12"}')
    for text in ("Sphinx==1", "Sphinx==1", "Sphinx==2"):
        install.DOCS_REQUIREMENTS.write_text(text)
        install.install_documentation()
    assert asked == [install.DOCS_REQUIREMENTS] * 2
    assert install._read_stamp().keys() == {"requirements", "python", "docs"}


def test_each_test_runs_in_one_part(setup_module):
    """Nothing is left out, nothing runs twice, and no list has a stale name."""
    parts = setup_module("parts")
    for folder, names in parts.ONLY_COMPUTE.items():
        for name in names.split():
            assert (ROOT / folder / f"test_{name}.py").is_file(), f"{folder}: {name}"
    runs = [_files(part) for part in (*parts.IN_FRONT, parts.BEHIND)]
    every = sorted((ROOT / "test").rglob("test_*.py"))
    assert sorted(file for run in runs for file in run) == every


def _files(part: tuple[str, ...]) -> set[Path]:
    """The files of tests that pytest finds with these arguments."""
    ignored = {ROOT / word.removeprefix("--ignore=") for word in part if "ignore=" in word}
    named = [ROOT / word for word in part if word.startswith("test/")] or [ROOT / "test"]
    assert all(place.exists() for place in (*ignored, *named))
    found = {file for place in named for file in (place, *place.rglob("test_*.py"))}
    return {
        file
        for file in found
        if file.name.startswith("test_")
        and file.suffix == ".py"
        and ignored.isdisjoint((file, *file.parents))
    }


PARTS = """
import sys
sys.path.insert(0, sys.argv[1])
import parts
parts._pytest = lambda part: [sys.executable, "-c", (BEHIND if part == parts.BEHIND else FRONT)]
sys.exit(parts.run_all())
"""


def run_parts(front: str, behind: str) -> subprocess.Popen[str]:
    """Run all parts, of which each is a program instead of pytest, in a session of its own."""
    code = f"FRONT, BEHIND = {front!r}, {behind!r}\n{PARTS}"
    return subprocess.Popen(
        [sys.executable, "-c", code, str(ROOT / "setup")],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("front", "behind", "status"),
    [
        ("", "", 0),
        ("exit(1)", "", 1),
        ("", "exit(3)", 3),
        ("", "import os; os.kill(os.getpid(), 9)", 9),
    ],
)
def test_a_part_that_fails_is_no_success(front, behind, status):
    """What ran behind is shown after the others, also when it was killed."""
    with run_parts(f"print('front'); {front}", f"print('behind', flush=True); {behind}") as tests:
        output, _ = tests.communicate(timeout=60)
    assert output.splitlines() == ["front"] * 3 + ["behind"]
    assert tests.returncode == status


def test_an_interrupt_ends_all_parts(tmp_path):
    """The terminal interrupts its own session; what runs behind is interrupted too."""
    begun = tmp_path / "begun"
    wait = """
import os, pathlib, time
try:
    ONCE
    print(os.getpid(), flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    behind = wait.replace("ONCE", f"pathlib.Path({str(begun)!r}).touch()")
    front = wait.replace("ONCE", f"while not os.path.exists({str(begun)!r}): time.sleep(0.01)")
    with run_parts(front, behind) as tests:
        first = tests.stdout.readline()
        os.killpg(tests.pid, signal.SIGINT)
        output, _ = tests.communicate(timeout=60)
    assert tests.returncode == 130
    assert output.count("interrupted") == 2
    pids = [int(pid) for pid in re.findall(r"^\d+$", first + output, re.MULTILINE)]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("distro, linters", [("jazzy", ["ruff", "mypy"]), ("kilted", ["ruff"])])
def test_types_are_checked_with_the_rclpy_of_one_distribution(monkeypatch, distro, linters):
    """The types of rclpy differ: what is right with those of Jazzy is an error with Kilted's."""
    monkeypatch.syspath_prepend(str(ROOT / "setup"))
    lint = runpy.run_path(str(ROOT / "setup/__main__.py"))["lint"]
    run = []
    monkeypatch.setattr(subprocess, "call", lambda command, **_: run.append(command[2]) or 0)
    monkeypatch.setitem(lint.__globals__, "DISTRO", distro)
    assert lint() == 0 and run == linters


@pytest.mark.parametrize("distro", ["jazzy", "kilted"])
def test_the_lock_is_of_the_requirements(setup_module, monkeypatch, distro):
    """Every pin of requirements.txt is in it; otherwise ./dev would have to resolve again."""
    packages = setup_module("packages")
    monkeypatch.setattr(packages, "DISTRO", distro)
    lock = (ROOT / f"requirements-{distro}.lock").read_text()
    assert lock.startswith(packages.lock_header() + "\n"), f"./dev --distro {distro} lock"


def test_without_uv_pip_installs_the_same_versions(setup_module, monkeypatch):
    """The lock file names all packages, so that neither has anything to choose."""
    packages = setup_module("packages")
    run = []
    monkeypatch.setenv(packages.NO_UV, "1")
    monkeypatch.setattr(packages, "step", lambda name, command, *rest: run.append(command))
    packages.install_packages({})
    (command,) = run
    assert "pip" in command and "--no-deps" in command and command[-1] == packages.LOCKED


def test_uv_that_fails_is_followed_by_pip(setup_module, monkeypatch, capsys):
    """A proxy or an index that only pip knows is no reason to stop."""
    packages = setup_module("packages")

    def step(name, command, *rest):
        run.append(command[0])
        if command[0] == packages.UV:
            raise packages.SetupError("no such index")

    run = []
    monkeypatch.delenv(packages.NO_UV, raising=False)
    monkeypatch.setattr(packages, "step", step)
    packages.install_packages({})
    assert run[-2:] == [packages.UV, packages.PYTHON]
    assert "no such index" in capsys.readouterr().out
