"""Checks of the segmentation of one annotation."""

from typing import Any, NamedTuple

import numpy as np

from mrcnn_keras.data import rle
from mrcnn_keras.data.validation.crossing import crossing_loss, outline_area
from mrcnn_keras.data.validation.findings import Note

# What the readers of masks raise on values of the wrong type, besides ValueError.
_BAD_TYPES = (TypeError, AttributeError)
_MIN_POINTS = 3


class Outline(NamedTuple):
    """What a segmentation covers: the box around it, float64 (4,) xyxy, its area along polygons, and its pixels.

    Areas are in square pixels; `pixel_box` is the box around the pixels, xyxy.
    """

    box: np.ndarray
    area: float
    pixels: float
    pixel_box: np.ndarray

    def __str__(self) -> str:
        x1, y1, x2, y2 = self.box
        return f"from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g})"

    def reaches(self, size: tuple[int, int]) -> bool:
        """Whether its box has a part inside an image of (height, width)."""
        x1, y1, x2, y2 = self.box
        return bool(x1 < size[1] and y1 < size[0] and x2 > 0 and y2 > 0)


def check_segmentation(segmentation: Any, size: tuple[int, int]) -> tuple[Outline | None, list[Note]]:
    """What is wrong with a segmentation, polygons or RLE.

    Args:
        segmentation: the annotation's field, not empty.
        size: (height, width) of the image.

    Returns:
        What it covers, None where it cannot be used, and what was found.
    """
    try:
        mask = rle.from_segmentation(segmentation, *size)
    except (ValueError, *_BAD_TYPES) as error:
        return None, [_fault(segmentation, size, error)]
    pixel_box, pixels = rle.boxes([mask])[0].astype(float), float(rle.areas([mask])[0])
    if isinstance(segmentation, dict):
        notes = [] if pixels else [Note("empty_segmentation", "the RLE covers no pixel")]
        return Outline(pixel_box, pixels, pixels, pixel_box), notes
    polygons = [np.array(polygon, float).reshape(-1, 2) for polygon in segmentation]
    points = np.concatenate(polygons)
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    outline = Outline(box, sum(map(outline_area, polygons)), pixels, pixel_box)
    if not pixels and not outline.reaches(size):
        return outline, [Note("polygon_outside", f"polygons {outline} lie outside the {size[1]}x{size[0]} image")]
    return outline, _crossings(polygons)


def _crossings(polygons: list[np.ndarray]) -> list[Note]:
    notes = []
    for number, points in enumerate(polygons, start=1):
        found = crossing_loss(points) if len(points) > _MIN_POINTS else None
        if found is not None:
            first, second, loss = found
            where = f"polygon {number} of {len(polygons)} crosses itself: the edges from points {first} and {second}"
            notes.append(Note("self_crossing", f"{where} meet, which changes {loss:.0f} square pixels"))
    return notes


def _fault(segmentation: Any, size: tuple[int, int], error: Exception) -> Note:
    if isinstance(segmentation, dict):
        return _rle_fault(segmentation, size, error)
    if not isinstance(segmentation, list):
        return Note("malformed_field", str(error))
    for number, polygon in enumerate(segmentation, start=1):
        try:
            rle.checked_polygon(polygon, *size)
        except (ValueError, *_BAD_TYPES) as fault:
            return Note(_polygon_kind(polygon), f"polygon {number} of {len(segmentation)}: {fault}")
    return Note("malformed_field", f"segmentation {segmentation!r:.60}: {error}")


def _polygon_kind(polygon: Any) -> str:
    try:
        values = np.asarray(polygon, float)
    except (ValueError, *_BAD_TYPES):
        return "malformed_field"
    if values.ndim != 1:
        return "malformed_field"
    if not np.isfinite(values).all():
        return "not_finite"
    if values.size < 2 * _MIN_POINTS:
        return "too_few_points"
    return "malformed_field" if values.size % 2 else "polygon_outside"


def _rle_fault(segmentation: dict, size: tuple[int, int], error: Exception) -> Note:
    given, counts = segmentation.get("size"), segmentation.get("counts")
    if given is None or counts is None:
        return Note("missing_field", str(error))
    if not isinstance(given, list) or not isinstance(counts, (str, list)):
        return Note("malformed_field", f"RLE with size {given!r:.60} and counts {counts!r:.60}")
    return Note("rle_size" if given != list(size) else "rle_damaged", str(error))
