"""Overlapping circles, squares and triangles on textured backgrounds, drawn on the spot."""

import colorsys
import functools
from typing import NamedTuple

import numpy as np

from mrcnn_keras.data.annotations import Annotations, make_annotations
from mrcnn_keras.data.dataset import Dataset

# An object must keep this part of its own area, and this many pixels, in view.
_MIN_VISIBLE_PART = 0.35
_MIN_VISIBLE_PIXELS = 40
# Boxes that overlap more could not both survive the detector's non-maximum suppression.
_MAX_BOX_IOU = 0.35
_ATTEMPTS = 12


class ShapesDataset(Dataset):
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
        if n < 0 or seed < 0 or max_objects < 1 or min(size) < 32:
            raise ValueError(
                "ShapesDataset needs n >= 0, seed >= 0, max_objects >= 1 and sides >= 32, "
                f"got n={n}, seed={seed}, max_objects={max_objects}, size={size}"
            )
        self.seed, self.size, self.max_objects = seed, (int(size[0]), int(size[1])), max_objects
        self._length = n
        # Image and annotations are asked for one after the other: draw them once.
        self._draw_cached = functools.lru_cache(maxsize=8)(self._draw)

    def __len__(self) -> int:
        return self._length

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        return self._drawn(index)[0].copy()

    def load_annotations(self, index: int) -> Annotations:
        """Class ids, boxes and masks of the visible parts."""
        _, class_ids, masks = self._drawn(index)
        return make_annotations(self.size, class_ids, masks=masks)

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width), the same for all images."""
        return self.size

    def _drawn(self, index: int) -> tuple[np.ndarray, list[int], np.ndarray]:
        if not 0 <= index < self._length:
            raise IndexError(f"image {index} of a dataset of {self._length}")
        return self._draw_cached(int(index))

    def _draw(self, index: int) -> tuple[np.ndarray, list[int], np.ndarray]:
        rng = np.random.default_rng([self.seed, index])
        canvas = _background(rng, self.size)
        shapes = _place_shapes(rng, self.size, self.max_objects)
        for shape in shapes:
            below = canvas[shape.window]
            below += shape.alpha[..., None] * (_paint(rng, shape.distance, below) - below)
        image = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
        return image, [shape.class_id for shape in shapes], _visible([shape.solid for shape in shapes])


class _Shape(NamedTuple):
    class_id: int
    window: tuple[slice, slice]  # the rows and columns it is drawn in
    distance: np.ndarray  # signed distance to the outline in pixels in the window, negative inside
    alpha: np.ndarray  # coverage 0..1 in the window
    solid: np.ndarray  # bool (H, W), pixels that are more than half covered


def _place_shapes(rng: np.random.Generator, size: tuple[int, int], most: int) -> list[_Shape]:
    # Later shapes lie on top. One that would hide too much of another, or crowd its box, is drawn anew.
    shapes = []
    for _ in range(int(rng.integers(1, most + 1))):
        for _ in range(_ATTEMPTS):
            candidate = _draw_shape(rng, size)
            if _all_well_visible([shape.solid for shape in shapes] + [candidate.solid]):
                shapes.append(candidate)
                break
    return shapes


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


def _visible(solids: list[np.ndarray]) -> np.ndarray:
    """Masks (N, H, W) bool of what the later shapes leave of each."""
    visible = np.stack(solids)
    hidden = np.zeros(visible.shape[1:], bool)
    for row in range(len(visible) - 1, -1, -1):
        visible[row] &= ~hidden
        hidden |= solids[row]
    return visible


def _all_well_visible(solids: list[np.ndarray]) -> bool:
    visible = _visible(solids)
    for mask, solid in zip(visible, solids, strict=True):
        if np.count_nonzero(mask) < max(_MIN_VISIBLE_PIXELS, _MIN_VISIBLE_PART * np.count_nonzero(solid)):
            return False
    boxes = [_box(mask) for mask in visible]
    return all(_iou(boxes[a], boxes[b]) <= _MAX_BOX_IOU for a in range(len(boxes)) for b in range(a))


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return cols[0], rows[0], cols[-1] + 1, rows[-1] + 1


def _iou(first: tuple, second: tuple) -> float:
    across = min(first[2], second[2]) - max(first[0], second[0])
    down = min(first[3], second[3]) - max(first[1], second[1])
    both = max(across, 0) * max(down, 0)
    area = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return both / (sum(area) - both)


def _paint(rng: np.random.Generator, distance: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Colour (H, W, 3) of a shape: a bright hue, light from one side, a darker rim."""
    # Of three hues the one farthest from what lies behind it, so that no object melts into its surroundings.
    behind = below[distance < 0].mean(axis=0)
    hues = [_rgb(rng.random(), rng.uniform(0.65, 1.0), rng.uniform(0.75, 1.0)) for _ in range(3)]
    colour = max(hues, key=lambda hue: np.abs(hue - behind).sum())
    height, width = distance.shape
    turn = rng.uniform(0, 2 * np.pi)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    light = 1 + np.float32(0.25) * (np.cos(turn, dtype=np.float32) * x + np.sin(turn, dtype=np.float32) * y)
    rim = np.clip(-distance - 0.4, 0, 1) * np.float32(0.45) + np.float32(0.55)
    return (light * rim)[..., None] * colour


def _background(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Float32 (H, W, 3), 0..255: a gradient of two muted colours under stripes, checks or clouds, with some grain."""
    height, width = size
    y, x = np.meshgrid(
        np.linspace(0, 1, height, dtype=np.float32), np.linspace(0, 1, width, dtype=np.float32), indexing="ij"
    )
    first, second = (_rgb(rng.random(), rng.uniform(0.05, 0.4), rng.uniform(0.2, 0.9)) for _ in range(2))
    turn, waves = rng.uniform(0, 2 * np.pi), rng.uniform(3, 9)
    along = np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y
    across = np.float32(np.cos(turn)) * y - np.float32(np.sin(turn)) * x
    blend = (along - along.min()) / np.ptp(along)
    canvas = first + blend[..., None] * (second - first)
    kind = rng.integers(3)
    if kind == 0:
        pattern = np.sin(2 * np.pi * np.float32(waves) * across)
    elif kind == 1:
        pattern = np.sign(np.sin(np.pi * np.float32(waves) * across) * np.sin(np.pi * np.float32(waves) * along))
    else:
        pattern = _clouds(rng, size)
    grain = rng.standard_normal(size, dtype=np.float32)
    return canvas + (np.float32(rng.uniform(6, 18)) * pattern + np.float32(rng.uniform(1, 5)) * grain)[..., None]


def _clouds(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    coarse = rng.uniform(-1.5, 1.5, (int(rng.integers(4, 12)),) * 2).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC))


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32) * 255
