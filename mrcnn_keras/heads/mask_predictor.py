"""The last layer of a mask branch: which of the class masks counts, and what it means (section 3; table 2b).

Only the mask of one class is ever used: the ground truth's in training, the predicted one at inference. With sigmoid
masks the result is that class's logit at each pixel. With softmax masks the K classes and the background compete for
each pixel, and the result is a pair of log-probabilities: of the class, and of the background.
"""

import keras
import tensorflow as tf

KINDS = ("sigmoid", "softmax")


@keras.saving.register_keras_serializable("mrcnn_keras")
class MaskPredictor(keras.layers.Layer):
    """A 1x1 convolution to one mask a class. With sigmoid masks it is computed for the given class of each RoI only.

    Args:
        num_classes: masks a RoI could have.
        kind: "sigmoid" or "softmax".

    Inputs: (R, M, M, C) and class_ids (R,) int32 in 0..num_classes - 1. Returns: (R, M, M) logits, or for "softmax"
    (R, M, M, 2) float32 log-probabilities.
    """

    def __init__(self, num_classes=80, kind="sigmoid", **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.kind = kind

    def build(self, inputs_shape, class_ids_shape=None):
        masks = maps_of(self.num_classes, self.kind)
        normal = keras.initializers.RandomNormal(stddev=0.001)
        self.kernel = self.add_weight(name="kernel", shape=(inputs_shape[-1], masks), initializer=normal)
        self.bias = self.add_weight(name="bias", shape=(masks,), initializer="zeros")
        self.built = True

    def call(self, inputs, class_ids):
        kernel, bias = (tf.convert_to_tensor(v, inputs.dtype) for v in (self.kernel, self.bias))
        side_y, side_x, depth = inputs.shape[1:]
        if self.kind == "softmax":
            maps = tf.matmul(tf.reshape(inputs, [-1, depth]), kernel) + bias
            return own_mask(tf.reshape(maps, [-1, side_y, side_x, kernel.shape[1]]), class_ids, self.kind)
        # A product with one-hot rows rather than a gather: its gradient adds up in the same order every time.
        chosen = tf.one_hot(class_ids, self.num_classes, dtype=inputs.dtype)
        weights = tf.matmul(chosen, kernel, transpose_b=True)
        cells = tf.reshape(inputs, [-1, side_y * side_x, depth])
        logits = tf.matmul(cells, weights[:, :, None])
        return tf.reshape(logits, [-1, side_y, side_x]) + tf.linalg.matvec(chosen, bias)[:, None, None]

    def compute_output_spec(self, inputs, class_ids):
        return mask_spec(inputs.shape[:3], self.kind, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "kind": self.kind}


def maps_of(num_classes: int, kind: str) -> int:
    """Maps a mask branch predicts: one a class, and for "softmax" one of the background, the last."""
    return num_classes + (kind == "softmax")


def own_mask(maps: tf.Tensor, class_ids: tf.Tensor, kind: str) -> tf.Tensor:
    """What the maps of all classes say of each RoI's own.

    Args:
        maps: (R, M, M, `maps_of`) logits.
        class_ids: (R,) int32.
        kind: "sigmoid" or "softmax".

    Returns: as `MaskPredictor`.
    """
    if kind == "softmax":
        maps = tf.nn.log_softmax(tf.cast(maps, tf.float32))
    chosen = tf.one_hot(class_ids, maps.shape[3], dtype=maps.dtype)
    own = tf.reduce_sum(maps * chosen[:, None, None, :], axis=3)
    return tf.stack([own, maps[..., -1]], axis=3) if kind == "softmax" else own


def mask_spec(shape: tuple, kind: str, dtype: str = "float32") -> keras.KerasTensor:
    """The symbolic result for RoIs and cells of `shape` (R, M, M)."""
    return keras.KerasTensor((*shape, 2), dtype="float32") if kind == "softmax" else keras.KerasTensor(shape, dtype)


def mask_classes(class_ids: tf.Tensor, class_agnostic: bool) -> tf.Tensor:
    """The mask that each RoI uses: that of its class, or the only one; -1 is taken as 0."""
    return tf.zeros_like(class_ids) if class_agnostic else tf.maximum(class_ids, 0)
