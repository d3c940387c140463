"""NumPy arrays and scalars in pickles, and arrays that cannot be."""

import pickle

import numpy as np
import pytest

from mrcnn_keras.weights.readers.limits import Budget, CheckpointError
from mrcnn_keras.weights.readers.numpy_objects import PickledArray, numpy_names
from mrcnn_keras.weights.readers.pickle_machine import read_pickle

PROTOCOLS = range(6)


def loaded(data):
    budget = Budget(len(data))
    return read_pickle(data, numpy_names(budget), budget)[0]


ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "big endian": np.arange(5).astype(">f4"),
    "big endian integers": np.array([1, 2, 3], ">i8"),
    "Fortran order": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "axes exchanged": np.arange(24, dtype=np.int32).reshape(2, 3, 4).transpose(1, 0, 2),
    "every second": np.arange(10, dtype=np.int16)[::2],
    "float16": np.array([1.5, -2], np.float16),
    "uint8": np.arange(255, dtype=np.uint8),
    "int8": np.array([-128, 127], np.int8),
    "uint64": np.array([2**64 - 1], np.uint64),
    "bool": np.array([[True], [False]]),
    "0-d": np.array(3.5),
    "empty": np.zeros((2, 0, 3), np.float32),
    "large": np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name, protocol):
    original = ARRAYS[name]
    array = loaded(pickle.dumps([original], protocol))[0].array()
    assert array.dtype == original.dtype.newbyteorder("=") and array.dtype.isnative
    assert array.shape == original.shape
    np.testing.assert_array_equal(array, original)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scalars_are_python_numbers(protocol):
    values = loaded(pickle.dumps([np.float32(0.5), np.int64(-3), np.bool_(True), np.float64(1e300)], protocol))
    assert values == [0.5, -3, True, 1e300]
    assert [type(value) for value in values] == [float, int, bool, float]


def python_2_array(shape=b"K\x02\x85", order=b"U\x01<", data=b"U\x08\x00\x00\x80?\x00\x00\x00@", kind=b"U\x02f4"):
    """A float32 array [1, 2] as Python 2 pickled it, or with other parts."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + shape
        + b"cnumpy\ndtype\n"
        + kind
        + b"K\x00K\x01\x87R(K\x03"
        + order
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + data
        + b"tb"
    )


def test_arrays_of_python_2():
    array = loaded(b"\x80\x02" + python_2_array() + b".").array()
    assert array.dtype == np.float32 and array.tolist() == [1, 2]
    array = loaded(
        b"\x80\x02" + python_2_array(order=b"U\x01>", data=b"U\x08?\x80\x00\x00@\x00\x00\x00") + b"."
    ).array()
    assert array.dtype.isnative and array.tolist() == [1, 2]


@pytest.mark.parametrize(
    "parts, message",
    [
        ({"shape": b"\x8a\x06" + (10**12).to_bytes(6, "little") + b"\x85"}, r"\(1000000000000,\) needs 4000000000000"),
        ({"shape": b"K\x03\x85"}, "needs 12 bytes, the file has 8"),
        ({"shape": b"K\x01\x85"}, "needs 4 bytes, the file has 8"),
        ({"shape": b"J\xff\xff\xff\xff\x85"}, "integers >= 0"),
        ({"shape": b"G@\x00\x00\x00\x00\x00\x00\x00\x85"}, "integers >= 0"),
        ({"shape": b"N"}, "not a short list"),
        ({"shape": b"(" + b"K\x01" * 17 + b"t"}, "not a short list"),
        ({"kind": b"U\x02O8"}, "type '<O8'"),
        ({"kind": b"U\x02M8"}, "type '<M8'"),
        ({"kind": b"U\x02V8"}, "type '<V8'"),
        ({"kind": b"U\x03c16"}, "type '<c16'"),
        ({"kind": b"U\x02f9"}, "type '<f9'"),
        ({"kind": b"N"}, "type '<'"),
        ({"kind": b"U\x02b1", "shape": b"K\x08\x85"}, "neither 0 nor 1"),
        ({"data": b"]"}, "not bytes"),
    ],
)
def test_arrays_that_cannot_be(parts, message, memory_below):
    with memory_below(1), pytest.raises(CheckpointError, match=message):
        loaded(b"\x80\x02" + python_2_array(**parts) + b".").array()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_structured_types_are_refused(protocol):
    array = loaded(pickle.dumps([np.zeros(2, [("x", "f4")])], protocol))[0]
    with pytest.raises(CheckpointError, match="type 'structure'; only plain numbers"):
        array.array()


def test_an_array_that_never_gets_its_contents():
    array = loaded(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R.")
    assert isinstance(array, PickledArray)
    with pytest.raises(CheckpointError, match="no contents"):
        array.array()


def test_shared_data_cannot_be_converted_without_end(memory_below):
    array = loaded(pickle.dumps(np.zeros(250_000, ">f4"), 4))
    with memory_below(16), pytest.raises(CheckpointError, match="to many times its own size"):
        while True:
            assert array.array().shape == (250_000,)
