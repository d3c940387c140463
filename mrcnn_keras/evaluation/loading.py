"""The images of a dataset, read by threads while those before them are worked on."""

import collections
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from mrcnn_keras.data.cpus import usable_cpus


@contextlib.contextmanager
def loading(dataset: Any, parts: Iterable[Sequence[int]]) -> Iterator[Iterator[dict[int, Any]]]:
    """What `dataset.load` gives for each image of one part after the other.

    While one part is worked on the next is read, and no more. At the end of the context no thread is left.

    Args:
        dataset: `mrcnn_keras.data.Dataset`.
        parts: indices of images.

    Returns: a context of an iterator over the parts: index -> image and annotations, or None for a broken one that is
        skipped. It raises the errors of the dataset where the part's turn is.
    """
    pool = ThreadPoolExecutor(usable_cpus(), thread_name_prefix="evaluation")
    try:
        yield _one_ahead(pool, dataset, parts)
    finally:
        pool.shutdown(cancel_futures=True)


def _one_ahead(pool: ThreadPoolExecutor, dataset: Any, parts: Iterable[Sequence[int]]) -> Iterator[dict[int, Any]]:
    ahead: collections.deque[dict[int, Future]] = collections.deque()
    for part in parts:
        ahead.append({index: pool.submit(dataset.load, index) for index in part})
        if len(ahead) > 1:
            yield _results(ahead.popleft())
    while ahead:
        yield _results(ahead.popleft())


def _results(futures: dict[int, Future]) -> dict[int, Any]:
    return {index: future.result() for index, future in futures.items()}
