"""The server on a real socket answers upstream's bytes, and no message can end it."""

import logging
import random
import threading

import pytest
import zmq

from gr00t_ros.errors import SettingsError
from gr00t_ros.serve.server import Delay, PolicyServer
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.codec import decode, encode

PING = encode({"endpoint": "ping"}, "npy")
PONG = {"status": "ok", "message": "Server is running"}
SPEAKERS = [("A1", "npy"), ("A2", "npy"), ("B2", "msgpack_numpy"), ("B3", "msgpack_numpy")]


def _error(frame):
    reply = decode(frame)
    assert set(reply) == {"error"}
    return reply["error"]


@pytest.mark.parametrize(("generation", "codec"), SPEAKERS)
@pytest.mark.parametrize(
    ("exchange", "settings"),
    [
        ("ping", {}),
        ("get_modality_config", {}),
        ("get_action", {}),
        ("reset", {}),
        ("unknown_endpoint", {}),
        ("bad_dtype", {}),
        ("kill", {"allow_kill": True}),
        ("unauthorized", {"token": Token("secret")}),
        ("get_action_flat", {"flat": True}),
    ],
)
def test_golden_requests_get_the_golden_replies_to_the_byte(
    serve, connect, golden_policy, golden_bytes, generation, codec, exchange, settings
):
    """What upstream's classes exchanged is what ours exchange."""
    server = serve(golden_policy, generation, **settings)
    reply = connect(server.address).ask(golden_bytes(f"{codec}.{exchange}.request.bin"))
    assert reply == golden_bytes(f"{codec}.{exchange}.reply.bin")


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"garbage", b"\x01", encode([1], "npy"), b"\xc0"])
def test_what_is_no_request_gets_an_error_and_the_server_lives_on(
    serve, connect, golden_policy, frame
):
    """Upstream answers garbage, an empty frame and a non-map with an error too."""
    peer = connect(serve(golden_policy).address)
    assert _error(peer.ask(frame))
    assert decode(peer.ask(PING)) == PONG


def test_a_two_frame_request_gets_an_error_and_does_not_end_the_server(
    serve, connect, golden_policy
):
    """A REP socket dies of it; this is why ours is a ROUTER."""
    peer = connect(serve(golden_policy).address)
    peer.socket.send_multipart([PING, PING])
    assert "2 frames" in _error(peer.socket.recv())
    assert decode(peer.ask(PING)) == PONG


def test_a_message_without_return_address_is_dropped_and_counted(serve, connect, golden_policy):
    """A DEALER without REQ's delimiter cannot be answered; a sentinel shows that nothing was."""
    server = serve(golden_policy)
    peer = connect(server.address, zmq.DEALER)
    peer.socket.send(b"no delimiter")
    peer.socket.send_multipart([b"", PING])
    assert peer.socket.recv_multipart() == [b"", encode(PONG, "npy")]
    assert server.counts.dropped == 1


def test_an_envelope_of_several_hops_is_given_back_whole(serve, connect, golden_policy):
    """A queue device between client and server needs every frame up to the delimiter."""
    peer = connect(serve(golden_policy).address, zmq.DEALER)
    peer.socket.send_multipart([b"hop", b"", PING])
    assert peer.socket.recv_multipart() == [b"hop", b"", encode(PONG, "npy")]


def test_a_request_above_the_cap_gets_an_error_that_names_both_sizes(serve, connect, golden_policy):
    """It is refused before it is decoded."""
    peer = connect(serve(golden_policy, max_request_bytes=1000).address)
    text = _error(peer.ask(bytes(1001)))
    assert "1001" in text and "1000" in text
    assert decode(peer.ask(PING)) == PONG


def test_a_client_that_sends_far_too_much_loses_its_connection_and_nobody_else(
    serve, connect, golden_policy
):
    """Twice the cap is not even received."""
    server = serve(golden_policy, max_request_bytes=1000)
    flood = connect(server.address)
    monitor = flood.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    monitor.set(zmq.RCVTIMEO, 20_000)
    flood.socket.send(bytes(2001))
    assert monitor.recv_multipart()
    flood.socket.disable_monitor()
    monitor.close(linger=0)
    assert decode(connect(server.address).ask(PING)) == PONG
    assert server.counts.requests == 1


def test_a_client_that_leaves_before_its_reply_disturbs_nobody(serve, connect, golden_policy):
    """Its reply is lost, the next client is served."""
    server = serve(golden_policy)
    gone = connect(server.address)
    gone.socket.send(PING)
    gone.socket.close()
    assert decode(connect(server.address).ask(PING)) == PONG


def test_kill_is_refused_unless_it_is_allowed(serve, connect, golden_policy):
    """Upstream lets anybody end the server; ours stays and says so."""
    peer = connect(serve(golden_policy).address)
    assert "not allowed" in _error(peer.ask(encode({"endpoint": "kill"}, "npy")))
    assert decode(peer.ask(PING)) == PONG


def test_an_allowed_kill_is_answered_nil_and_ends_the_loop(connect, golden_policy):
    """The reply leaves before the socket goes."""
    with PolicyServer(golden_policy, allow_kill=True) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert connect(server.address).ask(encode({"endpoint": "kill"}, "npy")) == b"\xc0"
        thread.join(20.0)
        assert not thread.is_alive()


def test_stop_ends_a_server_in_the_middle_of_an_artificial_delay(
    connect, golden_policy, golden_bytes
):
    """Half an hour of inference time must not be half an hour of waiting for the end."""
    entered = threading.Event()
    policy = _Announcing(golden_policy, entered)
    with PolicyServer(policy, delay=Delay(mean_ms=1.8e6)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        connect(server.address).socket.send(golden_bytes("msgpack_numpy.get_action.request.bin"))
        assert entered.wait(20.0)
        server.stop()
        thread.join(20.0)
        assert not thread.is_alive()


class _Announcing:
    def __init__(self, policy, entered):
        self.modality = policy.modality
        self._policy = policy
        self._entered = entered

    def __call__(self, observation, options):
        self._entered.set()
        return self._policy(observation, options)


def test_stop_after_close_and_twice_is_harmless(golden_policy):
    """A late signal finds nothing to stop."""
    server = PolicyServer(golden_policy)
    server.stop()
    server.serve_forever()
    server.close()
    server.close()
    server.stop()


def test_the_token_never_reaches_the_log(serve, connect, golden_policy, caplog):
    """Not in a good request, not in a refused one, not where a client puts it elsewhere."""
    caplog.set_level(logging.DEBUG)
    server = serve(golden_policy, token=Token("s3cret-t0ken"))
    peer = connect(server.address)
    for request in (
        {"endpoint": "ping", "api_token": "s3cret-t0ken"},
        {"endpoint": "s3cret-t0ken", "api_token": "s3cret-t0ken"},
        {"endpoint": "ping", "api_token": "wrong"},
    ):
        peer.ask(encode(request, "npy"))
    assert len(caplog.messages) == 3
    assert not any("s3cret" in line for line in caplog.messages)


def test_a_log_line_stays_one_line_whatever_the_client_sends(serve, connect, golden_policy, caplog):
    """No client writes lines of its own into our log."""
    peer = connect(serve(golden_policy).address)
    peer.ask(encode({"endpoint": "x\nERROR all is well\n"}, "npy"))
    assert [line.count("\n") for line in caplog.messages] == [0]


def test_requests_actions_and_errors_are_counted(serve, connect, golden_policy, golden_bytes):
    """One of each, and a ping."""
    server = serve(golden_policy)
    peer = connect(server.address)
    peer.ask(golden_bytes("msgpack_numpy.get_action.request.bin"))
    peer.ask(golden_bytes("msgpack_numpy.bad_dtype.request.bin"))
    peer.ask(PING)
    counts = server.counts
    assert (counts.requests, counts.actions, counts.errors, counts.dropped) == (3, 1, 1, 0)


def test_an_address_in_use_is_a_settings_error_that_names_it(serve, golden_policy):
    """Two sidecars on one port must not both think they serve."""
    address = serve(golden_policy).address
    with pytest.raises(SettingsError, match=address):
        PolicyServer(golden_policy, bind=address)


def test_an_unknown_generation_is_a_settings_error_that_lists_the_known(golden_policy):
    """Before anything is bound."""
    with pytest.raises(SettingsError, match="A0, A1, A2, B2, B3"):
        PolicyServer(golden_policy, "C1")


def test_the_same_seed_draws_the_same_delays_within_the_spread():
    """A slow run can be repeated."""
    delay = Delay(mean_ms=100.0, jitter_ms=20.0)
    first, second = random.Random(7), random.Random(7)
    drawn = [delay.draw_s(first) for _ in range(50)]
    assert drawn == [delay.draw_s(second) for _ in range(50)]
    assert min(drawn) >= 0.080 and max(drawn) <= 0.120 and max(drawn) - min(drawn) > 0.01


def test_each_further_row_of_a_batch_adds_its_time():
    """As on a GPU: the first row costs most."""
    delay = Delay(mean_ms=50.0, row_ms=5.0)
    assert [delay.draw_s(random.Random(7), rows) for rows in (1, 8)] == [0.050, 0.085]
    with pytest.raises(SettingsError, match="-1.0 ms a row"):
        Delay(row_ms=-1.0)


@pytest.mark.parametrize(("mean", "jitter"), [(-1.0, 0.0), (10.0, 20.0), (float("nan"), 0.0)])
def test_a_delay_that_could_be_negative_is_refused(mean, jitter):
    """A server cannot answer before it was asked."""
    with pytest.raises(SettingsError, match="0 <= jitter <= mean"):
        Delay(mean, jitter)


def test_generation_t_answers_error_to_msgpack_and_a_zip_to_a_zip(serve, connect, golden_policy):
    """What a client of today gets from the pickling servers, without a pickle."""
    peer = connect(serve(golden_policy, "T").address)
    assert peer.ask(PING) == b"ERROR"
    assert peer.ask(b"PK\x03\x04").startswith(b"PK")
