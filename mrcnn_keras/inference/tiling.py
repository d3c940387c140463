"""Very large images, cut into tiles at several scales: small objects are seen as they are and large ones whole."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.data import rle
from mrcnn_keras.data.images import read_image, resize_image
from mrcnn_keras.inference.detections import Detections
from mrcnn_keras.inference.merging import suppressed
from mrcnn_keras.inference.paste import empty_masks

_EDGE = 0.02  # of a tile's side: a box that ends so near to a cut goes on behind it
_LARGE = 0.375  # of the overlap: objects from this size on are taken from coarser scales, too


@dataclasses.dataclass(frozen=True)
class Tiles:
    """How an image is cut: into squares that overlap, then the image of half the size, until one square holds it all.

    Objects up to the overlap in size lie whole in a tile; larger ones are found at the coarser scales.

    Attributes:
        size: side of a tile in pixels; 0: the config's `image_min_side`, so that tiles are not resized.
        overlap: pixels that neighbours share, under `size`; None: a quarter of it.

    Raises:
        ValueError: a number out of its range.
    """

    size: int = 0
    overlap: int | None = None

    def __post_init__(self):
        if self.size < 0 or (self.overlap is not None and not 0 < self.overlap < (self.size or np.inf)):
            raise ValueError(f"{self}: expected size from 0 up and an overlap from 1 to size - 1")

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
        if not isinstance(tiles, int) or tiles < 2:
            raise ValueError(f"tiles={tiles!r}: expected True, the side of a tile in pixels, or Tiles")
        return cls(tiles)

    def filled(self, side: int) -> "Tiles":
        """With numbers in all places; `side` is that of tiles without a size."""
        size = self.size or side
        return Tiles(size, self.overlap or max(1, size // 4))


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
    pixels: np.ndarray
    image_size: tuple[int, int]
    original_size: tuple[int, int]
    core: tuple[float, float, float, float]  # xyxy: objects with their centre here belong to this tile
    least: float  # longer side of objects that this scale is for

    def keep(self, found: Detections) -> Detections:
        """Detections that are this tile's and do not go on behind its borders."""
        height, width = self.pixels.shape[:2]
        x1, y1, x2, y2 = (found.boxes + np.array([self.left, self.top] * 2)).T
        margin = _EDGE * max(height, width)
        cut = (self.left > 0) & (x1 < self.left + margin) | (self.top > 0) & (y1 < self.top + margin)
        right, bottom = self.left + width, self.top + height
        cut |= (right < self.image_size[1]) & (x2 > right - margin)
        cut |= (bottom < self.image_size[0]) & (y2 > bottom - margin)
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        own = (x >= self.core[0]) & (x < self.core[2]) & (y >= self.core[1]) & (y < self.core[3])
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

    def pieces(self, found: Detections) -> list[_Piece]:
        """Their masks, as large as they are in the image; none where there are no masks."""
        boxes = rle.boxes(found.rles or []).astype(int)
        return [self._piece(one, *box) for one, box in zip(found.rles or [], boxes.tolist())]

    def _piece(self, mask: dict, x1: int, y1: int, x2: int, y2: int) -> _Piece:
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
        nms_threshold: of two boxes of a class that overlap by more than this the better one stays.
        masks: "bitmap", "rle" or None, as of `detect`.
        at_once: tiles that `detect` is given, 1 or more.
    """
    pixels = read_image(image)
    found, pieces, there = [], [], False
    for chunk in _chunks(_cut(pixels, tiles), at_once):
        for tile, one in zip(chunk, detect([tile.pixels for tile in chunk]), strict=True):
            kept = tile.keep(one)
            there |= one.has_masks
            found.append(tile.in_image(kept))
            pieces += tile.pieces(kept)
    merged = _joined(found)
    rows = _best_rows(merged, nms_threshold)
    form = _masks([pieces[row] for row in rows], pixels.shape[:2], masks) if masks and there else {}
    return dataclasses.replace(merged[rows], image=image, size=pixels.shape[:2], **form)


def _cut(pixels: np.ndarray, tiles: Tiles) -> Iterator[_Tile]:
    """The tiles of the image, scale by scale."""
    level, size = pixels, pixels.shape[:2]
    while True:
        least = 0.0 if level is pixels else _LARGE * tiles.overlap
        height, width = level.shape[:2]
        rows, columns = _starts(height, tiles), _starts(width, tiles)
        for top, y1, y2 in rows:
            for left, x1, x2 in columns:
                part = np.ascontiguousarray(level[top : top + tiles.size, left : left + tiles.size])
                yield _Tile(left, top, part, (height, width), size, (x1, y1, x2, y2), least)
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


def _best_rows(found: Detections, nms_threshold: float) -> np.ndarray:
    """Rows that stay of objects found twice, best first."""
    kept = [np.zeros(0, np.int64)]
    for class_id in np.unique(found.class_ids):
        rows = np.flatnonzero(found.class_ids == class_id)
        stay, _ = suppressed(found.boxes[rows], found.scores[rows], len(rows), nms_threshold, -np.inf)
        kept.append(rows[stay])
    rows = np.concatenate(kept)
    return rows[np.argsort(-found.scores[rows], kind="stable")]


def _masks(pieces: Sequence[_Piece], size: tuple[int, int], form: str) -> dict[str, Any]:
    if form == "rle":
        return {"rles": [rle.encode_window(one.window, one.left, one.top, *size) for one in pieces]}
    masks = empty_masks(len(pieces), *size)
    for mask, one in zip(masks, pieces):
        mask[one.top : one.top + one.window.shape[0], one.left : one.left + one.window.shape[1]] = one.window
    return {"masks": masks}


def _chunks(items: Iterator[_Tile], size: int) -> Iterator[list[_Tile]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk
