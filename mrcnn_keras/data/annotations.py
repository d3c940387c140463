"""The objects of one image, and how a dataset makes them."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mrcnn_keras.data import rle as rle_lib
from mrcnn_keras.data.keypoints import checked_keypoints

# Detectron2 keeps a box whose sides are longer than this.
_MIN_SIDE = 1e-5
# COCO rounds its boxes to hundredths: sticking out by less than this is not worth a line in the report.
_TOLERANCE = 0.1


@dataclasses.dataclass(frozen=True)
class Annotations:
    """The N objects of one image, in the pixels of the original image.

    Attributes:
        size: (height, width) of the image.
        class_ids: int32 (N,), 0..K-1.
        boxes: float32 (N, 4) xyxy, continuous coordinates.
        masks: list of N compressed COCO RLE dicts, or None for boxes only.
        is_crowd: bool (N,), True for a region of many objects, which training leaves out.
        ids: list of N annotation ids, for messages and evaluation.
        areas: float32 (N,), square pixels, what COCO's small, medium and large go by.
        keypoints: float32 (N, J, 3) x, y, visibility (0 not labelled, 1 labelled but hidden, 2 visible), or None.
    """

    size: tuple[int, int]
    class_ids: np.ndarray
    boxes: np.ndarray
    masks: list[dict] | None
    is_crowd: np.ndarray
    ids: list
    areas: np.ndarray
    keypoints: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.class_ids)

    def take(self, rows: np.ndarray) -> "Annotations":
        """The objects at these rows (integers, or bool (N,))."""
        rows = np.arange(len(self))[np.asarray(rows)] if len(self) else np.zeros(0, np.int64)
        return dataclasses.replace(
            self,
            class_ids=self.class_ids[rows],
            boxes=self.boxes[rows],
            masks=None if self.masks is None else [self.masks[row] for row in rows],
            is_crowd=self.is_crowd[rows],
            ids=[self.ids[row] for row in rows],
            areas=self.areas[rows],
            keypoints=None if self.keypoints is None else self.keypoints[rows],
        )


def make_annotations(
    size: tuple[int, int],
    class_ids: Sequence[int],
    *,
    masks: Sequence[np.ndarray] | np.ndarray | None = None,
    polygons: Sequence[list] | None = None,
    rles: Sequence[dict] | None = None,
    boxes: Sequence | np.ndarray | None = None,
    is_crowd: Sequence[bool] | None = None,
    ids: Sequence | None = None,
    areas: Sequence[float] | None = None,
    keypoints: Sequence | np.ndarray | None = None,
) -> Annotations:
    """The annotations of one image, as `Dataset.load_annotations` returns them.

    Args:
        size: (height, width) of the image in pixels.
        class_ids: N integers, 0..K-1, no background class.
        masks: (N, H, W) array or N arrays (H, W), everything but zero is the object.
        polygons: for each object a list of polygons `[x1, y1, x2, y2, ...]` in pixels.
        rles: for each object a COCO RLE, compressed or not. Give one of `masks`, `polygons`, `rles`, or only boxes.
        boxes: (N, 4) xyxy in pixels; computed from the masks where not given.
        is_crowd: N flags; default none.
        ids: N annotation ids used in messages; default 0..N-1.
        areas: N areas in square pixels; default the masks' areas, else the boxes'.
        keypoints: (N, J, 3) x, y in pixels, continuous coordinates like the boxes' (a pixel's centre is at +0.5), and
            visibility: 0 not labelled, 1 labelled but hidden, 2 visible. The dataset's `keypoints` says what they are.

    Returns: `Annotations` with N objects.

    Raises:
        ValueError: the arguments do not fit each other, naming the object.
    """
    height, width = (int(side) for side in size)
    class_ids = _class_ids(class_ids)
    count = len(class_ids)
    ids = list(range(count)) if ids is None else list(ids)
    _check_length("ids", ids, count)
    encoded = _encode_all(height, width, ids, masks=masks, polygons=polygons, rles=rles)
    if encoded is None and boxes is None and count:
        raise ValueError("give masks, polygons, rles or boxes; none was given")
    box_array = _box_array(boxes, encoded, count)
    if areas is None:
        areas = rle_lib.areas(encoded) if encoded is not None else np.prod(box_array[:, 2:] - box_array[:, :2], axis=1)
    crowd = np.zeros(count, bool) if is_crowd is None else np.asarray(is_crowd, bool).reshape(-1)
    areas = np.asarray(areas, np.float32).reshape(-1)
    _check_length("is_crowd", crowd, count)
    _check_length("areas", areas, count)
    points = checked_keypoints(keypoints, ids)
    return Annotations((height, width), class_ids, box_array, encoded, crowd, ids, areas, points)


def repair(annotations: Annotations) -> tuple[Annotations, list[tuple[str, str]]]:
    """Clips boxes to the image and drops objects that nothing can be learned from.

    A box is dropped when it is not finite or has no area inside the image, a mask when it has no pixel in its box.
    Keypoints stay as they are, with their object.

    Returns:
        The annotations that remain and a list of ("repaired" or "dropped", what and why) notes.
    """
    height, width = annotations.size
    limits = np.array([width, height, width, height], np.float32)
    clipped = np.clip(annotations.boxes, 0, limits)
    around = None if annotations.masks is None else rle_lib.boxes(annotations.masks)
    keep, notes = np.ones(len(annotations), bool), []
    for row, (box, original) in enumerate(zip(clipped, annotations.boxes, strict=True)):
        fault = _fault(original, box, None if around is None else around[row])
        keep[row] = fault is None
        named = f"annotation {annotations.ids[row]}: box {np.round(original, 2).tolist()}"
        if fault is not None:
            notes.append(("dropped", f"{named} {fault}"))
        elif np.abs(box - original).max() > _TOLERANCE:
            notes.append(("repaired", f"{named} clipped to the {width}x{height} image"))
    return dataclasses.replace(annotations, boxes=clipped).take(keep), notes


def _fault(box: np.ndarray, clipped: np.ndarray, around_mask: np.ndarray | None) -> str | None:
    if not np.isfinite(box).all():
        return "is not finite"
    if (clipped[2:] - clipped[:2] <= _MIN_SIDE).any():
        return "has no area inside the image"
    if around_mask is None:
        return None
    if (np.minimum(around_mask[2:], clipped[2:]) <= np.maximum(around_mask[:2], clipped[:2])).any():
        return "has a mask without a pixel in the box"
    return None


def _class_ids(class_ids: Sequence[int]) -> np.ndarray:
    given = np.asarray(class_ids)
    if given.size == 0:
        return np.zeros(0, np.int32)
    if given.ndim != 1 or given.dtype.kind not in "iu" or given.min() < 0:
        raise ValueError(f"class_ids must be a flat list of integers 0..K-1, got {class_ids!r}")
    return given.astype(np.int32)


def _encode_all(height: int, width: int, ids: list, **given) -> list[dict] | None:
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) > 1:
        raise ValueError(f"give only one of masks, polygons and rles; got {' and '.join(named)}")
    for name, values in named.items():
        _check_length(name, values, len(ids))
        encoded = []
        for annotation_id, value in zip(ids, values, strict=True):
            try:
                encoded.append(_encode_one(name, value, height, width))
            except (ValueError, TypeError) as error:
                raise ValueError(f"annotation {annotation_id}: {error}") from error
        return encoded
    return None


def _encode_one(kind: str, value: np.ndarray | list | dict, height: int, width: int) -> dict:
    if kind != "masks":
        return rle_lib.from_segmentation(value, height, width)
    mask = np.asarray(value)
    if mask.shape != (height, width):
        raise ValueError(f"mask has shape {mask.shape}, the image is (height, width) = {(height, width)}")
    return rle_lib.encode(mask)


def _box_array(boxes: Sequence | None, encoded: list[dict] | None, count: int) -> np.ndarray:
    if boxes is None:
        return rle_lib.boxes(encoded or [])
    array = np.asarray(boxes, np.float32)
    if array.size == 0 and count == 0:
        return np.zeros((0, 4), np.float32)
    if array.shape != (count, 4):
        raise ValueError(f"boxes must have shape ({count}, 4) for {count} class_ids, got {array.shape}")
    return array


def _check_length(name: str, values: Sequence, count: int) -> None:
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} entries for {count} class_ids")
