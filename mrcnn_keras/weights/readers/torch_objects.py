"""What a pickle of PyTorch tensors may name, and tensors as views of the storages that they share."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .limits import Budget, CheckpointError, damaged, shown
from .numpy_objects import numpy_names
from .pickle_machine import Name, Names
from .raw_arrays import LazyArray, element_count, flat_array, item_size

_STORAGES = {
    "Float": "f4",
    "Double": "f8",
    "Half": "f2",
    "BFloat16": "bf16",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "b1",
}
_DTYPES = {
    "float32": "f4",
    "float64": "f8",
    "float16": "f2",
    "bfloat16": "bf16",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint8": "u1",
    "uint16": "u2",
    "uint32": "u4",
    "uint64": "u8",
    "bool": "b1",
}
_MAX_NAME = 256
_KINDS = {f"torch.{name}Storage": dtype for name, dtype in _STORAGES.items()}
_KINDS |= {f"torch.{module}{name}": "u1" for module in ("", "storage.") for name in ("UntypedStorage", "TypedStorage")}
_KINDS |= {f"torch.{name}": dtype for name, dtype in _DTYPES.items()}


class Storage:
    """A stretch of elements in the file, which several tensors may share.

    Attributes:
        key: its name in the file.
        dtype: plain type without a byte order.
        count: number of elements.
    """

    def __init__(self, key: str, dtype: str, count: int, first: int = 0, whole: "Storage | None" = None):
        self.key, self.dtype, self.count = key, dtype, count
        self._first, self._whole = first, whole
        self._read: dict[str, np.ndarray] = {}

    def elements(self, storages: "Storages", dtype: str) -> np.ndarray:
        """The storage as an array (count,), of another type where it is untyped."""
        if self._whole is not None:
            return self._whole.elements(storages, dtype)[self._first : self._first + self.count]
        if dtype not in self._read:
            data = storages.data(self.key)
            if len(data) != self.count * item_size(self.dtype):
                raise damaged(f"storage {shown(self.key)} has {len(data)} bytes, not {self.count} elements")
            self._read[dtype] = flat_array(data, storages.byte_order + dtype, storages.budget)
        return self._read[dtype]


class Storages:
    """The storages of one file.

    Args:
        data: finds the bytes of a storage by its key.
        budget: pays for conversions.
        byte_order: "<" or ">".
    """

    def __init__(self, data: Callable[[str], Any], budget: Budget, byte_order: str = "<"):
        self.data, self.budget, self.byte_order = data, budget, byte_order
        self.known: dict[str, Storage] = {}

    def load(self, identity: Any) -> Storage:
        """The storage that a persistent id means: ("storage", kind, key, device, count) and, long ago, a view."""
        label, kind, key, _, count = identity[:5]
        view = identity[5:6]
        if _text(label) != "storage" or not isinstance(kind, Name) or kind.name not in _KINDS:
            raise CheckpointError("holds whole PyTorch modules; save its state_dict() instead")
        key = _text(key)
        storage = self.known.setdefault(key, Storage(key, _KINDS[kind.name], element_count([count])))
        if storage.count != count or storage.dtype != _KINDS[kind.name]:
            raise damaged(f"storage {shown(key)} is declared in two ways")
        if not view or view[0] is None:
            return storage
        _, first, length = view[0]
        element_count([first, length])
        if first + length > count:
            raise damaged(f"a view reaches outside storage {shown(key)}")
        return Storage(key, storage.dtype, length, first, storage)

    def names(self) -> Names:
        """The table for `read_pickle`."""
        names = {**numpy_names(self.budget), **dict.fromkeys(_KINDS)}
        names["torch._utils._rebuild_tensor"] = self._tensor
        names["torch._utils._rebuild_tensor_v2"] = self._tensor
        names["torch._utils._rebuild_tensor_v3"] = self._typed_tensor
        names["torch._utils._rebuild_parameter"] = lambda data, *rest: data
        names["torch._utils._rebuild_parameter_with_state"] = lambda data, *rest: data
        names["torch.Size"] = _size
        names["torch.device"] = lambda kind, index=None: _text(kind)
        return names

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> "Tensor":
        return Tensor(self, storage, offset, size, stride)

    def _typed_tensor(self, storage, offset, size, stride, gradient, hooks, dtype, *rest) -> "Tensor":
        return Tensor(self, storage, offset, size, stride, _KINDS[dtype.name])


class Tensor(LazyArray):
    """A strided view of a storage.

    Args:
        storages: the file's storages.
        storage: the one it is in.
        offset: first element in the storage.
        size: shape.
        stride: for each axis, elements from one to the next.
        dtype: plain type of the elements, where it is not the storage's.
    """

    def __init__(self, storages: Storages, storage: Any, offset: Any, size: Any, stride: Any, dtype: str | None = None):
        if not isinstance(storage, Storage):
            raise damaged("a tensor has no storage")
        self._storages, self._storage, self._dtype = storages, storage, dtype or storage.dtype
        self._offset, self._size, self._stride = offset, size, stride

    def array(self) -> np.ndarray:
        """See `LazyArray`."""
        count = element_count(self._size)
        element_count(self._stride)
        element_count([self._offset])
        if len(self._size) != len(self._stride):
            raise damaged("a tensor's size and stride have different lengths")
        elements = self._storage.elements(self._storages, self._dtype)
        if not count:
            return np.zeros(self._size, elements.dtype)
        last = self._offset + sum((side - 1) * step for side, step in zip(self._size, self._stride))
        if last >= elements.size or count > elements.size:
            key, size = shown(self._storage.key), f"{tuple(self._size)!r:.60}"
            raise damaged(f"a tensor of shape {size} reaches outside storage {key}, which has {elements.size} elements")
        # The step along an axis of one element means nothing and can be any number.
        strides = [step * elements.itemsize if side > 1 else 0 for side, step in zip(self._size, self._stride)]
        return np.lib.stride_tricks.as_strided(elements[self._offset :], self._size, strides, writeable=False)


def _size(sides: Any = ()) -> tuple:
    element_count(sides)
    return tuple(sides)


def _text(value: Any) -> str:
    if type(value) not in (str, bytes) or len(value) > _MAX_NAME:
        raise damaged("a storage has no name")
    return str(value, "latin1") if type(value) is bytes else value
