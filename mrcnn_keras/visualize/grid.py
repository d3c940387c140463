"""Galleries of images with what was found in them."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.image import AxesImage

from mrcnn_keras.data.images import resize_image
from mrcnn_keras.visualize.detections import draw_detections
from mrcnn_keras.visualize.figures import DPI, new_figure, read_pixels, save_figure

_TALLEST = 3  # a row is at most so many times as high as a picture is wide; longer pictures are drawn smaller


def draw_grid(
    images: Sequence,
    detections: Sequence,
    path: str | pathlib.Path,
    columns: int = 4,
    *,
    titles: Sequence[str] | None = None,
    width: int = 1600,
    **options: Any,
) -> pathlib.Path:
    """Write a gallery: images with their detections, row by row.

    Args:
        images: RGB uint8 arrays (H, W, 3), paths or PIL images.
        detections: `Detections` of each image.
        path: the file; its ending says which format. Missing folders are made.
        columns: pictures in a row, 1 or more.
        titles: a line above each picture.
        width: of the gallery, in pixels.
        options: of `draw_detections`.

    Returns:
        The path.

    Raises:
        ValueError: there are no images, or not as many detections (or titles) as images.
    """
    if not len(images) or len(images) != len(detections) or len(titles or images) != len(images):
        counts = f"{len(images)} images, {len(detections)} detections" + (f", {len(titles)} titles" if titles else "")
        raise ValueError(f"expected one of each for every picture, and at least one picture; got {counts}")
    columns = max(1, min(columns, len(images)))
    gap = max(4, width // 160)
    side = (width - gap * (columns + 1)) / columns
    shapes = np.array([read_pixels(image).shape[:2] for image in images])
    rows = [shapes[i : i + columns] for i in range(0, len(shapes), columns)]
    heights = [math.ceil(side * min(_TALLEST, (row[:, 0] / row[:, 1]).max())) for row in rows]
    head = gap * 3 if titles else 0
    total = sum(heights) + len(rows) * (gap + head) + gap
    figure = new_figure(width, total)
    top = total - gap
    for r, height in enumerate(heights):
        top -= head
        for i in range(r * columns, min((r + 1) * columns, len(images))):
            left = gap + (i % columns) * (side + gap)
            ax = figure.add_axes((left / width, (top - height) / total, side / width, height / total), anchor="N")
            draw_detections(ax, images[i], detections[i], **options)
            _shrink(ax.images[0], side)
            if titles:
                ax.set_title(titles[i], fontsize=gap * 1.8 * 72 / DPI, pad=gap * 0.4, color="#202020")
        top -= height + gap
    return save_figure(figure, path)


def _shrink(shown: AxesImage, side: float) -> None:
    """Keep no more pixels than a cell so wide has room for, or a page of large photos would fill the memory."""
    pixels = shown.get_array()
    scale = side / pixels.shape[1]
    if scale < 1:
        shown.set_data(resize_image(np.asarray(pixels), tuple(max(1, round(n * scale)) for n in pixels.shape[:2])))
