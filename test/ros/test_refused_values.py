"""A node that gets a wrong value or a name that ROS does not take says so in one line, status 2."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

TOPIC = "expected a ROS topic name such as /joint_states, of at most 247 letters"
LONG = "/" + "a" * 300
ROBOT = ("--embodiment", "desk6")
STREAMER = "-p joints:=[a] -p window_topic:=w -p command_topic:=c".split()
RECORD = ("record", "OUT", *ROBOT)


def gr00t(words, out):
    """The command as a process of its own; OUT among the words is a path that is not there."""
    given = [str(out) if word == "OUT" else word for word in words]
    return subprocess.run(
        [sys.executable, "-m", "gr00t_ros.tools.gr00t", *given],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*"autostart --ros-args -p".split(), "node:=bad name"], f"node: got 'bad name', {TOPIC}"),
        ([*"autostart --ros-args -p".split(), 'node:=""'], f"node: got '', {TOPIC}"),
        (["autostart", "--ros-args", "-p", "node:=5"], "node: got 5, expected text"),
        (
            [*"sim relay --ros-args -p".split(), "image_topics:=[bad topic]"],
            f"image_topics: got 'bad topic', {TOPIC}",
        ),
        (
            [*"sim relay --ros-args -p".split(), "source_prefix:=/x y"],
            "source_prefix: got '/x y/",
        ),
        (["sim", "relay", "--ros-args", "-p", "image_topics:=5"], "got 5, expected a list"),
        (
            ["stream", "joints", "--ros-args", *STREAMER, "-p", "window_topic:=bad topic"],
            f"window_topic: got 'bad topic', {TOPIC}",
        ),
        (
            ["stream", "commands", *ROBOT, "--ros-args", "-p", "rate_hz:=5"],
            "rate_hz: got 5, expected a whole number from 10 to 500",
        ),
        (
            ["sim", "stand-in", *ROBOT, "--ros-args", "-p", "joints_topic:=bad topic"],
            f"joints_topic: got 'bad topic', {TOPIC}",
        ),
        (["bag", "record", "OUT", "--topics", "bad topic"], f"--topics: got 'bad topic', {TOPIC}"),
        (["bag", "record", "OUT", "--topics", LONG], TOPIC),
        ([*RECORD, "--topics", "a/"], f"topics: got 'a/', {TOPIC}"),
        ([*RECORD, "--policy-node", "bad name"], f"policy_node: got 'bad name', {TOPIC}"),
        *(
            (
                [*RECORD, "--ros-args", "-p", f"{name}:={value}"],
                f"parameter {name}: got {value.lstrip('.')}, expected ",
            )
            for name, values in (
                ("preroll_s", (".nan", "-5.0", ".inf")),
                ("queue_mb", ("0", "-1")),
                ("min_free_gb", (".nan", "-1.0")),
            )
            for value in values
        ),
        (["policy", *ROBOT, "--ros-args", "-r", "__ns:=/a/"], "invalid node namespace"),
        (["policy", *ROBOT, "--ros-args", "-p", "use_sim_time:=5"], "use_sim_time"),
        (
            [*"web --port 0 --ros-args -p port:=9".split()],
            "parameter port: gr00t_web_",
        ),
        (["operator", "status", "--node", LONG], "expected a full name such as /gr00t_policy"),
    ],
    ids=lambda value: " ".join(value)[-60:] if isinstance(value, list) else "",
)
def test_what_a_node_cannot_take_is_one_line_with_what_was_got_and_expected(words, said, tmp_path):
    """Nothing starts, nothing is written, and nothing waits for what cannot come."""
    ended = gr00t(words, tmp_path / "out")
    assert ended.returncode == 2, ended
    assert said in ended.stderr.splitlines()[-1] and "Traceback" not in ended.stderr, ended.stderr
    assert list(tmp_path.iterdir()) == []
