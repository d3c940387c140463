"""HDF5 weight files, and files that lead elsewhere or declare what they do not hold."""

import io
import struct
import zlib

import h5py
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from mrcnn_keras.weights.readers.checkpoint import CheckpointError, read_checkpoint

EDITS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1 << 16), st.binary(min_size=1, max_size=9)), min_size=1, max_size=4
)


@pytest.fixture
def make(tmp_path):
    """Writes an HDF5 file by a function of the open file."""

    def write(fill, **options):
        path = tmp_path / "weights.h5"
        with h5py.File(path, "w", **options) as file:
            fill(file)
        return path

    return write


ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "big endian": np.arange(5).astype(">f4"),
    "float16": np.array([0.5, -2], np.float16),
    "float64": np.array([[1e300]]),
    "int64": np.array([2**62, -1]),
    "uint8": np.arange(200, dtype=np.uint8),
    "bool": np.array([True, False]),
    "0-d": np.array(90000),
    "empty": np.zeros((0, 3), np.float32),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name, make):
    checkpoint = read_checkpoint(make(lambda file: file.create_dataset("x", data=ARRAYS[name])))
    assert checkpoint.format == "hdf5" and list(checkpoint.tensors) == ["x"] and checkpoint.extras == {}
    array = checkpoint.tensors["x"]
    assert array.dtype == ARRAYS[name].dtype.newbyteorder("=") and array.shape == ARRAYS[name].shape
    np.testing.assert_array_equal(array, ARRAYS[name])


def test_every_dataset_under_its_path_in_the_files_order(make):
    def fill(file):
        for number, name in enumerate(["conv1/conv1/kernel:0", "bn/b/moving_mean:0", "bn/a", "z", "a/b/c/d"]):
            file[name] = np.full(2, number, np.float32)
        file.create_group("no weights")
        file.attrs["layer_names"] = ["conv1", "bn"]
        file["another/name"] = file["z"]
        file["a type"] = np.dtype("f4")

    tensors = read_checkpoint(make(fill, track_order=True)).tensors
    expected = {"conv1/conv1/kernel:0": 0, "bn/b/moving_mean:0": 1, "bn/a": 2, "z": 3, "a/b/c/d": 4, "another/name": 3}
    assert {name: array[0] for name, array in tensors.items()} == expected
    assert list(tensors) == list(expected)


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (10, 7)},
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True, "fletcher32": True, "chunks": (10, 7)},
        {"shuffle": True, "fletcher32": True},
    ],
)
@pytest.mark.parametrize("noisy", [False, True])
def test_chunks_and_filters(options, noisy, make):
    array = np.random.default_rng(0).normal(size=(50, 20)) if noisy else np.zeros((50, 20))
    path = make(lambda file: file.create_dataset("x", data=array, **options))
    np.testing.assert_array_equal(read_checkpoint(path).tensors["x"], array)


def test_chunks_that_the_library_left_uncompressed(make):
    noise = np.frombuffer(np.random.default_rng(0).bytes(64), np.uint8)

    def fill(file):
        dataset = file.create_dataset("x", shape=(64,), dtype="u1", chunks=(64,), compression="gzip")
        dataset.id.write_direct_chunk((0,), noise.tobytes(), filter_mask=1)

    np.testing.assert_array_equal(read_checkpoint(make(fill)).tensors["x"], noise)


def huge(file):
    file.create_dataset("x", shape=(10**12,), dtype="f4", chunks=(1000,), compression="gzip")


def huge_and_resizable(file):
    file.create_dataset("x", shape=(10**6, 10**6), maxshape=(None, None), dtype="f4", chunks=(1000, 1000))


def huge_and_contiguous(file):
    file.create_dataset("x", shape=(10**12,), dtype="f4")


def many_of_some_size(file):
    for number in range(100):
        file.create_dataset(f"x{number}", shape=(10**6,), dtype="f4", chunks=(1000,))


def huge_chunk(file):
    file.create_dataset("x", shape=(1,), maxshape=(None,), dtype="f4", chunks=(10**9,), compression="gzip")


def many_small_chunks(file):
    file.create_dataset("x", shape=(40_000,), dtype="f4", chunks=(1,))


@pytest.mark.parametrize("fill", [huge_and_contiguous, many_of_some_size, huge_chunk])
def test_declared_sizes_that_the_file_cannot_hold(fill, make, memory_below):
    path = make(fill)
    with memory_below(8), pytest.raises(CheckpointError, match="declares 4[0-9]* bytes of arrays, but the file has"):
        read_checkpoint(path)


@pytest.mark.parametrize("fill, count", [(many_small_chunks, 40_000), (huge, 10**9), (huge_and_resizable, 10**6)])
def test_chunks_that_the_file_cannot_hold(fill, count, make, memory_below):
    path = make(fill)
    with memory_below(8), pytest.raises(CheckpointError, match=f"declares {count} pieces of entry 'x'"):
        read_checkpoint(path)


def test_chunks_that_unpack_to_more_than_they_declare(make, memory_below):
    def fill(file):
        dataset = file.create_dataset("x", shape=(1000,), dtype="f4", chunks=(1000,), compression="gzip")
        dataset.id.write_direct_chunk((0,), zlib.compress(bytes(100_000_000)))

    path = make(fill)
    with memory_below(8), pytest.raises(CheckpointError, match="a piece of entry 'x' does not have its declared size"):
        read_checkpoint(path)


def external_link(file):
    file["group/link"] = h5py.ExternalLink("/etc/other.h5", "/x")


def soft_link(file):
    file["x"] = np.zeros(3)
    file["link"] = h5py.SoftLink("/x")


def soft_link_through_an_external_one(file):
    file["a"] = h5py.SoftLink("/z/x")
    file["z"] = h5py.ExternalLink("/etc/other.h5", "/")


def external_data(file):
    file.create_dataset("x", shape=(10,), dtype="u1", external=[("/etc/passwd", 0, 10)])


def virtual_data(file):
    layout = h5py.VirtualLayout(shape=(10,), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", shape=(10,))
    file.create_virtual_dataset("x", layout)


def texts(file):
    file["group/x"] = "text"


def fixed_texts(file):
    file["x"] = np.array([b"abc"])


def structures(file):
    file["x"] = np.zeros(3, [("a", "f4")])


def complexes(file):
    file["x"] = np.zeros(3, np.complex64)


def no_space(file):
    file["x"] = h5py.Empty("f4")


def references(file):
    file.create_dataset("x", data=[file.ref], dtype=h5py.ref_dtype)


def another_compression(file):
    file.create_dataset("x", data=np.zeros(1000), compression="lzf")


def compressed_twice(file):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((1000,))
    properties.set_deflate(9)
    properties.set_deflate(9)
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((1000,)), properties)


def group_in_itself(file):
    file["group/x"] = np.zeros(3)
    file["group/again"] = file["group"]


def group_twice(file):
    file["a/x"] = np.zeros(3)
    file["b"] = file["a"]


@pytest.mark.parametrize(
    "fill, message",
    [
        (external_link, "'group/link' that leads to another file, '/etc/other.h5'"),
        (soft_link, "'link' that is a soft link to '/x'"),
        (soft_link_through_an_external_one, "'a' that is a soft link to '/z/x'"),
        (external_data, "'x' whose data is in another file"),
        (virtual_data, "'x' whose data is in another file"),
        (texts, "'group/x' of type object; only plain numbers"),
        (fixed_texts, "'x' of type .S3; only plain numbers"),
        (structures, "'x' of type .*; only plain numbers"),
        (complexes, "'x' of type complex64; only plain numbers"),
        (no_space, "'x' of type float32; only plain numbers"),
        (references, "'x' of type object; only plain numbers"),
        (another_compression, "'x' in a compression other than gzip"),
        (compressed_twice, "'x' in a compression other than gzip"),
        (group_in_itself, "group 'group/again' is in two places"),
        (group_twice, "group 'b' is in two places"),
    ],
)
def test_files_that_are_refused(fill, message, make):
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(make(fill))


def test_names_that_are_paths(make, outcome):
    data = make(lambda file: file.create_dataset("abcd", data=np.zeros(3))).read_bytes()
    for name in (b"a/cd", b"/bcd", b".\0\0\0"):
        error = outcome(data.replace(b"abcd\0", name + b"\0"))
        assert "has no proper name" in str(error)


def test_compressed_pieces_larger_than_the_file(make, outcome):
    path = make(lambda file: file.create_dataset("x", data=np.arange(1000.0), compression="gzip", chunks=(1000,)))
    with h5py.File(path) as file:
        stored = file["x"].id.get_chunk_info(0).size
    data = path.read_bytes()
    edited = data.replace(struct.pack("<II", stored, 0), struct.pack("<II", 2**31, 0))
    assert edited != data
    assert "entry 'x' reaches outside the file" in str(outcome(edited))


def test_files_with_endless_objects(make):
    def fill(file):
        file["x"] = np.zeros(1)
        for number in range(300):
            file[f"x{number}"] = file["x"]

    from mrcnn_keras.weights.readers import hdf5_file

    path = make(fill)
    assert len(read_checkpoint(path).tensors) == 301
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdf5_file, "_MAX_OBJECTS", 300)
        with pytest.raises(CheckpointError, match="more than 300 objects"):
            read_checkpoint(path)


def small_file():
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file["a/kernel"] = np.arange(6, dtype=np.float32).reshape(2, 3)
        file["a/bias"] = np.zeros(3, ">f4")
        file.create_dataset("b", data=np.zeros((20, 20)), compression="gzip", shuffle=True)
    return memory.getvalue()


SMALL = small_file()


def test_files_cut_off_anywhere(outcome):
    assert list(outcome(SMALL).tensors) == ["a/bias", "a/kernel", "b"]
    for length in range(8, len(SMALL), 23):
        assert isinstance(outcome(SMALL[:length]), CheckpointError)


@hypothesis.settings(max_examples=150, deadline=None, database=None)
@hypothesis.given(edits=EDITS)
def test_mutated_files(edits, outcome, mutated):
    outcome(mutated(SMALL, edits))


@hypothesis.settings(max_examples=100, deadline=None, database=None)
@hypothesis.given(data=st.binary(max_size=300))
def test_random_bytes(data, outcome):
    assert isinstance(outcome(SMALL[:8] + data), CheckpointError)


@pytest.mark.shared
def test_a_real_file(shared_dir):
    path = shared_dir / "parity" / "mp_mask_r50_fpn" / "weights.h5"
    tensors = read_checkpoint(path).tensors
    found = []
    with h5py.File(path) as file:

        def compare(name, item):
            if isinstance(item, h5py.Dataset):
                found.append(name)
                np.testing.assert_array_equal(tensors[name], item[()])

        file.visititems(compare)
    assert found == list(tensors) and len(found) == 384
