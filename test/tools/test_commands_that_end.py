"""Commands that need ROS end by the one rule of exit statuses, and correct what was misplaced."""

import contextlib
import importlib
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ros_fixtures import wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.errors import SettingsError  # noqa: E402
from gr00t_ros.ros.node_help import corrected  # noqa: E402
from gr00t_ros.ros.process import refuse_words  # noqa: E402
from gr00t_ros.sim.libero import robot as libero  # noqa: E402
from gr00t_ros.starting import __file__ as starting_file  # noqa: E402
from gr00t_ros.tools import gr00t  # noqa: E402

FACTOR = "--real-time-factor"
COMMAND = (sys.executable, "-m", "gr00t_ros.tools.gr00t")
MODULES = (
    *("node.node", "tools.autostart", "sim.robot", "sim.relay", "sim.stand_in.robot"),
    *("stream.joints", "stream.commands", "sim.libero.robot"),
)


def help_of(module):
    """What the node of this module prints for --help."""
    if module.startswith("sim"):
        pytest.importorskip("mujoco", reason="the simulator is not installed")
    return importlib.import_module(f"gr00t_ros.{module}").HELP


def words_of(command, line):
    """The words behind the command of a line that a person copies into a shell."""
    words = shlex.split(line)
    count = len(command.split())
    assert " ".join(words[:count]) == command
    return words[count:]


@pytest.mark.parametrize("module", MODULES)
def test_a_robot_without_an_option_is_answered_with_a_line_that_the_node_accepts(module):
    """For every node: the robot where there is one, else the parameter that stands first."""
    about = help_of(module)
    with pytest.raises(SettingsError, match="did you mean: gr00t ") as refused:
        refuse_words(["ur5e_2f85"], about)
    line = str(refused.value).partition("did you mean: ")[2]
    assert line.endswith(f" --ros-args -p {about.subject}:=ur5e_2f85")
    refuse_words(words_of(about.command, line), about)


@pytest.mark.parametrize("module", MODULES)
def test_a_misspelt_option_or_parameter_is_answered_with_a_line_that_the_node_accepts(module):
    """For every option, and for every parameter that is given as an option or without -p."""
    about = help_of(module)
    value = "gpu:5555"
    lines = {option: corrected(about, [option[:-1], value]) for option in about.options}
    assert all(words_of(about.command, line) == [o, value] for o, line in lines.items())
    for name in about.all_names:
        if f"--{name}" in about.options:
            continue
        wanted = ["--ros-args", "-p", f"{name}:={value}"]
        for words in ([f"--{name}", value], [f"--{name}={value}"], [f"{name}:={value}"]):
            line = corrected(about, words)
            assert words_of(about.command, line) == wanted, (words, line)


@pytest.mark.parametrize("value", ["x", "nan", "0", "-1", "11", ""])
@pytest.mark.parametrize("form", ["{}={}", "{} {}"])
def test_a_real_time_factor_that_is_none_is_refused_before_anything_starts(value, form, capsys):
    """Both forms of the option, with what was got and what is expected."""
    assert gr00t.main(["sim", "libero", *form.format(FACTOR, value).split(" ")]) == 2
    error = capsys.readouterr().err
    assert f"{FACTOR}: got {value!r}, expected 0.01 to 10" in error and "Traceback" not in error


@pytest.mark.parametrize("words", [(f"{FACTOR}=1",), (FACTOR, "1")])
def test_a_real_time_factor_becomes_the_parameter_before_those_that_are_given(words, monkeypatch):
    """As a float, because rclpy takes no whole number for one; what stands last wins."""
    started = []
    monkeypatch.setattr(libero, "run_node", lambda _node, words, about: started.append(words) or 0)
    assert gr00t.main(["sim", "libero", *words, "--ros-args", "-p", "task:=3"]) == 0
    wanted = ["--ros-args", "-p", "real_time_factor:=1.0", "-p", "task:=3"]
    assert gr00t.main(["sim", "libero"]) == 0
    assert started == [wanted, []]


def test_host_and_port_become_one_line_beside_what_was_right_already():
    """And the ROS arguments stay; a word like nothing that is known is not guessed."""
    about = help_of("node.node")
    words = "--embodiment my.yaml --host gpu --port 5555 --ros-args -p shadow:=true".split()
    assert corrected(about, words) == (
        "gr00t policy --embodiment my.yaml --ros-args -p host:=gpu -p port:=5555 -p shadow:=true"
    )
    assert corrected(about, ["--qqq", "x"]) == ""
    text = "--instruction 'put the cup down'"
    assert corrected(about, shlex.split(text)).endswith("-p 'instruction:=put the cup down'")


@pytest.mark.parametrize(
    ("status", "words", "said"),
    [
        (1, "doctor --embodiment OPEN", "1 still to be filled in:\n- robot"),
        (2, "doctor --embodiment nobody", "known: desk6, "),
        (2, "doctor", "expected the robot: --embodiment NAME|FILE"),
        (2, "doctor --seconds nan", "--seconds: got 'nan', expected 0 to 3600"),
        (
            2,
            "record DIR --embodiment desk6 --min-free-gb nan",
            "min_free_gb: got nan, expected a number with a decimal point from 0 to",
        ),
        (2, "operator pause --timeout 0.1", "no service /gr00t_policy/pause within 0.1 s"),
        (2, "operator estop --timeout 0.1", "hardware e-stop! no service /gr00t_policy/estop"),
    ],
)
def test_exit_statuses_follow_one_rule_with_ros_too(status, words, said, processes, tmp_path):
    """1: a file was read and does not hold; 2: wrong usage, no such file, no node there."""
    (tmp_path / "OPEN.yaml").write_text("robot: FILL_IN\n")
    words = words.replace("OPEN", str(tmp_path / "OPEN.yaml")).replace("DIR", str(tmp_path))
    child = processes.start(*COMMAND[1:], *words.split(), name="child")
    assert child.wait() == status
    assert said in child.text() and "Traceback" not in child.text()


INTERRUPT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from gr00t_ros.tools.gr00t import main
sys.exit(main(["embodiment", "validate", "franka_droid"]))
"""
ROOT = str(Path(starting_file).parents[1])


@pytest.mark.parametrize(
    "module",
    ["xml.etree", "gr00t_ros.command_line", "gr00t_ros.tools.embodiment", "gr00t_ros.robot"],
)
def test_an_interrupt_while_a_command_of_pip_is_imported_leaves_no_traceback(module):
    """From the first import of the program on that is ours."""
    command = (sys.executable, "-c", INTERRUPT, module)
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_what_is_imported_before_an_interrupt_is_ours_takes_little_time():
    """Of the standard library, what Python has imported at its start, and signal."""
    text = (
        f"import sys; sys.path.insert(0, {ROOT!r}); import gr00t_ros.starting; print(*sys.modules)"
    )
    command = (sys.executable, "-I", "-S", "-c", text)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not {"pkgutil", "contextlib", "typing", "pathlib"} & set(done.stdout.split())


def test_an_interrupt_between_two_commands_own_handling_is_no_traceback(monkeypatch, capsys):
    """In the list of verbs, for example."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(gr00t, "run", interrupted)
    assert gr00t.main(["doctor"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("ros_domain")
def test_an_interrupt_ends_the_doctor_with_130():
    """Also while it waits for a server that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        server = f"127.0.0.1:{mute.getsockname()[1]}"
        words = ("doctor", "--embodiment", "desk6", "--server", server, "--ros-args")
        child = subprocess.Popen(
            [*COMMAND, *words, "-p", "timeout_ms:=120000"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection = mute.accept()[0]
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=100)
        connection.close()
    assert (child.returncode, error) == (130, "")


@pytest.mark.parametrize(
    ("status", "verb"), [(130, "status"), (130, "estop"), (130, "set shadow true")]
)
def test_an_interrupt_ends_a_verb_of_the_operator_with_130(status, verb, ros_node):
    """It was not answered; an e-stop also says that it is not confirmed."""
    words = ("operator", *verb.split(), "--timeout", "600")
    child = subprocess.Popen(
        [*COMMAND, *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:  # an e-stop asks in a process of its own, which would stop later tests' nodes
        wait_until(
            lambda: any(n.startswith("gr00t_operator_") for n in ros_node.get_node_names()),
            "the operator's node",
        )
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does
        _, error = child.communicate(timeout=100)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    assert child.returncode == status
    assert "Traceback" not in error
    assert ("STOP NOT CONFIRMED" in error) == (verb == "estop")
