"""client: every call ends by its deadline with a reply or one of our errors, whatever the peer."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zmq
from raw_peer import RawPeer

from gr00t_ros.errors import (
    ClosedError,
    DeadlineError,
    RefusedError,
    RemoteError,
    ResetError,
    SettingsError,
    TooLargeError,
    UnreachableError,
    WireError,
)
from gr00t_ros.serve.front import Wake
from gr00t_ros.supervise.launcher import free_port
from gr00t_ros.watch.server import Outlook, advised, outlook_of
from gr00t_ros.wire import client as client_module
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.client import ClientCounts, PolicyServerClient
from gr00t_ros.wire.codec import decode, encode
from gr00t_ros.wire.messages import Generation
from gr00t_ros.wire.template import RequestTemplate

PEERS = Path(__file__).parents[1] / "fixtures" / "peers.py"
TABLE = json.loads((PEERS.parents[1] / "golden" / "golden.json").read_text())
LIMIT_S = 20.0
PATIENT_MS = 20_000
SHORT_MS = 400
CONNECTED_MS = 2_000  # a busy machine connects in less


@pytest.fixture
def start_peer():
    """Start peers.py; return (process, port)."""
    running = []

    def start(mode, *arguments, port=0):
        command = [sys.executable, str(PEERS), mode, *arguments, "--port"]
        command.append(str(port or free_port("127.0.0.1")))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        ready, port = process.stdout.readline().split()
        assert ready == "READY"
        return process, int(port)

    yield start
    for process in running:
        process.kill()
        process.wait(LIMIT_S)
        process.stdout.close()


@pytest.fixture
def client_of():
    """Make clients that are closed afterwards."""
    made = []

    def make(port, timeout_ms=PATIENT_MS, **settings):
        made.append(PolicyServerClient("127.0.0.1", port, timeout_ms, **settings))
        return made[-1]

    yield make
    for client in made:
        client.close()


def probe(server):
    """A zero observation of the golden embodiment."""
    return RequestTemplate(
        {"cam_a": (1, 4, 4), "cam_b": (1, 4, 4)},
        {"joints": (1, 3)},
        "annotation.human.task_description",
        generation=server.generation,
        key_style=server.key_style,
        array_codec=server.array_codec,
    )


@pytest.mark.parametrize(
    ("codec", "generation"), [("npy", Generation.A1), ("msgpack_numpy", Generation.B2)]
)
@pytest.mark.parametrize(("mode", "style"), [("golden", "nested"), ("flat", "flat")])
def test_generation_codec_and_key_style_are_found_and_an_action_comes_back(
    start_peer, client_of, codec, generation, mode, style
):
    """The whole exchange against golden replies, nothing configured."""
    _, port = start_peer(mode, codec)
    client = client_of(port)
    server = client.connect(probe)
    assert (server.generation, server.array_codec, server.key_style) == (generation, codec, style)
    assert server.modality["action"].keys == ("joints",)
    assert server.ping_ns > 0
    action = client.get_action(probe(server))
    expected = np.array(TABLE["expected_action"]["joints"]["values"], np.float32)
    np.testing.assert_array_equal(action["joints"], expected)


@pytest.mark.parametrize("content", [None, {}, [], [1], 7, "done", True])
def test_a_reset_is_done_whatever_is_replied_unless_it_is_an_error(
    serve, golden_policy, client_of, content
):
    """A foreign server sends what its policy returns, and Python's own reset returns nothing."""

    class Foreign:
        def __init__(self, inner):
            self.refuse, self._inner = inner.refuse, inner

        def answer(self, frame, max_bytes):
            answer = self._inner.answer(frame, max_bytes)
            is_reset = answer.endpoint == "reset"
            return replace(answer, frame=encode(content, "npy")) if is_reset else answer

    server = serve(golden_policy, around=Foreign)
    client = client_of(int(server.address.rpartition(":")[2]), key_style="nested")
    client.connect()
    assert client.reset() == {}
    assert client.counts.errors == client.counts.invalid == 0


def test_a_configured_key_style_needs_no_probe(start_peer, client_of):
    """Nothing but ping and the modality config is asked."""
    _, port = start_peer("picky", "npy")
    assert client_of(port, key_style="flat").connect().key_style == "flat"
    with pytest.raises(SettingsError, match="probe"):
        client_of(port).connect()


def test_a_server_that_takes_no_key_style_is_refused_with_both_answers(start_peer, client_of):
    """The operator reads what the server said to each."""
    _, port = start_peer("styleless", "npy")
    with pytest.raises(RefusedError, match=r"no key style.*nested.*'video\.cam_a'.*flat.*'video'"):
        client_of(port).connect(probe)


@pytest.mark.parametrize(
    ("mode", "words"),
    [("busy", "busy: waited"), ("picky", "do not like it"), ("wide", "broadcast")],
)
def test_other_errors_to_the_probe_are_not_taken_for_the_key_style(
    start_peer, client_of, mode, words
):
    """They are told as the server said them, and what may pass is no refusal."""
    _, port = start_peer(mode, "npy")
    client = client_of(port)
    with pytest.raises(RemoteError, match=words) as caught:
        client.connect(probe)
    assert "key style" not in str(caught.value)
    asked = client.counts.requests - 2  # ping and the modality config
    assert asked == (2 if mode == "picky" else 1)


def test_flat_keys_are_found_behind_words_that_nobody_knows(start_peer, client_of):
    """An answer is the proof."""
    _, port = start_peer("unknown-flat", "npy")
    assert client_of(port).connect(probe).key_style == "flat"


def test_what_the_probe_raises_passes_through(start_peer, client_of):
    """It may compare the modality config and refuse with its own list."""
    _, port = start_peer("golden", "npy")

    def refuse(server):
        raise RefusedError(f"wrong cameras: {server.modality['video'].keys}")

    with pytest.raises(RefusedError, match="wrong cameras"):
        client_of(port).connect(refuse)


def test_get_action_before_connect_is_refused(client_of):
    """The reply's form would be a guess."""
    with pytest.raises(RefusedError):
        client_of(free_port("127.0.0.1")).get_action(b"\x80")


def test_nobody_listening_is_unreachable(client_of):
    """By the deadline."""
    with pytest.raises(UnreachableError, match="nobody listens"):
        client_of(free_port("127.0.0.1"), SHORT_MS).ping()


def test_a_name_that_does_not_resolve_is_unreachable():
    """Not a ZeroMQ error, and not for ever."""
    client = PolicyServerClient("no-such-host.invalid", 5555, SHORT_MS)
    with pytest.raises(UnreachableError):
        client.ping()
    client.close()


@pytest.mark.parametrize("mode", ["silent", "mute", "trickle-greeting", "trickle-reply"])
def test_a_peer_that_listens_but_does_not_answer_is_cut_by_the_deadline(
    start_peer, client_of, mode
):
    """Trickled bytes do not extend it: the whole reply would take hours."""
    _, port = start_peer(mode)
    start = time.monotonic()
    with pytest.raises(DeadlineError):
        client_of(port, CONNECTED_MS).ping()
    assert time.monotonic() - start < LIMIT_S


def test_a_peer_that_hangs_up_at_once_is_unreachable(start_peer, client_of):
    """A forwarder accepts although no server is behind it."""
    _, port = start_peer("hang-up")
    with pytest.raises(UnreachableError):
        client_of(port, CONNECTED_MS).ping()


def test_a_peer_that_speaks_another_protocol_is_a_wire_error(start_peer, client_of):
    """At once: waiting cannot help."""
    _, port = start_peer("http")
    with pytest.raises(WireError):
        client_of(port).ping()


def test_a_peer_that_speaks_another_protocol_first_is_a_wire_error(
    start_peer, client_of, monkeypatch
):
    """Also if its bytes come before the request could be sent, as on a busy machine.

    libzmq takes them for a message of ZeroMQ's first protocol, here for one that is too long.
    """
    monkeypatch.setattr(client_module.Connection, "_sent", lambda self, message: False)
    _, port = start_peer("http")
    with pytest.raises(WireError, match="does not speak ZeroMQ"):
        client_of(port, max_reply_bytes=50).ping()


def test_bytes_that_libzmq_takes_for_a_message_are_no_reply(start_peer, client_of, monkeypatch):
    """They were there before the request: no reply has more right to be taken for an answer."""
    send = client_module.Connection._sent

    def late(connection, message):
        assert connection._socket.poll(round(LIMIT_S * 1e3))
        return send(connection, message)

    monkeypatch.setattr(client_module.Connection, "_sent", late)
    _, port = start_peer("http")
    with pytest.raises(WireError, match="the peer is no policy server"):
        client_of(port).ping()


@pytest.mark.parametrize(
    ("mode", "argument", "error"),
    [
        ("text", "ERROR", RefusedError),
        ("text", "PK torch", RefusedError),
        ("text", "garbage", WireError),
        ("text", "", WireError),
        ("multipart", "-", WireError),
        ("huge", "200000", TooLargeError),
        ("dies", "-", UnreachableError),
    ],
)
def test_bad_replies_are_typed_errors_long_before_the_deadline(
    start_peer, client_of, mode, argument, error
):
    """A patient deadline shows that none of them is waited out."""
    _, port = start_peer(mode, argument)
    start = time.monotonic()
    with pytest.raises(error):
        client_of(port, 10 * PATIENT_MS, max_reply_bytes=100_000).ping()
    assert time.monotonic() - start < 5 * LIMIT_S


CAP = 100_000
ENDINGS = {
    "farewell": lambda peer: peer.socket.close(),
    "reset": RawPeer.vanish,
    "too much": lambda peer: peer.socket.sendall(b"\x02" + (CAP + 1).to_bytes(8, "big") + b"x"),
}


@pytest.fixture
def ended_after_the_request():
    """Listen; end each connection as one of ENDINGS once its request is there; return the port."""
    stack = contextlib.ExitStack()

    def start(ending, times):
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        kept = []

        def serve():
            while len(kept) < times and listener.fileno() >= 0:
                with contextlib.suppress(OSError, AssertionError):  # who only asks who listens
                    kept.append(RawPeer.of(listener))
                    end(kept[-1])

        def end(peer):
            peer.receive(5)  # of a message of REQ's: the delimiter, and of the body
            peer.socket.recv(65_536)
            ENDINGS[ending](peer)

        thread = threading.Thread(target=serve)
        thread.start()
        stack.callback(lambda: [peer.socket.close() for peer in kept])
        stack.callback(thread.join, LIMIT_S)
        return listener.getsockname()[1]

    with stack:
        yield start


@pytest.mark.parametrize(
    ("ending", "error", "words"),
    [
        ("farewell", ClosedError, "the server closed the connection before its reply; see its log"),
        ("reset", ClosedError, "the server closed the connection before its reply; see its log"),
        ("too much", TooLargeError, f"the server sent more than {CAP} bytes"),
    ],
)
def test_a_server_that_cuts_us_off_is_told_from_one_that_answers_too_much(
    ended_after_the_request, client_of, ending, error, words
):
    """A proxy without memory cuts all off, and an overload passes; a wrong answer does not."""
    client = client_of(ended_after_the_request(ending, times=3), max_reply_bytes=CAP)
    for _ in range(3):
        with pytest.raises(WireError if error is TooLargeError else UnreachableError) as caught:
            client.ping()
        assert type(caught.value) is error and words in str(caught.value)


def test_where_who_ended_it_is_not_known_it_may_pass_and_both_causes_are_named(
    ended_after_the_request, client_of, monkeypatch
):
    """ZeroMQ's descriptor was another's already when it was looked at."""
    monkeypatch.setattr(client_module, "_port_of_peer", lambda own: None)
    client = client_of(ended_after_the_request("too much", times=1), max_reply_bytes=CAP)
    both = f"closed the connection before its reply, or sent more than {CAP} bytes"
    with pytest.raises(ClosedError, match=both):
        client.ping()


def test_the_client_works_again_after_a_failure(start_peer, client_of):
    """Garbage of several frames, then a good server at the same port."""
    process, port = start_peer("multipart")
    client = client_of(port)
    with pytest.raises(WireError):
        client.ping()
    process.kill()
    process.wait(LIMIT_S)
    start_peer("golden", "npy", port=port)
    assert client.ping() > 0


def test_a_late_reply_is_never_taken_for_the_next_answer(start_peer, client_of):
    """The modality config is asked after a ping that timed out: its own reply must come."""
    _, port = start_peer("late", "6.0")
    client = client_of(port, CONNECTED_MS, key_style="nested")
    with pytest.raises(DeadlineError):
        client.ping()
    client._timeout_ms = PATIENT_MS
    assert client.connect().modality["video"].keys == ("cam_a", "cam_b")


@pytest.fixture
def twice():
    """A ROUTER server, as forks have it, that answers with `frames(old, new)`; its port and log.

    old: the answer before, of whichever request; new: this one's. All are sent at once.
    """
    stack = contextlib.ExitStack()

    def start(frames):
        context = zmq.Context()
        server, wake = context.socket(zmq.ROUTER), Wake()
        port, seen = server.bind_to_random_port("tcp://127.0.0.1"), []

        def serve():
            poller, old = zmq.Poller(), None
            poller.register(server, zmq.POLLIN)
            poller.register(wake.reader, zmq.POLLIN)
            while not wake.asked:
                if server not in dict(poller.poll()):
                    continue
                peer, *message = server.recv_multipart()
                seen.append(message)
                new = encode({"status": "ok", "number": len(seen)}, "npy")
                for reply in frames(old, new):
                    server.send_multipart([peer, b"", reply])
                old = new
            server.close(linger=0)

        thread = threading.Thread(target=serve)
        thread.start()
        stack.callback(context.term)
        stack.callback(thread.join, LIMIT_S)
        stack.callback(wake.set)
        return port, seen

    with stack:
        yield start


@pytest.mark.parametrize(
    ("frames", "requests"),
    [
        (lambda old, new: [new, new], 1),
        (lambda old, new: [new] if old is None else [old, new], 2),
    ],
    ids=["twice", "the one before first"],
)
def test_whoever_answers_a_request_twice_is_refused_at_the_next(twice, client_of, frames, requests):
    """Before it is sent: from then on each answer could be that to the observation before."""
    port, seen = twice(frames)
    client = client_of(port)
    for _ in range(requests):
        client.ping()
    assert client._connection._socket.poll(round(LIMIT_S * 1e3)), "the answer that is too much"
    with pytest.raises(RefusedError, match="a second time, expected one answer to each"):
        client.ping()
    assert len(seen) == requests
    client.ping()  # on a new connection, where nothing waits
    assert all(message == [b"", encode({"endpoint": "ping"}, "npy")] for message in seen)


def test_a_second_answer_is_listened_for_once_on_each_connection(twice, client_of, monkeypatch):
    """A good server costs one wait, of 20 ms to 0.3 s; whoever answers twice is refused in it."""
    monkeypatch.setattr(client_module, "_LEAST_LISTEN_NS", 1_000_000_000)
    monkeypatch.setattr(client_module, "_MOST_LISTEN_NS", 1_000_000_000)
    port, _ = twice(lambda old, new: [new])
    client, waits_s = client_of(port), []
    for _ in range(2):
        client.ping()
        start_s = time.monotonic()
        client.listen_once()
        waits_s.append(time.monotonic() - start_s)
    assert waits_s[0] >= 0.9 > waits_s[1]
    other = client_of(twice(lambda old, new: [new, new])[0])
    other.ping()
    with pytest.raises(RefusedError, match="a second time, expected one answer to each"):
        other.listen_once()
    other.ping()  # on a new connection


@pytest.mark.parametrize(("slowest_ms", "listens_ms"), [(1, 20), (200, 200), (5000, 300)])
def test_it_listens_as_long_as_the_slowest_answer_took(
    start_peer, client_of, monkeypatch, slowest_ms, listens_ms
):
    """A copy that was taken for the last answer made that fast; never long for a good server."""
    _, port = start_peer("golden", "npy")
    client = client_of(port)
    client.ping()
    connection, waits_ms = client._connection, []
    polled = SimpleNamespace(poll=waits_ms.append)
    monkeypatch.setattr(connection, "_socket", polled)
    monkeypatch.setattr(connection, "_slowest_ns", slowest_ms * 1_000_000)
    monkeypatch.setattr(connection, "_refuse_unasked", lambda *_: None)
    connection.listen_once("here")
    connection.listen_once("here")
    monkeypatch.undo()
    assert waits_ms == [listens_ms]


def test_a_server_that_restarts_between_calls_is_found_again(start_peer, client_of):
    """The link that died in between is replaced."""
    process, port = start_peer("golden", "npy")
    client = client_of(port)
    assert client.ping() > 0
    process.kill()
    process.wait(LIMIT_S)
    start_peer("golden", "npy", port=port)
    assert client.ping() > 0


def test_a_server_that_starts_during_the_call_is_found(start_peer, client_of):
    """The deadline is the limit, not the first refusal."""
    port = free_port("127.0.0.1")
    client = client_of(port)
    starting = threading.Thread(target=start_peer, args=("golden", "npy"), kwargs={"port": port})
    starting.start()
    assert client.ping() > 0
    starting.join(LIMIT_S)


def test_the_token_never_shows_in_an_error(start_peer, client_of):
    """Even when the server quotes it."""
    _, port = start_peer("echo-token")
    with pytest.raises(RemoteError, match="api token") as error:
        client_of(port, token=Token("s3cret")).ping()
    assert "s3cret" not in str(error.value)


def test_every_request_is_counted_by_how_it_ended(start_peer, client_of):
    """What diagnostics show of the network, the server and the bytes."""
    limits_ms = {DeadlineError: CONNECTED_MS, UnreachableError: SHORT_MS, WireError: PATIENT_MS}
    _, silent = start_peer("silent")
    _, garbage = start_peer("text", "garbage")
    _, picky = start_peer("picky", "npy")
    for port, errors, field in (
        (silent, DeadlineError, "timeouts"),
        (free_port("127.0.0.1"), UnreachableError, "unreachable"),
        (garbage, WireError, "invalid"),
    ):
        client = client_of(port, limits_ms[errors])
        with pytest.raises(errors):
            client.ping()
        assert (client.counts.requests, getattr(client.counts, field)) == (1, 1), field
        assert client.counts.replies == 0
    client = client_of(picky, key_style="nested")
    server = client.connect()
    with pytest.raises(RemoteError):
        client.get_action(probe(server))
    assert client.counts == ClientCounts(connections=1, requests=3, replies=2, errors=1)


def test_reset_returns_the_servers_map(start_peer, client_of):
    """The golden policy has nothing to say."""
    _, port = start_peer("golden", "npy")
    assert client_of(port).reset() == {}


class WithoutOptions:
    """Refuses a reset that has options, as Python does for ``def reset(self)``: data is keywords.

    asked: the data of each reset.
    """

    def __init__(self, inner):
        self.refuse, self._inner, self.asked = inner.refuse, inner, []

    def answer(self, frame, max_bytes):
        request = decode(frame)
        if request.get("endpoint") != "reset":
            return self._inner.answer(frame, max_bytes)
        self.asked.append(request["data"])
        if request["data"]:
            return self.refuse("Policy.reset() got an unexpected keyword argument 'options'")
        return self._inner.answer(frame, max_bytes)


def test_a_reset_that_takes_no_options_is_asked_for_without_them(serve, golden_policy, client_of):
    """It is the episode's; one that names a robot would be another's without its options."""
    made = []

    def around(inner):
        made.append(WithoutOptions(inner))
        return made[0]

    server = serve(golden_policy, around=around)
    client = client_of(int(server.address.rpartition(":")[2]))
    client.begin_episode()
    assert made[0].asked == [{"options": None}, {}]
    with pytest.raises(ResetError, match="unexpected keyword argument 'options'") as caught:
        client.reset({"robot_id": "left"})
    assert made[0].asked[2:] == [{"options": {"robot_id": "left"}}]
    assert outlook_of(caught.value) is Outlook.PERSON and "clear robot_id" in advised(caught.value)


def test_a_process_exits_after_a_timeout_with_no_server():
    """Upstream's client hangs in context termination here (wire.md 2)."""
    program = (
        "from gr00t_ros.wire.client import PolicyServerClient\n"
        f"client = PolicyServerClient('127.0.0.1', {free_port('127.0.0.1')}, 200)\n"
        "try:\n    client.ping()\nexcept Exception as error:\n    print(type(error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=3 * LIMIT_S,
        cwd=PEERS.parents[2],
        check=True,
    )
    assert done.stdout.strip() == "UnreachableError"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("robot.local", "tcp://robot.local:5555"),
        ("10.0.0.7", "tcp://10.0.0.7:5555"),
        ("::1", "tcp://[::1]:5555"),
        ("[fe80::1%eth0]", "tcp://[fe80::1%eth0]:5555"),
    ],
)
def test_hosts_become_zeromq_addresses(host, address):
    """IPv6 literals get their brackets once."""
    client = PolicyServerClient(host, 5555)
    assert client.address == address
    client.close()


@pytest.mark.parametrize(
    ("host", "port"),
    [
        *(("", 5555), ("*", 5555), ("a b", 1), ("h", 0), ("h", 65536)),
        *(("gpu:5555", 5555), ("[::1]:5555", 5555), ("tcp://gpu", 5555), ("ffff::1::2", 5)),
    ],
)
def test_hosts_and_ports_that_cannot_be_are_refused(host, port):
    """At construction, not at the first call, where a port in a host is an unknown name."""
    with pytest.raises(SettingsError, match="expected a name or an address without a port"):
        PolicyServerClient(host, port)


def test_each_request_is_what_the_template_holds_when_it_is_sent(serve, client_of, golden_policy):
    """The client hands ZeroMQ the same memory again and again, and copies nothing of it.

    Pixels in two templates by turns, another instruction, more templates than it remembers.
    """
    port = int(serve(golden_policy).address.rpartition(":")[2])
    client = client_of(port, key_style="nested")
    server = client.connect()
    templates = [probe(server) for _ in range(6)]
    sent = []
    for number in range(24):
        template = templates[number % (2 if number < 12 else len(templates))]
        template.video["cam_a"][...] = number
        template.set_instruction(f"task {number // 12}")
        client.get_action(template)
        sent.append((number, f"task {number // 12}"))
    seen = [
        (int(each["video"]["cam_a"].max()), next(iter(each["language"].values()))[0][0])
        for each in golden_policy.observations
    ]
    assert seen == sent
    assert client.counts.connections == 1
