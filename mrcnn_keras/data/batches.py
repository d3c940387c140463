"""The arrays of one training batch: images resized, flipped and padded together with their objects."""

import dataclasses

import numpy as np

from mrcnn_keras.data import rle
from mrcnn_keras.data.annotations import Annotations
from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.images import resize_image, resized_size
from mrcnn_keras.data.plan import BatchPlan

# Object slots come in multiples of this, so that batches have few distinct shapes.
_SLOTS = 8
# A broken image is replaced by the next usable one; a long row of broken ones is a mistake, not bad luck.
_MAX_REPLACEMENTS = 100


@dataclasses.dataclass
class _Example:
    """An image as the network sees it, without padding, and its N objects."""

    index: int
    image: np.ndarray  # uint8 (h, w, 3)
    boxes: np.ndarray  # float32 (N, 4)
    class_ids: np.ndarray  # int32 (N,)
    masks: np.ndarray  # uint8 (N, S, S)
    keypoints: np.ndarray  # float32 (N, J, 3)

    def mirror(self, partners: list[int]) -> None:
        """Swap left and right; `partners` says which keypoint each one becomes."""
        width = self.image.shape[1]
        self.image, self.masks = self.image[:, ::-1], self.masks[:, :, ::-1]
        self.boxes[:, [0, 2]] = width - self.boxes[:, [2, 0]]
        self.keypoints = self.keypoints[:, partners]
        labelled = self.keypoints[..., 2] > 0
        self.keypoints[labelled, 0] = width - self.keypoints[labelled, 0]


@dataclasses.dataclass(frozen=True)
class BatchMaker:
    """Makes the arrays of batch `step`; called from several threads."""

    dataset: Dataset
    plan: BatchPlan
    min_sides: tuple[int, ...]
    max_side: int
    size_divisor: int
    flip: bool
    mask_size: int
    num_keypoints: int
    skip_broken: bool

    @property
    def fields(self) -> dict[str, tuple[str, list[int | None]]]:
        """dtype and shape of each array, in order; None where a side varies."""
        keypoints = {"gt_keypoints": ("float32", [None, None, self.num_keypoints, 3])}
        return {
            "images": ("uint8", [None, None, None, 3]),
            "image_sizes": ("float32", [None, 2]),
            "gt_boxes": ("float32", [None, None, 4]),
            "gt_class_ids": ("int32", [None, None]),
            "gt_masks": ("uint8", [None, None, self.mask_size, self.mask_size]),
            **(keypoints if self.num_keypoints else {}),
            "image_index": ("int64", [None]),
        }

    def __call__(self, step: int, rows: slice = slice(None)) -> tuple[np.ndarray, ...]:
        """The arrays of batch `step`, or of some rows of it."""
        flips, scales = self.plan.augmentation(int(step))
        indices = self.plan.batch(int(step))
        examples = []
        for index, flip, scale in zip(indices.tolist()[rows], flips[rows], scales[rows], strict=False):
            loaded = self._load(index)
            if loaded is not None:
                min_side = self.min_sides[int(scale * len(self.min_sides))]
                examples.append(self._example(*loaded, min_side, self.flip and flip < 0.5))
        return self._assemble(examples)

    def blank(self) -> tuple[np.ndarray, ...]:
        """The arrays of one black image without objects, whose `image_index` is -1."""
        image = np.zeros((self.min_sides[0], self.min_sides[0], 3), np.uint8)
        masks, keypoints = np.zeros((0, self.mask_size, self.mask_size)), np.zeros((0, self.num_keypoints, 3))
        return self._assemble([_Example(-1, image, np.zeros((0, 4)), np.zeros(0), masks, keypoints)])

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

    def _example(self, index: int, image: np.ndarray, annotations: Annotations, min_side: int, flip: bool) -> _Example:
        found = self.dataset.repaired(index, annotations.take(~annotations.is_crowd))
        if found.masks is None and self.mask_size and len(found):
            name = self.dataset.image_name(index)
            raise ValueError(f"image {name!r} has boxes but no masks; pass mask_size=0 to use boxes only")
        height, width = image.shape[:2]
        new_height, new_width = resized_size(height, width, min_side, self.max_side)
        scale = np.array([new_width / width, new_height / height] * 2)
        crops = np.zeros((len(found), self.mask_size, self.mask_size), np.uint8)
        for row in range(len(found) if self.mask_size else 0):
            crops[row] = rle.coverage(found.masks[row], found.boxes[row], self.mask_size)
        keypoints = np.zeros((len(found), self.num_keypoints, 3), np.float32)
        if keypoints.size:
            keypoints[:] = found.keypoints * np.array([*scale[:2], 1])
        boxes = (found.boxes * scale).astype(np.float32)
        image = resize_image(image, (new_height, new_width))
        example = _Example(index, image, boxes, found.class_ids, crops, keypoints)
        if flip:
            example.mirror(list(self.dataset.keypoints.flip) if self.num_keypoints else [])
        return example

    def _assemble(self, examples: list[_Example]) -> tuple[np.ndarray, ...]:
        count, divisor = len(examples), max(self.size_divisor, 1)
        sizes = np.array([one.image.shape[:2] for one in examples], np.int64).reshape(-1, 2)
        height, width = (-(-side // divisor) * divisor for side in sizes.max(axis=0, initial=1))
        slots = -(-max([1, *(len(one.boxes) for one in examples)]) // _SLOTS) * _SLOTS
        images = np.zeros((count, height, width, 3), np.uint8)
        for row, example in zip(images, examples, strict=True):
            row[: example.image.shape[0], : example.image.shape[1]] = example.image
        indices = np.array([one.index for one in examples], np.int64)
        objects = [self._padded(examples, name, slots) for name in self.fields if name in _OBJECT_FIELDS]
        return images, sizes.astype(np.float32), *objects, indices

    def _padded(self, examples: list[_Example], name: str, slots: int) -> np.ndarray:
        dtype, shape = self.fields[name]
        array = np.full((len(examples), slots, *shape[2:]), -1 if name == "gt_class_ids" else 0, dtype)
        for row, example in zip(array, examples, strict=True):
            values = getattr(example, name.removeprefix("gt_"))
            row[: len(values)] = values
        return array


_OBJECT_FIELDS = ("gt_boxes", "gt_class_ids", "gt_masks", "gt_keypoints")
