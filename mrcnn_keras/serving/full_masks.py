"""`inference.paste` as stock TensorFlow operations: masks as large as the image."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

_MOST_BYTES = 2**30  # of an answer's bitmaps; twice as much is in use while they are put together


class Found(NamedTuple):
    """The D places for objects in each of B images.

    Attributes:
        probs: (B, D, M, M) float32 over the box.
        boxes: (B, D, 4) float32 [ymin, xmin, ymax, xmax] in pixels of the image.
        there: (B, D) bool, whether there is an object.
        sizes: (B, 2) int32 [height, width] of the images.
    """

    probs: tf.Tensor
    boxes: tf.Tensor
    there: tf.Tensor
    sizes: tf.Tensor


def bitmaps(found: Found, threshold: float, rule: str) -> tf.Tensor:
    """Resize every mask to its box and place it in an empty image.

    Args:
        found: the objects.
        threshold: a pixel belongs to the mask where the interpolated probability is at least this.
        rule: "exact" (Detectron2) or "padded" (torchvision).

    Returns: (B, D, height, width) uint8 of 0 and 1, as large as the largest image, 0 where there is no object.

    Raises (when it runs):
        tf.errors.InvalidArgumentError: that would be more than 2^30 bytes.
    """
    shape = tf.concat([tf.shape(found.there), tf.reduce_max(found.sizes, axis=0)], axis=0)
    bounded = tf.debugging.Assert(
        tf.reduce_prod(tf.cast(shape, tf.float64)) <= _MOST_BYTES,
        ["image_bytes: masks of images, detections, height and width", shape, f"are more than {_MOST_BYTES} bytes; "
         "send fewer or smaller images at once, or export the model with PNG files as masks or fewer max_detections"],
        summarize=4,
    )  # fmt: skip
    with tf.control_dependencies([bounded]):
        canvas = tf.identity(shape[2:])

    def place(mask, size):
        return tf.pad(mask, [[0, canvas[0] - size[0]], [0, canvas[1] - size[1]]])

    nothing = tf.zeros(canvas, tf.uint8)
    masks = _of_each(found, threshold, rule, place, nothing, tf.TensorSpec([None, None], tf.uint8))
    return tf.reshape(masks, shape)


def files(found: Found, threshold: float, rule: str) -> tf.Tensor:
    """The same as PNG files, of which one at a time is unpacked.

    Args: as above.

    Returns: (B, D) string, grey PNG files of 0 and 255 as large as their image, "" where there is no object.
    """

    def encode(mask, size):
        return tf.io.encode_png(mask[:, :, None] * tf.constant(255, tf.uint8))

    packed = _of_each(found, threshold, rule, encode, tf.constant(""), tf.TensorSpec([], tf.string))
    return tf.reshape(packed, tf.shape(found.there))


def _of_each(
    found: Found, threshold: float, rule: str, finish: Callable, nothing: tf.Tensor, spec: tf.TensorSpec
) -> tf.Tensor:
    """(B * D, ...): `finish` of each mask and its image's size, one after the other; `nothing` where there is none."""
    places = tf.shape(found.there)[1]

    def make(one):
        prob, box, there, size = one
        return tf.cond(there, lambda: finish(_paste(prob, box, size, threshold, rule), size), lambda: nothing)

    rows = [tf.reshape(one, [-1, *one.shape[2:]]) for one in (found.probs, found.boxes, found.there)]
    given = (*rows, tf.repeat(found.sizes, places, axis=0))
    return tf.map_fn(make, given, fn_output_signature=spec, parallel_iterations=1)


def _paste(prob, box, size, threshold, rule):
    """(height, width) uint8 of 0 and 1."""
    weights = _exact if rule == "exact" else _padded
    (rows, top, bottom), (columns, left, right) = (
        weights(box[axis], box[axis + 2], prob.shape[0], size[axis]) for axis in (0, 1)
    )
    window = tf.matmul(tf.matmul(rows, prob), columns, transpose_b=True) >= threshold
    return tf.pad(tf.cast(window, tf.uint8), [[top, size[0] - bottom], [left, size[1] - right]])


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
