"""The residual networks that go by a name."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Backbone:
    """What a name like "resnext101_32x8d" stands for.

    Attributes:
        blocks: blocks in res2..res5.
        num_groups, width_per_group: the 3x3 convolutions of res2 have `num_groups` groups of `width_per_group` channels
            (Xie et al., CVPR 2017); 1 and 64 is a plain ResNet.
        basic: blocks of two 3x3 convolutions (ResNet-18 and 34), and not bottlenecks.
    """

    blocks: tuple[int, int, int, int]
    num_groups: int = 1
    width_per_group: int = 64
    basic: bool = False

    @property
    def res2_channels(self) -> int:
        """Outputs of res2."""
        return 64 if self.basic else 256


_50, _101, _152 = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)

BACKBONES = {
    "resnet18": Backbone((2, 2, 2, 2), basic=True),
    "resnet34": Backbone((3, 4, 6, 3), basic=True),
    "resnet50": Backbone(_50),
    "resnet101": Backbone(_101),
    "resnet152": Backbone(_152),
    "resnext50_32x4d": Backbone(_50, 32, 4),
    "resnext101_32x4d": Backbone(_101, 32, 4),
    "resnext101_32x8d": Backbone(_101, 32, 8),
    "resnext101_64x4d": Backbone(_101, 64, 4),
    "resnext152_32x8d": Backbone(_152, 32, 8),
}


def replaced_by_backbone(old: str | None, new: str) -> tuple[str, ...]:
    """Fields that a change of the backbone replaces; widths stay where it has the same kind of block."""
    kinds = [one and (one.basic, one.num_groups, one.width_per_group) for one in map(BACKBONES.get, (old, new))]
    widths = ("res2_channels", "num_groups", "width_per_group")
    return ("backbone_blocks", *(() if kinds[0] == kinds[1] else widths))
