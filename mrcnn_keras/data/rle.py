"""COCO run-length masks: reading, checking and cropping without decoding whole images."""

from collections.abc import Mapping
from typing import Any

import numpy as np

# A run is shorter than 2**35 pixels, so a longer group of characters is a damaged string.
_MAX_GROUP = 7


def encode(mask: np.ndarray) -> dict:
    """Compressed COCO RLE of a (H, W) mask; everything but zero is the object."""
    from pycocotools import mask as coco_mask

    return coco_mask.encode(np.asfortranarray(np.asarray(mask) != 0, dtype=np.uint8))


def annotation_area(annotation: Mapping[str, Any]) -> float:
    """Square pixels of a COCO annotation's mask, in run lengths, or of its box where it has none."""
    if "segmentation" not in annotation:
        return annotation["bbox"][2] * annotation["bbox"][3]
    from pycocotools import mask as coco_mask

    return float(coco_mask.area(annotation["segmentation"]))


def encode_label(labels: np.ndarray, value: int, first: int, last: int) -> dict:
    """Compressed COCO RLE of `labels == value`, known to lie within columns `first` to `last - 1`.

    Much cheaper than `encode` on a large label image with many small instances.
    """
    height, width = labels.shape
    inside = (labels[:, first:last] == value).ravel(order="F")
    return _from_changes(np.flatnonzero(np.diff(inside, prepend=False, append=False)) + first * height, height, width)


def encode_window(window: np.ndarray, left: int, top: int, height: int, width: int) -> dict:
    """Compressed COCO RLE of a (height, width) mask that is empty but for a part (h, w) bool at a place in it."""
    edged = np.zeros((window.shape[1], window.shape[0] + 2), np.int8)
    edged[:, 1:-1] = window.T
    column, row = np.nonzero(np.diff(edged, axis=1))
    # Where the object ends at the bottom of one column and goes on at the top of the next, nothing changes.
    changes, times = np.unique((left + column).astype(np.int64) * height + top + row, return_counts=True)
    return _from_changes(changes[times == 1], height, width)


def from_spans(first: np.ndarray, last: np.ndarray, height: int) -> dict:
    """Compressed RLE of a mask that covers one stretch of each column: rows `first` to `last - 1`.

    Args:
        first: (W,) whole numbers, 0..height.
        last: (W,) whole numbers, 0..height; a column with `last <= first` has no pixel.
        height: height of the image in pixels.
    """
    column_starts = np.arange(len(first))[:, None] * height
    edges = np.stack([first, last], axis=1).astype(np.int64) + column_starts
    # Where one stretch ends as the next begins, nothing changes.
    edges, times = np.unique(edges[last > first], return_counts=True)
    return _from_changes(edges[times == 1], height, len(first))


def union(rles: list[dict]) -> dict:
    """Compressed RLE of the pixels in any of the masks, which have one size."""
    from pycocotools import mask as coco_mask

    return rles[0] if len(rles) == 1 else coco_mask.merge(rles)


def from_segmentation(segmentation: list | dict, height: int, width: int) -> dict:
    """Compressed RLE of a COCO `segmentation` field: polygons, or an RLE, compressed or not.

    Args:
        segmentation: list of polygons `[x1, y1, x2, y2, ...]` in pixels, or `{"size", "counts"}`.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Raises:
        ValueError: a polygon with fewer than three points, or an RLE that does not fill the image.
    """
    if isinstance(segmentation, dict):
        return _checked_rle(segmentation, height, width)
    if not isinstance(segmentation, (list, tuple)):
        raise ValueError(f"segmentation must be a list of polygons or an RLE, got {segmentation!r:.60}")
    from pycocotools import mask as coco_mask

    polygons = [checked_polygon(polygon, height, width) for polygon in segmentation]
    if not polygons:
        raise ValueError("segmentation has no polygon")
    return union(coco_mask.frPyObjects(polygons, height, width))


def checked_polygon(polygon: list, height: int, width: int) -> list[float]:
    """The polygon as a list of floats; ValueError saying what is wrong with it otherwise."""
    try:
        points = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError):
        points = None
    if points is None or points.ndim != 1:
        raise ValueError("polygon is not a flat list of numbers [x1, y1, x2, y2, ...]")
    if points.size < 6 or points.size % 2:
        raise ValueError(f"polygon has {points.size} numbers; three or more points [x1, y1, x2, y2, ...] are needed")
    # Far-away points would make the rasteriser walk (and allocate) the whole way there.
    reach = 2 * max(height, width)
    if not np.all(np.abs(points) <= reach + max(height, width)):
        raise ValueError(f"polygon has a coordinate far outside the {width}x{height} image or not finite")
    return points.tolist()


def run_lengths(rle: dict) -> np.ndarray:
    """Run lengths (int64) of a compressed RLE, background first, column by column.

    Raises:
        ValueError: the string is damaged or its runs do not fill the image.
    """
    height, width = rle["size"]
    runs = _parse(rle["counts"])
    if runs.size == 0 or runs.min() < 0 or runs.sum() != height * width:
        raise ValueError(f"RLE runs do not fill the {width}x{height} image")
    return runs


def columns(rle: dict, first: int, last: int) -> np.ndarray:
    """Columns `first` to `last - 1` of the mask, transposed: uint8 (last - first, H) of zeros and ones."""
    height = rle["size"][0]
    ends = np.clip(np.cumsum(run_lengths(rle)), first * height, last * height)
    values = np.arange(ends.size) % 2
    runs = np.diff(ends, prepend=first * height)
    return np.repeat(values.astype(np.uint8), runs).reshape(last - first, height)


def boxes(rles: list[dict]) -> np.ndarray:
    """Boxes around the pixels of each mask: float32 (N, 4) xyxy, zeros for an empty mask."""
    from pycocotools import mask as coco_mask

    if not rles:
        return np.zeros((0, 4), np.float32)
    xywh = coco_mask.toBbox(rles).reshape(-1, 4)
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1).astype(np.float32)


def box_inside(rle: dict, box: np.ndarray) -> np.ndarray:
    """Box around what a mask covers of another box: float32 (4,) xyxy; zeros where it covers nothing.

    Args:
        rle: compressed COCO RLE of an (H, W) mask.
        box: (4,) xyxy, pixels of the mask, inside the image.
    """
    (left, top), (right, bottom) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
    region = columns(rle, left, right)[:, top:bottom]
    across, down = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if not across.size:
        return np.zeros(4, np.float32)
    around = (left + across[0], top + down[0], left + across[-1] + 1, top + down[-1] + 1)
    return np.clip(around, (*box[:2], *box[:2]), (*box[2:], *box[2:])).astype(np.float32)


def areas(rles: list[dict]) -> np.ndarray:
    """Number of pixels of each mask: float32 (N,)."""
    from pycocotools import mask as coco_mask

    return np.asarray(coco_mask.area(rles) if rles else [], dtype=np.float32)


def coverage(rle: dict, box: np.ndarray, size: int) -> np.ndarray:
    """The mask inside a box, area-averaged on a size x size grid: uint8, 255 is wholly covered.

    Args:
        rle: compressed COCO RLE of an (H, W) mask.
        box: (4,) xyxy, pixels of the mask, inside the image and not empty.
        size: cells to a side, >= 1.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    left, top = int(x1), int(y1)
    region = columns(rle, left, int(np.ceil(x2)))[:, top : int(np.ceil(y2))]
    across = _area_average(region, x1 - left, x2 - left, size)
    cells = _area_average(np.ascontiguousarray(across.T), y1 - top, y2 - top, size)
    np.clip(cells, 0, 1, out=cells)
    cells *= 255
    return np.rint(cells, out=cells).astype(np.uint8)


def _area_average(values: np.ndarray, start: float, stop: float, size: int) -> np.ndarray:
    # The integral along axis 0 is piecewise linear, so differences of its values at the cells' edges are exact.
    integral = np.zeros((values.shape[0] + 1, values.shape[1]), np.float32)
    np.cumsum(values, axis=0, dtype=np.float32, out=integral[1:])
    edges = np.arange(size + 1) * ((stop - start) / size) + start
    edges[-1] = stop
    below = np.minimum(edges.astype(np.int64), values.shape[0] - 1)
    part = (edges - below).astype(np.float32)[:, None]
    at_edges = integral[below]
    at_edges *= 1 - part
    above = integral[below + 1]
    above *= part
    at_edges += above
    cells = at_edges[1:] - at_edges[:-1]
    cells *= np.float32(size / (stop - start))
    return cells


def _checked_rle(rle: dict, height: int, width: int) -> dict:
    size, counts = rle.get("size"), rle.get("counts")
    if size is None or counts is None:
        raise ValueError("RLE needs the fields 'size' and 'counts'")
    if list(size) != [height, width]:
        raise ValueError(f"RLE size {list(size)} is not the image's [height, width] = {[height, width]}")
    if isinstance(counts, (str, bytes)):
        checked = {"size": [height, width], "counts": counts.encode() if isinstance(counts, str) else counts}
        run_lengths(checked)
        return checked
    runs = np.asarray(counts)
    if runs.dtype.kind not in "iu" or runs.ndim != 1 or runs.min() < 0 or runs.sum() != height * width:
        raise ValueError(f"RLE counts are not non-negative integers that fill the {width}x{height} image")
    return _compress(runs, height, width)


def _from_changes(changes: np.ndarray, height: int, width: int) -> dict:
    # Pixels, column by column, where background turns into object and back; behind the last one there is nothing.
    changes = changes[changes < height * width]
    return _compress(np.diff(changes, prepend=0, append=height * width), height, width)


def _compress(counts: np.ndarray, height: int, width: int) -> dict:
    from pycocotools import mask as coco_mask

    return coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)


def _parse(counts: str | bytes) -> np.ndarray:
    # Five bits a character, low bits first, 32 = "more follows", sign in the last; from the third run on, each is the
    # difference to the run before the previous one.
    try:
        codes = np.frombuffer(counts.encode() if isinstance(counts, str) else counts, np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        codes = np.array([-1])
    if codes.size == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError("RLE string is damaged")
    ends = np.flatnonzero((codes & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MAX_GROUP:
        raise ValueError("RLE string is damaged")
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
