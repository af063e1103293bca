"""The node reaches its policy server process: environment, keys, warm calls, resets, counters."""

import signal
from pathlib import Path

import pytest
import yaml
from ros_fixtures import wait_for_success, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT, SWEEP  # noqa: E402

from gr00t_ros.robot.files import find_embodiment, load_embodiment  # noqa: E402
from gr00t_ros.wire.curve import (
    new_pair,  # noqa: E402
    write_pair,  # noqa: E402
)

SECRET = "s3cret-t0ken"
N16 = "franka_droid_n16"


@pytest.fixture
def server(processes, rig, tmp_path):
    """A server for keys and a token alone, on the rig's port; its key folder."""
    for name in ("server", "arm1"):
        write_pair(tmp_path / "keys", name, *new_pair())
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "token").chmod(0o600)
    rig.server = processes.start(
        *("-m", "gr00t_ros.sidecar", "hold", "--port", str(rig.port), "--embodiment", N16),
        *("--keys", str(tmp_path / "keys"), "--token-file", str(tmp_path / "token")),
        name="server",
    )
    rig.server.wait_for_line("^READY ")
    return tmp_path / "keys"


def start_policy(processes, rig, parameters, **environment):
    """The node with nothing but these parameters."""
    words = [x for key, value in parameters.items() for x in ("-p", f"{key}:={value}")]
    rig.policy = processes.start(
        "-m", "gr00t_ros.node.node", "--ros-args", *words, name="policy", **environment
    )
    assert rig.change("configure")


def told(rig, entry):
    """The newest values of an entry of /diagnostics, empty before the first."""
    for array in reversed(list(rig.diagnostics)):
        for status in array.status:
            if status.name == f"gr00t_policy: {entry}":
                return {pair.key: pair.value for pair in status.values}
    return {}


def counter(rig, name):
    """One of the client's counters as last told."""
    return int(told(rig, "client").get(name, 0))


def test_names_keys_and_token_of_the_environment_reach_the_server_and_keep_it_warm(
    processes, rig, server
):
    """Found by others' names alone; the table is `check`'s; a dead idle server is noticed."""
    parameters = {
        "curve_server_key": server / "server.public",
        "curve_client_key": server / "arm1.secret",
        "keep_warm_s": 0.1,
    }
    start_policy(
        *(processes, rig, parameters),
        GROOT_POLICY_PORT=str(rig.port),
        GROOT_POLICY_API_TOKEN=SECRET,
        GROOT_EMBODIMENT_TAG=load_embodiment(N16).tag,
    )
    status = rig.wait_for_status(lambda s: s.server_generation, "a server that passed the check")
    assert status.embodiment_tag == load_embodiment(N16).tag
    log = rig.policy.text()
    assert f"port {rig.port} (GROOT_POLICY_PORT)" in log and "arm1.secret" in log
    assert "api token from GROOT_POLICY_API_TOKEN" in log

    asked = processes.start(
        *(
            "-m",
            "gr00t_ros.sidecar",
            "check",
            "--server",
            f"127.0.0.1:{rig.port}",
            "--embodiment",
            N16,
        ),
        *("--server-key", str(server / "server.public")),
        *("--client-key", str(server / "arm1.secret")),
        name="check",
        GR00T_API_TOKEN=SECRET,
    )
    assert asked.wait() == 0
    table = asked.text().split("\n\n")[1]
    assert table in log and len(table.splitlines()) > 8
    wait_until(lambda: rig.level("modality") == b"\0", "the table in diagnostics")
    assert "matches | " in told(rig, "modality")["state joint_position"]

    first = wait_until(lambda: counter(rig, "replies"), "the client's counters")
    wait_until(lambda: counter(rig, "replies") > first + 5, "calls that keep the server warm")
    assert counter(rig, "connections") == 1 and rig.statuses[-1].queries == 0
    rig.server.signal(signal.SIGKILL)
    rig.wait_for_reason("policy server", "get_action")
    wait_until(lambda: counter(rig, "unreachable") > 0, "a counted loss")
    assert SECRET not in rig.policy.text()


def test_strict_refuses_what_the_server_would_tolerate(processes, rig, tmp_path):
    """A camera that the server never asked for, by the others' name; a parameter wins over it."""
    content = yaml.safe_load(Path(find_embodiment("franka_droid")).read_text())
    content["video"]["another"] = dict(content["video"]["wrist_image_left"], topic="/another")
    file = tmp_path / "more.yaml"
    file.write_text(yaml.safe_dump(content))
    rig.start_server()
    parameters = {"embodiment": file, "port": rig.port}
    start_policy(processes, rig, parameters, GROOT_POLICY_STRICT="true")
    rig.wait_for_reason("does not fit embodiment", "has no key 'another'")
    assert not rig.change("activate")
    rig.policy.signal(signal.SIGTERM)
    assert rig.policy.wait() == 0
    start_policy(processes, rig, parameters | {"strict": "false"}, GROOT_POLICY_STRICT="true")
    rig.wait_for_status(lambda s: s.server_generation, "a server that passed the check")
    rig.policy.wait_for_line(r"strict false \(parameter, wins over GROOT_POLICY_STRICT\)")


def resets(rig):
    """How often the server says that it was reset."""
    return rig.server.text().count("sidecar: reset: ")


@NEEDS_ROBOT
def test_the_server_is_reset_at_each_episode_and_no_reset_goes_on_with_another_one(rig):
    """At the activation, at a changed instruction and after a pause; else at the check alone.

    Then two servers are swapped behind the node's back: the fault lasts until the right one is
    there again.
    """
    rig.start_moving(sidecar_fault_s=600.0)
    once_each = "a reset for the check and one for each episode that played"
    played = lambda: {s.episode for s in rig.statuses if s.mode == "replaying"}  # noqa: E731
    wait_until(lambda: len(played()) < resets(rig) <= rig.statuses[-1].episode + 1, once_each)
    episode, before = rig.statuses[-1].episode, resets(rig)
    assert rig.instruct("another one").success
    rig.wait_for_status(lambda s: s.mode == "replaying" and s.episode > episode, "an episode")
    accepted = rig.statuses[-1].chunks_accepted
    rig.wait_for_status(lambda s: s.chunks_accepted > accepted + 2, "more chunks of it")
    # A late machine pauses: an episode too, without a reset if it ends before its first query.
    each = "a reset for each episode that played, for the new one too, and for none twice"
    wait_until(
        lambda: max(before, len(played())) < resets(rig) <= rig.statuses[-1].episode + 1, each
    )

    rig.server.signal(signal.SIGKILL)
    rig.server.wait()
    rig.start_server(embodiment="desk6")
    assert "does not fit embodiment franka_droid" in rig.wait_for_mode("fault").reason

    def refused_for_the_server():
        answer = rig.reset()
        assert not answer.success, "a server of another embodiment is there"
        # on a late machine the cameras may be the cause that is named first, for a moment
        return answer.message.startswith("the cause persists: policy server 127.0.0.1") and (
            "does not fit embodiment franka_droid" in answer.message
        )

    wait_until(refused_for_the_server, "the server as the cause")
    rig.server.signal(signal.SIGKILL)
    rig.server.wait()
    rig.start_server(SWEEP)
    wait_for_success(rig.reset, "a reset once the right server is back")
    rig.wait_for_motion()
