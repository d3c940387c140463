"""From the box head's outputs to detections (section 3.1, inference)."""

import keras
import tensorflow as tf

from .. import boxes as box_ops
from .. import ops
from . import matching
from .float32 import Float32Layer
from .suppression import suppress


@keras.saving.register_keras_serializable("mrcnn_keras")
class DetectionLayer(Float32Layer):
    """Decodes, clips and scores the boxes of every class, suppresses overlaps class by class, keeps the best.

    Args:
        num_classes: object classes; the background's score is the last one.
        score_threshold: detections must score more than this.
        nms_threshold: a box overlapping a better one of its class by more than this is dropped.
        max_detections: detections kept an image.
        delta_weights: the box coder's weights.
        class_agnostic: one box for all classes.
        min_size: detections with a side under this many pixels are dropped.
        best_class_only: a proposal gives at most one detection, of its best class (matterport's rule), and not one of
            every class that scores enough.

    Inputs:
        class_logits: (B * P, num_classes + 1); box_deltas: (B * P, 4 * num_classes), or 4 when class-agnostic.
        proposals: (B, P, 4) float32 xyxy, zero rows are padding; windows: (B, 4) float32 xyxy, what the boxes are
        clipped to.

    Returns: boxes (B, D, 4) float32 xyxy in input pixels, scores (B, D) float32, class_ids (B, D) int32, best first;
    rows without a detection are zeros with class -1. D = max_detections.
    """

    def __init__(
        self,
        num_classes=80,
        score_threshold=0.05,
        nms_threshold=0.5,
        max_detections=100,
        delta_weights=(10.0, 10.0, 5.0, 5.0),
        class_agnostic=False,
        min_size=0.0,
        best_class_only=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self.max_detections = max_detections
        self.delta_weights = tuple(delta_weights)
        self.class_agnostic = class_agnostic
        self.min_size = min_size
        self.best_class_only = best_class_only
        self.built = True

    def call(self, class_logits, box_deltas, proposals, windows):
        boxes, scores = self.candidates(class_logits, box_deltas, proposals, windows)
        boxes, scores, classes, found = suppress(
            boxes, scores, self.max_detections, self.nms_threshold, self.score_threshold
        )
        valid = tf.range(self.max_detections)[None] < found[:, None]
        return boxes, scores, tf.where(valid, tf.cast(classes, tf.int32), -1)

    def candidates(self, class_logits, box_deltas, proposals, windows):
        """All boxes before thresholds and suppression, for the layer's inputs.

        Returns: boxes (B, P, num_classes, 4), or (B, P, 1, 4) when class-agnostic, float32 xyxy, and scores
        (B, P, num_classes) float32, 0 for what cannot be a detection.
        """
        batch, count = tf.unstack(tf.shape(proposals)[:2])
        scores = tf.nn.softmax(tf.cast(class_logits, tf.float32))
        if self.best_class_only:
            scores = tf.where(tf.one_hot(tf.argmax(scores, axis=1), self.num_classes + 1, True, False), scores, 0.0)
        scores = tf.reshape(scores[:, : self.num_classes], [batch, count, self.num_classes])
        scores = tf.where(box_ops.area(proposals)[..., None] > 0, scores, 0.0)
        per_box = 1 if self.class_agnostic else self.num_classes
        deltas = tf.reshape(tf.cast(box_deltas, tf.float32), [batch, count, per_box, 4])
        boxes = box_ops.decode(deltas, proposals[:, :, None, :], self.delta_weights)
        boxes = box_ops.clip(boxes, windows)
        if self.min_size > 0:
            scores = tf.where(box_ops.has_sides(boxes, self.min_size), scores, 0.0)
        return boxes, scores

    def compute_output_spec(self, class_logits, box_deltas, proposals, windows):
        batch = proposals.shape[0]
        return (
            keras.KerasTensor((batch, self.max_detections, 4), dtype="float32"),
            keras.KerasTensor((batch, self.max_detections), dtype="float32"),
            keras.KerasTensor((batch, self.max_detections), dtype="int32"),
        )

    def get_config(self):
        names = (
            "num_classes score_threshold nms_threshold max_detections delta_weights class_agnostic min_size "
            "best_class_only"
        ).split()
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("mrcnn_keras")
class FlattenBoxes(Float32Layer):
    """Boxes of a batch as one list with the image each belongs to.

    Inputs: (B, N, 4). Returns: (B * N, 4) float32 and (B * N,) int32.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def call(self, boxes):
        shape = tf.shape(boxes)
        return tf.reshape(boxes, [-1, 4]), tf.repeat(tf.range(shape[0]), shape[1])

    def compute_output_spec(self, boxes):
        return keras.KerasTensor((None, 4), dtype="float32"), keras.KerasTensor((None,), dtype="int32")


@keras.saving.register_keras_serializable("mrcnn_keras")
class FoundRows(Float32Layer):
    """The detections that exist, as one list: the mask branch runs on these only.

    Args:
        multiple: rows are filled up to a multiple of this; XLA takes all B * D.

    Inputs: boxes (B, D, 4) and class_ids (B, D). Returns: rois (K, 4) float32, image_index (K,) int32, class_ids (K,)
    int32 (-1 for filling) and row (K,) int32, the place of each in the B * D rows.
    """

    def __init__(self, multiple=8, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple
        self.built = True

    def call(self, boxes, class_ids):
        flat = tf.reshape(class_ids, [-1])
        # In ONNX a scatter overwrites rows and does not add to them: filling would wipe out the row it points to.
        row, valid = matching.compact_rows(flat >= 0, 1 if ops.is_tracing_for_onnx() else self.multiple)
        image_index = row // tf.shape(class_ids)[1]
        classes = tf.where(valid, tf.gather(flat, row), -1)
        return tf.gather(tf.reshape(boxes, [-1, 4]), row), image_index, classes, row

    def compute_output_spec(self, boxes, class_ids):
        ints = [keras.KerasTensor((None,), dtype="int32") for _ in range(3)]
        return keras.KerasTensor((None, 4), dtype="float32"), *ints

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable("mrcnn_keras")
class MaskProbabilities(Float32Layer):
    """Masks of the found rows as probabilities in their places among all detections.

    Args:
        kind: "sigmoid" or "softmax" masks.

    Inputs: what the mask head returns, (K, M, M) or (K, M, M, 2), row (K,) and class_ids (K,) of `FoundRows`, class_ids
    (B, D) of all. Returns: (B, D, M, M) float32, zero where there is no detection.
    """

    def __init__(self, kind="sigmoid", **kwargs):
        super().__init__(**kwargs)
        self.kind = kind
        self.built = True

    def call(self, logits, row, row_class_ids, class_ids):
        logits = tf.cast(logits, tf.float32)
        probabilities = tf.nn.sigmoid(logits) if self.kind == "sigmoid" else tf.exp(logits[..., 0])
        return in_all_rows(probabilities, row, row_class_ids, class_ids)

    def compute_output_spec(self, logits, row, row_class_ids, class_ids):
        return keras.KerasTensor((*class_ids.shape, *logits.shape[1:3]), dtype="float32")

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


def in_all_rows(values: tf.Tensor, row: tf.Tensor, row_class_ids: tf.Tensor, class_ids: tf.Tensor) -> tf.Tensor:
    """What was computed for the rows of `FoundRows`, in their places among all detections.

    Args:
        values: (K, ...) float32.
        row, row_class_ids: (K,) int32 of `FoundRows`.
        class_ids: (B, D) of all detections.

    Returns: (B, D, ...) float32, zero where there is no detection.
    """
    inner = tf.shape(values)[1:]
    found = tf.reshape(row_class_ids >= 0, [-1, *[1] * (values.shape.rank - 1)])
    flat = tf.scatter_nd(row[:, None], tf.where(found, values, 0.0), tf.concat([[tf.size(class_ids)], inner], 0))
    return tf.reshape(flat, tf.concat([tf.shape(class_ids), inner], 0))
