"""The block of the large ResNets, 50 and up (He et al., CVPR 2016)."""

import keras
import tensorflow as tf

from .conv_norm import ConvNorm
from .normed import NormedLayer


@keras.saving.register_keras_serializable("mrcnn_keras")
class Bottleneck(NormedLayer):
    """1x1, 3x3, 1x1 convolutions beside a shortcut.

    Args:
        filters: output channels.
        bottleneck_filters: channels of the 3x3 convolution, all groups together.
        strides: 1 or 2.
        stride_in_1x1: where the stride sits: the first 1x1 convolution or the 3x3.
        groups, dilation: of the 3x3 convolution.
        projection: whether the shortcut has a 1x1 convolution.
        norm, norm_momentum, norm_epsilon, norm_groups, norm_bias: passed to every `ConvNorm`.
    """

    def __init__(
        self,
        filters,
        bottleneck_filters,
        strides=1,
        stride_in_1x1=False,
        groups=1,
        dilation=1,
        projection=False,
        norm="frozen",
        **kwargs,
    ):
        super().__init__(norm=norm, **kwargs)
        self.filters = filters
        self.bottleneck_filters = bottleneck_filters
        self.strides = strides
        self.stride_in_1x1 = stride_in_1x1
        self.groups = groups
        self.dilation = dilation
        self.projection = projection
        first, second = (strides, 1) if stride_in_1x1 else (1, strides)
        every = self.norm_arguments
        self.conv1 = ConvNorm(bottleneck_filters, 1, strides=first, relu=True, name="conv1", **every)
        self.conv2 = ConvNorm(
            bottleneck_filters, 3, strides=second, dilation=dilation, groups=groups, relu=True, name="conv2", **every
        )
        self.conv3 = ConvNorm(filters, 1, name="conv3", **every)
        self.shortcut = ConvNorm(filters, 1, strides=strides, name="shortcut", **every) if projection else None

    def build(self, input_shape):
        shape = input_shape
        for conv in (self.conv1, self.conv2, self.conv3):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        if self.shortcut is not None:
            self.shortcut.build(input_shape)
        self.built = True

    def call(self, inputs, training=None):
        outputs = self.conv1(inputs, training=training)
        outputs = self.conv2(outputs, training=training)
        outputs = self.conv3(outputs, training=training)
        shortcut = inputs if self.shortcut is None else self.shortcut(inputs, training=training)
        return tf.nn.relu(outputs + shortcut)

    def compute_output_shape(self, input_shape):
        sides = (None if side is None else (side - 1) // self.strides + 1 for side in input_shape[1:3])
        return (input_shape[0], *sides, self.filters)

    def get_config(self):
        names = "filters bottleneck_filters strides stride_in_1x1 groups dilation projection".split()
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own}
