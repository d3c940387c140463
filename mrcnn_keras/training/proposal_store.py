"""What an RPN finds in the images of a dataset, in a file."""

import os
from typing import Any

from ..data.cpus import usable_cpus
from ..data.proposals import ProposalWriter
from ..evaluation.loading import loading, progress


def store_proposals(
    model: Any,
    dataset: Any,
    path: str | os.PathLike,
    *,
    batch_size: int = 1,
    first_rpn: bool = False,
    verbose: bool = True,
) -> None:
    """Write a file with the proposals of all images, from which `fit` can train the heads (section 3.1).

    There are as many of an image as the config says for training (`rpn_post_nms_topk_train`). Images that the dataset
    skips as broken have none.

    Args:
        model: `MaskRCNN`.
        dataset: `mrcnn_keras.data.Dataset`.
        path: of the file, see `data.ProposalFile`; replaced if it exists, and not there if this is interrupted.
        batch_size: images a batch on each replica, 1 or more.
        first_rpn: of a model that is trained with training_stages="alternating", the RPN of the first step.
        verbose: show a progress bar.

    Raises:
        ValueError: the dataset has no images, a broken one that is not skipped, or the model has `box_inclusive`.
    """
    if len(dataset) == 0:
        raise ValueError("the dataset has no images")
    if first_rpn and not model.config.rpn_has_features:
        raise ValueError("first_rpn=True: the model has no RPN of its own features; "
                         f"training_stages={model.config.training_stages!r}")  # fmt: skip
    passes = model._first_passes if first_rpn else model._passes
    size = max(batch_size * model.local_replicas, usable_cpus())
    parts = [range(start, min(start + size, len(dataset))) for start in range(0, len(dataset), size)]
    with (
        ProposalWriter(path) as writer,
        loading(dataset, parts) as loaded,
        progress(parts, verbose, "proposals") as bar,
    ):
        for _, samples in zip(bar, loaded, strict=True):
            there = {index: sample[0] for index, sample in samples.items() if sample is not None}
            found = dict(zip(there, model._propose(passes, list(there.values()), batch_size, True), strict=True))
            for index in samples:
                name = dataset.image_name(index)
                if index in found:
                    writer.add(name, there[index].shape[:2], *found[index])
                else:
                    writer.add(name, (0, 0), [])
