"""The resizes of `data.resizing` as stock TensorFlow ops; Detectron2's, which is Pillow's, to the last bit.

`tf.image.resize(antialias=True)` rounds differently, and detections would follow. Pillow resizes in two passes, first
along the rows, then along the columns. In each pass a target pixel is a weighted sum of neighbouring source pixels,
with weights in fixed point, and it is rounded to a whole number before the next pass.
"""

import tensorflow as tf

_FRACTION_BITS = 22  # of the fixed-point weights


def resize_like(
    rule: str, image: tf.Tensor, min_side: int, max_side: int, largest: tuple[int, int] | None = None
) -> tf.Tensor:
    """Resize a photo for detection.

    Args:
        rule: "detectron2" or "torchvision".
        image: (H, W, 3) uint8.
        min_side, max_side: as in `data.resizing.resize_like`.
        largest: (height, width) that the result must fit into; None: any.

    Returns:
        (h, w, 3) uint8, or float32 with "torchvision".
    """
    sides = tf.shape(image)[:2]
    if rule == "detectron2":
        return resize(image, _fitted(resized_size(sides[0], sides[1], min_side, max_side), largest))
    exact = tf.cast(sides, tf.float64)
    scale = tf.minimum(min_side / tf.reduce_min(exact), max_side / tf.reduce_max(exact))
    size = tf.maximum(tf.cast(tf.floor(exact * scale), tf.int32), 1)
    return tf.image.resize(tf.cast(image, tf.float32), _fitted(size, largest))


def _fitted(size: tf.Tensor, largest: tuple[int, int] | None) -> tf.Tensor:
    if largest is None:
        return size
    exact = tf.cast(size, tf.float64)
    scale = tf.minimum(tf.reduce_min(tf.constant(largest, tf.float64) / exact), 1.0)
    return tf.clip_by_value(tf.cast(exact * scale + 0.5, tf.int32), 1, largest)


def resize(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Resize an image as `PIL.Image.resize(..., BILINEAR)` does (a tent filter, widened when shrinking).

    Args:
        image: (H, W, C) uint8, neither side 0.
        size: (2,) int32 [height, width], each 1 or more.

    Returns:
        (height, width, C) uint8.
    """
    with tf.device("CPU"):  # whole numbers are exact here; on other devices TensorFlow has no kernels for them
        narrowed = tf.transpose(_resample(tf.transpose(image, [1, 0, 2]), size[1]), [1, 0, 2])
        return _resample(narrowed, size[0])


def resized_size(height: tf.Tensor, width: tf.Tensor, min_side: int, max_side: int) -> tf.Tensor:
    """Size of an image whose shorter side becomes `min_side`, unless the longer would exceed `max_side` (Detectron2).

    Args:
        height: () integer, pixels.
        width: () integer, pixels.
        min_side: 1 or more, pixels.
        max_side: 1 or more, pixels.

    Returns:
        (2,) int32 [height, width].
    """
    sides = tf.cast(tf.stack([height, width]), tf.float64)
    shorter, wanted = tf.reduce_min(sides), tf.constant(min_side, tf.float64)
    # The shorter side is set, not multiplied: the scale is rounded and could miss a whole number.
    scaled = tf.where(sides == shorter, wanted, wanted / shorter * sides)
    longer = tf.reduce_max(scaled)
    scaled = tf.where(longer > max_side, scaled * (tf.constant(max_side, tf.float64) / longer), scaled)
    return tf.maximum(tf.cast(scaled + 0.5, tf.int32), 1)


def _resample(image: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """One pass, along the first axis: (N, M, C) uint8 -> (length, M, C) uint8."""
    first, weights = _taps(tf.shape(image)[0], length)
    half = tf.fill([length, tf.shape(image)[1], tf.shape(image)[2]], 1 << (_FRACTION_BITS - 1))
    last = tf.shape(image)[0] - 1

    def add(tap: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = tf.gather(image, tf.minimum(first + tap, last))  # past the end the weight is 0
        return tap + 1, total + tf.cast(rows, tf.int32) * weights[:, tap, None, None]

    taps = tf.shape(weights)[1]
    _, total = tf.while_loop(lambda tap, _: tap < taps, add, (0, half), shape_invariants=(
        tf.TensorShape([]), tf.TensorShape([None, None, None])))  # fmt: skip
    return tf.cast(tf.bitwise.right_shift(total, _FRACTION_BITS), tf.uint8)


def _taps(source: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """First source pixel (target,) and fixed-point weights (target, taps) of every target pixel, int32."""
    scale = tf.cast(source, tf.float64) / tf.cast(target, tf.float64)
    support = tf.maximum(scale, 1.0)
    centre = (tf.cast(tf.range(target), tf.float64) + 0.5) * scale
    first = tf.maximum(tf.cast(centre - support + 0.5, tf.int32), 0)
    end = tf.minimum(tf.cast(centre + support + 0.5, tf.int32), source)
    pixels = first[:, None] + tf.range(tf.reduce_max(end - first))
    distance = (tf.cast(pixels, tf.float64) - centre[:, None] + 0.5) * (1.0 / support)
    weights = tf.where(pixels < end[:, None], tf.maximum(1.0 - tf.abs(distance), 0.0), 0.0)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    return first, tf.cast(0.5 + weights * 2.0**_FRACTION_BITS, tf.int32)
