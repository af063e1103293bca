"""The golden exchange as a policy and a server of ours around it, on a real socket."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import docker_stand_in
import numpy as np
import pytest
import zmq

from gr00t_ros.core.modality import ModalityEntry
from gr00t_ros.sidecar.client import PolicyClient
from gr00t_ros.sidecar.curve import new_pair, secure_client
from gr00t_ros.sidecar.keys import ClientKeys, write_pair
from gr00t_ros.sidecar.server import PolicyServer

GOLDEN = Path(__file__).parents[1] / "golden"
LIMIT_S = 20.0


class GoldenPolicy:
    """Upstream's deterministic fake policy: the golden config, and the golden action always."""

    def __init__(self):
        self.modality = {
            "video": ModalityEntry((0,), ("cam_a", "cam_b")),
            "state": ModalityEntry((0,), ("joints",)),
            "action": ModalityEntry(
                (0, 1, 2, 3),
                ("joints",),
                ({"rep": "RELATIVE", "type": "NON_EEF", "format": "DEFAULT", "state_key": None},),
            ),
            "language": ModalityEntry((0,), ("annotation.human.task_description",)),
        }
        content = json.loads((GOLDEN / "golden.json").read_text())
        joints = content["expected_action"]["joints"]
        self.action = {"joints": np.array(joints["values"], np.float32).reshape(joints["shape"])}
        self.observations = []

    def __call__(self, observation, options):
        self.observations.append(observation)
        return self.action, {}

    def reset(self, options):
        return {}


@pytest.fixture
def golden_policy():
    """The policy behind the golden bytes; it remembers the observations it was given."""
    return GoldenPolicy()


@pytest.fixture
def golden_observation():
    """The nested observation of golden.json as fresh arrays."""
    content = json.loads((GOLDEN / "golden.json").read_text())["observation"]
    arrays = {
        modality: {
            key: np.array(item["values"], item["dtype"]).reshape(item["shape"])
            for key, item in content[modality].items()
        }
        for modality in ("video", "state")
    }
    return {**arrays, "language": {key: [["pick up"]] for key in content["language"]}}


@pytest.fixture
def golden_bytes() -> Callable[[str], bytes]:
    """Read one golden file by its name."""
    return lambda name: (GOLDEN / name).read_bytes()


class Peer:
    """A plain client socket that fails a test rather than wait for ever."""

    def __init__(self, address: str, kind: int, curve: ClientKeys | None = None):
        self.context = zmq.Context()
        self.socket = self.context.socket(kind)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.RCVTIMEO, round(LIMIT_S * 1e3))
        if curve is not None:
            secure_client(self.socket, curve)
        self.socket.connect(address)

    def ask(self, frame: bytes) -> bytes:
        self.socket.send(frame)
        return self.socket.recv()

    def close(self):
        self.socket.close()
        self.context.term()


@pytest.fixture
def connect() -> Iterator[Callable[..., Peer]]:
    """Connect plain sockets; they are closed after the test."""
    peers: list[Peer] = []

    def _connect(address: str, kind: int = zmq.REQ, curve: ClientKeys | None = None) -> Peer:
        peers.append(Peer(address, kind, curve))
        return peers[-1]

    yield _connect
    for peer in peers:
        peer.close()


@contextmanager
def _serving(server: PolicyServer) -> Iterator[PolicyServer]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(LIMIT_S)
        stopped = not thread.is_alive()
        if stopped:
            server.close()
        assert stopped, "the server did not stop"


@pytest.fixture
def serve() -> Iterator[Callable[..., PolicyServer]]:
    """Serve a policy in a thread of this process; stopped after the test."""
    with ExitStack() as stack:

        def _serve(policy, generation="B3", **settings) -> PolicyServer:
            return stack.enter_context(_serving(PolicyServer(policy, generation, **settings)))

        yield _serve


class Sidecar:
    """One gr00t-sidecar process."""

    def __init__(self, arguments: tuple[str, ...]):
        command = [sys.executable, "-m", "gr00t_ros.sidecar", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.ready = self.process.stdout.readline().strip()
        self.address = self.ready.removeprefix("READY ")

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def end(self, number: int) -> tuple[int, str]:
        """Send the signal, return the exit status and what was on stderr."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, errors


@pytest.fixture
def start_sidecar(monkeypatch) -> Iterator[Callable[..., Sidecar]]:
    """Start gr00t-sidecar in a child process on a free port; killed after the test."""
    monkeypatch.chdir(Path(__file__).parents[2])
    monkeypatch.delenv("GR00T_API_TOKEN", raising=False)
    started: list[Sidecar] = []

    def _start(*arguments: str) -> Sidecar:
        started.append(Sidecar(arguments))
        return started[-1]

    yield _start
    for sidecar in started:
        if sidecar.process.poll() is None:
            sidecar.process.kill()
        sidecar.process.communicate(timeout=LIMIT_S)


@pytest.fixture
def keys(tmp_path) -> Path:
    """A folder with the keys of a server and of the clients r1 and r2."""
    folder = tmp_path / "keys"
    for name in ("server", "r1", "r2"):
        write_pair(folder, name, *new_pair())
    return folder


@pytest.fixture
def client_of() -> Iterator[Callable[..., PolicyClient]]:
    """Make clients that are closed after the test."""
    made: list[PolicyClient] = []

    def _make(address: str, timeout_ms: int = 20_000, **settings) -> PolicyClient:
        port = int(address.rpartition(":")[2])
        made.append(PolicyClient("127.0.0.1", port, timeout_ms, **settings))
        return made[-1]

    yield _make
    for client in made:
        client.close()


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """The daemon's process; killed after the test, with its containers."""
    folder = tmp_path / "docker"
    folder.mkdir()
    docker_stand_in.write_client(folder)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    program = Path(docker_stand_in.__file__)
    daemon = subprocess.Popen(
        [sys.executable, "-S", program, "daemon", folder], stdout=subprocess.PIPE
    )
    assert daemon.stdout.readline() == b"SERVING\n"
    yield daemon
    daemon.terminate()
    daemon.wait(10)
    daemon.stdout.close()
