"""Proposals: the best RPN boxes of an image (Ren et al., NIPS 2015; per level as in FPN)."""

import keras
import tensorflow as tf

from .. import boxes as box_ops
from .float32 import Float32Layer
from .suppression import LOWEST, suppress


@keras.saving.register_keras_serializable("mrcnn_keras")
class ProposalLayer(Float32Layer):
    """Takes the best anchors of each level, decodes and clips them, and suppresses overlaps level by level.

    Args:
        pre_nms_topk: anchors kept a level before suppression.
        post_nms_topk: proposals kept an image, all levels together.
        nms_threshold: a box that overlaps a better one of its level by more than this is dropped.
        min_size: boxes with a side under this many pixels are dropped; empty ones always are.
        delta_weights: the box coder's weights.
        by_level: whether levels are worked through one by one; False treats all anchors as one level's.

    Inputs:
        logits: list of (B, A_l) objectness, one a level.
        deltas: list of (B, A_l, 4) regression outputs.
        anchors: list of (A_l, 4) float32 xyxy.
        windows: (B, 4) float32 xyxy, what the boxes are clipped to.

    Returns: proposals (B, post_nms_topk, 4) float32 xyxy in input pixels, best first, zero rows at the end where
    there are fewer; scores (B, post_nms_topk) float32 logits, 0 in those rows.
    """

    def __init__(
        self,
        pre_nms_topk=1000,
        post_nms_topk=1000,
        nms_threshold=0.7,
        min_size=0.0,
        delta_weights=(1.0, 1.0, 1.0, 1.0),
        by_level=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.pre_nms_topk = pre_nms_topk
        self.post_nms_topk = post_nms_topk
        self.nms_threshold = nms_threshold
        self.min_size = min_size
        self.delta_weights = tuple(delta_weights)
        self.by_level = by_level
        self.built = True

    def call(self, logits, deltas, anchors, windows):
        if not self.by_level:
            logits, deltas, anchors = [tf.concat(logits, 1)], [tf.concat(deltas, 1)], [tf.concat(anchors, 0)]
        best = [
            self._best_of_level(tf.stop_gradient(l), tf.stop_gradient(d), a)
            for l, d, a in zip(logits, deltas, anchors, strict=True)  # noqa: E741
        ]
        most = tf.reduce_max([tf.shape(scores)[1] for scores, _, _ in best])
        scores, deltas, anchors = (
            tf.stack([_pad_rows(level, most, fill) for level in levels], axis=2)
            for levels, fill in zip(zip(*best), (LOWEST, 0.0, 0.0))
        )
        boxes = box_ops.clip(box_ops.decode(deltas, anchors, self.delta_weights), windows)
        usable = box_ops.has_sides(boxes, self.min_size) & tf.math.is_finite(scores)
        scores = tf.where(usable, scores, LOWEST)
        proposals, scores, _, _ = suppress(boxes, scores, self.post_nms_topk, self.nms_threshold)
        return proposals, scores

    def _best_of_level(self, logits, deltas, anchors):
        """Scores, deltas and anchors of the level's best."""
        logits = tf.cast(logits, tf.float32)
        count = tf.minimum(self.pre_nms_topk, tf.shape(logits)[1])
        scores, index = tf.math.top_k(logits, count)
        deltas = tf.gather(tf.cast(deltas, tf.float32), index, axis=1, batch_dims=1)
        return scores, deltas, tf.gather(anchors, index)

    def compute_output_spec(self, logits, deltas, anchors, windows):
        batch = logits[0].shape[0]
        return (
            keras.KerasTensor((batch, self.post_nms_topk, 4), dtype="float32"),
            keras.KerasTensor((batch, self.post_nms_topk), dtype="float32"),
        )

    def get_config(self):
        names = "pre_nms_topk post_nms_topk nms_threshold min_size delta_weights by_level".split()
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _pad_rows(values: tf.Tensor, rows: tf.Tensor, fill: float) -> tf.Tensor:
    missing = rows - tf.shape(values)[1]
    return tf.pad(values, [[0, 0], [0, missing]] + [[0, 0]] * (values.shape.rank - 2), constant_values=fill)
