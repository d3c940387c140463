"""From a `Dataset` to the batches that a model's training graph takes."""

import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mrcnn_keras.data.dataset import Dataset, names_of
from mrcnn_keras.data.pipeline import training_batches


def check_dataset(dataset: Dataset, config: Any) -> None:
    """Whether a model of this config can learn from a dataset.

    Args:
        dataset: for training or validation.
        config: `MaskRCNNConfig`.

    Raises:
        ValueError: it has no images, another number of classes, or, for a model with keypoints, none or another number.
    """
    if len(dataset) == 0:
        raise ValueError("the dataset has no images")
    given = len(dataset.class_names)
    if given != config.num_classes:
        raise ValueError(
            f"the dataset has {given} classes ({', '.join(dataset.class_names[:5])}{', ...' if given > 5 else ''})"
            f" and the model {config.num_classes}; make the model with num_classes={given}"
        )
    if config.num_keypoints:
        _check_keypoints(dataset, config.num_keypoints)


def _check_keypoints(dataset: Dataset, wanted: int) -> None:
    if dataset.keypoints is None:
        raise ValueError(
            f"the model has {wanted} keypoints and the dataset none: its attribute `keypoints` is None (a COCO file "
            "must list them in its categories, all with the same ones); make the model with num_keypoints=0"
        )
    given, names = len(dataset.keypoints), dataset.keypoints.names
    if given != wanted:
        raise ValueError(
            f"the dataset has {given} keypoints ({', '.join(names[:5])}{', ...' if given > 5 else ''})"
            f" and the model {wanted}; make the model with num_keypoints={given}"
        )


def with_names(config: Any, dataset: Dataset) -> Any:
    """The config with the dataset's names of classes and keypoints where it has none of its own."""
    found = names_of(dataset, bool(config.num_keypoints))
    return config.replace(**{name: value for name, value in found.items() if value and not getattr(config, name)})


def training_feed(
    dataset: Dataset,
    config: Any,
    batch_size: int,
    workers: int,
    start_step: int,
    strategy: tf.distribute.Strategy | None = None,
    hosts: Sequence[str] = (),
    fixed_shapes: bool = False,
    proposals: str | os.PathLike | None = None,
) -> Any:
    """Endless shuffled batches from step `start_step` on, with the config's sizes, random changes and seed.

    Args:
        dataset: checked by `check_dataset`.
        config: `MaskRCNNConfig`.
        batch_size: images a step, all replicas together.
        workers: batches prepared at the same time.
        start_step: >= 0.
        strategy: each of its replicas gets as many images of every batch; the batches do not depend on it. None: one
            replica.
        hosts: addresses of input hosts, see `data.service`.
        fixed_shapes, proposals: as of `data.training_batches`.

    Returns: a tf.data.Dataset, or a distributed one where there is more than one replica.

    Raises:
        ValueError: the images of a batch cannot be shared out equally, or some have no proposals.
    """
    options = {"seed": config.seed, "start_step": start_step, "hosts": hosts, "fixed_shapes": fixed_shapes}
    options["proposals"] = proposals
    options |= augmentation_options(config)
    return _shared_out(dataset, config, batch_size, workers, strategy, options)


def augmentation_options(config: Any) -> dict[str, Any]:
    """What a config says of the changes at random in training, as arguments of `data.training_batches`."""
    sides = config.train_min_sides or config.image_min_side
    return {
        "min_side": range(sides[0], sides[1] + 1) if config.min_side_sampling == "range" else sides,
        "flip": config.flip,
        "color_jitter": config.color_jitter,
        "scale_jitter": config.scale_jitter,
        "crop_size": config.crop_size,
    }


def validation_feed(
    dataset: Dataset,
    config: Any,
    batch_size: int,
    workers: int,
    strategy: tf.distribute.Strategy | None = None,
    proposals: str | os.PathLike | None = None,
) -> Any:
    """Every image once, in order and as it is; arguments, result and errors as of `training_feed`."""
    options = {"flip": False, "shuffle": False, "repeat": False, "drop_remainder": False, "proposals": proposals}
    return _shared_out(dataset, config, batch_size, workers, strategy, {"min_side": config.image_min_side, **options})


def _shared_out(dataset, config, batch_size, workers, strategy, options) -> Any:
    replicas = 1 if strategy is None else strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"batch_size={batch_size} images cannot be shared equally by {replicas} replicas; "
            f"take a multiple of {replicas}"
        )
    if replicas == 1:
        return _batches(dataset, config, batch_size, workers, **options)

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local
        shards = range(first, first + local)
        return _batches(dataset, config, batch_size, workers, num_shards=replicas, shards=shards, **options)

    return strategy.distribute_datasets_from_function(of_worker)


def _batches(dataset: Dataset, config: Any, batch_size: int, workers: int, **options: Any) -> tf.data.Dataset:
    has_masks = config.mask_head != "none"
    batches = training_batches(
        dataset,
        batch_size=batch_size,
        max_side=config.image_max_side,
        size_divisor=config.size_divisor,
        mask_size=config.gt_mask_size if has_masks else 0,
        num_keypoints=config.num_keypoints,
        workers=workers,
        **options,
    )
    return batches if has_masks else batches.map(_without_masks)


def _without_masks(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: value for name, value in batch.items() if name != "gt_masks"}
