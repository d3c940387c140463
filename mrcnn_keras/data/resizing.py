"""How each reference system resizes a photo for its network, so that its checkpoints see the pixels they know."""

import math

import numpy as np

from mrcnn_keras.data.images import resize_image, resized_size


def resize_like(rule: str, image: np.ndarray, min_side: int, max_side: int) -> np.ndarray:
    """Resize a photo for detection.

    Args:
        rule: "detectron2", "torchvision" or "matterport".
        image: uint8 (H, W, 3).
        min_side: wanted length of the short side, pixels; matterport enlarges to it and never shrinks to it.
        max_side: most pixels of the long side.

    Returns:
        (h, w, 3), values 0..255: uint8, or float32 with "torchvision", which does not round.
    """
    return _RULES[rule](image, min_side, max_side)


def _like_detectron2(image: np.ndarray, min_side: int, max_side: int) -> np.ndarray:
    return resize_image(image, resized_size(*image.shape[:2], min_side, max_side))


def _like_torchvision(image: np.ndarray, min_side: int, max_side: int) -> np.ndarray:
    """Bilinear in floating point without antialiasing. (It normalises first, which makes no difference.)"""
    sides = image.shape[:2]
    scale = min(min_side / min(sides), max_side / max(sides))
    height, width = (max(1, math.floor(side * scale)) for side in sides)
    low, high, part = _taps(sides[0], height)
    pixels = image.astype(np.float32)
    part = part[:, None, None]
    rows = pixels[low] * (1 - part) + pixels[high] * part
    low, high, part = _taps(sides[1], width)
    part = part[None, :, None]
    return rows[:, low] * (1 - part) + rows[:, high] * part


def _taps(length: int, new_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two pixels each new one lies between, and how far it is from the first; half-pixel centres."""
    step = np.float32(length / new_length)
    source = (np.arange(new_length, dtype=np.float32) + np.float32(0.5)) * step - np.float32(0.5)
    source = np.maximum(source, 0)
    low = np.minimum(source.astype(np.int64), length - 1)
    return low, np.minimum(low + 1, length - 1), (source - low).astype(np.float32)


def _like_matterport(image: np.ndarray, min_side: int, max_side: int) -> np.ndarray:
    """scikit-image's bilinear without antialiasing, cut down to whole grey levels."""
    from skimage.transform import resize

    sides = image.shape[:2]
    scale = max(1.0, min_side / min(sides))
    if round(max(sides) * scale) > max_side:
        scale = max_side / max(sides)
    if scale == 1.0:
        return image
    size = tuple(max(1, round(side * scale)) for side in sides)
    options = {"order": 1, "mode": "constant", "cval": 0, "clip": True, "preserve_range": True, "anti_aliasing": False}
    return resize(image, size, **options).astype(np.uint8)


_RULES = {"detectron2": _like_detectron2, "torchvision": _like_torchvision, "matterport": _like_matterport}
