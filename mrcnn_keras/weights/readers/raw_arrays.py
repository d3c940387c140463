"""Arrays over the bytes of a file: native byte order, and a shape that fits the bytes exactly."""

import math
import re
from collections.abc import Sequence

import numpy as np

from .limits import Budget, CheckpointError, damaged, shown

_PLAIN = re.compile(r"[<>|=]?(f[248]|[iu][1248]|b1|bf16)")
_MAX_DIMENSIONS = 16


class LazyArray:
    """An array of a checkpoint that is put together when it is asked for."""

    def array(self) -> np.ndarray:
        """The array, read-only where it is a view of the file; CheckpointError if it does not fit the file."""
        raise NotImplementedError


def is_plain(dtype: str) -> bool:
    """Whether a type such as "<f4" is a plain number: float, integer, boolean or "bf16"."""
    return _PLAIN.fullmatch(dtype) is not None


def item_size(dtype: str) -> int:
    """Bytes of one element of a plain type.

    Raises:
        CheckpointError: the type is not a plain number.
    """
    if not is_plain(dtype):
        raise CheckpointError(f"holds an array of type {shown(dtype)}; only plain numbers can be read")
    return 2 if dtype.endswith("bf16") else np.dtype(dtype).itemsize


def element_count(shape: Sequence[int]) -> int:
    """Number of elements of a declared shape, a Python integer that cannot overflow.

    Raises:
        CheckpointError: the shape is not a short tuple or list of integers >= 0.
    """
    if not isinstance(shape, (tuple, list)) or len(shape) > _MAX_DIMENSIONS:
        raise damaged("an array's shape is not a short list of integers")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise damaged("an array's shape is not made of integers >= 0")
    return math.prod(shape)


def flat_array(data: memoryview | bytes, dtype: str, budget: Budget) -> np.ndarray:
    """The elements in a piece of a file: (len(data) / item size,), in native byte order.

    Args:
        data: a whole number of elements.
        dtype: a plain type, with its byte order unless that is the native one; "bf16" becomes float32.
        budget: pays for the conversion, where one is needed; otherwise the result is a view of `data`.
    """
    if len(data) % item_size(dtype):
        raise damaged(f"{len(data)} bytes are not a whole number of {dtype} elements")
    if dtype.endswith("bf16"):
        budget.allocate(2 * len(data))
        halves = np.frombuffer(data, dtype.replace("bf16", "u2")).astype(np.uint32)
        return np.left_shift(halves, 16, out=halves).view(np.float32)
    array = np.frombuffer(data, dtype) if len(data) else np.zeros(0, dtype)
    if array.dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
        raise damaged("a boolean is neither 0 nor 1")
    if not array.dtype.isnative:
        budget.allocate(array.nbytes)
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def shaped_array(
    data: memoryview | bytes, dtype: str, shape: Sequence[int], budget: Budget, order: str = "C"
) -> np.ndarray:
    """The array of a declared shape in a piece of a file.

    Args:
        data: the array's bytes, no more and no fewer.
        dtype: as for `flat_array`.
        shape: declared by the file.
        budget: as for `flat_array`.
        order: "C" or "F", how the elements lie.

    Raises:
        CheckpointError: shape and bytes do not fit each other.
    """
    needed = element_count(shape) * item_size(dtype)
    if needed != len(data):
        raise damaged(f"an array of shape {tuple(shape)!r:.60} needs {needed} bytes, the file has {len(data)}")
    return flat_array(data, dtype, budget).reshape(shape, order=order)
