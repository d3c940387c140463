"""From a `Dataset` to the batches that a model's training graph takes."""

from typing import Any

import tensorflow as tf

from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.pipeline import training_batches


def check_dataset(dataset: Dataset, config: Any) -> None:
    """Whether a model of this config can learn from a dataset.

    Args:
        dataset: for training or validation.
        config: `MaskRCNNConfig`.

    Raises:
        ValueError: it has no images, another number of classes, or no keypoints for a model that has.
    """
    if config.num_keypoints:
        raise ValueError(
            "the model has a keypoint head, and batches made from a Dataset carry no keypoints yet; pass a "
            "tf.data.Dataset of batches with gt_keypoints (B, G, num_keypoints, 3) added"
        )
    if len(dataset) == 0:
        raise ValueError("the dataset has no images")
    given = len(dataset.class_names)
    if given != config.num_classes:
        raise ValueError(
            f"the dataset has {given} classes ({', '.join(dataset.class_names[:5])}{', ...' if given > 5 else ''})"
            f" and the model {config.num_classes}; make the model with num_classes={given}"
        )


def training_feed(dataset: Dataset, config: Any, batch_size: int, workers: int, start_step: int) -> tf.data.Dataset:
    """Endless shuffled batches from step `start_step` on, with the config's sizes, flips and seed."""
    sides = config.train_min_sides or config.image_min_side
    options = {"min_side": sides, "flip": config.flip, "seed": config.seed, "start_step": start_step}
    return _batches(dataset, config, batch_size, workers, **options)


def validation_feed(dataset: Dataset, config: Any, batch_size: int, workers: int) -> tf.data.Dataset:
    """Every image once, in order and as it is."""
    options = {"flip": False, "shuffle": False, "repeat": False, "drop_remainder": False}
    return _batches(dataset, config, batch_size, workers, min_side=config.image_min_side, **options)


def _batches(dataset: Dataset, config: Any, batch_size: int, workers: int, **options: Any) -> tf.data.Dataset:
    has_masks = config.mask_head != "none"
    batches = training_batches(
        dataset,
        batch_size=batch_size,
        max_side=config.image_max_side,
        size_divisor=config.size_divisor,
        mask_size=config.gt_mask_size if has_masks else 0,
        workers=workers,
        **options,
    )
    return batches if has_masks else batches.map(_without_masks)


def _without_masks(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: value for name, value in batch.items() if name != "gt_masks"}
