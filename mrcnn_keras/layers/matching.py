"""Which ground-truth object, if any, each box stands for, and which boxes are sampled (Faster R-CNN, section 3.1.2)."""

import keras
import tensorflow as tf

from .. import boxes as box_ops
from .. import ops
from . import replicas

BACKGROUND, IGNORED, OBJECT = 0, -1, 1


def match(
    boxes: tf.Tensor,
    gt_boxes: tf.Tensor,
    gt_valid: tf.Tensor,
    thresholds: tuple[float, float],
    allow_low_quality: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Give each box the ground-truth box it overlaps most, and a label by how much that is.

    Args:
        boxes: (A, 4) or (B, A, 4) float32 xyxy.
        gt_boxes: (B, G, 4) float32 xyxy, padded.
        gt_valid: (B, G) bool, False for padding.
        thresholds: IoU below the first is background, from the second on an object, ignored between.
        allow_low_quality: also label as objects the boxes that overlap some ground-truth box as much as any does,
            so that no object goes without (the paper's RPN rule i).

    Returns:
        index (B, A) int32 into the ground truth, and label (B, A) int32: BACKGROUND, IGNORED or OBJECT.
    """
    iou = box_ops.pairwise_iou(boxes, gt_boxes)
    iou = tf.where(gt_valid[:, None, :], iou, -1.0)
    index = tf.argmax(iou, axis=2, output_type=tf.int32)
    best = tf.reduce_max(iou, axis=2)
    low, high = thresholds
    label = tf.where(best >= high, OBJECT, tf.where(best < low, BACKGROUND, IGNORED))
    if allow_low_quality:
        best_of_gt = tf.reduce_max(iou, axis=1, keepdims=True)
        is_best = tf.reduce_any((iou == best_of_gt) & (best_of_gt > 0), axis=2)
        label = tf.where(is_best, OBJECT, label)
    return index, label


def sample(
    label: tf.Tensor, size: int, positive_fraction: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Choose boxes at random: at most size * positive_fraction objects, background for the rest.

    What is drawn for an image follows from the seed and its place in the whole batch of all replicas.

    Args:
        label: (B, A) int32 of `match`.
        size: boxes an image.
        positive_fraction: the most of them that are objects, in [0, 1].
        seed: (2,) int32.

    Returns:
        positive (B, P) int32 indices and their validity (B, P) bool, negative (B, N) int32 and validity (B, N) bool.
        P = min(A, int(size * positive_fraction)), N = min(A, size); valid entries come first.
    """
    count = tf.shape(label)[1]
    key = _keys(tf.shape(label), seed)
    positive_key = tf.where(label == OBJECT, key, -1.0)
    negative_key = tf.where(label == BACKGROUND, key, -1.0)
    key_p, positive = tf.math.top_k(positive_key, tf.minimum(count, int(size * positive_fraction)))
    key_n, negative = tf.math.top_k(negative_key, tf.minimum(count, size))
    valid_p = key_p >= 0
    num_negative = size - tf.reduce_sum(tf.cast(valid_p, tf.int32), axis=1, keepdims=True)
    valid_n = (key_n >= 0) & (tf.range(tf.shape(key_n)[1])[None] < num_negative)
    return positive, valid_p, negative, valid_n


def _keys(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Uniform numbers in [0, 1) of shape (B, A)."""
    places = replicas.first_image(shape[0]) + tf.range(shape[0])

    def draw(place):
        return tf.random.stateless_uniform(shape[1:], tf.random.fold_in(seed, place))

    return tf.map_fn(draw, places, fn_output_signature=tf.TensorSpec([None], tf.float32))


def draw_counter(layer: keras.layers.Layer) -> keras.Variable:
    """A variable of the layer that counts its random draws; saved with the model, so that training can go on."""
    return layer.add_weight(
        name="draws", shape=(), initializer="zeros", dtype="int32", trainable=False, aggregation="only_first_replica"
    )


def next_seed(seed: int, draws: keras.Variable, training: bool | None) -> tf.Tensor:
    """A (2,) int32 seed that follows from `seed` and the number of earlier calls in training alone.

    New at each call in training; always the same otherwise, so that validation is repeatable and leaves no trace.
    """
    if not training:
        return tf.constant([seed, -1], tf.int32)
    pair = tf.stack([tf.constant(seed, tf.int32), tf.identity(draws.value)])
    draws.assign_add(1)
    return pair


def compact_rows(
    keep: tf.Tensor, multiple: int = 16, most: int | tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Indices of the rows to keep, filled up with others to a multiple, so that shapes seldom change.

    Convolution kernels are prepared anew for every batch size they have not seen; a few sizes are cheaper than many,
    and none of them is zero. XLA allows one size only: `most`.

    Args:
        keep: (R,) bool.
        multiple: the result's length is a multiple of this, at least one times.
        most: as many rows as are ever kept; None: all.

    Returns:
        index (K,) int32 and valid (K,) bool, False for the filling.
    """
    if ops.compiling_with_xla():
        index = tf.argsort(tf.cast(~keep, tf.int32), stable=True)[:most]
        return index, tf.gather(keep, index)
    index = tf.cast(tf.where(keep)[:, 0], tf.int32)
    count = tf.shape(index)[0]
    length = tf.maximum(multiple, -(-count // multiple) * multiple)
    return tf.pad(index, [[0, length - count]]), tf.range(length) < count
