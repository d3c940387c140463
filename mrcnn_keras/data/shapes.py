"""Overlapping circles, squares and triangles on textured backgrounds, drawn on the spot."""

import colorsys
import functools

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
        class_ids, alphas = _place_objects(rng, self.size, self.max_objects)
        for class_id, (alpha, distance) in zip(class_ids, alphas):
            canvas += alpha[..., None] * (_paint(rng, distance, canvas) - canvas)
        image = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
        return image, class_ids, _visible([alpha for alpha, _ in alphas])


def _place_objects(rng: np.random.Generator, size: tuple[int, int], most: int) -> tuple[list[int], list]:
    # Later objects lie on top. One that would hide too much of another, or crowd its box, is drawn anew.
    class_ids, drawn = [], []
    for _ in range(int(rng.integers(1, most + 1))):
        for _ in range(_ATTEMPTS):
            class_id = int(rng.integers(3))
            candidate = _draw_shape(rng, class_id, size)
            if _all_well_visible([alpha for alpha, _ in drawn] + [candidate[0]]):
                class_ids.append(class_id)
                drawn.append(candidate)
                break
    return class_ids, drawn


def _draw_shape(rng: np.random.Generator, class_id: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Coverage 0..1 (H, W) and signed distance in pixels (negative inside) of a random shape."""
    height, width = size
    radius = rng.uniform(0.06, 0.225) * min(size)
    margin = 0.7 * radius
    y = np.arange(height, dtype=np.float32)[:, None] + 0.5 - rng.uniform(margin, height - margin)
    x = np.arange(width, dtype=np.float32)[None, :] + 0.5 - rng.uniform(margin, width - margin)
    turn = rng.uniform(0, 2 * np.pi)
    if class_id == 0:
        distance = np.sqrt(x * x + y * y) - radius
    else:
        sides, inner = (4, 0.85 * radius) if class_id == 1 else (3, 0.62 * radius)
        angles = turn + np.arange(sides) * (2 * np.pi / sides)
        distance = np.max([np.cos(a) * x + np.sin(a) * y for a in angles], axis=0) - np.float32(inner)
    return np.clip(0.5 - distance, 0, 1).astype(np.float32), distance.astype(np.float32)


def _visible(alphas: list[np.ndarray]) -> np.ndarray:
    """Masks (N, H, W) bool of what the later objects leave of each."""
    solid = np.stack([alpha >= 0.5 for alpha in alphas])
    hidden = np.zeros(solid.shape[1:], bool)
    for row in range(len(solid) - 1, -1, -1):
        solid[row], hidden = solid[row] & ~hidden, hidden | solid[row]
    return solid


def _all_well_visible(alphas: list[np.ndarray]) -> bool:
    visible = _visible(alphas)
    pixels = visible.sum(axis=(1, 2))
    whole = np.array([(alpha >= 0.5).sum() for alpha in alphas])
    if (pixels < np.maximum(_MIN_VISIBLE_PIXELS, _MIN_VISIBLE_PART * whole)).any():
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


def _paint(rng: np.random.Generator, distance: np.ndarray, canvas: np.ndarray) -> np.ndarray:
    """Colour (H, W, 3) of an object: a bright hue, light from one side, a darker rim."""
    # Of three hues the one farthest from what lies behind it, so that no object melts into its surroundings.
    behind = canvas[distance < 0].mean(axis=0)
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
