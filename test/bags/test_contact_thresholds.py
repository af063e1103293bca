"""gr00t bag contact proposes thresholds from a free motion, and says why it cannot."""

import json
from pathlib import Path

import numpy as np
import pytest
from bag_files import MS, write_bag

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from geometry_msgs.msg import WrenchStamped  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402

from gr00t_ros.bags.contact import main  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402

BLOCK = """
contact:
  arm: {type: external_torques, topic: /torques, names: [fr3_joint2, fr3_joint1],
        thresholds: [30, 25], source: test}
"""
WRIST = "  wrist: {type: wrench, topic: /wrench, average_s: 0.001}\n"
LARGEST = (4.2, 1.1)  # Nm of joints 1 and 2


def torques(at):
    """A JointState of a wave, at one message."""
    wave = np.sin(0.05 * at)
    return JointState(name=["fr3_joint1", "fr3_joint2"], effort=[x * wave for x in LARGEST])


def force(at):
    """A WrenchStamped that grows to 5 N."""
    message = WrenchStamped()
    message.wrench.force.x, message.wrench.force.y = 0.015 * at, -0.02 * at
    return message


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the verb on these messages; its status and output."""

    def run(block, *topics, options=()):
        file = tmp_path / "franka.yaml"
        file.write_text(Path(load_embodiment("franka_droid").source).read_text() + block)
        messages = [
            (topic, (1000 + 2 * at) * MS, make(at))
            for topic, make, count in topics
            for at in range(count)
        ]
        bag = write_bag(tmp_path / "bag", messages)
        status = main([str(bag), "--embodiment", str(file), *options])
        return status, capsys.readouterr()

    return run


def test_thresholds_are_the_largest_values_times_the_margin(run):
    """By name, rounded up to a half, beside those in the file, as text that fits the file."""
    status, shown = run(BLOCK, ("/torques", torques, 251))
    assert status == 0
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert lines[0] == "arm: /torques, 251 messages"
    assert "fr3_joint2 1.10 2.5 30" in lines
    assert "fr3_joint1 4.18 8.5 25" in lines
    assert lines[-3:] == [
        *("contact.arm:", "thresholds: [2.5, 8.5]"),
        "source: 2 times the largest of a free motion",
    ]


def test_programs_get_names_units_and_numbers(run):
    """With another margin; a force has one length."""
    topics = (("/torques", torques, 251), ("/wrench", force, 201))
    status, shown = run(BLOCK + WRIST, *topics, options=("--json", "--margin", "3"))
    figures = json.loads(shown.out)
    assert (status, figures["margin"]) == (0, 3.0)
    arm, wrist = figures["sources"]
    assert (arm["names"], arm["unit"]) == (["fr3_joint2", "fr3_joint1"], "Nm")
    assert arm["largest"] == pytest.approx([1.1, 4.2], rel=0.02)
    assert arm["proposed"] == [3.5, 13.0]
    assert (wrist["names"], wrist["unit"], wrist["proposed"]) == (["force"], "N", [15.0])
    assert wrist["largest"] == pytest.approx([5.0])


def test_a_bag_without_enough_messages_is_a_no_with_the_reason(run):
    """Of each source; the others are still shown."""
    status, shown = run(BLOCK + WRIST, ("/torques", torques, 120))
    assert status == 1
    assert "no thresholds: /wrench: got 0 usable messages, expected at least 100" in shown.out
    assert "thresholds: [2.5, 8.5]" in shown.out


@pytest.mark.parametrize(
    ("absent", "text"),
    [
        ({"fr3_joint1": "fr3_joint7"}, "of fr3_joint7, others come"),
        ({"fr3_joint1": "fr3_joint7", "fr3_joint2": "fr3_joint6"}, "of fr3_joint6, fr3_joint7"),
    ],
)
def test_joints_that_never_come_are_named(run, absent, text):
    """Some of the source, or all."""
    block = BLOCK
    for name, other in absent.items():
        block = block.replace(name, other)
    status, shown = run(block, ("/torques", torques, 120))
    assert status == 1
    few = "got 0 usable messages, expected at least 100; nothing usable received"
    assert f"{few} {text}" in shown.out


def test_a_file_without_a_source_could_not_be_run(run):
    """Status 2, with what to add."""
    status, shown = run("", ("/torques", torques, 1))
    assert status == 2
    assert "expected one to find thresholds for" in shown.err


def test_efforts_need_the_recorded_description(run):
    """It has the masses."""
    block = "\ncontact:\n  arm: {type: effort, topic: /torques, names: [fr3_joint1]}\n"
    status, shown = run(block, ("/torques", torques, 120))
    assert status == 2
    assert "the bag has no message of /robot_description, expected the description" in shown.err
