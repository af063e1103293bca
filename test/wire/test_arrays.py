"""arrays: both codecs' array maps are read back, and every malformed map raises WireError."""

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from laws import examples

from gr00t_ros.errors import WireError
from gr00t_ros.wire import arrays
from gr00t_ros.wire.codec import decode, encode

CODECS = ("npy", "msgpack_numpy")
DTYPES = st.sampled_from(
    ["|b1", "|i1", "|u1", "<i2", ">i4", "<i8", "<u2", ">u4", "<u8", "<f2", "<f4", ">f4", "<f8"]
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))


@given(array=ARRAYS, codec=st.sampled_from(CODECS), fortran=st.booleans())
@settings(max_examples=examples(150), deadline=None)
def test_any_numeric_array_survives_the_round_trip_read_only_and_native(array, codec, fortran):
    """Zero-size, zero-dimensional, float16, big-endian and Fortran-ordered ones included."""
    array = np.asfortranarray(array) if fortran else array
    got = decode(encode({"a": array}, codec))["a"]
    assert (got.shape, got.dtype) == (array.shape, array.dtype.newbyteorder("="))
    assert got.tobytes() == array.astype(got.dtype).tobytes()
    assert not got.flags.writeable


@given(array=ARRAYS, codec=st.sampled_from(CODECS))
@settings(max_examples=examples(80), deadline=None)
def test_the_prefix_of_an_array_is_what_encode_writes_before_its_data(array, codec):
    """The template lays its slots out from prefixes."""
    array = np.ascontiguousarray(array).reshape(array.shape)
    prefix = arrays.array_prefix(array.dtype, array.shape, codec)
    assert encode(array, codec) == prefix + array.tobytes()


@pytest.mark.parametrize("size", [255, 256, 65535 - 128, 65535, 65536, 70000])
@pytest.mark.parametrize("codec", CODECS)
def test_the_prefix_is_right_across_the_length_classes_of_msgpack(codec, size):
    """The bin 8, 16 and 32 have different headers."""
    array = np.zeros(size, np.uint8)
    prefix = arrays.array_prefix(array.dtype, array.shape, codec)
    assert encode(array, codec) == prefix + array.tobytes()


@pytest.mark.parametrize("value", [np.float32(1.5), np.int16(-3), np.bool_(True), np.float16(2)])
def test_numpy_scalars_travel_in_msgpack_numpy_only(value):
    """Upstream's npy codec has no form for them either."""
    data = encode({"s": value}, "msgpack_numpy")
    assert data == msgpack.packb(
        {"s": {b"nd": False, b"type": value.dtype.str, b"data": value.tobytes()}}
    )
    got = decode(data)["s"]
    assert (got, got.dtype) == (value, value.dtype)
    with pytest.raises(WireError):
        encode({"s": value}, "npy")


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "value",
    [
        np.array([object()]),
        np.zeros(2, [("a", "f4")]),
        np.array(["text"]),
        np.zeros(1, "M8[s]"),
        np.zeros(1, complex),
        {1, 2},
        2**64,
        "\ud800",
    ],
)
def test_encode_refuses_what_has_no_form_on_the_wire(codec, value):
    """Objects, structures, texts, dates and complex numbers are no observation."""
    with pytest.raises(WireError):
        encode({"a": value}, codec)


def nd(**changes):
    """A msgpack-numpy array map of two float32, with changes."""
    fields = {"nd": True, "type": "<f4", "kind": b"", "shape": [2], "data": b"\0" * 8}
    fields |= changes
    return msgpack.packb({key.encode(): value for key, value in fields.items()})


def npy(header, data=b"\0" * 8, magic=b"\x93NUMPY\x01\x00", length=None):
    """An npy array map around the given header."""
    size = len(header) if length is None else length
    file = magic + size.to_bytes(2, "little") + header + data
    return msgpack.packb({"__ndarray_class__": True, "as_npy": file})


HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }   \n"


def test_the_malformed_examples_are_one_change_away_from_a_good_one():
    """Else the refusals below would prove nothing."""
    assert decode(nd()).shape == decode(npy(HEADER)).shape == (2,)


@pytest.mark.parametrize(
    "data",
    [
        nd(type="|O"),
        nd(kind=b"O"),
        nd(kind=b"V"),
        nd(type=[["a", "<f4"]]),
        nd(type="<U2"),
        nd(type="<M8[s]"),
        nd(type="<f16"),
        nd(type="float32"),
        nd(shape=[-2]),
        nd(shape=[-1, -2]),
        nd(shape=[3]),
        nd(shape=[2**40, 2**40]),
        nd(shape=[0, 2**62], data=b""),
        nd(shape=[0] + [2**31 - 1] * 15, data=b""),
        nd(shape=[1] * 17 + [2]),
        nd(shape=[2.0]),
        nd(shape=[True, 2]),
        nd(shape="2"),
        nd(shape=None),
        nd(data=b"\0" * 7),
        nd(data="00000000"),
        nd(data=[0] * 8),
        nd(nd=False),
        nd(nd=1),
        msgpack.packb({"nd": True}),
        npy(HEADER, magic=b"\x93NUMPY\x02\x00"),
        npy(HEADER, magic=b"\x80\x04pickle"),
        npy(HEADER, data=b"\0" * 9),
        npy(HEADER, data=b""),
        npy(HEADER, length=65535),
        npy(HEADER.replace(b"<f4", b"|O")),
        npy(HEADER.replace(b"'<f4'", b"[('a', '<f4')]")),
        npy(HEADER.replace(b"(2,)", b"(-2,)")),
        npy(HEADER.replace(b"(2,)", b"(9999999999,)")),
        npy(HEADER.replace(b"(2,)", b"(" + b"(" * 900 + b")")),
        npy(HEADER.replace(b"(2,)", b"__import__('os').abort()")),
        npy(HEADER + b" " * 2000),
        npy(b""),
        msgpack.packb({"__ndarray_class__": True}),
        msgpack.packb({"__ndarray_class__": True, "as_npy": "text"}),
    ],
    ids=lambda data: repr(data[:60]),
)
def test_array_maps_that_lie_are_a_wire_error(data):
    """Each line is one lie that a peer may tell about an array."""
    with pytest.raises(WireError):
        decode(data)


def test_bools_that_are_neither_0_nor_1_are_made_so():
    """What numpy's own arithmetic makes of such bytes is undefined."""
    got = decode(nd(type="|b1", data=b"\x00\xff"))
    assert got.view(np.uint8).tolist() == [0, 1]


@pytest.mark.parametrize("shape", [(1, 2, 3, 4, 3), (7,), ()])
@pytest.mark.parametrize("dtype", ["|u1", "<f4", ">f4", "|b1"])
def test_an_arrays_bytes_have_one_dimension(shape, dtype):
    """The pure Python packer of msgpack writes the first dimension of others as their length."""
    array = np.ones(shape, dtype)
    data = memoryview(arrays.msgpack_numpy_map(array)[b"data"])
    assert (data.ndim, data.itemsize, len(data)) == (1, 1, array.nbytes)
    assert bytes(data) == array.tobytes()
