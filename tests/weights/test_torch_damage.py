"""PyTorch files that are damaged, declare what they do not hold, or want something else than tensors."""

import collections
import io
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from mrcnn_keras.weights.readers.checkpoint import CheckpointError

from .torch_writer import FORMS, Call, Named, Storage, floats, tensor, write, write_stream, write_zip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "size, stride, offset",
    [
        ((25,), (1,), 0),
        ((10**12,), (1,), 0),
        ((10**12,), (0,), 0),
        ((10**30,) * 3, (1, 1, 1), 0),
        ((24,), (1,), 1),
        ((2,), (24,), 0),
        ((2,), (10**12,), 0),
        ((1,), (1,), 24),
        ((1,), (1,), 10**30),
        ((1,), (1,), -1),
        ((-1,), (1,), 0),
        ((2,), (-1,), 5),
        ((2, 2), (1,), 0),
        ((2.0,), (1,), 0),
        ((True,), (1,), 0),
        ((1,) * 17, (1,) * 17, 0),
    ],
)
def test_tensors_outside_their_storage(size, stride, offset, form, read_bytes, memory_below):
    data = write({"x": tensor(Storage(np.zeros(24, np.float32)), size, stride, offset)}, form)
    with memory_below(2), pytest.raises(CheckpointError, match="damaged: .*(shape|tensor|outside).*'x'"):
        read_bytes(data)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [10**12, 2**62, 10**30, 23, 25, -1])
def test_storages_that_are_not_there(count, form, read_bytes, memory_below):
    content = {"x": tensor(Storage(bytes(96), count=count), (2,))}
    if form == "stream" and count == 10**30:
        data = write(content, form, counts=24)
    else:
        data = write(content, form, **({"counts": count % 2**63} if form == "stream" else {}))
    with memory_below(2), pytest.raises(CheckpointError, match="damaged: .*(storage '0'|integers >= 0)"):
        if form == "stream" and count == 23:
            read_bytes(data[:-8])  # a stream has nothing behind the data that would tell
        else:
            read_bytes(data)


def odd_tensor():
    storage, kind = Storage(bytes(5), "torch.UntypedStorage", 5), Named("torch.float32")
    return Call("torch._utils._rebuild_tensor_v3", storage, 0, (1,), (1,), False, {}, kind)


@pytest.mark.parametrize(
    "content, message",
    [
        ({"x": Call("os.system", "true")}, "asks for os.system"),
        ({"x": Call("builtins.eval", "1")}, "asks for builtins.eval"),
        ({"x": Call("torch.load", "file")}, "asks for torch.load"),
        ({"x": Call("torch.FloatStorage", 10**9)}, "calls torch.FloatStorage"),
        ({"x": Named("torch.nn.modules.conv.Conv2d")}, "asks for torch.nn.modules.conv.Conv2d"),
        ({"x": tensor("storage", (1,))}, "a tensor has no storage"),
        ({"x": tensor(Storage(bytes(4), count=1, key=b"k" * 300), (1,))}, "a storage has no name"),
        ({"x": tensor(Storage(bytes(4), count=1, key=5), (1,))}, "a storage has no name"),
        ({"x": odd_tensor()}, "5 bytes are not a whole number of <f4 elements"),
        ({"x": tensor(Storage(bytes(4), "torch.Size", 1), (1,))}, "save its state_dict"),
        ({"x": Call("torch._utils._rebuild_parameter", 1, True, {}), "y": floats(1)[0]}, None),
        ([floats(1)[0]], "holds a value of type list"),
        (floats(1)[0], "holds a value of type Tensor"),
        ({"a": {"b": floats(1)[0]}}, "no arrays by name"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_contents_that_are_no_weights(content, message, form, read_bytes):
    if message is None:
        assert read_bytes(write(content, form)).extras == {"x": 1}
    else:
        with pytest.raises(CheckpointError, match=message):
            read_bytes(write(content, form))


def test_storages_that_contradict_each_other(read_bytes):
    storages = Storage(bytes(8), count=2, key="0"), Storage(bytes(8), "torch.DoubleStorage", count=1, key="0")
    with pytest.raises(CheckpointError, match="declared in two ways"):
        read_bytes(write({"x": tensor(storages[0], (2,)), "y": tensor(storages[1], (1,))}))


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "archive/../../x", "archive/..", "C:/x", "\\x", "..\\x", ".."])
def test_entries_outside_the_archive(name, read_bytes):
    entry = zipfile.ZipInfo("x")
    entry.filename = name
    with pytest.raises(CheckpointError, match="has an entry .*, which leads out of the archive") as caught:
        read_bytes(write_zip({"x": floats(2)[0]}, extra=[(entry, b"")]))
    assert repr(name) in str(caught.value)


def test_names_with_dots_are_fine(read_bytes):
    assert read_bytes(write_zip({"x": floats(2)[0]}, folder="weights..v1", extra=[("weights..v1/a..b", b"")])).tensors


def central(data, place, value):
    """Overwrites a field of the last entry in the archive's directory."""
    start = data.rindex(b"PK\x01\x02") + place
    return data[:start] + value + data[start + len(value) :]


def test_zip_bombs(read_bytes, memory_below):
    weight = tensor(Storage(np.zeros(16_000_000, np.float32)), (16_000_000,))
    data = write_zip({"x": weight}, compression=zipfile.ZIP_DEFLATED)
    assert len(data) < 100_000
    with memory_below(2), pytest.raises(CheckpointError, match="declares 6400.* bytes of contents"):
        read_bytes(data)
    # An entry that nothing reads, and one that lies about its size.
    extra = [("archive/extra", bytes(50_000_000))]
    data = write_zip({"x": floats(2)[0]}, compression=zipfile.ZIP_DEFLATED, extra=extra)
    with memory_below(2), pytest.raises(CheckpointError, match="declares 5000.* bytes of contents"):
        read_bytes(data)


def test_entries_that_unpack_to_more_than_they_declare(read_bytes, memory_below):
    weight = tensor(Storage(np.zeros(16_000_000, np.float32), count=2), (2,))
    data = write_zip({"x": weight}, compression=zipfile.ZIP_DEFLATED, without=["version"])
    with memory_below(2), pytest.raises(CheckpointError, match="entry 'archive/data/0' cannot be unpacked"):
        read_bytes(central(data, 24, struct.pack("<I", 8)))


def test_packed_entries_that_are_damaged(read_bytes):
    weight, array = floats(50, 20)
    data = write_zip({"x": weight}, compression=zipfile.ZIP_DEFLATED, without=["version"])
    place = data.index(b"archive/data/0") + len("archive/data/0")
    for edited in (data[:place] + b"\xff" * 9 + data[place + 9 :], central(data, 16, b"\x01\x02\x03\x04")):
        with pytest.raises(CheckpointError, match="entry 'archive/data/0' cannot be unpacked"):
            read_bytes(edited)


def test_archives_that_are_damaged(read_bytes):
    content = {"x": floats(2)[0]}
    data = write_zip(content, without=["version"])
    with pytest.raises(CheckpointError, match="entry 'archive/data/0' has two sizes"):
        read_bytes(central(data, 24, struct.pack("<I", 4)))
    with pytest.raises(CheckpointError, match="ends too early, inside entry 'archive/data/0'"):
        read_bytes(central(data, 20, struct.pack("<II", 2000, 2000)))
    with pytest.raises(CheckpointError, match="entry 'archive/data/0' cannot be read"):
        read_bytes(central(data, 42, struct.pack("<I", 7)))  # where its own header is
    with pytest.raises(CheckpointError, match="entry 'archive/data/0' cannot be read"):
        read_bytes(central(data, 8, b"\x01"))  # encrypted
    with pytest.raises(CheckpointError, match="no entry 'archive/data/0'"):
        read_bytes(write_zip(content, without=["data/0"]))
    with pytest.raises(CheckpointError, match="it has no data.pkl"):
        read_bytes(write_zip(content, without=["data.pkl"]))
    with pytest.raises(CheckpointError, match="it has no data.pkl"):
        read_bytes(write_zip(content, extra=[("other/data.pkl", b"N.")]))


def test_streams_that_are_damaged(read_bytes):
    content = {"x": floats(2)[0]}
    for options, message in [
        ({"protocol": 1002}, "unknown version"),
        ({"keys": []}, "no contents for storage '0'"),
        ({"keys": ["0", "1"]}, "contents for '1', which no tensor uses"),
        ({"keys": [["0"]]}, "contents for a value of type list"),
        ({"keys": ["0", "0"]}, "inside storage '0'"),
        ({"counts": 3}, "does not have the 2 elements"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            read_bytes(write_stream(content, **options))


@pytest.mark.parametrize("form", FORMS)
def test_files_cut_off_anywhere(form, read_bytes):
    data = write({"model": collections.OrderedDict(x=floats(3)[0], y=floats(2, 2)[0])}, form)
    for length in range(4, len(data)):
        with pytest.raises(CheckpointError, match="download it again|not a PyTorch checkpoint"):
            read_bytes(data[:length])


def test_the_oldest_form_is_named(read_bytes):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("pickle"))
    with pytest.raises(CheckpointError, match="tar archive, as PyTorch wrote"):
        read_bytes(file.getvalue())
