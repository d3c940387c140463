"""The region proposal network's head (Ren et al., NIPS 2015), shared by all levels."""

import keras
import tensorflow as tf

from ..layers.conv_norm import ConvNorm


@keras.saving.register_keras_serializable("mrcnn_keras")
class RPNHead(keras.layers.Layer):
    """3x3 convolutions, then objectness and box regression for each anchor.

    Args:
        channels: of the 3x3 convolutions.
        num_anchors: anchors a cell.
        num_convs: 3x3 convolutions; the first is called "conv", the others "conv2", ...

    Inputs: list of (B, H, W, C). Returns: logits, a list of (B, H * W * num_anchors), and deltas, a list of
    (B, H * W * num_anchors, 4), both float32, in the order of `Anchors`.
    """

    def __init__(self, channels=256, num_anchors=3, num_convs=1, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.num_anchors = num_anchors
        self.num_convs = num_convs
        self.convs = [
            ConvNorm(channels, 3, relu=True, kernel_initializer=_small(), name=f"conv{i + 1}" if i else "conv")
            for i in range(num_convs)
        ]
        self.objectness = ConvNorm(num_anchors, 1, kernel_initializer=_small(), name="objectness")
        self.deltas = ConvNorm(4 * num_anchors, 1, kernel_initializer=_small(), name="deltas")

    def build(self, input_shape):
        hidden = input_shape[0]
        for conv in self.convs:
            conv.build(hidden)
            hidden = conv.compute_output_shape(hidden)
        self.objectness.build(hidden)
        self.deltas.build(hidden)
        self.built = True

    def call(self, inputs):
        logits, deltas = [], []
        for feature in inputs:
            hidden = feature
            for conv in self.convs:
                hidden = conv(hidden)
            batch = tf.shape(feature)[0]
            logits.append(tf.cast(tf.reshape(self.objectness(hidden), [batch, -1]), tf.float32))
            deltas.append(tf.cast(tf.reshape(self.deltas(hidden), [batch, -1, 4]), tf.float32))
        return logits, deltas

    def compute_output_spec(self, inputs):
        logits, deltas = [], []
        for feature in inputs:
            batch, height, width = feature.shape[:3]
            count = None if height is None or width is None else height * width * self.num_anchors
            logits.append(keras.KerasTensor((batch, count), dtype="float32"))
            deltas.append(keras.KerasTensor((batch, count, 4), dtype="float32"))
        return logits, deltas

    def get_config(self):
        own = {name: getattr(self, name) for name in ("channels", "num_anchors", "num_convs")}
        return {**super().get_config(), **own}


def _small() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=0.01)
