"""A Python function of the step as a parallel, ordered `tf.data.Dataset`."""

import atexit
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

# Refused calls follow each other at once: after this long without one, TensorFlow's buffers are full. Seconds.
_QUIET = 0.25
_PATIENCE = 30.0


def parallel_batches(
    make: Callable[[int], tuple[np.ndarray, ...]],
    fields: Mapping[str, tuple[str, list[int | None]]],
    steps: tuple[int, int],
    workers: int,
    prefetch: int,
    may_be_empty: bool = False,
):
    """A tf.data.Dataset of `make(step)` for each step, in order, several made at the same time.

    Args:
        make: called from several threads; returns one array a field. Its errors surface with their message.
        fields: name -> (dtype, shape with None where it varies), in the order of the arrays.
        steps: first step and the one after the last.
        workers: calls at the same time, >= 1.
        prefetch: batches kept ready, >= 0.
        may_be_empty: leave out batches whose first field has no row.
    """
    import tensorflow as tf

    def call(step):
        return GATE.call(make, int(step))

    def to_batch(step):
        dtypes = [tf.as_dtype(dtype) for dtype, _ in fields.values()]
        return named_arrays(tf.numpy_function(call, [step], dtypes), fields)

    batches = tf.data.Dataset.range(*steps).map(to_batch, num_parallel_calls=workers, deterministic=True)
    return finished(batches, workers, prefetch, fields, may_be_empty)


def named_arrays(arrays: Sequence, fields: Mapping[str, tuple[str, list[int | None]]]) -> dict:
    """The tensors of one batch by the names of the fields, with their shapes as far as they are known."""
    import tensorflow as tf

    shaped = [tf.ensure_shape(array, shape) for array, (_, shape) in zip(arrays, fields.values(), strict=True)]
    return dict(zip(fields, shaped, strict=True))


def finished(batches, workers: int, prefetch: int, fields: Sequence[str] = (), may_be_empty: bool = False):
    """A tf.data.Dataset with threads of its own and some batches kept ready; arguments as of `parallel_batches`."""
    import tensorflow as tf

    if may_be_empty:
        first = next(iter(fields))
        batches = batches.filter(lambda batch: tf.shape(batch[first])[0] > 0)
    options = tf.data.Options()
    # Decoding in TensorFlow's own pool would hold up the training step's operations.
    options.threading.private_threadpool_size = workers + 1
    options.autotune.enabled = False
    return batches.prefetch(prefetch).with_options(options)


def users_error(message: str) -> ValueError | None:
    """The error that a worker raised, from TensorFlow's message about it; None if it is of another kind."""
    found = re.search(r"ValueError: (.*?)\s*(?:\n\s*Traceback|\n\n|$)", message, re.DOTALL)
    return ValueError(found.group(1)) if found else None


class _Gate:
    """Turns calls from TensorFlow's threads away once the interpreter begins to end.

    A thread that enters Python after that never returns, and the iterator that waits for it would hang the exit.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._running, self._closing, self._last = 0, False, 0.0
        atexit.register(self.close)

    def call(self, function: Callable, *args):
        with self._lock:
            self._last = time.monotonic()
            if self._closing:
                raise RuntimeError("no more batches: Python is shutting down")
            self._running += 1
        try:
            return function(*args)
        finally:
            with self._lock:
                self._running -= 1
                self._last = time.monotonic()

    def close(self) -> None:
        """Waits until no thread is inside and none has come for a while."""
        self._closing = True
        deadline = time.monotonic() + _PATIENCE
        while (self._running or time.monotonic() - self._last < _QUIET) and time.monotonic() < deadline:
            time.sleep(0.02)


GATE = _Gate()
