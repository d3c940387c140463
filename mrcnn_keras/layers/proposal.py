"""Proposals: the best RPN boxes of an image (Ren et al., NIPS 2015; per level as in FPN)."""

import keras
import tensorflow as tf

from .. import boxes as box_ops

LOWEST = float("-inf")


@keras.saving.register_keras_serializable("mrcnn_keras")
class ProposalLayer(keras.layers.Layer):
    """Takes the best anchors of each level, decodes and clips them, and suppresses overlaps level by level.

    Args:
        pre_nms_topk: anchors kept a level before suppression.
        post_nms_topk: proposals kept an image, all levels together.
        nms_threshold: a box that overlaps a better one of its level by more than this is dropped.

    Inputs:
        logits: list of (B, A_l) objectness, one a level.
        deltas: list of (B, A_l, 4) regression outputs.
        anchors: list of (A_l, 4) float32 xyxy.
        image_sizes: (B, 2) float32 [height, width].

    Returns: proposals (B, post_nms_topk, 4) float32 xyxy in input pixels, best first, zero rows at the end where
    there are fewer; scores (B, post_nms_topk) float32 logits, 0 in those rows.
    """

    def __init__(self, pre_nms_topk=1000, post_nms_topk=1000, nms_threshold=0.7, **kwargs):
        super().__init__(**kwargs)
        self.pre_nms_topk = pre_nms_topk
        self.post_nms_topk = post_nms_topk
        self.nms_threshold = nms_threshold
        self.built = True

    def call(self, logits, deltas, anchors, image_sizes):
        levels = [
            self._best_of_level(tf.stop_gradient(l), tf.stop_gradient(d), a, image_sizes)
            for l, d, a in zip(logits, deltas, anchors, strict=True)  # noqa: E741
        ]
        most = tf.reduce_max([tf.shape(scores)[1] for _, scores in levels])
        boxes = tf.stack([_pad_rows(boxes, most, 0.0) for boxes, _ in levels], axis=2)
        scores = tf.stack([_pad_rows(scores, most, LOWEST) for _, scores in levels], axis=2)
        proposals, scores, _, _ = tf.image.combined_non_max_suppression(
            boxes, scores, self.post_nms_topk, self.post_nms_topk, self.nms_threshold, LOWEST, clip_boxes=False
        )
        return proposals, scores

    def _best_of_level(self, logits, deltas, anchors, image_sizes):
        logits = tf.cast(logits, tf.float32)
        count = tf.minimum(self.pre_nms_topk, tf.shape(logits)[1])
        scores, index = tf.math.top_k(logits, count)
        deltas = tf.gather(tf.cast(deltas, tf.float32), index, axis=1, batch_dims=1)
        boxes = box_ops.clip(box_ops.decode(deltas, tf.gather(anchors, index)), image_sizes)
        usable = (box_ops.area(boxes) > 0) & tf.math.is_finite(scores)
        return boxes, tf.where(usable, scores, LOWEST)

    def compute_output_spec(self, logits, deltas, anchors, image_sizes):
        batch = logits[0].shape[0]
        return (
            keras.KerasTensor((batch, self.post_nms_topk, 4), dtype="float32"),
            keras.KerasTensor((batch, self.post_nms_topk), dtype="float32"),
        )

    def get_config(self):
        own = {name: getattr(self, name) for name in ("pre_nms_topk", "post_nms_topk", "nms_threshold")}
        return {**super().get_config(), **own}


def _pad_rows(values: tf.Tensor, rows: tf.Tensor, fill: float) -> tf.Tensor:
    missing = rows - tf.shape(values)[1]
    return tf.pad(values, [[0, 0], [0, missing]] + [[0, 0]] * (values.shape.rank - 2), constant_values=fill)
