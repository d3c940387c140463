"""Polygons that cross themselves, so that what they fill is not what they go around."""

import numpy as np

# Annotators' lines often cross by a pixel or two at a corner. Only this part of the polygon's area, and so many square
# pixels, are worth a look.
_MIN_PART = 0.05
_MIN_PIXELS = 4.0
# Pairs of an edge and a point that are looked at together: bounds the memory on polygons of many points.
_MAX_PAIRS = 1 << 20
# Length in pixels of the polygon's longer side where its area is measured.
_CANVAS = 256


def crossing_loss(points: np.ndarray) -> tuple[int, int, float] | None:
    """Where a polygon crosses itself, and how much that changes what it fills.

    Args:
        points: float64 (N, 2) x, y in pixels.

    Returns:
        The numbers, from 0 on, of two edges that cross, edge i from point i to the next; and by how many square pixels
        the filled area differs from the signed area along the outline. None where nothing worth a look is lost.
    """
    found = crossing_edges(points)
    if found is None:
        return None
    filled = _filled_area(points)
    loss = abs(filled - outline_area(points))
    return (*found, loss) if loss > max(_MIN_PART * filled, _MIN_PIXELS) else None


def crossing_edges(points: np.ndarray) -> tuple[int, int] | None:
    """The first two edges of a polygon (N, 2) that cross or touch without being neighbours, or None."""
    count = len(points)
    closed = np.concatenate([points, points[:1]])
    rows = max(1, _MAX_PAIRS // count)
    for first in range(0, count, rows):
        last = min(first + rows, count)
        # Edges i and j cross where j's ends lie on both sides of i, and i's on both sides of j.
        ends = _on_left(closed[first : last + 1], closed)
        other_ends = _on_left(closed, closed[first : last + 1])
        crossing = (ends[:, :-1] != ends[:, 1:]) & (other_ends[:, :-1] != other_ends[:, 1:]).T
        edges = np.arange(first, last)
        for step in (-1, 0, 1):
            crossing[edges - first, (edges + step) % count] = False
        if crossing.any():
            edge, other = np.argwhere(crossing)[0].tolist()
            return first + edge, other
    return None


def outline_area(points: np.ndarray) -> float:
    """Area in square pixels inside a polygon (N, 2) that does not cross itself."""
    x, y = (points - points[0]).T
    # The terms of the first point are zero.
    return float(abs(x[:-1] @ y[1:] - y[:-1] @ x[1:]) / 2)


def _on_left(line: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether points (N, 2) lie on the left of each edge of a line of M points: bool (M - 1, N)."""
    x, y = points.T
    starts, along = line[:-1], line[1:] - line[:-1]
    return along[:, :1] * (y - starts[:, 1:]) >= along[:, 1:] * (x - starts[:, :1])


def _filled_area(points: np.ndarray) -> float:
    from pycocotools import mask as coco_mask

    low, high = points.min(axis=0), points.max(axis=0)
    scale = _CANVAS / max(float((high - low).max()), 1e-9)
    drawn = (points - low) * scale
    return float(coco_mask.area(coco_mask.frPyObjects([drawn.ravel().tolist()], _CANVAS, _CANVAS))[0]) / scale**2
