"""From a dataset to padded training batches, in parallel and in bounded memory (paper, section 3.1)."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mrcnn_keras.data import rle
from mrcnn_keras.data.dataset import Dataset, knows_sizes
from mrcnn_keras.data.images import resize_image, resized_size
from mrcnn_keras.data.plan import BatchPlan
from mrcnn_keras.data.tfdata import parallel_batches

# Object slots come in multiples of this, so that batches have few distinct shapes.
_SLOTS = 8
# A broken image is replaced by the next usable one; a long row of broken ones is a mistake, not bad luck.
_MAX_REPLACEMENTS = 100
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
    seed: int = 0,
    start_step: int = 0,
    shuffle: bool = True,
    repeat: bool = True,
    workers: int = 2,
    drop_remainder: bool = True,
    prefetch: int = 2,
    skip_broken: bool = False,
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
        flip: mirror half of the images.
        mask_size: side of the mask crops, >= 1; 0 leaves masks out.
        seed: >= 0.
        start_step: first batch to make, >= 0: where a stopped training goes on.
        shuffle: draw the order anew each epoch; False keeps the dataset's (within each orientation).
        repeat: go on without end; False makes one pass.
        workers: batches made at the same time, >= 1.
        drop_remainder: without `repeat`, leave out a last batch that is not full. With `repeat` all are full.
        prefetch: batches kept ready, >= 0.
        skip_broken: list broken images in `dataset.report()` and go on: with `repeat` the next usable image takes the
            place, else the batch is smaller. Also on where the dataset was made with `skip_broken=True`.

    Returns:
        tf.data.Dataset of dicts:
            images: uint8 (B, H, W, 3) RGB, zeros at the bottom and right.
            image_sizes: float32 (B, 2) height and width of the resized image without padding, pixels.
            gt_boxes: float32 (B, G, 4) xyxy in pixels of the resized image, zeros for padding.
            gt_class_ids: int32 (B, G), -1 for padding; G is a multiple of 8.
            gt_masks: uint8 (B, G, mask_size, mask_size), how much of each cell of the box the mask covers, 0..255.
            image_index: int64 (B,) index in the dataset.

    Raises:
        ValueError: an argument out of range. A broken image raises tf.errors.InvalidArgumentError, naming it, when its
            batch is made.
    """
    min_sides = tuple(min_side) if isinstance(min_side, Sequence) else (int(min_side),)
    _check_arguments(dataset, batch_size, min_sides, max_side, mask_size, seed, start_step, workers)
    wide = _wide(dataset) if batch_size > 1 else None
    plan = BatchPlan(
        len(dataset), batch_size, wide, seed=seed, shuffle=shuffle, repeat=repeat, drop_remainder=drop_remainder
    )
    skip = skip_broken or dataset.skip_broken
    maker = _BatchMaker(dataset, plan, min_sides, max_side, size_divisor, flip, mask_size, skip)
    steps = (start_step, _ENDLESS if repeat else len(plan))
    may_be_empty = skip and not repeat
    return parallel_batches(maker, _fields(mask_size), steps, workers, prefetch, may_be_empty)


def validation_batches(dataset: Dataset, *, batch_size: int, min_side: int, max_side: int, **options):
    """One pass over the dataset in order, without flips, every image once: `training_batches` with such defaults."""
    defaults = {"shuffle": False, "repeat": False, "flip": False, "drop_remainder": False}
    return training_batches(
        dataset, batch_size=batch_size, min_side=min_side, max_side=max_side, **{**defaults, **options}
    )


def _fields(mask_size: int) -> dict[str, tuple[str, list[int | None]]]:
    return {
        "images": ("uint8", [None, None, None, 3]),
        "image_sizes": ("float32", [None, 2]),
        "gt_boxes": ("float32", [None, None, 4]),
        "gt_class_ids": ("int32", [None, None]),
        "gt_masks": ("uint8", [None, None, mask_size, mask_size]),
        "image_index": ("int64", [None]),
    }


@dataclasses.dataclass(frozen=True)
class _BatchMaker:
    """Makes the arrays of batch `step`; called from several threads."""

    dataset: Dataset
    plan: BatchPlan
    min_sides: tuple[int, ...]
    max_side: int
    size_divisor: int
    flip: bool
    mask_size: int
    skip_broken: bool

    def __call__(self, step: int) -> tuple[np.ndarray, ...]:
        flips, scales = self.plan.augmentation(int(step))
        indices = self.plan.batch(int(step))
        examples = []
        for index, flip, scale in zip(indices.tolist(), flips, scales, strict=False):
            loaded = self._load(index)
            if loaded is not None:
                min_side = self.min_sides[int(scale * len(self.min_sides))]
                examples.append(self._example(*loaded, min_side, self.flip and flip < 0.5))
        return self._assemble(examples)

    def _load(self, index: int) -> tuple | None:
        attempts = min(_MAX_REPLACEMENTS, len(self.dataset))
        for attempt in range(attempts):
            candidate = (index + attempt) % len(self.dataset)
            try:
                sample = self.dataset.load(candidate, self.skip_broken)
            except ValueError:
                raise
            except Exception as error:  # a mistake in the user's dataset: TensorFlow's message shall say at which image
                name = self.dataset.image_name(candidate)
                raise RuntimeError(f"image {name!r}: {type(error).__name__}: {error}") from error
            if sample is not None:
                return candidate, *sample
            if not self.plan.repeat:
                return None
        raise ValueError(f"no usable image within {attempts} from index {index} on; see dataset.report()")

    def _example(self, index: int, image: np.ndarray, annotations, min_side: int, flip: bool) -> tuple:
        annotations = self.dataset.repaired(index, annotations.take(~annotations.is_crowd))
        if annotations.masks is None and self.mask_size and len(annotations):
            name = self.dataset.image_name(index)
            raise ValueError(f"image {name!r} has boxes but no masks; pass mask_size=0 to use boxes only")
        height, width = image.shape[:2]
        new_height, new_width = resized_size(height, width, min_side, self.max_side)
        image = resize_image(image, (new_height, new_width))
        scale = np.array([new_width / width, new_height / height] * 2)
        boxes = (annotations.boxes * scale).astype(np.float32)
        crops = np.zeros((len(annotations), self.mask_size, self.mask_size), np.uint8)
        for row in range(len(annotations) if self.mask_size else 0):
            crops[row] = rle.coverage(annotations.masks[row], annotations.boxes[row], self.mask_size)
        if flip:
            image, crops = image[:, ::-1], crops[:, :, ::-1]
            boxes[:, [0, 2]] = new_width - boxes[:, [2, 0]]
        return index, image, boxes, annotations.class_ids, crops

    def _assemble(self, examples: list[tuple]) -> tuple[np.ndarray, ...]:
        count, divisor = len(examples), max(self.size_divisor, 1)
        sizes = np.array([image.shape[:2] for _, image, *_ in examples], np.int64).reshape(-1, 2)
        height, width = (-(-side // divisor) * divisor for side in sizes.max(axis=0, initial=1))
        slots = -(-max([1, *(len(boxes) for _, _, boxes, _, _ in examples)]) // _SLOTS) * _SLOTS
        images = np.zeros((count, height, width, 3), np.uint8)
        gt_boxes = np.zeros((count, slots, 4), np.float32)
        gt_class_ids = np.full((count, slots), -1, np.int32)
        gt_masks = np.zeros((count, slots, self.mask_size, self.mask_size), np.uint8)
        for row, (_, image, boxes, class_ids, crops) in enumerate(examples):
            images[row, : image.shape[0], : image.shape[1]] = image
            gt_boxes[row, : len(boxes)] = boxes
            gt_class_ids[row, : len(boxes)] = class_ids
            gt_masks[row, : len(boxes)] = crops
        indices = np.array([index for index, *_ in examples], np.int64)
        return images, sizes.astype(np.float32), gt_boxes, gt_class_ids, gt_masks, indices


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
