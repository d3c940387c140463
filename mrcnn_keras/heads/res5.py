"""The fifth stage of a ResNet as the head of a C4 model (figure 4, left; He et al., CVPR 2016)."""

import keras

from ..layers.normed import NormedLayer
from ..layers.stage import Widths, make_stage


@keras.saving.register_keras_serializable("mrcnn_keras")
class Res5Head(NormedLayer):
    """res5 on the features of each RoI, shared by the box and the mask branch.

    Args:
        count: blocks.
        res2_channels, num_groups, width_per_group, stride_in_1x1, basic: as in `ResNet`.
        strides: of the first block: 2 on 14x14 RoIs as in the public checkpoints, 1 on 7x7 as in the paper's figure.
        norm, norm_momentum, norm_epsilon, norm_groups, norm_bias: passed to every `ConvNorm`.

    Inputs: (R, P, P, C). Returns: (R, P / strides, P / strides, 8 * res2_channels).
    """

    def __init__(
        self,
        count=3,
        res2_channels=256,
        num_groups=1,
        width_per_group=64,
        stride_in_1x1=False,
        strides=2,
        basic=False,
        norm="frozen",
        **kwargs,
    ):
        super().__init__(norm=norm, **kwargs)
        self.count = count
        self.res2_channels = res2_channels
        self.num_groups = num_groups
        self.width_per_group = width_per_group
        self.stride_in_1x1 = stride_in_1x1
        self.strides = strides
        self.basic = basic
        widths = Widths(res2_channels, num_groups, width_per_group, basic)
        self.blocks = make_stage(3, count, widths, strides, stride_in_1x1=stride_in_1x1, **self.norm_arguments)

    def build(self, input_shape):
        shape = input_shape
        for block in self.blocks:
            block.build(shape)
            shape = block.compute_output_shape(shape)
        self.built = True

    def call(self, inputs, training=None):
        outputs = inputs
        for block in self.blocks:
            outputs = block(outputs, training=training)
        return outputs

    def compute_output_shape(self, input_shape):
        shape = input_shape
        for block in self.blocks:
            shape = block.compute_output_shape(shape)
        return shape

    def get_config(self):
        names = "count res2_channels num_groups width_per_group stride_in_1x1 strides basic".split()
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own}
