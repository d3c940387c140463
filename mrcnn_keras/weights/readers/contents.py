"""Which part of what a checkpoint holds is the weights."""

from typing import Any

import numpy as np

from .limits import Budget, CheckpointError, check_total, shown
from .raw_arrays import LazyArray

# Where training programs put the weights among other things.
_WRAPPERS = ("model", "state_dict", "model_state_dict", "blobs")
_BLOBS = "blobs"
_MOMENTUM = "_momentum"
_NUMBERS = (bool, int, float)
_BYTES = (bytes, memoryview)
_PLAIN = (*_NUMBERS, str, *_BYTES, type(None))


def split_contents(content: Any, budget: Budget) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The weights by name, and the plain values beside them.

    Args:
        content: what the file holds; its arrays are `LazyArray`, and strings may be bytes of Python 2.
        budget: of the whole file.

    Returns:
        The arrays of the dictionary "model", "state_dict", "model_state_dict" or "blobs", or of the contents
        themselves; and the numbers in it and the numbers and strings beside it. Other entries beside it (optimizer,
        scheduler) are left out, and so is Caffe2's momentum, which lies among the weights.

    Raises:
        CheckpointError: there are no weights, or something among them is neither an array nor a number.
    """
    if not isinstance(content, dict):
        raise CheckpointError(f"holds {shown(content)}, not arrays by name")
    top = {_text(key): value for key, value in content.items()}
    wrapper = next((name for name in _WRAPPERS if _has_arrays(top.get(name))), None)
    if wrapper is None and not _has_arrays(top):
        raise CheckpointError("holds no arrays by name; a checkpoint with a model's weights is needed")
    extras = {}
    if wrapper is not None:
        extras = {name: value for name, value in top.items() if type(name) is str and _is_plain(value)}
        budget.allocate(sum(len(value) for value in extras.values() if isinstance(value, _BYTES)))
        extras = {name: _text(value) for name, value in extras.items()}
    weights = top if wrapper is None else top[wrapper]
    if wrapper in (None, _BLOBS):
        weights = {key: value for key, value in weights.items() if not str(_text(key)).endswith(_MOMENTUM)}
    tensors, numbers = _arrays_and_numbers(weights)
    check_total(sum(array.nbytes for array in tensors.values()), budget.size)
    return tensors, {**extras, **numbers}


def _arrays_and_numbers(weights: dict) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    tensors, numbers = {}, {}
    for key, value in weights.items():
        name = _text(key)
        if type(name) is not str:
            raise CheckpointError(f"has {shown(key)} as a name among its arrays")
        if isinstance(value, LazyArray):
            tensors[name] = _array(name, value)
        elif type(value) in _NUMBERS:
            numbers[name] = value
        else:
            raise CheckpointError(f"has {shown(value)} as entry {shown(name)} among its arrays")
    return tensors, numbers


def _array(name: str, value: LazyArray) -> np.ndarray:
    try:
        return value.array()
    except CheckpointError as error:
        raise CheckpointError(f"{error} (entry {shown(name)})") from None


def _has_arrays(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(entry, LazyArray) for entry in value.values())


def _is_plain(value: Any) -> bool:
    return type(value) in _PLAIN


def _text(value: Any) -> Any:
    """A string of Python 2, which is bytes, as text; anything else as it is."""
    return str(value, "latin1") if type(value) in _BYTES else value
