"""The safetensors format, written here by hand, and headers that do not describe the data."""

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from mrcnn_keras.weights.readers.checkpoint import CheckpointError, read_checkpoint

EDITS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1 << 16), st.binary(min_size=1, max_size=9)), min_size=1, max_size=4
)


def pack(header, data=b"", length=None):
    """A file with the given header, a dictionary or its text."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write(arrays, metadata=None):
    """A file of NumPy arrays."""
    names = {
        "f8": "F64",
        "f4": "F32",
        "f2": "F16",
        "i8": "I64",
        "i4": "I32",
        "i2": "I16",
        "i1": "I8",
        "u1": "U8",
        "b1": "BOOL",
    }
    header = {} if metadata is None else {"__metadata__": metadata}
    data = b""
    for name, array in arrays.items():
        kind = names[array.dtype.str[1:]]
        header[name] = entry(kind, list(array.shape), len(data), len(data) + array.nbytes)
        data += array.tobytes()
    return pack(header, data)


ARRAYS = {
    "odd place": np.array([1, 2, 3], np.uint8),
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "float64": np.array([1e300]),
    "float16": np.array([0.5, -2], np.float16),
    "int64": np.array([2**62, -1]),
    "int32": np.array([-(2**31)], np.int32),
    "int16": np.array([-5], np.int16),
    "int8": np.array([-128], np.int8),
    "bool": np.array([[True], [False]]),
    "0-d": np.array(7, np.int64),
    "empty": np.zeros((2, 0), np.float32),
}


def test_arrays(read_bytes):
    checkpoint = read_bytes(write(ARRAYS, {"format": "pt"}))
    assert checkpoint.format == "safetensors" and checkpoint.extras == {"format": "pt"}
    assert list(checkpoint.tensors) == list(ARRAYS)
    for name, array in checkpoint.tensors.items():
        assert array.dtype == ARRAYS[name].dtype and array.shape == ARRAYS[name].shape
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_bfloat16_becomes_float32(read_bytes):
    values = np.array([1.0, -2.5, 3.140625, np.inf], np.float32)  # all of them exact in bfloat16
    data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    array = read_bytes(pack({"x": entry("BF16", [2, 2], 0, 8)}, data)).tensors["x"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, values.reshape(2, 2))


def test_the_headers_order_need_not_be_the_datas(read_bytes):
    header = {"b": entry("U8", [1], 1, 2), "a": entry("U8", [1], 0, 1), "none": entry("U8", [0], 1, 1)}
    tensors = read_bytes(pack(header, b"\x05\x06")).tensors
    assert {name: array.tolist() for name, array in tensors.items()} == {"b": [6], "a": [5], "none": []}
    assert list(tensors) == ["b", "a", "none"]


def test_arrays_are_views_of_the_file(tmp_path, memory_below):
    path = tmp_path / "x.safetensors"
    path.write_bytes(write({"x": np.zeros(2_000_000, np.float32)}))
    with memory_below(1):
        assert read_checkpoint(path).tensors["x"].nbytes == 8_000_000


@pytest.mark.parametrize(
    "header, message",
    [
        ({"x": entry("F32", [3], 0, 8)}, "needs 12 bytes, the file has 8"),
        ({"x": entry("F32", [10**12], 0, 8)}, "needs 4000000000000 bytes, the file has 8"),
        ({"x": entry("F32", [10**12], 0, 4 * 10**12)}, "reaches outside the file"),
        ({"x": entry("F32", [2**40, 2**40, 2**40], 0, 8)}, "the file has 8"),
        ({"x": entry("F32", [-2], 0, 8)}, "integers >= 0"),
        ({"x": entry("F32", [2.0], 0, 8)}, "integers >= 0"),
        ({"x": entry("F32", None, 0, 8)}, "not a short list"),
        ({"x": entry("F32", [1] * 17, 0, 8)}, "not a short list"),
        ({"x": entry("F32", [1], 4, 8)}, "'x' overlaps another, leaves a gap"),
        ({"x": entry("F32", [1], 0, 4)}, "end at byte 4 of 8"),
        ({}, "end at byte 0 of 8"),
        ({"x": entry("F32", [2], 0, 8), "y": entry("F32", [2], 0, 8)}, "'y' overlaps another"),
        ({"x": entry("F32", [2], 0, 8), "y": entry("F32", [1], 4, 8)}, "'y' overlaps another"),
        ({"x": entry("F32", [2], 0, 8), "y": entry("F32", [1], 8, 12)}, "outside the file"),
        ({"x": entry("F32", [2], 8, 0)}, "'x' overlaps another"),
        ({"x": entry("F32", [2], -8, 0)}, "'x' overlaps another"),
        ({"x": entry("F32", [2], 0, True)}, "'x' has no place"),
        ({"x": entry("F32", [2], 0, "8")}, "'x' has no place"),
        ({"x": {"dtype": "F32", "shape": [2]}}, "'x' has no place"),
        ({"x": {"dtype": "F32", "shape": [2], "data_offsets": [8]}}, "'x' has no place"),
        ({"x": entry("F8_E4M3", [8], 0, 8)}, "array 'x' of type 'F8_E4M3'"),
        ({"x": entry(["F32"], [2], 0, 8)}, "array 'x' of type a value of type list"),
        ({"x": entry("BOOL", [8], 0, 8)}, "neither 0 nor 1"),
        ({"x": 3}, "describes no array"),
        ({"x": [1, 2]}, "describes no array"),
        (b'{"x": {}, "x": {}}', "a name twice"),
        (b'{"x": ' + b"[" * 100_000, "nested too deeply|not JSON"),
        (b'{"x": ' + b'{"x": ' * 100_000, "nested too deeply|not JSON"),
        (b"{1: 2}", "not JSON"),
        (b'{"\xff": 2}', "not JSON"),
        (b'{"x": ' + b"1" * 10_000 + b"}", "damaged"),
        (b'{"x": NaN}', "describes no array"),
    ],
)
def test_headers_that_do_not_describe_the_data(header, message, read_bytes, memory_below):
    with memory_below(32), pytest.raises(CheckpointError, match=message):
        read_bytes(pack(header, b"\x02" * 8))


def test_length_of_the_header(read_bytes, memory_below, tmp_path):
    with pytest.raises(CheckpointError, match="ends too early, inside its header"):
        read_bytes(pack(b"{}", length=3))
    with memory_below(1), pytest.raises(CheckpointError, match="ends too early, inside its header"):
        read_bytes(pack(b"{}", length=2**40))
    with pytest.raises(CheckpointError, match="is not a pickle"):
        read_bytes(pack(b"{}", length=2**62))
    path = tmp_path / "x.safetensors"
    path.write_bytes(pack(b"{" + b" " * 5_000_000, length=5_000_000))
    with memory_below(1), pytest.raises(CheckpointError, match="header of 5000000 bytes; at most 4194304"):
        read_checkpoint(path)


def test_metadata_is_text(read_bytes):
    array = entry("U8", [1], 0, 1)
    data = pack({"__metadata__": {"format": "pt", "deep": [[1]]}, "x": array}, b"\x01")
    assert read_bytes(data).extras == {"format": "pt"}
    with pytest.raises(CheckpointError, match="describes no array"):
        read_bytes(pack({"__metadata__": [1], "x": array}, b"\x01"))


def test_files_cut_off_anywhere(read_bytes):
    data = write(ARRAYS)
    for length in range(9, len(data)):
        with pytest.raises(CheckpointError, match="download it again"):
            read_bytes(data[:length])


@hypothesis.settings(max_examples=200, deadline=None, database=None)
@hypothesis.given(edits=EDITS)
def test_mutated_files(edits, outcome, mutated):
    outcome(mutated(write({"x": np.arange(3.0), "y": np.ones((2, 2), np.float16)}, {"format": "np"}), edits))


@hypothesis.settings(max_examples=200, deadline=None, database=None)
@hypothesis.given(
    header=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["F32", "BF16", "x"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["dtype", "shape", "data_offsets", "__metadata__", "x"]), inner, max_size=3
            )
        ),
    )
)
def test_headers_of_any_json(header, outcome):
    outcome(pack({"x": header}, bytes(8)))


@hypothesis.settings(max_examples=100, deadline=None, database=None)
@hypothesis.given(data=st.binary(max_size=100))
def test_random_headers(data, outcome):
    outcome(pack(b"{" + data))
