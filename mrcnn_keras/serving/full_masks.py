"""`inference.paste` as stock TensorFlow operations: masks as large as the image."""

import tensorflow as tf


def masks_of_image(probs: tf.Tensor, boxes: tf.Tensor, size: tf.Tensor, threshold: float, rule: str) -> tf.Tensor:
    """Resize every mask to its box and place it in an empty image.

    Args:
        probs: (N, M, M) float32 over the box.
        boxes: (N, 4) float32 [ymin, xmin, ymax, xmax] in pixels of the image.
        size: (2,) int32 [height, width] of the image.
        threshold: a pixel belongs to the mask where the interpolated probability is at least this.
        rule: "exact" (Detectron2) or "padded" (torchvision).

    Returns: (N, height, width) uint8 of 0 and 1.
    """
    weights = _exact if rule == "exact" else _padded
    cells = probs.shape[1]

    def paste(one):
        prob, box = one
        (rows, top, bottom), (columns, left, right) = (
            weights(box[axis], box[axis + 2], cells, size[axis]) for axis in (0, 1)
        )
        window = tf.matmul(tf.matmul(rows, prob), columns, transpose_b=True) >= threshold
        return tf.pad(tf.cast(window, tf.uint8), [[top, size[0] - bottom], [left, size[1] - right]])

    # One more, without area, for TensorFlow cannot tell the size of the masks of no objects.
    given = tf.pad(probs, [[0, 1], [0, 0], [0, 0]]), tf.pad(boxes, [[0, 1], [0, 0]])
    return tf.map_fn(paste, given, fn_output_signature=tf.TensorSpec([None, None], tf.uint8))[:-1]


def _exact(start, end, cells, length):
    """Weights (pixels, cells) of the pixels whose centre is in the box; the first of them and the one after them."""
    first = tf.clip_by_value(tf.cast(tf.floor(start), tf.int32), 0, length)
    last = tf.clip_by_value(tf.cast(tf.math.ceil(end), tf.int32), first, length)
    last = tf.where(end > start, last, first)
    centres = tf.cast(tf.range(first, last), tf.float32) + 0.5
    source = (centres - start) / tf.where(end > start, end - start, 1.0) * cells - 0.5
    return _tent(source, tf.range(cells, dtype=tf.float32)), first, last


def _padded(start, end, cells, length):
    """The same for a mask with an empty cell around it; both ends of the grown box are whole pixels."""
    centre, half = (start + end) * 0.5, (end - start) * 0.5 * tf.constant((cells + 2) / cells, tf.float32)
    low, high = (tf.cast(edge, tf.int32) for edge in (centre - half, centre + half))  # towards zero
    step = (cells + 2.0) / tf.cast(tf.maximum(high - low + 1, 1), tf.float32)
    first = tf.clip_by_value(low, 0, length)
    last = tf.maximum(tf.clip_by_value(high + 1, 0, length), first)
    pixels = tf.cast(tf.range(first, last) - low, tf.float32)
    source = tf.clip_by_value((pixels + 0.5) * step - 0.5, 0.0, cells + 1.0)
    return _tent(source, tf.range(1, cells + 1, dtype=tf.float32)), first, last


def _tent(source, cells):
    return tf.nn.relu(1.0 - tf.abs(source[:, None] - cells))
