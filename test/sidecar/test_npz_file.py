"""A .npz file of somebody else: whatever is in it, the reader ends with arrays or one line."""

import io
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.errors import SettingsError
from gr00t_ros.sidecar import npz_file
from gr00t_ros.sidecar.npz_file import read_npz, write_npz


def part(array):
    """The bytes of a .npy file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive(path, **parts):
    """Write a zip with these parts; its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name.replace("__", "."), data)
    return path


def lying(shape):
    """The .npy file of three numbers whose header says another shape."""
    data = part(np.zeros(3))
    text = f"'shape': {shape}, }}"
    start, end = data.index(b"'shape'"), data.index(b"\n")
    return data[:start] + text.encode().ljust(end - start) + data[end:]


def test_what_was_written_is_read(tmp_path):
    """Numbers, flags and texts, also empty ones and such without axes."""
    arrays = {
        "video.a/b": np.arange(12, dtype=np.uint8).reshape(2, 6),
        "flag": np.array(True),
        "text": np.array("grüße"),
        "texts": np.array(["a", "bc"]),
        "nothing": np.zeros((0, 3), np.float32),
        "bytes": np.frombuffer(b"\x00\xff", np.uint8),
    }
    path = tmp_path / "a.npz"
    write_npz(path, arrays)
    found = read_npz(path)
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    with pytest.raises(SettingsError, match="expected a new file"):
        write_npz(path, arrays)
    assert os.listdir(tmp_path) == ["a.npz"]


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"a__npy": lying("(1 << 60,)")}, "no .npz"),
        ({"a__npy": lying("(1000000000000,)")}, "in 24 bytes, expected"),
        ({"a__npy": lying("(-3,)")}, "no .npz"),
        ({"a__npy": lying("(2,)")}, "in 24 bytes, expected"),
        ({"a__npy": part(np.array([{}], object))}, "expected numbers or texts"),
        ({"a__npy": part(np.zeros(2, [("x", "f4"), ("y", "i4")]))}, "expected numbers or texts"),
        ({"a__npy": part(np.array([b"x"]))}, "expected numbers or texts"),
        ({"a__npy": part(np.zeros(2, "M8[s]"))}, "expected numbers or texts"),
        ({"a__npy": b""}, "no .npz"),
        ({"a__npy": b"\x93NUMPY\x01\x00\xff\xff"}, "no .npz"),
        ({"a__npy": b"\x93NUMPY\x09\x00" + bytes(200)}, "version (9, 0)"),
        ({"a__npy": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{"}, "no .npz"),
        ({"a__npy": part(np.zeros(3))[:100]}, "no .npz"),
        ({"a__txt": b"x"}, "'a.txt' is no array"),
    ],
)
def test_a_part_that_is_no_plain_array_is_refused(tmp_path, parts, text):
    """Before memory is allocated for what it claims to be."""
    with pytest.raises(SettingsError, match="a.npz: ") as failure:
        read_npz(archive(tmp_path / "a.npz", **parts))
    assert text in str(failure.value) and "\n" not in str(failure.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_broken_part_is_refused_whatever_packed_it(tmp_path, method):
    """Each method fails in its own way."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("a.npy", part(np.arange(1000.0)))
    data = path.read_bytes()
    begin = 30 + len("a.npy")
    path.write_bytes(data[: begin + 20] + b"\xff" * 60 + data[begin + 80 :])
    with pytest.raises(SettingsError, match="a.npz: no .npz of plain arrays"):
        read_npz(path)


def test_sizes_are_bounded_before_anything_is_unpacked(tmp_path, monkeypatch):
    """A zip bomb; too many arrays; the same name twice."""
    monkeypatch.setattr(npz_file, "MAX_BYTES", 1_000_000)
    bomb = archive(tmp_path / "bomb.npz", a__npy=part(np.zeros(1_000_000)))
    assert bomb.stat().st_size < 20_000
    with pytest.raises(SettingsError, match="8000128 bytes unpacked, expected at most 1000000"):
        read_npz(bomb)
    many = {f"a{i}__npy": b"" for i in range(2000)}
    with pytest.raises(SettingsError, match="2000 arrays, expected at most 1024"):
        read_npz(archive(tmp_path / "many.npz", **many))
    twice = archive(tmp_path / "twice.npz", a__npy=part(np.zeros(1)))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(twice, "a") as file:
        file.writestr("a.npy", part(np.ones(1)))
    with pytest.raises(SettingsError, match="twice"):
        read_npz(twice)


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    """A folder, a pipe that nobody writes to, a device, nothing."""
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe", "/dev/zero", tmp_path / "none"):
        with pytest.raises(SettingsError, match="no .npz of plain arrays"):
            read_npz(type(tmp_path)(place))


@given(st.data())
def test_any_changed_byte_gives_arrays_or_one_line(tmp_path_factory, data):
    """Damage and malice alike."""
    path = tmp_path_factory.mktemp("fuzz") / "a.npz"
    write_npz(path, {"a": np.arange(4.0), "text": np.array("go")})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[: cut or None])
    try:
        found = read_npz(path)
    except SettingsError as error:
        assert "\n" not in str(error)
    else:
        assert all(values.dtype.kind in "biufU" for values in found.values())
