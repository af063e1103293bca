"""With sensor noise no two frames are equal, and none differs much from the rendered one."""

import numpy as np

from gr00t_ros.sim.cameras import SensorNoise

GREY = np.full((48, 64, 3), 40, dtype=np.uint8)


def test_a_picture_that_stays_the_same_never_looks_the_same():
    """Neither the next frame nor any of the next hundred."""
    noise = SensorNoise(0)
    frames = {noise.add(GREY).tobytes() for _ in range(100)}
    assert len(frames) > 95
    ends = [GREY, *(noise.add(GREY) for _ in range(20))]
    assert all((a != b).any() for a, b in zip(ends, ends[1:], strict=False))


def test_each_value_is_at_most_one_level_away_at_both_ends_of_the_range():
    """Black stays black, white stays white; what was handed in is not touched."""
    for level in (0, 1, 254, 255):
        picture = np.full((48, 64, 3), level, dtype=np.uint8)
        noisy = SensorNoise(1).add(picture)
        assert noisy.shape == picture.shape and noisy.dtype == np.uint8
        assert np.abs(noisy.astype(int) - level).max() == 1
        assert (picture == level).all()
        assert 0.4 < (noisy != picture).mean() < 0.6


def test_the_same_seed_gives_the_same_frames():
    """A run can be repeated; another seed is another sensor."""
    first, again, other = SensorNoise(7), SensorNoise(7), SensorNoise(8)
    for _ in range(5):
        frame = first.add(GREY)
        np.testing.assert_array_equal(frame, again.add(GREY))
        assert (frame != other.add(GREY)).any()


def test_pictures_of_another_size_get_noise_of_their_own():
    """Two cameras need not be of one size."""
    noise = SensorNoise(0)
    for shape in ((16, 16, 3), (480, 640, 3), (20, 30, 3)):
        assert (noise.add(np.zeros(shape, dtype=np.uint8)) == 1).any()
