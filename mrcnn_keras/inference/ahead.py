"""Work that threads do while something else is waited for."""

import collections
import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from mrcnn_keras.data.cpus import usable_cpus

T = TypeVar("T")
R = TypeVar("R")


@contextlib.contextmanager
def background(name: str) -> Iterator[Callable[..., Callable[[], Any]]]:
    """A context of as many threads as there are CPUs; none is left at its end, and what has not begun is dropped.

    Args:
        name: of the threads.

    Returns: a context of `begin(function, *arguments)`, which returns at once a function of no arguments that waits for
        the result, or raises the error.
    """
    pool = ThreadPoolExecutor(usable_cpus(), thread_name_prefix=name)
    try:
        yield lambda function, *arguments: pool.submit(function, *arguments).result
    finally:
        pool.shutdown(cancel_futures=True)


def one_ahead(begin: Callable[[T], Callable[[], R]], items: Iterable[T]) -> Iterator[R]:
    """The result of each item in turn, while the work on the next one, and no more, has begun.

    Args:
        begin: begins the work on an item and returns a function that gives the result or raises the error.
        items: of any number.
    """
    begun: collections.deque[Callable[[], R]] = collections.deque()
    for item in items:
        begun.append(begin(item))
        if len(begun) > 1:
            yield begun.popleft()()
    while begun:
        yield begun.popleft()()
