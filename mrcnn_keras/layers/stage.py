"""One stage of a ResNet: some blocks of the same width (He et al., CVPR 2016)."""

import dataclasses

from .basic_block import BasicBlock
from .bottleneck import Bottleneck


@dataclasses.dataclass(frozen=True)
class Widths:
    """Channels of a ResNet.

    Attributes:
        res2_channels: outputs of res2; each later stage doubles them.
        num_groups, width_per_group: the 3x3 convolutions of res2 have their product as channels; they double too.
        basic: blocks of two 3x3 convolutions, which have no groups, and not bottlenecks.
    """

    res2_channels: int = 256
    num_groups: int = 1
    width_per_group: int = 64
    basic: bool = False


def make_stage(
    index: int,
    count: int,
    widths: Widths,
    strides: int,
    stride_in_1x1: bool = False,
    projection: bool = True,
    **options,
) -> list[BasicBlock | Bottleneck]:
    """The blocks of one stage, named "res2_0", "res2_1", ...

    Args:
        index: 0 for res2, ... 3 for res5.
        count: blocks.
        widths: of the whole network.
        strides: of the first block.
        stride_in_1x1: where a bottleneck's stride sits.
        projection: whether the first block's shortcut has a convolution.
        **options: of every block: `dilation` and the norm's.
    """
    filters = widths.res2_channels * 2**index
    blocks = []
    for block in range(count):
        first = block == 0
        options |= {"strides": strides if first else 1, "projection": projection and first}
        options["name"] = f"res{index + 2}_{block}"
        if widths.basic:
            blocks.append(BasicBlock(filters, **options))
        else:
            inner = widths.num_groups * widths.width_per_group * 2**index
            options |= {"groups": widths.num_groups, "stride_in_1x1": stride_in_1x1}
            blocks.append(Bottleneck(filters, inner, **options))
    return blocks
