"""The rows of the paper's ablation tables: what each changes, and what the paper measured."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mrcnn_keras import demo


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: as in the paper.
        paper: the paper's numbers in percent, by column.
        fields: config fields of the row, at any scale.
        full: preset of the row at full scale; None: the table's.
        tiny: preset and config fields that stand for `full` on small scenes; None: the table's.
    """

    name: str
    paper: Mapping[str, float]
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    full: str | None = None
    tiny: tuple[str, Mapping[str, Any]] | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        title: what is compared.
        full: preset of its rows at full scale.
        tiny: preset of its rows on small scenes, and fields beside those of `TINY`.
        scenes: "thin" shapes or "stick" figures, and arguments of their dataset.
        steps: of a training on small scenes.
        rows: from top to bottom.
    """

    title: str
    full: str
    tiny: tuple[str, Mapping[str, Any]]
    scenes: tuple[str, Mapping[str, Any]]
    steps: int
    rows: tuple[Row, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that a row of the paper has, like "mask AP75"."""
        return tuple(dict.fromkeys(column for row in self.rows for column in row.paper))


# Every training on small scenes.
TINY: dict[str, Any] = {**demo.SETTINGS, "batch_size": 4, "roi_batch_size": 32, "roi_positive_fraction": 0.5}
_HALF_WIDTH = {"stem_channels": 16, "res2_channels": 32, "width_per_group": 16}
_ONE_LEVEL = {
    "anchor_sizes": (24, 40, 64, 96),
    "rpn_pre_nms_topk_train": 400,
    "rpn_pre_nms_topk_test": 200,
    "rpn_post_nms_topk_train": 200,
    "rpn_post_nms_topk_test": 60,
}
# For the larger objects of `_LARGE`.
_ROI_LAYERS = {**_ONE_LEVEL, "image_min_side": 192, "image_max_side": 192, "anchor_sizes": (40, 64, 96, 128)}


def _mask(ap: float, ap50: float, ap75: float) -> dict[str, float]:
    return {"mask AP": ap, "mask AP50": ap50, "mask AP75": ap75}


def _box(ap: float, ap50: float, ap75: float) -> dict[str, float]:
    return {"box AP": ap, "box AP50": ap50, "box AP75": ap75}


def _keypoints(ap: float, ap50: float, ap75: float) -> dict[str, float]:
    return {"keypoint AP": ap, "keypoint AP50": ap50, "keypoint AP75": ap75}


# Everywhere masks are hard.
_THIN = ("thin", {"size": (128, 128)})
# Where RoI layers are compared, objects of some cells of the features, whose place can be seen but not their detail.
_LARGE = (
    "thin",
    {
        "size": (192, 192),
        "max_objects": 3,
        "radius": (0.16, 0.34),
        "thickness": 2.0,
        "shapes": ("star5", "ring", "cross", "bar", "crescent"),
    },
)
_NARROW_C4, _NARROW_FPN = "mask_rcnn_narrow_c4", "mask_rcnn_narrow_fpn"
_SHALLOW_C4 = (_NARROW_C4, {**_ONE_LEVEL, **_HALF_WIDTH})
_DEEP = {**_HALF_WIDTH, "backbone_blocks": (2, 2, 8, 2)}
_WITH_KEYPOINTS, _WITH_BOTH = "keypoint_rcnn_narrow_fpn", "keypoint_mask_rcnn_narrow_fpn"

TABLES: dict[str, Table] = {
    "2a": Table(
        "backbones",
        "mask_rcnn_resnet50_fpn",
        (_NARROW_FPN, _HALF_WIDTH),
        _THIN,
        900,
        (
            Row("ResNet-50-C4", _mask(30.3, 51.2, 31.5), {}, "mask_rcnn_resnet50_c4", _SHALLOW_C4),
            Row(
                "ResNet-101-C4",
                _mask(32.7, 54.2, 34.3),
                {},
                "mask_rcnn_resnet101_c4",
                (_NARROW_C4, {**_ONE_LEVEL, **_DEEP}),
            ),
            Row("ResNet-50-FPN", _mask(33.6, 55.2, 35.3)),
            Row("ResNet-101-FPN", _mask(35.4, 57.3, 37.5), {}, "mask_rcnn_resnet101_fpn", (_NARROW_FPN, _DEEP)),
            Row(
                "ResNeXt-101-FPN",
                _mask(36.7, 59.5, 38.9),
                {},
                "mask_rcnn_resnext101_32x8d_fpn",
                (_NARROW_FPN, {**_DEEP, "num_groups": 8, "width_per_group": 4}),
            ),
        ),
    ),
    "2b": Table(
        "multinomial or independent masks",
        "mask_rcnn_resnet50_c4",
        _SHALLOW_C4,
        _THIN,
        900,
        (
            Row("softmax", _mask(24.8, 44.1, 25.1), {"mask_loss": "softmax"}),
            Row("sigmoid", _mask(30.3, 51.2, 31.5), {"mask_loss": "sigmoid"}),
        ),
    ),
    "2c": Table(
        "RoI layers at stride 16",
        "mask_rcnn_resnet50_c4",
        (_NARROW_C4, {**_ROI_LAYERS, **_HALF_WIDTH}),
        _LARGE,
        600,
        (
            Row("RoIPool, max", _mask(26.9, 48.8, 26.4), {"roi_op": "pool"}),
            Row("RoIWarp, max", _mask(27.2, 49.2, 27.1), {"roi_op": "warp", "roi_reduce": "max"}),
            Row("RoIWarp, average", _mask(27.1, 48.9, 27.1), {"roi_op": "warp"}),
            Row("RoIAlign, max", _mask(30.2, 51.0, 31.8), {"roi_op": "align", "roi_reduce": "max"}),
            Row("RoIAlign, average", _mask(30.3, 51.2, 31.5), {"roi_op": "align"}),
        ),
    ),
    "2d": Table(
        "RoI layers at stride 32",
        "mask_rcnn_resnet50_c5",
        ("mask_rcnn_narrow_c5", {**_ROI_LAYERS, "box_head_dim": 256, "mask_head_dim": 64}),
        _LARGE,
        1500,
        (
            Row("RoIPool", {**_mask(23.6, 46.5, 21.6), **_box(28.2, 52.7, 26.9)}, {"roi_op": "pool"}),
            Row("RoIAlign", {**_mask(30.9, 51.8, 32.1), **_box(34.0, 55.3, 36.4)}, {"roi_op": "align"}),
        ),
    ),
    "2e": Table(
        "mask branches",
        "mask_rcnn_resnet50_fpn",
        (_NARROW_FPN, {"mask_head_fc_dim": 256}),
        _THIN,
        900,
        (
            Row("MLP, 2 hidden", _mask(31.5, 53.7, 32.8), {"mask_head": "mlp", "mask_head_fcs": 2}),
            Row("MLP, 3 hidden", _mask(31.5, 54.0, 32.6), {"mask_head": "mlp", "mask_head_fcs": 3}),
            Row("FCN", _mask(33.6, 55.2, 35.3), {"mask_head": "fcn"}),
        ),
    ),
    "5": Table(
        "boxes, masks and keypoints of persons",
        "keypoint_mask_rcnn_resnet50_fpn",
        (_WITH_BOTH, {}),
        ("stick", {}),
        800,
        (
            Row(
                "Faster R-CNN",
                {"box AP": 52.5},
                {},
                "person_faster_rcnn_resnet50_fpn",
                ("faster_rcnn_narrow_fpn", {}),
            ),
            Row("mask-only", {"box AP": 53.6, "mask AP": 45.8}, {}, "person_mask_rcnn_resnet50_fpn", (_NARROW_FPN, {})),
            Row(
                "keypoint-only",
                {"box AP": 50.7, "keypoint AP": 64.2},
                {},
                "keypoint_rcnn_resnet50_fpn",
                (_WITH_KEYPOINTS, {}),
            ),
            Row("keypoint & mask", {"box AP": 52.0, "mask AP": 45.1, "keypoint AP": 64.7}),
        ),
    ),
    "6": Table(
        "RoI layers for keypoints",
        "keypoint_rcnn_resnet50_fpn",
        (_WITH_KEYPOINTS, {}),
        ("stick", {}),
        800,
        (
            Row("RoIPool", _keypoints(59.8, 86.2, 66.7), {"roi_op": "pool"}),
            Row("RoIAlign", _keypoints(64.2, 86.6, 69.7), {"roi_op": "align"}),
        ),
    ),
}


def row_settings(table: Table, row: Row, scale: str) -> tuple[str, dict[str, Any]]:
    """Preset and config fields of a row at "tiny" or "full" scale."""
    if scale == "full":
        return row.full or table.full, dict(row.fields)
    preset, fields = row.tiny or table.tiny
    return preset, {**TINY, **fields, **row.fields}
