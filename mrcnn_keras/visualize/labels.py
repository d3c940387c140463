"""Names and scores beside the objects, where they hide least."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyBboxPatch
from matplotlib.textpath import TextPath

from mrcnn_keras.visualize.figures import SHADE


def draw_labels(ax, texts, boxes, colors, fonts, unit: float, size: tuple[int, int]) -> None:
    """Write each text near its box, inside the image and off the labels written before."""
    taken = np.zeros((0, 4))
    for text, box, color, font in zip(texts, boxes, colors, fonts):
        pad = 0.3 * font * unit
        width = TextPath((0, 0), text, size=font).get_extents().x1 * 1.03 * unit + 2 * pad
        height = 1.05 * font * unit + pad
        place = _best_place(box, width, height, taken, size)
        taken = np.vstack([taken, place])
        ax.add_patch(FancyBboxPatch(place[:2], width, height, boxstyle=f"round,pad=0,rounding_size={pad}", zorder=4,
                                    facecolor=color, edgecolor=SHADE, linewidth=0.5))  # fmt: skip
        ax.text(place[0] + pad, place[1] + height / 2, text, fontsize=font, zorder=5, va="center_baseline", ha="left",
                color=readable_on(color), clip_on=True)  # fmt: skip


def _best_place(box: np.ndarray, width: float, height: float, taken: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The spot (x1, y1, x2, y2) for a label of that size that hides least."""
    x1, y1, x2, y2 = (float(v) for v in box)
    middle = (x1 + x2 - width) / 2
    down = [y1 + k * height for k in range(1, int(min(8, (y2 - y1) / height)))]  # lines further down in the box
    spots = [(x, y) for y in (y1 - height, y1) for x in (x1, x2 - width, middle)]
    spots += [(x, y) for y in (y2, y2 - height, *down) for x in (x1, x2 - width, middle)]
    spots += [(x, y1) for x in (x1 - width, x2)]
    corners = np.clip(spots, 0, np.maximum([size[1] - width, size[0] - height], 0))
    places = np.concatenate([corners, corners + (width, height)], axis=1)
    hidden_label = _overlap(places, taken).sum(axis=1) / (width * height)
    hidden_object = _overlap(places, box[None])[:, 0] / max((x2 - x1) * (y2 - y1), 1e-6)
    return places[np.argmin(10 * hidden_label + hidden_object + 0.01 * np.arange(len(places)))]


def _overlap(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    low = np.maximum(places[:, None, :2], others[None, :, :2])
    high = np.minimum(places[:, None, 2:], others[None, :, 2:])
    return np.prod(np.maximum(high - low, 0), axis=2)


def readable_on(color: str) -> str:
    """Black or white, whichever stands out more (WCAG relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return "black" if np.dot(linear, (0.2126, 0.7152, 0.0722)) > 0.179 else "white"
