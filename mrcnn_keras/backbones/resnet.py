"""ResNet and ResNeXt of any depth and width (He et al., CVPR 2016; Xie et al., CVPR 2017), with non-local blocks."""

import keras
import tensorflow as tf

from .. import ops
from ..layers.conv_norm import ConvNorm
from ..layers.non_local import NonLocal
from ..layers.normed import NormedLayer
from ..layers.stage import Widths, make_stage


@keras.saving.register_keras_serializable("mrcnn_keras")
class ResNet(NormedLayer):
    """The convolutional body of a ResNet: stem, res2, res3, res4 and, where it is not in the head, res5.

    Args:
        block_counts: blocks in each stage from res2 on: (3, 4, 6, 3) for ResNet-50, (3, 4, 6) to end with res4.
        stem_channels: outputs of the 7x7 convolution.
        res2_channels, num_groups, width_per_group, basic: see `Widths`.
        stride_in_1x1: where a bottleneck's stride sits.
        freeze_at: how many of (stem, res2, ..., res5) are not trained.
        res5_dilation: 2 keeps res5 at stride 16 with dilated convolutions ("DC5").
        stem_pool: "symmetric" pads the 3x3 max-pool by one cell on every side; "same" is TensorFlow's rule, which pads
            an even side at its end only (matterport's networks).
        non_local: non-local blocks in each stage from res2 on: one stands right before the stage's last block (Wang et
            al., section 5), more before every second block from there.
        gradient_checkpointing: keep no more than each trained block's input for the gradients, and compute the rest
            again when they are (Chen et al., 2016). Not for norms that keep statistics of the batches, which would
            count each batch twice.
        norm, norm_momentum, norm_epsilon, norm_groups, norm_bias: passed to every `ConvNorm`.

    Inputs: (B, H, W, 3). Returns: list [c2, c3, c4, c5] of (B, ceil(H / s), ceil(W / s), C), s = 4, 8, 16, 32, or 16
    for a dilated c5; without c5 where there are three stages.
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
        res5_dilation=1,
        stem_pool="symmetric",
        basic=False,
        non_local=(),
        gradient_checkpointing=False,
        norm="frozen",
        **kwargs,
    ):
        super().__init__(norm=norm, **kwargs)
        self.block_counts = tuple(block_counts)
        self.stem_channels = stem_channels
        self.res2_channels = res2_channels
        self.num_groups = num_groups
        self.width_per_group = width_per_group
        self.stride_in_1x1 = stride_in_1x1
        self.freeze_at = freeze_at
        self.res5_dilation = res5_dilation
        self.stem_pool = stem_pool
        self.basic = basic
        self.non_local = tuple(non_local)
        self.gradient_checkpointing = gradient_checkpointing
        self.stem = ConvNorm(stem_channels, 7, strides=2, relu=True, name="stem", **self.norm_arguments)
        self.stages = [self._make_stage(index, count) for index, count in enumerate(self.block_counts)]
        self._freeze()

    def _make_stage(self, index: int, count: int) -> list[keras.layers.Layer]:
        dilation = self.res5_dilation if index == 3 else 1
        blocks = make_stage(
            index,
            count,
            Widths(self.res2_channels, self.num_groups, self.width_per_group, self.basic),
            strides=2 if index > 0 and dilation == 1 else 1,
            stride_in_1x1=self.stride_in_1x1,
            projection=not self.basic or index > 0 or self.stem_channels != self.res2_channels,
            dilation=dilation,
            **self.norm_arguments,
        )
        extra = self.non_local[index] if index < len(self.non_local) else 0
        for i, place in enumerate(sorted(_places(count, extra))):
            blocks.insert(place + i, NonLocal(name=f"res{index + 2}_non_local_{i}"))
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
        outputs = self._pool(outputs)
        features = []
        for stage in self.stages:
            for block in stage:
                outputs = self._run(block, outputs, training)
            features.append(outputs)
        return features

    def _run(self, block, inputs, training):
        if isinstance(block, NonLocal):
            return block(inputs)
        if training and self.gradient_checkpointing and block.trainable:
            return ops.call_and_recompute(lambda x: block(x, training=True), inputs)
        return block(inputs, training=training)

    def _pool(self, inputs):
        padding = [[0, 0], [1, 1], [1, 1], [0, 0]]
        if self.stem_pool == "same":
            padding = "SAME"
        elif ops.compiling_with_xla():  # which cannot pad here; behind a ReLU zeros change no maximum
            inputs, padding = tf.pad(inputs, padding), "VALID"
        return tf.nn.max_pool2d(inputs, 3, 2, padding)

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
            "block_counts stem_channels res2_channels num_groups width_per_group stride_in_1x1 freeze_at "
            "res5_dilation stem_pool basic non_local gradient_checkpointing"
        ).split()
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own}


def _pooled(shape):
    sides = (None if side is None else (side - 1) // 2 + 1 for side in shape[1:3])
    return (shape[0], *sides, shape[3])


def _places(count: int, extra: int) -> list[int]:
    """The blocks before which `extra` non-local blocks stand: the last, every second before it, then the others."""
    return [*range(count - 1, -1, -2), *range(count - 2, -1, -2)][:extra]
