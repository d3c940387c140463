"""PyTorch's files without PyTorch: the zip archive of today and the stream of pickles and raw data before it."""

import dataclasses
import os
import re
import zipfile
import zlib
from typing import Any

from .limits import Budget, CheckpointError, damaged, shown
from .pickle_machine import read_pickle
from .raw_arrays import item_size
from .torch_objects import Storages

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
# Of an entry's own header: its signature, the lengths of name and extra field, and the header's whole length.
_SIGNATURE, _NAME_LENGTH, _EXTRA_LENGTH, _HEADER = b"PK\x03\x04", 26, 28, 30
_LEAVES = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)
_ENCRYPTED = 1


def read_torch_zip(path: str | os.PathLike, data: Any, budget: Budget) -> Any:
    """What `torch.save` wrote since PyTorch 1.6; tensors are `LazyArray`.

    Args:
        path: the file.
        data: its bytes, or an `mmap` of them.
        budget: of the whole file.

    Raises:
        CheckpointError: the archive is damaged, not PyTorch's, or hostile.
    """
    entries = _Entries(data, _checked_entries(path, len(data)), budget)
    pickles = [name for name in entries.infos if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(pickles) != 1:
        raise CheckpointError("is a zip archive, but not a PyTorch checkpoint: it has no data.pkl")
    folder = pickles[0].removesuffix("data.pkl")
    order = entries.read(folder + "byteorder").tobytes() if folder + "byteorder" in entries.infos else b"little"
    if order not in (b"little", b"big"):
        raise damaged(f"its byte order is {shown(order)}")
    storages = Storages(lambda key: entries.read(f"{folder}data/{key}"), budget, "<" if order == b"little" else ">")
    content = entries.read(pickles[0]).tobytes()
    return read_pickle(content, storages.names(), budget, persistent_load=storages.load)[0]


def read_torch_stream(data: Any, budget: Budget) -> Any:
    """What `torch.save` wrote before PyTorch 1.6; tensors are `LazyArray`.

    Args:
        data: the file's bytes, or an `mmap` of them.
        budget: of the whole file.

    Raises:
        CheckpointError: the file is damaged or hostile.
    """
    magic, at = read_pickle(data, {}, budget)
    protocol, at = read_pickle(data, {}, budget, at)
    if magic != _MAGIC or protocol != _PROTOCOL:
        raise CheckpointError("is a PyTorch file of an unknown version; save it again with a newer PyTorch")
    _, at = read_pickle(data, {}, budget, at)  # sizes of C types on the machine that wrote it
    found: dict[str, memoryview] = {}
    storages = Storages(found.__getitem__, budget)
    content, at = read_pickle(data, storages.names(), budget, at, storages.load)
    keys, at = read_pickle(data, {}, budget, at)
    found.update(_stream_storages(data, at, keys, storages))
    return content


def _stream_storages(data: Any, at: int, keys: Any, storages: Storages) -> dict[str, memoryview]:
    """The bytes behind each key: for every storage a count of elements, int64, and the elements."""
    view, found = memoryview(data), {}
    for key in keys if isinstance(keys, list) else [keys]:
        key = str(key, "latin1") if type(key) is bytes else key
        if type(key) is not str or key not in storages.known:
            raise damaged(f"it has contents for {shown(key)}, which no tensor uses")
        storage = storages.known[key]
        begin = at + 8
        at = begin + storage.count * item_size(storage.dtype)
        if at > len(view):
            raise damaged(f"it ends too early, inside storage {shown(key)}")
        if int.from_bytes(view[begin - 8 : begin], "little") != storage.count:
            raise damaged(f"storage {shown(key)} does not have the {storage.count} elements that are declared")
        found[key] = view[begin:at]
    if missing := storages.known.keys() - found.keys():
        raise damaged(f"it has no contents for storage {shown(min(missing))}")
    return found


def _checked_entries(path: str | os.PathLike, size: int) -> dict[str, zipfile.ZipInfo]:
    """The archive's entries by name, none of which leaves it or is larger than the file can hold."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError):
        raise damaged("its zip archive is cut off or broken") from None
    for info in infos:
        if _LEAVES.match(info.filename):
            raise CheckpointError(f"has an entry {shown(info.filename)}, which leads out of the archive")
        if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
            raise damaged(f"entry {shown(info.filename)} has two sizes")
    total = sum(info.file_size for info in infos)
    if total > 4 * size + (1 << 20):
        raise CheckpointError(f"declares {total} bytes of contents, but the file has only {size}; it was not unpacked")
    return {info.filename: info for info in infos}


@dataclasses.dataclass
class _Entries:
    data: Any
    infos: dict[str, zipfile.ZipInfo]
    budget: Budget

    def read(self, name: str) -> memoryview:
        """The bytes of an entry, a view of the file where they are not compressed."""
        if name not in self.infos:
            raise damaged(f"its zip archive has no entry {shown(name)}")
        info, view = self.infos[name], memoryview(self.data)
        start = info.header_offset
        header = view[start : start + _HEADER].tobytes() if start >= 0 else b""
        if len(header) < _HEADER or not header.startswith(_SIGNATURE) or info.flag_bits & _ENCRYPTED:
            raise damaged(f"entry {shown(name)} cannot be read")
        lengths = [int.from_bytes(header[place : place + 2], "little") for place in (_NAME_LENGTH, _EXTRA_LENGTH)]
        begin = start + _HEADER + sum(lengths)
        content = view[begin : begin + info.compress_size]
        if len(content) != info.compress_size:
            raise damaged(f"it ends too early, inside entry {shown(name)}")
        if info.compress_type == zipfile.ZIP_STORED:
            return content
        return memoryview(self._inflated(content, info))

    def _inflated(self, content: memoryview, info: zipfile.ZipInfo) -> bytes:
        if info.compress_type != zipfile.ZIP_DEFLATED:
            raise CheckpointError(f"has an entry {shown(info.filename)} in a compression that PyTorch does not use")
        self.budget.allocate(info.file_size)
        try:
            result = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, info.file_size + 1)
        except zlib.error:
            result = b""
        if len(result) != info.file_size or zlib.crc32(result) != info.CRC:
            raise damaged(f"entry {shown(info.filename)} cannot be unpacked")
        return result
