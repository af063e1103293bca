"""Nothing that a peer does to our sockets ends the process.

The processes that could be aborted are children. Connections are few, short, and on loopback.
"""

import contextlib
import os
import random
import re
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import zmq
from raw_peer import LIMIT_S, RawPeer

from gr00t_ros.errors import ClosedError, Gr00tError, SettingsError, UnreachableError
from gr00t_ros.serve.front import MAX_FRAMES, MAX_READ, Front, Resident
from gr00t_ros.serve.front import __file__ as front_file
from gr00t_ros.supervise.launcher import free_port
from gr00t_ros.watch.server import Outlook, outlook_of
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.codec import decode, encode
from gr00t_ros.wire.curve import read_client_keys, secure_client
from gr00t_ros.wire.template import RequestTemplate

PING = encode({"endpoint": "ping"}, "npy")
PEERS = Path(__file__).parents[1] / "fixtures" / "peers.py"
CONNECTIONS = 20
REQUESTS = 20
# Above ZeroMQ's own mark of 1000, at which it stops reading: the client's sockets had that one.
REPLIES = 1_500

SERVERS = {
    "hold": ("hold", "--embodiment", "franka_droid", "--port", "0", "--delay-ms", "100"),
    "faulty": ("faulty", "--embodiment", "franka_droid", "--port", "0", "--fault", "late=100"),
    "proxy": ("proxy", "--upstream", "127.0.0.1:1", "--listen", "127.0.0.1:0"),
    "proxy with a token": ("proxy", "--upstream", "127.0.0.1:1", "--listen", "127.0.0.1:0"),
}


def until(condition):
    """Wait for a condition, with a generous limit."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.01)


FRONT = """
import sys, zmq
from gr00t_ros.serve.front import Front
front = Front(zmq.Context(), "tcp://127.0.0.1:*", 1024)
print(front.address, flush=True)
sys.stdin.readline()
while front.socket.poll(500):
    front.receive()
print("alive", flush=True)
"""


ECHO = """
import zmq
from gr00t_ros.serve.front import Front
front = Front(zmq.Context(), "tcp://127.0.0.1:*", 1024)
print(front.address, flush=True)
while front.socket.poll():
    message = front.receive()
    if message and message.route and message.body:
        front.socket.send_multipart([*message.route, message.body[0].bytes])
"""


def unread_bytes(port):
    """What the kernel holds, unread, of each connection at the local `port` (proc_net_tcp)."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = f":{port:04X}"
    established = [row for row in rows if row[1].endswith(here) and row[3] == "01"]
    return [int(row[4].partition(":")[2], 16) for row in established]


def test_strangers_that_fill_a_queue_and_vanish_do_not_end_the_process():
    """It asserts (libzmq 4.3.5) where it stopped reading such a peer and has a PING to answer."""
    child = subprocess.Popen(
        [sys.executable, "-c", FRONT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        address = child.stdout.readline().strip()
        strangers = [RawPeer(address) for _ in range(CONNECTIONS)]
        for stranger in strangers:
            stranger.requests(REQUESTS)
            stranger.ping()
        port = int(address.rpartition(":")[2])
        until(lambda: unread_bytes(port) == [0] * CONNECTIONS)
        for stranger in strangers:
            stranger.vanish()
        until(lambda: unread_bytes(port) == [])
        child.stdin.write("look\n")
        child.stdin.flush()
        assert child.stdout.readline() == "alive\n"
    finally:
        child.stdin.close()
        child.stdout.close()
        assert child.wait(LIMIT_S) == 0


COMMANDS = (b"PING", b"PONG", b"SUBSCRIBE", b"CANCEL", b"READY", b"ERROR", b"HELLO", b"")
SIZES = (0, 1, 2, 18, 300, 5_000)


def nonsense(draw):
    """A few frames of ZMTP: commands, messages, flags that there are not, cut at the end or not."""
    data = b""
    for _ in range(draw.randrange(1, 40)):
        body, flags = draw.randbytes(draw.choice(SIZES)), draw.choice((0, 0, 1, 8, 128))
        if draw.random() < 0.5:
            name = draw.choice(COMMANDS)
            body, flags = bytes([draw.choice((len(name), 255))]) + name + body, 4 | flags & 1
        head = struct.pack(">BQ", flags | 2, len(body))
        data += head + body
    return data[: draw.randrange(len(data))] if draw.random() < 0.2 else data


@pytest.mark.parametrize("seed", range(3))
def test_no_frames_of_a_stranger_end_the_process(seed):
    """He goes with a farewell or without, or stays; the last one asks and is answered."""
    draw = random.Random(seed)
    child = subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True)
    try:
        address, stay = child.stdout.readline().strip(), []
        for _ in range(500):
            stranger = RawPeer(address)
            with contextlib.suppress(OSError):  # cut off in the midst of it
                stranger.socket.sendall(nonsense(draw))
            chance = draw.random()
            if chance < 0.4:
                stranger.vanish()
            elif chance < 0.8:
                stranger.socket.close()
            else:
                stay.append(stranger)
        asks = RawPeer(address)
        asks.requests(1)
        assert asks.receive(5) == b"\x01\x00\x00\x01x"
        for stranger in (*stay, asks):
            stranger.socket.close()
        assert child.poll() is None
    finally:
        child.terminate()
        child.wait(LIMIT_S)
        child.stdout.close()


@pytest.mark.parametrize("server", SERVERS)
def test_every_server_of_ours_answers_on_after_strangers_vanished(
    start_sidecar, connect, tmp_path, server
):
    """All listen on the same kind of socket: see the test of the one place below."""
    words = SERVERS[server]
    if "token" in server:
        (tmp_path / "token").touch(0o600)
        (tmp_path / "token").write_text("s3cret-t0ken")
        words = (*words, "--token-file", str(tmp_path / "token"))
    sidecar = start_sidecar(*words)
    strangers = [RawPeer(sidecar.address) for _ in range(CONNECTIONS)]
    for stranger in strangers:
        stranger.requests(REQUESTS)
        stranger.ping()
    for stranger in strangers:
        stranger.vanish()
    assert connect(sidecar.address).ask(PING)
    assert sidecar.process.poll() is None


def test_nothing_else_of_ours_listens_for_others():
    """A second ROUTER or REP socket would need the same care; ZAP's is within the process.

    The DEALERs of client and upstream connect, and have no bound that stops reading either.
    """
    room = Path(front_file).parents[1]
    makers = {
        path.name
        for path in room.rglob("*.py")
        if any(f"zmq.{kind})" in path.read_text() for kind in ("ROUTER", "REP", "DEALER", "PULL"))
    }
    assert makers == {"front.py", "curve.py", "client.py", "upstream.py"}
    assert ".bind(" not in (room / "wire" / "client.py").read_text()


CLIENT = """
import sys
from gr00t_ros.errors import Gr00tError
from gr00t_ros.wire.client import PolicyServerClient
client = PolicyServerClient("127.0.0.1", int(sys.argv[1]), 2_500)
for line in sys.stdin:
    try:
        client.ping()
        print("answered", flush=True)
    except Gr00tError as error:
        print(type(error).__name__, flush=True)
"""


def answer(peer):
    """Read one request of a ping and send REP's answer."""
    header = peer.receive(2)
    assert header == b"\x01\x00", "no delimiter"
    peer.receive(peer.receive(2)[1])
    reply = encode({"status": "ok"}, "npy")
    peer.socket.sendall(b"\x01\x00\x00" + bytes([len(reply)]) + reply)


def test_a_server_that_fills_the_client_s_queue_and_vanishes_does_not_end_the_client():
    """The node lives in the client's process."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as peers:
        child = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(listener.getsockname()[1])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            child.stdin.write("ask\n")
            child.stdin.flush()
            server = RawPeer.of(listener)
            answer(server)
            assert child.stdout.readline() == "answered\n"
            server.requests(REPLIES)
            server.ping()
            until(lambda: unread_bytes(server.socket.getpeername()[1]) == [0])
            server.vanish()
            for _ in range(3):
                child.stdin.write("ask\n")
                child.stdin.flush()
                with contextlib.suppress(TimeoutError, AssertionError, OSError):
                    peer = RawPeer.of(listener, 2.0)  # the client may not connect each time
                    peers.enter_context(peer.socket)
                    answer(peer)
                assert child.stdout.readline().endswith(("Error\n", "answered\n"))
        finally:
            child.stdin.close()
            child.stdout.close()
            assert child.wait(LIMIT_S) == 0


@pytest.fixture
def front():
    """A listening socket of its own context."""
    context = zmq.Context()
    made = Front(context, "tcp://127.0.0.1:*", 1024, gone_ms=4_000)
    yield made
    made.close()
    context.destroy(linger=0)


def test_a_peer_whose_cable_is_out_is_found_by_tcp(front):
    """No heartbeat of ZeroMQ's; the kernel asks, and gives up by itself."""
    assert front.socket.get(zmq.HEARTBEAT_IVL) == 0
    events = front.socket.get_monitor_socket(zmq.EVENT_ACCEPTED)
    events.set(zmq.RCVTIMEO, round(LIMIT_S * 1e3))
    peer = RawPeer(front.address)
    descriptor = int.from_bytes(events.recv_multipart()[0][2:], sys.byteorder)
    with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as ours:
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle_s = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        probes = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
        each_s = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
        assert 1 <= idle_s + probes * each_s <= 5
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 4_000
    peer.socket.close()
    front.socket.disable_monitor()
    events.close(linger=0)


def frames(count):
    """A message of so many frames, as a REQ's peer sends it: a delimiter, empty frames, a body.

    One of them is the address that the ROUTER itself puts in front.
    """
    return b"\x01\x00" * (count - 2) + b"\x00\x01x"


@pytest.fixture
def reads(monkeypatch):
    """How many frames are read, call by call."""
    counts, receive = [], zmq.Socket.recv

    def counting(self, *args, **settings):
        frame = receive(self, *args, **settings)
        counts[-1] += 1
        return frame

    monkeypatch.setattr(zmq.Socket, "recv", counting)
    return counts


@pytest.mark.parametrize("count", [MAX_READ + 1, 50_000])
def test_the_work_for_one_message_is_bounded_however_many_frames_it_has(
    front, reads, caplog, count
):
    """It is not read to its end: its sender and all others are disconnected and may come again."""
    address, other, peer = front.address, RawPeer(front.address), RawPeer(front.address)
    peer.socket.sendall(frames(count))
    assert front.socket.poll(round(LIMIT_S * 1e3))
    reads.append(0)
    assert front.receive() is None and reads == [MAX_READ]
    assert f"127.0.0.1 sent a message of more than {MAX_READ} frames" in caplog.text
    for cut_off in (other, peer):
        with contextlib.suppress(ConnectionResetError):
            assert cut_off.socket.recv(1) == b""
        cut_off.socket.close()
    again = RawPeer(address)
    again.requests(1)
    assert front.socket.poll(round(LIMIT_S * 1e3))
    reads.append(0)
    assert [frame.bytes for frame in front.receive().body] == [b"x"]
    again.socket.close()


def test_of_a_message_of_many_frames_few_are_kept(front, reads):
    """Within the bound nobody is disconnected, and the next message is the next peer's."""
    peer = RawPeer(front.address)
    peer.socket.sendall(b"\x01\x00" + b"\x01\x01x" * (MAX_READ - 3) + b"\x00\x01x")
    peer.socket.sendall(b"\x01\x00\x00\x01y")
    assert front.socket.poll(round(LIMIT_S * 1e3))
    reads.append(0)
    first, second = front.receive(), None
    assert reads == [MAX_READ]
    while second is None:
        second = front.receive()
    assert len(first.route) == 2 and 1 < len(first.body) <= MAX_FRAMES
    assert [frame.bytes for frame in second.body] == [b"y"]
    assert front.receive() is None
    peer.socket.close()


@pytest.mark.parametrize("server", ["hold", "proxy"])
def test_every_server_of_ours_answers_on_after_a_message_of_many_frames(
    start_sidecar, connect, server
):
    """Whoever sent it is disconnected; whoever asks afterwards is answered."""
    sidecar = start_sidecar(*SERVERS[server])
    for count in (MAX_READ + 1, 100_000):
        stranger = RawPeer(sidecar.address)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            stranger.socket.sendall(frames(count))
            assert stranger.socket.recv(1) == b""
        stranger.socket.close()
        assert connect(sidecar.address).ask(PING)
    assert sidecar.process.poll() is None


def test_whom_a_front_without_memory_cuts_off_knows_that_it_passes():
    """Not an answer that is none: three of these in a row are a fault.

    In the moment in which the front does not listen yet, it looks as if the server had gone.
    """
    context = zmq.Context()
    front = Front(
        context, "tcp://127.0.0.1:*", 1024, max_memory_bytes=-(1 << 40)
    )  # any is too much
    client = PolicyServerClient("127.0.0.1", int(front.address.rpartition(":")[2]))

    def cut_off():
        assert front.socket.poll(round(LIMIT_S * 1e3))
        front.look_after()

    thread = threading.Thread(target=cut_off)
    thread.start()
    with pytest.raises((ClosedError, UnreachableError)) as caught:
        client.ping()
    expected = Outlook.PASSES if isinstance(caught.value, ClosedError) else Outlook.SILENT
    assert outlook_of(caught.value) is expected
    thread.join(LIMIT_S)
    client.close()
    front.close()
    context.destroy(linger=0)


def test_an_address_that_cannot_be_bound_is_a_settings_error(front):
    """Named with why."""
    context = zmq.Context()
    with pytest.raises(SettingsError, match=r"cannot serve on tcp.*Address already in use"):
        Front(context, front.address, 1024)
    context.destroy(linger=0)


DESCRIPTORS = 64


def golden_server(port=None):
    """A REP server as upstream's in a process of its own; return it and its port."""
    port = port or free_port("127.0.0.1")
    command = [sys.executable, str(PEERS), "golden", "npy", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline().split()[1])


def end(process):
    """Kill it and take it away."""
    process.kill()
    process.wait(LIMIT_S)
    process.stdout.close()


def test_a_proxy_without_a_free_descriptor_answers_busy_and_goes_on(start_sidecar, client_of):
    """Strangers hold all of them when the server behind is lost; then they go, and it comes."""
    upstream, port = golden_server()
    proxy = start_sidecar("proxy", "--upstream", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0")
    resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    client = client_of(proxy.address)
    client.ping()
    held = Path(f"/proc/{proxy.process.pid}/fd")
    place = ("127.0.0.1", proxy.port)
    strangers = [socket.create_connection(place, LIMIT_S) for _ in range(2 * DESCRIPTORS)]
    until(lambda: len(list(held.iterdir())) == DESCRIPTORS)
    end(upstream)
    until(lambda: re.search("busy: .*Too many open files", told(client)))
    for stranger in strangers:
        stranger.close()
    again, _ = golden_server(port)
    try:
        until(lambda: told(client) == "")
        assert proxy.process.poll() is None and client.counts.connections == 1
    finally:
        end(again)


def test_the_memory_held_is_known_without_a_free_descriptor():
    """Else who takes them all could fill the memory unseen."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    watch = Resident()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
        with pytest.raises(OSError, match="Too many open files"):
            os.open("/proc/self/statm", os.O_RDONLY)
        assert watch.bytes() > 1024 * 1024
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
        watch.close()
    assert watch.bytes() == 0


def told(client):
    """What a ping says where it fails, else nothing."""
    try:
        client.ping()
    except Gr00tError as error:
        return str(error)
    return ""


def test_twenty_strangers_keep_nobody_waiting(start_sidecar, connect, tmp_path):
    """Each asks for as much work as it can without the token, again and again."""
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text("s3cret-t0ken")
    server = start_sidecar("hold", "--embodiment", "franka_droid", "--port", "0")
    upstream = server.address.removeprefix("tcp://")
    words = ("--listen", "127.0.0.1:0", "--token-file", str(tmp_path / "token"))
    proxy = start_sidecar("proxy", "--upstream", upstream, *words, "--max-wait-ms", "20000")
    ended = threading.Event()

    def annoy(peer):
        heavy = encode({"endpoint": "ping", "data": [0] * 60_000, "api_token": "wrong"}, "npy")
        while not ended.is_set():
            assert "error" in decode(peer.ask(heavy))

    peers = [connect(proxy.address) for _ in range(CONNECTIONS)]
    strangers = [threading.Thread(target=annoy, args=(peer,)) for peer in peers]
    for stranger in strangers:
        stranger.start()
    try:
        good = connect(proxy.address)
        ping = encode({"endpoint": "ping", "api_token": "s3cret-t0ken"}, "npy")
        for _ in range(50):
            assert decode(good.ask(ping))["status"] == "ok"
            time.sleep(0.02)  # below the rate that a robot is allowed
    finally:
        ended.set()
        for stranger in strangers:
            stranger.join(LIMIT_S)


ADMITTED = 10
"""Connections of the one admitted client that floods."""
ACTIONS = 30
PAUSE_S = 0.2
"""Between two connections of a stranger: docs/sidecar_security.md says what happens without."""


def probe(server, token=None):
    """A zero observation of the golden embodiment."""
    return RequestTemplate(
        {"cam_a": (1, 4, 4), "cam_b": (1, 4, 4)},
        {"joints": (1, 3)},
        "annotation.human.task_description",
        generation=server.generation,
        key_style=server.key_style,
        array_codec=server.array_codec,
        token=token,
    )


def vanish_again_and_again(address, ended):
    """Connect without keys, ask, ask ZeroMQ too, read nothing, vanish, and come again."""
    while not ended.is_set():
        with contextlib.suppress(OSError, AssertionError):  # refused or cut off: as it should be
            peer = RawPeer(address)
            peer.requests(REQUESTS)
            peer.ping()
            peer.vanish()
        ended.wait(PAUSE_S)


def flood(address, curve, ended):
    """An admitted client with many connections, each of which asks and reads nothing."""
    ping, context = encode({"endpoint": "ping"}, "npy"), zmq.Context()
    while not ended.is_set():
        sockets = [context.socket(zmq.DEALER) for _ in range(ADMITTED)]
        for peer in sockets:
            peer.set(zmq.LINGER, 0)
            secure_client(peer, curve)
            peer.connect(address)
        for peer in sockets * REQUESTS:
            peer.send_multipart([b"", ping])
        ended.wait(0.1)
        for peer in sockets:
            peer.close()
    context.term()


@contextlib.contextmanager
def running(*threads):
    """Threads that end when the block ends."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.ended.set()
            thread.join(LIMIT_S)


class Flood(threading.Thread):
    """Calls flood or vanish_again_and_again until it is ended."""

    def __init__(self, what, *words):
        self.ended = threading.Event()
        super().__init__(target=what, args=(*words, self.ended))


def asks_on(client, server, token=None):
    """Actions again and again, below the rate that a robot is allowed."""
    for _ in range(ACTIONS):
        assert client.get_action(probe(server, token))["joints"].shape == (4, 3)
        time.sleep(0.03)
    assert client.counts.connections == 1


@pytest.fixture
def golden():
    """HOST:PORT of a policy server in a process of its own."""
    process, port = golden_server()
    yield f"127.0.0.1:{port}"
    end(process)


@pytest.mark.parametrize("strangers", [5, CONNECTIONS])
def test_a_robot_gets_its_actions_while_strangers_fill_queues_and_vanish(
    start_sidecar, client_of, golden, tmp_path, strangers
):
    """Without keys: what they send is read, and refused for its token."""
    token = Token("s3cret-t0ken")
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text(token.reveal())
    words = ("--listen", "127.0.0.1:0", "--token-file", str(tmp_path / "token"))
    proxy = start_sidecar("proxy", "--upstream", golden, *words, "--max-wait-ms", "20000")
    client = client_of(proxy.address, token=token)
    server = client.connect(lambda server: probe(server, token))
    with running(*(Flood(vanish_again_and_again, proxy.address) for _ in range(strangers))):
        asks_on(client, server, token)
    assert proxy.process.poll() is None


def test_a_robot_gets_its_actions_while_strangers_and_an_admitted_client_flood_the_proxy(
    start_sidecar, client_of, golden, keys
):
    """The whole way: proxy and server are processes, the robot has the node's own client."""
    words = ("--listen", "127.0.0.1:0", "--keys", str(keys), "--max-wait-ms", "20000")
    proxy = start_sidecar("proxy", "--upstream", golden, *words)
    robot, other = (
        read_client_keys(keys / "server.public", keys / f"{name}.secret") for name in ("r1", "r2")
    )
    client = client_of(proxy.address, curve=robot)
    server = client.connect(probe)
    floods = [Flood(vanish_again_and_again, proxy.address) for _ in range(CONNECTIONS)]
    with running(Flood(flood, proxy.address, other), *floods):
        asks_on(client, server)
    assert proxy.process.poll() is None


def test_memory_that_the_process_had_before_cuts_nobody_off(monkeypatch):
    """A front may live in a large process, such as one that holds a model."""
    held = iter([3 << 30, (3 << 30) + 1024, (3 << 30) + 1025])
    monkeypatch.setattr(Resident, "bytes", lambda _self: next(held))
    context = zmq.Context()
    front = Front(context, "tcp://127.0.0.1:*", 1024, max_memory_bytes=1024)
    first = front.socket
    front.look_after()
    assert front.socket is first
    front._looked_ns = 0  # a moment later
    front.look_after()
    assert front.socket is not first
    front.close()
    context.destroy(linger=0)
