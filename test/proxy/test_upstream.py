"""The proxy connects to where the server's name points then, and a look-up delays nobody."""

import contextlib
import socket
import threading
import time

import pytest
import zmq

from gr00t_ros.errors import RemoteError
from gr00t_ros.proxy import proxy as proxy_file
from gr00t_ros.proxy import upstream
from gr00t_ros.proxy.core import Limits
from gr00t_ros.proxy.proxy import Proxy, ProxySettings
from gr00t_ros.serve.front import Wake
from gr00t_ros.serve.server import PolicyServer
from gr00t_ros.supervise.launcher import free_port
from gr00t_ros.watch.server import Outlook, outlook_of
from gr00t_ros.wire import address
from gr00t_ros.wire.codec import decode, encode

LIMIT_S = 20.0
NAME = "gpu.test"
OLD, NEW = "127.0.0.1", "127.0.0.2"


class Resolver:
    """Knows one name. host: what it means, None: nothing. go: cleared, it hangs."""

    def __init__(self, known):
        self.host, self.asked, self.go, self._known = OLD, 0, threading.Event(), known
        self.go.set()

    def __call__(self, host, port, *others, **settings):
        if host != NAME:
            return self._known(host, port, *others, **settings)
        self.asked += 1
        self.go.wait(LIMIT_S)
        if self.host is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._known(self.host, port, *others, **settings)


@pytest.fixture
def resolver(monkeypatch):
    """The resolver of this process."""
    made = Resolver(socket.getaddrinfo)
    monkeypatch.setattr(address.socket, "getaddrinfo", made)
    yield made
    made.go.set()


@contextlib.contextmanager
def running(served):
    """A server or proxy in a thread; closed at the end, with its connections."""
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    try:
        yield served
    finally:
        served.stop()
        thread.join(LIMIT_S)
        served.close()


def server_at(policy, host, port=0):
    """A policy server on this address."""
    # a port that nobody gets by chance: some tests use it again, or at another address
    return running(PolicyServer(policy, bind=f"tcp://{host}:{port or free_port(OLD)}"))


def port_of(server):
    """The port of a bound server."""
    return int(server.address.rpartition(":")[2])


@pytest.fixture
def client_before(client_of):
    """Make the client of a proxy before the named server at a port; ended after the test."""
    with contextlib.ExitStack() as stack:

        def start(port, **settings):
            limits = Limits(deadline_ms=settings.pop("deadline_ms", 15_000))
            made = ProxySettings(f"tcp://{NAME}:{port}", "tcp://127.0.0.1:*", limits, **settings)
            return client_of(stack.enter_context(running(Proxy(made))).address)

        yield start


def until_answered(client):
    """Ping until it comes back, with a generous limit."""
    end = time.monotonic() + LIMIT_S
    while True:
        try:
            return client.ping()
        except RemoteError as error:
            assert time.monotonic() < end, f"never answered: {error}"


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_server_that_was_made_anew_is_found_under_its_name(
    resolver, client_before, golden_policy, is_taken
):
    """Nothing goes to its old address, where another server may be: of another robot."""
    with server_at(golden_policy, OLD) as first:
        port = port_of(first)
        client = client_before(port)
        client.ping()
    resolver.host = NEW
    with contextlib.ExitStack() as stack:
        new = stack.enter_context(server_at(golden_policy, NEW, port))
        other = stack.enter_context(server_at(golden_policy, OLD, port)) if is_taken else None
        until_answered(client)
        assert new.counts.requests == 1
        assert other is None or other.counts.requests == 0


@contextlib.contextmanager
def silent_at(place):
    """A peer that speaks ZeroMQ and answers nothing."""
    host, port = place
    with zmq.Context() as context, context.socket(zmq.REP) as peer:
        peer.set(zmq.LINGER, 0)
        peer.bind(f"tcp://{host}:{port}")
        yield


@pytest.mark.parametrize("old", [None, socket.create_server, silent_at])
def test_after_a_failure_the_next_request_goes_where_the_name_points(
    resolver, client_before, golden_policy, old
):
    """Nobody listens at the old address, or a peer that never speaks, or one that never answers."""
    with server_at(golden_policy, NEW) as new, contextlib.ExitStack() as stack:
        port = port_of(new)
        if old is not None:
            stack.enter_context(old((OLD, port)))
        client = client_before(port, connect_ms=200, deadline_ms=200)
        with pytest.raises(RemoteError, match="cannot be reached|did not answer"):
            client.ping()
        resolver.host = NEW
        until_answered(client)


def test_a_resolver_that_hangs_delays_nobody(resolver, client_before, golden_policy, monkeypatch):
    """A request is answered in its time, whatever the look-up does; there is one look-up."""
    monkeypatch.setattr(upstream, "_LOOK_UP_NS", 10**12)
    with server_at(golden_policy, OLD) as first:
        port = port_of(first)
        client = client_before(port, deadline_ms=200)
        until_answered(client)
    resolver.host = NEW
    resolver.go.clear()
    before = resolver.asked
    for _ in range(5):
        with pytest.raises(RemoteError, match="cannot be reached|went away"):
            client.ping()
    assert resolver.asked == before + 1
    with server_at(golden_policy, NEW, port):
        resolver.go.set()
        until_answered(client)


def test_a_name_that_is_unknown_for_a_while_is_named_and_looked_up_again(
    resolver, client_before, golden_policy
):
    """As while a container is made anew: it may pass."""
    with server_at(golden_policy, NEW) as server:
        client = client_before(port_of(server), connect_ms=100)
        resolver.host = None
        with pytest.raises(RemoteError, match=rf"cannot be reached.*{NAME}.*not known") as caught:
            client.ping()
        assert outlook_of(caught.value) is Outlook.PASSES
        resolver.host = NEW
        until_answered(client)


def test_a_look_up_does_not_count_as_the_time_to_connect(resolver, client_before):
    """Where it takes longer than that, no request would ever come to a connection."""
    with socket.socket() as closed:
        closed.bind((OLD, 0))  # and nobody listens
        client = client_before(closed.getsockname()[1], connect_ms=1, deadline_ms=300)
        resolver.go.clear()
        with pytest.raises(RemoteError, match="its name is still being looked up") as caught:
            client.ping()
    assert outlook_of(caught.value) is Outlook.PASSES


class Gate:
    """A look-up that ends when it is let through, once for each `open`."""

    def __init__(self, address):
        self.address, self.asked, self.open = address, 0, threading.Semaphore(0)

    def __call__(self, *_):
        self.asked += 1
        assert self.open.acquire(timeout=LIMIT_S)
        return (self.address,)


@pytest.fixture
def gated(monkeypatch):
    """An upstream without a line whose look-ups are slow, its gate and the server's socket."""
    with zmq.Context() as context, context.socket(zmq.REP) as server:
        server.set(zmq.LINGER, 0)
        server.set(zmq.RCVTIMEO, int(LIMIT_S * 1000))
        port = server.bind_to_random_port("tcp://127.0.0.1")
        made = upstream.Upstream(context, f"tcp://localhost:{port}", 1 << 20)
        gate = Gate(f"tcp://127.0.0.1:{port}")
        monkeypatch.setattr(upstream, "numeric", gate)
        made.give_up("closed")
        yield made, gate, server
        gate.open.release(9)
        made.close()


def test_an_address_by_number_is_not_looked_up(monkeypatch):
    """On a busy machine a thread may start later than a short deadline."""
    with zmq.Context() as context:
        made = upstream.Upstream(context, "tcp://127.0.0.1:9", 1 << 20)
        monkeypatch.setattr(upstream.threading, "Thread", None)
        made.give_up("gone")
        made.send(b"request")
        heard(made)
        assert not made.is_looking_up
        made.close()


def heard(upstream_of_gate):
    """Wait for the next event at its sockets, and take part in it."""
    poller = zmq.Poller()
    for part, events in upstream_of_gate.sockets.items():
        poller.register(part, events)
    assert poller.poll(LIMIT_S * 1000), "nothing ends the wait"
    return upstream_of_gate.progress()


def test_a_look_up_that_outlasts_its_request_serves_the_next_one_and_no_other(gated):
    """Else no request is ever sent where each look-up is slower; once, as it may lead to nobody."""
    made, gate, server = gated
    made.send(b"first")
    made.give_up(upstream.UNREACHABLE)
    gate.open.release()
    assert heard(made) is None
    made.send(b"second")
    while made.is_unsent:
        assert heard(made) is None
    assert (server.recv(), gate.asked) == (b"second", 1)
    made.give_up("late")
    made.send(b"third")
    assert made.is_looking_up
    gate.open.release()
    while made.is_unsent:
        heard(made)
    assert gate.asked == 2


def test_a_look_up_that_ended_long_ago_serves_nobody(gated, monkeypatch):
    """The name may point elsewhere by now."""
    made, gate, _ = gated
    monkeypatch.setattr(upstream, "_FRESH_NS", 0)
    made.send(b"first")
    made.give_up(upstream.UNREACHABLE)
    gate.open.release()
    heard(made)
    made.send(b"second")
    gate.open.release()
    while made.is_unsent:
        heard(made)
    assert gate.asked == 2


@pytest.mark.parametrize("died", [OSError(24, "Too many open files"), ValueError("no host")])
def test_a_look_up_that_dies_is_named_and_the_next_request_looks_up_again(gated, monkeypatch, died):
    """Whatever it dies of: one that counts as under way for ever would be the last."""
    made, gate, server = gated

    def dies(*_):
        raise died

    monkeypatch.setattr(upstream, "numeric", dies)
    made.send(b"first")
    assert heard(made) == f"{upstream.UNREACHABLE}: {died}"
    monkeypatch.setattr(upstream, "numeric", gate)
    gate.open.release()
    made.send(b"second")
    while made.is_unsent:
        assert heard(made) is None
    assert server.recv() == b"second"


class Twice:
    """A ROUTER server that answers each request with its own data, and again `late_s` later."""

    def __init__(self, late_s):
        self._late_s, self._context, self._wake = late_s, zmq.Context(), Wake()
        self._socket = self._context.socket(zmq.ROUTER)
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.address, self.seen = f"tcp://127.0.0.1:{port}", []

    def serve_forever(self):
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake.reader, zmq.POLLIN)
        while not self._wake.asked:
            if self._socket not in dict(poller.poll()):
                continue
            peer, delimiter, frame = self._socket.recv_multipart()
            self.seen.append(decode(frame)["data"])
            answer = [peer, delimiter, encode(self.seen[-1], "npy")]
            self._socket.send_multipart(answer)
            time.sleep(self._late_s)
            self._socket.send_multipart(answer)

    def stop(self):
        self._wake.set()

    def close(self):
        self._socket.close(linger=0)
        self._context.term()


@pytest.mark.parametrize("late_s", [0.0, 0.05])
def test_no_robot_is_given_the_answer_to_another_by_a_server_that_answers_twice(
    client_of, monkeypatch, late_s
):
    """It is refused before another request is sent, which the copy would answer."""
    monkeypatch.setattr(proxy_file, "_MOST_LISTEN_NS", 1_000_000_000)
    with running(Twice(late_s)) as server:
        limits = Limits(max_wait_ms=round(LIMIT_S * 1e3))
        before = running(Proxy(ProxySettings(server.address, "tcp://127.0.0.1:*", limits)))
        with before as proxy:
            one, other = client_of(proxy.address), client_of(proxy.address)
            assert one._call("ping", {"robot": "one"}) == {"robot": "one"}
            with pytest.raises(RemoteError, match="answered a request twice") as caught:
                other._call("ping", {"robot": "other"})
            assert outlook_of(caught.value) is Outlook.PERSON
            assert server.seen == [{"robot": "one"}]
            # On a new connection, where nothing waits.
            assert other._call("ping", {"robot": "other"}) == {"robot": "other"}


def test_a_copy_that_comes_while_nobody_asks_is_refused_at_the_next_request():
    """Nothing is sent on that connection any more."""
    frame = encode({"endpoint": "ping", "data": 1}, "npy")
    with running(Twice(0.0)) as server, zmq.Context() as context:
        made = upstream.Upstream(context, server.address, 1 << 20)
        made.send(frame)
        while (reply := heard(made)) is None:
            pass
        assert decode(reply) == 1
        assert made._line.socket.poll(LIMIT_S * 1e3), "the copy"
        made.send(frame)
        assert made.progress() == upstream.ANSWERED_TWICE
        assert not made.is_unsent and server.seen == [1]
        made.close()


def test_a_reply_without_the_frame_of_a_rep_is_none():
    """What a REQ would leave out in silence, until the deadline."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        server.set(zmq.LINGER, 0)
        address = f"tcp://127.0.0.1:{server.bind_to_random_port('tcp://127.0.0.1')}"
        made = upstream.Upstream(context, address, 1 << 20)
        made.send(b"request")
        while made.is_unsent:
            heard(made)
        peer, *request = server.recv_multipart()
        assert request == [b"", b"request"]
        server.send_multipart([peer, b"answer"])
        while (outcome := heard(made)) is None:
            pass
        assert outcome == "the policy server answered without the empty frame of a REP"
        made.close()
