"""endpoints: requests and replies without a socket: envelopes, tokens, generations, key styles."""

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr00t_ros.observe.modality import ModalityEntry
from gr00t_ros.serve.endpoints import DIALECTS, Endpoints, Terms
from gr00t_ros.wire import codec as codec_module
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.codec import ModalityConfigMap, decode, encode
from gr00t_ros.wire.messages import Generation

LANGUAGE = "annotation.human.task_description"


def _endpoints(policy, generation="B3", **terms):
    return Endpoints(policy, DIALECTS[Generation(generation)], Terms(**terms))


def _ask(endpoints, message, codec="msgpack_numpy"):
    return decode(endpoints.answer(encode(message, codec)).frame)


def _flat(observation):
    flat = {f"video.{key}": value for key, value in observation["video"].items()}
    flat |= {f"state.{key}": value for key, value in observation["state"].items()}
    return flat | {key: [row[0] for row in rows] for key, rows in observation["language"].items()}


def _get_action(observation, **more):
    return {"endpoint": "get_action", "data": {"observation": observation, **more}}


def test_a_request_without_an_endpoint_is_get_action(golden_policy, golden_observation):
    """As upstream's default."""
    reply = _ask(_endpoints(golden_policy), {"data": {"observation": golden_observation}})
    assert np.array_equal(reply[0]["joints"], golden_policy.action["joints"])


def test_extra_keys_beside_the_envelope_are_ignored(golden_policy):
    """Upstream reads endpoint, data and api_token only."""
    reply = _ask(_endpoints(golden_policy), {"endpoint": "ping", "version": 7, "data": {"x": 1}})
    assert reply == {"status": "ok", "message": "Server is running"}


@pytest.mark.parametrize("place", range(3))
def test_extra_keys_do_not_hide_the_token(golden_policy, place):
    """Wherever they stand: a right token counts, and a wrong one too."""
    for token, answer in (("secret", "status"), ("wrong", "error")):
        items = [("endpoint", "ping"), ("api_token", token)]
        items.insert(place, ("request_id", {"number": [7, "seven"]}))
        reply = _ask(_endpoints(golden_policy, token=Token("secret")), dict(items))
        assert answer in reply


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"video": {}}, "got an unexpected keyword argument 'video'"),
        (None, "must be a mapping, not NoneType"),
        ({}, "missing 1 required positional argument: 'observation'"),
    ],
)
def test_data_is_the_keywords_of_get_action(golden_policy, data, text):
    """An N1.5-style bare observation fails with Python's own words, as upstream."""
    reply = _ask(_endpoints(golden_policy), {"endpoint": "get_action", "data": data})
    assert text in reply["error"]


def test_a_further_key_beside_the_observation_is_an_unexpected_keyword(
    golden_policy, golden_observation
):
    """A client that adds fields of its own learns it."""
    reply = _ask(_endpoints(golden_policy), _get_action(golden_observation, seed=1))
    assert "got an unexpected keyword argument 'seed'" in reply["error"]


@pytest.mark.parametrize(
    "endpoint", ["ping", "get_modality_config", "get_action", "reset", "kill", "nope", None]
)
@pytest.mark.parametrize("given_token", [None, "", "wrong", "secre", 7, ["secret"]])
def test_every_endpoint_asks_for_the_token_first(golden_policy, endpoint, given_token):
    """Ping included, and nothing else is told to who has no token."""
    message = {"endpoint": endpoint, "api_token": given_token}
    reply = _ask(_endpoints(golden_policy, token=Token("secret"), allow_kill=True), message)
    assert reply == {"error": "Unauthorized: Invalid API token"}


def test_a_stranger_s_request_is_not_decoded(golden_policy, monkeypatch):
    """It may be as large as it likes; the one with the token is."""
    decoded = []
    monkeypatch.setattr(codec_module, "decode", lambda *given: decoded.append(given) or {})
    endpoints = _endpoints(golden_policy, token=Token("secret"))
    for token in ("wrong", "", None):
        wide = msgpack.packb({"endpoint": "ping", "data": [[0] * 4000] * 16, "api_token": token})
        assert "Unauthorized" in endpoints.answer(wide).error
    assert not decoded
    endpoints.answer(msgpack.packb({"endpoint": "ping", "api_token": "secret"}))
    assert len(decoded) == 1


def test_the_right_token_opens_and_none_is_needed_where_none_is_set(golden_policy):
    """A server without a token ignores one that is sent."""
    request = {"endpoint": "reset", "data": {"options": None}, "api_token": "secret"}
    assert _ask(_endpoints(golden_policy, token=Token("secret")), request) == {}
    assert _ask(_endpoints(golden_policy), request) == {}


def test_a_policy_that_raises_is_an_error_reply_with_its_text(golden_policy, golden_observation):
    """Whatever it raises; the robot gets no action and the operator the reason."""

    class Broken:
        modality = golden_policy.modality

        def __call__(self, observation, options):
            raise ZeroDivisionError("no cube in sight")

    reply = _ask(_endpoints(Broken()), _get_action(golden_observation))
    assert reply == {"error": "no cube in sight"}


def test_a_policy_whose_action_breaks_its_own_config_is_an_error_reply(
    golden_policy, golden_observation
):
    """A chunk of the wrong horizon never leaves the server."""
    golden_policy.action = {"joints": np.zeros((1, 3, 3), np.float32)}
    reply = _ask(_endpoints(golden_policy), _get_action(golden_observation))
    assert reply == {"error": "Action key 'joints's horizon must be 4. Got 3"}


@pytest.mark.parametrize("returned", [None, {}, {"episode_index": 3}])
def test_a_reset_s_reply_is_the_policy_s_map_and_an_empty_one_for_nothing(golden_policy, returned):
    """Python's own reset returns nothing, and clients of GR00T's expect a map."""
    golden_policy.reset = lambda options: returned
    request = {"endpoint": "reset", "data": {"options": None}}
    assert _ask(_endpoints(golden_policy), request) == (returned or {})


def test_the_policy_sees_what_was_sent_and_the_options(golden_policy, golden_observation):
    """Arrays, language and options pass unchanged."""
    _ask(_endpoints(golden_policy), _get_action(golden_observation, options={"seed": 3}))
    (seen,) = golden_policy.observations
    assert np.array_equal(seen["video"]["cam_b"], golden_observation["video"]["cam_b"])
    assert np.array_equal(seen["state"]["joints"], golden_observation["state"]["joints"])
    assert seen["language"] == golden_observation["language"]


def test_a_flat_observation_reaches_the_policy_nested(golden_policy, golden_observation):
    """And the reply's keys carry the action prefix."""
    reply = _ask(_endpoints(golden_policy, flat=True), _get_action(_flat(golden_observation)))
    (seen,) = golden_policy.observations
    assert list(reply[0]) == ["action.joints"]
    assert seen["language"] == {LANGUAGE: [["pick up"]]}
    assert np.array_equal(seen["video"]["cam_a"], golden_observation["video"]["cam_a"])


@pytest.mark.parametrize(
    ("flat", "strict", "text"),
    [
        (False, True, "Observation must contain a 'video' key"),
        (True, True, "Video key 'video.cam_a' must be in observation"),
        (False, False, "'video'"),
        (True, False, "'video.cam_a'"),
    ],
)
def test_the_wrong_key_style_gets_upstreams_text(
    golden_policy, golden_observation, flat, strict, text
):
    """A client finds the key style by these four texts (wire.md 6)."""
    observation = golden_observation if flat else _flat(golden_observation)
    endpoints = _endpoints(golden_policy, flat=flat, strict=strict)
    assert _ask(endpoints, _get_action(observation)) == {"error": text}


@pytest.mark.parametrize(
    ("generation", "codec", "strict", "text"),
    [
        (
            "A1",
            "msgpack_numpy",
            True,
            "Video key 'cam_a' must be a numpy array. Got <class 'dict'>",
        ),
        ("B2", "npy", True, "Video key 'cam_a' must be a numpy array. Got <class 'dict'>"),
        ("A1", "msgpack_numpy", False, "'dict' object has no attribute 'shape'"),
        ("B2", "npy", False, "'dict' object has no attribute 'shape'"),
    ],
)
def test_an_array_in_a_foreign_codec_stays_a_map_and_gets_upstreams_text(
    golden_policy, golden_observation, generation, codec, strict, text
):
    """Only B3 reads both codecs."""
    endpoints = _endpoints(golden_policy, generation, strict=strict)
    assert _ask(endpoints, _get_action(golden_observation), codec) == {"error": text}


@pytest.mark.parametrize("codec", ["npy", "msgpack_numpy"])
def test_b3_reads_both_codecs_and_writes_msgpack_numpy(golden_policy, golden_observation, codec):
    """A client that has not noticed the change of codec still gets actions it cannot misread."""
    frame = encode(_get_action(golden_observation), codec)
    answer = _endpoints(golden_policy, "B3").answer(frame)
    assert answer.error is None
    assert b"\xc4\x02nd" in answer.frame and b"NUMPY" not in answer.frame


@pytest.mark.parametrize(
    ("generation", "marker"),
    [("A1", "__ModalityConfig_class__"), ("B2", "__ModalityConfig__")],
)
def test_flat_servers_announce_keys_without_prefix(golden_policy, generation, marker):
    """The sim wrapper hands out the inner policy's config, so nothing tells flat from nested."""
    endpoint = {"endpoint": "get_modality_config"}
    flat = _ask(_endpoints(golden_policy, generation, flat=True), endpoint)
    assert flat == _ask(_endpoints(golden_policy, generation), endpoint)
    assert isinstance(flat["video"], ModalityConfigMap)
    assert (flat["video"].marker, flat["video"].form) == (marker, "map")
    assert flat["video"]["modality_keys"] == ["cam_a", "cam_b"]


def test_n15_announces_prefixed_keys_as_a_json_text(golden_policy):
    """Video, state and action are prefixed, language is not; only two fields exist."""
    reply = _ask(_endpoints(golden_policy, "A0"), {"endpoint": "get_modality_config"}, "npy")
    assert {config.form for config in reply.values()} == {"text"}
    assert reply["video"] == {"delta_indices": [0], "modality_keys": ["video.cam_a", "video.cam_b"]}
    assert reply["state"]["modality_keys"] == ["state.joints"]
    assert reply["action"]["modality_keys"] == ["action.joints"]
    assert reply["language"]["modality_keys"] == [LANGUAGE]


def test_n15_takes_bare_data_and_answers_the_action_map_alone(golden_policy, golden_observation):
    """No observation key, no info, prefixed keys; batched in, batched out."""
    request = {"endpoint": "get_action", "data": _flat(golden_observation)}
    reply = _ask(_endpoints(golden_policy, "A0"), request, "npy")
    assert np.array_equal(reply["action.joints"], golden_policy.action["joints"])


@pytest.mark.parametrize("instruction", ["pick up", ["pick up"]])
def test_n15_without_a_batch_axis_answers_without_one(
    golden_policy, golden_observation, instruction
):
    """N1.5 decides by the state arrays' three axes."""
    flat = _flat(golden_observation)
    data = {key: value[0] for key, value in flat.items()} | {LANGUAGE: instruction}
    reply = _ask(_endpoints(golden_policy, "A0"), {"data": data}, "npy")
    assert np.array_equal(reply["action.joints"], golden_policy.action["joints"][0])
    assert golden_policy.observations[0]["language"] == {LANGUAGE: [["pick up"]]}


def test_n15_has_no_reset(golden_policy):
    """Its clients must not expect an episode's end to be heard."""
    reply = _ask(_endpoints(golden_policy, "A0"), {"endpoint": "reset", "data": {}}, "npy")
    assert reply == {"error": "Unknown endpoint: reset"}


def test_n15_given_a_nested_observation_fails_as_upstream_does(golden_policy, golden_observation):
    """It looks for the shape of what is a map there."""
    request = {"endpoint": "get_action", "data": golden_observation}
    reply = _ask(_endpoints(golden_policy, "A0"), request, "npy")
    assert reply == {"error": "'dict' object has no attribute 'shape'"}


def test_a_wrong_state_width_is_named_where_widths_are_known(golden_policy, golden_observation):
    """Upstream fails deeper; a stand-in should not let it pass."""
    endpoints = _endpoints(golden_policy, state_widths={"joints": 7})
    reply = _ask(endpoints, _get_action(golden_observation))
    assert reply == {"error": "State key 'joints' must have width 7. Got 3"}


def test_an_error_text_is_never_longer_than_somebody_reads(golden_policy):
    """Upstream quotes the whole observation back."""
    request = _get_action({"video": "x" * 100_000, "state": {}, "language": {}})
    assert len(_ask(_endpoints(golden_policy), request)["error"]) == 2000


class _Silent:
    modality = dict.fromkeys(("video", "state", "action", "language"), ModalityEntry((0,), ("k",)))

    def __call__(self, observation, options):
        raise AssertionError("nothing random may reach the policy")

    def reset(self, options):
        return {}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
_MODALITIES = st.dictionaries(st.sampled_from(["video", "state", "language", "k"]), _VALUES)


@settings(max_examples=150, deadline=None)
@given(
    generation=st.sampled_from(list(DIALECTS)),
    flat=st.booleans(),
    message=_VALUES
    | st.fixed_dictionaries(
        {},
        optional={
            "endpoint": st.sampled_from(["get_action", "reset", "ping"]) | _VALUES,
            "data": st.fixed_dictionaries({}, optional={"observation": _MODALITIES | _VALUES})
            | _MODALITIES
            | _VALUES,
        },
    ),
)
def test_any_message_gets_exactly_one_reply_that_decodes(generation, flat, message):
    """No request, however shaped, raises out of the server or stops it."""
    endpoints = Endpoints(_Silent(), DIALECTS[generation], Terms(flat=flat))
    answer = endpoints.answer(encode(message, "npy"))
    assert not answer.stop
    assert ("error" in decode(answer.frame)) == (answer.error is not None)


@settings(max_examples=150, deadline=None)
@given(frame=st.binary(max_size=64))
def test_any_bytes_get_exactly_one_reply_that_decodes(frame):
    """Random bytes are no request; the reply says so."""
    answer = Endpoints(_Silent(), DIALECTS[Generation.B3], Terms()).answer(frame)
    assert isinstance(decode(answer.frame), dict | list)
