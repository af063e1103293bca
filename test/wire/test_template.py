"""template: the prebuilt request equals the encoded request, byte for byte."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.errors import ObservationError
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.codec import decode, encode
from gr00t_ros.wire.messages import Generation, get_action_request
from gr00t_ros.wire.template import (
    FRAME_OFFSET,
    MAX_INSTRUCTION_BYTES,
    RequestBuffers,
    RequestTemplate,
)

GOLDEN = Path(__file__).parents[1] / "golden"
OBSERVATION = json.loads((GOLDEN / "golden.json").read_text())["observation"]
LANGUAGE = "annotation.human.task_description"


def build(**changes):
    """A template of two small cameras and one state key."""
    arguments = {"generation": Generation.A1, "key_style": "nested"} | changes
    return RequestTemplate(
        {"cam_a": (1, 4, 4), "cam_b": (1, 4, 4)}, {"joints": (1, 3)}, LANGUAGE, **arguments
    )


@pytest.mark.parametrize("codec", ["npy", "msgpack_numpy"])
@pytest.mark.parametrize(("style", "file"), [("nested", "get_action"), ("flat", "get_action_flat")])
def test_the_filled_template_is_the_golden_request(codec, style, file):
    """What upstream's client sent."""
    template = build(array_codec=codec, key_style=style)
    for key, entry in OBSERVATION["video"].items():
        template.video[key][...] = np.reshape(entry["values"], entry["shape"])
    joints = OBSERVATION["state"]["joints"]
    template.state["joints"][...] = np.reshape(joints["values"], joints["shape"])
    template.set_instruction("pick up")
    assert bytes(template.frame) == (GOLDEN / f"{codec}.{file}.request.bin").read_bytes()


KEYS = st.text("abc_é.", min_size=1, max_size=40)
SIDES = st.integers(1, 9)


@given(
    video=st.dictionaries(KEYS, st.tuples(st.integers(1, 3), SIDES, SIDES), max_size=3),
    state=st.dictionaries(KEYS, st.tuples(st.integers(1, 3), st.integers(1, 80)), max_size=3),
    language_keys=st.lists(
        st.text(min_size=1, max_size=40).filter(lambda t: t.isprintable()),
        min_size=1,
        max_size=3,
        unique=True,
    ),
    instructions=st.lists(st.text(max_size=300), min_size=1, max_size=3),
    generation=st.sampled_from([Generation.A0, Generation.A1, Generation.B2]),
    style=st.sampled_from(["nested", "flat"]),
    token=st.none() | st.just("secret"),
    codec=st.none() | st.sampled_from(["npy", "msgpack_numpy"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=examples(120), deadline=None)
def test_a_template_of_any_shape_equals_the_encoded_message(
    video, state, language_keys, instructions, generation, style, token, codec, seed
):
    """Keys, shapes, codecs, styles, tokens and changes of the instruction."""
    template = RequestTemplate(
        video,
        state,
        language_keys,
        generation=generation,
        key_style=style,
        array_codec=codec,
        token=Token(token) if token else None,
    )
    random = np.random.default_rng(seed)
    for view in template.video.values():
        view[...] = random.integers(0, 256, view.shape)
    for values in template.state.values():
        values[...] = random.normal(size=values.shape)
    for text in instructions:
        template.set_instruction(text)
    message = get_action_request(
        {k: np.array(v) for k, v in template.video.items()},
        {k: np.array(v) for k, v in template.state.items()},
        language_keys,
        instructions[-1],
        generation,
        style,
        token,
    )
    assert bytes(template.frame) == encode(message, codec or generation.array_codec)


@pytest.mark.parametrize("style", ["nested", "flat"])
def test_the_instruction_goes_under_each_language_key(style):
    """Also the longest one, and a shorter one after it."""
    keys = ["annotation.language.language_instruction", "annotation.b", "annotation.c"]
    template = RequestTemplate({}, {}, keys, generation=Generation.B2, key_style=style)
    for text in ("pick up", "x" * MAX_INSTRUCTION_BYTES, "put down"):
        template.set_instruction(text)
        observation = decode(template.frame)["data"]["observation"]
        if style == "nested":
            assert observation["language"] == {key: [[text]] for key in keys}
        else:
            assert {key: observation[key] for key in keys} == {key: [text] for key in keys}


def test_slots_are_writable_contiguous_views_into_one_frame_off_the_page_start():
    """OpenCV writes into them with dst=; a page-aligned frame is slow to send."""
    template = RequestTemplate(
        {"c": (2, 6, 8)}, {"j": (1, 7)}, "l", generation=Generation.B2, key_style="nested"
    )
    image = template.video["c"][0, 1]
    assert image.shape == (6, 8, 3)
    assert image.flags.c_contiguous
    assert image.flags.writeable
    image[...] = 7
    assert bytes(template.frame).count(7) >= image.size
    assert np.frombuffer(template.frame, np.uint8).ctypes.data % 4096 == FRAME_OFFSET


def test_a_new_instruction_leaves_the_observation_alone():
    """Only the bytes behind the arrays are written."""
    template = build(instruction="one")
    template.video["cam_a"][...] = 9
    before = bytes(template.frame)
    template.set_instruction("a longer instruction")
    assert (template.video["cam_a"] == 9).all()
    template.set_instruction("one")
    assert bytes(template.frame) == before


@pytest.mark.parametrize("text", ["x" * (MAX_INSTRUCTION_BYTES + 1), "\ud800"])
def test_an_instruction_that_cannot_be_sent_is_refused_and_the_old_one_stays(text):
    """The frame is never left half written."""
    template = build(instruction="go")
    before = bytes(template.frame)
    with pytest.raises(ObservationError):
        template.set_instruction(text)
    assert (bytes(template.frame), template.instruction) == (before, "go")


def test_the_longest_instruction_fits():
    """The bound is the frame's own reserve."""
    template = build(token=Token("t" * 100))
    template.set_instruction("é" * (MAX_INSTRUCTION_BYTES // 2))
    assert template.frame.nbytes > MAX_INSTRUCTION_BYTES


def test_two_buffers_are_handed_out_and_no_third():
    """One in flight, one to fill."""
    buffers = RequestBuffers(build)
    first, second = buffers.take(), buffers.take()
    assert first is not second
    assert buffers.take() is None
    buffers.give_back(second)
    assert buffers.take() is second


def test_a_dropped_buffer_is_never_handed_out_again():
    """ZeroMQ may still read from its memory."""
    buffers = RequestBuffers(build)
    dropped = buffers.take()
    dropped.set_instruction("go")
    buffers.drop(dropped)
    held = [buffers.take(), buffers.take()]
    assert None not in held
    assert dropped not in held
    assert held[1].instruction == "go"
    held[1].video["cam_a"][...] = 5
    assert not dropped.video["cam_a"].any()
