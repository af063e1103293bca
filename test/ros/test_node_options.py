"""Options that stand for parameters reach them as they were typed, whatever the text is."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.errors import SettingsError  # noqa: E402
from gr00t_ros.record.__main__ import _parser, _ros_arguments  # noqa: E402
from gr00t_ros.ros.join import check_text  # noqa: E402
from gr00t_ros.ros.node_help import SERVER_OPTIONS, as_parameters  # noqa: E402

TEXTS = (
    *("/tmp/robot #2/e.yaml", "my: robot/e.yaml", "123", "1e3", "true", "~", "[a", "{a", "- a"),
    *("'a'", '"a"', "a\\b", "&a", "*a", "!a", "%a", "a:=b", "a\tb", "a\nb", "caf\u00e9 \U0001f916"),
    *("0x10", "\u2028", "\x7f", " a ", "|", ">", "@a", "`a"),
)

READ = """
import json, sys, rclpy
rclpy.init(args=json.loads(sys.argv[1]))
names = dict(automatically_declare_parameters_from_overrides=True)
node = rclpy.create_node("reads", enable_rosout=False, start_parameter_services=False, **names)
print(json.dumps({name: one.value for name, one in node._parameters.items()}))
"""


def read(arguments):
    """What rcl takes from these arguments."""
    words = [sys.executable, "-c", READ, json.dumps(arguments)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_every_text_behind_an_option_is_the_parameters_text():
    """YAML would cut it at " #", make a number of it, or refuse it."""
    options = {f"--{number}": (f"p{number}",) for number in range(len(TEXTS))}
    words = [word for pair in zip(options, TEXTS, strict=True) for word in pair]
    found = read(as_parameters(words, options))
    assert [found[f"p{number}"] for number in range(len(TEXTS))] == list(TEXTS)


def test_every_text_of_a_recorder_is_the_parameters_text():
    """Its options have values of other types too."""
    texts = {"--embodiment": TEXTS[1], "--instruction": TEXTS[0], "--policy-node": TEXTS[2]}
    words = [word for pair in texts.items() for word in pair]
    options = _parser().parse_args([*words, "--min-free-gb", "7", "--", "a\u2028b"])
    found = read(_ros_arguments(options, []))
    names = ("embodiment", "instruction", "policy_node", "folder", "min_free_gb")
    assert [found[name] for name in names] == [*texts.values(), "a\u2028b", 7.0]


def test_a_server_is_a_text_and_a_number():
    """Also a host that looks like another number."""
    found = read(as_parameters(["--server", "127:5555"], {"--server": SERVER_OPTIONS}))
    assert (found["host"], found["port"]) == ("127", 5555)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["policy"], "arguments: got '/tmp/\N{REPLACEMENT CHARACTER}.yaml'"),
        (["doctor"], "arguments: got '/tmp/\N{REPLACEMENT CHARACTER}.yaml'"),
        (["record", "x"], "embodiment: got '/tmp/\\udcff.yaml', half a UTF-16 character"),
    ],
)
def test_a_name_that_is_no_utf_8_is_refused_in_one_line(words, reason):
    """No ROS argument can have its bytes."""
    command = [
        sys.executable,
        "-m",
        "gr00t_ros.tools.gr00t",
        *words,
        "--embodiment",
        b"/tmp/\xff.yaml",
    ]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=dict(os.environ), timeout=60, check=False
    )
    said = (ended.stderr or ended.stdout).splitlines()[-1]
    assert ended.returncode == 2 and reason in said
    assert "Traceback" not in ended.stderr


def test_the_refusal_of_other_bytes_names_the_word():
    """The other words may be any text."""
    check_text(TEXTS)
    with pytest.raises(SettingsError, match="expected UTF-8 text"):
        check_text(["a", "\udcff"])
