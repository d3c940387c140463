"""The safetensors format: the header's length, a JSON header, and raw little-endian data without gaps."""

import json
from typing import Any

import numpy as np

from .limits import Budget, CheckpointError, damaged, shown
from .raw_arrays import shaped_array

_MAX_HEADER = 4 << 20
# Eight letters read as a length are far more.
_MAX_LENGTH = 1 << 48
_METADATA = "__metadata__"
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<bf16",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "b1",
}


def is_safetensors(data: Any) -> bool:
    """Whether a file begins like a safetensors file: a length that is no text, then JSON."""
    return data[8:9] == b"{" and _header_length(data) < _MAX_LENGTH


def read_safetensors(data: Any, budget: Budget) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays by name in the header's order, and the metadata.

    Args:
        data: the file's bytes, or an `mmap` of them.
        budget: of the whole file.

    Raises:
        CheckpointError: the header is damaged, or does not describe the data exactly.
    """
    length = _header_length(data)
    if length > len(data) - 8:
        raise damaged("it ends too early, inside its header")
    if length > _MAX_HEADER:
        raise CheckpointError(f"has a header of {length} bytes; at most {_MAX_HEADER} are read")
    header = _parsed_header(bytes(data[8 : 8 + length]))
    metadata = header.pop(_METADATA, {})
    content = memoryview(data)[8 + length :]
    _check_layout(header, len(content))
    tensors = {name: _array(name, entry, content, budget) for name, entry in header.items()}
    return tensors, {name: text for name, text in metadata.items() if type(text) is str}


def _header_length(data: Any) -> int:
    return int.from_bytes(data[:8], "little")


def _parsed_header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_repetition)
    except RecursionError:
        raise damaged("its header is nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise damaged("its header is not JSON") from None
    if not all(isinstance(entry, dict) for entry in header.values()):
        raise damaged("its header has an entry that describes no array")
    return header


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise damaged("its header has a name twice")
    return found


def _check_layout(header: dict[str, dict], size: int) -> None:
    """CheckpointError unless the arrays fill the data one after the other."""
    places = []
    for name, entry in header.items():
        offsets = entry.get("data_offsets")
        if not isinstance(offsets, list) or len(offsets) != 2 or any(type(offset) is not int for offset in offsets):
            raise damaged(f"array {shown(name)} has no place in the file")
        places.append((*offsets, name))
    end = 0
    for begin, stop, name in sorted(places):
        if begin != end or stop < begin or stop > size:
            raise damaged(f"array {shown(name)} overlaps another, leaves a gap or reaches outside the file")
        end = stop
    if end != size:
        raise damaged(f"its arrays end at byte {end} of {size}")


def _array(name: str, entry: dict, content: memoryview, budget: Budget) -> np.ndarray:
    dtype = entry.get("dtype")
    if type(dtype) is not str or dtype not in _DTYPES:
        raise CheckpointError(f"holds array {shown(name)} of type {shown(dtype)}; only plain numbers can be read")
    begin, end = entry["data_offsets"]
    return shaped_array(content[begin:end], _DTYPES[dtype], entry.get("shape"), budget)
