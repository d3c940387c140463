"""The arrays of one training batch: images resized, flipped and padded together with their objects."""

import dataclasses

import numpy as np

from mrcnn_keras.data import rle
from mrcnn_keras.data.annotations import Annotations
from mrcnn_keras.data.augmentation import Augmentation
from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.plan import BatchPlan
from mrcnn_keras.data.proposals import StoredProposals
from mrcnn_keras.data.scale_jitter import View

# Object slots come in multiples of this, so that batches have few distinct shapes.
_SLOTS = 8
# With fixed shapes there are so many times as many if those do not do.
_GROWTH = 4
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
    proposals: np.ndarray  # float32 (P, 4)

    def mirror_objects(self, partners: list[int]) -> None:
        """Swap left and right; `partners` says which keypoint each one becomes."""
        width = self.image.shape[1]
        self.masks = self.masks[:, :, ::-1]
        for boxes in (self.boxes, self.proposals):
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        self.keypoints = self.keypoints[:, partners]
        labelled = self.keypoints[..., 2] > 0
        self.keypoints[labelled, 0] = width - self.keypoints[labelled, 0]


@dataclasses.dataclass(frozen=True)
class BatchMaker:
    """Makes the arrays of batch `step`; called from several threads."""

    dataset: Dataset
    plan: BatchPlan
    augmentation: Augmentation
    size_divisor: int
    mask_size: int
    num_keypoints: int
    skip_broken: bool
    proposals: StoredProposals | None = None

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
            **({"proposals": ("float32", [None, self.proposals.most, 4])} if self.proposals else {}),
            "image_index": ("int64", [None]),
        }

    def __call__(self, step: int, rows: slice = slice(None)) -> tuple[np.ndarray, ...]:
        """The arrays of batch `step`, or of some rows of it."""
        drawn, indices = self.plan.augmentation(int(step)), self.plan.batch(int(step))
        examples = []
        for index, uniform in zip(indices.tolist()[rows], drawn[rows], strict=False):
            loaded = self._load(index)
            if loaded is not None:
                examples.append(self._example(*loaded, uniform))
        return self._assemble(examples)

    def part(self, num_shards: int, shards: tuple[int, ...], number: int) -> tuple[np.ndarray, ...]:
        """Part `number` of all those that some of the equal shards of each batch are, step by step."""
        step, place = divmod(number, len(shards))
        images = self.plan.batch_size // num_shards
        first = shards[place] * images
        arrays = self(step, slice(first, first + images))
        return arrays if len(arrays[0]) or num_shards == 1 else self.blank()

    def blank(self) -> tuple[np.ndarray, ...]:
        """The arrays of one black image without objects, whose `image_index` is -1."""
        image = np.zeros((*self.augmentation.blank_size, 3), np.uint8)
        masks, keypoints = np.zeros((0, self.mask_size, self.mask_size)), np.zeros((0, self.num_keypoints, 3))
        boxes = np.zeros((0, 4))
        return self._assemble([_Example(-1, image, boxes, np.zeros(0), masks, keypoints, boxes)])

    def _load(self, index: int) -> tuple | None:
        attempts = min(_MAX_REPLACEMENTS, len(self.dataset))
        for attempt in range(attempts):
            candidate = self.plan.replacement(index, attempt)
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

    def _example(self, index: int, photo: np.ndarray, annotations: Annotations, uniform: np.ndarray) -> _Example:
        view = self.augmentation.view(photo.shape[:2], uniform)
        found = self.dataset.repaired(index, annotations.take(~annotations.is_crowd))
        if found.masks is None and self.mask_size and len(found):
            name = self.dataset.image_name(index)
            raise ValueError(f"image {name!r} has boxes but no masks; pass mask_size=0 to use boxes only")
        found = self.augmentation.objects(found, view)
        crops = np.zeros((len(found), self.mask_size, self.mask_size), np.uint8)
        for row in range(len(found) if self.mask_size else 0):
            crops[row] = rle.coverage(found.masks[row], found.boxes[row], self.mask_size)
        origin = np.array(view.window[:2])
        keypoints = np.zeros((len(found), self.num_keypoints, 3), np.float32)
        if keypoints.size:
            keypoints[:] = (found.keypoints - (*origin, 0)) * (*view.scale, 1)
            keypoints[found.keypoints[..., 2] == 0] = 0
        image = self.augmentation.image(photo, view, uniform)
        boxes, proposals = _in_view(found.boxes, view), self._proposals(index, photo, view)
        example = _Example(index, image, boxes, found.class_ids, crops, keypoints, proposals)
        if self.augmentation.mirrors(uniform):
            example.mirror_objects(list(self.dataset.keypoints.flip) if self.num_keypoints else [])
        return example

    def _proposals(self, index: int, photo: np.ndarray, view: View) -> np.ndarray:
        """Those of the photo as far as they are seen; empty ones count for nothing."""
        if self.proposals is None:
            return np.zeros((0, 4), np.float32)
        height, width = view.size
        boxes = _in_view(self.proposals.boxes(index, photo.shape[:2]), view)
        return np.clip(boxes, 0, np.array([width, height] * 2, np.float32))

    def _assemble(self, examples: list[_Example]) -> tuple[np.ndarray, ...]:
        count, divisor = len(examples), max(self.size_divisor, 1)
        sizes = np.array([one.image.shape[:2] for one in examples], np.int64).reshape(-1, 2)
        largest = np.vstack([sizes, self.augmentation.least_size(sizes)]).max(axis=0)
        height, width = (-(-side // divisor) * divisor for side in largest)
        slots = dict.fromkeys(_OBJECT_FIELDS, self._slots(max([1, *(len(one.boxes) for one in examples)])))
        slots["proposals"] = self.proposals.most if self.proposals else 0
        images = np.zeros((count, height, width, 3), np.uint8)
        for row, example in zip(images, examples, strict=True):
            row[: example.image.shape[0], : example.image.shape[1]] = example.image
        indices = np.array([one.index for one in examples], np.int64)
        objects = [self._padded(examples, name, slots[name]) for name in self.fields if name in slots]
        return images, sizes.astype(np.float32), *objects, indices

    def _slots(self, objects: int) -> int:
        if not self.augmentation.fixed_shapes:
            return -(-objects // _SLOTS) * _SLOTS
        slots = _SLOTS
        while slots < objects:
            slots *= _GROWTH
        return slots

    def _padded(self, examples: list[_Example], name: str, slots: int) -> np.ndarray:
        dtype, shape = self.fields[name]
        array = np.full((len(examples), slots, *shape[2:]), -1 if name == "gt_class_ids" else 0, dtype)
        for row, example in zip(array, examples, strict=True):
            values = getattr(example, name.removeprefix("gt_"))
            row[: len(values)] = values
        return array


_OBJECT_FIELDS = ("gt_boxes", "gt_class_ids", "gt_masks", "gt_keypoints")


def _in_view(boxes: np.ndarray, view: View) -> np.ndarray:
    """Boxes (N, 4) of a photo in pixels of a view of it."""
    return ((boxes - np.tile(view.window[:2], 2)) * np.tile(view.scale, 2)).astype(np.float32)
