"""What the processes of a training on several machines tell each other while they evaluate together."""

import base64
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from mrcnn_keras.inference.detections import Detections

T = TypeVar("T")


def on_chief(model: Any, make: Callable[[], T]) -> T | None:
    """What `make` returns in the process that writes files, the only one that calls it; None in the others.

    Raises:
        ValueError: it failed there; in that process the error itself.
    """
    group = getattr(model, "worker_group", None)
    if group is None:
        return make()
    with Exchange(group):
        return make() if group.is_chief else None


class Exchange:
    """A context in which processes tell each other what they found; an error in one of them ends it in all.

    Args:
        group: `training.worker_group.WorkerGroup`, or another with its `gather`.

    Raises:
        ValueError: on the next call, or at the end, of what another process failed of.
    """

    def __init__(self, group: Any):
        self._group, self._over = group, False

    def __enter__(self) -> "Exchange":
        return self

    def __call__(self, found: Mapping[int, Any]) -> dict[int, Detections | None]:
        """What all processes found, by image.

        Args:
            found: image -> the `Detections` of this process's images; None for one that cannot be read.
        """
        answers = self._gather({"found": {index: one and pack(one) for index, one in found.items()}})
        merged = {int(index): one for answer in answers for index, one in answer["found"].items()}
        return {index: None if one is None else unpack(one) for index, one in sorted(merged.items())}

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self._gather({})
        elif isinstance(error, Exception) and not self._over:
            with contextlib.suppress(Exception):  # the own error is the one to raise
                self._gather({"error": str(error) or type(error).__name__})

    def _gather(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        self._over = True
        answers = [json.loads(answer) for answer in self._group.gather(json.dumps(message).encode())]
        failed = [f"worker {number}: {answer['error']}" for number, answer in enumerate(answers) if "error" in answer]
        if failed:
            raise ValueError("; ".join(failed))
        self._over = False
        return answers


def pack(found: Any) -> dict[str, Any]:
    """`Detections` as a dict for JSON, without the image and with run lengths in place of bitmaps."""
    rles = found.to_rles()
    return {
        **{name: _packed_array(getattr(found, name)) for name in _ARRAYS},
        **{name: getattr(found, name) for name in _PLAIN},
        "size": None if found.size is None else [int(side) for side in found.size],
        "rles": None if rles is None else [_packed_rle(one) for one in rles],
    }


def unpack(packed: Mapping[str, Any]) -> Detections:
    """The `Detections` that `pack` was given."""
    arrays = {name: _unpacked_array(packed[name]) for name in _ARRAYS}
    plain = {name: packed[name] for name in _PLAIN}
    rles = packed["rles"]
    if rles is not None:
        rles = [{"size": size, "counts": counts.encode("ascii")} for size, counts in rles]
    size = packed["size"] and tuple(packed["size"])
    return Detections(**arrays, **plain, size=size, rles=rles)


_ARRAYS = ("boxes", "scores", "class_ids", "keypoints")
_PLAIN = ("class_names", "keypoint_names", "keypoint_skeleton")


def _packed_array(array: np.ndarray | None) -> list | None:
    if array is None:
        return None
    return [array.dtype.str, array.shape, base64.b64encode(array.tobytes()).decode("ascii")]


def _unpacked_array(packed: list | None) -> np.ndarray | None:
    if packed is None:
        return None
    kind, shape, text = packed
    return np.frombuffer(base64.b64decode(text), kind).reshape(shape)


def _packed_rle(mask: Mapping[str, Any]) -> list:
    counts = mask["counts"]
    return [[int(side) for side in mask["size"]], counts.decode("ascii") if isinstance(counts, bytes) else counts]
