"""From a dataset to padded training batches, in parallel and in bounded memory (paper, section 3.1)."""

import functools
from collections.abc import Sequence

import numpy as np

from mrcnn_keras.data.batches import BatchMaker
from mrcnn_keras.data.dataset import Dataset, knows_sizes
from mrcnn_keras.data.plan import BatchPlan
from mrcnn_keras.data.tfdata import parallel_batches

_ENDLESS = np.iinfo(np.int64).max


def training_batches(
    dataset: Dataset,
    *,
    batch_size: int,
    min_side: int | Sequence[int],
    max_side: int,
    size_divisor: int = 32,
    flip: bool = True,
    mask_size: int = 112,
    num_keypoints: int = 0,
    seed: int = 0,
    start_step: int = 0,
    shuffle: bool = True,
    repeat: bool = True,
    workers: int = 2,
    drop_remainder: bool = True,
    prefetch: int = 2,
    skip_broken: bool = False,
    num_shards: int = 1,
    shards: Sequence[int] = (0,),
):
    """Batches for training: images resized as Detectron2 does, flipped at random, padded, with their objects.

    Batch s is a pure function of the dataset, `seed` and s, whatever `workers` and `start_step`; each image comes once
    an epoch. Where the dataset knows its image sizes, batches hold images of one orientation. Crowds are left out,
    boxes are clipped, unusable objects dropped (see `dataset.report()`), images without objects kept.

    Args:
        dataset: any `Dataset`, not empty.
        batch_size: images in a batch, >= 1.
        min_side: short side after resizing in pixels; of several, one is drawn for each image.
        max_side: the long side is at most this many pixels.
        size_divisor: batches are padded at the bottom and right to a multiple of this; 0 or 1 for no rounding.
        flip: mirror half of the images; keypoints of the left side become those of the right.
        mask_size: side of the mask crops, >= 1; 0 leaves masks out.
        num_keypoints: J, as many as the dataset's objects have; 0 leaves keypoints out.
        seed: >= 0.
        start_step: first batch to make, >= 0: where a stopped training goes on.
        shuffle: draw the order anew each epoch; False keeps the dataset's (within each orientation).
        repeat: go on without end; False makes one pass.
        workers: batches made at the same time, >= 1.
        drop_remainder: without `repeat`, leave out a last batch that is not full. With `repeat` all are full.
        prefetch: batches kept ready, >= 0.
        skip_broken: list broken images in `dataset.report()` and go on: with `repeat` the next usable image takes the
            place, else the batch is smaller. Also on where the dataset was made with `skip_broken=True`.
        num_shards: cut each batch into so many parts of as many images, one for each replica that shares the step.
        shards: the parts wanted, in 0..num_shards - 1: those of each batch follow each other. A part of a last batch
            that is not full may have fewer images or, instead of none, one black image of index -1.

    Returns:
        tf.data.Dataset of dicts:
            images: uint8 (B, H, W, 3) RGB, zeros at the bottom and right.
            image_sizes: float32 (B, 2) height and width of the resized image without padding, pixels.
            gt_boxes: float32 (B, G, 4) xyxy in pixels of the resized image, zeros for padding.
            gt_class_ids: int32 (B, G), -1 for padding; G is a multiple of 8.
            gt_masks: uint8 (B, G, mask_size, mask_size), how much of each cell of the box the mask covers, 0..255.
            gt_keypoints: float32 (B, G, J, 3) x, y in pixels of the resized image and visibility, zeros for padding and
                for what is not labelled; only with `num_keypoints`.
            image_index: int64 (B,) index in the dataset.

    Raises:
        ValueError: an argument out of range. A broken image raises tf.errors.InvalidArgumentError, naming it, when its
            batch is made.
    """
    min_sides = tuple(min_side) if isinstance(min_side, Sequence) else (int(min_side),)
    _check_arguments(dataset, batch_size, min_sides, max_side, mask_size, seed, start_step, workers)
    _check_keypoints(dataset, num_keypoints)
    _check_shards(batch_size, num_shards, shards)
    wide = _wide(dataset) if batch_size > 1 else None
    plan = BatchPlan(
        len(dataset), batch_size, wide, seed=seed, shuffle=shuffle, repeat=repeat, drop_remainder=drop_remainder
    )
    skip = skip_broken or dataset.skip_broken
    maker = BatchMaker(dataset, plan, min_sides, max_side, size_divisor, flip, mask_size, num_keypoints, skip)
    parts = (start_step * len(shards), _ENDLESS if repeat else len(plan) * len(shards))
    may_be_empty = skip and not repeat and num_shards == 1
    make = functools.partial(_make_part, maker, batch_size // num_shards, tuple(shards))
    return parallel_batches(make, maker.fields, parts, workers, prefetch * len(shards), may_be_empty)


def validation_batches(dataset: Dataset, *, batch_size: int, min_side: int, max_side: int, **options):
    """One pass over the dataset in order, without flips, every image once: `training_batches` with such defaults."""
    defaults = {"shuffle": False, "repeat": False, "flip": False, "drop_remainder": False}
    return training_batches(
        dataset, batch_size=batch_size, min_side=min_side, max_side=max_side, **{**defaults, **options}
    )


def _make_part(maker: BatchMaker, images: int, shards: tuple[int, ...], number: int) -> tuple[np.ndarray, ...]:
    step, place = divmod(number, len(shards))
    first = shards[place] * images
    arrays = maker(step, slice(first, first + images))
    return arrays if len(arrays[0]) or images == maker.plan.batch_size else maker.blank()


def _wide(dataset: Dataset) -> np.ndarray | None:
    if not knows_sizes(dataset):
        return None
    sizes = np.array([dataset.image_size(index) for index in range(len(dataset))])
    return sizes[:, 1] > sizes[:, 0]


def _check_arguments(dataset, batch_size, min_sides, max_side, mask_size, seed, start_step, workers) -> None:
    if len(dataset) == 0:
        raise ValueError("the dataset has no image")
    least = {"batch_size": (batch_size, 1), "max_side": (max_side, 1), "mask_size": (mask_size, 0), "seed": (seed, 0)}
    least |= {"start_step": (start_step, 0), "workers": (workers, 1)}
    least |= {"min_side": (min(min_sides, default=0), 1)}
    for name, (value, minimum) in least.items():
        if value < minimum:
            raise ValueError(f"{name} must be at least {minimum}, got {value}")


def _check_shards(batch_size: int, num_shards: int, shards: Sequence[int]) -> None:
    if num_shards < 1 or batch_size % num_shards:
        raise ValueError(f"batch_size={batch_size} images cannot be cut into {num_shards} equal parts")
    if not len(shards) or not all(0 <= shard < num_shards for shard in shards):
        raise ValueError(f"shards must be numbers in 0..{num_shards - 1}, at least one, got {list(shards)}")


def _check_keypoints(dataset: Dataset, count: int) -> None:
    given = 0 if dataset.keypoints is None else len(dataset.keypoints)
    if count not in (0, given):
        raise ValueError(f"num_keypoints={count}, but the dataset's objects have {given or 'no'} keypoints")
