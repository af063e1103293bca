"""Images are letterboxed or stretched, and written directly into the memory of the request."""

import cv2
import numpy as np
import pytest

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs import images
from gr00t_ros.inputs.images import fill
from gr00t_ros.robot.framing import Crop, Framing

WHITE = 255
BGR = cv2.COLOR_BGR2RGB


def _slot(height, width, offset=7):
    """A slot as the request template has it: a view into a frame, at any address."""
    frame = np.full(offset + height * width * 3, 99, np.uint8)
    return frame, frame[offset:].reshape(1, 1, height, width, 3)[0, 0]


def _white(height, width):
    return np.full((height, width, 3), WHITE, np.uint8)


def _filled_rows_and_columns(slot):
    white = (slot == WHITE).all(axis=2)
    assert ((slot == WHITE) | (slot == 0)).all()
    rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
    return (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)


@pytest.mark.parametrize(
    ("source", "target", "rows", "columns"),
    [
        ((480, 640), (180, 320), (0, 180), (40, 280)),
        ((720, 1280), (180, 320), (0, 180), (0, 320)),
        ((480, 640), (224, 224), (28, 196), (0, 224)),
        ((90, 100), (180, 320), (0, 180), (60, 260)),
        ((100, 1), (10, 10), (0, 10), (4, 5)),
        ((1, 4000), (10, 10), (4, 5), (0, 10)),
    ],
)
def test_pad_keeps_the_aspect_centred_on_black(source, target, rows, columns):
    """Wide and tall, shrunk and grown."""
    _, slot = _slot(*target)
    fill(_white(*source), None, True, slot, "pad")
    assert _filled_rows_and_columns(slot) == (rows, columns)


@pytest.mark.parametrize("source", [(480, 640), (60, 50), (90, 600), (180, 320)])
def test_stretch_fills_the_whole_slot(source):
    """No bars, whatever the aspect."""
    _, slot = _slot(180, 320)
    fill(_white(*source), None, True, slot, "stretch")
    assert (slot == WHITE).all()


def test_the_bars_are_black_again_after_a_picture_of_another_shape():
    """A slot is used again for every request; a camera may change its size in between."""
    _, slot = _slot(180, 320)
    fill(_white(720, 1280), None, True, slot, "pad")
    fill(_white(480, 640), None, True, slot, "pad")
    assert _filled_rows_and_columns(slot) == ((0, 180), (40, 280))


@pytest.mark.parametrize("source", [(180, 320), (480, 640), (90, 160)])
@pytest.mark.parametrize(
    ("channels", "code", "pixelwise"),
    [
        (3, None, True),
        (3, cv2.COLOR_BGR2RGB, True),
        (4, cv2.COLOR_BGRA2RGB, True),
        (1, cv2.COLOR_GRAY2RGB, True),
        (1, cv2.COLOR_BayerBG2RGB, False),
        (2, cv2.COLOR_YUV2RGB_YUYV, False),
    ],
)
def test_the_frame_of_the_request_itself_is_written(source, channels, code, pixelwise):
    """Nothing lands in an array that OpenCV made instead, and nothing outside the slot."""
    frame, slot = _slot(180, 320)
    pixels = np.full((*source, channels), 200, np.uint8)
    fill(pixels[..., 0] if channels == 1 else pixels, code, pixelwise, slot, "stretch")
    assert (frame[:7] == 99).all()
    assert (frame[7:] != 99).all()


def test_shrinking_averages_and_does_not_alias():
    """A fine chessboard becomes grey, not black or white."""
    board = np.indices((400, 400)).sum(axis=0) % 2 * 255
    _, slot = _slot(100, 100)
    fill(np.repeat(board.astype(np.uint8)[..., None], 3, axis=2), None, True, slot, "pad")
    assert np.abs(slot.astype(int) - 127).max() <= 1


def test_growing_interpolates():
    """A step between two pixels becomes a ramp."""
    step = np.zeros((4, 2, 3), np.uint8)
    step[:, 1] = 200
    _, slot = _slot(4, 8)
    fill(step, None, True, slot, "stretch")
    assert len(np.unique(slot)) > 2


@pytest.mark.parametrize("pixelwise", [True, False])
def test_colour_and_size_in_either_order_give_the_same_picture(pixelwise):
    """Converting fewer pixels is only faster."""
    pixels = np.random.default_rng(3).integers(0, 256, (60, 80, 3), np.uint8)
    _, slot = _slot(30, 40)
    fill(pixels, cv2.COLOR_BGR2RGB, pixelwise, slot, "pad")
    expected = cv2.resize(pixels, (40, 30), interpolation=cv2.INTER_AREA)[..., ::-1]
    np.testing.assert_array_equal(slot, expected)


def test_a_picture_that_opencv_put_elsewhere_is_an_error(monkeypatch):
    """A request with an old picture in its slot must never be sent."""
    monkeypatch.setattr(images.cv2, "resize", lambda source, size, **_: np.zeros((1, 1, 3)))
    _, slot = _slot(10, 10)
    with pytest.raises(ObservationError, match="instead of writing into the slot"):
        fill(_white(20, 20), None, True, slot, "pad")


def _expected(rgb, framing, slot_shape):
    """Crop, rotate, flip, average to a whole fraction of the size, centre: numpy alone."""
    top, bottom, left, right = framing.crop.box(*rgb.shape[:2])
    picture = rgb[top:bottom, left:right]
    for _ in range(framing.rotate_deg // 90):
        picture = picture.transpose(1, 0, 2)[:, ::-1]
    picture = np.fliplr(picture) if framing.flip_horizontal else picture
    picture = np.flipud(picture) if framing.flip_vertical else picture
    by = max(picture.shape[0] // slot_shape[0], picture.shape[1] // slot_shape[1])
    rows, columns = picture.shape[0] // by, picture.shape[1] // by
    small = picture.reshape(rows, by, columns, by, 3).mean(axis=(1, 3))
    slot = np.zeros((*slot_shape, 3))
    top, left = (slot_shape[0] - rows) // 2, (slot_shape[1] - columns) // 2
    slot[top : top + rows, left : left + columns] = small
    return slot


@pytest.mark.parametrize("by", [1, 2])
@pytest.mark.parametrize("rotate_deg", [0, 90, 180, 270])
@pytest.mark.parametrize(("across", "upside"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("bgr", [False, True])
def test_crop_then_rotate_then_flip_then_resize(by, rotate_deg, across, upside, bgr):
    """The order that the file's documentation states, pixel by pixel, padded into the slot."""
    rgb = np.random.default_rng(5).integers(0, 256, (40 * by, 60 * by, 3), np.uint8)
    crop = Crop("pixels", 4 * by, 10 * by, 20 * by, 30 * by)
    framing = Framing(crop, rotate_deg, across, upside)
    shape = (30, 34) if framing.on_its_side else (24, 30)
    _, slot = _slot(*shape)
    pixels = rgb[..., ::-1] if bgr else rgb
    fill(np.ascontiguousarray(pixels), BGR if bgr else None, True, slot, "pad", framing)
    difference = np.abs(slot - _expected(rgb, framing, shape))
    assert difference.max() <= (0.0 if by == 1 else 0.5)


@pytest.mark.parametrize(
    ("channels", "code"), [(0, cv2.COLOR_BayerBG2RGB), (2, cv2.COLOR_YUV2RGB_YUYV)]
)
def test_a_mosaic_is_cut_after_its_colours_are_known(channels, code):
    """An odd first row and column shift neither the pattern nor the shared colours."""
    pixels = np.random.default_rng(7).integers(0, 256, (20, 24, *[channels] * bool(channels)))
    pixels = pixels.astype(np.uint8)
    _, slot = _slot(10, 11)
    fill(pixels, code, False, slot, "stretch", Framing(Crop("pixels", 3, 5, 10, 11)))
    np.testing.assert_array_equal(slot, cv2.cvtColor(pixels, code)[3:13, 5:16])


def test_a_picture_without_options_is_not_copied_on_the_way(monkeypatch):
    """The hot path: one conversion, straight into the slot."""

    def no_array(*args, **kwargs):
        raise AssertionError("an array was made")

    monkeypatch.setattr(images.np, "empty", no_array)
    frame, slot = _slot(180, 320)
    fill(_white(180, 320), BGR, True, slot, "pad")
    assert (frame[7:] == WHITE).all()


def test_a_crop_that_the_picture_does_not_have_is_refused():
    """Nothing is made up at its border."""
    _, slot = _slot(10, 10)
    with pytest.raises(ObservationError, match="which crop wants"):
        fill(_white(20, 20), None, True, slot, "pad", Framing(Crop("pixels", 0, 0, 20, 21)))
