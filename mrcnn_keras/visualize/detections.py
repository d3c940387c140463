"""Detections drawn on their image."""

import math
import pathlib
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from mrcnn_keras.visualize.figures import PALETTE, frameless, picture_size, read_pixels, rim, save_figure, show_image
from mrcnn_keras.visualize.keypoints import draw_keypoints
from mrcnn_keras.visualize.labels import draw_labels

_LARGEST_FIGURE = 1600  # pixels of the longer side of a figure on screen


def draw_detections(
    ax: Axes,
    image: Any,
    found,
    *,
    color_by: str = "instance",
    score_threshold: float = 0.0,
    masks: bool = True,
    boxes: bool = True,
    keypoints: bool = True,
    labels: bool = True,
    scores: bool = True,
    alpha: float = 0.4,
    keypoint_threshold: float = 0.05,
) -> Axes:
    """Draw an image and what was found in it.

    Args:
        ax: matplotlib axes; line widths and letters follow its size on the page.
        image: RGB uint8 array (H, W, 3), path or PIL image.
        found: `Detections` in the frame of that image.
        color_by: "instance" gives neighbours different colours, "class" gives every class its own.
        score_threshold: detections below this score are left out, 0..1.
        masks, boxes, keypoints, labels, scores: whether to draw them.
        alpha: opacity of the masks, 0..1.
        keypoint_threshold: keypoints up to this score are left out, and limbs that lack an end. Where the score is a
            probability among the cells of a map, 0.05 is a clear peak; where it is a logit, about 2 is.

    Returns:
        The axes.

    Raises:
        ValueError: the detections are of an image of another size, or `color_by` is unknown.
    """
    pixels = read_pixels(image)
    if found.size is not None and tuple(found.size) != pixels.shape[:2]:
        raise ValueError(f"detections of an image of size {found.size}, but this one is {pixels.shape[:2]}")
    if color_by not in ("instance", "class"):
        raise ValueError(f'color_by={color_by!r}: expected "instance" or "class"')
    found = found[found.scores >= score_threshold]
    unit, font = show_image(ax, pixels)
    keys = range(len(found)) if color_by == "instance" else found.class_ids
    colors = [PALETTE[k % len(PALETTE)] for k in keys]
    sides = np.sqrt(np.prod(np.maximum(found.boxes[:, 2:] - found.boxes[:, :2], 0), axis=1))
    has_masks = masks and found.has_masks
    for i in np.argsort(-sides, kind="stable"):  # small things on top of large ones
        if has_masks:
            _draw_mask(ax, found[i].to_masks()[0], colors[i], alpha, max(1.1, font * 0.15))
        if keypoints and found.keypoints is not None:
            _draw_points(ax, found[i], keypoint_threshold, colors[i], sides[i] / unit, font)
        if boxes:
            _draw_box(ax, found.boxes[i], colors[i], max(1.0, font * (0.1 if has_masks else 0.18)))
    if labels and len(found):
        texts = [f"{name} {score:.2f}" if scores else name for name, score in zip(found.names, found.scores)]
        fonts = font * np.clip(sides / (0.12 * math.sqrt(pixels[..., 0].size)), 0.8, 1.0)
        draw_labels(ax, texts, found.boxes, colors, fonts, unit, pixels.shape[:2])
    return ax


def render_detections(image: Any, found, **options: Any) -> np.ndarray:
    """What `save_detections` writes, as RGB uint8 (H, W, 3); arguments as there."""
    pixels = read_pixels(image)
    ax = frameless(*picture_size(*pixels.shape[:2]))
    draw_detections(ax, pixels, found, **options)
    ax.figure.canvas.draw()
    return np.array(ax.figure.canvas.buffer_rgba())[..., :3]


def plot_detections(image: Any, found, ax: Axes | None = None, **options: Any) -> Figure:
    """Draw detections in `ax`, or in a new figure with about the image's pixels; see `draw_detections`.

    Returns:
        The figure.
    """
    pixels = read_pixels(image)
    if ax is None:
        ax = frameless(*picture_size(*pixels.shape[:2], _LARGEST_FIGURE))
    draw_detections(ax, pixels, found, **options)
    return ax.figure


def save_detections(image: Any, found, path: str | pathlib.Path, **options: Any) -> pathlib.Path:
    """Write a picture of the detections at the image's own resolution; tiny images are enlarged.

    Args:
        image: RGB uint8 array (H, W, 3), path or PIL image.
        found: `Detections` in the frame of that image.
        path: the file; its ending says which format. Missing folders are made.
        options: of `draw_detections`.

    Returns:
        The path.
    """
    pixels = read_pixels(image)
    ax = frameless(*picture_size(*pixels.shape[:2]))
    draw_detections(ax, pixels, found, **options)
    return save_figure(ax.figure, path)


def _draw_mask(ax: Axes, mask: np.ndarray, color: str, alpha: float, line: float) -> None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    from skimage.filters import gaussian
    from skimage.measure import find_contours

    top, left = rows[0], columns[0]
    crop = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 3).astype(np.float32)
    smooth = gaussian(crop, 0.7)  # takes the stairs off slanted edges
    contours = find_contours(smooth if smooth.max() > 0.6 else crop, 0.5)
    outlines = [Path(c[:, ::-1] + (left - 2.5, top - 2.5), closed=True) for c in contours]
    outline = Path.make_compound_path(*outlines)
    # The image sets the limits; add_patch would look for each outline's own, which takes longer than all the rest.
    ax.add_artist(PathPatch(outline, facecolor=(*to_rgb(color), alpha), edgecolor="none"))
    ax.add_artist(PathPatch(outline, facecolor="none", edgecolor=color, linewidth=line, joinstyle="round",
                            path_effects=rim(line)))  # fmt: skip


def _draw_points(ax: Axes, one, threshold: float, color: str, side: float, font: float) -> None:
    (points,) = one.keypoints
    places = np.where(points[:, 2:] > threshold, points[:, :2], np.nan)
    draw_keypoints(ax, places, one.keypoint_skeleton, color, side, font)


def _draw_box(ax: Axes, box: np.ndarray, color: str, line: float) -> None:
    x1, y1, x2, y2 = box
    ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, facecolor="none", edgecolor=color, linewidth=line,
                           joinstyle="miter", path_effects=rim(line)))  # fmt: skip
