"""Overlapping circles, squares and triangles on textured backgrounds, drawn on the spot."""

from typing import Any, NamedTuple

import numpy as np

from mrcnn_keras.data.drawn import DrawnDataset, background, contrasting, place, visible_parts


class ShapesDataset(DrawnDataset):
    """Procedural images of overlapping circles, squares and triangles; no files.

    Image i depends on `seed`, `size` and i alone. Masks are the visible parts, so occluded objects have a bite missing.

    Args:
        n: number of images, >= 0.
        seed: >= 0; datasets with different seeds share no image.
        size: (height, width) of the images in pixels, at least 32 each.
        max_objects: most objects in an image, >= 1; each has at least one.
    """

    class_names = ("circle", "square", "triangle")

    def __init__(self, n: int, seed: int = 0, size: tuple[int, int] = (128, 128), max_objects: int = 5):
        super().__init__(n, seed, size, max_objects)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
        """A canvas float32 (H, W, 3), 0..255, and its objects as arguments of `make_annotations`."""
        canvas = background(rng, self.size)
        shapes = place(rng, self.max_objects, lambda: _draw_shape(rng, self.size))
        for shape in shapes:
            below = canvas[shape.window]
            below += shape.alpha[..., None] * (_paint(rng, shape.distance, below) - below)
        masks = visible_parts([shape.solid for shape in shapes])
        return canvas, {"class_ids": [shape.class_id for shape in shapes], "masks": masks}


class _Shape(NamedTuple):
    class_id: int
    window: tuple[slice, slice]  # the rows and columns it is drawn in
    distance: np.ndarray  # signed distance to the outline in pixels in the window, negative inside
    alpha: np.ndarray  # coverage 0..1 in the window
    solid: np.ndarray  # bool (H, W), pixels that are more than half covered


def _draw_shape(rng: np.random.Generator, size: tuple[int, int]) -> _Shape:
    height, width = size
    class_id = int(rng.integers(3))
    radius = rng.uniform(0.06, 0.225) * min(size)
    margin, reach = 0.7 * radius, 1.3 * radius + 1
    centre = np.array([rng.uniform(margin, height - margin), rng.uniform(margin, width - margin)])
    low, high = np.maximum(centre - reach, 0).astype(int), np.minimum(centre + reach, size).astype(int)
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    y = (np.arange(low[0], high[0]) + 0.5 - centre[0]).astype(np.float32)[:, None]
    x = (np.arange(low[1], high[1]) + 0.5 - centre[1]).astype(np.float32)[None, :]
    distance = _distance(class_id, x, y, radius, rng.uniform(0, 2 * np.pi))
    alpha = np.clip(0.5 - distance, 0, 1)
    solid = np.zeros(size, bool)
    solid[window] = alpha >= 0.5
    return _Shape(class_id, window, distance, alpha, solid)


def _distance(class_id: int, x: np.ndarray, y: np.ndarray, radius: float, turn: float) -> np.ndarray:
    if class_id == 0:
        return np.sqrt(x * x + y * y) - np.float32(radius)
    # A regular polygon is where the farthest of its sides is behind us; the three classes look about equally large.
    sides, inner = (4, 0.85 * radius) if class_id == 1 else (3, 0.62 * radius)
    angles = (turn + np.arange(sides) * (2 * np.pi / sides)).astype(np.float32)
    distance = np.cos(angles[0]) * x + np.sin(angles[0]) * y
    for angle in angles[1:]:
        distance = np.maximum(distance, np.cos(angle) * x + np.sin(angle) * y)
    return distance - np.float32(inner)


def _paint(rng: np.random.Generator, distance: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Colour (H, W, 3) of a shape: a bright hue, light from one side, a darker rim."""
    colour = contrasting(rng, below[distance < 0].mean(axis=0))
    height, width = distance.shape
    turn = rng.uniform(0, 2 * np.pi)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    light = 1 + np.float32(0.25) * (np.cos(turn, dtype=np.float32) * x + np.sin(turn, dtype=np.float32) * y)
    rim = np.clip(-distance - 0.4, 0, 1) * np.float32(0.45) + np.float32(0.55)
    return (light * rim)[..., None] * colour
