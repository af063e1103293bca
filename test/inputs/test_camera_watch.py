"""CameraWatch finds frozen and black images in every encoding, and compares all pixels."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from gr00t_ros.inputs.camera_watch import CameraWatch
from gr00t_ros.inputs.images import IMAGE_ENCODINGS, level, read
from gr00t_ros.ros.parameters import DEFAULTS

HEIGHT, WIDTH = 180, 320


def values(**changes):
    """The node's parameters with these changed."""
    return replace(DEFAULTS, **changes)


def raw(pixels, encoding="rgb8"):
    """A serialised Image of (H, W, C) pixels."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    message = Image(
        height=HEIGHT,
        width=pixels.shape[1],
        encoding=encoding,
        step=pixels.shape[1] * channels,
    )
    message.data.frombytes(np.ascontiguousarray(pixels).tobytes())
    return bytes(serialize_message(message))


def packed(pixels, suffix):
    """A serialised CompressedImage."""
    message = CompressedImage(format=suffix[1:])
    message.data.frombytes(cv2.imencode(suffix, pixels)[1].tobytes())
    return bytes(serialize_message(message))


def watched(frames, transport="raw", **changes):
    """The names of what is found after these frames, with stamps of their own."""
    watch = CameraWatch("video.wrist")
    for i, frame in enumerate(frames):
        watch.see(i, read(frame, transport))
    return [finding.watch for finding in watch.findings(values(**changes))]


def grey(level_=90):
    """One flat picture."""
    return np.full((HEIGHT, WIDTH, 3), level_, np.uint8)


@pytest.mark.parametrize("row", [0, HEIGHT // 2, HEIGHT - 1])
@pytest.mark.parametrize("column", [0, WIDTH // 3, WIDTH - 1])
def test_one_value_anywhere_that_changes_is_no_frozen_picture(row, column):
    """Every byte is compared, none is sampled."""
    other = grey()
    other[row, column, 2] ^= 1
    frames = [raw(grey()), raw(other)] * 6
    assert watched(frames) == []
    assert watched([frames[0]] * 10) == ["frozen_camera"]
    assert watched([frames[0]] * 9) == []


def at(address, payload):
    """A frame whose bytes begin at any address."""
    size = len(payload)
    message = Image(height=1, width=size, step=size, encoding="mono8")
    message.data.frombytes(payload)
    frame = read(bytes(serialize_message(message)), "raw")
    shifted = np.frombuffer(bytes(address) + payload, np.uint8)[address:]
    return replace(frame, view=replace(frame.view, data=shifted))


@given(st.integers(1, 600_000), st.integers(0, 7), st.integers(0, 7), st.integers(0, 2**40))
@example(4096, 0, 0, 4095)
@example(4097, 1, 0, 4096)
@example(600_000, 3, 5, 599_999)
def test_each_byte_of_a_frame_counts_wherever_it_lies_in_memory(size, first, second, where):
    """Of any size, at any address: one byte that differs makes two frames differ."""
    found = []
    for changed in (90, 91):
        payload = bytearray([90] * size)
        payload[where % size] = changed
        watch = CameraWatch("video.wrist")
        frames = at(first, bytes([90] * size)), at(second, bytes(payload))
        for i in range(20):
            watch.see(i, frames[i % 2])
        found += [finding.watch for finding in watch.findings(values())]
    assert found == ["frozen_camera"]


@pytest.mark.parametrize("off", [0, 1])
def test_below_two_frames_the_watch_on_frozen_pictures_is_off(off):
    """For cameras and simulators without noise."""
    frames = [raw(grey())] * 30
    assert watched(frames, frozen_camera_frames=2) == ["frozen_camera"]
    assert watched(frames, frozen_camera_frames=off) == []


def test_jpeg_frames_are_compared_and_judged_as_well():
    """Equal payloads are equal pictures; a dark one is black."""
    bright, dark = packed(grey(), ".jpg"), packed(grey(1), ".jpg")
    assert watched([bright] * 10, "compressed") == ["frozen_camera"]
    noisy = [packed(grey() + np.uint8(i % 2), ".jpg") for i in range(10)]
    assert watched(noisy, "compressed") == []
    assert watched([dark] * 10, "compressed") == ["black_camera", "frozen_camera"]
    assert watched([packed(grey(0), ".png")] * 10, "compressed") == ["frozen_camera"]


def test_a_spoilt_jpeg_is_neither_black_nor_bright():
    """Whoever decodes it refuses it; the watch must not end the thread that pulls."""
    good = packed(grey(), ".jpg")
    spoilt = good[:200] + bytes(len(good) - 300) + good[-100:]
    assert watched([spoilt] * 3, "compressed") == []


ENCODED = {
    "rgba8": np.dstack([grey(0), np.full((HEIGHT, WIDTH), 255, np.uint8)]),
    "bgra8": np.dstack([grey(0), np.full((HEIGHT, WIDTH), 255, np.uint8)]),
    **dict.fromkeys(("rgb8", "bgr8"), grey(0)),
    **dict.fromkeys(
        ("uyvy", "yuv422", "yuv422_uyvy"), np.full((HEIGHT, WIDTH, 2), (128, 16), np.uint8)
    ),
    **dict.fromkeys(("nv12", "nv21"), np.full((HEIGHT * 3 // 2, WIDTH), 16, np.uint8)),
    "nv24": np.full((HEIGHT * 3, WIDTH), 16, np.uint8),
    **dict.fromkeys(("yuyv", "yuv422_yuy2"), np.full((HEIGHT, WIDTH, 2), (16, 128), np.uint8)),
}


@pytest.mark.parametrize("encoding", IMAGE_ENCODINGS)
def test_black_is_black_in_every_encoding(encoding):
    """Alpha and colour differences are not light, and video's black is 16."""
    black = ENCODED.get(encoding, np.zeros((HEIGHT, WIDTH), np.uint8))
    if encoding.endswith("16"):
        black = np.zeros((HEIGHT, WIDTH, 2 * len(encoding.removesuffix("16"))), np.uint8)
        black = black[..., :2] if encoding.startswith(("mono", "bayer")) else black
    assert level(read(raw(black, encoding), "raw")) == 0.0
    bright = np.full_like(black, 200)
    assert level(read(raw(bright, encoding), "raw")) > 150.0
    assert watched([raw(black, encoding)] * 10, frozen_camera_frames=0) == ["black_camera"]


def test_a_bright_spot_of_a_tenth_of_the_picture_is_not_black():
    """A sample of the pixels sees it wherever it is."""
    for row in range(0, HEIGHT, HEIGHT // 10):
        picture = grey(0)
        picture[row : row + HEIGHT // 10] = 200
        assert level(read(raw(picture), "raw")) > 10.0


def test_a_stamp_that_repeats_is_a_frozen_camera_whatever_it_shows():
    """The frames themselves differ."""
    watch = CameraWatch("video.wrist")
    for i in range(10):
        watch.see(7, read(raw(grey(90 + i)), "raw"))
    (found,) = watch.findings(values())
    assert "video.wrist: 10 frames in a row with the same stamp" in found.reason


def test_the_level_is_the_mean_of_the_channels_however_the_rows_are_padded():
    """Where all channels are light they are averaged as one, in rows that the step separates."""
    colours = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    for padding in (0, 5):
        message = Image(height=HEIGHT, width=WIDTH, encoding="bgr8", step=3 * WIDTH + padding)
        rows = colours.reshape(HEIGHT, -1)
        padded = np.hstack([rows, np.full((HEIGHT, padding), 255, np.uint8)])
        message.data.frombytes(padded.tobytes())
        frame = read(bytes(serialize_message(message)), "raw")
        every = round(HEIGHT * WIDTH / 20_000)
        assert level(frame) == pytest.approx(colours[::every].mean())
