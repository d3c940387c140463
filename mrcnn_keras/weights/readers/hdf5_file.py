"""HDF5 weight files, such as Keras writes: every dataset by its path, once it is known to lie in the file itself."""

import math
import os
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from .limits import CheckpointError, check_total, damaged, shown
from .raw_arrays import is_plain

_MAX_OBJECTS = 100_000
# Reading takes the library some four kilobytes a chunk beside the chunk itself.
_FREE_CHUNKS, _BYTES_A_CHUNK = 4096, 1024
_DEFLATE = 1
# Filters in the order in which they may have been applied: shuffle, deflate, checksum.
_FILTERS = (2, _DEFLATE, 3)


def read_hdf5(path: str | os.PathLike, size: int) -> dict[str, np.ndarray]:
    """Every dataset of a file by its path without the leading slash, in the file's order.

    Args:
        path: the file.
        size: its size in bytes; the datasets' sizes are checked against it before any is read.

    Raises:
        CheckpointError: the file is damaged, leads out of itself, or holds something else than plain numbers.
    """
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            datasets = dict(_datasets(file["/"]))
            check_total(sum(_checked_size(name, dataset, size) for name, dataset in datasets.items()), size)
            return {name: _array(dataset) for name, dataset in datasets.items()}
    except (OSError, KeyError, RuntimeError, zlib.error) as error:
        raise damaged("its HDF5 structure is cut off or broken") from error


def _datasets(root: Any) -> Iterator[tuple[str, Any]]:
    import h5py

    pending, groups, count = [("", root)], set(), 0
    while pending:
        path, found = pending.pop()
        count += 1
        if count > _MAX_OBJECTS:
            raise CheckpointError(f"has more than {_MAX_OBJECTS} objects, far more than a weights file")
        if isinstance(found, h5py.Dataset):
            yield path, found
        elif isinstance(found, h5py.Group):
            address = h5py.h5o.get_info(found.id).addr
            if address in groups:
                raise damaged(f"group {shown(path)} is in two places")
            groups.add(address)
            names = [_checked_link(path, name, found) for name in found]
            pending.extend((f"{path}/{name}".lstrip("/"), found[name]) for name in reversed(names))


def _checked_link(path: str, name: str, group: Any) -> str:
    import h5py

    full = shown(f"{path}/{name}".lstrip("/"))
    if "/" in name or name in ("", "."):  # taken as a path, it could lead anywhere
        raise damaged(f"entry {full} has no proper name")
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise CheckpointError(f"has an entry {full} that leads to another file, {shown(link.filename)}")
    if isinstance(link, h5py.SoftLink):
        raise CheckpointError(f"has an entry {full} that is a soft link to {shown(link.path)}")
    return name


def _checked_size(name: str, dataset: Any, size: int) -> int:
    """Bytes of a dataset, whose contents are plain numbers inside the file."""
    if dataset.external or dataset.is_virtual:
        raise CheckpointError(f"has an entry {shown(name)} whose data is in another file")
    if dataset.shape is None or not is_plain(dataset.dtype.str):
        raise CheckpointError(f"has an entry {shown(name)} of type {dataset.dtype}; only plain numbers can be read")
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
    if filters != [code for code in _FILTERS if code in filters]:
        raise CheckpointError(f"has an entry {shown(name)} in a compression other than gzip; save it without")
    if dataset.chunks is not None:
        _check_chunks(name, dataset, filters, size)
    return math.prod(dataset.shape) * dataset.dtype.itemsize


def _check_chunks(name: str, dataset: Any, filters: list[int], size: int) -> None:
    """CheckpointError if the library would need far more memory for chunks than the file has bytes."""
    count = math.prod(-(-side // chunk) for side, chunk in zip(dataset.shape, dataset.chunks))
    declared = math.prod(dataset.chunks) * dataset.dtype.itemsize
    check_total(declared, size)
    if count > _FREE_CHUNKS + size // _BYTES_A_CHUNK:
        raise CheckpointError(f"declares {count} pieces of entry {shown(name)}, more than a file of its size needs")
    if _DEFLATE not in filters:
        return
    left_out = 1 << filters.index(_DEFLATE)

    # The library would unpack a chunk whole, however large it turns out to be.
    def check(chunk: Any) -> None:
        if chunk.size > size:
            raise damaged(f"entry {shown(name)} reaches outside the file")
        if not chunk.filter_mask & left_out:
            data = dataset.id.read_direct_chunk(chunk.chunk_offset)[1]
            if len(zlib.decompressobj().decompress(data, declared + 1)) != declared:
                raise damaged(f"a piece of entry {shown(name)} does not have its declared size")

    dataset.id.chunk_iter(check)


def _array(dataset: Any) -> np.ndarray:
    array = np.asarray(dataset[()])
    return array.astype(np.dtype(array.dtype.str).newbyteorder("="), copy=False)
