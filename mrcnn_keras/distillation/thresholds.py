"""How sure a model must be for a detection to become a label (Radosavovic et al., Data Distillation, 2017)."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class ObjectCounts(NamedTuple):
    """What people have labelled in a dataset, crowds left out.

    Attributes:
        images: number of images, those without objects included.
        objects: int64 (K,), objects of each class.
        keypoints: int64 (K,), labelled keypoints of the objects of each class.
    """

    images: int
    objects: np.ndarray
    keypoints: np.ndarray


def count_objects(dataset: Any) -> ObjectCounts:
    """Counts the objects of an `mrcnn_keras.data.Dataset`; reads all annotations once, and no image.

    Raises:
        ValueError: an annotation is broken, and the dataset does not skip such.
    """
    images, objects, keypoints = 0, *np.zeros((2, len(dataset.class_names)), np.int64)
    for index in range(len(dataset)):
        try:
            found = dataset.load_annotations(index)
        except (ValueError, OSError):
            if dataset.skip_broken:
                continue
            raise
        found = found.take(~found.is_crowd)
        images += 1
        np.add.at(objects, found.class_ids, 1)
        if found.keypoints is not None and len(found):
            np.add.at(keypoints, found.class_ids, np.count_nonzero(found.keypoints[..., 2], axis=1))
    return ObjectCounts(images, objects, keypoints)


def choose_thresholds(
    scores: Sequence[Sequence[float]], num_images: int, labelled_objects: Sequence[int], labelled_images: int
) -> np.ndarray:
    """The least score for each class with which the objects an image are as many as in the labelled images.

    The reference's rule, class by class: of the detections in all unlabelled images together the best are kept, so many
    that the mean of an image is that of the labelled ones. Of detections with the same score at the limit, all or none
    are kept, whichever comes nearer (none where both are as near). Where a class has fewer detections than wanted, all
    are kept; where none is wanted, as of a class without labels, none.

    Args:
        scores: for each of the K classes the scores of all its detections in the unlabelled images, in any order.
        num_images: how many unlabelled images there are, those without detections included.
        labelled_objects: objects of each class in the labelled images.
        labelled_images: how many of those there are, >= 1.

    Returns: float64 (K,): a detection is kept whose score is at least that of its class; infinity keeps none.

    Raises:
        ValueError: there is no labelled image, or there are not as many classes in both.
    """
    if labelled_images < 1:
        raise ValueError("there are no labelled images, which say how many objects an image has")
    if len(scores) != len(labelled_objects):
        raise ValueError(f"scores of {len(scores)} classes, but labelled objects of {len(labelled_objects)}")
    wanted = [math.floor(num_images * count / labelled_images + 0.5) for count in labelled_objects]
    return np.array([_threshold(np.sort(np.asarray(one, float))[::-1], number) for one, number in zip(scores, wanted)])


def _threshold(falling: np.ndarray, wanted: int) -> float:
    """Of scores (N,) from the highest to the lowest."""
    if wanted == 0:
        return math.inf
    if wanted >= len(falling):
        return float(falling[-1]) if len(falling) else 0.0
    least = falling[wanted - 1]
    without_ties, with_ties = np.count_nonzero(falling > least), np.count_nonzero(falling >= least)
    if with_ties - wanted < wanted - without_ties:
        return float(least)
    return float(falling[without_ties - 1]) if without_ties else math.inf
