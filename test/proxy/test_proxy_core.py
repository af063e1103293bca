"""The proxy's rules: one reply to each request, and nothing forbidden is forwarded."""

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gr00t_ros.errors import SettingsError, WireError
from gr00t_ros.proxy.core import RANGES, Limits, ProxyCore
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.codec import decode, encode

MS = 1_000_000
TOKEN, BEHIND = Token("s3cret-front"), Token("s3cret-behind")
PONG = encode({"status": "ok"}, "npy")
SOAK = settings(
    max_examples=100_000, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def frame(endpoint="ping", **fields):
    """A request."""
    return encode({"endpoint": endpoint, **fields}, "npy")


def error(replies):
    """The text of the only reply, which must be an error."""
    (reply,) = replies
    found = decode(reply.frame)
    assert set(found) == {"error"}
    return found["error"]


@pytest.fixture
def make():
    """A core with the limits that are named."""

    def core(token=None, upstream_token=None, **limits):
        return ProxyCore(Limits(**limits), token, upstream_token)

    return core


def ask(core, *frames, client="a", now_ns=0):
    """Send one request."""
    return core.request(client, (client.encode(), b""), frames or (frame(),), now_ns)


def test_a_request_goes_to_the_server_as_it_is_and_its_reply_back(make):
    """To the byte, and to the one who asked."""
    core, request = make(), frame("get_action", data={"observation": {}})
    assert ask(core, request) == ()
    assert bytes(core.next_frame(0)) == request
    (reply,) = core.answered(PONG, 0)
    assert (reply.route, reply.frame) == ((b"a", b""), PONG)
    assert core.next_frame(0) is None


def test_one_at_a_time(make):
    """The server behind does not queue either."""
    core = make()
    for client in "ab":
        ask(core, client=client)
    assert core.next_frame(0) is not None and core.next_frame(0) is None
    assert core.answered(PONG, 0)[0].route[0] == b"a"
    core.next_frame(0)
    assert core.failed("gone", 0)[0].route[0] == b"b"


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ((frame("kill"),), "endpoint 'kill' is not forwarded"),
        ((frame("get_speed_rl_contract"),), "is not forwarded"),
        ((frame(), frame()), "2 frames"),
        ((), "0 frames"),
        ((b"",), "ends early"),
        ((b"\xc1",), "expected"),
        ((frame() + b"\xc0",), "after the message's end"),
        ((frame(data=bytes(2000)),), "2023 bytes, expected at most 2000"),
        ((b"\x82\xa8endpoint\xa4ping\xa8endpoint\xa4kill",), "once"),
    ],
)
def test_what_could_hurt_the_server_is_refused_with_the_reason(make, frames, text):
    """And never comes near it."""
    core = make(max_request_bytes=2000)
    assert text in error(core.request("a", (b"a", b""), frames, 0))
    assert core.next_frame(0) is None and core.counts.refused == 1


def test_an_endpoint_of_a_fork_passes_where_it_is_named_and_kill_never(make):
    """Whatever the operator writes."""
    core = make(endpoints=("get_speed_rl_contract",))
    assert ask(core, frame("get_speed_rl_contract")) == ()
    assert "not forwarded" in error(ask(core, frame("ping")))
    with pytest.raises(SettingsError, match="kill"):
        make(endpoints=("ping", "kill"))


@pytest.mark.parametrize("given_token", [None, "", "s3cret-fron", "s3cret-front2", "s3cret-behind"])
@pytest.mark.parametrize("endpoint", ["ping", "get_action", "kill", "nonsense"])
def test_without_the_token_every_endpoint_says_the_same(make, given_token, endpoint):
    """As upstream does, so that clients know; it does not even tell which endpoints there are."""
    core = make(token=TOKEN, upstream_token=BEHIND)
    fields = {} if given_token is None else {"api_token": given_token}
    assert error(ask(core, frame(endpoint, **fields))) == "Unauthorized: Invalid API token"
    assert core.next_frame(0) is None


@pytest.mark.parametrize("behind", [None, BEHIND])
def test_a_client_s_token_is_never_passed_on(make, behind):
    """The server gets its own token or none."""
    core = make(token=TOKEN, upstream_token=behind)
    assert ask(core, frame(api_token=TOKEN.reveal())) == ()
    forwarded = decode(core.next_frame(0))
    assert forwarded.get("api_token") == (behind.reveal() if behind else None)
    assert forwarded["endpoint"] == "ping"


def test_a_server_that_quotes_its_token_is_not_passed_on(make):
    """The robots are not told it, whatever it says."""
    core = make(token=TOKEN, upstream_token=BEHIND)
    ask(core, frame(api_token=TOKEN.reveal()))
    core.next_frame(0)
    (reply,) = core.answered(encode({"error": f"bad {BEHIND.reveal()}"}, "npy"), 0)
    assert BEHIND.reveal().encode() not in bytes(reply.frame) and "withheld" in error((reply,))


def test_no_secret_is_in_the_repr(make):
    """Of the core, nor of what waits in it or is with the server."""
    core = make(token=TOKEN, upstream_token=BEHIND)
    for _ in range(3):
        ask(core, frame(api_token=TOKEN.reveal()))
        core.next_frame(0)
    assert "s3cret" not in repr(core) and "s3cret" not in str(core.counts)


def test_what_waits_too_long_is_answered_busy_instead_of_being_sent_stale(make):
    """While the server is still with another one."""
    core = make(max_wait_ms=100)
    ask(core, client="a")
    core.next_frame(0)
    ask(core, client="b", now_ns=10 * MS)
    assert core.next_event_ns() == 110 * MS and core.expired(109 * MS) == ()
    assert error(core.expired(110 * MS)) == "busy: waited 100 ms for its turn"
    core.answered(PONG, 110 * MS)
    assert core.next_frame(111 * MS) is None and core.next_event_ns() is None


def test_a_server_that_takes_too_long_is_late_at_its_deadline(make):
    """Counted from when it got the request."""
    core = make(deadline_ms=1000)
    ask(core, now_ns=5 * MS)
    core.next_frame(5 * MS)
    assert core.next_event_ns() == 1005 * MS
    assert not core.is_late(1005 * MS - 1) and core.is_late(1005 * MS)
    assert error(core.failed("it is late", 1005 * MS)) == "it is late"
    assert not core.is_late(2000 * MS)


def test_more_requests_a_second_than_allowed_are_busy_and_cost_the_others_nothing(make):
    """A client in a loop is told, not served."""
    core = make(rate_hz=10.0, burst=2)
    for _ in range(2):
        assert ask(core, client="a") == ()
        core.next_frame(0)
        core.answered(PONG, 0)
    assert "busy: more than 10 requests a second" in error(ask(core, client="a"))
    assert ask(core, client="b") == ()


def test_only_the_newest_requests_of_a_client_wait(make):
    """One that reconnects again and again does not fill the queue with its past."""
    core = make()
    replies = [ask(core, frame(data={"n": n})) for n in range(4)]
    assert [len(reply) for reply in replies] == [0, 0, 1, 1]
    assert "busy" in error(replies[2])
    assert decode(core.next_frame(0))["data"]["n"] == 3


@pytest.mark.parametrize("value", [0, -1, 1e30, float("inf"), float("nan")])
@pytest.mark.parametrize("name", RANGES)
def test_a_limit_that_is_none_is_refused(name, value):
    """Zero would mean something else in each of them, NaN passes every comparison."""
    with pytest.raises(SettingsError, match=rf"{name}: got .*expected {RANGES[name][0]:g} to"):
        Limits(**{name: value})


def test_strangers_are_shed_before_they_wait_and_soon_before_they_are_read(make):
    """Twenty without the token, each with a burst of its own: the good ping is the next frame."""
    core = make(token=TOKEN, burst=20, rate_hz=1.0)
    strangers = [f"stranger {number}" for number in range(20)]
    said = []
    for _ in range(20):
        for client in strangers:
            said.append(error(ask(core, frame(api_token="wrong"), client=client)))
    assert said.count("Unauthorized: Invalid API token") == 20 * 2  # a refused one counts as ten
    assert all("busy" in text for text in said[20 * 2 :])
    assert ask(core, frame(api_token=TOKEN.reveal()), client="robot") == ()
    assert decode(core.next_frame(0))["endpoint"] == "ping"
    assert core.counts.requests == 401 and core.counts.refused == 40


ENDPOINTS = st.sampled_from(["ping", "kill", "get_action", "reset", "get_modality_config", "x"])
DATA = st.binary(max_size=30) | st.integers() | st.none() | st.lists(st.text(max_size=3))
WELL_FORMED = st.fixed_dictionaries(
    {},
    optional={
        "endpoint": ENDPOINTS | st.text(max_size=9) | st.binary(max_size=3),
        "data": DATA | st.dictionaries(st.text(max_size=3), DATA, max_size=3),
        "api_token": st.sampled_from([TOKEN.reveal(), "wrong"]) | st.none(),
        "other": DATA,
    },
).filter(lambda request: _packs(request))


def _packs(request):
    try:
        return bool(msgpack.packb(request))
    except (OverflowError, ValueError):
        return False


@st.composite
def frames(draw):
    """A request, whole, cut, spoilt or made up."""
    whole = msgpack.packb(draw(WELL_FORMED))
    if draw(st.booleans()):
        return whole
    at = draw(st.integers(0, len(whole)))
    return whole[:at] + draw(st.binary(max_size=12)) + whole[at + draw(st.integers(0, 3)) :]


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(frames(), max_size=2), st.integers(0, 200)),
    min_size=1,
    max_size=12,
)


def outermost(data):
    """The request's own map; what is wrong deeper in its data the server itself refuses."""
    pairs = msgpack.unpackb(
        data, object_pairs_hook=list, strict_map_key=False, unicode_errors="replace"
    )
    return dict(pairs)


def every_request_has_one_reply(steps):
    """Whatever comes, whenever; kill, wrong tokens and several frames never reach the server."""
    core = ProxyCore(Limits(max_wait_ms=100, deadline_ms=150, rate_hz=20.0, burst=5), TOKEN)
    now_ns, sent = 0, 0
    for client, parts, wait_ms in steps:
        now_ns += wait_ms * MS
        sent += len(core.expired(now_ns))
        if core.is_late(now_ns):
            core.failed("late", now_ns)
            sent += 1
        sent += len(core.request(client, (client.encode(), b""), parts, now_ns))
        forwarded = core.next_frame(now_ns)
        if forwarded is not None:
            request = outermost(forwarded)
            assert request.get("endpoint", "get_action") in Limits().endpoints
            assert set(request) <= {"endpoint", "data"}
            if wait_ms % 2:
                core.answered(PONG, now_ns)
                sent += 1
    while core.next_event_ns() is not None:
        now_ns = core.next_event_ns()
        sent += len(core.expired(now_ns))
        if core.is_late(now_ns):
            core.failed("late", now_ns)
            sent += 1
        core.next_frame(now_ns)
    counts = core.counts
    assert sent == len(steps) == counts.requests
    assert counts.answered + counts.refused + counts.busy + counts.failed == len(steps)


@given(STEPS)
def test_every_request_has_one_reply(steps):
    """The short form of the fuzz test."""
    every_request_has_one_reply(steps)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@SOAK
@given(STEPS)
def test_every_request_has_one_reply_a_hundred_thousand_times(steps):
    """For `./dev soak`: up to a million requests."""
    every_request_has_one_reply(steps)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@SOAK
@given(frames() | st.binary(max_size=200))
def test_a_hundred_thousand_frames_decode_or_are_refused(data):
    """For `./dev soak`: the decoder raises nothing but its own errors."""
    try:
        decode(data)
    except WireError as problem:
        assert str(problem)
