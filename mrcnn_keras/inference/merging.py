"""From candidates of several views to detections: thresholds of each class and suppression (section 3.1, inference)."""

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Merging:
    """How candidates become detections.

    Attributes:
        thresholds: (K,) float32, what a detection of each class must score more than, 0..1.
        max_detections: kept an image.
        nms_threshold: a box overlapping a better one of its class by more than this is dropped.
        soft_nms_sigma: 0, or the sigma of Soft-NMS (Bodla et al., ICCV 2017; 0.5 there): nothing is dropped for an
            overlap then, but scores decay with exp(-IoU^2 / sigma).
    """

    thresholds: np.ndarray
    max_detections: int
    nms_threshold: float
    soft_nms_sigma: float = 0.0

    def __post_init__(self):
        if not isinstance(self.soft_nms_sigma, numbers.Real) or not 0 <= self.soft_nms_sigma < np.inf:
            raise ValueError(
                f"soft_nms_sigma={self.soft_nms_sigma!r}: expected 0 (off) or a number above 0, such as 0.5"
            )

    def __call__(self, boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The best boxes of an image.

        Args:
            boxes: (N, K, 4) float32 xyxy of every class, or (N, 1, 4) that all classes share.
            scores: (N, K) float32.

        Returns:
            boxes (D, 4) float32, scores (D,) float32 and class_ids (D,) int32, best first; D = `max_detections`, rows
            without a detection are zeros with class -1.
        """
        if len(boxes) and not self.soft_nms_sigma:
            return self._as_the_network(boxes, scores)
        kept = [self._of_class(k, boxes[:, min(k, boxes.shape[1] - 1)], scores[:, k]) for k in range(scores.shape[1])]
        found_boxes, found_scores, found_classes = (np.concatenate(column) for column in zip(*kept))
        best = np.argsort(-found_scores, kind="stable")[: self.max_detections]
        out = np.zeros((self.max_detections, 4), np.float32), np.zeros(self.max_detections, np.float32)
        class_ids = np.full(self.max_detections, -1, np.int32)
        for whole, found in zip((*out, class_ids), (found_boxes, found_scores, found_classes)):
            whole[: len(best)] = found[best]
        return *out, class_ids

    def _as_the_network(self, boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By the operation of the network's graph, so that of boxes of the same score the same one stays."""
        import tensorflow as tf

        most, scores = self.max_detections, np.where(scores > self.thresholds, scores, 0)
        *found, count = tf.image.combined_non_max_suppression(
            boxes[None], scores[None], most, most, self.nms_threshold, 0.0, clip_boxes=False
        )
        boxes, scores, class_ids = (one.numpy()[0] for one in found)
        return boxes, scores, np.where(np.arange(most) < count.numpy()[0], class_ids, -1).astype(np.int32)

    def _of_class(self, class_id: int, boxes: np.ndarray, scores: np.ndarray):
        rows = np.flatnonzero(scores > self.thresholds[class_id])
        threshold, sigma = float(self.thresholds[class_id]), self.soft_nms_sigma
        place, values = suppressed(boxes[rows], scores[rows], self.max_detections, self.nms_threshold, threshold, sigma)
        return boxes[rows][place], values, np.full(len(place), class_id, np.int32)


def suppressed(
    boxes: np.ndarray,
    scores: np.ndarray,
    most: int,
    iou_threshold: float,
    score_threshold: float = 0.0,
    soft_nms_sigma: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) of one class that stay: their rows, best first, and their scores; arguments as of `Merging`."""
    if not len(boxes):
        return np.zeros(0, np.int32), np.zeros(0, np.float32)
    import tensorflow as tf

    if soft_nms_sigma:  # TensorFlow's decay is exp(-IoU^2 / 2 sigma), and beside it drops what overlaps too much
        iou_threshold, soft_nms_sigma = 1.0, soft_nms_sigma / 2
    place, values = tf.image.non_max_suppression_with_scores(
        boxes, scores, most, iou_threshold, score_threshold, soft_nms_sigma
    )
    return place.numpy(), values.numpy()


def class_thresholds(score_threshold: float | Mapping[str, float] | None, config: Any) -> np.ndarray:
    """(K,) float32 thresholds: one for all classes, or those of some by name, the config's for the others.

    Raises:
        ValueError: a class that the model does not have, or a threshold out of [0, 1].
    """
    by_name = score_threshold if isinstance(score_threshold, Mapping) else {}
    common = config.score_threshold if score_threshold is None or score_threshold is by_name else score_threshold
    if not all(isinstance(one, numbers.Real) and 0 <= one <= 1 for one in (common, *by_name.values())):
        raise ValueError(f"score_threshold={score_threshold!r}: expected numbers in [0, 1]")
    thresholds = np.full(config.num_classes, common, np.float32)
    for name, value in by_name.items():
        if name not in config.names:
            raise ValueError(f"score_threshold for {name!r}: the model's classes are {', '.join(config.names)}")
        thresholds[config.names.index(name)] = value
    return thresholds
