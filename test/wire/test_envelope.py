"""envelope: read without decoding, it is the request that upstream's reader sees, or refused."""

import sys

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.errors import WireError
from gr00t_ros.wire import envelope as module
from gr00t_ros.wire.codec import MAX_DEPTH
from gr00t_ros.wire.envelope import MAX_VALUES, read_envelope

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=300)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=30,
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
REQUESTS = st.fixed_dictionaries(
    {}, optional={"endpoint": TEXTS, "data": VALUES, "api_token": TEXTS | st.none()}
).flatmap(lambda request: st.permutations(list(request.items())).map(dict))


@given(REQUESTS)
def test_a_request_is_read_as_upstream_reads_it(request):
    """Endpoint, token and nothing else; the frame itself goes on where nothing is changed."""
    frame = msgpack.packb(request)
    envelope = read_envelope(frame)
    assert envelope.endpoint == request.get("endpoint", "get_action")
    assert envelope.token == request.get("api_token")
    if "api_token" not in request:
        assert envelope.with_token(None) is envelope.frame


@given(REQUESTS, TEXTS | st.none())
def test_another_token_is_put_in_and_the_rest_stays_to_the_byte(request, token):
    """Or none at all; the client's own is gone either way."""
    frame = msgpack.packb(request)
    others = {key: value for key, value in request.items() if key != "api_token"}
    as_it_is = request.get("api_token") == token and (
        token is not None or "api_token" not in request
    )
    changed = msgpack.packb(others | ({} if token is None else {"api_token": token}))
    assert bytes(read_envelope(frame).with_token(token)) == (frame if as_it_is else changed)


def test_the_token_is_not_in_the_repr():
    """Nor the bytes that hold it."""
    frame = msgpack.packb({"endpoint": "ping", "api_token": "s3cret"})
    assert "s3cret" not in repr(read_envelope(frame))


@given(st.binary(max_size=64) | VALUES.map(msgpack.packb))
def test_bytes_that_are_no_request_are_refused_and_what_is_read_upstream_reads_too(frame):
    """No other error, and no frame that means one thing here and another one there."""
    try:
        envelope = read_envelope(frame)
    except WireError:
        return
    pairs = msgpack.unpackb(
        frame, object_pairs_hook=list, strict_map_key=False, unicode_errors="replace"
    )
    assert dict(pairs).get("endpoint", "get_action") == envelope.endpoint


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        msgpack.packb("ping"),
        msgpack.packb([{"endpoint": "ping"}]),
        msgpack.packb({"endpoint": "ping"})[:-1],
        msgpack.packb({"endpoint": "ping"}) + b"\xc0",
        msgpack.packb({"endpoint": None}),
        msgpack.packb({"endpoint": b"kill"}),
        msgpack.packb({b"endpoint": "kill"}),
        msgpack.packb({"endpoint": "ping", "extra": 1}),
        msgpack.packb({"endpoint": "ping", "api_token": 5}),
        msgpack.packb({"endpoint": "ping", "data": msgpack.ExtType(5, b"x")}),
        b"\x82\xa8endpoint\xa4ping\xa8endpoint\xa4kill",
        b"\x81\xa8endpoint\xa4\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa4data\xdd\xff\xff\xff\xff",
        b"\x81\xa4data\xc6\xff\xff\xff\xff",
        b"\x81\xa4data" + b"\x91" * (MAX_DEPTH + 1) + b"\xc0",
        b"\x81\xa4data" + b"\x81\xc0" * (MAX_DEPTH + 1) + b"\xc0",
        msgpack.packb({"data": [0] * MAX_VALUES}),
        msgpack.packb({"data": {"a": [0] * (MAX_VALUES // 2), "b": [0] * (MAX_VALUES // 2)}}),
        msgpack.packb({"data": [[]] * 65_536}),
        msgpack.packb({"endpoint": "x" * 20_000}),
    ],
)
def test_what_could_be_taken_for_two_things_or_for_none_is_refused(frame):
    """A key twice, bytes for text, an extension, lengths that lie, deep or endless values."""
    with pytest.raises(WireError):
        read_envelope(frame)


@pytest.mark.parametrize("name", ["endpoint", "long"])
def test_every_form_of_a_text_is_the_same_text(name):
    """Msgpack has four forms; a proxy that knew one would let the others pass as something else."""
    text = b"kill"
    for head in (b"\xa4", b"\xd9\x04", b"\xda\x00\x04", b"\xdb\x00\x00\x00\x04"):
        key = {"endpoint": b"\xa8endpoint", "long": b"\xd9\x08endpoint"}[name]
        for map_head in (b"\x81", b"\xde\x00\x01", b"\xdf\x00\x00\x00\x01"):
            assert read_envelope(map_head + key + head + text).endpoint == "kill"


def nested(depth):
    """A list in a list in ... with nothing in the innermost."""
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_what_an_observation_needs_is_within_the_caps():
    """A whole chunk of a humanoid as plain lists, and the deepest value that a server reads."""
    chunk = {"previous": [[0.0] * 43 for _ in range(50)]}
    assert read_envelope(msgpack.packb({"data": chunk})).endpoint == "get_action"
    assert read_envelope(msgpack.packb({"data": nested(MAX_DEPTH)})).endpoint == "get_action"
    assert read_envelope(msgpack.packb({"data": [0] * (MAX_VALUES - 1)})).endpoint == "get_action"


def steps_of(frame):
    """Lines of the module that were executed to read one frame: its cost, whatever the machine."""
    steps = 0

    def trace(code, event, _argument):
        nonlocal steps
        if code.f_code.co_filename != module.__file__:
            return None
        steps += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        read_envelope(frame)
    except WireError:
        pass
    finally:
        sys.settrace(before)
    assert steps
    return steps


@pytest.mark.parametrize(
    "data",
    [
        [0] * 65_536,
        [[0] * 60 for _ in range(1_000)],
        [{}] * 65_536,
        {str(n): n for n in range(30_000)},
        ["x" * 300] * 40_000,
        [[[[n]]] for n in range(20_000)],
        nested(500),
    ],
)
def test_a_stranger_s_largest_request_costs_little_more_than_the_largest_good_one(data):
    """Its token comes last, so that all of it has to be walked, or refused before."""
    stranger = msgpack.packb({"endpoint": "ping", "data": data, "api_token": "wrong"})
    good = msgpack.packb({"endpoint": "get_action", "data": [0] * (MAX_VALUES - 2)})
    assert steps_of(stranger) <= 1.5 * steps_of(good)
