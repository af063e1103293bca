"""The proxy on real sockets: it forwards allowed requests only, and survives the server's end."""

import contextlib
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zmq
from raw_peer import RawPeer

from gr00t_ros.errors import RefusedError, RemoteError, SettingsError
from gr00t_ros.proxy.core import Limits
from gr00t_ros.proxy.proxy import Proxy, ProxySettings
from gr00t_ros.serve.front import resident_bytes
from gr00t_ros.supervise.launcher import free_port
from gr00t_ros.watch.server import Outlook, advised, outlook_of
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.codec import decode, encode
from gr00t_ros.wire.curve import ClientKeys, new_pair, read_client_keys, read_server_keys
from gr00t_ros.wire.template import RequestTemplate

LIMIT_S = 20.0
MIB = 1024 * 1024
PEERS = Path(__file__).parents[1] / "fixtures" / "peers.py"
PING = encode({"endpoint": "ping"}, "npy")
TOKEN, BEHIND = Token("s3cret-front"), Token("s3cret-behind")
GENERATIONS = {"A0": "A0", "A1": "A1", "A2": "A1", "B2": "B2", "B3": "B2"}


LATE_MACHINE = {"max_wait_ms": 20_000}


@pytest.fixture
def proxy_of():
    """Run proxies in threads of this process; stopped after the test."""
    running = []

    def start(upstream, **settings):
        limits = {name: settings.pop(name) for name in list(settings) if name in Limits.__slots__}
        limits, settings = LATE_MACHINE | limits, {"connect_ms": 20_000} | settings
        proxy = Proxy(ProxySettings(upstream, "tcp://127.0.0.1:*", Limits(**limits), **settings))
        thread = threading.Thread(target=proxy.serve_forever)
        running.append((proxy, thread))
        thread.start()
        return proxy

    yield start
    for proxy, thread in running:
        proxy.stop()
        thread.join(LIMIT_S)
        assert not thread.is_alive(), "the proxy did not stop"
        proxy.close()


@pytest.fixture
def start_peer():
    """Start peers.py, a REP server as upstream's; return (process, port)."""
    running = []

    def start(mode, *arguments, port=0):
        command = [sys.executable, str(PEERS), mode, *arguments, "--port"]
        command.append(str(port or free_port("127.0.0.1")))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process, int(process.stdout.readline().split()[1])

    yield start
    for process in running:
        process.kill()
        process.wait(LIMIT_S)
        process.stdout.close()


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


def of(folder, name="r1"):
    """The keys of one client."""
    return read_client_keys(folder / "server.public", folder / f"{name}.secret")


def error(frame):
    """The text of an error reply."""
    found = decode(frame)
    assert set(found) == {"error"}
    return found["error"]


def until(condition):
    """Wait for a condition, with a generous limit."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.01)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_generation_is_served_through_curve_and_two_tokens(
    serve, proxy_of, client_of, golden_policy, keys, generation
):
    """Connect, recognise, infer, reset; the server sees its own token and never the robot's."""
    server = serve(golden_policy, generation, token=BEHIND)
    proxy = proxy_of(
        server.address, token=TOKEN, upstream_token=BEHIND, keys=read_server_keys(keys)
    )
    client = client_of(proxy.address, token=TOKEN, curve=of(keys))
    found = client.connect(lambda server: probe(server, TOKEN))
    assert found.generation.value == GENERATIONS[generation]
    action = client.get_action(probe(found, TOKEN))
    assert action["joints"].shape == golden_policy.action["joints"].shape[1:]
    assert client.reset() == {}
    assert server.counts.errors == 0 and server.counts.actions >= 1


@pytest.mark.parametrize("token", [None, Token("wrong")])
def test_without_the_token_nothing_reaches_the_server(
    serve, proxy_of, client_of, golden_policy, token
):
    """Not even a ping."""
    server = serve(golden_policy)
    proxy = proxy_of(server.address, token=TOKEN)
    with pytest.raises(RefusedError, match="Unauthorized"):
        client_of(proxy.address, token=token).ping()
    client_of(proxy.address, token=TOKEN).ping()
    assert server.counts.requests == 1


def test_without_the_key_nothing_is_answered_and_nothing_reaches_the_server(
    serve, proxy_of, client_of, golden_policy, keys
):
    """A plain client, and one with a key of its own making."""
    server = serve(golden_policy)
    proxy = proxy_of(server.address, keys=read_server_keys(keys))
    stranger = ClientKeys((keys / "server.public").read_text().strip(), new_pair()[1])
    for curve in (None, stranger):
        with pytest.raises(RefusedError):
            client_of(proxy.address, curve=curve).ping()
    client_of(proxy.address, curve=of(keys)).ping()
    assert server.counts.requests == 1 and proxy.core.counts.requests == 1


def test_kill_and_two_frames_do_not_end_a_server_that_would_die_of_either(
    start_peer, proxy_of, connect
):
    """A REP server as upstream's: shown to die of two frames when it is asked directly."""
    process, port = start_peer("golden", "npy")
    peer = connect(proxy_of(f"tcp://127.0.0.1:{port}").address)
    assert "not forwarded" in error(peer.ask(encode({"endpoint": "kill"}, "npy")))
    peer.socket.send_multipart([PING, PING])
    assert "2 frames" in error(peer.socket.recv())
    assert decode(peer.ask(PING))["status"] == "ok"
    assert process.poll() is None
    direct = connect(f"tcp://127.0.0.1:{port}")
    direct.socket.send_multipart([PING, PING])
    assert process.wait(LIMIT_S) != 0


def test_a_request_above_the_cap_is_told_so_and_one_far_above_is_cut_off(
    serve, proxy_of, connect, golden_policy
):
    """Neither reaches the server."""
    server = serve(golden_policy)
    proxy = proxy_of(server.address, max_request_bytes=10_000)
    assert "at most 10000" in error(connect(proxy.address).ask(bytes(10_001)))
    flood = connect(proxy.address)
    monitor = flood.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    monitor.set(zmq.RCVTIMEO, round(LIMIT_S * 1e3))
    flood.socket.send(bytes(MIB))
    assert monitor.recv_multipart()
    flood.socket.disable_monitor()
    monitor.close(linger=0)
    assert decode(connect(proxy.address).ask(PING))["status"] == "ok"
    assert server.counts.requests == 1


def test_a_peer_that_sends_a_gigabyte_is_cut_off_at_the_cap(
    serve, proxy_of, connect, golden_policy
):
    """At its header already: buffers of the kernel are all it can fill."""
    proxy = proxy_of(serve(golden_policy).address)
    flood = RawPeer(proxy.address)
    flood.socket.sendall(b"\x01\x00" + b"\x02" + struct.pack(">Q", 1 << 30))
    assert flood.is_cut_off_while_sending(bytes(MIB), 64 * MIB)
    flood.socket.close()
    assert decode(connect(proxy.address).ask(PING))["status"] == "ok"


def test_a_peer_whose_message_has_no_end_is_cut_off_before_the_memory_is_full(
    serve, proxy_of, connect, golden_policy
):
    """Frame after frame below the cap, always one more: ZeroMQ would collect them for ever."""
    begun, most = resident_bytes(), 64 * MIB
    proxy = proxy_of(serve(golden_policy).address, max_memory_bytes=most)
    peer = connect(proxy.address)
    assert decode(peer.ask(PING))["status"] == "ok"
    flood = RawPeer(proxy.address)
    part = b"\x03" + struct.pack(">Q", MIB) + bytes(MIB)
    assert flood.is_cut_off_while_sending(part, 4096 * MIB)
    flood.socket.close()
    assert resident_bytes() < begun + most + 512 * MIB
    assert decode(connect(proxy.address).ask(PING))["status"] == "ok"


def test_a_peer_that_trickles_a_request_disturbs_nobody(serve, proxy_of, connect, golden_policy):
    """It costs one connection and the bytes that it has sent."""
    proxy = proxy_of(serve(golden_policy).address)
    slow = RawPeer(proxy.address)
    slow.socket.sendall(b"\x01\x00" + b"\x02" + struct.pack(">Q", 10_000))
    for _ in range(20):
        slow.socket.sendall(b"\0")
        assert decode(connect(proxy.address).ask(PING))["status"] == "ok"
    slow.socket.close()
    assert proxy.core.counts.requests == 20


def test_an_idle_client_is_not_cut_off(serve, proxy_of, connect, golden_policy):
    """TCP's keepalive is answered by its kernel, not by its program."""
    proxy = proxy_of(serve(golden_policy).address, receive_ms=1_000)
    peer = connect(proxy.address)
    monitor = peer.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    assert decode(peer.ask(PING))["status"] == "ok"
    assert not monitor.poll(1_500)
    assert decode(peer.ask(PING))["status"] == "ok"
    peer.socket.disable_monitor()
    monitor.close(linger=0)


def test_the_server_s_death_is_told_at_once_and_its_restart_is_found(
    start_peer, proxy_of, client_of
):
    """Clients stay connected to the proxy all the while."""
    process, port = start_peer("dies", "npy")
    proxy = proxy_of(f"tcp://127.0.0.1:{port}", connect_ms=2_000)
    client = client_of(proxy.address)
    with pytest.raises(RemoteError, match="went away before its reply"):
        client.ping()
    process.wait(LIMIT_S)
    with pytest.raises(RemoteError, match="cannot be reached"):
        client.ping()
    start_peer("golden", "npy", port=port)
    until(lambda: answers(client))
    assert client.counts.connections == 1


def answers(client):
    """Whether a ping comes back."""
    with contextlib.suppress(RemoteError):
        return client.ping() > 0
    return False


def test_a_server_that_is_silent_is_given_up_at_the_deadline(start_peer, proxy_of, client_of):
    """And the socket to it replaced: the next request is not taken for an answer to the first."""
    _, port = start_peer("silent")
    proxy = proxy_of(f"tcp://127.0.0.1:{port}", deadline_ms=200)
    client = client_of(proxy.address)
    for _ in range(2):
        with pytest.raises(RemoteError, match="did not answer in 200 ms"):
            client.ping()
    assert proxy.core.counts.failed == 2


def test_giving_up_again_and_again_leaves_no_descriptor_and_no_thread_behind(
    start_peer, proxy_of, client_of
):
    """A server that is away for a night costs one socket, not one a request."""
    _, port = start_peer("silent")
    proxy = proxy_of(f"tcp://127.0.0.1:{port}", deadline_ms=5)
    client = client_of(proxy.address)
    for number in range(40):
        with pytest.raises(RemoteError, match="did not answer"):
            client.ping()
        if number == 9:
            first = held()
    until(lambda: held() <= first)


def held():
    """How many descriptors and threads this process has."""
    return len(list(Path("/proc/self/fd").iterdir())) + threading.active_count()


def test_a_late_reply_is_never_given_to_the_next_request(start_sidecar, proxy_of, client_of):
    """The first action comes after the deadline; the second is its own."""
    sidecar = start_sidecar(
        "faulty",
        "--embodiment",
        "franka_droid",
        "--port",
        "0",
        "--fault",
        "late=4000:1",
        "--fault",
        "nan:1",
    )
    proxy = proxy_of(sidecar.address, deadline_ms=2000)
    client = client_of(proxy.address, key_style="nested")
    found = client.connect()
    template = droid(found)
    with pytest.raises(RemoteError, match="did not answer"):
        client.get_action(template)
    until(lambda: answers(client))
    action = client.get_action(droid(found))
    assert all((values == values).all() for values in action.values())


def droid(server):
    """A zero observation of the shipped arm."""
    return RequestTemplate(
        {key: (2, 180, 320) for key in ("exterior_image_1_left", "wrist_image_left")},
        {"eef_9d": (1, 9), "gripper_position": (1, 1), "joint_position": (1, 7)},
        "annotation.language.language_instruction",
        generation=server.generation,
        key_style=server.key_style,
        array_codec=server.array_codec,
    )


def test_a_reply_above_the_cap_ends_in_an_error(start_peer, proxy_of, client_of):
    """Neither the proxy nor the robot holds it; the cap of a batch is that of its rows."""
    _, port = start_peer("huge", str(4 * MIB))
    proxy = proxy_of(f"tcp://127.0.0.1:{port}", max_reply_bytes=MIB, batch=3)
    with pytest.raises(RemoteError, match=f"above the proxy's {3 * MIB} bytes"):
        client_of(proxy.address).ping()


@pytest.mark.parametrize(
    ("data", "closes"),
    [
        (b"", True),
        (b"\x01\x00\x00\x09half", True),
        (b"\xff" * 20, False),
        (b"\x01\x00\x02" + struct.pack(">Q", 1 << 40), False),
    ],
)
def test_what_ended_an_exchange_is_told_with_all_that_it_may_be(proxy_of, client_of, data, closes):
    """A server that dies, speaks another language or sends too much: one event of ZeroMQ's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = client_of(proxy_of(f"tcp://127.0.0.1:{listener.getsockname()[1]}").address)
        peer = RawPeer.of(listener)  # the proxy connects when it is made
        with ThreadPoolExecutor(1) as threads:
            asking = threads.submit(client.ping)
            try:
                peer.receive(3)
            except AssertionError:  # asked before the end of the handshake, it connects anew
                peer = RawPeer.of(listener)
                peer.receive(3)
            peer.socket.sendall(data)
            if closes:
                peer.socket.close()
            error = asking.exception(LIMIT_S)
            peer.socket.close()
    for part in ("went away", "no message of ZeroMQ", f"{16 * MIB} bytes"):
        assert part in str(error)
    assert outlook_of(error) is Outlook.PASSES and "see its log" in advised(error)


def test_a_reply_of_several_frames_ends_in_an_error(start_peer, proxy_of, client_of):
    """No client of upstream's could read it."""
    _, port = start_peer("multipart")
    with pytest.raises(RemoteError, match="several frames"):
        client_of(proxy_of(f"tcp://127.0.0.1:{port}").address).ping()


class Gate:
    """The golden policy behind a gate; it notes whose request came when."""

    def __init__(self, inner):
        self.modality, self.reset, self.inner = inner.modality, inner.reset, inner
        self.order, self.open = [], threading.Event()

    def __call__(self, observation, options):
        ((text,),) = next(iter(observation["language"].values()))
        self.order.append(text)
        assert self.open.wait(LIMIT_S)
        return self.inner(observation, options)


def test_robots_take_turns_and_one_that_floods_gets_no_more_than_its_share(
    serve, proxy_of, connect, golden_policy, golden_observation, keys
):
    """The robot with one request comes between the two of the other, though it asked last."""
    policy = Gate(golden_policy)
    proxy = proxy_of(serve(policy).address, keys=read_server_keys(keys), max_wait_ms=20_000)
    sent = []
    for number, name in enumerate(["r1", "r1", "r1", "r2"]):
        text = [[f"{name} {number}"]]
        language = dict.fromkeys(golden_observation["language"], text)
        data = {"observation": golden_observation | {"language": language}}
        sent.append(connect(proxy.address, curve=of(keys, name)))
        sent[-1].socket.send(encode({"endpoint": "get_action", "data": data}, "npy"))
        until(lambda: proxy.core.counts.requests == len(sent))
        until(lambda: policy.order)  # the first one is with the server before the others come
    policy.open.set()
    for peer in sent:
        assert isinstance(decode(peer.socket.recv()), list)
    assert policy.order == ["r1 0", "r1 2", "r2 3", "r1 1"]


def test_a_request_that_cannot_be_served_in_time_is_busy_and_not_sent_later(
    serve, proxy_of, connect, golden_policy, golden_observation
):
    """A stale observation would make a stale motion."""
    policy = Gate(golden_policy)
    proxy = proxy_of(serve(policy).address, max_wait_ms=1_000)
    request = encode({"endpoint": "get_action", "data": {"observation": golden_observation}}, "npy")
    first, second = connect(proxy.address), connect(proxy.address)
    first.socket.send(request)
    until(lambda: policy.order)
    assert error(second.ask(request)) == "busy: waited 1000 ms for its turn"
    policy.open.set()
    assert isinstance(decode(first.socket.recv()), list)
    assert decode(first.ask(PING))["status"] == "ok"
    assert len(policy.order) == 1


@pytest.mark.parametrize(("late_s", "busy"), [(90, 1), (130, 2)])
def test_a_late_pass_of_the_loop_sends_what_an_idle_server_can_take(late_s, busy):
    """It is not answered busy, as a request that had to wait for the server is.

    After twice the time that a request may wait it is: what it shows is long past.
    """
    limits = Limits(max_wait_ms=60_000)
    with Proxy(ProxySettings("tcp://127.0.0.1:9", "tcp://127.0.0.1:*", limits)) as proxy:
        for number in range(2):
            came_ns = time.monotonic_ns() - late_s * 10**9
            proxy.core.request(number, (b"%d" % number, b""), (PING,), came_ns)
        proxy._advance()
        assert proxy.core.counts.busy == busy
        sent = proxy.core.next_event_ns()
        assert (sent is not None and sent > time.monotonic_ns()) == (busy < 2), "with the server"


def test_a_message_without_return_address_is_dropped(serve, proxy_of, connect, golden_policy):
    """A sentinel shows that nothing was answered."""
    peer = connect(proxy_of(serve(golden_policy).address).address, zmq.DEALER)
    peer.socket.send(b"no delimiter")
    peer.socket.send_multipart([b"", PING])
    assert decode(peer.socket.recv_multipart()[1])["status"] == "ok"


def test_an_address_in_use_is_a_settings_error(proxy_of):
    """Two proxies on one port must not both think they serve."""
    first = proxy_of("tcp://127.0.0.1:1")
    with pytest.raises(SettingsError, match="Address already in use"):
        Proxy(ProxySettings("tcp://127.0.0.1:1", first.address))


def test_no_secret_is_in_the_log_or_in_an_error(
    serve, proxy_of, client_of, golden_policy, keys, caplog
):
    """Tokens and keys, of the proxy, the server and the robot, right and wrong ones."""
    caplog.set_level("DEBUG")
    server = serve(golden_policy, token=Token("s3cret-other"))
    proxy = proxy_of(
        server.address, token=TOKEN, upstream_token=BEHIND, keys=read_server_keys(keys)
    )
    said = []
    for token in (TOKEN, Token("s3cret-wrong")):
        with pytest.raises(RefusedError) as caught:
            client_of(proxy.address, token=token, curve=of(keys)).ping()
        said.append(str(caught.value))
    secrets = [path.read_text().strip() for path in keys.glob("*.secret")] + ["s3cret"]
    text = caplog.text + "".join(said) + repr(proxy._settings)
    assert said and not any(secret in text for secret in secrets)
