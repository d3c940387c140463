"""Joints and the limbs between them."""

import colorsys
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from mrcnn_keras.visualize.figures import SHADE, rim

_ABOVE_MASKS = 3  # of all objects; labels lie higher still


def draw_keypoints(
    ax: Axes, points: np.ndarray, skeleton: Sequence[tuple[int, int]], color: str, side: float, font: float
) -> None:
    """Draw the keypoints of one object.

    Args:
        ax: matplotlib axes that show the image.
        points: (J, 2) x, y in the image's pixels, nan for those to leave out.
        skeleton: pairs of keypoints to join; every limb has its own colour.
        color: of the joints.
        side: of the object, in points of the page; widths follow it.
        font: size of the letters in points, the widest that a limb gets goes by it.
    """
    width = float(np.clip(0.018 * side, 1.0, 0.36 * font))
    seen = np.isfinite(points).all(axis=1)
    limbs = [(limb_color(k, len(skeleton)), limb) for k, limb in enumerate(skeleton) if seen[list(limb)].all()]
    if limbs:
        lines = [points[list(limb)] for _, limb in limbs]
        ax.add_collection(LineCollection(lines, colors=[hue for hue, _ in limbs], linewidths=width, capstyle="round",
                                         path_effects=rim(width), zorder=_ABOVE_MASKS), autolim=False)  # fmt: skip
    ax.scatter(*points[seen].T, s=(2.0 * width) ** 2, color=color, edgecolors=SHADE, linewidths=0.25 * width,
               zorder=_ABOVE_MASKS)  # fmt: skip


def limb_color(number: int, count: int) -> tuple[float, float, float]:
    """RGB 0..1 of a limb: evenly spaced hues, light enough for dark ground and strong enough for bright."""
    return colorsys.hls_to_rgb(number / max(count, 1), 0.6, 1.0)
