"""Pictures as JPEG between two proxies: what comes out is the request, but for a told error."""

import contextlib
import struct
import threading

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

cv2 = pytest.importorskip("cv2", reason="pictures as JPEG need OpenCV")

from gr00t_ros.errors import RemoteError, SettingsError, WireError  # noqa: E402
from gr00t_ros.observe.modality import ModalityEntry  # noqa: E402
from gr00t_ros.proxy import pictures  # noqa: E402
from gr00t_ros.proxy.core import ALLOWED, Limits  # noqa: E402
from gr00t_ros.proxy.pictures import COMPRESSED, MARKER, Compress, Restore  # noqa: E402
from gr00t_ros.proxy.proxy import Proxy, ProxySettings  # noqa: E402
from gr00t_ros.watch.server import Outlook, outlook_of  # noqa: E402
from gr00t_ros.wire.codec import decode, encode  # noqa: E402
from gr00t_ros.wire.curve import read_client_keys, read_server_keys  # noqa: E402
from gr00t_ros.wire.template import RequestTemplate  # noqa: E402

LIMIT_S = 20.0
MIB = 1024 * 1024
CODECS = ("npy", "msgpack_numpy")


def picture(*shape, seed=1):
    """Smooth colours with some noise, as a camera's: uint8 of a shape (..., H, W, 3)."""
    height, width = shape[-3:-1]
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    smooth = np.stack([255 * x, 255 * y, 127 + 60 * np.sin(9 * x * y)], axis=-1)
    noise = np.random.default_rng(seed).normal(0, 3, shape)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def asks(video, codec, **others):
    """A request with these video keys, a state and an instruction."""
    observation = {"video": video, "state": {"joints": np.ones((1, 1, 3), np.float32)}}
    observation["language"] = {"task": [["pick up"]]}
    data = {"observation": observation, "options": None}
    return encode({"endpoint": "get_action", "data": data, **others}, codec)


def video_of(frame):
    """The pictures in a request."""
    return decode(bytes(frame))["data"]["observation"]["video"]


@pytest.fixture
def run_proxy():
    """Run proxies in threads of this process; stopped after the test."""
    running = []

    def start(upstream, pictures, endpoints=ALLOWED, **settings):
        limits = Limits(endpoints=endpoints, max_wait_ms=20_000)  # for a late machine
        settings = {"connect_ms": 20_000} | settings
        proxy = Proxy(
            ProxySettings(upstream, "tcp://127.0.0.1:*", limits, pictures=pictures, **settings)
        )
        thread = threading.Thread(target=proxy.serve_forever)
        running.append((proxy, thread))
        thread.start()
        return proxy

    yield start
    for proxy, thread in running:
        proxy.stop()
        thread.join(LIMIT_S)
        assert not thread.is_alive(), "the proxy did not stop"
        proxy.close()


@given(
    st.sampled_from(CODECS),
    st.lists(
        st.tuples(st.integers(1, 2), st.integers(1, 3), *2 * [st.integers(4, 40)]), max_size=2
    ),
    st.sampled_from([{}, {"api_token": "s3cret"}]),
    st.integers(1, 100),
)
@settings(max_examples=40, deadline=None)
def test_all_but_the_pixels_comes_back_to_the_byte(codec, shapes, token, quality):
    """And each pixel within the error that the compressing side has told."""
    video = {f"cam{i}": picture(*shape, 3) for i, shape in enumerate(shapes)}
    frame = asks(video, codec, **token)
    one, other = Compress(quality), Restore(16 * MIB)
    sent = one.request(frame)
    found = bytes(other.request(sent))
    assert len(sent) <= len(frame) + len(COMPRESSED) and len(found) == len(frame)
    apart = [np.abs(video[key].astype(int) - got) for key, got in video_of(found).items()]
    assert max((one.max() for one in apart), default=0) <= one.counts.largest_error
    assert other.counts.plain_bytes == one.counts.plain_bytes
    same = {key: np.zeros_like(got) for key, got in video.items()}
    # The largest first: the three bytes of a picture of 1x1 may be in a larger one.
    for key, got in sorted(video_of(found).items(), key=lambda item: -item[1].nbytes):
        assert got.shape == video[key].shape
        found = found.replace(got.tobytes(), same[key].tobytes())
        frame = frame.replace(video[key].tobytes(), same[key].tobytes())
    assert found == frame


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", ["get_action", "ping", "get_modality_config", "reset"])
def test_golden_requests_pass_both_sides_to_the_byte(golden_bytes, codec, name):
    """Pictures of 4x4 pixels have no smaller JPEG, and go as they are."""
    frame = golden_bytes(f"{codec}.{name}.request.bin")
    sent = Compress().request(frame)
    assert bytes(sent) == bytes(Restore(MIB).request(sent)) == frame


def test_pictures_get_smaller_and_the_error_is_told(caplog):
    """Two cameras of 480x640: at least four times less; the log has ratio and error."""
    caplog.set_level("INFO")
    frame = asks({key: picture(1, 1, 480, 640, 3) for key in ("a", "b")}, "npy")
    compress = Compress(90)
    sent = compress.request(frame)
    assert len(sent) * 4 < len(frame)
    counts = compress.counts
    assert counts.measured == 2 and 0 < counts.mean_error < 4 < counts.largest_error < 64
    assert f"mean {counts.mean_error:.2f}, largest {counts.largest_error}" in caplog.text
    assert msgpack.unpackb(sent)["endpoint"] == COMPRESSED


def test_the_error_is_measured_at_first_and_then_now_and_then(monkeypatch):
    """Each measurement decodes the pictures."""
    monkeypatch.setattr(pictures, "MEASURED_FIRST", 2)
    monkeypatch.setattr(pictures, "MEASURED_EACH", 4)
    compress, frame = Compress(), asks({"a": picture(1, 1, 64, 64, 3)}, "npy")
    measured = []
    for _ in range(9):
        compress.request(frame)
        measured.append(compress.counts.measured)
    assert measured == [1, 2, 2, 2, 3, 3, 3, 3, 4]


@pytest.mark.parametrize(
    "array",
    [
        picture(1, 1, 64, 64, 3)[..., :1],
        picture(1, 1, 64, 64, 3).astype(np.float32),
        picture(64, 64, 3),
        np.asfortranarray(picture(1, 1, 64, 64, 3)),
        np.zeros((1, 1, 0, 64, 3), np.uint8),
    ],
)
def test_what_is_no_picture_of_a_camera_goes_as_it_is(array):
    """Depth, one colour, no time axis, another order in memory, nothing."""
    frame = asks({"a": array}, "npy")
    assert Compress().request(frame) is frame


def test_a_request_without_its_endpoint_is_compressed_too():
    """GR00T takes it for get_action; the restored one says so."""
    plain = {"data": {"video.a": picture(1, 64, 64, 3)}}
    sent = Compress().request(encode(plain, "npy"))
    found = decode(bytes(Restore(MIB).request(sent)))
    assert list(found) == ["endpoint", "data"] and found["endpoint"] == "get_action"
    assert found["data"]["video.a"].shape == (1, 64, 64, 3)


class Watching:
    """A policy that asks for one camera of 64x96 and keeps what it gets."""

    def __init__(self):
        self.modality = {
            "video": ModalityEntry((0,), ("cam",)),
            "state": ModalityEntry((0,), ("joints",)),
            "action": ModalityEntry((0, 1), ("joints",), ({"rep": "ABSOLUTE", "type": "NON_EEF"},)),
            "language": ModalityEntry((0,), ("task",)),
        }
        self.observations = []

    def __call__(self, observation, options):
        self.observations.append(observation)
        return {"joints": np.zeros((1, 2, 3), np.float32)}, {}

    def reset(self, options):
        return {}


def template(server, pixels):
    """A request of the node with these pixels."""
    made = RequestTemplate(
        {"cam": (1, 64, 96)},
        {"joints": (1, 3)},
        "task",
        generation=server.generation,
        key_style=server.key_style,
        array_codec=server.array_codec,
    )
    made.video["cam"][:] = pixels
    return made


@pytest.mark.parametrize("generation", ["A0", "A1", "A2", "B2", "B3"])
def test_a_strict_server_of_every_generation_sees_plain_pictures(
    serve, run_proxy, client_of, keys, generation
):
    """Through both proxies on real sockets, with CURVE between them; replies pass unchanged."""
    policy, pixels = Watching(), picture(1, 1, 64, 96, 3)
    server = serve(policy, generation)
    restore = run_proxy(
        server.address, Restore(MIB), (*ALLOWED, COMPRESSED), keys=read_server_keys(keys)
    )
    own = read_client_keys(keys / "server.public", keys / "r1.secret")
    compress = run_proxy(restore.address, Compress(), upstream_keys=own)
    client = client_of(compress.address)
    found = client.connect(lambda server: template(server, pixels))
    action = client.get_action(template(found, pixels))
    assert action["joints"].shape == (2, 3) and server.counts.errors == 0
    counts = compress.core.pictures.counts
    assert restore.core.pictures.counts.pictures == counts.pictures >= 1
    (got,) = (v for k, v in flat(policy.observations[-1]).items() if "cam" in k)
    apart = np.abs(np.asarray(got).reshape(64, 96, 3).astype(int) - pixels[0, 0])
    assert 0 < apart.max() <= counts.largest_error and apart.mean() < 2 * counts.mean_error


def flat(observation):
    """The video keys of an observation, nested or flat."""
    return observation.get("video", observation)


@pytest.mark.parametrize("generation", ["A1", "B3"])
def test_a_server_without_restore_is_a_clear_error_and_never_sees_a_map(
    serve, run_proxy, client_of, generation
):
    """A person must act: the node faults with the remedy and does not ask for ever."""
    policy = Watching()
    server = serve(policy, generation)
    client = client_of(run_proxy(server.address, Compress()).address, key_style="nested")
    asked = template(client.connect(), picture(1, 1, 64, 96, 3))
    with pytest.raises(RemoteError, match="start gr00t sidecar restore") as caught:
        client.get_action(asked)
    assert "Unknown endpoint" in str(caught.value) and not policy.observations
    assert outlook_of(caught.value) is Outlook.PERSON


def packed(**changes):
    """A compressed request of one picture of 16x24, with changed fields."""
    sent = Compress(50).request(asks({"a": picture(1, 1, 64, 64, 3)}, "npy"))
    request = msgpack.unpackb(sent)
    found = request["data"]["observation"]["video"]["a"]
    for key, value in changes.items():
        found[MARKER if key == "version" else key] = value
    return msgpack.packb(request)


def jpeg(height, width, *flags, colour=True):
    """A JPEG of this size."""
    pixels = picture(height, width, 3) if colour else picture(height, width, 3)[..., 0]
    return cv2.imencode(".jpg", pixels, flags)[1].tobytes()


def bomb():
    """A JPEG of 64x64 whose header claims 65500x65500."""
    data = bytearray(jpeg(64, 64))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = (65500).to_bytes(2, "big") * 2
    return bytes(data)


def hidden_bomb():
    """A JPEG of 8000x8000 behind FF 00, which decoders skip; its length leads to another header."""
    data = jpeg(64, 64)
    at = data.index(b"\xff\xc0")
    header = data[at : at + 19]
    large = header[:5] + (8000).to_bytes(2, "big") * 2 + header[9:]
    hidden = data[2:at] + large + data[at + 19 : -2]
    size = (2 + len(hidden)).to_bytes(2, "big")
    return b"\xff\xd8\xff\0" + size + hidden + header + b"\xff\xd9"


def bitmap_bomb():
    """A BMP of 20000x10000 in 100 bytes, which looks like a JPEG of 64x64 from its third byte."""
    at = jpeg(64, 64).index(b"\xff\xc0")
    header = struct.pack("<IiiHHIIiiII", 40, 20000, 10000, 1, 8, 1, 0, 0, 0, 2, 0)
    return b"BM" + jpeg(64, 64)[at : at + 10] + b"\0\0" + header + bytes(900) + b"\0\1\xff\xd9"


def scan_bomb(count):
    """A baseline JPEG of so many scans without data, each of one component."""
    data = jpeg(64, 64)
    scan = b"\xff\xda\0\x08\1\1\0\0\x3f\0"
    return data[: data.index(b"\xff\xda")] + count * scan + b"\xff\xd9"


HOSTILE = {
    "another version": ({"version": 2}, "version 1"),
    "another dtype": ({"type": "<f8"}, "version 1"),
    "a further key": ({"more": 1}, "version 1"),
    "another codec": ({"codec": "pickle"}, "array codec"),
    "a codec that is none": ({"codec": [1]}, "array codec"),
    "no shape": ({"shape": "big"}, "shape"),
    "a shape without colours": ({"shape": [1, 1, 64, 64]}, "list of 1 JPEGs|shape"),
    "a shape of nothing": ({"shape": [1, 0, 64, 64, 3]}, "shape"),
    "a negative shape": ({"shape": [1, -1, 64, 64, 3]}, "shape"),
    "a boolean shape": ({"shape": [True, 1, 64, 64, 3]}, "shape"),
    "a shape of gigapixels": ({"shape": [1, 1, 65500, 65500, 3]}, "JPEG of"),
    "more pictures than JPEGs": ({"shape": [2, 1, 64, 64, 3]}, "list of 2"),
    "no list": ({"jpeg": jpeg(64, 64)}, "list of 1"),
    "a text": ({"jpeg": ["jpeg"]}, "str"),
    "nothing": ({"jpeg": [b""]}, "no JPEG"),
    "a PNG": ({"jpeg": [cv2.imencode(".png", picture(64, 64, 3))[1].tobytes()]}, "no JPEG"),
    "a truncated JPEG": ({"jpeg": [jpeg(64, 64)[:-300]]}, "truncated"),
    "another size": ({"jpeg": [jpeg(64, 65)]}, "baseline"),
    "grey": ({"jpeg": [jpeg(64, 64, colour=False)]}, "baseline"),
    "progressive": ({"jpeg": [jpeg(64, 64, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)]}, "baseline"),
    "a bomb": ({"jpeg": [bomb()], "shape": [1, 1, 65500, 65500, 3]}, "pixels"),
    "a bomb behind a stuffed byte": ({"jpeg": [hidden_bomb()]}, "ends at byte 2"),
    "a bomb as a bitmap": ({"jpeg": [bitmap_bomb()]}, "no JPEG"),
    "many scans": ({"jpeg": [scan_bomb(1000)]}, "1000 scans"),
    "three scans": ({"jpeg": [scan_bomb(3)]}, "scan of 3"),
    "a shape of one colour": ({"shape": [1, 1, 64, 64, 1]}, "baseline"),
    "only a header": ({"jpeg": [jpeg(64, 64)[:200] + b"\xff\xd9"]}, "JPEG"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_compress_does_not_make_is_refused(name):
    """With the reason, and without decoding what it claims to be."""
    changes, text = HOSTILE[name]
    with pytest.raises(WireError, match=text):
        Restore(16 * MIB).request(packed(**changes))


def test_sizes_of_the_whole_request_are_checked_before_a_picture_is_decoded(monkeypatch):
    """Each array alone would be allowed."""
    frame = Compress().request(asks({key: picture(1, 1, 64, 64, 3) for key in "abc"}, "npy"))
    size = 3 * 64 * 64 * 3
    Restore(size).request(frame)
    monkeypatch.setattr(pictures, "_decoded", lambda _: pytest.fail("decoded"))
    with pytest.raises(WireError, match=f"pictures of {size} bytes, expected at most {size - 1}"):
        Restore(size - 1).request(frame)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_request_is_refused_or_restored_and_nothing_else(data):
    """Any byte may be another one."""
    frame = bytearray(packed())
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        Restore(MIB).request(bytes(frame))


@pytest.mark.parametrize("quality", [0, 101, -1])
def test_a_quality_that_no_jpeg_has_is_refused(quality):
    """With the range."""
    with pytest.raises(SettingsError, match="expected 1 to 100"):
        Compress(quality)
