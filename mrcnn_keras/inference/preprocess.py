"""Images of any kind and size -> one padded batch for the network."""

import contextlib
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from mrcnn_keras.data.images import read_image
from mrcnn_keras.data.resizing import resize_like

_ONE_AT_A_TIME = threading.Lock()


def prepare_images(
    images: Sequence,
    min_side: int,
    max_side: int,
    size_divisor: int = 32,
    resize: str = "detectron2",
    square: bool = False,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Resize images and pad them, bottom and right, to one common size.

    Args:
        images: what `mrcnn_keras.data.images.read_image` takes: RGB uint8 arrays (H, W, 3), paths, PIL images, bytes.
        min_side: length of the shorter side after resizing, in pixels, unless the longer one would exceed `max_side`.
        max_side: most pixels of the longer side.
        size_divisor: the padded height and width are multiples of this.
        resize: the system whose rule is followed, see `data.resizing.resize_like`.
        square: put each image in the middle of a square of `max_side` instead.

    Returns:
        `{"images": (B, H, W, 3) RGB padded with zeros, "image_sizes": (B, 2) float32}`, uint8 but float32 with
        "torchvision", where a size is [height, width] of the resized image before padding; and the sizes of the
        images as given, (B, 2) int32.

    Raises:
        ValueError: there is no image, or one cannot be read (the error names it).
    """
    resized = [read_resized(image, min_side, max_side, resize) for image in images]
    return stack_images(resized, max_side, size_divisor, square)


def read_resized(image: Any, min_side: int, max_side: int, resize: str) -> tuple[np.ndarray, tuple[int, int]]:
    """One image of `prepare_images` resized, (h, w, 3), and its size as given, (height, width).

    May be called by several threads at the same time.
    """
    # Pillow reads the file behind one of its images when it is first used, and several threads may have the same one.
    with contextlib.nullcontext() if isinstance(image, (str, os.PathLike, bytes, np.ndarray)) else _ONE_AT_A_TIME:
        pixels = read_image(image)
    return resize_like(resize, pixels, min_side, max_side), pixels.shape[:2]


def stack_images(
    resized: Sequence[tuple[np.ndarray, tuple[int, int]]], max_side: int, size_divisor: int, square: bool
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What `prepare_images` returns for images that `read_resized` has resized; the arguments are its."""
    if not resized:
        raise ValueError("expected at least one image, got an empty list")
    sizes = np.array([pixels.shape[:2] for pixels, _ in resized])
    height, width = (max_side, max_side) if square else -(-sizes.max(axis=0) // size_divisor) * size_divisor
    batch = np.zeros((len(resized), height, width, 3), resized[0][0].dtype)
    for canvas, (pixels, _) in zip(batch, resized):
        top, left = square_offset(pixels.shape[:2], max_side) if square else (0, 0)
        canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    originals = np.array([size for _, size in resized], np.int32)
    return {"images": batch, "image_sizes": sizes.astype(np.float32)}, originals


def square_offset(size: Sequence[int], side: int) -> tuple[int, int]:
    """Where an image of `size` (height, width) begins in the middle of a square: (top, left) in pixels."""
    return (side - int(size[0])) // 2, (side - int(size[1])) // 2
