"""What is in a dataset: classes, sizes of objects and of images, crowds."""

import dataclasses
from array import array
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from mrcnn_keras.data.images import resized_size
from mrcnn_keras.data.validation.annotation_checks import Measured
from mrcnn_keras.data.validation.categories import Category

# COCO's limits between small, medium and large objects, in square pixels.
_SMALL, _LARGE = 32.0**2, 96.0**2
# The network's default resize: short side, and limit of the long side, in pixels.
MIN_SIDE, MAX_SIDE = 800, 1333
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
# Image sizes that are listed by themselves.
_LISTED_SIZES = 5


@dataclasses.dataclass(frozen=True)
class ClassCount:
    """How often a category comes: objects without crowds, images with it, crowds."""

    category_id: Any
    name: str
    objects: int
    images: int
    crowds: int


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What is in a dataset; crowds count as such only, not among the objects.

    Attributes:
        images: number of images.
        images_without_annotations: number of those without any.
        objects: number of annotations that are not crowds.
        crowds: number of crowds.
        images_with_crowds: number of images with a crowd.
        classes: of each category, by falling number of objects.
        object_sizes: number of objects that are "small", "medium" and "large" as COCO has it: up to 32 and 96 pixels
            squared, by the annotations' areas.
        object_sides: quantiles of the square root of the objects' areas, in pixels of the image as the network sees it
            by default, resized to 800 and at most 1333 pixels. Keys are the quantiles, 0 to 1.
        image_heights: quantiles, in pixels of the files.
        image_widths: quantiles, in pixels of the files.
        common_sizes: the most frequent (height, width) with the number of images.
    """

    images: int
    images_without_annotations: int
    objects: int
    crowds: int
    images_with_crowds: int
    classes: tuple[ClassCount, ...]
    object_sizes: dict[str, int]
    object_sides: dict[float, float]
    image_heights: dict[float, float]
    image_widths: dict[float, float]
    common_sizes: tuple[tuple[tuple[int, int], int], ...]


class Tally:
    """Counts images and annotations, in parts that can be added up."""

    def __init__(self):
        self.counts: Counter[str] = Counter()
        self.objects: Counter[Hashable] = Counter()
        self.crowds: Counter[Hashable] = Counter()
        self.images: Counter[Hashable] = Counter()
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.areas, self.sides = array("f"), array("f")

    def add_image(self, size: tuple[int, int] | None, annotations: list[Measured]) -> None:
        """Count an image of (height, width), None if that is not known, and what is in it."""
        crowds = sum(one.is_crowd for one in annotations)
        self.counts.update(images=1, empty=int(not annotations), crowds=crowds, with_crowds=int(crowds > 0))
        self.counts.update(annotations=len(annotations), masks=sum(one.has_segmentation for one in annotations))
        self.counts.update(boxes=sum(one.box is not None for one in annotations))
        self.counts.update(first_pixel=sum(one.box is not None and one.box.max() <= 1 for one in annotations))
        known = [one for one in annotations if one.category_id is not None]
        self.images.update({one.category_id for one in known})
        self.crowds.update(one.category_id for one in known if one.is_crowd)
        self.objects.update(one.category_id for one in known if not one.is_crowd)
        areas = [one.area for one in annotations if not one.is_crowd and one.area is not None and one.area >= 0]
        self.areas.extend(areas)
        if size is not None:
            height, width = size
            self.sizes[height, width] += 1
            resized = resized_size(height, width, MIN_SIDE, MAX_SIDE)
            scale = np.sqrt(resized[0] * resized[1] / (height * width))
            self.sides.extend((np.sqrt(areas) * scale).tolist())

    def add(self, other: "Tally") -> None:
        """Add up another one's counts."""
        for name, value in vars(other).items():
            own = getattr(self, name)
            own.extend(value) if isinstance(value, array) else own.update(value)

    def finish(self, categories: Mapping[Hashable, Category]) -> Statistics:
        """The statistics of all that was added."""
        areas = np.array(self.areas)
        small, large = int(np.count_nonzero(areas < _SMALL)), int(np.count_nonzero(areas > _LARGE))
        classes = [
            ClassCount(one.id, one.name, self.objects[one.id], self.images[one.id], self.crowds[one.id])
            for one in categories.values()
        ]
        return Statistics(
            images=self.counts["images"],
            images_without_annotations=self.counts["empty"],
            objects=self.counts["annotations"] - self.counts["crowds"],
            crowds=self.counts["crowds"],
            images_with_crowds=self.counts["with_crowds"],
            classes=tuple(sorted(classes, key=lambda one: -one.objects)),
            object_sizes={"small": small, "medium": len(areas) - small - large, "large": large},
            object_sides=_quantiles(np.array(self.sides)),
            image_heights=_quantiles(np.array([height for height, _ in self.sizes.elements()])),
            image_widths=_quantiles(np.array([width for _, width in self.sizes.elements()])),
            common_sizes=tuple(self.sizes.most_common(_LISTED_SIZES)),
        )


def _quantiles(values: np.ndarray) -> dict[float, float]:
    if not values.size:
        return {}
    return dict(zip(QUANTILES, np.round(np.quantile(values, QUANTILES), 1).tolist(), strict=True))
