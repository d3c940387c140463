"""Several datasets as one, of which each has its share of every training batch."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mrcnn_keras.data.annotations import Annotations
from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.report import DatasetReport, merged


class MixedDataset(Dataset):
    """Several datasets as one, of which each has its share of every training batch.

    Data distillation trains so on images that people have labelled and on many more that a model has: however many
    those are, each batch has the same number of both. Each part has epochs of its own, so the images of a small one
    come more often. A single pass, as for validation, has every image once, without regard to the ratio; so have views
    such as `subset` makes.

    Args:
        parts: two or more datasets that have the same classes in the same order, and the same keypoints.
        ratio: for each part a number above 0, such as (6, 4). In a batch they are rounded to whole images, at least one
            of each part.

    Raises:
        ValueError: the parts do not fit each other, one has no images, or the ratio is no such numbers.
    """

    def __init__(self, parts: Sequence[Dataset], ratio: Sequence[float]):
        self.parts, self.ratio = tuple(parts), tuple(float(one) for one in ratio)
        _check_ratio(len(self.parts), self.ratio)
        for number, part in enumerate(self.parts):
            _check_part(number, part, self.parts[0])
        self.class_names, self.keypoints = tuple(self.parts[0].class_names), self.parts[0].keypoints
        self.skip_broken = all(part.skip_broken for part in self.parts)
        self._starts = np.cumsum([0, *(len(part) for part in self.parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def shares(self, batch_size: int) -> list[int]:
        """How many images of each part are in a batch.

        Raises:
            ValueError: the batch has fewer images than there are parts.
        """
        if batch_size < len(self.parts):
            raise ValueError(f"batch_size={batch_size} has no room for {len(self.parts)} datasets; take a larger one")
        wanted = np.array(self.ratio) * (batch_size / sum(self.ratio))
        counts = np.maximum(1, np.floor(wanted).astype(int))
        while counts.sum() != batch_size:
            missing = wanted - counts
            if counts.sum() < batch_size:
                counts[missing.argmax()] += 1
            else:
                counts[np.where(counts > 1, missing, np.inf).argmin()] -= 1
        return counts.tolist()

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        part, place = self._find(index)
        return part.load_image(place)

    def load_annotations(self, index: int) -> Annotations:
        """Objects of image `index`."""
        part, place = self._find(index)
        return part.load_annotations(place)

    def load(self, index: int, skip_broken: bool | None = None) -> tuple[np.ndarray, Annotations] | None:
        """As of `Dataset`; parts made with `skip_broken=True` always skip."""
        part, place = self._find(index)
        return part.load(place, skip_broken or None)

    def repaired(self, index: int, annotations: Annotations) -> Annotations:
        """As of `Dataset`."""
        part, place = self._find(index)
        return part.repaired(place, annotations)

    def image_name(self, index: int) -> str:
        """What the part calls the image."""
        part, place = self._find(index)
        return part.image_name(place)

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width) of image `index` in pixels."""
        part, place = self._find(index)
        return part.image_size(place)

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Those of the first part."""
        return self.parts[0].category_ids

    def with_keypoints(self, min_labelled: int = 1) -> "MixedDataset":
        """The same of the parts' images with at least so many labelled keypoints, see `Dataset.with_keypoints`."""
        return MixedDataset([part.with_keypoints(min_labelled) for part in self.parts], self.ratio)

    def _count_keypoints(self, index: int) -> int:
        part, place = self._find(index)
        return part._count_keypoints(place)

    def _root_report(self, indices: Sequence[int] | None = None) -> DatasetReport:
        if indices is None:
            return merged([part._root_report() for part in self.parts])
        indices = np.asarray(indices, np.int64)
        owners = np.searchsorted(self._starts, indices, side="right") - 1
        own = [(indices[owners == number] - self._starts[number]).tolist() for number in range(len(self.parts))]
        return merged([part._root_report(places) for part, places in zip(self.parts, own)])

    def _knows_sizes(self) -> bool:
        return all(part._knows_sizes() for part in self.parts)

    def _find(self, index: int) -> tuple[Dataset, int]:
        """The part that an image is of, and its index there."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of a dataset of {len(self)}")
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.parts[number], int(index - self._starts[number])


def _check_ratio(count: int, ratio: tuple[float, ...]) -> None:
    if count < 2 or len(ratio) != count or not all(0 < one < math.inf for one in ratio):
        raise ValueError(f"ratio={ratio} of {count} datasets: expected two or more, and for each a number above 0")


def _check_part(number: int, part: Dataset, first: Dataset) -> None:
    if len(part) == 0:
        raise ValueError(f"dataset {number} of those to mix has no images")
    if tuple(part.class_names) != tuple(first.class_names):
        classes = ", ".join(part.class_names[:5]), ", ".join(first.class_names[:5])
        raise ValueError(
            f"dataset {number} of those to mix has {len(part.class_names)} classes ({classes[0]}, ...), the first "
            f"{len(first.class_names)} ({classes[1]}, ...); they must be the same in the same order"
        )
    if _meaning(part) != _meaning(first):
        raise ValueError(
            f"dataset {number} of those to mix has other keypoints than the first: {_listed(part)}, {_listed(first)}"
        )


def _meaning(part: Dataset) -> Any:
    return None if part.keypoints is None else (part.keypoints.names, part.keypoints.flip)


def _listed(part: Dataset) -> str:
    return "none" if part.keypoints is None else f"{len(part.keypoints)} ({', '.join(part.keypoints.names[:5])}, ...)"
