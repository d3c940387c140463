"""Large-scale jitter (Ghiasi et al., CVPR 2021): photos at any scale, cropped or padded to one size."""

import dataclasses

import numpy as np

from mrcnn_keras.data import rle
from mrcnn_keras.data.annotations import Annotations

# What is left of an object must have sides of so many pixels of the network's input.
_MIN_SIDE = 1.0


@dataclasses.dataclass(frozen=True)
class View:
    """A rectangle of a photo as the network sees it.

    Attributes:
        window: (4,) xyxy in pixels of the photo, continuous coordinates.
        size: (height, width) after resizing, pixels.
    """

    window: tuple[float, float, float, float]
    size: tuple[int, int]

    @property
    def scale(self) -> np.ndarray:
        """How much longer x and y become: float64 (2,)."""
        x1, y1, x2, y2 = self.window
        return np.array([self.size[1] / (x2 - x1), self.size[0] / (y2 - y1)])


def jittered_view(
    photo: tuple[int, int], crop: tuple[int, int], scales: tuple[float, float], uniform: np.ndarray
) -> View:
    """What large-scale jitter shows of a photo: resized as a whole, then cut to at most `crop`.

    Args:
        photo: (height, width) in pixels.
        crop: (height, width) in pixels of the batch's images; a smaller photo is padded by who makes the batch.
        scales: least and most; at 1 the photo just fits into `crop`.
        uniform: (3,) in [0, 1), for the scale and for the window's y and x, each on its own.
    """
    scale = scales[0] + (scales[1] - scales[0]) * uniform[0]
    ratio = scale * min(side / length for side, length in zip(crop, photo, strict=True))
    whole = [max(1, round(length * ratio)) for length in photo]
    size = [min(side, length) for side, length in zip(crop, whole, strict=True)]
    start = [round((length - side) * at) for length, side, at in zip(whole, size, uniform[1:], strict=True)]
    (top, bottom), (left, right) = (
        (first / length * pixels, (first + side) / length * pixels)
        for first, side, length, pixels in zip(start, size, whole, photo, strict=True)
    )
    return View((left, top, right, bottom), (size[0], size[1]))


def seen(annotations: Annotations, view: View) -> Annotations:
    """The objects in a view, still in pixels of the photo.

    Of an object that the window cuts, the box is drawn anew around the rest of its mask, or, without a mask, cut too.
    Objects of which less than a pixel of the network's input is left, in width or in height, are dropped. Keypoints
    outside the window are no longer labelled. Masks stay whole: what counts is what they cover of the box.
    """
    x1, y1, x2, y2 = view.window
    boxes = np.clip(annotations.boxes, (x1, y1, x1, y1), (x2, y2, x2, y2)).astype(np.float32)
    if annotations.masks is not None:
        for row in np.flatnonzero((boxes != annotations.boxes).any(axis=1)):
            boxes[row] = rle.box_inside(annotations.masks[row], boxes[row])
    keep = ((boxes[:, 2:] - boxes[:, :2]) * view.scale >= _MIN_SIDE).all(axis=1)
    points = annotations.keypoints
    if points is not None:
        inside = (points[..., :2] >= (x1, y1)).all(axis=-1) & (points[..., :2] < (x2, y2)).all(axis=-1)
        points = points * inside[..., None]
    return dataclasses.replace(annotations, boxes=boxes, keypoints=points).take(keep)
