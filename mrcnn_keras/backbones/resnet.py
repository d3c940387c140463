"""ResNet with bottleneck blocks (He et al., CVPR 2016), any depth and width."""

import keras
import tensorflow as tf

from ..layers.conv_norm import ConvNorm


@keras.saving.register_keras_serializable("mrcnn_keras")
class Bottleneck(keras.layers.Layer):
    """1x1, 3x3, 1x1 convolutions beside a shortcut.

    Args:
        filters: output channels.
        bottleneck_filters: channels of the 3x3 convolution, all groups together.
        strides: 1 or 2.
        stride_in_1x1: where the stride sits: the first 1x1 convolution or the 3x3.
        groups: of the 3x3 convolution.
        projection: whether the shortcut has a 1x1 convolution.
        norm, norm_momentum, norm_epsilon, norm_groups: passed to every `ConvNorm`.
    """

    def __init__(
        self,
        filters,
        bottleneck_filters,
        strides=1,
        stride_in_1x1=False,
        groups=1,
        projection=False,
        norm="frozen",
        norm_momentum=0.9,
        norm_epsilon=1e-5,
        norm_groups=32,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.bottleneck_filters = bottleneck_filters
        self.strides = strides
        self.stride_in_1x1 = stride_in_1x1
        self.groups = groups
        self.projection = projection
        self.norm_arguments = {
            "norm": norm,
            "norm_momentum": norm_momentum,
            "norm_epsilon": norm_epsilon,
            "norm_groups": norm_groups,
        }
        first, second = (strides, 1) if stride_in_1x1 else (1, strides)
        every = self.norm_arguments
        self.conv1 = ConvNorm(bottleneck_filters, 1, strides=first, relu=True, name="conv1", **every)
        self.conv2 = ConvNorm(bottleneck_filters, 3, strides=second, groups=groups, relu=True, name="conv2", **every)
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
        names = "filters bottleneck_filters strides stride_in_1x1 groups projection".split()
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own, **self.norm_arguments}


@keras.saving.register_keras_serializable("mrcnn_keras")
class ResNet(keras.layers.Layer):
    """The convolutional body of a ResNet: stem, res2, res3, res4, res5.

    Args:
        block_counts: blocks in each of res2..res5, such as (3, 4, 6, 3) for ResNet-50.
        stem_channels: outputs of the 7x7 convolution.
        res2_channels: outputs of res2; each later stage doubles them.
        num_groups, width_per_group: the 3x3 convolutions of res2 have their product as channels.
        stride_in_1x1: where a bottleneck's stride sits.
        freeze_at: how many of (stem, res2, ..., res5) are not trained.
        norm, norm_momentum, norm_epsilon, norm_groups: passed to every `ConvNorm`.

    Inputs: (B, H, W, 3). Returns: list [c2, c3, c4, c5] of (B, ceil(H / s), ceil(W / s), C), s = 4, 8, 16, 32.
    """

    def __init__(
        self,
        block_counts=(3, 4, 6, 3),
        stem_channels=64,
        res2_channels=256,
        num_groups=1,
        width_per_group=64,
        stride_in_1x1=False,
        freeze_at=0,
        norm="frozen",
        norm_momentum=0.9,
        norm_epsilon=1e-5,
        norm_groups=32,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.block_counts = tuple(block_counts)
        self.stem_channels = stem_channels
        self.res2_channels = res2_channels
        self.num_groups = num_groups
        self.width_per_group = width_per_group
        self.stride_in_1x1 = stride_in_1x1
        self.freeze_at = freeze_at
        self.norm_arguments = {
            "norm": norm,
            "norm_momentum": norm_momentum,
            "norm_epsilon": norm_epsilon,
            "norm_groups": norm_groups,
        }
        self.stem = ConvNorm(stem_channels, 7, strides=2, relu=True, name="stem", **self.norm_arguments)
        self.stages = [self._make_stage(index, count) for index, count in enumerate(self.block_counts)]
        self._freeze()

    def _make_stage(self, index: int, count: int) -> list[Bottleneck]:
        blocks = []
        for block in range(count):
            first = block == 0
            blocks.append(
                Bottleneck(
                    filters=self.res2_channels * 2**index,
                    bottleneck_filters=self.num_groups * self.width_per_group * 2**index,
                    strides=2 if first and index > 0 else 1,
                    stride_in_1x1=self.stride_in_1x1,
                    groups=self.num_groups,
                    projection=first,
                    name=f"res{index + 2}_{block}",
                    **self.norm_arguments,
                )
            )
        return blocks

    def _freeze(self) -> None:
        parts = [[self.stem], *self.stages]
        for part in parts[: self.freeze_at]:
            for layer in part:
                layer.trainable = False

    def build(self, input_shape):
        self.stem.build(input_shape)
        shape = _pooled(self.stem.compute_output_shape(input_shape))
        for block in (block for stage in self.stages for block in stage):
            block.build(shape)
            shape = block.compute_output_shape(shape)
        self.built = True

    def call(self, inputs, training=None):
        outputs = self.stem(inputs, training=training)
        outputs = tf.nn.max_pool2d(outputs, 3, 2, [[0, 0], [1, 1], [1, 1], [0, 0]])
        features = []
        for stage in self.stages:
            for block in stage:
                outputs = block(outputs, training=training)
            features.append(outputs)
        return features

    def compute_output_shape(self, input_shape):
        shape = _pooled(self.stem.compute_output_shape(input_shape))
        shapes = []
        for stage in self.stages:
            for block in stage:
                shape = block.compute_output_shape(shape)
            shapes.append(shape)
        return shapes

    def get_config(self):
        names = (
            "block_counts stem_channels res2_channels num_groups width_per_group stride_in_1x1 freeze_at".split()
        )
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own, **self.norm_arguments}


def _pooled(shape):
    sides = (None if side is None else (side - 1) // 2 + 1 for side in shape[1:3])
    return (shape[0], *sides, shape[3])
