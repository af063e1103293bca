"""Batches: what was stacked and split again is what each robot sent and would have got alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.errors import WireError
from gr00t_ros.proxy.batch import BatchMemory, is_error, own_info, read_row, split
from gr00t_ros.wire.codec import decode, encode

CODECS = ("npy", "msgpack_numpy")
AXES = st.integers(1, 3)


def get_action(observation, array_codec="npy", options=None, **fields):
    """A request of N1.6 and later."""
    data = {"observation": observation, "options": options}
    return encode({"endpoint": "get_action", "data": data, **fields}, array_codec)


def row_of(frame):
    """The row of a request."""
    return read_row(frame, len(frame))


def observation(pixel=0, text="pick up", **changes):
    """A nested observation of one camera and one state key."""
    video = np.full((1, 2, 3, 4, 3), pixel, np.uint8)
    state = np.full((1, 1, 5), pixel, np.float32)
    return {"video": {"cam": video}, "state": {"arm": state}, "language": {"task": [[text]]}} | (
        changes
    )


@st.composite
def observations(draw):
    """Several observations of the same form, nested or flat, each with its own values."""
    count, flat = draw(st.integers(1, 5)), draw(st.booleans())
    shapes = {f"k{i}": (1, *draw(st.tuples(AXES, AXES))) for i in range(draw(st.integers(1, 3)))}
    rows = []
    for row in range(count):
        arrays = {
            key: np.full(shape, 10 * row + at, np.float32)
            for at, (key, shape) in enumerate(shapes.items())
        }
        text = draw(st.text(max_size=9))
        nested = {"video": arrays, "language": {"task": [[text]]}}
        rows.append({**arrays, "task": [text]} if flat else nested)
    return rows


@settings(max_examples=examples(60))
@given(observations(), st.sampled_from(CODECS), st.booleans(), st.sampled_from([None, "secret"]))
def test_a_batch_is_what_a_client_with_so_many_robots_would_have_sent(
    rows, array_codec, n15, token
):
    """To the byte; language of each row with it, the token once."""
    fields = {} if token is None else {"api_token": token}

    def request(value):
        if n15:
            return encode({"endpoint": "get_action", "data": value, **fields}, array_codec)
        return get_action(value, array_codec, {"seed": 3}, **fields)

    def stacked(values):
        if isinstance(values[0], dict):
            return {key: stacked([value[key] for value in values]) for key in values[0]}
        if isinstance(values[0], list):
            return [item for value in values for item in value]
        return np.concatenate(values)

    read = [row_of(request(row)) for row in rows]
    assert len({row.key for row in read}) == 1
    memory = BatchMemory()
    for _ in range(2):  # in the same memory again
        assert bytes(memory.stack(read)) == request(stacked(rows))


@settings(max_examples=examples(60))
@given(
    st.integers(1, 6), st.lists(st.tuples(AXES, AXES), min_size=1, max_size=3), *[st.booleans()] * 2
)
def test_each_robot_gets_its_own_row_as_the_server_would_have_sent_it_alone(count, keys, n15, npy):
    """To the byte, in the codec of the reply."""
    array_codec = CODECS[0 if npy else 1]

    def reply(numbers):
        action = {
            f"k{at}": np.stack([np.full(shape, n, np.float32) for n in numbers])
            for at, shape in enumerate(keys)
        }
        return encode(action if n15 else [action, {}], array_codec)

    whole = reply(range(count))
    assert split(whole, count, len(whole)) == [reply([row]) for row in range(count)]


@pytest.mark.parametrize(
    "other",
    [
        get_action(observation(), "msgpack_numpy"),
        get_action(observation(), options={"seed": 1}),
        get_action(observation(), api_token="secret"),
        get_action(observation(state={"arm": np.zeros((1, 1, 6), np.float32)})),
        get_action(observation(state={"arm": np.zeros((1, 1, 5), np.float64)})),
        get_action(observation(state={"leg": np.zeros((1, 1, 5), np.float32)})),
        get_action(observation(language={"task": ["pick up"]})),
    ],
)
def test_requests_that_differ_are_not_in_one_batch(other):
    """Codec, options, token, shape, dtype, names, form of the language."""
    assert row_of(other).key != row_of(get_action(observation())).key


@pytest.mark.parametrize(
    "frame",
    [
        get_action(observation(state={"arm": np.zeros((2, 1, 5), np.float32)})),
        get_action(observation(state={"arm": np.zeros((1, 5), np.float32)})),  # N1.5, no batch axis
        get_action(observation(state={"arm": np.zeros((1, 0, 5), np.float32)})),
        get_action(observation(language={"task": [["a"], ["b"]]})),
        get_action(observation(language={"task": "a"})),
        get_action(observation(further=3)),
        get_action({"language": {"task": [["a"]]}}),
        get_action([1]),
        encode({"endpoint": "get_action"}, "npy"),
        encode({"endpoint": "get_action", "data": None}, "npy"),
        encode([1], "npy"),
        b"\xc1",
    ],
)
def test_what_cannot_be_a_row_is_left_as_it_is(frame):
    """The server judges it, not the proxy."""
    assert row_of(frame) is None


def test_rtc_is_refused_with_what_to_do():
    """The chunk that it would continue may be another robot's."""
    for options in ({"rtc": {"enabled": True}}, {"rtc_overlap_steps": 3, "action_horizon": 9}):
        with pytest.raises(WireError, match="another robot's.*--batch 1"):
            row_of(get_action(observation(), options=options))


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ({"error": "CUDA out of memory\n" + "x" * 999}, "an error: CUDA out of memory"),
        ([{"arm": np.zeros((1, 4, 5), np.float32)}, {}], r"\(1, 4, 5\), expected \(2, H, D\)"),
        ([{"arm": np.zeros((2, 5), np.float32)}, {}], r"\(2, 5\), expected"),
        ([{"arm": [1, 2]}, {}], "of shape list"),
        ([{}, {}], "expected .action, info."),
        ([{"arm": np.zeros((2, 4, 5), np.float32)}], "expected .action, info."),
        ("ok", "expected .action, info."),
    ],
)
def test_a_reply_whose_rows_are_not_certain_is_nobody_s(reply, text):
    """No robot may get another's chunk."""
    frame = encode(reply, "npy")
    with pytest.raises(WireError, match=text) as caught:
        split(frame, 2, len(frame))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("array_codec", CODECS)
def test_of_the_info_a_robot_gets_its_own_rows_and_numbers_only(array_codec):
    """A text may quote anybody's observation, and a list of B entries is not one for each row."""
    info = {"value": np.array([1.0, 2.0]), "ms": 3, "seen": "a cup", "x": [1], "size": [480, 640]}
    info |= {"names": ["a", "b"]}
    frame = encode([{"arm": np.zeros((2, 4, 5), np.float32)}, info], array_codec)
    _, own = decode(split(frame, 2, len(frame))[1])
    assert own.pop("value").tolist() == [2.0] and own == {"ms": 3}


@pytest.mark.parametrize("kind", [bool, np.bool_, np.array, lambda it: np.array([it] * 3)])
@pytest.mark.parametrize("is_applied", [True, False])
def test_what_the_info_says_of_every_row_keeps_its_meaning(kind, is_applied):
    """Such as whether RTC was applied: of any type that a server's languages have for it."""
    info = {"rtc_applied": kind(is_applied)}
    frame = encode([{"arm": np.zeros((3, 4, 5), np.float32)}, info], "msgpack_numpy")
    for own in split(frame, 3, len(frame)):
        said = decode(own)[1]["rtc_applied"]
        assert said is is_applied or said.tolist() == [is_applied]


@pytest.mark.parametrize("value", [np.str_("a cup"), np.array("a cup"), np.array(None)])
def test_a_text_of_numpy_s_is_a_text(value):
    """A policy in this process may have any type in its info."""
    assert own_info({"seen": value, "ms": np.float32(1.5)}, slice(0, 1), 2) == {"ms": 1.5}


@pytest.mark.parametrize("info", [None, [], [1, 2], "all is well", 3, np.zeros(2)])
def test_an_info_that_is_no_map_says_nothing_and_forbids_nothing(info):
    """The action beside it may be good: clients read it so too."""
    frame = encode([{"arm": np.zeros((2, 4, 5), np.float32)}, info], "npy")
    for own in split(frame, 2, len(frame)):
        action, said = decode(own)
        assert action["arm"].shape == (1, 4, 5) and said == {}


def test_a_frame_in_flight_is_not_written_to():
    """Where its reply never came, its memory is left to ZeroMQ."""
    memory = BatchMemory()
    first = memory.stack([row_of(get_action(observation(1)))])
    before = bytes(first)
    memory.drop()
    memory.stack([row_of(get_action(observation(2)))])
    assert bytes(first) == before


@pytest.mark.parametrize(
    ("frame", "found"),
    [(b"\xc1", True), (encode({"error": ""}, "npy"), True), (encode([{}, {}], "npy"), False)],
)
def test_which_replies_are_errors(frame, found):
    """Of upstream's, and what nobody can read."""
    assert is_error(frame, len(frame)) is found
