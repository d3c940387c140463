"""Very large images, cut into tiles at several scales: small objects are seen as they are and large ones whole."""

import dataclasses
import itertools
import math
import numbers
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.data import rle
from mrcnn_keras.data.images import read_image, resize_image
from mrcnn_keras.inference.detections import Detections
from mrcnn_keras.inference.paste import empty_masks

_EDGE = 0.02  # of a tile's side, at most a quarter of the overlap: a box that ends so near to a cut goes on behind it
_LARGE = 0.45  # of what is left of the overlap: objects from this size on are taken from coarser scales, too
_APART = 0.1  # of an object's side: so much nearer or farther its centre may be found in the tile beside
_LEAST_OVERLAP = 16  # pixels, or a quarter of smaller tiles: less is hardly more than the margins


@dataclasses.dataclass(frozen=True)
class Tiles:
    """How an image is cut: into squares that overlap, then the image of half the size, until one square holds it all.

    Objects up to the overlap in size lie whole in a tile; larger ones are found at the coarser scales.

    Attributes:
        size: side of a tile in pixels; 0: the config's `image_min_side`, so that tiles are not resized.
        overlap: pixels that neighbours share, from 16 (or a quarter of smaller tiles) to `size` - 1; None: a quarter.

    Raises:
        ValueError: a number out of its range.
    """

    size: int = 0
    overlap: int | None = None

    def __post_init__(self):
        size, overlap = self.size, _LEAST_OVERLAP if self.overlap is None else self.overlap
        if not isinstance(size, numbers.Integral) or not isinstance(overlap, numbers.Integral) or size < 0 or size == 1:
            raise ValueError(f"{self}: expected whole numbers, size 0 or from 2 up")
        least = min(_LEAST_OVERLAP, max(1, size // 4)) if size else _LEAST_OVERLAP
        if self.overlap is not None and not least <= overlap < (size or math.inf):
            raise ValueError(f"{self}: expected an overlap from {least} to size - 1")

    @classmethod
    def of(cls, tiles: Any) -> "Tiles":
        """What `detect` is given as `tiles`: True, the size, or `Tiles`.

        Raises:
            ValueError: it is something else.
        """
        if isinstance(tiles, cls):
            return tiles
        if tiles is True:
            return cls()
        if not isinstance(tiles, numbers.Integral) or tiles < 2:
            raise ValueError(f"tiles={tiles!r}: expected True, the side of a tile in pixels, or Tiles")
        return cls(int(tiles))

    def filled(self, side: int) -> "Tiles":
        """With numbers in all places; `side` is that of tiles without a size."""
        size = self.size or side
        return Tiles(size, self.overlap or max(1, size // 4))

    @property
    def margin(self) -> float:
        """Pixels along a cut in which no whole object ends; of tiles with numbers in all places."""
        return min(_EDGE * self.size, self.overlap / 4)


@dataclasses.dataclass(frozen=True)
class _Piece:
    """A mask (h, w) bool at its place (left, top) in the image."""

    window: np.ndarray
    left: int
    top: int


@dataclasses.dataclass(frozen=True)
class _Tile:
    """A square of an image at one scale; all in pixels of that scale."""

    left: int
    top: int
    size: tuple[int, int]
    image_size: tuple[int, int]
    original_size: tuple[int, int]
    core: tuple[float, float, float, float]  # xyxy: objects with their centre here, or nearly, belong to this tile
    least: float  # longer side of objects that this scale is for
    margin: float  # see `Tiles.margin`

    def keep(self, found: Detections) -> Detections:
        """Detections that are this tile's and do not go on behind its borders."""
        height, width = self.size
        x1, y1, x2, y2 = (found.boxes + np.array([self.left, self.top] * 2)).T
        cut = (self.left > 0) & (x1 < self.left + self.margin) | (self.top > 0) & (y1 < self.top + self.margin)
        right, bottom = self.left + width, self.top + height
        cut |= (right < self.image_size[1]) & (x2 > right - self.margin)
        cut |= (bottom < self.image_size[0]) & (y2 > bottom - self.margin)
        x, y, apart_x, apart_y = (x1 + x2) / 2, (y1 + y2) / 2, _APART * (x2 - x1), _APART * (y2 - y1)
        own = (x >= self.core[0] - apart_x) & (x < self.core[2] + apart_x)
        own &= (y >= self.core[1] - apart_y) & (y < self.core[3] + apart_y)
        return found[own & ~cut & (np.maximum(x2 - x1, y2 - y1) >= self.least)]

    def in_image(self, found: Detections) -> Detections:
        """Detections of this tile, without masks, in pixels of the image."""
        scale = self._scale
        boxes = (found.boxes + np.array([self.left, self.top] * 2, np.float32)) * np.tile(scale, 2)
        keypoints = found.keypoints
        if keypoints is not None:
            start = np.array([self.left, self.top, 0], np.float32)
            keypoints = (keypoints + start) * np.array([*scale, 1], np.float32)
        nothing = {"masks": None, "rles": None, "image": None, "size": self.original_size}
        return dataclasses.replace(found, boxes=boxes, keypoints=keypoints, **nothing)

    def piece(self, mask: dict) -> _Piece:
        """A mask, run lengths in this tile, as large as it is in the image."""
        x1, y1, x2, y2 = rle.boxes([mask])[0].astype(int).tolist()
        window = rle.columns(mask, x1, x2)[:, y1:y2].T.astype(bool)
        if self.image_size == self.original_size or not window.size:
            return _Piece(window, self.left + x1, self.top + y1)
        (left, across), (top, down) = (
            _enlarged(start + low, high - low, scale)
            for start, low, high, scale in zip((self.left, self.top), (x1, y1), (x2, y2), self._scale)
        )
        return _Piece(window[down][:, across], left, top)

    @property
    def _scale(self) -> np.ndarray:
        """Pixels of the image to one of this scale, (x, y)."""
        return np.array(self.original_size[::-1], np.float32) / np.array(self.image_size[::-1], np.float32)


def _enlarged(start: int, length: int, scale: float) -> tuple[int, np.ndarray]:
    """For pixels start .. start + length - 1 of a scale: the image's first pixel there, and what each one shows."""
    first, last = int(np.floor(start * scale)), int(np.ceil((start + length) * scale))
    source = ((np.arange(first, last) + 0.5) / scale).astype(int) - start
    inside = (source >= 0) & (source < length)
    return first + int(np.argmax(inside)), source[inside]


def detect_in_tiles(
    detect: Callable[[list], list[Detections]],
    image: Any,
    tiles: Tiles,
    nms_threshold: float,
    masks: str | None,
    at_once: int = 1,
) -> Detections:
    """Detections of one image from those of its tiles, best first; there may be more than `max_detections`.

    Args:
        detect: of a list of uint8 (h, w, 3) images, with masks as run lengths or none.
        image: as `read_image` takes it.
        tiles: with numbers in all places.
        nms_threshold: of two boxes of a class that overlap by more than this, found in different tiles, the better one
            stays.
        masks: "bitmap", "rle" or None, as of `detect`.
        at_once: tiles that `detect` is given, 1 or more.
    """
    pixels = read_image(image)
    found, in_tiles, there = [], [], False
    for chunk in _chunks(_cut(pixels, tiles), at_once):
        for (tile, _), one in zip(chunk, detect([part for _, part in chunk]), strict=True):
            kept = tile.keep(one)
            there |= one.has_masks
            found.append(tile.in_image(kept))
            in_tiles += [(tile, mask) for mask in kept.rles or []]
    merged = _joined(found)
    tile_of = np.repeat(np.arange(len(found)), [len(one) for one in found])
    rows = _best_rows(merged, tile_of, nms_threshold)
    pieces = (in_tiles[row][0].piece(in_tiles[row][1]) for row in rows)
    form = _masks(pieces, len(rows), pixels.shape[:2], masks) if masks and there else {}
    return dataclasses.replace(merged[rows], image=image, size=pixels.shape[:2], **form)


def _cut(pixels: np.ndarray, tiles: Tiles) -> Iterator[tuple[_Tile, np.ndarray]]:
    """The tiles of the image and their pixels, scale by scale."""
    level, size = pixels, pixels.shape[:2]
    while True:
        least = 0.0 if level is pixels else _LARGE * (tiles.overlap - 2 * tiles.margin)
        height, width = level.shape[:2]
        rows, columns = _starts(height, tiles), _starts(width, tiles)
        for top, y1, y2 in rows:
            for left, x1, x2 in columns:
                part = np.ascontiguousarray(level[top : top + tiles.size, left : left + tiles.size])
                core = x1, y1, x2, y2
                yield _Tile(left, top, part.shape[:2], (height, width), size, core, least, tiles.margin), part
        if len(rows) == len(columns) == 1:
            return
        level = resize_image(level, (-(-height // 2), -(-width // 2)))


def _starts(length: int, tiles: Tiles) -> list[tuple[int, float, float]]:
    """Where tiles begin along a side, evenly, and the stretch of centres that is each one's."""
    count = 1 + max(0, -(-(length - tiles.size) // (tiles.size - tiles.overlap)))
    starts = np.round(np.linspace(0, max(0, length - tiles.size), count)).astype(int).tolist()
    bounds = [(first + tiles.size + second) / 2 for first, second in zip(starts, starts[1:])]
    return list(zip(starts, [-np.inf, *bounds], [*bounds, np.inf]))


def _joined(found: Sequence[Detections]) -> Detections:
    """All detections together, without masks."""
    fields = {name: np.concatenate([getattr(one, name) for one in found]) for name in ("boxes", "scores", "class_ids")}
    if found[0].keypoints is not None:
        fields["keypoints"] = np.concatenate([one.keypoints for one in found])
    return dataclasses.replace(found[0], **fields)


def _best_rows(found: Detections, tile_of: np.ndarray, nms_threshold: float) -> np.ndarray:
    """Rows that stay of objects found twice, best first; those of one tile were suppressed there, or meant to stay."""
    order, stays = np.argsort(-found.scores, kind="stable"), np.ones(len(found), bool)
    for class_id in np.unique(found.class_ids):
        rows = order[found.class_ids[order] == class_id]
        stays[rows] = _stay(found.boxes[rows], tile_of[rows], nms_threshold)
    return order[stays[order]]


def _stay(boxes: np.ndarray, tile_of: np.ndarray, nms_threshold: float) -> np.ndarray:
    """Which of boxes (N, 4) of a class, best first, no better one of another tile overlaps too much; (N,) bool."""
    from pycocotools import mask as mask_utils

    stays, (left, _, right, _) = np.ones(len(boxes), bool), boxes.T.copy()
    placed = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).astype(np.float64)
    for row in range(len(boxes)):
        if stays[row]:
            near = stays & (tile_of != tile_of[row]) & (left < right[row]) & (right > left[row])
            others = row + np.flatnonzero(near[row:])
            if len(others):
                iou = mask_utils.iou(placed[others], placed[row : row + 1], [False])[:, 0]
                stays[others[iou > nms_threshold]] = False
    return stays


def _masks(pieces: Iterable[_Piece], count: int, size: tuple[int, int], form: str) -> dict[str, Any]:
    if form == "rle":
        return {"rles": [rle.encode_window(one.window, one.left, one.top, *size) for one in pieces]}
    masks = empty_masks(count, *size)
    for mask, one in zip(masks, pieces):
        mask[one.top : one.top + one.window.shape[0], one.left : one.left + one.window.shape[1]] = one.window
    return {"masks": masks}


def _chunks(items: Iterator, size: int) -> Iterator[list]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk
