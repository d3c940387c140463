"""Figures of the right number of pixels, and what all drawings share."""

import math
import pathlib
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Hues far apart from their neighbours in the list, none so dark or so pale that it is lost on a photo.
PALETTE = ("#ff3b3b", "#1e90ff", "#ffc400", "#00c853", "#e040fb", "#00e0e0", "#ff7f11", "#8c6cff", "#b2e61d",
           "#ff6fa5", "#00b894", "#d2a06d")  # fmt: skip
DPI = 100
SHADE = "#00000090"  # a dark rim around coloured lines keeps them visible on bright ground
_SMALL, _ENLARGED = 320, 640  # pictures whose longer side is under the first are enlarged to about the second


class Picture(Figure):
    """A matplotlib figure that a notebook shows by itself, with or without `%matplotlib inline`."""

    def _repr_png_(self) -> bytes:
        import io

        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=self.dpi)
        return buffer.getvalue()


def read_pixels(image: Any) -> np.ndarray:
    """RGB uint8 (H, W, 3) of an array, path or PIL image."""
    from mrcnn_keras.data.images import read_image

    return read_image(image)


def new_figure(width: int, height: int) -> Picture:
    """An empty white figure of so many pixels."""
    # A hundredth of a pixel more, or the rounding of inches may lose a pixel.
    figure = Picture(figsize=((width + 0.01) / DPI, (height + 0.01) / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def frameless(height: int, width: int) -> Axes:
    """Axes that fill a new figure of so many pixels."""
    return new_figure(width, height).add_axes((0, 0, 1, 1))


def picture_size(height: int, width: int, largest: int | None = None) -> tuple[int, int]:
    """(height, width) of the picture of an image: its own, enlarged where tiny, shrunk to `largest` where given."""
    longer = max(height, width)
    scale = math.ceil(_ENLARGED / longer) if longer < _SMALL else 1
    if largest is not None:
        scale = min(scale, largest / longer)
    return max(1, round(height * scale)), max(1, round(width * scale))


def save_figure(figure: Figure, path: str | pathlib.Path) -> pathlib.Path:
    """Write a figure, its folder made if need be; returns the path."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=figure.dpi)
    return path


def show_image(ax: Axes, pixels: np.ndarray) -> tuple[float, float]:
    """Show the image; returns image pixels in a point of the page, and the font size in points that suits."""
    height, width = pixels.shape[:2]
    shown = ax.imshow(pixels, extent=(0, width, height, 0))
    ax.set_axis_off()
    ax.apply_aspect()
    on_page = ax.get_window_extent()
    if on_page.width > 1.2 * width:
        shown.set_interpolation("bicubic")
    points = 72 / ax.figure.dpi
    font = np.clip(0.0185 * math.sqrt(on_page.width * on_page.height) * points, 8, 60)
    return width / (on_page.width * points), float(font)


def rim(line: float) -> list:
    """Path effects that put a dark rim around a line of that width in points."""
    return [patheffects.Stroke(linewidth=line * 1.3 + 0.7, foreground=SHADE), patheffects.Normal()]
