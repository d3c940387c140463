"""Non-maximum suppression: of boxes that overlap too much only the best stays (Faster R-CNN, section 3.1)."""

import tensorflow as tf

from .. import boxes as box_ops
from .. import ops

LOWEST = float("-inf")


def suppress(
    boxes: tf.Tensor, scores: tf.Tensor, most: int, iou_threshold: float, score_threshold: float = LOWEST
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """The best boxes of an image, of those that no better box of their group overlaps.

    Args:
        boxes: (B, N, Q, 4) float32 xyxy of Q groups (classes, or levels), or (B, N, 1, 4) that all groups share.
        scores: (B, N, Q) float32.
        most: boxes kept an image, all groups together.
        iou_threshold: a box that overlaps a better one of its group by more than this is dropped.
        score_threshold: boxes must score more than this.

    Returns:
        boxes (B, most, 4), scores (B, most) and groups (B, most), float32, best first, zeros where there are fewer;
        and their number (B,) int32.
    """
    if ops.compiling_with_xla():  # which has no kernel for TensorFlow's operation
        return _suppress_all_at_once(boxes, scores, most, iou_threshold, score_threshold)
    if ops.is_tracing_for_onnx():
        return _suppress_in_onnx(boxes, scores, most, iou_threshold, score_threshold)
    if score_threshold >= 0:
        return tf.image.combined_non_max_suppression(
            boxes, scores, most, most, iou_threshold, score_threshold, clip_boxes=False
        )
    return _suppress_by_rank(boxes, scores, most, iou_threshold, score_threshold)


def _suppress_by_rank(boxes, scores, most, iou_threshold, score_threshold):
    """With scores below 0: TensorFlow's operation sorts its padding among them, as if it scored -1."""
    batch, total = tf.shape(scores)[0], tf.reduce_prod(tf.shape(scores)[1:])
    ordered, place = tf.math.top_k(tf.reshape(scores, [batch, total]), total)
    # The best has the rank `total`, the worst 1: exact in float32 up to 2^24 boxes.
    rank = tf.reshape(tf.cast(total - tf.argsort(place), tf.float32), tf.shape(scores))
    rank = tf.where(scores > score_threshold, rank, 0.0)
    boxes, rank, group, found = tf.image.combined_non_max_suppression(
        boxes, rank, most, most, iou_threshold, 0.5, clip_boxes=False
    )
    best = tf.gather(ordered, tf.clip_by_value(total - tf.cast(rank, tf.int32), 0, total - 1), batch_dims=1)
    return boxes, tf.where(rank > 0, best, 0.0), group, found


def _suppress_all_at_once(boxes, scores, most, iou_threshold, score_threshold):
    batch, count, groups = tf.unstack(tf.shape(scores))
    scores, order = tf.math.top_k(tf.transpose(scores, [0, 2, 1]), count)
    boxes = tf.broadcast_to(tf.transpose(boxes, [0, 2, 1, 3]), [batch, groups, count, 4])
    boxes = tf.gather(boxes, order, batch_dims=2)
    kept = _not_suppressed(boxes, scores > score_threshold, iou_threshold)
    return _best(boxes, scores, kept, most)


def _suppress_in_onnx(boxes, scores, most, iou_threshold, score_threshold):
    shape = batch, groups, count = tf.unstack(tf.gather(tf.shape(scores), [0, 2, 1]))
    scores = tf.transpose(scores, [0, 2, 1])
    boxes = tf.broadcast_to(tf.transpose(boxes, [0, 2, 1, 3]), [*shape, 4])
    flat = tf.reshape(boxes, [batch * groups, count, 4]), tf.reshape(scores, [batch * groups, count])
    kept = ops.non_max_suppression_onnx(*flat, most, iou_threshold, score_threshold)
    return _best(boxes, scores, tf.reshape(kept, shape), most)


def _best(boxes, scores, kept, most):
    """The best of the boxes (B, Q, N, 4) that were kept, as `suppress` returns them."""
    batch, groups, count = tf.unstack(tf.shape(scores))
    rows = tf.minimum(most, groups * count)
    best, place = tf.math.top_k(tf.reshape(tf.where(kept, scores, LOWEST), [batch, -1]), rows)
    found = tf.minimum(tf.reduce_sum(tf.cast(kept, tf.int32), axis=[1, 2]), most)
    valid = tf.range(rows)[None] < found[:, None]
    boxes = tf.where(valid[..., None], tf.gather(tf.reshape(boxes, [batch, -1, 4]), place, batch_dims=1), 0.0)
    group = tf.where(valid, tf.cast(place // count, tf.float32), 0.0)
    missing = [[0, 0], [0, most - rows]]
    padded = [tf.pad(values, missing) for values in (tf.where(valid, best, 0.0), group)]
    scores, group = (tf.ensure_shape(values, [scores.shape[0], most]) for values in padded)
    return tf.ensure_shape(tf.pad(boxes, [*missing, [0, 0]]), [*scores.shape, 4]), scores, group, found


def _not_suppressed(boxes, valid, iou_threshold):
    """Which boxes (..., N, 4), best first, stay; (..., N) bool.

    Each round decides about all boxes by those that stayed in the round before. The first n boxes are right after n
    rounds, and nearly always all of them are after a few.
    """
    rank = tf.range(tf.shape(boxes)[-2])
    covered_by = (box_ops.pairwise_iou(boxes, boxes) > iou_threshold) & (rank[:, None] > rank)

    def decide(kept, _):
        again = valid & ~tf.reduce_any(covered_by & kept[..., None, :], axis=-1)
        return again, tf.reduce_any(again != kept)

    return tf.while_loop(lambda _, changed: changed, decide, (valid, tf.constant(True)))[0]
