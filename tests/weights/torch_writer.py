"""Writes PyTorch's two file formats without PyTorch, also such as PyTorch would not write."""

import collections
import io
import pickle
import struct
import zipfile

import numpy as np

FORMS = ("zip", "stream")


class Named:
    """A name in a pickle, "module.name"."""

    def __init__(self, name):
        self.name = name

    def __call__(self):
        raise NotImplementedError  # only there for pickle to see something callable


class Call:
    """A call in a pickle."""

    def __init__(self, name, *arguments):
        self.function, self.arguments = Named(name), arguments


class Storage:
    """A storage in a file of PyTorch, with the bytes that lie in the file; what it declares may be wrong."""

    def __init__(self, data, kind="torch.FloatStorage", count=None, key=None):
        self.data = data.tobytes() if isinstance(data, np.ndarray) else data
        self.kind, self.key, self.view = Named(kind), key, None
        self.count = data.size if count is None else count


class Pickler(pickle._Pickler):
    """Writes what stands for PyTorch's objects as PyTorch does."""

    def __init__(self, file, in_stream=False):
        super().__init__(file, 2)
        self.in_stream, self.storages = in_stream, {}

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + "\n".join(obj.name.rsplit(".", 1)).encode() + b"\n")
        elif isinstance(obj, Call):
            self.save_reduce(obj.function, obj.arguments, obj=obj)
        else:
            super().save(obj, save_persistent_id)

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        obj.key = obj.key or str(len(self.storages))
        self.storages[obj.key] = obj
        identity = ("storage", obj.kind, obj.key, "cpu", obj.count)
        return (*identity, obj.view) if self.in_stream else identity


def tensor(storage, size, stride=None, offset=0):
    """A tensor as `torch.save` writes it; the stride is that of a contiguous one unless given."""
    if stride is None:
        stride = tuple(int(np.prod(size[axis + 1 :])) for axis in range(len(size)))
    hooks = collections.OrderedDict()
    return Call("torch._utils._rebuild_tensor_v2", storage, offset, tuple(size), tuple(stride), False, hooks)


def floats(*size):
    """A contiguous tensor and the array it should come out as."""
    array = np.random.default_rng(sum(size)).normal(size=size).astype(np.float32)
    return tensor(Storage(array), size), array


def write(content, form="zip", **options):
    """The bytes of a checkpoint file."""
    return {"zip": write_zip, "stream": write_stream}[form](content, **options)


def write_zip(content, compression=zipfile.ZIP_STORED, byte_order=b"little", extra=(), without=(), folder="archive"):
    """`torch.save` since PyTorch 1.6; `extra` are entries (name, bytes), `without` names to leave out."""
    text, file = io.BytesIO(), io.BytesIO()
    pickler = Pickler(text)
    pickler.dump(content)
    entries = {"data.pkl": text.getvalue(), "byteorder": byte_order}
    entries |= {f"data/{key}": storage.data for key, storage in pickler.storages.items()}
    entries |= {"version": b"3\n"}
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in entries.items():
            if name not in without and data is not None:
                archive.writestr(f"{folder}/{name}", data)
        for name, data in extra:
            archive.writestr(name, data)
    return file.getvalue()


def write_stream(content, magic=0x1950A86A20F9469CFC6C, protocol=1001, keys=None, counts=None):
    """`torch.save` before PyTorch 1.6."""
    file, text = io.BytesIO(), io.BytesIO()
    pickler = Pickler(text, in_stream=True)
    pickler.dump(content)
    for value in (magic, protocol, {"protocol_version": 1001, "little_endian": True}):
        pickle.dump(value, file, 2)
    file.write(text.getvalue())
    pickle.dump(sorted(pickler.storages) if keys is None else keys, file, 2)
    for key in sorted(pickler.storages):
        storage = pickler.storages[key]
        file.write(struct.pack("<q", storage.count if counts is None else counts) + storage.data)
    return file.getvalue()
