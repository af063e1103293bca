"""The strict checks raise upstream's texts, to the letter."""

import numpy as np
import pytest

from gr00t_ros.errors import ChunkError, ObservationError
from gr00t_ros.observe.modality import ModalityEntry
from gr00t_ros.serve.endpoints import check_action, check_flat, check_nested, check_widths

MODALITY = {
    "video": ModalityEntry((-15, 0), ("front", "wrist")),
    "state": ModalityEntry((0,), ("arm",)),
    "action": ModalityEntry((0, 1, 2), ("arm",)),
    "language": ModalityEntry((0,), ("task",)),
}


def _video(batch=1, times=2, dtype=np.uint8, channels=3):
    return np.zeros((batch, times, 4, 6, channels), dtype)


def _state(batch=1, times=1, dtype=np.float32):
    return np.zeros((batch, times, 7), dtype)


def _nested():
    return {
        "video": {"front": _video(), "wrist": _video()},
        "state": {"arm": _state()},
        "language": {"task": [["pick up"]]},
    }


def _flat():
    return {
        "video.front": _video(),
        "video.wrist": _video(),
        "state.arm": _state(),
        "task": ["pick up"],
    }


def _text(check, observation):
    with pytest.raises(ObservationError) as error:
        check(observation, MODALITY)
    return str(error.value)


def test_good_observations_pass_in_both_key_styles():
    """The reference that every other case departs from in one point."""
    check_nested(_nested(), MODALITY)
    check_flat(_flat(), MODALITY)


def test_keys_and_modalities_beyond_the_config_are_let_pass():
    """Upstream looks only at the keys it knows."""
    nested = _nested() | {"depth": 1}
    nested["video"]["third"] = "no picture"
    check_nested(nested, MODALITY)
    check_flat(_flat() | {"video.third": 1}, MODALITY)


@pytest.mark.parametrize("name", ["video", "state", "language"])
def test_a_missing_or_flat_modality_is_named(name):
    """The first thing that a client of the wrong key style reads."""
    nested = _nested()
    del nested[name]
    assert _text(check_nested, nested) == f"Observation must contain a '{name}' key"
    nested[name] = 5
    text = _text(check_nested, nested)
    assert text == f"Observation '{name}' must be a dictionary. Got <class 'int'>: 5"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (_video(batch=2), "Video key 'wrist' must have batch size 1. Got 2"),
        ([1], "Video key 'wrist' must be a numpy array. Got <class 'list'>"),
        (
            _video(dtype=np.float32),
            "Video key 'wrist' must be a numpy array of type np.uint8. Got float32",
        ),
        (
            _video()[0][None, :1, :, :, 0],
            "Video key 'wrist' must be a numpy array of shape (B, T, H, W, C), got (1, 1, 4, 6)",
        ),
        (_video(times=1), "Video key 'wrist's horizon must be 2. Got 1"),
        (_video(channels=4), "Video key 'wrist's channel 'C' must be 3. Got 4"),
    ],
)
def test_a_wrong_picture_gets_upstreams_text(value, text):
    """Batch, type, dtype, axes, history, channels, in upstream's order."""
    nested = _nested()
    nested["video"]["wrist"] = value
    assert _text(check_nested, nested) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (_state(batch=3), "State key 'arm' must have batch size 1. Got 3"),
        (
            _state(dtype=np.float64),
            "State key 'arm' must be a numpy array of type np.float32. Got float64",
        ),
        (
            _state()[0],
            "State key 'arm' must be a numpy array of shape (B, T, D), got (1, 7)",
        ),
        (_state(times=2), "State key 'arm's horizon must be 1. Got 2"),
    ],
)
def test_a_wrong_state_gets_upstreams_text(value, text):
    """float64, a missing time axis and a wrong history are what clients get wrong."""
    nested = _nested()
    nested["state"]["arm"] = value
    assert _text(check_nested, nested) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([["a"], ["b"]], "Language key 'task' must have batch size 1. Got 2"),
        ("x", "Language key 'task' must be a list. Got <class 'str'>"),
        (["pick up"], "Language key 'task's horizon must be 1. Got 1"),
        (["x"], "Language batch item must be a list. Got <class 'str'>"),
        ([["a", "b"]], "Language key 'task's horizon must be 1. Got 1"),
        ([[7]], "Language batch item must be a string. Got <class 'int'>"),
    ],
)
def test_a_wrong_instruction_gets_upstreams_text(value, text):
    """Exactly one string per batch item, as list in list; the odd "Got 1" is upstream's own."""
    nested = _nested()
    nested["language"]["task"] = value
    assert _text(check_nested, nested) == text


@pytest.mark.parametrize(
    ("modality", "key", "text"),
    [
        ("video", "front", "Video key 'front' must be in observation"),
        ("state", "arm", "State key 'arm' must be in observation"),
        ("language", "task", "Language key 'task' must be in observation"),
    ],
)
def test_a_missing_key_is_named(modality, key, text):
    """A camera that is missing is a refusal, never a black picture."""
    nested = _nested()
    del nested[modality][key]
    assert _text(check_nested, nested) == text


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("video.front", None, "Video key 'front' must be a numpy array. Got <class 'NoneType'>"),
        ("video.front", _video(times=1), "Video key 'front's horizon must be 2. Got 1"),
        (
            "state.arm",
            _state(dtype=np.float64),
            "State key 'arm' must be a numpy array of type np.float32. Got float64",
        ),
        ("task", "pick up", "Language key 'task' must be a tuple or list. Got <class 'str'>"),
        ("task", [["pick up"]], "Language batch item must be a string. Got <class 'list'>"),
    ],
)
def test_a_wrong_flat_value_gets_the_wrappers_text(key, value, text):
    """Gr00tSimPolicyWrapper names keys without their prefix here."""
    assert _text(check_flat, _flat() | {key: value}) == text


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("video.wrist", "Video key 'video.wrist' must be in observation"),
        ("state.arm", "State key 'state.arm' must be in observation"),
        ("task", "Language key 'task' must be in observation"),
    ],
)
def test_a_missing_flat_key_is_named_with_its_prefix(key, text):
    """The text by which a client learns that the server is flat."""
    flat = _flat()
    del flat[key]
    assert _text(check_flat, flat) == text


def test_a_state_of_the_wrong_width_is_named_with_both_widths():
    """The check is ours: upstream fails in normalisation."""
    check_widths(_nested(), {"arm": 7})
    with pytest.raises(ObservationError, match="'arm' must have width 8. Got 7"):
        check_widths(_nested(), {"arm": 8})


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ({}, "Action key 'arm' must be in action"),
        ({"arm": [0.0]}, "Action key 'arm' must be a numpy array. Got <class 'list'>"),
        (
            {"arm": np.zeros((1, 3, 7))},
            "Action key 'arm' must be a numpy array of type np.float32. Got float64",
        ),
        (
            {"arm": np.zeros((3, 7), np.float32)},
            "Action key 'arm' must be a numpy array of shape (B, T, D), got (3, 7)",
        ),
        ({"arm": np.zeros((1, 2, 7), np.float32)}, "Action key 'arm's horizon must be 3. Got 2"),
    ],
)
def test_an_action_that_breaks_the_config_is_refused(action, text):
    """A policy of ours is checked before its chunk can reach a robot."""
    with pytest.raises(ChunkError) as error:
        check_action(action, MODALITY)
    assert str(error.value) == text


def test_an_action_that_keeps_the_config_passes():
    """The reference of the cases above."""
    check_action({"arm": np.zeros((1, 3, 7), np.float32)}, MODALITY)
