"""The block of the small ResNets, 18 and 34 (He et al., CVPR 2016)."""

import keras
import tensorflow as tf

from .conv_norm import ConvNorm
from .normed import NormedLayer


@keras.saving.register_keras_serializable("mrcnn_keras")
class BasicBlock(NormedLayer):
    """Two 3x3 convolutions beside a shortcut.

    Args:
        filters: output channels.
        strides: of the first convolution, 1 or 2.
        dilation: of both.
        projection: whether the shortcut has a 1x1 convolution.
        norm, norm_momentum, norm_epsilon, norm_groups, norm_bias: passed to every `ConvNorm`.
    """

    def __init__(self, filters, strides=1, dilation=1, projection=False, norm="frozen", **kwargs):
        super().__init__(norm=norm, **kwargs)
        self.filters = filters
        self.strides = strides
        self.dilation = dilation
        self.projection = projection
        every = {"dilation": dilation, **self.norm_arguments}
        self.conv1 = ConvNorm(filters, 3, strides=strides, relu=True, name="conv1", **every)
        self.conv2 = ConvNorm(filters, 3, name="conv2", **every)
        self.shortcut = None
        if projection:
            self.shortcut = ConvNorm(filters, 1, strides=strides, name="shortcut", **self.norm_arguments)

    def build(self, input_shape):
        self.conv1.build(input_shape)
        self.conv2.build(self.conv1.compute_output_shape(input_shape))
        if self.shortcut is not None:
            self.shortcut.build(input_shape)
        self.built = True

    def call(self, inputs, training=None):
        outputs = self.conv2(self.conv1(inputs, training=training), training=training)
        shortcut = inputs if self.shortcut is None else self.shortcut(inputs, training=training)
        return tf.nn.relu(outputs + shortcut)

    def compute_output_shape(self, input_shape):
        return self.conv1.compute_output_shape(input_shape)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("filters", "strides", "dilation", "projection")}
        return {**super().get_config(), **own}
