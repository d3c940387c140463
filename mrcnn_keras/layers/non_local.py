"""The non-local block (Wang et al., CVPR 2018), which table 8 adds to the backbone."""

import keras
import tensorflow as tf

from .conv_norm import ConvNorm


@keras.saving.register_keras_serializable("mrcnn_keras")
class NonLocal(keras.layers.Layer):
    """Every cell takes from all others what looks like it: attention with embedded Gaussians, beside a shortcut.

    The last convolution starts at zero and has no norm, so that a new block in a pretrained network changes nothing at
    first and learns even where the network's norms are frozen.

    Args:
        channels: of the embeddings; 0 for half the input's.
        subsample: cells are looked up in maps that were max-pooled by two.

    Inputs and returns: (B, H, W, C).
    """

    def __init__(self, channels=0, subsample=True, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.subsample = subsample

    def build(self, input_shape):
        filters = input_shape[-1]
        channels = self.channels or max(1, filters // 2)
        normal = keras.initializers.RandomNormal(stddev=0.01)
        self.theta, self.phi, self.value = (
            ConvNorm(channels, 1, kernel_initializer=normal.clone(), name=name) for name in ("theta", "phi", "value")
        )
        self.output_conv = ConvNorm(filters, 1, kernel_initializer="zeros", name="output")
        for conv in (self.theta, self.phi, self.value):
            conv.build(input_shape)
        self.output_conv.build((*input_shape[:3], channels))
        self.built = True

    def call(self, inputs):
        shape, channels = tf.shape(inputs), self.theta.filters
        known = inputs
        if self.subsample:
            known = tf.nn.max_pool2d(inputs, 2, 2, "SAME")
        query = tf.reshape(self.theta(inputs), [shape[0], -1, channels])
        key = tf.reshape(self.phi(known), [shape[0], -1, channels])
        value = tf.reshape(self.value(known), [shape[0], -1, channels])
        likeness = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32) * channels**-0.5
        found = tf.matmul(tf.cast(tf.nn.softmax(likeness), value.dtype), value)
        return inputs + self.output_conv(tf.reshape(found, [*tf.unstack(shape[:3]), channels]))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "channels": self.channels, "subsample": self.subsample}
