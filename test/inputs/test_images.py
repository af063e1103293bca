"""Every image encoding becomes the RGB that a computation without OpenCV gives."""

import re

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs import images
from gr00t_ros.inputs.images import IMAGE_ENCODINGS, decode_into, read
from gr00t_ros.robot.streams import VideoStream

HEIGHT, WIDTH = 8, 12
RED, GREEN, BLUE = (200, 30, 40), (20, 190, 60), (10, 50, 210)


def _picture():
    """Left third red, middle green, right blue, a gradient downwards."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for index, colour in enumerate((RED, GREEN, BLUE)):
        picture[:, 4 * index : 4 * index + 4] = colour
    picture -= np.arange(HEIGHT, dtype=np.uint8)[:, None, None]
    return picture


def _raw(pixels, encoding, padding=0, **changes):
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    step = rows.shape[1] + padding
    data = np.full((height, step), 123, np.uint8)
    data[:, : rows.shape[1]] = rows
    message = Image(height=height, width=width, encoding=encoding, step=step)
    message.header.stamp.sec = 5
    message.data.frombytes(data.tobytes())
    for name, value in changes.items():
        setattr(message, name, value)
    return serialize_message(message)


def _decoded(raw):
    slot = np.full((HEIGHT, WIDTH, 3), 77, np.uint8)
    stream = VideoStream("front", "/front", HEIGHT, WIDTH, "stretch", (0,))
    decode_into(read(raw, "raw"), stream, slot)
    return slot


def _check(raw):
    """Stamp, and height and width, of a frame that may be decoded."""
    frame = read(raw, "raw")
    return frame.stamp_ns, frame.size_px


def _mosaic(picture, pattern):
    """One sample of each 2x2 cell's pixels by the pattern's letters, read row by row."""
    channel = {"r": 0, "g": 1, "b": 2}
    mosaic = np.empty(picture.shape[:2], np.uint8)
    for index, letter in enumerate(pattern):
        row, column = divmod(index, 2)
        mosaic[row::2, column::2] = picture[row::2, column::2, channel[letter]]
    return mosaic


def _yuv422(picture, order):
    """BT.601 limited range (ITU-R BT.601-7, 2.5.3), two pixels sharing their chroma."""
    r, g, b = (picture[..., index].astype(float) for index in range(3))
    luma = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    blue = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    red = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    packed = np.empty((*picture.shape[:2], 2))
    packed[..., order.index("y")] = luma
    packed[:, 0::2, 1 - order.index("y")] = blue[:, 0::2]
    packed[:, 1::2, 1 - order.index("y")] = red[:, 0::2]
    return np.clip(np.round(packed), 0, 255).astype(np.uint8)


TESTED = set()


def _each(pattern):
    """A test of each row of the table whose name matches."""
    names = [name for name in IMAGE_ENCODINGS if re.fullmatch(pattern, name)]
    TESTED.update(names)
    return pytest.mark.parametrize("encoding", names)


def _alpha(pixels):
    return np.dstack([pixels, np.full(pixels.shape[:2], 9, np.uint8)])


CHANNELS = {
    "rgb": lambda p: p,
    "bgr": lambda p: p[..., ::-1],
    "rgba": _alpha,
    "bgra": lambda p: _alpha(p[..., ::-1]),
}


@pytest.mark.parametrize("padding", [0, 1, 5])
@_each("(rgb|bgr).*8")
def test_colour_encodings_arrive_as_rgb_whatever_the_step(encoding, padding):
    """Channels in RGB order, row padding left out, to the last bit."""
    pack = CHANNELS[encoding.removesuffix("8")]
    np.testing.assert_array_equal(_decoded(_raw(pack(_picture()), encoding, padding)), _picture())


@_each("mono8|8UC1")
@pytest.mark.parametrize("padding", [0, 3])
def test_grey_becomes_three_equal_channels(encoding, padding):
    """A monochrome camera is a grey picture."""
    grey = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(_decoded(_raw(grey, encoding, padding)), expected)


@pytest.mark.parametrize("padding", [0, 4])
@_each("uyvy|yuyv|yuv422.*")
def test_yuv422_arrives_as_rgb(encoding, padding):
    """Both byte orders, against BT.601 written out."""
    orders = {"uyvy": "uy", "yuv422": "uy", "yuv422_uyvy": "uy", "yuyv": "yu", "yuv422_yuy2": "yu"}
    got = _decoded(_raw(_yuv422(_picture(), orders[encoding]), encoding, padding))
    assert np.abs(got.astype(int) - _picture()).max() <= 3


@pytest.mark.parametrize("padding", [0, 2])
@_each("bayer_[rgb]{4}8")
def test_a_mosaic_is_read_by_the_name_that_ros_gives_it(encoding, padding):
    """The name spells the top left 2x2 pixels; another pattern would exchange colours."""
    pattern = encoding.removeprefix("bayer_").removesuffix("8")
    got = _decoded(_raw(_mosaic(_picture(), pattern), encoding, padding)).astype(int)
    for columns in (slice(1, 3), slice(5, 7), slice(9, 11)):  # away from the colours' borders
        assert np.abs(got[2:-2, columns] - _picture()[2:-2, columns]).max() <= 6


@pytest.mark.parametrize("encoding", ["yuv444", "RGB8", ""])
def test_another_encoding_is_refused_by_name_with_the_known_ones(encoding):
    """The operator reads what came and what would do."""
    raw = _raw(_picture(), encoding)
    for refuse in (lambda: _check(raw), lambda: _decoded(raw)):
        with pytest.raises(ObservationError) as refusal:
            refuse()
        assert f"encoding {encoding!r} is not one of" in str(refusal.value)
        assert all(name in str(refusal.value) for name in IMAGE_ENCODINGS)
        assert "set the driver's output to rgb8" in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({"step": 35}, "step is 35 bytes, expected at least 36"),
        ({"step": 37}, "data has 288 bytes, expected height [*] step = 296"),
        ({"height": 9}, "data has 288 bytes, expected height [*] step = 324"),
        ({"height": 0}, "at least 1 pixels"),
        ({"width": 0}, "at least 1 pixels"),
        ({"width": 2**31, "height": 2**31}, "at most"),
        ({"encoding": "yuyv", "width": 11}, "even width"),
        ({"encoding": "bayer_rggb8", "width": 2}, "at least 3 pixels"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused_with_the_numbers(changes, numbers):
    """A frame whose header does not fit its data is not guessed at."""
    raw = _raw(_picture(), **({"encoding": "rgb8", "width": WIDTH} | changes))
    with pytest.raises(ObservationError, match=numbers):
        _check(raw)


def test_a_slot_of_another_shape_is_refused():
    """The picture goes to the request's slot or nowhere."""
    stream = VideoStream("front", "/front", HEIGHT, WIDTH, "pad", (0,))
    with pytest.raises(ObservationError, match="slot is"):
        frame = read(_raw(_picture(), "rgb8"), "raw")
        decode_into(frame, stream, np.zeros((WIDTH, HEIGHT, 3), np.uint8))


def test_a_check_returns_the_stamp_of_a_good_frame():
    """The input side orders frames by it."""
    assert _check(_raw(_picture(), "rgb8")) == (5 * 10**9, (HEIGHT, WIDTH))


def _deepened(pixels, big_endian):
    """Samples of 16 bits whose high byte is the picture's, as bytes."""
    deep = (pixels.astype(int) * 256 + 77).astype(">u2" if big_endian else "<u2")
    return np.frombuffer(deep.tobytes(), np.uint8).reshape(*pixels.shape[:2], -1)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("big_endian", [0, 1])
@_each("(rgb|bgr).*16")
def test_samples_of_16_bits_give_their_high_byte(encoding, big_endian, padding):
    """In both byte orders, whatever the step, also where the picture is resized."""
    raw = _raw(
        _deepened(CHANNELS[encoding.removesuffix("16")](_picture()), big_endian),
        encoding,
        padding,
        width=WIDTH,
        is_bigendian=big_endian,
    )
    assert _check(raw) == (5 * 10**9, (HEIGHT, WIDTH))
    np.testing.assert_array_equal(_decoded(raw), _picture())
    half = np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8)
    decode_into(read(raw, "raw"), VideoStream("f", "/f", *half.shape[:2], "stretch", (0,)), half)
    assert abs(half.mean() - _picture().mean()) < 1.0


@pytest.mark.parametrize("big_endian", [0, 1])
@_each("mono16")
def test_a_grey_picture_of_16_bits(encoding, big_endian):
    """Its high byte, in three equal channels."""
    grey = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    raw = _raw(_deepened(grey, big_endian), encoding, 2, width=WIDTH, is_bigendian=big_endian)
    np.testing.assert_array_equal(_decoded(raw), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("big_endian", [0, 1])
@_each("bayer_[rgb]{4}16")
def test_a_mosaic_of_16_bits_is_that_of_its_high_bytes(encoding, big_endian):
    """To the last bit what the mosaic of 8 bits gives."""
    pattern = encoding.removeprefix("bayer_").removesuffix("16")
    mosaic = _mosaic(_picture(), pattern)
    deep = _raw(
        _deepened(mosaic, big_endian),
        encoding,
        width=WIDTH,
        is_bigendian=big_endian,
    )
    np.testing.assert_array_equal(_decoded(deep), _decoded(_raw(mosaic, f"bayer_{pattern}8")))


def _planes(picture, encoding, padding):
    """Luma above pairs of colour differences, BT.601 limited range, as (rows, step) bytes."""
    r, g, b = (picture[..., index].astype(float) for index in range(3))
    luma = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    blue = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    red = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    pair = np.stack([red, blue] if encoding == "nv21" else [blue, red], axis=-1)
    step = picture.shape[1] + padding
    if encoding == "nv24":
        chroma = np.pad(pair.reshape(len(pair), -1), [(0, 0), (0, 2 * padding)]).reshape(-1, step)
    else:
        chroma = np.pad(pair[::2, ::2].reshape(len(pair) // 2, -1), [(0, 0), (0, padding)])
    rows = np.vstack([np.pad(luma, [(0, 0), (0, padding)]), chroma])
    return np.clip(np.round(rows), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("padding", [0, 4])
@_each("nv.*")
def test_planes_of_luma_and_colour_arrive_as_rgb(encoding, padding):
    """Against BT.601 written out; two rows share their colour, so the gradient adds one."""
    rows = _planes(_picture(), encoding, padding)
    raw = _raw(rows, encoding, height=HEIGHT, width=WIDTH)
    assert _check(raw) == (5 * 10**9, (HEIGHT, WIDTH))
    assert np.abs(_decoded(raw).astype(int) - _picture()).max() <= 4
    with pytest.raises(ObservationError, match="data has .* bytes, expected height [*] step"):
        _check(_raw(rows[:-1], encoding, height=HEIGHT, width=WIDTH))


@pytest.mark.parametrize(
    ("encoding", "remedy"),
    [
        ("8UC3", "says no order of colours: let its publisher name it, rgb8 or bgr8"),
        ("8UC4", "says no order of colours"),
        ("16UC3", "says no order of colours"),
        ("16UC1", "says no range of brightness .depth, perhaps.: set the driver's output to"),
        ("32FC1", "says no range of brightness"),
    ],
)
def test_a_type_of_opencv_is_no_encoding_of_a_picture(encoding, remedy):
    """What red is, or what white is, would be guessed."""
    raw = _raw(_picture(), encoding)
    for refuse in (lambda: _check(raw), lambda: _decoded(raw)):
        with pytest.raises(ObservationError, match=f"'{encoding}' {remedy}"):
            refuse()


class _Bridge:
    """What cv_bridge offers, of one encoding that the table lacks."""

    def encoding_to_cvtype2(self, encoding):
        """Raise for others, as cv_bridge does."""
        if encoding != "grb8":
            raise RuntimeError(f"Unrecognized image encoding [{encoding}]")

    def imgmsg_to_cv2(self, message, wanted):
        """RGB of green, red, blue."""
        assert wanted == "rgb8"
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        pixels = rows[:, : 3 * message.width].reshape(message.height, message.width, 3)
        return pixels[..., [1, 0, 2]]


def test_a_name_that_the_table_lacks_goes_to_cv_bridge(monkeypatch):
    """Where it is installed and knows it; what it does not know is refused with the remedy."""
    raw = _raw(_picture()[..., [1, 0, 2]], "grb8", 2)
    with pytest.raises(ObservationError, match="'grb8' is not one of"):
        _check(raw)
    monkeypatch.setattr(images, "_bridge", _Bridge)
    assert _check(raw) == (5 * 10**9, (HEIGHT, WIDTH))
    np.testing.assert_array_equal(_decoded(raw), _picture())
    assert images.level(read(raw, "raw")) is None
    with pytest.raises(ObservationError, match="nor one that cv_bridge knows: set the driver"):
        _check(_raw(_picture(), "yuv444"))
    with pytest.raises(ObservationError, match="data has 288 bytes, expected height"):
        _check(_raw(_picture(), "grb8", step=37))


def test_every_row_of_the_table_has_a_test():
    """The tests above take their encodings from the table; this one finds a row of a new kind."""
    assert set(IMAGE_ENCODINGS) == TESTED
