"""Crop, rotation and flip give the picture that numpy gives, for each size and combination."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.errors import ObservationError
from gr00t_ros.robot.framing import Crop, Framing

SIDES = st.integers(1, 9)


def clockwise(picture, degrees):
    """Pixel (r, c) of a picture of h rows goes to (c, h - 1 - r), as often as it takes."""
    for _ in range(degrees // 90):
        height, width = picture.shape[:2]
        turned = np.empty((width, height, *picture.shape[2:]), picture.dtype)
        for r in range(height):
            for c in range(width):
                turned[c, height - 1 - r] = picture[r, c]
        picture = turned
    return picture


@given(SIDES, SIDES, st.sampled_from([0, 90, 180, 270]), st.booleans(), st.booleans())
def test_rotation_is_clockwise_and_comes_before_the_flips(height, width, degrees, across, upside):
    """Each pixel is where the definition puts it, whatever the shape."""
    picture = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    expected = clockwise(picture, degrees)
    if across:
        expected = np.stack([row[::-1] for row in expected])
    if upside:
        expected = np.stack(list(expected)[::-1])
    framing = Framing(None, degrees, across, upside)
    np.testing.assert_array_equal(framing.turned(picture), expected)
    assert framing.size(height, width) == expected.shape[:2]
    assert framing.turns == (bool(degrees) or across or upside)


def test_half_a_turn_is_both_flips():
    """LIBERO's pictures: rotated by 180 degrees, or mirrored both ways."""
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    both = Framing(flip_horizontal=True, flip_vertical=True).turned(picture)
    np.testing.assert_array_equal(Framing(rotate_deg=180).turned(picture), both)


@pytest.mark.parametrize(
    ("crop", "box"),
    [
        (Crop("pixels", 10, 80, 460, 480), (10, 470, 80, 560)),
        (Crop("pixels", 0, 0, 480, 640), (0, 480, 0, 640)),
        (Crop("fraction", 0.0, 0.125, 1.0, 0.75), (0, 480, 80, 560)),
        (Crop("fraction", 0.025, 0.025, 0.95, 0.95), (12, 468, 16, 624)),
        (Crop("fraction", 0.99, 0.99, 0.01, 0.01), (475, 480, 634, 640)),
    ],
)
def test_a_crop_is_this_box_of_a_vga_picture(crop, box):
    """Pixels as they are, fractions to the nearest edge."""
    assert crop.box(480, 640) == box


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0.0, 0.99), st.floats(0.01, 1.0))
def test_a_fraction_is_inside_every_picture(height, width, start, share):
    """At least one pixel, never one that is not there."""
    share = min(share, 1.0 - start)
    top, bottom, left, right = Crop("fraction", start, start, share, share).box(height, width)
    assert 0 <= top < bottom <= height
    assert 0 <= left < right <= width


def test_pixels_that_a_picture_does_not_have_are_refused_with_both():
    """A crop that was made for a larger camera."""
    with pytest.raises(ObservationError, match="480x640 has no rows 0 to 720 and columns 0 to 640"):
        Framing(Crop("pixels", 0, 0, 720, 640), 90).size(480, 640)


def test_on_its_side_height_is_width():
    """After the crop, as it is sent."""
    assert Framing(Crop("pixels", 0, 0, 100, 300), 270).size(480, 640) == (300, 100)
