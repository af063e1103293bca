"""RTC over the wire: the options' bytes, the proof at the check, servers that break it."""

import threading
from contextlib import closing, contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.errors import RemoteError, WireError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.inpaint import Inpainting
from gr00t_ros.serve.policies import HoldPolicy
from gr00t_ros.serve.server import PolicyServer
from gr00t_ros.session.overlap import Overlap
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.codec import decode, encode
from gr00t_ros.wire.link import PolicyLink
from gr00t_ros.wire.messages import Generation, get_action_request, read_info
from gr00t_ros.wire.rtc import APPLIED, REANCHORED, RtcDialect, pack_options, rtc_options
from gr00t_ros.wire.template import RequestTemplate

ROBOT = load_embodiment("franka_droid")
HORIZON = ROBOT.action_horizon
OVERLAP = Overlap(10, HORIZON - 10, 4)
STEPS = st.integers(0, 2**32 - 1)
OVERLAPS = st.none() | st.builds(Overlap, STEPS, STEPS, STEPS)


# The bytes.


@given(
    overlaps=st.lists(OVERLAPS, min_size=1, max_size=3),
    texts=st.lists(st.text(max_size=40), min_size=1, max_size=3),
    dialect=st.sampled_from(RtcDialect),
    style=st.sampled_from(["nested", "flat"]),
    codec=st.sampled_from(["npy", "msgpack_numpy"]),
    token=st.none() | st.just("secret"),
)
@settings(max_examples=examples(100), deadline=None)
def test_a_template_with_options_decodes_to_the_encoded_message(
    overlaps, texts, dialect, style, codec, token
):
    """Whatever was in it before; and its size depends on the instruction only."""
    template = RequestTemplate(
        {"cam": (1, 4, 4)},
        {"arm": (1, 3)},
        ["task", "other"],
        generation=Generation.B3,
        key_style=style,
        array_codec=codec,
        token=Token(token) if token else None,
        rtc=dialect,
        horizon=16,
    )
    template.video["cam"][:], template.state["arm"][:] = 7, 0.5
    for text in texts:
        template.set_instruction(text)
        size, frame = len(template.frame), template.frame
        for overlap in overlaps:
            template.set_overlap(overlap)
            assert len(template.frame) == size and template.frame is frame
            assert template.overlap == overlap
    message = get_action_request(
        {"cam": np.array(template.video["cam"])},
        {"arm": np.array(template.state["arm"])},
        ["task", "other"],
        texts[-1],
        Generation.B3,
        style,
        token,
        rtc_options(dialect, 16, overlaps[-1]),
    )
    assert_same(decode(template.frame), decode(encode(message, codec)))


def assert_same(got, expected):
    """Equal maps, with types and arrays."""
    assert type(got) is type(expected)
    if isinstance(got, dict):
        assert list(got) == list(expected)
        for key in got:
            assert_same(got[key], expected[key])
    elif isinstance(got, np.ndarray):
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype
    else:
        assert got == expected


def test_a_template_without_options_keeps_its_bytes_whatever_overlap_is_put_in():
    """The golden bytes of test_template.py are without."""
    template = RequestTemplate({}, {}, "l", generation=Generation.B2, key_style="nested")
    before = bytes(template.frame)
    template.set_overlap(OVERLAP)
    assert bytes(template.frame) == before and template.overlap is None


def test_no_number_changes_the_size_of_the_options():
    """So that nothing behind them moves."""
    sizes = {
        len(pack_options(rtc_options(RtcDialect.MAP, 16, overlap)))
        for overlap in (None, Overlap(0, 0, 0), Overlap(2**32 - 1, 2**16, 200))
    }
    assert len(sizes) == 1


# The info of a reply, which nobody trusts.


def test_only_plain_values_of_an_info_are_read():
    """At most 64 of them, texts as one line."""
    info = {"a": True, "b": 1, "c": 0.5, "d": "x\n" * 500, "e": [1], "f": {"g": 1}, "h": None}
    found = read_info([{}, info], Generation.B3)
    assert (found["a"], found["b"], found["c"]) == (True, 1, 0.5)
    assert set(found) == set("abcd") and "\n" not in found["d"] and len(found["d"]) <= 128
    assert len(read_info([{}, {str(n): n for n in range(999)}], Generation.B3)) == 64
    assert read_info([{}, None], Generation.B3) == read_info({}, Generation.A0) == {}


# The link and real servers.


class Noisy(HoldPolicy):
    """Walks from the state in a random direction, another one in each answer."""

    def __init__(self):
        super().__init__(ROBOT)
        self._random = np.random.default_rng(1)
        self.options, self.error_at = [], 10**9

    def __call__(self, observation, options):
        self.options.append(options)
        if options is not None and len(self.options) >= self.error_at:
            raise ValueError("unexpected option")
        action, info = super().__call__(observation, options)
        along = np.linspace(0.0, 1.0, HORIZON, dtype=np.float32)[None, :, None]
        return {
            key: rows + along * self._random.normal(0.0, 0.3, rows.shape[2]).astype(np.float32)
            for key, rows in action.items()
        }, info


class Lying(Noisy):
    """Says that it continues the chunk before where it is asked to, and does not."""

    def __call__(self, observation, options):
        action, info = super().__call__(observation, options)
        is_asked = (options or {}).get("rtc", {}).get("enabled", False)
        return action, info | {APPLIED: is_asked, REANCHORED: is_asked}


class FlatOnly(Inpainting):
    """Reads the flat dialect only, as some forks."""

    def __call__(self, observation, options):
        known = {k: v for k, v in (options or {}).items() if k != "rtc"}
        return super().__call__(observation, known)


class Forgetful(Inpainting):
    """Another robot asks in between, once: the chunk before is not ours."""

    disturbed = False

    def __call__(self, observation, options):
        if self.disturbed:
            super().__call__(observation, None)
        return super().__call__(observation, options)


class Eager(Inpainting):
    """Continues the chunk before although it is asked not to, once or always."""

    def __init__(self, policy, at=0):
        super().__init__(policy)
        self.at = at

    def __call__(self, observation, options):
        self.at -= 1
        rtc = (options or {}).get("rtc")
        if rtc is not None and not rtc["enabled"] and self.at <= 0:
            steps = {"executed_steps": 1, "overlap_steps": HORIZON - 1, "frozen_steps": 4}
            rtc = {"enabled": True, **steps}
        return super().__call__(observation, None if rtc is None else {"rtc": rtc})


@contextmanager
def linked(policy, generation="B3", wants_rtc=True):
    """A link to a real server of the policy."""
    server = PolicyServer(policy, generation, bind="tcp://127.0.0.1:0")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    client = PolicyServerClient("127.0.0.1", int(server.address.rpartition(":")[2]), 20_000)
    try:
        with closing(PolicyLink(client, ROBOT, None, wants_rtc=wants_rtc)) as link:
            yield link
    finally:
        server.stop()
        thread.join(20.0)
        server.close()


def query(link, overlap=OVERLAP, episode=1):
    """The action of a query that continues the one before, where the link can."""

    def fill(template):
        template.set_overlap(overlap if link.can_continue else None)

    return link.query(fill, episode)[1]["joint_position"]


@pytest.mark.parametrize(
    ("wrap", "dialect"), [(Inpainting, "options.rtc"), (FlatOnly, "flat options")]
)
@pytest.mark.parametrize("generation", ["B3", "A1"])
def test_a_server_that_continues_its_chunks_is_found_and_asked_to(wrap, dialect, generation):
    """In its dialect; the first answer of an episode continues nothing."""
    with linked(wrap(Noisy()), generation) as link:
        check = link.check()
        assert check.rtc.startswith(f"on ({dialect}, proven at the check)")
        first = query(link)
        second, third = query(link), query(link)
        np.testing.assert_array_equal(second[:4], first[10:14])
        np.testing.assert_array_equal(third[:4], second[10:14])
        assert (link.rtc.asked, link.rtc.applied) == (2, 2)
        assert "applied to 2 of 2" in link.rtc.text
        other = query(link, episode=2)
        assert np.abs(other[0] - third[10]).max() > 0.01 and link.rtc.asked == 2
        link.warm()
        assert not link.can_continue


def test_a_server_that_ignores_options_goes_on_without_them():
    """As before: its requests have none."""
    policy = Noisy()
    with linked(policy) as link:
        assert link.check().rtc == (
            "not used: options.rtc: the server does not say rtc_applied; "
            "flat options: the server ignores them"
        )
        query(link)
        query(link)
    assert policy.options[-2:] == [None, None]


def test_a_server_whose_answers_all_continue_each_other_proves_nothing():
    """The hold policy stands still; with the map it would say so, and is believed."""
    with linked(FlatOnly(HoldPolicy(ROBOT))) as link:
        assert "flat options: cannot be told" in link.check().rtc
    with linked(Inpainting(HoldPolicy(ROBOT))) as link:
        assert link.check().rtc.startswith("on (options.rtc")


def test_n15_has_no_options():
    """Nothing is asked for it."""
    with linked(Noisy(), "A0") as link:
        assert link.check().rtc == "not used: requests for N1.5 have no options"


def test_a_server_that_answers_an_error_to_options_gets_none():
    """Named, and the check passes."""
    policy = Noisy()
    policy.error_at = 0
    with linked(policy) as link:
        assert link.check().rtc.count("the server answers an error: unexpected option") == 2
        query(link)
    assert policy.options[-1] is None


def test_a_server_whose_answer_to_options_is_no_chunk_gets_none():
    """Its answers without options are good, so the check passes."""

    class Odd(Noisy):
        def __call__(self, observation, options):
            action, info = super().__call__(observation, options)
            nan = np.float32(np.nan)
            return {k: v * nan if options else v for k, v in action.items()}, info

    with linked(Odd()) as link:
        assert link.check().rtc.count("the answer cannot be used: action") == 2
        assert np.isfinite(query(link)).all()


def test_an_error_to_options_after_the_check_ends_them():
    """One query fails with it; the next has no options."""
    policy = Noisy()
    with linked(Inpainting(policy)) as link:
        link.check()
        query(link)
        policy.error_at = 0
        with pytest.raises(RemoteError, match="unexpected option"):
            query(link)
        assert link.rtc.text == "not used: the server answers an error: unexpected option"
        query(link)
        assert policy.options[-1] is None


def test_a_server_that_lies_at_the_check_is_named_and_not_used():
    """What it says counts only with the steps themselves."""
    with linked(Lying()) as link:
        text = link.check().rtc
    assert "options.rtc: the server says rtc_applied and step 0 of" in text
    assert "of the chunk before" in text and text.startswith("not used")


def test_an_answer_that_continues_another_chunk_is_dropped_and_ends_it():
    """Such as another robot's, behind a proxy; the next answer is a free one."""
    policy = Forgetful(Noisy())
    with linked(policy) as link:
        link.check()
        query(link)
        policy.disturbed = True
        with pytest.raises(WireError, match="rtc_applied and step .* the answer is dropped"):
            query(link)
        assert link.rtc.text.startswith("not used: the server says rtc_applied and")
        assert not link.can_continue
        query(link)
        query(link)
        assert link.rtc.asked == 1


def test_a_server_that_continues_what_it_was_asked_not_to_is_not_used():
    """The first chunk of an episode would be the last one's motion, from another pose."""
    with linked(Eager(Noisy())) as link:
        assert "options.rtc: the server says rtc_applied although" in link.check().rtc
    policy = Eager(Noisy(), at=10**9)
    with linked(policy) as link:
        assert link.check().rtc.startswith("on (options.rtc")
        query(link)
        query(link)
        policy.at = 0
        policy.reset = lambda _: {}
        with pytest.raises(WireError, match="although it was asked not to"):
            query(link, episode=2)
        assert link.rtc.text.startswith("not used: the server says rtc_applied although")
        query(link, episode=2)


@pytest.mark.parametrize("reanchors", [False, True])
def test_relative_actions_need_a_server_that_says_that_it_moves_their_anchor(reanchors):
    """Its frozen steps alone could be equal by chance: at the check the state is the same."""

    class Relative(Inpainting):
        @property
        def modality(self):
            entries = dict(super().modality)
            one = entries["action"]
            configs = tuple({**config, "rep": "RELATIVE"} for config in one.action_configs)
            entries["action"] = type(one)(one.delta_indices, one.keys, configs)
            return entries

        def __call__(self, observation, options):
            action, info = super().__call__(observation, options)
            return action, {k: v for k, v in info.items() if reanchors or k != REANCHORED}

    with linked(Relative(Noisy())) as link:
        text = link.check().rtc
    assert text.startswith("on (options.rtc" if reanchors else "not used: options.rtc: the server")
    assert reanchors or "does not say rtc_reanchored" in text
    assert reanchors or "flat options: nothing in a reply could say rtc_reanchored" in text


def test_without_the_wish_no_request_has_options():
    """The default: byte for byte as before."""
    policy = Noisy()
    with linked(policy, wants_rtc=False) as link:
        assert link.check().rtc == "off"
        query(link)
        query(link)
    assert set(map(str, policy.options)) == {"None"}
