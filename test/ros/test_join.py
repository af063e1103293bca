"""A process joins the ROS graph without a log folder, and says what keeps it from joining."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.errors import SettingsError  # noqa: E402
from gr00t_ros.ros.join import check_domain  # noqa: E402

PACKAGE = Path(__file__).parents[2] / "gr00t_ros"
UNWRITABLE = "/proc/none"
"""Nobody can make a folder there, root neither."""

JOIN = """
import os, rclpy
from gr00t_ros.ros.join import join_as_client, join_as_node
{join}
rclpy.create_node("joined", enable_rosout=False).get_logger().warning("a line of the log")
rclpy.shutdown()  # it writes the rest of the file
folder = os.environ["ROS_LOG_DIR"]
found = [open(f"{{folder}}/{{name}}").read() for name in os.listdir(folder)] if {looks} else []
print("files", found)
"""


def joined(join: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process that has joined, with the files of its log."""
    looks = "as_node" in join
    return subprocess.run(
        [sys.executable, "-c", JOIN.format(join=join, looks=looks)],
        env={**os.environ, "ROS_LOG_DIR": UNWRITABLE, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_client_needs_no_log_folder():
    """A stop must not depend on a disk."""
    ended = joined("join_as_client()")
    assert ended.returncode == 0 and "files []" in ended.stdout, ended


def test_a_node_logs_into_a_temporary_folder_where_its_own_is_not_writable(tmp_path):
    """It says which, and why."""
    ended = joined("join_as_node([])", TMPDIR=str(tmp_path))
    assert ended.returncode == 0 and "a line of the log" in ended.stdout, ended
    said = ended.stderr.splitlines()[0]
    (folder,) = tmp_path.iterdir()
    assert UNWRITABLE in said and f"the log is in {folder}" in said


def test_only_one_file_initialises_rclpy():
    """So that no other process depends on a log folder, or dies of a ROS_DOMAIN_ID.

    The demos are started from a checkout; ImageNode joins beside a node that has joined.
    """
    known = {"ros/join.py", "ros/transports.py", "demo/follow.py", "demo/libero.py"}
    found = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "rclpy.init"
    }
    assert found == known


@pytest.mark.parametrize("text", ["", "0", "42", "232", " 7", "007", "0xe8", "+0350", "0XE8 "])
def test_every_domain_that_rcl_joins_is_joined(text, monkeypatch):
    """Also as C writes numbers."""
    monkeypatch.setenv("ROS_DOMAIN_ID", text)
    check_domain()


@pytest.mark.parametrize(
    "text",
    [
        *("233", "-1", "0xe9", "1 2", "x", "4.2", "08", "10abc", "0351", "9" * 5000),
        *("1_0", "0x1_0", "0o17", "0b1", "0x", "\u0661", "\u00a07"),  # some are numbers of Python
    ],
)
def test_a_domain_that_has_no_ports_or_is_no_number_is_refused(text, monkeypatch):
    """With what was got and what was expected."""
    monkeypatch.setenv("ROS_DOMAIN_ID", text)
    with pytest.raises(SettingsError, match="ROS_DOMAIN_ID: got .*, expected .* 0 to 232"):
        check_domain()


@pytest.mark.parametrize(
    "words",
    [["policy"], ["operator", "estop"], ["doctor"], ["web", "--port", "0"]],
    ids=" ".join,
)
def test_what_is_no_ros_argument_is_called_so_and_nothing_else_is(words):
    """A folder that cannot be written is none."""
    command = [sys.executable, "-m", "gr00t_ros.tools.gr00t", *words, "--ros-args", "--nonsense"]
    ended = subprocess.run(
        command,
        env={**os.environ, "ROS_LOG_DIR": UNWRITABLE},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 2 and "--nonsense" in said and "logging" not in said, ended


@pytest.mark.parametrize("words", [["autostart"], ["doctor"], ["bag", "play", "x"]], ids=" ".join)
def test_every_command_refuses_a_middleware_that_is_not_installed(words):
    """The import of rclpy would end the process by exit(102); a command without ROS runs."""
    for command, status in ((words, 2), (["embodiment", "explain", "margin"], 0)):
        ended = subprocess.run(
            [sys.executable, "-m", "gr00t_ros.tools.gr00t", *command],
            env={**os.environ, "RMW_IMPLEMENTATION": "rmw_of_nobody"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == status, ended
        assert ("RMW_IMPLEMENTATION: got 'rmw_of_nobody'" in ended.stderr) == (status == 2)
