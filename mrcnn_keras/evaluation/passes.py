"""One pass of a model over a dataset, which every kind of evaluation makes."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np


def detect_each(
    model: Any,
    dataset: Any,
    use: Callable[[int, Any, Any], None],
    *,
    batch_size: int = 1,
    max_images: int | None = None,
    verbose: bool = True,
) -> None:
    """Detect on the images of a dataset and hand on what is found, one image after the other.

    Args:
        model: `MaskRCNN`, or anything with its `detect(images, batch_size=..., masks="rle")`.
        dataset: `mrcnn_keras.data.Dataset`; broken images that it skips (`skip_broken`) are left out.
        use: called with the index, the annotations and the detections of each image, these with the dataset's classes.
        batch_size: images a batch, 1 or more.
        max_images: only the first so many images; None: all.
        verbose: show a progress bar.

    Raises:
        ValueError: the model's classes are neither as many as the dataset's nor have all their names.
    """
    count = len(dataset) if max_images is None else min(len(dataset), max_images)
    with _progress(range(0, count, batch_size), verbose) as starts:
        for start in starts:
            samples = {i: dataset.load(i) for i in range(start, min(start + batch_size, count))}
            samples = {i: sample for i, sample in samples.items() if sample is not None}  # broken ones are skipped
            images = [image for image, _ in samples.values()]
            detected = model.detect(images, batch_size=batch_size, masks="rle") if images else []
            for (i, (_, annotations)), found in zip(samples.items(), detected, strict=True):
                use(i, annotations, in_classes_of(dataset, found))


def in_classes_of(dataset: Any, found: Any) -> Any:
    """Detections with the dataset's class ids; those of classes that it does not have are left out."""
    names, own = tuple(dataset.class_names), tuple(found.class_names)
    if names == own:
        return found
    if set(names) <= set(own):
        ids = np.array([names.index(name) if name in names else -1 for name in own])[found.class_ids]
        return dataclasses.replace(found[ids >= 0], class_ids=ids[ids >= 0], class_names=names)
    if len(names) != len(own):
        raise ValueError(
            f"the model has {len(own)} classes, but the dataset {len(names)}: "
            f"{', '.join(names[:5])}...; train or load a model for these classes"
        )
    return found


@contextlib.contextmanager
def _progress(steps: Sequence[int], verbose: bool) -> Iterator[Any]:
    if not verbose:
        yield steps
        return
    from rich import progress as bars

    columns = (bars.TextColumn("evaluating"), bars.BarColumn(), bars.MofNCompleteColumn(), bars.TextColumn("batches"),
               bars.TimeElapsedColumn(), bars.TextColumn("left"), bars.TimeRemainingColumn())  # fmt: skip
    with bars.Progress(*columns) as progress:
        yield progress.track(steps)
