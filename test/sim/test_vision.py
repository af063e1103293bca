"""A coloured thing is found where it lies, and nothing is found that cannot be that thing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gr00t_ros.sim import vision
from gr00t_ros.sim.franka.episode import CUBE, find
from gr00t_ros.sim.franka.layout import EXTERIOR

SIZE_PX = (180, 320)
TABLE_RGB = (180, 170, 155)
RGB = {
    "red": (200, 25, 20),
    "green": (25, 150, 50),
    "blue": (25, 65, 200),
    "yellow": (220, 190, 20),
}
ON_TABLE = st.tuples(st.floats(0.3, 0.65), st.floats(-0.25, 0.25), st.floats(0.0, 0.05))


def picture_of(*things) -> np.ndarray:
    """A table with squares: (rgb, (x, y) m, half edge in pixels)."""
    picture = np.full((*SIZE_PX, 3), TABLE_RGB, dtype=np.uint8)
    for rgb, place, half_px in things:
        row, column = EXTERIOR.project([[*place, CUBE.middle_m]], SIZE_PX)[0].round().astype(int)
        picture[row - half_px : row + half_px + 1, column - half_px : column + half_px + 1] = rgb
    return picture


@given(ON_TABLE)
def test_a_ray_through_a_projected_point_meets_it_again(point):
    """Projection and intersection are inverses of each other."""
    pixel = EXTERIOR.project([point], SIZE_PX)[0]
    found = EXTERIOR.point_at_height((pixel[0], pixel[1]), SIZE_PX, point[2])
    assert np.allclose(found, point, atol=1e-9)


def test_a_ray_to_the_sky_meets_no_table():
    """The picture's first row looks above the horizon or to it."""
    with pytest.raises(ValueError, match="does not meet"):
        EXTERIOR.point_at_height((-200.0, 160.0), SIZE_PX, 0.0)


@pytest.mark.parametrize("colour", RGB)
def test_each_colour_is_itself_and_no_other(colour):
    """Also in shade and in bright light; the table has no colour."""
    for light in (0.3, 0.6, 1.0):
        pixel = (np.array([[RGB[colour]]]) * light).astype(np.uint8)
        seen = [name for name in vision.HUES_DEG if vision.colour_mask(pixel, name).any()]
        assert seen == [colour]
    assert not vision.colour_mask(picture_of(), colour).any()


@given(arrays.arrays(np.bool_, (7, 9)))
def test_blobs_are_the_connected_regions(mask):
    """The same regions as a flood fill finds, each pixel exactly once."""
    found = {frozenset(map(tuple, blob.tolist())) for blob in vision.blobs(mask)}
    assert found == flood_filled(mask)


def flood_filled(mask) -> set:
    """Regions of true pixels joined along edges, by walking from pixel to pixel."""
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    regions = set()
    while left:
        region, border = set(), [left.pop()]
        while border:
            row, column = border.pop()
            region.add((row, column))
            near = {(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)}
            border.extend(near & left)
            left -= near
        regions.add(frozenset(region))
    return regions


@given(st.tuples(st.floats(0.36, 0.6), st.floats(-0.24, 0.24)))
def test_a_cube_is_found_where_it_lies(place):
    """Within a pixel, which is less than a centimetre."""
    found = find(picture_of((RGB["red"], place, 4)), "red", CUBE)
    assert found is not None
    assert np.linalg.norm(found - place) < 0.01


@pytest.mark.parametrize(
    "things",
    [
        [],
        [(RGB["green"], (0.5, 0.0), 4)],
        [(RGB["red"], (0.5, 0.0), 1)],
        [(RGB["red"], (0.5, 0.0), 14)],
        [(RGB["red"], (0.5, 0.1), 4), (RGB["red"], (0.5, -0.1), 4)],
        [(RGB["red"], (-0.6, 0.1), 4)],
    ],
    ids=["nothing", "another colour", "too small", "too large", "two of them", "off the table"],
)
def test_what_cannot_be_the_cube_is_not_found(things):
    """A guess would move the robot."""
    assert find(picture_of(*things), "red", CUBE) is None


def test_a_speck_of_the_same_colour_does_not_hide_the_cube():
    """Noise is smaller than a cube."""
    things = [(RGB["red"], (0.5, 0.1), 4), (RGB["red"], (0.45, -0.2), 0)]
    found = find(picture_of(*things), "red", CUBE)
    assert found is not None
    assert np.linalg.norm(found - (0.5, 0.1)) < 0.01
