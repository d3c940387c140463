"""From heat-maps to keypoints (section 5; the decoding is Detectron's)."""

import keras
import tensorflow as tf

from .. import ops
from .detection import in_all_rows
from .float32 import Float32Layer

CUBIC = -0.75  # the kernel's free parameter; `tf.image.resize` has -0.5 and another rule at the border


@keras.saving.register_keras_serializable("mrcnn_keras")
class KeypointDecoder(Float32Layer):
    """Upsamples each heat-map to its box with bicubic interpolation and takes the place of the largest value.

    Args:
        score: "softmax", the probability of the place among the map's cells, or "logit", the map's value there.

    Inputs: logits (K, M, M, J) float32, rois (K, 4) float32 xyxy, row (K,) and row_class_ids (K,) of `FoundRows`,
    class_ids (B, D) of all detections, and images (B, H, W, 3), which the rois lie in. Returns: (B, D, J, 3) float32 x,
    y in input pixels and score; zeros where there is no detection.
    """

    def __init__(self, score="softmax", **kwargs):
        super().__init__(**kwargs)
        self.score = score
        self.built = True

    def call(self, logits, rois, row, row_class_ids, class_ids, images):
        logits, rois = tf.stop_gradient(logits), tf.stop_gradient(rois)
        # XLA needs one size for all boxes.
        frame = tf.shape(images)[1:3] if ops.compiling_with_xla() else None
        spec = tf.TensorSpec([logits.shape[3], 3], tf.float32)
        points = tf.map_fn(
            lambda pair: decode_keypoints(*pair, self.score, frame), (logits, rois), fn_output_signature=spec
        )
        return in_all_rows(points, row, row_class_ids, class_ids)

    def compute_output_spec(self, logits, rois, row, row_class_ids, class_ids, images):
        return keras.KerasTensor((*class_ids.shape, logits.shape[3], 3), dtype="float32")

    def get_config(self):
        return {**super().get_config(), "score": self.score}


def decode_keypoints(
    logits: tf.Tensor, roi: tf.Tensor, score: str = "softmax", frame: tf.Tensor | None = None
) -> tf.Tensor:
    """Keypoints of one RoI.

    Args:
        logits: (M, M, J) float32.
        roi: (4,) float32 xyxy; a side under one pixel counts as one.
        score: as in `KeypointDecoder`.
        frame: (2,) int32 height and width to compute the map with, at least those of the roi; None: just those.

    Returns: (J, 3) float32 x, y, score.
    """
    cells, count = logits.shape[0], logits.shape[2]
    sides = tf.maximum(roi[2:] - roi[:2], 1.0)
    width, height = (tf.cast(tf.math.ceil(sides[i]), tf.int32) for i in (0, 1))
    num_rows, num_columns = (height, width) if frame is None else tf.unstack(frame)
    rows = tf.matmul(cubic_weights(height, cells, num_rows), tf.reshape(logits, [cells, cells * count]))
    rows = tf.transpose(tf.reshape(rows, [num_rows, cells, count]), [2, 0, 1])
    maps = tf.matmul(rows, cubic_weights(width, cells, num_columns)[None], transpose_b=True)
    if frame is not None:
        inside = (tf.range(num_rows) < height)[:, None] & (tf.range(num_columns) < width)
        maps = tf.where(inside, maps, float("-inf"))
    maps = tf.reshape(maps, [count, -1])
    place = tf.argmax(maps, axis=1, output_type=tf.int32)
    best = tf.reduce_max(maps, axis=1)
    centre = tf.cast(tf.stack([place % num_columns, place // num_columns], axis=1), tf.float32) + 0.5
    xy = centre * (sides / tf.math.ceil(sides)) + roi[:2]
    if score == "softmax":  # over the map's own cells, so that boxes of all sizes compare
        best = 1.0 / tf.reduce_sum(tf.exp(logits - best), axis=[0, 1])
    return tf.concat([xy, best[:, None]], axis=1)


def cubic_weights(length: tf.Tensor, cells: int, rows: tf.Tensor | None = None) -> tf.Tensor:
    """Bicubic interpolation from `cells` cells to `length` pixels, half-pixel centres, edges repeated.

    Returns: (rows, cells) float32, those of the first `rows` pixels, by default of all; each row adds up to 1.
    """
    rows = length if rows is None else rows
    step = tf.cast(cells, tf.float32) / tf.cast(length, tf.float32)
    source = (tf.range(tf.cast(rows, tf.float32)) + 0.5) * step - 0.5
    first = tf.floor(source)
    part = (source - first)[:, None]
    distance = tf.concat([part + 1.0, part, 1.0 - part, 2.0 - part], axis=1)
    near = ((CUBIC + 2.0) * distance - (CUBIC + 3.0)) * distance**2 + 1.0
    far = CUBIC * (((distance - 5.0) * distance + 8.0) * distance - 4.0)
    weights = tf.where(distance <= 1.0, near, far)
    taps = tf.cast(first, tf.int32)[:, None] + tf.range(-1, 3)
    return tf.einsum("lt,ltc->lc", weights, tf.one_hot(tf.clip_by_value(taps, 0, cells - 1), cells))
