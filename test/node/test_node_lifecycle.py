"""Each transition gives the right answer over real DDS, and the process ends with a stop."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ros_fixtures import collect, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT, NODE, SWEEP, speed_at  # noqa: E402

from gr00t_ros.msg import PolicyStatus  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402

CYCLES, WARM_UP = 25, 5
GROWTH = 100
"""Objects a cycle that may stay, of some 60,000; one configuration's cycles are over 500."""
HORIZON_S = 0.7
"""Of a window before its stop tail begins, the parameter horizon_ms."""
UNHURRIED = {"horizon_ms": 700, "commit_ms": 400, "max_joint_age_s": 0.5, "max_camera_age_s": 1.0}
"""Without a window for longer than commit_ms a late machine's node would send no stop: the
controllers play that of the last window."""


def duration_s(window):
    """From a window's stamp to its last point."""
    end = window.points[-1].time_from_start
    return end.sec + end.nanosec * 1e-9


def stamp(window):
    """A window's stamp, comparable."""
    return window.header.stamp.sec, window.header.stamp.nanosec


def assert_windows_are_pairs_that_end_at_rest(rig):
    """Arm and gripper get windows of the same stamps, each with velocity 0 at its end."""
    both = lambda: {*map(stamp, list(rig.arm))} & {*map(stamp, list(rig.gripper))}  # noqa: E731
    wait_until(lambda: len(both()) > 15, "15 instants with a window of both; some are withheld")
    arm, gripper = list(rig.arm), list(rig.gripper)
    assert all(speed_at(window, -1) == 0.0 for window in arm + gripper)
    assert max(speed_at(window, 0) for window in arm) > 0.1, "no window tells of motion"


@NEEDS_ROBOT
def test_a_node_without_its_server_waits_says_why_and_becomes_ready_when_it_comes(rig):
    """configure, refused activate, server, activate, motion, deactivate, cleanup, and again."""
    rig.start_robot()
    rig.start_policy()
    assert rig.change("configure")
    status = rig.wait_for_reason("policy server", str(rig.port), "nobody listens")
    assert (status.mode, status.ready) == ("waiting", False)

    assert not rig.change("activate")
    assert rig.state == "inactive"
    rig.policy.wait_for_line(rf"activation refused: policy server .*{rig.port}")
    assert not rig.change("deactivate"), "deactivate is no transition of an inactive node"
    assert rig.state == "inactive"

    rig.start_server(SWEEP)
    status = rig.wait_for_mode("ready")
    assert (status.ready, status.server_generation) == (True, "N1.7")
    wait_until(lambda: rig.level("replay") == b"\0", "diagnostics OK")
    assert not rig.arm and not rig.gripper, "an inactive node commanded the robot"

    # as autostart: a late machine can leave a gap in the history between ready and activate
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    rig.wait_for_motion()
    assert_windows_are_pairs_that_end_at_rest(rig)

    assert rig.change("deactivate")
    rig.assert_rest()
    rested_ns = rig.now_ns()
    rig.wait_for_mode("waiting", "ready")

    assert rig.change("cleanup")
    assert rig.state == "unconfigured"
    assert rig.change("configure")
    rig.wait_for_mode("ready")
    rig.assert_no_commands_since(rested_ns)


def test_an_unconfigured_node_answers_what_it_cannot_do_and_lives_on(rig):
    """Each transition that is not possible gets success False, each service its reason."""
    rig.start_policy()
    for transition in ("activate", "deactivate", "cleanup"):
        assert not rig.change(transition)
    answer = rig.instruct("pick up the cube")
    assert (answer.success, answer.message) == (False, "the node is not configured")
    assert not rig.reset().success
    assert rig.state == "unconfigured"
    refused = "transition activate: not possible in state unconfigured, expected .*config"
    rig.policy.wait_for_line(refused)


def test_a_late_subscriber_gets_the_status(rig):
    """The status is latched: an unconfigured node says it once, and whoever comes later hears."""
    rig.start_policy()
    rig.wait_for_mode("unconfigured")
    late = collect(rig.node, PolicyStatus, f"{NODE}/status", qos.STATUS)
    wait_until(lambda: late, "the status of before")
    assert (late[0].mode, late[0].reason) == ("unconfigured", "not configured")
    assert late[0].header.stamp == rig.statuses[0].header.stamp


@pytest.mark.parametrize("configured", [False, True])
def test_sigterm_ends_an_idle_node_whose_clock_is_silent(rig, configured):
    """With use_sim_time and nobody on /clock no ROS timer fires, and the process ends with 0."""
    rig.start_policy(use_sim_time="true")
    assert rig.state == "unconfigured"
    if configured:
        assert rig.change("configure")
    rig.policy.signal(signal.SIGTERM)
    assert rig.policy.wait(10.0) == 0


@NEEDS_ROBOT
def test_sigterm_stops_the_arm_before_the_process_ends(rig):
    """Its last window is a stop, shorter than any window of motion; it ends when the arm rests."""
    rig.start_moving(**UNHURRIED)
    moves = lambda: min(map(duration_s, rig.arm[-3:])) > HORIZON_S  # noqa: E731
    wait_until(moves, "windows of motion")
    windows = list(rig.arm)
    rig.policy.signal(signal.SIGTERM)
    assert rig.policy.wait(10.0) == 0
    rig.assert_rest()
    wait_until(lambda: duration_s(rig.arm[-1]) < HORIZON_S, "a window that is a stop")
    assert len(rig.arm) > len(windows)
    assert speed_at(rig.arm[-1], -1) == 0.0


@pytest.mark.parametrize(
    ("ours", "theirs", "differences"),
    [
        ("franka_droid", "franka_droid_n16", ("delta indices [0]", "action horizon 32")),
        (
            *("franka_droid_n16", "franka_droid"),
            ("state: server expects key 'eef_9d'", "delta indices [-15, 0]", "action horizon 40"),
        ),
    ],
)
def test_a_server_of_another_embodiment_is_refused_with_all_differences(
    rig, ours, theirs, differences
):
    """An N1.6 server for N1.7 and the reverse: status and log name keys, history and horizon."""
    rig.start_server(embodiment=theirs)
    rig.start_policy(embodiment=ours)
    assert rig.change("configure")
    cameras = ("of 'exterior_image_1_left'", "of 'wrist_image_left'")
    status = rig.wait_for_reason("does not fit embodiment", *cameras, *differences)
    assert not status.ready
    told = (*cameras, *differences)
    wait_until(lambda: all(one in rig.policy.text() for one in told), "all of them in the log")
    assert not rig.change("activate")


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"embodiment": "no_such_robot"}, "no_such_robot"),
        ({"commit_ms": 400, "horizon_ms": 100}, "horizon_ms: got 100"),
        ({"api_token_file": "/no/such/file"}, "/no/such/file"),
    ],
)
def test_configure_names_what_is_wrong_and_the_node_lives_on(rig, parameters, reason):
    """Configure fails with the reason in status and log; the node can still be asked."""
    rig.start_policy(**parameters)
    assert not rig.change("configure")
    said = rig.wait_for_reason("configure failed", reason)
    end = time.monotonic() + 0.3  # three ticks of the status timer, which must not unsay it
    wait_until(lambda: time.monotonic() > end, "0.3 s")
    assert rig.statuses[-1] is said
    rig.policy.wait_for_line(f"configure: .*{reason}")
    rig.policy.wait_for_line(
        "the node stays unconfigured: correct the file, then `gr00t autostart`"
    )
    assert rig.state == "unconfigured"


@pytest.mark.parametrize(
    ("parameter", "value", "reason"),
    [
        ("merge", "loudest", "got 'loudest', expected one of offset_decay"),
        ("port", 0, "got 0, expected a whole number, 1 to 65535"),
        (
            "velocity_scale",
            "fast",
            "got 'fast', expected a number with a decimal point, 0.05 to 0.8",
        ),
    ],
)
def test_a_value_that_no_parameter_may_have_ends_the_process_in_one_line(
    rig, parameter, value, reason
):
    """Exit status 2 and a line that names parameter and reason, no traceback."""
    rig.start_policy(**{parameter: value})
    assert rig.policy.wait() == 2
    rig.policy.wait_for_line(f"parameter {parameter}: .*(?i:{reason})")
    assert "Traceback" not in rig.policy.text()


def test_configuring_again_and_again_keeps_nothing_of_the_last_configuration(ros_domain):
    """What was frozen at configure is let go at the next: sixty times took 125 MB."""
    child = Path(__file__).parents[1] / "fixtures" / "configure_child.py"
    ran = subprocess.run(
        [sys.executable, str(child), str(WARM_UP), str(CYCLES)],
        env=os.environ | {"ROS_DOMAIN_ID": str(ros_domain)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120.0,
        check=True,
    )
    early, late = map(int, ran.stdout.split())
    assert late - early < GROWTH * (CYCLES - WARM_UP), f"{early} objects, then {late}"
