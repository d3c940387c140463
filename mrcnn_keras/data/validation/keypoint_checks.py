"""Checks of the keypoints of one annotation."""

from typing import Any

import numpy as np

from mrcnn_keras.data.coco import checked_points
from mrcnn_keras.data.validation.findings import Note

# Pixels that a labelled keypoint may lie outside of the image: hand-drawn ones do.
_MAX_OUTSIDE = 2.0


def check_keypoints(values: Any, count: int, size: tuple[int, int]) -> list[Note]:
    """What is wrong with an annotation's keypoints.

    Args:
        values: the field; None or empty: none is labelled.
        count: how many the category has.
        size: (height, width) of the image.
    """
    try:
        points = checked_points(values, count)
    except ValueError as error:
        return [Note(_kind(values, count), str(error))]
    labelled = points[points[:, 2] > 0, :2]
    beyond = np.maximum(-labelled, labelled - size[::-1]).max(axis=1, initial=0)
    if not beyond.size or beyond.max() <= _MAX_OUTSIDE:
        return []
    x, y = labelled[beyond.argmax()] - 0.5  # as the file has it
    found = f"{np.count_nonzero(beyond > _MAX_OUTSIDE)} of {len(labelled)} labelled keypoints, such as ({x:g}, {y:g})"
    return [Note("keypoint_outside", f"{found}, lie outside the {size[1]}x{size[0]} image")]


def _kind(values: Any, count: int) -> str:
    if not isinstance(values, list) or not all(isinstance(value, (int, float)) for value in values):
        return "malformed_field"
    if len(values) != 3 * count:
        return "keypoint_count"
    return "keypoint_visibility" if np.isfinite(np.array(values, float)).all() else "not_finite"
