"""JPEG and PNG are decoded as drivers send them; decompression bombs are rejected."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs.images import decode_into, read
from gr00t_ros.robot.streams import VideoStream

HEIGHT, WIDTH = 8, 12


def _picture():
    """A small picture of which no two channels are alike."""
    return np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def _compressed(payload, text="jpeg"):
    message = CompressedImage(format=text)
    message.header.stamp.sec = 5
    message.data.frombytes(bytes(payload))
    return serialize_message(message)


def _decoded(raw, height=HEIGHT, width=WIDTH):
    slot = np.full((height, width, 3), 77, np.uint8)
    stream = VideoStream("front", "/front", height, width, "stretch", (0,), "compressed")
    decode_into(read(raw, "compressed"), stream, slot)
    return slot


def _smooth(height=64, width=96):
    rows, columns = np.mgrid[0:height, 0:width]
    red = 40 + 2 * columns
    return np.stack([red, 200 - rows, np.full_like(rows, 30)], axis=2).astype(np.uint8)


def _jpeg(picture):
    options = [cv2.IMWRITE_JPEG_QUALITY, 98]
    return cv2.imencode(".jpg", picture[..., ::-1], options)[1].tobytes()


def _png(picture, **header):
    """A PNG written by hand: IHDR, one IDAT without filters, IEND."""
    height, width = picture.shape[:2]
    lines = b"".join(b"\0" + row.tobytes() for row in picture)
    sizes = (header.get("width", width), header.get("height", height), header.get("bits", 8))

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", *sizes, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def _rotated_by_exif(jpeg):
    """The same JPEG with an EXIF orientation of 6 (turn by 90 degrees)."""
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, 6, 0) + b"\0" * 4
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize(
    "text", ["jpeg", "jpg", "", "rgb8; jpeg compressed bgr8", "bayer_rggb8; jpeg compressed bgr8"]
)
def test_a_jpeg_arrives_as_rgb(text):
    """Red stays red, whatever its publisher writes into `format`."""
    got = _decoded(_compressed(_jpeg(_smooth()), text), 64, 96)
    assert np.abs(got.astype(int) - _smooth()).max() <= 8


def test_a_jpeg_that_was_compressed_as_rgb_has_its_colours_back():
    """compressed_image_transport then hands RGB to an encoder that takes BGR."""
    swapped = _jpeg(_smooth()[..., ::-1])
    got = _decoded(_compressed(swapped, "rgb8; jpeg compressed rgb8"), 64, 96)
    assert np.abs(got.astype(int) - _smooth()).max() <= 8


def test_a_grey_jpeg_is_a_grey_picture():
    """A monochrome camera compresses one component."""
    grey = np.repeat(_smooth()[..., :1], 3, axis=2)
    payload = cv2.imencode(".jpg", grey[..., 0])[1].tobytes()
    got = _decoded(_compressed(payload, "mono8; jpeg compressed "), 64, 96)
    assert np.abs(got.astype(int) - grey).max() <= 8


@pytest.mark.parametrize("text", ["png", "rgb8; png compressed bgr8"])
def test_a_png_arrives_as_rgb(text):
    """Lossless to the last bit."""
    got = _decoded(_compressed(_png(_picture()), text))
    np.testing.assert_array_equal(got, _picture())


def test_exif_orientation_is_ignored():
    """The picture keeps the sensor's rows and columns."""
    turned = _rotated_by_exif(_jpeg(_smooth()))
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape[:2] == (96, 64)
    got = _decoded(_compressed(turned), 64, 96)
    assert np.abs(got.astype(int) - _smooth()).max() <= 8


def test_bytes_that_a_camera_pads_behind_its_jpeg_do_no_harm():
    """UVC cameras round their transfers up."""
    got = _decoded(_compressed(_jpeg(_smooth()) + bytes(900)), 64, 96)
    assert np.abs(got.astype(int) - _smooth()).max() <= 8


def _resized_jpeg(height, width):
    payload = bytearray(_jpeg(_smooth()))
    at = payload.index(b"\xff\xc0")
    payload[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(payload)


def _of_many_scans():
    """A picture of a thousand scans without data, ten bytes each."""
    head, found, _ = _jpeg(_smooth()).partition(b"\xff\xda")
    return head + 1000 * (found + b"\0\x08\1\1\0\0\x3f\0") + b"\xff\xd9"


def _behind_a_stuffed_byte():
    """Decoders skip FF 00 and see the whole picture; its length leads to the end marker."""
    rest = _jpeg(_smooth())[2:-2]
    return b"\xff\xd8\xff\0" + struct.pack(">H", 2 + len(rest)) + rest + b"\xff\xd9"


def test_a_progressive_jpeg_arrives():
    """compressed_image_transport can send them: ten scans."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    payload = cv2.imencode(".jpg", _smooth()[..., ::-1], options)[1].tobytes()
    assert payload.count(b"\xff\xda") == 10
    got = _decoded(_compressed(payload), 64, 96)
    assert np.abs(got.astype(int) - _smooth()).max() <= 8


@pytest.mark.parametrize(
    ("payload", "text", "reason"),
    [
        (_of_many_scans(), "jpeg", "1000 scans"),
        (_behind_a_stuffed_byte(), "jpeg", "ends at byte 2"),
        (_resized_jpeg(65535, 65535), "jpeg", "65535x65535 pixels"),
        (_resized_jpeg(0, 96), "jpeg", "0x96 pixels"),
        (_png(_picture(), width=60000, height=60000), "png", "60000x60000 pixels"),
        (_png(_picture(), bits=16), "png", "16 bits"),
        (_jpeg(_smooth())[:-300], "jpeg", "truncated"),
        (_png(_picture())[:-12], "png", "truncated"),
        (_jpeg(_smooth())[:2] + b"\xff\xd9", "jpeg", "end marker|frame header"),
        (b"\0\0\0\1\x67h264", "h264", "'h264'.*no JPEG or PNG"),
        (b"", "jpeg", "no JPEG or PNG"),
        (_png(_picture()), "16UC1; compressedDepth png", "is depth"),
        (_jpeg(_smooth()), "bayer_rggb8; jpeg compressed ", "Bayer mosaic"),
    ],
)
def test_a_payload_that_cannot_be_used_is_refused_before_it_is_decoded(
    payload, text, reason, monkeypatch
):
    """Bombs, cut transfers and other formats are named; OpenCV never sees them."""
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    for refuse in (lambda raw: read(raw, "compressed"), _decoded):
        with pytest.raises(ObservationError, match=reason):
            refuse(_compressed(payload, text))


def test_a_png_with_a_wrong_checksum_is_refused():
    """What OpenCV cannot decode is our own error."""
    payload = bytearray(_png(_picture()))
    payload[60] ^= 0xFF
    with pytest.raises(ObservationError, match="front: "):
        _decoded(_compressed(payload, "png"))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([_jpeg(_smooth()), _png(_picture())]), st.data())
def test_mutated_payloads_decode_or_raise_an_observation_error(payload, data):
    """Nothing but our own error leaves the decoder."""
    changed = bytearray(payload)
    for at, byte in data.draw(
        st.dictionaries(st.integers(0, len(payload) - 1), st.integers(0, 255), max_size=5)
    ).items():
        changed[at] = byte
    raw = _compressed(changed)
    try:
        read(raw, "compressed")
    except ObservationError:
        return  # refused by its headers, as it comes
    try:
        _decoded(raw)
    except ObservationError as error:
        assert "front" in str(error)
