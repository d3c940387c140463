"""Put the 28x28 masks of the network into the image, as bitmaps or as COCO run lengths.

The semantics are Detectron2's: bilinear interpolation with half-pixel centres, zero outside the mask, then a threshold;
or torchvision's ("padded"), which grows mask and box by a border of zeros and rounds the box to whole pixels.
A bilinear resize is separable, so a mask inside its box is `rows @ mask @ columns`: two small matrix products.
"""

import contextlib
import mmap
import sys

import numpy as np

_SERIAL = 2**18  # multiplications that OpenBLAS does in one thread
_BLOCK = 512  # pixels of a product side by side, so that several rows fit into one of that size
_POPULATE_WRITE = 23  # of Linux' madvise, from 5.14 on
_NO_RESERVE = 0x4000  # of Linux' mmap: more may be asked for than there is, as little of it is used
_SPARSE = 2**22  # bytes from which on NumPy asks for huge pages


def paste_masks(
    probs: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float = 0.5, rule: str = "exact"
) -> np.ndarray:
    """Resize every mask to its box and place it in an empty image.

    Mask R-CNN, section 3.1 ("the m x m floating-number mask output is then resized to the RoI size, and binarized").

    Args:
        probs: (N, M, M) float, mask probabilities 0..1 over the box.
        boxes: (N, 4) float, xyxy in pixels of the image.
        size: (height, width) of the image.
        threshold: a pixel belongs to the mask where the interpolated probability is at least this, 0..1.
        rule: "exact" (Detectron2) or "padded" (torchvision).

    Returns:
        (N, height, width) bool.

    Raises:
        ValueError: the arrays do not belong together.
    """
    probs, boxes = _checked(probs, boxes)
    height, width = int(size[0]), int(size[1])
    memory = _room(len(probs) * height * width)
    masks = _as_masks(memory, len(probs), height, width)
    for index, (prob, box) in enumerate(zip(probs, boxes)):
        (rows, top), (columns, left) = _weights(prob, box, size, rule)
        _expect_writes(memory, (index * height + top) * width, len(rows) * width)
        window = masks[index, top : top + len(rows), left : left + len(columns)]
        _threshold(rows, np.ascontiguousarray(_stretched(columns, prob).T), threshold, window)
    return masks


def paste_mask_rles(
    probs: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float = 0.5, rule: str = "exact"
) -> list[dict]:
    """Do what `paste_masks` does, but return COCO run lengths; no array as large as the image is made.

    Args:
        probs: (N, M, M) float, mask probabilities 0..1 over the box.
        boxes: (N, 4) float, xyxy in pixels of the image.
        size: (height, width) of the image.
        threshold: a pixel belongs to the mask where the interpolated probability is at least this, 0..1.
        rule: "exact" (Detectron2) or "padded" (torchvision).

    Returns:
        N compressed RLE dicts `{"size": [height, width], "counts": bytes}`, as pycocotools makes them.

    Raises:
        ValueError: the arrays do not belong together.
    """
    from pycocotools import mask as mask_utils

    probs, boxes = _checked(probs, boxes)
    height, width = int(size[0]), int(size[1])
    counts = [_run_lengths(*_edged(prob, box, (height, width), threshold, rule), height, width)
              for prob, box in zip(probs, boxes)]  # fmt: skip
    rles = [{"size": [height, width], "counts": c} for c in counts]
    return mask_utils.frPyObjects(rles, height, width) if rles else []


def _checked(probs: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probs, boxes = np.asarray(probs, np.float32), np.asarray(boxes, np.float32)
    if probs.ndim != 3 or boxes.shape != (len(probs), 4):
        raise ValueError(f"expected masks (N, M, M) and boxes (N, 4), got {probs.shape} and {boxes.shape}")
    return probs, boxes


def empty_masks(count: int, height: int, width: int) -> np.ndarray:
    """(count, height, width) bool, nothing set, whose memory is used only where something is written.

    NumPy has large arrays filled in pages of 2 MiB, so 100 masks of a photo would take 100 MB and 20 ms.
    """
    memory = _room(count * height * width)
    return _as_masks(memory, count, height, width)


def _room(pixels: int) -> mmap.mmap | np.ndarray:
    if sys.platform != "linux" or pixels < _SPARSE:
        return np.zeros(pixels, bool)
    return mmap.mmap(-1, pixels, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)


def _as_masks(memory: mmap.mmap | np.ndarray, count: int, height: int, width: int) -> np.ndarray:
    return np.frombuffer(memory, bool, count * height * width).reshape(count, height, width)


def _expect_writes(memory: mmap.mmap | np.ndarray, start: int, pixels: int) -> None:
    """Have a part of the memory made ready at once, which is sooner than page by page."""
    if isinstance(memory, mmap.mmap) and pixels:
        first = start - start % mmap.PAGESIZE
        with contextlib.suppress(OSError):  # an older Linux
            memory.madvise(_POPULATE_WRITE, first, start + pixels - first)


def _weights(prob: np.ndarray, box: np.ndarray, size: tuple[int, int], rule: str):
    """For the rows and the columns of the image under the box: weights (pixels, cells), and the first pixel."""
    cells, exact = len(prob), rule == "exact"
    places = _places if exact else _padded_places
    (down, top), (across, left) = (places(box[axis], box[axis + 2], cells, size[1 - axis]) for axis in (1, 0))
    weights = _tents(np.concatenate([down, across]), 0 if exact else 1, cells)
    return (weights[: len(down)], top), (weights[len(down) :], left)


def _stretched(columns: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """`columns @ prob.T`: the mask as wide as its box but with its own rows."""
    cells = np.ascontiguousarray(prob.T)
    step = max(1, _SERIAL // max(1, cells.size))
    if len(columns) <= step:
        return columns @ cells
    return np.concatenate([columns[i : i + step] @ cells for i in range(0, len(columns), step)])


def _threshold(left: np.ndarray, right: np.ndarray, threshold: float, out: np.ndarray) -> None:
    """`out[:] = left @ right >= threshold`, in pieces that stay in the processor's cache.

    They are too small for the BLAS library to start threads, too, which wait long on a busy machine.
    """
    threshold = np.float32(threshold)
    for start in range(0, right.shape[1], _BLOCK):
        block = right[:, start : start + _BLOCK]
        step = max(1, _SERIAL // max(1, block.size))
        values = np.empty((min(step, len(left)), block.shape[1]), np.float32)
        for first in range(0, len(left), step):
            part = np.matmul(left[first : first + step], block, out=values[: len(left) - first])
            np.greater_equal(part, threshold, out=out[first : first + step, start : start + _BLOCK])


def _places(start: np.float32, end: np.float32, cells: int, length: int) -> tuple[np.ndarray, int]:
    """Where the pixels from start to end lie among the cells, whose centres are at 0, 1, ...; and the first pixel."""
    first = int(min(max(np.floor(start), 0), length))
    last = int(min(max(np.ceil(end), first), length)) if end > start else first
    source = np.arange(first, last, dtype=np.float32)
    if last > first:
        source += np.float32(0.5)
        source -= start
        source /= end - start
        source *= np.float32(cells)
        source -= np.float32(0.5)
    # There is no cell outside the mask, so it fades to zero there.
    return source, first


def _tents(source: np.ndarray, start: int, cells: int) -> np.ndarray:
    """Weights (pixels, cells) of the cells from `start` on at each place: a tent of width one around each cell."""
    source = np.clip(source, start - 1, start + cells)  # farther away they are zero as well
    low = np.floor(source)
    part = source - low
    weights = np.zeros((len(source), cells + 3), np.float32)  # with room for the cells before and behind
    place = np.arange(len(source)) * (cells + 3) + (low.astype(np.int64) - (start - 1))
    weights.put(place, np.float32(1) - part)
    weights.put(place + 1, part)
    return weights[:, 1:-2]


def _padded_places(start: np.float32, end: np.float32, cells: int, length: int) -> tuple[np.ndarray, int]:
    """Like `_places`, for a mask with one empty cell around it, which is cell 0, in a box that grows with it.

    The grown box is cut to whole pixels, both ends included; its outermost cells are repeated, as they are empty.
    """
    centre, half = (start + end) * np.float32(0.5), (end - start) * np.float32(0.5)
    half *= np.float32((cells + 2) / cells)
    low, high = int(centre - half), int(centre + half)  # towards zero
    count = max(high - low + 1, 1)
    step = np.float32((cells + 2) / count)
    first, last = min(max(low, 0), length), min(max(high + 1, 0), length)
    pixels = np.arange(first, max(last, first), dtype=np.float32) - np.float32(low)
    source = np.clip((pixels + np.float32(0.5)) * step - np.float32(0.5), 0, cells + 1)
    return source, first


def _edged(prob: np.ndarray, box: np.ndarray, size: tuple[int, int], threshold: float, rule: str):
    """The mask in the part of the image under its box: left, top, and (columns, 1 + rows) bool in one row.

    Column by column is the order of COCO's run lengths. There is an empty pixel before each column, and one at the end.
    """
    (rows, top), (columns, left) = _weights(prob, box, size, rule)
    edged = np.zeros(len(columns) * (len(rows) + 1) + 1, bool)
    window = edged[1:].reshape(len(columns), len(rows) + 1)[:, :-1]
    _threshold(_stretched(columns, prob), np.ascontiguousarray(rows.T), threshold, window)
    return left, top, len(rows), edged


def _run_lengths(left: int, top: int, rows: int, edged: np.ndarray, height: int, width: int) -> list[int]:
    """COCO counts (column by column, zeros first) of an image that is empty but for what `_edged` gives."""
    column, row = np.divmod(np.flatnonzero(edged[1:] != edged[:-1]), rows + 1)
    ends = (left + column) * height + top + row
    if rows == height:  # a run that reaches the bottom goes on at the top of the next column
        joint = np.flatnonzero(ends[1:-1:2] == ends[2::2]) * 2 + 1
        ends = np.delete(ends, np.concatenate([joint, joint + 1]))
    ends = np.concatenate([[0], ends, [height * width]])
    if ends[-2] == ends[-1]:
        ends = ends[:-1]
    return (ends[1:] - ends[:-1]).tolist()
