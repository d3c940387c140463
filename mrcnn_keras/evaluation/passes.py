"""One pass of a model over a dataset, which every kind of evaluation makes."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mrcnn_keras.data.proposals import StoredProposals
from mrcnn_keras.evaluation.loading import loading, progress
from mrcnn_keras.evaluation.together import Exchange


def detect_each(
    model: Any,
    dataset: Any,
    use: Callable[[int, Any, Any], None],
    *,
    batch_size: int = 1,
    max_images: int | None = None,
    verbose: bool = True,
    tta: Any = None,
    detect_options: Mapping[str, Any] | None = None,
    doing: str = "evaluating",
) -> None:
    """Detect on the images of a dataset and hand on what is found, one image after the other.

    Where the model was made for several processes all of them make the call, each detects on its share of the images,
    and each hands on what is found in all images.

    Args:
        model: `MaskRCNN`, or anything with its `detect(images, batch_size=..., masks="rle")` and, if it has some, its
            `local_replicas` and `worker_group`.
        dataset: `mrcnn_keras.data.Dataset`; broken images that it skips (`skip_broken`) are left out.
        use: called with the index, the annotations and the detections of each image, these with the dataset's classes.
        batch_size: images a batch on each replica, 1 or more.
        max_images: only the first so many images; None: all.
        verbose: show a progress bar.
        tta: test-time augmentation, as of `MaskRCNN.detect`.
        detect_options: further arguments of `detect`; "proposals" may be a file, see `data.ProposalFile`.
        doing: what the bar calls it.

    Raises:
        ValueError: the model's classes are neither as many as the dataset's nor have all their names, the file has no
            proposals of an image, or another of the processes has failed.
    """
    options = {**(detect_options or {}), **({} if tta is None else {"tta": tta})}
    stored = options.pop("proposals") if isinstance(options.get("proposals"), (str, os.PathLike)) else None
    stored = stored and StoredProposals(stored, dataset)
    count = len(dataset) if max_images is None else min(len(dataset), max_images)
    size, group = batch_size * getattr(model, "local_replicas", 1), getattr(model, "worker_group", None)
    workers, index = (1, 0) if group is None else (group.count, group.index)
    rounds = range(0, count, size * workers)
    own = [range(start + index * size, min(start + (index + 1) * size, count)) for start in rounds]
    with contextlib.ExitStack() as stack:
        exchange = stack.enter_context(Exchange(group)) if group is not None else lambda found: found
        parts = stack.enter_context(loading(dataset, own))
        bar = stack.enter_context(progress(rounds, verbose and (group is None or group.is_chief), doing))
        for _, samples in zip(bar, parts, strict=True):
            for i, found in exchange(_detected(model, samples, batch_size, options, stored)).items():
                if found is not None:
                    annotations = samples[i][1] if i in samples else dataset.load_annotations(i)
                    use(i, annotations, in_classes_of(dataset, found))
            samples.clear()  # room for the next but one


def _detected(
    model: Any, samples: Mapping[int, Any], batch_size: int, options: Mapping[str, Any], stored: StoredProposals | None
) -> dict[int, Any]:
    """The detections of each image; None for the broken ones."""
    there = {i: sample[0] for i, sample in samples.items() if sample is not None}
    if stored is not None:
        options = {**options, "proposals": [stored.boxes(i, image.shape[:2]) for i, image in there.items()]}
    found = model.detect(list(there.values()), batch_size=batch_size, masks="rle", **options) if there else []
    return dict.fromkeys(samples) | dict(zip(there, found, strict=True))


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
