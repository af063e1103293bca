"""The pool on a local Ray: as a policy server, with a killed replica, and with a robot behind it.

A start takes 20 s, so these run in `./dev soak`.
"""

import os
import re
import signal
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from gr00t_ros.errors import Gr00tError, RefusedError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.sim.assets import PANDA, installed
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.link import PolicyLink

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(find_spec("ray") is None, reason="no ray: pip install 'ray[serve]'"),
]

START_S = 120.0
ROBOTS = 4
TIMEOUT_MS = 10_000
ARM = "franka_droid"


@pytest.fixture
def start(processes):
    """Start a pool with two replicas and these options; its port."""

    def run(*words):
        where = ("--ray", "local", "--replicas", "2", "--listen", "127.0.0.1:0")
        child = processes.start(
            *("-m", "gr00t_ros.sidecar", "pool", *where, "--embodiment", ARM, *words), name="pool"
        )
        return int(child.wait_for_line(r"^READY tcp://.*:(\d+)$", START_S)[1])

    return run


def state_of(port, token=None):
    """What the pool's ping shows."""
    client = PolicyServerClient("127.0.0.1", port, TIMEOUT_MS, token)
    try:
        return client._call("ping")["pool"]
    finally:
        client.close()


def wait_for(port, condition, token=None):
    """The pool's state once it fulfils a condition."""
    deadline = time.monotonic() + START_S
    while not condition(state := state_of(port, token)):
        assert time.monotonic() < deadline, state
        time.sleep(0.1)
    return state


def kill_one_replica(port):
    """SIGKILL to a replica that has answered."""
    os.kill(int(next(iter(state_of(port)["answers"])).rpartition(":")[2]), signal.SIGKILL)


def server_of(pid):
    """The policy server that the replica with this pid has started: the child's of its watcher."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        for task in Path(f"/proc/{one}/task").iterdir():
            waiting += [int(child) for child in (task / "children").read_text().split()]
        if b"gr00t_ros.sidecar\0hold" in Path(f"/proc/{one}/cmdline").read_bytes():
            found.append(one)
    return found[-1]


class Robot(threading.Thread):
    """Asks again and again; counts chunks and keeps errors."""

    def __init__(self, port):
        super().__init__()
        client = PolicyServerClient("127.0.0.1", port, TIMEOUT_MS, key_style="nested")
        self._link = PolicyLink(client, load_embodiment(ARM), None)
        self._link.check()
        self.chunks, self.errors, self.stop = 0, [], threading.Event()

    def run(self):
        """Until `stop`."""
        while not self.stop.is_set():
            try:
                self._link.query(lambda template: None, 0)
                self.chunks += 1
            except Gr00tError as error:
                self.errors.append(str(error))
        self._link.close()


def test_a_killed_replica_costs_each_robot_one_chunk_at_most(start):
    """Robots that ask without a pause; the replica comes back by itself."""
    port = start("--policy", "hold", "--batch", "2")
    robots = [Robot(port) for _ in range(ROBOTS)]
    for robot in robots:
        robot.start()
    wait_for(port, lambda state: len(state["answers"]) == 2)
    kill_one_replica(port)
    wait_for(port, lambda state: state["replicas"] == 1)
    state = wait_for(port, lambda state: state["replicas"] == 2 and len(state["answers"]) == 3)
    for robot in robots:
        robot.stop.set()
    for robot in robots:
        robot.join(30.0)
    assert all(len(robot.errors) <= 1 and robot.chunks for robot in robots)
    assert state["retried"] <= state["lost"] <= 2 * ROBOTS


def test_each_replica_starts_the_server_of_a_profile(start, tmp_path):
    """A server that dies is replaced with its replica; a client without the token is refused."""
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("right")
    port = start("--profile", "hold", "--gpus", "0", "--token-file", str(file))
    with pytest.raises(RefusedError, match="Unauthorized"):
        state_of(port)
    token = Token("right")
    client = PolicyServerClient("127.0.0.1", port, TIMEOUT_MS, token, key_style="nested")
    link = PolicyLink(client, load_embodiment(ARM), token)
    link.check()
    link.query(lambda template: None, 0)
    victim = next(iter(state_of(port, token)["answers"]))
    os.kill(server_of(int(victim.rpartition(":")[2])), signal.SIGKILL)
    wait_for(port, lambda state: state["replicas"] == 1, token)
    link.query(lambda template: None, 0)
    state = wait_for(port, lambda state: state["replicas"] == 2, token)
    assert state["errors"] == 0 and state["failed"] == 0
    link.close()


@pytest.mark.skipif(find_spec("rclpy") is None, reason="ROS 2 (rclpy) is not installed")
@pytest.mark.skipif(not installed(PANDA), reason="no robot model")
def test_a_robot_moves_on_inside_its_limits_when_a_replica_is_killed(
    ros_node, tmp_path, monkeypatch
):
    """The simulated arm with the node, and the pool as its policy server."""
    from stack import EMBODIMENT, Stack, assert_inside_the_limits

    class PooledStack(Stack):
        """The policy server is a pool, which leaves the processors to what runs in real time.

        A replica that starts takes a processor for seconds; on a robot's machine there is no pool.
        """

        def start_sidecar(self):
            where = ("--ray", "local", "--replicas", "2", "--listen", "127.0.0.1:0")
            words = ("pool", *where, "--policy", "scripted", "--embodiment", EMBODIMENT)
            later = ("nice", "-n", "19", sys.executable)
            self.bringup.start("sidecar", [*later, "-m", "gr00t_ros.sidecar", *words])
            ready = re.compile(r"^READY tcp://.*:(\d+)$", re.MULTILINE)
            found = self.wait(lambda: ready.search(self.bringup.log("sidecar")), "READY", START_S)
            self.port = int(found[1])

    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros_log"))
    stack = PooledStack(ros_node, tmp_path)
    try:
        stack.start()
        stack.wait_for_motion()
        wait_for(stack.port, lambda state: len(state["answers"]) == 2)
        before = len(stack.statuses)
        kill_one_replica(stack.port)
        wait_for(stack.port, lambda state: state["replicas"] == 1)
        asked = wait_for(stack.port, lambda state: state["replicas"] == 2)["answered"]
        state = wait_for(stack.port, lambda state: state["answered"] > asked)
        stack.wait_for_motion()
        told = list(stack.statuses)[before:]
        record = stack.record()
    finally:
        stack.end()
    # On a busy machine it may pause for its own lateness, but never for the server.
    about_the_server = re.compile("policy server|no chunk left|refused")
    assert not [one.reason for one in told if about_the_server.search(one.reason)]
    assert "fault" not in {one.mode for one in told}
    assert state["failed"] <= 1 and state["lost"] <= 2
    assert_inside_the_limits(record)
