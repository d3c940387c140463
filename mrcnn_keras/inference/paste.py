"""Put the 28x28 masks of the network into the image, as bitmaps or as COCO run lengths.

The semantics are Detectron2's: bilinear interpolation with half-pixel centres, zero outside the mask, then a threshold;
or torchvision's ("padded"), which grows mask and box by a border of zeros and rounds the box to whole pixels.
A bilinear resize is separable, so a mask inside its box is `rows @ mask @ columns`: two small matrix products.
"""

import numpy as np

_SERIAL = 2**18  # multiplications that OpenBLAS does in one thread


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
    masks = np.zeros((len(probs), *size), bool)
    for mask, prob, box in zip(masks, probs, boxes):
        left, top, window = _window(prob, box, size, threshold, rule)
        mask[top : top + window.shape[1], left : left + window.shape[0]] = window.T
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
    counts = [_run_lengths(*_window(prob, box, (height, width), threshold, rule), height, width)
              for prob, box in zip(probs, boxes)]  # fmt: skip
    rles = [{"size": [height, width], "counts": c} for c in counts]
    return mask_utils.frPyObjects(rles, height, width) if rles else []


def _checked(probs: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probs, boxes = np.asarray(probs, np.float32), np.asarray(boxes, np.float32)
    if probs.ndim != 3 or boxes.shape != (len(probs), 4):
        raise ValueError(f"expected masks (N, M, M) and boxes (N, 4), got {probs.shape} and {boxes.shape}")
    return probs, boxes


def _window(prob: np.ndarray, box: np.ndarray, size: tuple[int, int], threshold: float, rule: str):
    """The mask in the part of the image under its box: left, top, and (width, height) bool, column by column."""
    interpolation = _interpolation if rule == "exact" else _padded_interpolation
    (rows, top), (columns, left) = (
        interpolation(box[axis], box[axis + 2], prob.shape[1 - axis], size[1 - axis]) for axis in (1, 0)
    )
    # Column by column is the order of COCO's run lengths, and this order keeps the array contiguous for them.
    return left, top, _product(_product(columns, prob.T), rows.T) >= np.float32(threshold)


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`left @ right` in pieces too small for the BLAS library to start threads, which wait long on a busy machine."""
    product = np.empty((len(left), right.shape[1]), np.float32)
    step = max(1, _SERIAL // max(1, right.size))
    for start in range(0, len(left), step):
        np.matmul(left[start : start + step], right, out=product[start : start + step])
    return product


def _interpolation(start: np.float32, end: np.float32, cells: int, length: int) -> tuple[np.ndarray, int]:
    """Bilinear weights (pixels, cells) of the pixels whose centre lies between start and end, and the first pixel."""
    first = int(np.clip(np.floor(start), 0, length))
    last = int(np.clip(np.ceil(end), first, length)) if end > start else first
    centres = np.arange(first, last, dtype=np.float32) + np.float32(0.5)
    source = (centres - start) / (end - start) * np.float32(cells) - np.float32(0.5) if last > first else centres
    # A tent of width one around every cell; there is no cell outside the mask, so it fades to zero there.
    return np.maximum(np.float32(1) - np.abs(source[:, None] - np.arange(cells, dtype=np.float32)), 0), first


def _padded_interpolation(start: np.float32, end: np.float32, cells: int, length: int) -> tuple[np.ndarray, int]:
    """Like `_interpolation`, for a mask with one empty cell around it in a box that grows with it.

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
    inner = np.arange(1, cells + 1, dtype=np.float32)
    return np.maximum(np.float32(1) - np.abs(source[:, None] - inner), 0), first


def _run_lengths(left: int, top: int, window: np.ndarray, height: int, width: int) -> list[int]:
    """COCO counts (column by column, zeros first) of an image that is empty but for the window."""
    columns, rows = window.shape
    edged = np.zeros(columns * (rows + 1) + 1, bool)  # an empty pixel first and after every column
    edged[1:].reshape(columns, rows + 1)[:, :rows] = window
    column, row = np.divmod(np.flatnonzero(edged[1:] != edged[:-1]), rows + 1)
    ends = (left + column) * height + top + row
    if rows == height:  # a run that reaches the bottom goes on at the top of the next column
        joint = np.flatnonzero(ends[1:-1:2] == ends[2::2]) * 2 + 1
        ends = np.delete(ends, np.concatenate([joint, joint + 1]))
    if not len(ends) or ends[-1] != height * width:
        ends = np.append(ends, height * width)
    return np.diff(ends, prepend=0).tolist()
