"""From a dataset to padded training batches, in parallel and in bounded memory (paper, section 3.1)."""

import functools
import os
from collections.abc import Sequence

import numpy as np

from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.hosted import hosted_batches
from mrcnn_keras.data.recipe import BatchRecipe, check_least
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
    color_jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
    scale_jitter: tuple[float, ...] = (),
    crop_size: tuple[int, int] = (1024, 1024),
    fixed_shapes: bool = False,
    proposals: str | os.PathLike | None = None,
    hosts: Sequence[str] = (),
):
    """Batches for training: images resized as Detectron2 does, flipped at random, padded, with their objects.

    Batch s is a pure function of the dataset, `seed` and s, whatever `workers` and `start_step`; each image comes once
    an epoch. Where the dataset knows its image sizes, batches hold images of one orientation. Crowds are left out,
    boxes are clipped, unusable objects dropped (see `dataset.report()`), images without objects kept.

    Args:
        dataset: any `Dataset`, not empty.
        batch_size: images in a batch, >= 1.
        min_side: short side after resizing in pixels; of several, such as `range(640, 801)`, one is drawn for each
            image.
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
        color_jitter: how much brightness, contrast, saturation (0.4: factors in [0.6, 1.4]) and hue (0..0.5 circles,
            either way) change at random, see `color_jitter.jitter_color`.
        scale_jitter: least and most scale, as (0.1, 2.0), for large-scale jitter, which takes the place of `min_side`
            and `max_side`. Each photo is resized by a scale drawn between them, where at 1 it just fits into
            `crop_size`, and cut at a random place to at most that. Boxes are drawn anew around the rests of objects
            that are cut, objects left with less than a pixel dropped.
        crop_size: (height, width) in pixels that all batches have with `scale_jitter`, rounded up by `size_divisor`.
        fixed_shapes: for XLA, which compiles every shape anew: images of an orientation are all padded to the largest
            that there can be, from the largest `min_side` and `max_side`, and G is 8, 32, 128, ...
        proposals: file with proposals of every image, see `ProposalFile`; an input host reads it, too.
        hosts: addresses of input hosts, which make the batches instead of this process, each with so many `workers`;
            see `data.service`.

    Returns:
        tf.data.Dataset of dicts:
            images: uint8 (B, H, W, 3) RGB, zeros at the bottom and right.
            image_sizes: float32 (B, 2) height and width of the resized image without padding, pixels.
            gt_boxes: float32 (B, G, 4) xyxy in pixels of the resized image, zeros for padding.
            gt_class_ids: int32 (B, G), -1 for padding; G is a multiple of 8.
            gt_masks: uint8 (B, G, mask_size, mask_size), how much of each cell of the box the mask covers, 0..255.
            gt_keypoints: float32 (B, G, J, 3) x, y in pixels of the resized image and visibility, zeros for padding and
                for what is not labelled; only with `num_keypoints`.
            proposals: float32 (B, P, 4) xyxy in pixels of the resized image, zeros for padding; only with `proposals`.
            image_index: int64 (B,) index in the dataset.

    Raises:
        ValueError: an argument out of range, or images that `proposals` does not have. A broken image raises
            tf.errors.InvalidArgumentError, naming it, when its batch is made.
    """
    recipe = BatchRecipe(
        batch_size,
        [min_side] if np.ndim(min_side) == 0 else list(min_side),
        max_side,
        size_divisor,
        flip,
        mask_size,
        num_keypoints,
        seed,
        shuffle,
        repeat,
        drop_remainder,
        skip_broken or dataset.skip_broken,
        color_jitter,
        scale_jitter,
        crop_size,
        fixed_shapes,
        None if proposals is None else os.path.abspath(proposals),  # hosts have other working folders
    )
    check_least(start_step=(start_step, 0), workers=(workers, 1), prefetch=(prefetch, 0))
    _check_shards(batch_size, num_shards, shards)
    maker = recipe.maker(dataset)
    parts = (start_step * len(shards), _ENDLESS if repeat else len(maker.plan) * len(shards))
    may_be_empty = maker.skip_broken and not repeat and num_shards == 1
    options = {"workers": workers, "prefetch": prefetch * len(shards), "may_be_empty": may_be_empty}
    if hosts:
        return hosted_batches(hosts, dataset, recipe, (num_shards, shards), maker.fields, parts, **options)
    make = functools.partial(maker.part, num_shards, tuple(shards))
    return parallel_batches(make, maker.fields, parts, **options)


def validation_batches(dataset: Dataset, *, batch_size: int, min_side: int, max_side: int, **options):
    """One pass over the dataset in order, without flips, every image once: `training_batches` with such defaults."""
    defaults = {"shuffle": False, "repeat": False, "flip": False, "drop_remainder": False}
    return training_batches(
        dataset, batch_size=batch_size, min_side=min_side, max_side=max_side, **{**defaults, **options}
    )


def _check_shards(batch_size: int, num_shards: int, shards: Sequence[int]) -> None:
    if num_shards < 1 or batch_size % num_shards:
        raise ValueError(f"batch_size={batch_size} images cannot be cut into {num_shards} equal parts")
    if not len(shards) or not all(0 <= shard < num_shards for shard in shards):
        raise ValueError(f"shards must be numbers in 0..{num_shards - 1}, at least one, got {list(shards)}")
