"""Scenes in which masks are hard: thin, jagged and overlapping things of which some differ in a detail only."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.drawn import DrawnDataset, background, contrasting, place, visible_parts

_POINTS = {"star4": 4, "star5": 5, "star6": 6, "star7": 7}
_SHAPES = (*_POINTS, "ring", "cross", "bar", "crescent")


class ThinShapesDataset(DrawnDataset):
    """Stars with four to seven points, rings, crosses, bars and crescents, turned at will and overlapping; no files.

    Most of a mask's pixels lie near its border, so that a mask that is off by a little is off by much, and the stars
    can be told apart only by counting.

    Args:
        n: number of images, >= 0.
        seed: >= 0; datasets with different seeds share no image.
        size: (height, width) of the images in pixels, at least 64 each.
        max_objects: most objects in an image, >= 1; each has at least one.
        radius: smallest and largest radius of an object, as parts of the images' shorter side.
        thickness: of everything that is thin, in units of the usual; 1 to 2.
        shapes: which of them there are.
    """

    least_side = 64
    every_shape = _SHAPES

    def __init__(
        self,
        n: int,
        seed: int = 0,
        size: tuple[int, int] = (128, 128),
        max_objects: int = 4,
        radius: tuple[float, float] = (0.13, 0.3),
        thickness: float = 1.0,
        shapes: Sequence[str] = _SHAPES,
    ):
        super().__init__(n, seed, size, max_objects)
        self.radius, self.thickness, self.class_names = radius, thickness, tuple(shapes)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
        """A canvas float32 (H, W, 3), 0..255, and its objects as arguments of `make_annotations`."""
        canvas = background(rng, self.size)
        shapes = place(rng, self.max_objects, lambda: self._make_shape(rng))
        for shape in shapes:
            colour = contrasting(rng, canvas[shape.solid].mean(axis=0))
            canvas += shape.alpha[..., None] * (colour - canvas)
        masks = visible_parts([shape.solid for shape in shapes])
        return canvas, {"class_ids": [shape.class_id for shape in shapes], "masks": masks}

    def _make_shape(self, rng: np.random.Generator) -> "_Shape":
        height, width = self.size
        class_id = int(rng.integers(len(self.class_names)))
        radius = rng.uniform(*self.radius) * min(self.size)
        centre = rng.uniform(0.8 * radius, np.array(self.size) - 0.8 * radius)
        y = ((np.arange(height) + 0.5 - centre[0]) / radius).astype(np.float32)[:, None]
        x = ((np.arange(width) + 0.5 - centre[1]) / radius).astype(np.float32)[None, :]
        turn = rng.uniform(0, 2 * np.pi)
        across, along = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
        distance = _distance(self.class_names[class_id], across, along, self.thickness) * radius
        alpha = np.clip(0.5 - distance, 0, 1).astype(np.float32)
        return _Shape(class_id, alpha, alpha >= 0.5)


class _Shape(NamedTuple):
    class_id: int
    alpha: np.ndarray  # coverage 0..1, (H, W)
    solid: np.ndarray  # bool (H, W), pixels that are more than half covered


def _distance(name: str, x: np.ndarray, y: np.ndarray, thickness: float) -> np.ndarray:
    """About the distance to the outline of a shape of radius 1, negative inside."""
    r = np.sqrt(x * x + y * y)
    if name in _POINTS:
        turns = np.arctan2(y, x) * (_POINTS[name] / (2 * np.pi))
        peak = np.abs(2 * (turns - np.floor(turns)) - 1)
        inner = min(0.35 * thickness, 0.6)
        return (r - (inner + (1 - inner) * peak * peak)) * 0.6
    if name == "ring":
        return np.abs(r - 1 + 0.18 * thickness) - 0.18 * thickness
    bar = 0.165 * thickness
    if name == "cross":
        return np.minimum(_bar(x, y, 1.0, bar), _bar(y, x, 1.0, bar))
    if name == "bar":
        return _bar(x, y, 1.0, bar)
    return np.maximum(r - 1.0, 0.85 - np.sqrt((x - 0.45 * thickness) ** 2 + y * y))


def _bar(x: np.ndarray, y: np.ndarray, length: float, thickness: float) -> np.ndarray:
    return np.maximum(np.abs(x) - length, np.abs(y) - thickness)


class Renamed(Dataset):
    """A dataset under other class names.

    Args:
        parent: the dataset.
        names: one for each of its classes, in their order.
    """

    def __init__(self, parent: Dataset, names: Sequence[str]):
        self.parent, self.class_names = parent, tuple(names)

    def __len__(self) -> int:
        return len(self.parent)

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        return self.parent.load_image(index)

    def load_annotations(self, index: int) -> Any:
        """The objects."""
        return self.parent.load_annotations(index)

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.parent.image_size(index)
