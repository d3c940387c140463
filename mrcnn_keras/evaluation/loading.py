"""The images of a dataset, read by threads while those before them are worked on, and how far that is."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from mrcnn_keras.inference.ahead import background, one_ahead


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
    with background("evaluation") as begin:

        def load(part: Sequence[int]) -> Callable[[], dict[int, Any]]:
            begun = {index: begin(dataset.load, index) for index in part}
            return lambda: {index: result() for index, result in begun.items()}

        yield one_ahead(load, parts)


@contextlib.contextmanager
def progress(steps: Sequence[Any], verbose: bool, doing: str) -> Iterator[Any]:
    """The same steps, with a bar on the terminal that calls them `doing` if `verbose`."""
    if not verbose:
        yield steps
        return
    from rich import progress as bars

    columns = (bars.TextColumn(doing), bars.BarColumn(), bars.MofNCompleteColumn(), bars.TextColumn("batches"),
               bars.TimeElapsedColumn(), bars.TextColumn("left"), bars.TimeRemainingColumn())  # fmt: skip
    with bars.Progress(*columns) as progress:
        yield progress.track(steps)
