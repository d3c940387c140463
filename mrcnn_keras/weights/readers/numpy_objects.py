"""What a pickle of NumPy arrays may name: plain containers, bytes, dtypes, arrays and scalars."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .limits import Budget, damaged
from .pickle_machine import Built, Name, Names
from .pickle_values import checked_key
from .raw_arrays import LazyArray, shaped_array

_MODULES = ("numpy.core.", "numpy._core.")
_BUILTINS = ("builtins.", "__builtin__.")
_MAX_WORD = 16


class PickledArray(LazyArray, Built):
    """An `ndarray` of a pickle: made empty, then given its state."""

    def __init__(self, budget: Budget):
        self._budget = budget
        self._state: tuple | None = None

    def build(self, state: Any) -> None:
        """Takes NumPy's state: version, shape, dtype, whether in Fortran's order, data."""
        _, shape, dtype, fortran, data = state
        self.fill(data, dtype, shape, "F" if fortran else "C")

    def fill(self, data: Any, dtype: Any, shape: Any, order: str, axes: Sequence[int] | None = None) -> None:
        """Takes the parts of the array; `axes` is the order that its axes are put in at last."""
        self._state = data, dtype, shape, order, axes

    def array(self) -> np.ndarray:
        """See `LazyArray`."""
        if self._state is None:
            raise damaged("an array has no contents")
        data, dtype, shape, order, axes = self._state
        if not isinstance(dtype, _DType):
            raise damaged("an array has no type")
        array = shaped_array(_bytes(data), dtype.text(), shape, self._budget, order)
        return array if axes is None else array.transpose(axes)


class _DType(Built):
    def __init__(self, kind: Any):
        self._kind, self._order, self._plain = _text(kind), "", True

    def build(self, state: Any) -> None:
        self._order = _text(state[1])
        self._plain = all(part is None for part in state[2:5])  # sub-array, field names, fields

    def text(self) -> str:
        return self._order + self._kind if self._plain else "structure"


class _Ignored(Built):
    """An object that says nothing about the weights, whatever its state."""

    def build(self, state: Any) -> None:
        pass


def numpy_names(budget: Budget) -> Names:
    """The table for `read_pickle`; arrays come out as `PickledArray`, scalars as Python numbers.

    Args:
        budget: pays for bytes that have to be copied and for entries of containers.
    """

    def reconstruct(kind: Any, shape: Any, code: Any) -> PickledArray:
        if not isinstance(kind, Name) or kind.name != "numpy.ndarray":
            raise damaged("an array is made of something else")
        return PickledArray(budget)

    def scalar(dtype: Any, data: Any) -> bool | int | float:
        single = PickledArray(budget)
        single.fill(data, dtype, (), "C")
        return single.array().item()

    def from_buffer(data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> PickledArray:
        array = PickledArray(budget)
        array.fill(data, dtype, shape, "F" if order == "F" else "C", axes if order == "K" else None)
        return array

    names = _plain_names(budget)
    names |= {"numpy.ndarray": None, "numpy.dtype": lambda kind, align=False, copy=False: _DType(kind)}
    for module in _MODULES:
        names[f"{module}multiarray._reconstruct"] = reconstruct
        names[f"{module}multiarray.scalar"] = scalar
        names[f"{module}numeric._frombuffer"] = from_buffer
    return names


def _plain_names(budget: Budget) -> dict:
    def encode(text: str, encoding: Any = "latin1") -> bytes:
        if _text(encoding) not in ("latin1", "latin-1"):
            raise ValueError
        budget.allocate(len(text))
        return text.encode("latin1")

    def as_bytes(data: Any = b"", encoding: Any = "latin1") -> Any:
        return encode(data, encoding) if type(data) is str else _bytes(data)

    def as_dict(pairs: Any = ()) -> dict:
        budget.step(len(pairs))
        items = pairs.items() if type(pairs) is dict else pairs
        return {checked_key(key): value for key, value in items}

    def as_set(items: Any = ()) -> set:
        budget.step(len(items))
        return {checked_key(item) for item in items}

    names = {
        "_codecs.encode": encode,
        "collections.OrderedDict": as_dict,
        "collections.Counter": as_dict,
        "collections.defaultdict": lambda factory=None: {},
        "argparse.Namespace": _Ignored,  # the options of torchvision's training script
    }
    kinds = {"bytes": as_bytes, "bytearray": as_bytes, "dict": as_dict, "set": as_set}
    kinds["frozenset"] = lambda items=(): frozenset(as_set(items))
    for module in _BUILTINS:
        names |= {f"{module}{kind}": function for kind, function in kinds.items()}
        names |= {f"{module}{kind}": None for kind in ("int", "float", "list")}  # what a defaultdict makes
    return names


def _bytes(data: Any) -> bytes | memoryview:
    if type(data) not in (bytes, memoryview):
        raise damaged("an array's contents are not bytes")
    return data


def _text(value: Any) -> str:
    """A word of either Python, bytes from Python 2; "" for anything else."""
    if type(value) not in (str, bytes) or len(value) > _MAX_WORD:
        return ""
    return str(value, "latin1") if type(value) is bytes else value
