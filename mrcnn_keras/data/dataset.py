"""The base class of all datasets: images and their objects by index."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mrcnn_keras.data.annotations import Annotations, repair
from mrcnn_keras.data.keypoints import KeypointSet
from mrcnn_keras.data.report import DatasetReport, FaultLog


class Dataset:
    """Images with instance masks, by index. Subclass it for data of your own.

    A subclass sets `class_names` and defines `__len__`, `load_image` and `load_annotations`, which must be safe to call
    from several threads. Define `image_size` too where it is known without loading the image: training then groups
    images by orientation, which saves padding.

    Attributes:
        class_names: names of classes 0..K-1.
        keypoints: what the keypoints of the annotations are, or None for a dataset without.
        skip_broken: list broken images in `report()` and go on, where False makes them errors.
    """

    class_names: tuple[str, ...] = ("object",)
    keypoints: KeypointSet | None = None
    skip_broken: bool = False

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__, the number of images")

    def load_image(self, index: int) -> np.ndarray:
        """Image `index` as RGB uint8 (H, W, 3); `read_image` reads a file that way."""
        raise NotImplementedError(f"{type(self).__name__} must define load_image(index)")

    def load_annotations(self, index: int) -> Annotations:
        """Objects of image `index`, made with `make_annotations`."""
        raise NotImplementedError(f"{type(self).__name__} must define load_annotations(index)")

    def image_id(self, index: int):
        """What evaluation results call the image; the index unless a subclass knows better."""
        return index

    def image_name(self, index: int) -> str:
        """What messages call the image."""
        return str(self.image_id(index))

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width) of image `index` in pixels; this default loads the image once."""
        sizes = self.__dict__.setdefault("_sizes", {})
        if index not in sizes:
            sizes[index] = tuple(int(side) for side in self.load_image(index).shape[:2])
        return sizes[index]

    @property
    def category_ids(self) -> tuple[int, ...]:
        """For each class, the id that COCO results give it; 1..K unless the annotation file says otherwise."""
        return tuple(range(1, len(self.class_names) + 1))

    def load(self, index: int, skip_broken: bool | None = None) -> tuple[np.ndarray, Annotations] | None:
        """Image and objects, checked against each other.

        Args:
            index: 0..len - 1.
            skip_broken: True turns a broken image into None and a line of `report()`; default `self.skip_broken`.

        Returns:
            RGB uint8 (H, W, 3) and its `Annotations`, or None.

        Raises:
            ValueError: the image or its annotations are broken; the message names the image.
        """
        try:
            return self._load_checked(index)
        except (ValueError, OSError) as error:
            message = f"image {self.image_name(index)!r}: {error}"
            if self.skip_broken if skip_broken is None else skip_broken:
                self._faults.add(index, "load", [("skipped", message)])
                return None
            raise ValueError(f"{message} (pass skip_broken=True to leave such images out)") from error

    def repaired(self, index: int, annotations: Annotations) -> Annotations:
        """The objects of image `index` that can be trained on, boxes clipped; changes go to `report()`."""
        kept, notes = repair(annotations)
        if notes:
            name = self.image_name(index)
            self._faults.add(index, "repair", [(kind, f"image {name!r}: {note}") for kind, note in notes])
        return kept

    def subset(self, indices: Sequence[int]) -> "Dataset":
        """A view of the images at these indices, in this order."""
        return Subset(self, indices)

    def split(self, first: float | int, seed: int = 0) -> tuple["Dataset", "Dataset"]:
        """Two views that share no image, drawn at random, each in the dataset's order.

        Args:
            first: size of the first view, a fraction (float in 0..1) or a number of images (int).
            seed: >= 0; the same seed gives the same split.
        """
        count = len(self)
        size = round(first * count) if isinstance(first, float) else int(first)
        if not 0 <= size <= count or (isinstance(first, float) and first > 1):
            raise ValueError(f"cannot split {count} images at {first}; give a fraction in 0..1 or a count to {count}")
        order = np.random.default_rng([seed, count]).permutation(count)
        return self.subset(np.sort(order[:size])), self.subset(np.sort(order[size:]))

    def with_keypoints(self, min_labelled: int = 1) -> "Dataset":
        """A view of the images with at least so many labelled keypoints, hidden ones included, crowds left out.

        Public keypoint models are trained on such images only (Detectron2's default is 1). This default reads the
        annotations of all images once; `CocoDataset` does so without decoding masks.

        Args:
            min_labelled: >= 1, over all objects of the image.

        Raises:
            ValueError: the dataset has no keypoints, or no image has so many.
        """
        if self.keypoints is None:
            raise ValueError(f"this {type(self).__name__} has no keypoints: its attribute `keypoints` is None")
        if min_labelled < 1:
            raise ValueError(f"min_labelled must be at least 1, got {min_labelled}")
        indices = [index for index in range(len(self)) if self._count_keypoints(index) >= min_labelled]
        if not indices:
            raise ValueError(f"none of {len(self)} images has {min_labelled} or more labelled keypoints")
        return self.subset(indices)

    def _count_keypoints(self, index: int) -> int:
        try:
            found = self.load_annotations(index)
        except (ValueError, OSError):
            if self.skip_broken:
                return 0
            raise
        return 0 if found.keypoints is None else np.count_nonzero(found.keypoints[~found.is_crowd, :, 2])

    def report(self, check: bool = False) -> DatasetReport:
        """Repaired, dropped and skipped so far; with `check`, after loading every image once."""
        for index in range(len(self) if check else 0):
            sample = self.load(index, skip_broken=True)
            if sample is not None:
                self.repaired(index, sample[1])
        return self._root_report()

    def _root_report(self, indices: Sequence[int] | None = None) -> DatasetReport:
        """What is known of these images, or of all."""
        return self._faults.report(indices)

    def _knows_sizes(self) -> bool:
        return type(self).image_size is not Dataset.image_size

    @property
    def _faults(self) -> FaultLog:
        # Made on first use: a subclass need not call our __init__.
        return self.__dict__.setdefault("_fault_log", FaultLog())

    def _load_checked(self, index: int) -> tuple[np.ndarray, Annotations]:
        image, annotations = self.load_image(index), self.load_annotations(index)
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            given = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise ValueError(f"load_image must return RGB uint8 (H, W, 3), got {given}")
        if image.shape[:2] != annotations.size:
            raise ValueError(
                f"the image has (height, width) = {image.shape[:2]}, its annotations are for {annotations.size}; "
                "if they were made ignoring the EXIF orientation, remove that tag from the file"
            )
        if len(annotations) and annotations.class_ids.max() >= len(self.class_names):
            worst = int(annotations.class_ids.max())
            raise ValueError(f"class id {worst} is not below the number of class_names, {len(self.class_names)}")
        if len(annotations) and self.keypoints is not None:
            check_keypoint_count(annotations.keypoints, self.keypoints)
        return image, annotations


class Subset(Dataset):
    """A view of some images of another dataset."""

    def __init__(self, parent: Dataset, indices: Sequence[int]):
        self.parent = parent
        self.indices = np.asarray(indices, np.int64).reshape(-1)
        if self.indices.size and not (0 <= self.indices.min() and self.indices.max() < len(parent)):
            raise ValueError(f"subset indices must be in 0..{len(parent) - 1}, got {indices!r}")
        self.class_names = parent.class_names
        self.keypoints = parent.keypoints
        self.skip_broken = parent.skip_broken

    def __len__(self) -> int:
        return len(self.indices)

    def load_image(self, index: int) -> np.ndarray:
        return self.parent.load_image(int(self.indices[index]))

    def load_annotations(self, index: int) -> Annotations:
        return self.parent.load_annotations(int(self.indices[index]))

    def image_id(self, index: int):
        return self.parent.image_id(int(self.indices[index]))

    def image_name(self, index: int) -> str:
        return self.parent.image_name(int(self.indices[index]))

    def image_size(self, index: int) -> tuple[int, int]:
        return self.parent.image_size(int(self.indices[index]))

    @property
    def category_ids(self) -> tuple[int, ...]:
        return self.parent.category_ids

    def load(self, index: int, skip_broken: bool | None = None) -> tuple[np.ndarray, Annotations] | None:
        return self.parent.load(int(self.indices[index]), skip_broken)

    def repaired(self, index: int, annotations: Annotations) -> Annotations:
        return self.parent.repaired(int(self.indices[index]), annotations)

    def _count_keypoints(self, index: int) -> int:
        return self.parent._count_keypoints(int(self.indices[index]))

    def _root_report(self, indices: Sequence[int] | None = None) -> DatasetReport:
        indices = range(len(self)) if indices is None else indices
        return self.parent._root_report([int(index) for index in self.indices[list(indices)]])

    def _knows_sizes(self) -> bool:
        return self.parent._knows_sizes()


def knows_sizes(dataset: Dataset) -> bool:
    """Whether `image_size` answers without loading images."""
    return dataset._knows_sizes()


def origin(dataset: Dataset, index: int) -> tuple[Dataset, int]:
    """The dataset behind views such as `subset` makes, and the index of the image there."""
    while isinstance(dataset, Subset):
        dataset, index = dataset.parent, int(dataset.indices[index])
    return dataset, index


def check_keypoint_count(given: np.ndarray | None, expected: KeypointSet) -> None:
    """Raises ValueError where the keypoints (N, J, 3) of an image, N > 0, are not those of its dataset."""
    if given is None:
        raise ValueError(f"its objects have no keypoints, the dataset has {len(expected)}; pass keypoints=")
    if given.shape[1] != len(expected):
        raise ValueError(f"its objects have {given.shape[1]} keypoints, the dataset has {len(expected)}")


def names_of(dataset: Dataset, keypoints: bool) -> dict[str, Any]:
    """What a dataset calls its classes and, if asked for, its keypoints, as fields of `MaskRCNNConfig`.

    Returns: `num_classes` and `class_names`; with keypoints `num_keypoints`, `keypoint_names`, `keypoint_skeleton`,
    `keypoint_flip` and `keypoint_sigmas`, unless the dataset has none.
    """
    fields = {"num_classes": len(dataset.class_names), "class_names": tuple(dataset.class_names)}
    if not keypoints or dataset.keypoints is None:
        return fields
    points = dataset.keypoints
    return fields | {
        "num_keypoints": len(points),
        "keypoint_names": points.names,
        "keypoint_skeleton": points.skeleton,
        "keypoint_flip": points.flip,
        "keypoint_sigmas": points.sigmas,
    }
