"""Repeated and black camera frames are found at their thresholds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.watch.finding import Reaction
from gr00t_ros.watch.inputs import BlackCamera, FrozenCamera

STREAM = "video.wrist"


@pytest.mark.parametrize("same", ["stamp", "content"])
@pytest.mark.parametrize(("frames", "pauses"), [(1, False), (9, False), (10, True), (11, True)])
def test_ten_equal_frames_pause(same, frames, pauses) -> None:
    """Equal by stamp or by content; the first counts."""
    watch = FrozenCamera(STREAM)
    for i in range(frames):
        watch.see(7 if same == "stamp" else i, same == "content" and i > 0)
    found = watch.finding()
    assert (found is not None) is pauses
    if found is not None:
        assert (found.watch, found.reaction) == ("frozen_camera", Reaction.PAUSE)
        text = (
            f"{STREAM}: {frames} frames in a row with the same {same}, fewer than 10 expected; "
            "restart the camera's driver"
        )
        hint = " (for pictures without noise, as of a simulation: frozen_camera_frames 0)"
        assert found.reason == text + (hint if same == "content" else "")


def test_no_frame_is_no_frozen_one() -> None:
    """Silence is for the age to judge."""
    assert FrozenCamera(STREAM).finding() is None


def test_one_frame_that_differs_ends_the_pause() -> None:
    """And the count begins anew with it."""
    watch = FrozenCamera(STREAM)
    for i in range(12):
        watch.see(i, i > 0)
    watch.see(12, False)
    assert watch.finding() is None
    for i in range(8):
        watch.see(13 + i, True)
    assert watch.finding() is None
    watch.see(21, True)
    assert watch.finding() is not None


def test_the_first_frame_is_not_equal_to_none() -> None:
    """Whatever its stamp."""
    watch = FrozenCamera(STREAM, 2)
    watch.see(0, True)
    assert watch.finding() is None


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=30))
def test_a_pause_means_that_the_last_frames_each_repeat_the_one_before(frames) -> None:
    """And the reverse, for every limit."""
    watch = FrozenCamera(STREAM, 4)
    for frame in frames:
        watch.see(*frame)
    tail = frames[-4:]
    repeats = [a[0] == b[0] or b[1] for a, b in zip(tail, tail[1:], strict=False)]
    assert (watch.finding() is not None) is (len(tail) == 4 and all(repeats))


@pytest.mark.parametrize(
    ("level", "black"), [(0.0, True), (3.0, True), (3.01, False), (255, False)]
)
@pytest.mark.parametrize("frames", [9, 10, 11])
def test_ten_frames_not_above_the_level_pause(level, black, frames) -> None:
    """The level itself is black."""
    watch = BlackCamera(STREAM)
    for _ in range(frames):
        watch.see(level)
    found = watch.finding()
    assert (found is not None) is (black and frames >= 10)
    if found is not None:
        assert (found.watch, found.reaction) == ("black_camera", Reaction.PAUSE)
        assert found.reason == (
            f"{STREAM}: {frames} black frames in a row, mean level {level:.1f} of 255, above 3.0 "
            "expected; uncover the lens and switch on the light"
        )


def test_a_level_that_is_no_number_is_black() -> None:
    """Nobody knows what such a camera shows."""
    watch = BlackCamera(STREAM, limit_frames=2)
    watch.see(float("nan"))
    watch.see(float("nan"))
    assert watch.finding() is not None


def test_one_bright_frame_ends_the_darkness() -> None:
    """And the count begins anew."""
    watch = BlackCamera(STREAM, limit_frames=2)
    for level in (0.0, 0.0, 90.0):
        watch.see(level)
    assert watch.finding() is None
    watch.see(0.0)
    assert watch.finding() is None
    watch.see(0.0)
    assert watch.finding() is not None
