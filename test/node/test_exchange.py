"""A query of the running node is written to a file, and the server gets no request more for it."""

import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from ros_fixtures import collect, wait_for_discovery, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT, NODE  # noqa: E402

from gr00t_ros.msg import ActionChunk  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.serve.policies import HoldPolicy  # noqa: E402
from gr00t_ros.serve.server import PolicyServer  # noqa: E402
from gr00t_ros.sidecar.exchange_file import read_dump  # noqa: E402
from gr00t_ros.wire.access import Token  # noqa: E402

pytestmark = NEEDS_ROBOT


class Counting:
    """The endpoints of a policy; keeps each get_action with its reply."""

    def __init__(self, inner):
        self.inner, self.seen = inner, []

    def answer(self, frame, *limits):
        answer = self.inner.answer(frame, *limits)
        if answer.endpoint == "get_action":
            self.seen.append((bytes(frame), answer.frame))
        return answer

    def refuse(self, text, endpoint=""):
        return self.inner.refuse(text, endpoint)


@pytest.fixture
def counting(rig):
    """A server of this process at the rig's port, with a token; its requests and replies."""
    made = []

    def around(inner):
        made.append(Counting(inner))
        return made[-1]

    server = PolicyServer(
        HoldPolicy(load_embodiment("franka_droid")),
        "B3",
        bind=f"tcp://127.0.0.1:{rig.port}",
        token=Token("s3cret-token"),
        around=around,
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made[0].seen
    server.stop()
    thread.join(20.0)
    server.close()


def dump(*words):
    """Run gr00t sidecar dump --node as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gr00t_ros.sidecar", "dump", "--node", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_query_of_a_running_node_is_written_as_it_was_sent(rig, counting, tmp_path):
    """Byte for byte except for the token; the chunk of the same stamp; no request more."""
    token = tmp_path / "token"
    token.write_text("s3cret-token")
    token.chmod(0o600)
    chunks = collect(rig.node, ActionChunk, f"{NODE}/action_chunk", qos.CHUNK)
    rig.start_robot()
    # a pause would check the server, with requests that are no queries
    patient = {"sidecar_silence_s": 60.0, "sidecar_fault_s": 600.0, "timeout_ms": 60_000}
    rig.start_policy(shadow="true", api_token_file=str(token), **patient)
    assert rig.change("configure")
    rig.wait_for_mode("ready")
    words = ("--observation", str(tmp_path / "no.npz"), "--wait", "1")
    silent = wait_for_discovery(
        lambda: (one := dump(*words)) and "no status" not in one.stderr and one,
        "the node's status in another process",
    )
    assert silent.returncode == 2 and not (tmp_path / "no.npz").exists()
    assert "no query within 1 s, in mode " in silent.stderr, silent.stderr
    assert "only while it is active" in silent.stderr
    checks = len(counting)
    wait_until(lambda: rig.change("activate"), "an accepted activation")
    rig.wait_for_mode("replaying")
    path = tmp_path / "a.npz"
    done = dump("--observation", str(path), "--wait", "60", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["api_token"].startswith("removed")
    assert rig.change("deactivate")
    dumped = read_dump(path)
    rig.wait_for_status(lambda s: s.mode in ("ready", "waiting"), "an inactive node")
    rig.wait_for_status(
        lambda s: s.queries == len(counting) - checks, "a server that got the node's queries alone"
    )
    (sent,) = [frame for frame, _ in counting if dumped.exchange.request[1:] in frame]
    assert sent.endswith(b"\xa9api_token\xacs3cret-token")
    assert len(sent) - len(dumped.exchange.request) == len(b"\xa9api_token\xacs3cret-token")
    assert dumped.exchange.reply in [reply for frame, reply in counting if frame == sent]
    stamps = [c.header.stamp.sec * 10**9 + c.header.stamp.nanosec for c in chunks]
    chunk = chunks[stamps.index(dumped.observation.stamp_ns)]
    for group in chunk.groups:
        rows = dumped.exchange.action[group.action_key]
        np.testing.assert_array_equal(np.array(group.data), rows.ravel())
    assert dumped.observation.instruction == "hold still"
    assert dumped.deltas == {"video": (-15, 0), "state": (0,)}
    assert dumped.exchange.server.endswith(f"127.0.0.1:{rig.port}")
    words = [str(path), "--port", str(rig.port), "--token-file", str(token)]
    parity = [sys.executable, "-m", "gr00t_ros.sidecar", "parity", *words]
    assert subprocess.run(parity, capture_output=True, timeout=120, check=False).returncode == 0
