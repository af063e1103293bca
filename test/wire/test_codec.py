"""codec: its bytes are identical to upstream's, and invalid bytes only raise WireError."""

import contextlib
import json
import tracemalloc
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.errors import TooLargeError, WireError
from gr00t_ros.wire.codec import MAX_ITEMS, MAX_NESTED_TEXT, ModalityConfigMap, decode, encode

GOLDEN = Path(__file__).parents[1] / "golden"
TABLE = json.loads((GOLDEN / "golden.json").read_text())
CODECS = ("npy", "msgpack_numpy")
FILES = [entry["file"] for entry in TABLE["files"]]


def as_array(entry):
    """An array from its golden.json table."""
    return np.array(entry["values"], entry["dtype"]).reshape(entry["shape"])


def observation(dtype="float32"):
    """The golden observation, nested."""
    table = TABLE["observation"]
    return {
        "video": {key: as_array(value) for key, value in table["video"].items()},
        "state": {key: as_array(value).astype(dtype) for key, value in table["state"].items()},
        "language": table["language"],
    }


def golden_request(exchange):
    """The message whose bytes upstream's client sent in `exchange`."""
    nested, name = observation(), "annotation.human.task_description"
    flat = {f"video.{key}": value for key, value in nested["video"].items()}
    flat |= {f"state.{key}": value for key, value in nested["state"].items()}
    flat[name] = nested["language"][name][0]
    wrong = observation("float64")
    return {
        "ping": {"endpoint": "ping"},
        "kill": {"endpoint": "kill"},
        "unknown_endpoint": {"endpoint": "nope"},
        "unauthorized": {"endpoint": "ping", "api_token": "wrong"},
        "get_modality_config": {"endpoint": "get_modality_config"},
        "reset": {"endpoint": "reset", "data": {"options": None}},
        "get_action": act(nested),
        "get_action_flat": act(flat),
        "bad_dtype": act(wrong),
    }[exchange]


def act(data):
    """The get_action message around an observation."""
    return {"endpoint": "get_action", "data": {"observation": data, "options": None}}


@pytest.mark.parametrize(
    "entry", [e for e in TABLE["files"] if e["kind"] == "request"], ids=lambda e: e["file"]
)
def test_golden_requests_are_reproduced_byte_for_byte(entry):
    """What upstream's client sent, our encode writes."""
    message = golden_request(entry["exchange"])
    if entry["exchange"] == "unknown_endpoint":
        message["endpoint"] = decode((GOLDEN / entry["file"]).read_bytes())["endpoint"]
    assert encode(message, entry["codec"]) == (GOLDEN / entry["file"]).read_bytes()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("exchange", ["get_action", "get_action_flat"])
def test_golden_action_replies_decode_to_the_expected_action(codec, exchange):
    """Values, dtype and shape of the golden action survive."""
    action, info = decode((GOLDEN / f"{codec}.{exchange}.reply.bin").read_bytes())
    expected = as_array(TABLE["expected_action"]["joints"])
    got = action["action.joints" if exchange == "get_action_flat" else "joints"]
    np.testing.assert_array_equal(got, expected)
    assert (got.dtype, info) == (np.dtype("float32"), {})


def on_wire(config):
    """The plain map that `encode` turns back into the bytes that a config was read from."""
    fields = json.dumps(config, separators=(",", ":")) if config.form == "text" else dict(config)
    return {config.marker: True, "as_json": fields}


@pytest.mark.parametrize("file", FILES)
def test_every_golden_message_decodes_and_encodes_back_to_its_bytes(file):
    """Decode loses nothing that encode needs."""
    data = (GOLDEN / file).read_bytes()
    message = decode(data)
    if isinstance(message, dict):
        message = {
            key: on_wire(value) if isinstance(value, ModalityConfigMap) else value
            for key, value in message.items()
        }
    assert encode(message, file.split(".")[0]) == data


@pytest.mark.parametrize("form", ["map", "text"])
@pytest.mark.parametrize("marker", ["__ModalityConfig_class__", "__ModalityConfig__"])
def test_modality_configs_keep_marker_and_form_and_unknown_fields_do_no_harm(marker, form):
    """Both markers, each with a map or a JSON text."""
    fields = {"delta_indices": [0], "modality_keys": ["a"], "something_new": {"x": 1}}
    as_json = json.dumps(fields) if form == "text" else fields
    config = decode(encode({marker: True, "as_json": as_json}, "npy"))
    assert (config, config.marker, config.form) == (fields, marker, form)
    assert decode(encode(on_wire(config), "npy")) == config


def hostile(size, texts):
    """`size` bytes in so many ModalityConfigs, each with a JSON text of lists."""
    text = "[" + "[]," * (size // texts // 3) + "0]"
    marked = {"__ModalityConfig__": True, "as_json": text}
    return msgpack.packb([dict(marked) for _ in range(texts)])


@pytest.mark.parametrize("texts", [1, 240, 4000])
def test_nested_texts_of_a_large_reply_are_never_parsed(texts, monkeypatch):
    """One of 15 MB or many small ones: what is parsed stays below one cap for all of them."""
    parsed = []
    loads = json.loads
    monkeypatch.setattr(
        "gr00t_ros.wire.codec.json.loads",
        lambda text: (parsed.append(len(text)), loads(text))[1],
    )
    data = hostile(15_000_000, texts)
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            decode(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(parsed) <= MAX_NESTED_TEXT
    assert peak < 3 * len(data)


def test_the_values_of_nested_texts_count_among_those_of_the_message():
    """Each text below its cap, all together above the message's."""
    text = json.dumps({"delta_indices": [0] * 14_000})
    marked = {"__ModalityConfig__": True, "as_json": text}
    decode(msgpack.packb([marked]))
    with pytest.raises(WireError, match="more than"):
        decode(msgpack.packb([marked, [[0] * 4000] * 14]))


@pytest.mark.parametrize("closing", ["", "]" * 40])
def test_a_nested_text_is_not_parsed_where_it_is_deep(closing, monkeypatch):
    """Brackets inside its strings are no depth."""
    text = json.dumps({"modality_keys": ["[" * 100 + '\\"' + "{" * 100], "delta_indices": []})
    config = decode(msgpack.packb({"__ModalityConfig__": True, "as_json": text}))
    assert config["modality_keys"] == ["[" * 100 + '\\"' + "{" * 100]

    def loads(text):
        raise AssertionError("parsed")

    monkeypatch.setattr("gr00t_ros.wire.codec.json.loads", loads)
    with pytest.raises(WireError, match="nested deeper"):
        decode(msgpack.packb({"__ModalityConfig__": True, "as_json": "[" * 40 + closing}))


@pytest.mark.parametrize(
    "data",
    [
        msgpack.packb({"__ModalityConfig__": True}),
        msgpack.packb({"__ModalityConfig__": True, "as_json": "[" * 100000}),
        msgpack.packb({"__ModalityConfig__": True, "as_json": "[1]"}),
        msgpack.packb({"__ModalityConfig__": True, "as_json": 3}),
        b"",
        b"\xc1",
        b"\xc0\xc0",
        b"\x82\xa1a\x01\xa1a\x02",
        b"\x81\x01\x02",
        b"\x81\x90\x02",
        b"\x81\xc0\x02",
        b"\xa1\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        msgpack.packb(msgpack.Timestamp(1, 2)),
        msgpack.packb(msgpack.ExtType(3, b"")),
        msgpack.packb(msgpack.ExtType(3, b"xx")),
        b"\x91" * 33 + b"\xc0",
        b"\x91" * 100_000 + b"\xc0",
        b"\x81\xa1a" * 5_000 + b"\xc0",
        b"\xdc\x10\x01" + b"\xc0" * 0x1001,
        b"\x9f" + (b"\xdc\x10\x00" + b"\xc0" * 4096) * (MAX_ITEMS // 4096),
    ],
    ids=lambda data: repr(data[:40]),
)
def test_malformed_bytes_are_a_wire_error(data):
    """Each line is one lie that a peer may tell."""
    with pytest.raises(WireError):
        decode(data)


def test_nesting_up_to_the_bound_is_read():
    """The bound refuses depth, not structure."""
    assert decode(b"\x91" * 32 + b"\xc0") is not None


def test_more_bytes_than_the_cap_are_refused_before_decoding():
    """TooLargeError even where the bytes are no message at all."""
    with pytest.raises(TooLargeError):
        decode(b"\xc1" * 101, max_bytes=100)
    assert decode(b"\x90", max_bytes=1) == []


def only_wire_errors(data):
    """Decode and let nothing but WireError pass."""
    with contextlib.suppress(WireError):
        decode(data, max_bytes=1 << 20)


@given(data=st.binary(max_size=200))
@settings(max_examples=examples(400), deadline=None)
def test_random_bytes_raise_nothing_but_wire_errors(data):
    """Whatever arrives, the worker sees our own error or a value."""
    only_wire_errors(data)


@given(
    file=st.sampled_from(FILES),
    end=st.integers(0, 800),
    changes=st.lists(st.tuples(st.integers(0, 800), st.integers(0, 255)), max_size=6),
)
@settings(max_examples=examples(500), deadline=None)
def test_truncated_and_mutated_golden_bytes_raise_nothing_but_wire_errors(file, end, changes):
    """Bytes close to real messages reach deeper than random ones."""
    data = bytearray((GOLDEN / file).read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    only_wire_errors(bytes(data[: end % (len(data) + 1)] if end < 400 else data))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "nd",
                    b"nd",
                    "type",
                    b"type",
                    b"shape",
                    b"kind",
                    b"data",
                    "as_npy",
                    "as_json",
                    "__ndarray_class__",
                    "__ModalityConfig__",
                    "__ModalityConfig_class__",
                    "x",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(value=VALUES)
@settings(max_examples=examples(300), deadline=None)
def test_maps_that_look_like_arrays_and_configs_raise_nothing_but_wire_errors(value):
    """Valid msgpack around the marker keys reaches every branch of the hooks."""
    only_wire_errors(msgpack.packb(value))
