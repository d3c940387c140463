"""Feature pyramid network (Lin et al., CVPR 2017)."""

import keras
import tensorflow as tf

from .. import ops
from ..layers.conv_norm import ConvNorm
from ..layers.normed import NormedLayer


@keras.saving.register_keras_serializable("mrcnn_keras")
class FPN(NormedLayer):
    """Top-down pathway with lateral connections, and one more level by subsampling.

    Args:
        channels: of every level.
        norm, norm_momentum, norm_epsilon, norm_groups, norm_bias: passed to every `ConvNorm`.

    Inputs: list [c2, c3, c4, c5], each side twice the next one's. Returns: list [p2, p3, p4, p5, p6] of
    (B, H / s, W / s, channels), s = 4, 8, 16, 32, 64.
    """

    def __init__(self, channels=256, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        every = {"kernel_initializer": "xavier", **self.norm_arguments}
        self.laterals = [ConvNorm(channels, 1, name=f"lateral{level}", **every) for level in (2, 3, 4, 5)]
        self.outputs = [ConvNorm(channels, 3, name=f"output{level}", **every) for level in (2, 3, 4, 5)]

    def build(self, input_shape):
        for shape, lateral, output in zip(input_shape, self.laterals, self.outputs, strict=True):
            lateral.build(shape)
            output.build(lateral.compute_output_shape(shape))
        self.built = True

    def call(self, inputs, training=None):
        merged = [lateral(x, training=training) for x, lateral in zip(inputs, self.laterals, strict=True)]
        for index in (2, 1, 0):
            merged[index] = add_upsampled(merged[index], merged[index + 1], training)
        levels = [output(x, training=training) for x, output in zip(merged, self.outputs, strict=True)]
        return [*levels, levels[-1][:, ::2, ::2]]

    def compute_output_shape(self, input_shape):
        shapes = [(*shape[:3], self.channels) for shape in input_shape]
        sides = (None if side is None else (side + 1) // 2 for side in shapes[-1][1:3])
        return [*shapes, (shapes[-1][0], *sides, self.channels)]

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


def add_upsampled(fine: tf.Tensor, coarse: tf.Tensor, training: bool | None = None) -> tf.Tensor:
    """Add a level to the next finer one.

    Args:
        fine: (B, 2H, 2W, C).
        coarse: (B, H, W, C), which is repeated twice along both sides.
        training: whether a gradient will be taken, which is then computed fast. Served graphs do without it.

    Returns: (B, 2H, 2W, C).
    """
    total = ops.call_with_gradient(_add_upsampled, fine, coarse) if training else _add_upsampled(fine, coarse)[0]
    return tf.ensure_shape(total, fine.shape)


def _add_upsampled(fine, coarse):
    batch, height, width, channels = tf.unstack(tf.shape(coarse))
    blocks = tf.reshape(fine, [batch, height, 2, width, 2, channels])
    total = blocks + coarse[:, :, None, :, None, :]

    def gradient(upstream):  # TensorFlow's own sums over two axes of six, eight times slower
        return upstream, 4 * tf.nn.avg_pool2d(upstream, 2, 2, "VALID")

    return tf.reshape(total, tf.shape(fine)), gradient
