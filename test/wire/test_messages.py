"""messages: request envelopes are upstream's, generations are recognised, replies are checked."""

from pathlib import Path

import msgpack
import numpy as np
import pytest

from gr00t_ros.errors import RefusedError, RemoteError, TooLargeError, WireError
from gr00t_ros.wire import messages
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.codec import ModalityConfigMap, decode, encode
from gr00t_ros.wire.messages import Generation

GOLDEN = Path(__file__).parents[1] / "golden"
OLD, NEW = "__ModalityConfig_class__", "__ModalityConfig__"
CONFIG = {"delta_indices": [0], "modality_keys": ["a"]}
TEXT = '{"delta_indices":[-1,0],"modality_keys":["video.a","b"]}'


def configs(**modalities):
    """A decoded get_modality_config reply of modality=(marker, as_json)."""
    return decode(
        encode({name: {m: True, "as_json": j} for name, (m, j) in modalities.items()}, "npy")
    )


@pytest.mark.parametrize(
    ("marker", "as_json", "generation"),
    [
        (OLD, TEXT, Generation.A0),
        (OLD, CONFIG, Generation.A1),
        (NEW, CONFIG, Generation.B2),
        (NEW, TEXT, Generation.B2),
    ],
)
def test_marker_and_form_of_the_modality_config_tell_the_generation(marker, as_json, generation):
    """The only thing on the wire that tells it (wire.md 6)."""
    assert messages.recognise(configs(video=(marker, as_json))) is generation


@pytest.mark.parametrize(("codec", "generation"), [("npy", "A1"), ("msgpack_numpy", "B2")])
def test_golden_servers_are_recognised_and_sent_their_own_codec(codec, generation):
    """The golden npy server is A1/A2, the msgpack-numpy one B2/B3."""
    reply = decode((GOLDEN / f"{codec}.get_modality_config.reply.bin").read_bytes())
    assert messages.recognise(reply) is Generation(generation)
    assert Generation(generation).array_codec == codec


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"video": {"delta_indices": [0]}},
        configs(video=(OLD, CONFIG), state=(NEW, CONFIG)),
        configs(video=(OLD, CONFIG), state=(OLD, TEXT)),
    ],
)
def test_a_reply_without_one_kind_of_config_is_no_generation(reply):
    """Guessing here would choose a codec that the server cannot read; it says what it saw."""
    with pytest.raises(RefusedError, match="does not know") as refused:
        messages.recognise(reply)
    seen = str(refused.value).partition("It answered ")[2]
    assert seen == "{}" if not reply else all(repr(key) in seen for key in reply)


def test_a_modality_config_that_is_no_map_is_a_wire_error():
    """No server of any generation answers so."""
    with pytest.raises(WireError):
        messages.recognise([])


@pytest.mark.parametrize("data", [b"ERROR", b"PK\x03\x04torch", b"PK"])
def test_a_torch_server_is_refused_with_the_way_to_upgrade(data):
    """Its replies are pickles: nothing of them may be read."""
    with pytest.raises(RefusedError, match="7f53666"):
        messages.read_reply(data, "ping", 1000)


def test_error_replies_become_remote_errors_with_the_servers_text():
    """The text is all that a server says."""
    data = (GOLDEN / "npy.bad_dtype.reply.bin").read_bytes()
    with pytest.raises(RemoteError, match="float32"):
        messages.read_reply(data, "get_action", 1000)


def test_an_empty_error_text_is_still_an_error():
    """Upstream's str(exception) may be empty."""
    with pytest.raises(RemoteError, match="no text"):
        messages.read_reply(encode({"error": ""}, "npy"), "get_action", 1000)


def test_a_wrong_token_is_a_refusal():
    """Trying again cannot help."""
    data = (GOLDEN / "npy.unauthorized.reply.bin").read_bytes()
    with pytest.raises(RefusedError, match="token"):
        messages.read_reply(data, "ping", 1000)


def test_an_error_that_is_no_text_and_a_reply_above_the_cap_are_wire_errors():
    """The peer does not keep the contract."""
    with pytest.raises(WireError):
        messages.read_reply(encode({"error": [1]}, "npy"), "ping", 1000)
    with pytest.raises(TooLargeError):
        messages.read_reply(b"\xc0" * 11, "ping", 10)


def test_the_golden_modality_config_is_parsed():
    """Delta indices, keys, action configs."""
    reply = decode((GOLDEN / "npy.get_modality_config.reply.bin").read_bytes())
    config = messages.parse_modality(reply, Generation.A1)
    assert config["video"].keys == ("cam_a", "cam_b")
    assert config["action"].delta_indices == (0, 1, 2, 3)
    assert config["action"].action_configs[0]["rep"] == "RELATIVE"
    assert config["language"].keys == ("annotation.human.task_description",)


def test_n15_prefixes_are_stripped_and_absent_or_unknown_modalities_do_no_harm():
    """N1.5 names its keys video.a; N1.7 may add modalities such as rl_info."""
    reply = configs(video=(OLD, TEXT), rl_info=(OLD, TEXT))
    config = messages.parse_modality(reply, Generation.A0)
    assert (config["video"].keys, config["video"].delta_indices) == (("a", "b"), (-1, 0))
    assert config["state"].keys == ()
    assert set(config) == {"video", "state", "action", "language"}
    assert messages.parse_modality(reply, Generation.A1)["video"].keys == ("video.a", "b")


@pytest.mark.parametrize(
    "as_json",
    [
        {},
        CONFIG | {"delta_indices": "0"},
        CONFIG | {"delta_indices": [0.0]},
        CONFIG | {"delta_indices": [True]},
        CONFIG | {"modality_keys": [1]},
        CONFIG | {"modality_keys": ["a", "a"]},
        CONFIG | {"action_configs": []},
        CONFIG | {"action_configs": ["RELATIVE"]},
        CONFIG | {"action_configs": {"a": {}}},
    ],
)
def test_a_malformed_modality_config_is_refused(as_json):
    """Each case is CONFIG with one field broken."""
    messages.parse_modality(configs(video=(NEW, CONFIG)), Generation.B2)
    with pytest.raises(WireError, match="video"):
        messages.parse_modality(configs(video=(NEW, as_json)), Generation.B2)


def test_a_modality_that_is_no_config_is_refused():
    """A plain map without marker is none."""
    with pytest.raises(WireError):
        messages.parse_modality({"video": CONFIG}, Generation.B2)


CHUNK = np.arange(12, dtype=np.float32).reshape(1, 4, 3)


@pytest.mark.parametrize(
    ("reply", "generation", "style"),
    [
        ([{"a": CHUNK}, {}], Generation.B2, "nested"),
        ([{"action.a": CHUNK}, {}], Generation.A1, "flat"),
        ({"action.a": CHUNK}, Generation.A0, "flat"),
        ({"action.a": CHUNK[0]}, Generation.A0, "nested"),
        ([{"a": CHUNK.astype(np.float16)}, None], Generation.A1, "nested"),
        ([{"a": CHUNK.astype(np.float64)}, {}], Generation.A1, "nested"),
    ],
)
def test_action_replies_of_all_generations_become_rows(reply, generation, style):
    """Key without prefix -> (H, D) float32."""
    action = messages.parse_action(reply, generation, style)
    np.testing.assert_array_equal(action["a"], CHUNK[0])
    assert action["a"].dtype == np.float32
    assert action["a"].flags.writeable


def test_n15_may_send_one_value_per_step_without_an_axis():
    """(H,) is (H, 1) there, and nowhere else."""
    action = messages.parse_action({"action.g": CHUNK[0, :, 0]}, Generation.A0, "flat")
    assert action["g"].shape == (4, 1)
    with pytest.raises(WireError, match="shape"):
        messages.parse_action([{"g": CHUNK[0, :, 0]}, {}], Generation.A1, "nested")


def test_a_nested_server_may_name_a_key_action_dot():
    """The prefix is stripped only where it is one."""
    assert list(messages.parse_action([{"action.a": CHUNK}, {}], Generation.A1, "nested")) == [
        "action.a"
    ]


def test_values_are_not_judged_here():
    """NaN and overflow are the guard's to refuse, with its own words."""
    values = np.array([[[np.nan, 1e300]]])
    action = messages.parse_action([{"a": values}, {}], Generation.A1, "nested")
    assert not np.isfinite(action["a"]).any()


@pytest.mark.parametrize(
    "reply",
    [
        None,
        {"a": CHUNK},
        [{"a": CHUNK}],
        [[CHUNK], {}],
        [{"a": [[1.0]]}, {}],
        [{"a": CHUNK.astype(np.int32)}, {}],
        [{"a": CHUNK.astype(bool)}, {}],
        [{"a": np.float32(1)}, {}],
        [{"a": CHUNK[0, 0]}, {}],
        [{"a": np.concatenate([CHUNK, CHUNK])}, {}],
        [{b"a": CHUNK}, {}],
    ],
)
def test_action_replies_that_break_the_contract_are_wire_errors(reply):
    """Wrong envelope, container, dtype, batch or key."""
    with pytest.raises(WireError):
        messages.parse_action(reply, Generation.A1, "nested")


@pytest.mark.parametrize("generation", [Generation.A0, Generation.A1, Generation.B2])
@pytest.mark.parametrize("style", ["nested", "flat"])
def test_a_reply_without_the_batch_axis_is_the_same_chunk(generation, style):
    """N2's servers squeeze it out; N1.5's do where none was sent."""
    for name in ("a", "b"):
        prefix = "action." if style == "flat" else ""
        key = f"{prefix}{name}"
        wrap = (lambda m: m) if generation is Generation.A0 else (lambda m: [m, {}])
        with_axis = messages.parse_action(wrap({key: CHUNK}), generation, style)
        without = messages.parse_action(wrap({key: CHUNK[0]}), generation, style)
        np.testing.assert_array_equal(with_axis[name], without[name])
        assert without[name].shape == CHUNK.shape[1:]


HOSTILE = "\x1b[2J\x1b]0;title with blanks\x07one\ntwo\r\tthree \u202eevil\u200b\x07"


def test_an_error_text_becomes_one_printable_line_where_it_enters():
    """No terminal escapes, line ends, turned or hidden writing; the words stay."""
    with pytest.raises(RemoteError) as caught:
        messages.read_reply(encode({"error": HOSTILE}, "npy"), "get_action", 10_000)
    bad = "\N{REPLACEMENT CHARACTER}"
    assert caught.value.server_text == f"one two three {bad}evil{bad}{bad}"
    assert str(caught.value).isprintable()
    with pytest.raises(RefusedError) as caught:
        text = encode({"error": f"Unauthorized: {HOSTILE}"}, "npy")
        messages.read_reply(text, "ping", 10_000)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["x" * 10**6, "\n" * 10**6, "\x1b[0m" * 10**5, "\u202e" * 10**5])
def test_an_error_text_is_cut(text):
    """Whatever fills it."""
    with pytest.raises(RemoteError) as caught:
        messages.read_reply(encode({"error": text}, "npy"), "get_action", 10**7)
    assert (
        len(caught.value.server_text) <= messages.MAX_ERROR_TEXT and str(caught.value).isprintable()
    )


def test_a_token_is_taken_out_before_the_text_is_cut():
    """Also where the cut would leave half of it, or an escape stands in its middle."""
    for text in ("y" * (messages.MAX_ERROR_TEXT - 10) + " s3cret-token", "a s3cr\x1b[0met-token b"):
        with pytest.raises(RemoteError) as caught:
            reply = encode({"error": text}, "npy")
            messages.read_reply(reply, "ping", 10_000, Token("s3cret-token"))
        assert "s3cr" not in str(caught.value)


def test_keys_and_words_of_a_config_are_printable_and_short():
    """They stand in the modality table, in the log and in reasons."""
    rep = {"rep": HOSTILE, "type": ["EEF"] * 4000, "format": None, "more": "ignored"}
    config = ModalityConfigMap(
        {"delta_indices": [0], "modality_keys": [HOSTILE], "action_configs": [rep]},
        "__ModalityConfig__",
        "map",
    )
    entry = messages.parse_modality({"action": config}, Generation.B2)["action"]
    words = [*entry.keys, *entry.action_configs[0].values()]
    assert all(w is None or (w.isprintable() and len(w) <= 128) for w in words)
    action = messages.parse_action([{HOSTILE: CHUNK}, {}], Generation.B2, "nested")
    assert all(key.isprintable() for key in action)


@pytest.mark.parametrize(
    "fields",
    [
        {"delta_indices": [0] * 2000, "modality_keys": []},
        {"delta_indices": [10**18], "modality_keys": []},
        {"delta_indices": [0], "modality_keys": [f"k{i}" for i in range(300)]},
        {"delta_indices": [0], "modality_keys": ["a\u200b", "a\u202e"]},
    ],
)
def test_a_config_of_more_than_any_robot_has_is_refused_in_a_short_line(fields):
    """As are two keys that become one where they are shown."""
    config = ModalityConfigMap(fields, "__ModalityConfig__", "map")
    with pytest.raises(WireError) as caught:
        messages.parse_modality({"video": config}, Generation.B2)
    assert len(str(caught.value)) < 400 and str(caught.value).isprintable()


def test_two_flat_keys_that_become_one_are_refused():
    """Either could be meant."""
    with pytest.raises(WireError, match="distinct"):
        messages.parse_action({"a": CHUNK, "action.a": CHUNK}, Generation.A0, "flat")


def test_the_token_comes_last_and_only_where_there_is_one():
    """As upstream's client lays the envelope out."""
    assert list(messages.request("ping")) == ["endpoint"]
    assert list(messages.request("reset", {"options": {}}, "t")) == [
        "endpoint",
        "data",
        "api_token",
    ]


def test_n15_gets_the_bare_flat_observation():
    """An N1.6 envelope would be its observation."""
    message = messages.get_action_request({"c": 1}, {"j": 2}, ["l"], "go", Generation.A0, "nested")
    assert message["data"] == {"video.c": 1, "state.j": 2, "l": ["go"]}


@pytest.mark.parametrize(
    "value", [True, np.bool_(True), np.array(True), 3, np.int64(3), np.float32(0.5), np.array(0.5)]
)
def test_a_number_in_info_is_read_in_each_form_that_numpy_gives_it(value):
    """``rtc_applied`` is what a policy computed."""
    reply = decode(encode([{}, {"said": value}], "msgpack_numpy"))
    found = messages.read_info(reply, Generation.B3)
    assert found == {"said": value} and type(found["said"]) in (bool, int, float)


BAD_ENTRIES = {
    "a number as key": {0: 1.0},
    "a long list": {"latent": [0.0] * 5_000},
    "a list in a list": {"deep": {7: [[]]}},
    "an extension": {"when": msgpack.Timestamp(0, 0)},
    "an array of texts": {"task": {b"nd": True, b"type": "<U4", b"shape": [1], b"data": b"p"}},
}


@pytest.mark.parametrize("bad", BAD_ENTRIES)
def test_what_cannot_be_read_in_info_is_left_out_and_the_action_is_not(bad):
    """Wherever it stands; what is said beside it is read."""
    action = encode({"joints": np.ones((1, 4, 2), np.float32)}, "msgpack_numpy")
    for info in (
        BAD_ENTRIES[bad] | {"rtc_applied": True},
        {"rtc_applied": True} | BAD_ENTRIES[bad],
    ):
        reply = messages.read_reply(
            b"\x92" + action + msgpack.packb(info), messages.GET_ACTION, 1 << 20
        )
        rows = messages.parse_action(reply, Generation.B3, "nested")
        np.testing.assert_array_equal(rows["joints"], np.ones((4, 2)))
        assert messages.read_info(reply, Generation.B3) == {"rtc_applied": True}


def test_an_info_that_cannot_be_read_at_all_says_nothing():
    """It is no map, or a list without end."""
    action = encode({"joints": np.ones((1, 4, 2), np.float32)}, "msgpack_numpy")
    reply = messages.read_reply(
        b"\x92" + action + msgpack.packb([0] * 5_000), messages.GET_ACTION, 1 << 20
    )
    assert set(messages.parse_action(reply, Generation.B3, "nested")) == {"joints"}
    assert messages.read_info(reply, Generation.B3) == {}


@pytest.mark.parametrize(
    "data", [b"\x92\xc0", b"\x92\x81\x00\x00\x80", b"\x92\x80\x80\x00", b"\x93"]
)
def test_an_action_that_cannot_be_read_is_refused_whatever_info_says(data):
    """Cut, with a number as a key of the action, with bytes behind it."""
    with pytest.raises(WireError):
        messages.read_reply(data, messages.GET_ACTION, 1 << 20)
