"""What the procedural datasets share: drawing once, backgrounds, and rules that leave no hopeless object."""

import colorsys
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from mrcnn_keras.data.annotations import Annotations, make_annotations
from mrcnn_keras.data.dataset import Dataset

# An object must keep this part of its own area, and this many pixels, in view.
_MIN_VISIBLE_PART = 0.35
_MIN_VISIBLE_PIXELS = 40
# Boxes that overlap more could not both survive the detector's non-maximum suppression.
_MAX_BOX_IOU = 0.35
_ATTEMPTS = 12


class DrawnDataset(Dataset):
    """Images drawn on the spot; a subclass defines `draw`. Its image i depends on `seed`, `size` and i alone.

    Args:
        n: number of images, >= 0.
        seed: >= 0.
        size: (height, width) of the images in pixels, at least `least_side` each.
        max_objects: most objects in an image, >= 1.
    """

    least_side = 32

    def __init__(self, n: int, seed: int, size: tuple[int, int], max_objects: int):
        if n < 0 or seed < 0 or max_objects < 1 or min(size) < self.least_side:
            raise ValueError(
                f"{type(self).__name__} needs n >= 0, seed >= 0, max_objects >= 1 and sides >= {self.least_side}, "
                f"got n={n}, seed={seed}, max_objects={max_objects}, size={size}"
            )
        self.seed, self.size, self.max_objects = seed, (int(size[0]), int(size[1])), max_objects
        self._length = n
        # Image and annotations are asked for one after the other: draw them once.
        self._draw_cached = functools.lru_cache(maxsize=8)(self._draw)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
        """A canvas float32 (H, W, 3), 0..255, and its objects as arguments of `make_annotations`."""
        raise NotImplementedError(f"{type(self).__name__} must define draw(rng)")

    def __len__(self) -> int:
        return self._length

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        return self._drawn(index)[0].copy()

    def load_annotations(self, index: int) -> Annotations:
        """The objects, with masks of their visible parts and boxes around these."""
        return make_annotations(self.size, **self._drawn(index)[1])

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width), the same for all images."""
        return self.size

    def _drawn(self, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        if not 0 <= index < self._length:
            raise IndexError(f"image {index} of a dataset of {self._length}")
        return self._draw_cached(int(index))

    def _draw(self, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        canvas, objects = self.draw(np.random.default_rng([self.seed, index]))
        return np.clip(canvas + 0.5, 0, 255).astype(np.uint8), objects


def place(rng: np.random.Generator, most: int, make: Callable[[], Any]) -> list:
    """Up to `most` objects with an attribute `solid`, bool (H, W), from repeated calls of `make`.

    Later ones lie on top. One that would hide too much of another, or crowd its box, is made anew.
    """
    placed = []
    for _ in range(int(rng.integers(1, most + 1))):
        for _ in range(_ATTEMPTS):
            candidate = make()
            if _all_well_visible([one.solid for one in placed] + [candidate.solid]):
                placed.append(candidate)
                break
    return placed


def visible_parts(solids: list[np.ndarray]) -> np.ndarray:
    """Masks (N, H, W) bool of what the later shapes leave of each."""
    visible = np.stack(solids)
    hidden = np.zeros(visible.shape[1:], bool)
    for row in range(len(visible) - 1, -1, -1):
        visible[row] &= ~hidden
        hidden |= solids[row]
    return visible


def _all_well_visible(solids: list[np.ndarray]) -> bool:
    visible = visible_parts(solids)
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


def contrasting(rng: np.random.Generator, behind: np.ndarray) -> np.ndarray:
    """A bright colour (3,), 0..255: of three the one that what lies behind is farthest from."""
    hues = [rgb(rng.random(), rng.uniform(0.65, 1.0), rng.uniform(0.75, 1.0)) for _ in range(3)]
    return max(hues, key=lambda hue: np.abs(hue - behind).sum())


def background(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Float32 (H, W, 3), 0..255: a gradient of two muted colours under stripes, checks or clouds, with some grain."""
    height, width = size
    y, x = np.meshgrid(
        np.linspace(0, 1, height, dtype=np.float32), np.linspace(0, 1, width, dtype=np.float32), indexing="ij"
    )
    first, second = (rgb(rng.random(), rng.uniform(0.05, 0.4), rng.uniform(0.2, 0.9)) for _ in range(2))
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


def rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """Colour (3,) float32, 0..255, of hue, saturation and value, each 0..1."""
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32) * 255
