"""The parts of L = L_cls + L_box + L_mask and of the RPN's loss (section 3), as pure functions."""

from collections.abc import Callable

import tensorflow as tf

# How a sum becomes a mean, from the sum and the number of its terms, () float32 both. Replicas that share a batch put
# the mean of their numbers in its place.
Divide = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def smooth_l1(errors: tf.Tensor, beta: float) -> tf.Tensor:
    """Fast R-CNN's robust loss (its equation 3, with the turning point as a parameter).

    Args:
        errors: any shape, float32.
        beta: below this absolute error the loss is quadratic, above it linear; 0 is the plain absolute error.

    Returns:
        The loss of each element, same shape.
    """
    magnitude = tf.abs(errors)
    if beta == 0:
        return magnitude
    return tf.where(magnitude < beta, 0.5 * tf.square(errors) / beta, magnitude - 0.5 * beta)


def masked_sum(values: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Sum of the values whose row is valid; an infinite value in a row that is not counts for nothing.

    Args:
        values: (..., D) or of `valid`'s shape, float32.
        valid: (...) bool.
    """
    if values.shape.rank > valid.shape.rank:
        valid = tf.expand_dims(valid, -1)
    return tf.reduce_sum(tf.where(valid, values, 0.0))


def classification_loss(logits: tf.Tensor, targets: tf.Tensor, divide: Divide = tf.math.divide_no_nan) -> tf.Tensor:
    """Softmax cross-entropy, the mean over the RoIs that count.

    Args:
        logits: (R, K + 1) float32, the background last.
        targets: (R,) int32 in 0..K; -1 for rows that count for nothing.
        divide: makes the mean.

    Returns:
        () float32, 0 where no row counts.
    """
    valid = targets >= 0
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(targets, 0), logits)
    return divide(masked_sum(losses, valid), _count(valid))


def box_loss(
    deltas: tf.Tensor,
    targets: tf.Tensor,
    class_targets: tf.Tensor,
    num_classes: int,
    beta: float,
    divide: Divide = tf.math.divide_no_nan,
) -> tf.Tensor:
    """Smooth L1 of the objects' boxes, over the number of all RoIs that count (Fast R-CNN).

    Args:
        deltas: (R, 4 * K) or (R, 4) float32, in the second case one box for all classes.
        targets: (R, 4) float32.
        class_targets: (R,) int32 in 0..K, K the background; -1 for rows that count for nothing.
        num_classes: K.
        beta: of `smooth_l1`.
        divide: makes the mean.

    Returns:
        () float32.
    """
    rows = tf.shape(deltas)[0]
    per_class = tf.reshape(deltas, [rows, -1, 4])
    is_object = (class_targets >= 0) & (class_targets < num_classes)
    chosen = tf.where(is_object, class_targets, 0) if deltas.shape[1] != 4 else tf.zeros_like(class_targets)
    # One-hot rather than gather: the gradient adds up in the same order every time.
    weights = tf.one_hot(chosen, tf.shape(per_class)[1], dtype=deltas.dtype)
    own = tf.reduce_sum(per_class * weights[:, :, None], axis=1)
    return divide(masked_sum(smooth_l1(own - targets, beta), is_object), _count(class_targets >= 0))


def mask_targets(
    gt_masks: tf.Tensor, gt_boxes: tf.Tensor, rois: tf.Tensor, size: int, threshold: float = 0.5
) -> tf.Tensor:
    """What the mask branch should say inside each RoI: the intersection of the RoI and its object's mask.

    The mask is averaged over each cell of the RoI exactly (two small matrix products) and thresholded.

    Args:
        gt_masks: (R, M, M) uint8, coverage 0..255 over the object's box.
        gt_boxes: (R, 4) float32 xyxy, that box.
        rois: (R, 4) float32 xyxy.
        size: side of the result.
        threshold: share of a cell that has to be covered.

    Returns:
        (R, size, size) float32 of 0 and 1.
    """
    side = gt_masks.shape[1]
    rows = _overlap(rois[:, 1], rois[:, 3], gt_boxes[:, 1], gt_boxes[:, 3], size, side)
    columns = _overlap(rois[:, 0], rois[:, 2], gt_boxes[:, 0], gt_boxes[:, 2], size, side)
    masks = tf.cast(gt_masks, tf.float32) / 255.0
    covered = tf.matmul(tf.matmul(rows, masks), columns, transpose_b=True)
    return tf.cast(covered >= threshold, tf.float32)


def _overlap(start, end, crop_start, crop_end, size, side):
    """(R, size, side): the share of each of `size` bins of [start, end] that each of `side` crop cells covers."""
    cell = tf.maximum(crop_end - crop_start, 1e-6) / side
    low, high = (start - crop_start) / cell, (end - crop_start) / cell
    step = tf.maximum(high - low, 1e-6) / size
    bin_low = low[:, None] + step[:, None] * tf.range(size, dtype=tf.float32)
    bin_high = bin_low + step[:, None]
    cells = tf.range(side, dtype=tf.float32)
    shared = tf.minimum(bin_high[:, :, None], cells + 1.0) - tf.maximum(bin_low[:, :, None], cells)
    return tf.nn.relu(shared) / step[:, None, None]


def mask_loss(
    logits: tf.Tensor, targets: tf.Tensor, valid: tf.Tensor, divide: Divide = tf.math.divide_no_nan
) -> tf.Tensor:
    """Average binary cross-entropy over the pixels of the RoIs that are objects.

    Args:
        logits: (R, M, M) float32, of each RoI's ground-truth class only.
        targets: (R, M, M) float32 of 0 and 1.
        valid: (R,) bool.
        divide: makes the mean.

    Returns:
        () float32, 0 where no RoI is an object.
    """
    return _mean_over_objects(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits), valid, divide)


def competing_mask_loss(
    log_probs: tf.Tensor, targets: tf.Tensor, valid: tf.Tensor, divide: Divide = tf.math.divide_no_nan
) -> tf.Tensor:
    """Average cross-entropy of masks whose classes compete for each pixel (table 2b, "softmax").

    Args:
        log_probs: (R, M, M, 2) float32, of each RoI's ground-truth class and of the background.
        targets: (R, M, M) float32 of 0 and 1.
        valid: (R,) bool.
        divide: makes the mean.

    Returns:
        () float32, 0 where no RoI is an object.
    """
    return _mean_over_objects(-tf.where(targets > 0, log_probs[..., 0], log_probs[..., 1]), valid, divide)


def _mean_over_objects(losses, valid, divide):
    return divide(masked_sum(tf.reduce_mean(losses, axis=[1, 2]), valid), _count(valid))


def _count(valid):
    return tf.reduce_sum(tf.cast(valid, tf.float32))


def keypoint_targets(gt_keypoints: tf.Tensor, rois: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The one cell of each RoI's map in which a keypoint lies (section 5: a one-hot m x m mask).

    Args:
        gt_keypoints: (R, J, 3) float32 x, y in pixels and visibility; 0 is not labelled.
        rois: (R, 4) float32 xyxy.
        size: m, cells on a side.

    Returns:
        cell (R, J) int32 in 0..m * m - 1, row by row, and valid (R, J) bool: labelled and inside the RoI.
    """
    xy = gt_keypoints[..., :2]
    start, end = rois[:, None, :2], rois[:, None, 2:]
    place = tf.floor((xy - start) * tf.math.divide_no_nan(float(size), end - start))
    place = tf.cast(tf.where(xy == end, size - 1.0, place), tf.int32)  # the right and bottom edges belong to the RoI
    inside = tf.reduce_all((place >= 0) & (place < size) & (end > start), axis=-1)
    valid = inside & (gt_keypoints[..., 2] > 0)
    return tf.where(valid, place[..., 1] * size + place[..., 0], 0), valid


def keypoint_loss(
    logits: tf.Tensor, cell: tf.Tensor, valid: tf.Tensor, divide: Divide = tf.math.divide_no_nan
) -> tf.Tensor:
    """Cross-entropy over the cells of each map, averaged over the visible keypoints of all RoIs.

    Args:
        logits: (R, M, M, J) float32.
        cell: (R, J) int32 of `keypoint_targets`.
        valid: (R, J) bool.
        divide: makes the mean.

    Returns:
        () float32, 0 where no keypoint is visible.
    """
    count = logits.shape[3]
    maps = tf.reshape(tf.transpose(logits, [0, 3, 1, 2]), [-1, count, logits.shape[1] * logits.shape[2]])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(cell, maps)
    return divide(masked_sum(losses, valid), _count(valid))
