"""Pictures: detections on their image, galleries of them, and training curves.

Everything is drawn with matplotlib's object interface: no pyplot, no window, no global state.
"""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextPath

# Hues far apart from their neighbours in the list, none so dark or so pale that it is lost on a photo.
PALETTE = ("#ff3b3b", "#1e90ff", "#ffc400", "#00c853", "#e040fb", "#00e0e0", "#ff7f11", "#8c6cff", "#b2e61d",
           "#ff6fa5", "#00b894", "#d2a06d")  # fmt: skip
DPI = 100
_SHADE = "#00000090"  # a dark rim around coloured lines keeps them visible on bright ground
_SMALL, _ENLARGED = 320, 640  # pictures whose longer side is under the first are enlarged to about the second
_LARGEST_FIGURE = 1600  # pixels of the longer side of a figure on screen


class Picture(Figure):
    """A matplotlib figure that a notebook shows by itself, with or without `%matplotlib inline`."""

    def _repr_png_(self) -> bytes:
        import io

        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=self.dpi)
        return buffer.getvalue()


def draw_detections(
    ax: Axes,
    image: Any,
    found,
    *,
    color_by: str = "instance",
    score_threshold: float = 0.0,
    masks: bool = True,
    boxes: bool = True,
    labels: bool = True,
    scores: bool = True,
    alpha: float = 0.4,
) -> Axes:
    """Draw an image and what was found in it.

    Args:
        ax: matplotlib axes; line widths and letters follow its size on the page.
        image: RGB uint8 array (H, W, 3), path or PIL image.
        found: `Detections` in the frame of that image.
        color_by: "instance" gives neighbours different colours, "class" gives every class its own.
        score_threshold: detections below this score are left out, 0..1.
        masks, boxes, labels, scores: whether to draw them.
        alpha: opacity of the masks, 0..1.

    Returns:
        The axes.

    Raises:
        ValueError: the detections are of an image of another size, or `color_by` is unknown.
    """
    pixels = _pixels(image)
    if found.size is not None and tuple(found.size) != pixels.shape[:2]:
        raise ValueError(f"detections of an image of size {found.size}, but this one is {pixels.shape[:2]}")
    if color_by not in ("instance", "class"):
        raise ValueError(f'color_by={color_by!r}: expected "instance" or "class"')
    found = found[found.scores >= score_threshold]
    unit, font = _show(ax, pixels)
    keys = range(len(found)) if color_by == "instance" else found.class_ids
    colors = [PALETTE[k % len(PALETTE)] for k in keys]
    sides = np.sqrt(np.prod(np.maximum(found.boxes[:, 2:] - found.boxes[:, :2], 0), axis=1))
    for i in np.argsort(-sides, kind="stable"):  # small things on top of large ones
        if masks and found.has_masks:
            _draw_mask(ax, found[i].to_masks()[0], colors[i], alpha, max(1.1, font * 0.15))
        if boxes:
            _draw_box(ax, found.boxes[i], colors[i], max(1.0, font * (0.1 if masks and found.has_masks else 0.18)))
    if labels and len(found):
        texts = [f"{name} {score:.2f}" if scores else name for name, score in zip(found.names, found.scores)]
        fonts = font * np.clip(sides / (0.12 * math.sqrt(pixels[..., 0].size)), 0.8, 1.0)
        _draw_labels(ax, texts, found.boxes, colors, fonts, unit, pixels.shape[:2])
    return ax


def plot_detections(image: Any, found, ax: Axes | None = None, **options: Any) -> Figure:
    """Draw detections in `ax`, or in a new figure with about the image's pixels; see `draw_detections`.

    Returns:
        The figure.
    """
    pixels = _pixels(image)
    if ax is None:
        ax = _frameless(*_picture_size(*pixels.shape[:2], _LARGEST_FIGURE))
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
    pixels = _pixels(image)
    ax = _frameless(*_picture_size(*pixels.shape[:2]))
    draw_detections(ax, pixels, found, **options)
    return _save(ax.figure, path)


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
    shapes = np.array([_pixels(image).shape[:2] for image in images])
    rows = [shapes[i : i + columns] for i in range(0, len(shapes), columns)]
    heights = [math.ceil(side * (row[:, 0] / row[:, 1]).max()) for row in rows]
    head = gap * 3 if titles else 0
    total = sum(heights) + len(rows) * (gap + head) + gap
    figure = _figure(width, total)
    top = total - gap
    for r, height in enumerate(heights):
        top -= head
        for i in range(r * columns, min((r + 1) * columns, len(images))):
            left = gap + (i % columns) * (side + gap)
            ax = figure.add_axes((left / width, (top - height) / total, side / width, height / total), anchor="N")
            draw_detections(ax, images[i], detections[i], **options)
            if titles:
                ax.set_title(titles[i], fontsize=gap * 1.8 * 72 / DPI, pad=gap * 0.4, color="#202020")
        top -= height + gap
    return _save(figure, path)


def plot_history(history: Any, path: str | pathlib.Path | None = None) -> Figure:
    """Draw the curves of a training: losses, average precision, learning rate; dashed lines are validation losses.

    Args:
        history: what `model.fit` returns, or its `.history`: lists of one number an epoch.
        path: the file to write, or None.

    Returns:
        The figure.

    Raises:
        ValueError: there is no curve in it.
    """
    curves = {name: np.asarray(values, float) for name, values in getattr(history, "history", history).items()}
    panels = {
        "loss": [n for n in curves if "loss" in n],
        "average precision": [n for n in curves if "AP" in n],
        "learning rate": [n for n in curves if n in ("learning_rate", "lr")],
    }
    panels = {title: names for title, names in panels.items() if names}
    if not panels:
        raise ValueError(f"no losses, AP or learning rate among the curves {sorted(curves)}")
    figure = _figure(620 * len(panels), 460)
    figure.set_layout_engine("constrained")
    for ax, (title, names) in zip(np.ravel(figure.subplots(1, len(panels))), panels.items()):
        _draw_curves(ax, title, {name: curves[name] for name in names})
    if path is not None:
        _save(figure, path)
    return figure


def _pixels(image: Any) -> np.ndarray:
    from mrcnn_keras.data.images import read_image

    return read_image(image)


def _figure(width: int, height: int) -> Picture:
    # A hundredth of a pixel more, or the rounding of inches may lose a pixel.
    figure = Picture(figsize=((width + 0.01) / DPI, (height + 0.01) / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _frameless(height: int, width: int) -> Axes:
    return _figure(width, height).add_axes((0, 0, 1, 1))


def _picture_size(height: int, width: int, largest: int | None = None) -> tuple[int, int]:
    longer = max(height, width)
    scale = math.ceil(_ENLARGED / longer) if longer < _SMALL else 1
    if largest is not None:
        scale = min(scale, largest / longer)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _save(figure: Figure, path: str | pathlib.Path) -> pathlib.Path:
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=figure.dpi)
    return path


def _show(ax: Axes, pixels: np.ndarray) -> tuple[float, float]:
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
    ax.add_patch(PathPatch(outline, facecolor=(*to_rgb(color), alpha), edgecolor="none"))
    ax.add_patch(PathPatch(outline, facecolor="none", edgecolor=color, linewidth=line, joinstyle="round",
                           path_effects=_rim(line)))  # fmt: skip


def _draw_box(ax: Axes, box: np.ndarray, color: str, line: float) -> None:
    x1, y1, x2, y2 = box
    ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, facecolor="none", edgecolor=color, linewidth=line,
                           joinstyle="miter", path_effects=_rim(line)))  # fmt: skip


def _rim(line: float) -> list:
    return [patheffects.Stroke(linewidth=line * 1.3 + 0.7, foreground=_SHADE), patheffects.Normal()]


def _draw_labels(ax, texts, boxes, colors, fonts, unit: float, size: tuple[int, int]) -> None:
    """Write each text near its box, inside the image and off the labels written before."""
    taken = np.zeros((0, 4))
    for text, box, color, font in zip(texts, boxes, colors, fonts):
        pad = 0.3 * font * unit
        width = TextPath((0, 0), text, size=font).get_extents().x1 * 1.03 * unit + 2 * pad
        height = 1.05 * font * unit + pad
        place = _best_place(box, width, height, taken, size)
        taken = np.vstack([taken, place])
        ax.add_patch(FancyBboxPatch(place[:2], width, height, boxstyle=f"round,pad=0,rounding_size={pad}", zorder=4,
                                    facecolor=color, edgecolor=_SHADE, linewidth=0.5))  # fmt: skip
        ax.text(place[0] + pad, place[1] + height / 2, text, fontsize=font, zorder=5, va="center_baseline", ha="left",
                color=_readable_on(color), clip_on=True)  # fmt: skip


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


def _readable_on(color: str) -> str:
    """Black or white, whichever stands out more (WCAG relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return "black" if np.dot(linear, (0.2126, 0.7152, 0.0722)) > 0.179 else "white"


def _draw_curves(ax: Axes, title: str, curves: dict[str, np.ndarray]) -> None:
    names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    for name, values in curves.items():
        color = f"C{names.index(name.removeprefix('val_')) % 10}"
        epochs = np.arange(1, len(values) + 1)
        known = np.isfinite(values)  # AP may be computed every few epochs only
        validation = title == "loss" and name.startswith("val_")
        label = name if title == "loss" else name.removeprefix("val_").replace("_", " ")
        ax.plot(epochs[known], values[known], color=color, linestyle="--" if validation else "-", label=label,
                linewidth=1.8, marker="o", markersize=3 if known.sum() < 30 else 0)  # fmt: skip
    ax.set(title=title, xlabel="epoch")
    ax.set_ylim(bottom=0, top=1 if title == "average precision" else None)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8, handlelength=3)
