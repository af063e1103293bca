"""A node that starts its server itself reports states, failures, licenses, and every death."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from ros_fixtures import wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT, SWEEP, speed_at  # noqa: E402
from server_profiles import FAMILY, alive, family_of, until_gone  # noqa: E402

HOLD = """
command: ["{python}", -m, gr00t_ros.sidecar, hold, --embodiment, franka_droid,
          --host, "{host}", --port, "{port}"]
model_version: none
"""
FIXTURES = Path(__file__).parents[1] / "fixtures"
TEST_PATH = f"environment: {{PYTHONPATH: '{FIXTURES}'}}\n"


@pytest.fixture
def profile(tmp_path):
    """Write a profile; returns its path."""

    def write(text):
        path = tmp_path / "local.yaml"
        path.write_text(text)
        return str(path)

    return write


def start_local(rig, profile, **parameters):
    """The node with a server of its own, configured."""
    given = {"sidecar.mode": "local", "sidecar.profile": profile, **parameters}
    rig.start_policy(**given)
    return rig.change("configure")


def details(status):
    """The details of a status as a map."""
    return {pair.key: pair.value for pair in status.details}


def sidecar_of(rig):
    """The newest diagnostics of the sidecar: level and values."""
    for array in reversed(list(rig.diagnostics)):
        for entry in array.status:
            if entry.name == "gr00t_policy: sidecar":
                return entry.level, {pair.key: pair.value for pair in entry.values}
    return None, {}


def pid_when(rig, condition):
    """The server's pid, once its diagnostics meet the condition."""
    found = wait_until(lambda: (s := sidecar_of(rig)[1]) and condition(s) and s, "a sidecar")
    return int(found["pid"])


@NEEDS_ROBOT
def test_a_local_server_killed_in_motion_stops_the_arm_and_motion_goes_on_with_the_next(
    rig, profile
):
    """Configure, activate, SIGKILL of the server, rest, motion again; gone after cleanup."""
    rig.start_robot()
    assert start_local(rig, profile(HOLD.replace("hold", SWEEP) + TEST_PATH), sidecar_fault_s=600.0)
    status = rig.wait_for_mode("ready")
    host, port = status.server.split(":")
    assert host == "127.0.0.1" and int(port) != rig.port
    assert details(status)["sidecar"] == "local: ready"
    assert details(status)["sidecar.license"] == "no weights of NVIDIA (none)"
    rig.policy.wait_for_line(r"\[local\] READY tcp://127.0.0.1")
    first = pid_when(rig, lambda s: s["phase"] == "ready")
    assert sidecar_of(rig)[0] == b"\0"

    wait_until(lambda: rig.change("activate"), "an accepted activation")
    rig.wait_for_motion()
    os.kill(first, signal.SIGKILL)
    status = rig.wait_for_status(
        lambda s: "SIGKILL" in details(s)["sidecar"], "the end of the server"
    )
    assert "crashed after" in details(status)["sidecar"]
    assert "restart 1 of 5" in details(status)["sidecar"]
    wait_until(lambda: rig.speed_rad_s < 0.02, "an arm at rest")
    second = pid_when(rig, lambda s: s["phase"] == "ready" and s["pid"] != str(first))
    rig.wait_for_motion()
    assert all(speed_at(window, -1) == 0.0 for window in list(rig.arm))

    assert rig.change("deactivate") and rig.change("cleanup")
    until_gone([second])


def test_a_local_server_serves_the_nodes_own_embodiment(rig):
    """A shipped profile says another one; N1.6's is refused where the file has no name for it."""
    assert start_local(rig, "hold", embodiment="desk6")
    rig.wait_for_status(lambda s: s.server_generation, "a server that has passed the check")
    assert rig.change("cleanup")
    rig.policy.stop()
    accepted = {"sidecar.accept_noncommercial": True}
    assert not start_local(rig, "n16", embodiment="franka_droid", **accepted)
    rig.wait_for_status(lambda s: "has no server_tags" in s.reason, "the reason")


@NEEDS_ROBOT
def test_a_local_server_killed_before_activation_is_checked_anew(rig, profile):
    """Not ready while it is gone, ready with the next; and once more after cleanup."""
    rig.start_robot()
    assert start_local(rig, profile(HOLD))
    rig.wait_for_mode("ready")
    os.kill(pid_when(rig, lambda s: s["phase"] == "ready"), signal.SIGKILL)
    rig.wait_for_reason("policy server 127.0.0.1", "crashed", "SIGKILL", "restart 1 of 5")
    assert not rig.change("activate")
    rig.wait_for_mode("ready")
    assert rig.change("cleanup")
    assert rig.change("configure")
    rig.wait_for_mode("ready")


def family_profile(folder, *words):
    """A server that never answers, with two children; it gets 2 s between SIGTERM and SIGKILL."""
    (folder / "family.py").write_text(FAMILY)
    command = ", ".join(["'{python}'", "-S", str(folder / "family.py"), *words])
    return f"command: [{command}]\nmodel_version: none\nstop_timeout_s: 2.0\n"


def family(rig):
    """The pids that the server of family_profile printed, as the status shows them."""

    def line(status):
        text = details(status).get("sidecar.last_line", "")
        return text if text.startswith("FAMILY") else ""

    return family_of(line(rig.wait_for_status(line, "the server's line")))


def test_configure_waits_for_no_server_and_cleanup_for_no_end_of_one(rig, profile, tmp_path):
    """A stubborn server that loads for ever: both answer, and afterwards it is gone."""
    assert start_local(rig, profile(family_profile(tmp_path, "stubborn")))
    status = rig.wait_for_reason("policy server 127.0.0.1", "sidecar local: loading")
    assert not status.ready
    pids = family(rig)
    assert not rig.change("activate")
    assert sidecar_of(rig)[0] in (None, b"\1")
    assert rig.change("cleanup")
    assert alive(pids[0]), "cleanup waited until the server had ended"
    until_gone(pids)


def test_sigterm_of_the_node_ends_the_server(rig, profile, tmp_path):
    """The node is gone first; the watcher does the rest."""
    assert start_local(rig, profile(family_profile(tmp_path)))
    pids = family(rig)
    rig.policy.signal(signal.SIGTERM)
    assert rig.policy.wait(10.0) == 0
    until_gone(pids)


def test_a_missing_environment_and_a_failed_server_are_said_in_status_and_diagnostics(rig, profile):
    """With the command that installs it; the node lives on and can be asked."""
    text = HOLD + "python: /no/such/python\ninstall: make python\n"
    assert start_local(rig, profile(text))
    rig.wait_for_reason("failed", "/no/such/python is not there; install it with: make python")
    level, _ = wait_until(lambda: (s := sidecar_of(rig))[0] == b"\2" and s, "an error")
    assert level == b"\2"


def test_a_non_commercial_model_needs_an_acknowledgement(rig, profile):
    """Configure fails and says what to acknowledge."""
    assert not start_local(rig, profile(HOLD.replace("none", "N1.6")))
    rig.wait_for_reason("configure failed", "Noncommercial", "sidecar.accept_noncommercial")


def test_an_acknowledged_license_is_on_record(rig, profile):
    """In each status, with who acknowledged it."""
    path = profile(HOLD.replace("none", "N1.6"))
    assert start_local(rig, path, **{"sidecar.accept_noncommercial": "true"})
    status = rig.wait_for_status(lambda s: "sidecar.license" in details(s), "a license")
    assert "acknowledged by parameter" in details(status)["sidecar.license"]


@pytest.fixture
def marker(monkeypatch):
    """In the environment of all that this test starts."""
    value = f"{os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.setenv("GR00T_TEST_MARK", value)
    return f"GR00T_TEST_MARK={value}".encode()


def left_behind(marker):
    """Processes whose environment has the marker: the node's server, watcher and children."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if alive(pid)]


def kill_the_node(rig, marker, profile_path, moment_s):
    """Configure a node with a server of its own, SIGKILL it after that time; nothing is left."""
    assert start_local(rig, profile_path)
    time.sleep(moment_s)
    rig.policy.signal(signal.SIGKILL)
    rig.policy.wait()
    wait_until(lambda: not left_behind(marker), "the end of all that the node started")


@pytest.mark.parametrize("moment_s", [0.0, 0.4])
def test_no_process_outlives_the_sigkill_of_the_node(rig, marker, profile, tmp_path, moment_s):
    """While the server starts, and when it and its children run."""
    kill_the_node(rig, marker, profile(family_profile(tmp_path, "stubborn")), moment_s)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50))
def test_no_process_outlives_a_sigkill_of_the_node_at_any_moment(rig, marker, profile, seed):
    """For `./dev soak`, with a server that becomes ready: fifty random moments."""
    kill_the_node(rig, marker, profile(HOLD), random.Random(seed).uniform(0.0, 4.0))
