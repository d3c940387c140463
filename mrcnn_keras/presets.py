"""Architectures by name: the models of the paper's tables, their twins elsewhere, and small ones for a CPU."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from .config import MaskRCNNConfig, make_config, replaced_by_backbone


@dataclasses.dataclass(frozen=True)
class Preset:
    """One architecture, and the length and rates of its training; `training.named_schedules` has the paper's schedules.

    Attributes:
        fields: the fields of `MaskRCNNConfig` that differ from their defaults.
        rows: the rows of the paper that it is, like "2a: ResNet-50-C4".
        ap: the paper's AP in percent, by task ("box", "mask", "keypoints"), on COCO minival unless `rows` says else.
        twins: ids of `mrcnn-keras list-weights` with the same architecture; the first is what `weights="coco"` loads.
        parameters: weights outside norms, with `fields` as they are.
        gflops: 10^9 multiply-adds of one 800x1333 image with the proposals of the test and 100 detections; 0 for
            networks that are not meant for such images. `benchmarks/presets.py` counts both.
    """

    fields: Mapping[str, Any]
    rows: tuple[str, ...] = ()
    ap: Mapping[str, float] = dataclasses.field(default_factory=dict)
    twins: tuple[str, ...] = ()
    parameters: int = 0
    gflops: float = 0.0


# One level of features: 15 anchors a cell, and the numbers of proposals of Faster R-CNN.
_ONE_LEVEL = {
    "size_divisor": 1,
    "rpn_pre_nms_topk_train": 12000,
    "rpn_pre_nms_topk_test": 6000,
    "rpn_post_nms_topk_train": 2000,
}
# Figure 4, left: res5 with stride 1 on 7x7 RoIs. The public checkpoints have stride 2 on 14x14 (as `from_pretrained`
# finds out): box_pool_size=14, res5_stride=2.
_C4 = {
    **_ONE_LEVEL,
    "features": "c4",
    "box_head": "res5",
    "box_pool_size": 7,
    "res5_stride": 1,
    "mask_head_convs": 0,
    "rpn_post_nms_topk_test": 300,
    "roi_batch_size": 64,
}
_EVERY_SIZE = {"train_min_sides": (640, 800), "min_side_sampling": "range"}
# Section 5: persons only, scale jitter, 90k steps.
_PERSON = {
    "num_classes": 1,
    "class_names": ("person",),
    **_EVERY_SIZE,
    "total_steps": 90_000,
    "learning_rate_drops": (2 / 3, 8 / 9),
}
_KEYPOINTS = {**_PERSON, "num_keypoints": 17, "rpn_post_nms_topk_train": 1500}
# Table 9, from its second row on: 130k steps.
_LONGER = {**_KEYPOINTS, "mask_head": "none", "total_steps": 130_000, "learning_rate_drops": (10 / 13, 12 / 13)}
# ResNeXt trains with one image a GPU (section 3.1); the learning rate follows.
_RESNEXT = {"batch_size": 8}
# Table 8, "train-time augm.".
_AUGMENTED = {
    **_RESNEXT,
    **_EVERY_SIZE,
    "total_steps": 260_000,
    "learning_rate_drops": (200 / 260, 240 / 260),
}
# Appendix A.
_CITYSCAPES = {
    "num_classes": 8,
    "class_names": ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
    "image_min_side": 1024,
    "image_max_side": 2048,
    "train_min_sides": (800, 1024),
    "min_side_sampling": "range",
    "batch_size": 8,
    "total_steps": 24_000,
}
_GROUP_NORM = {"backbone_norm": "group", "fpn_norm": "group", "head_norm": "group", "box_head": "4conv1fc"}

# Training from random weights needs norms that learn: the paper's frozen ones only make sense over pretrained weights.
_FROM_SCRATCH = {"backbone_norm": "batch", "fpn_norm": "batch", "freeze_at": 0}
# Narrow networks that learn from random weights on a CPU, from images of about 128 pixels.
_NARROW = {
    **_FROM_SCRATCH,
    "backbone_blocks": (2, 2, 2, 2),
    "stem_channels": 32,
    "res2_channels": 64,
    "width_per_group": 32,
    "fpn_channels": 64,
    "box_head_dim": 128,
    "mask_head_dim": 32,
    "gt_mask_size": 56,
    "rpn_batch_size": 128,
    "rpn_smooth_l1_beta": 0.0,
    "roi_batch_size": 64,
    "box_smooth_l1_beta": 0.0,
    "rpn_pre_nms_topk_train": 500,
    "rpn_pre_nms_topk_test": 300,
    "rpn_post_nms_topk_train": 300,
    "rpn_post_nms_topk_test": 150,
}
_NARROW_KEYPOINTS = {"num_keypoints": 13, "keypoint_head_dim": 64, "keypoint_head_convs": 4}

_D2_MASK, _D2_BOX = "detectron2/COCO-InstanceSegmentation/mask_rcnn_", "detectron2/COCO-Detection/faster_rcnn_"
_D2_KEYPOINTS = "detectron2/COCO-Keypoints/keypoint_rcnn_"

PRESETS: dict[str, Preset] = {
    # tables 1, 2 and 3
    "mask_rcnn_resnet50_c4": Preset(
        {"backbone": "resnet50", **_C4},
        ("2a, 2b, 2c: ResNet-50-C4",),
        {"mask": 30.3},
        (_D2_MASK + "R_50_C4_3x", _D2_MASK + "R_50_C4_1x"),
        parameters=35_909_612,
        gflops=413.3,
    ),
    "mask_rcnn_resnet101_c4": Preset(
        {"backbone": "resnet101", **_C4},
        ("2a: ResNet-101-C4", "1: 33.1 mask AP on test-dev"),
        {"mask": 32.7},
        (_D2_MASK + "R_101_C4_3x",),
        parameters=54_849_516,
        gflops=492.9,
    ),
    "mask_rcnn_resnet50_c5": Preset(
        {"backbone": "resnet50", "features": "c5", **_ONE_LEVEL},
        ("2d: ResNet-50-C5, RoIAlign",),
        {"box": 34.0, "mask": 30.9},
        parameters=172_353_516,
        gflops=363.7,
    ),
    "mask_rcnn_resnet50_fpn": Preset(
        {"backbone": "resnet50"},
        ("2a, 2e: ResNet-50-FPN",),
        {"mask": 33.6},
        (_D2_MASK + "R_50_FPN_3x", _D2_MASK + "R_50_FPN_1x", "torchvision/maskrcnn_resnet50_fpn_coco"),
        parameters=44_343_216,
        gflops=267.3,
    ),
    "mask_rcnn_resnet101_fpn": Preset(
        {"backbone": "resnet101"},
        ("2a: ResNet-101-FPN", "1: 35.7 mask AP on test-dev", "3: 38.2 box AP on test-dev"),
        {"mask": 35.4},
        (_D2_MASK + "R_101_FPN_3x",),
        parameters=63_283_120,
        gflops=346.9,
    ),
    "mask_rcnn_resnext101_32x8d_fpn": Preset(
        {"backbone": "resnext101_32x8d", **_RESNEXT},
        ("2a: ResNeXt-101-FPN", "1: 37.1 mask AP on test-dev", "3: 39.8 box AP on test-dev", "8: original baseline"),
        {"box": 39.6, "mask": 36.7},
        (_D2_MASK + "X_101_32x8d_FPN_3x",),
        parameters=107_427_760,
        gflops=531.4,
    ),
    "faster_rcnn_resnet101_fpn": Preset(
        {"backbone": "resnet101", "mask_head": "none"},
        ("3: Faster R-CNN, RoIAlign; 37.3 box AP on test-dev",),
        {"box": 37.3},
        (_D2_BOX + "R_101_FPN_3x",),
        parameters=60_639_840,
        gflops=295.5,
    ),
    # tables 4, 5, 6 and 9
    "person_faster_rcnn_resnet50_fpn": Preset(
        {"backbone": "resnet50", **_PERSON, "mask_head": "none"},
        ("5: Faster R-CNN",),
        {"box": 52.5},
        parameters=41_295_061,
        gflops=215.5,
    ),
    "person_mask_rcnn_resnet50_fpn": Preset(
        {"backbone": "resnet50", **_PERSON},
        ("5: mask-only",),
        {"box": 53.6, "mask": 45.8},
        parameters=43_918_038,
        gflops=266.9,
    ),
    "keypoint_rcnn_resnet50_fpn": Preset(
        {"backbone": "resnet50", **_KEYPOINTS, "mask_head": "none"},
        ("5, 6: keypoint-only", "9: original baseline", "4: 62.7 keypoint AP on test-dev"),
        {"box": 50.7, "keypoints": 64.2},
        (_D2_KEYPOINTS + "R_50_FPN_3x", _D2_KEYPOINTS + "R_50_FPN_1x", "torchvision/keypointrcnn_resnet50_fpn_coco"),
        parameters=59_133_158,
        gflops=565.1,
    ),
    "keypoint_mask_rcnn_resnet50_fpn": Preset(
        {"backbone": "resnet50", **_KEYPOINTS},
        ("5: keypoint & mask", "4: 63.1 keypoint AP on test-dev"),
        {"box": 52.0, "mask": 45.1, "keypoints": 64.7},
        parameters=61_756_135,
        gflops=616.5,
    ),
    "keypoint_rcnn_resnet50_fpn_130k": Preset(
        {"backbone": "resnet50", **_LONGER},
        ("9: updated baseline",),
        {"keypoints": 65.1},
        parameters=59_133_158,
        gflops=565.1,
    ),
    "keypoint_rcnn_resnet101_fpn": Preset(
        {"backbone": "resnet101", **_LONGER},
        ("9: R-101-FPN",),
        {"keypoints": 66.1},
        (_D2_KEYPOINTS + "R_101_FPN_3x",),
        parameters=78_073_062,
        gflops=644.6,
    ),
    "keypoint_rcnn_resnext101_32x8d_fpn": Preset(
        {"backbone": "resnext101_32x8d", **_LONGER, **_RESNEXT},
        ("9: X-101-FPN", "9: data distillation: 69.1; test-time augm.: 70.4"),
        {"keypoints": 67.3},
        (_D2_KEYPOINTS + "X_101_32x8d_FPN_3x",),
        parameters=122_217_702,
        gflops=829.2,
    ),
    # table 7
    "mask_rcnn_resnet50_fpn_cityscapes": Preset(
        {"backbone": "resnet50", **_CITYSCAPES},
        ("7: fine; 31.5 mask AP on val", "7: fine + COCO; 36.4 mask AP on val"),
        {"mask": 31.5},
        ("detectron2/Cityscapes/mask_rcnn_R_50_FPN",),
        parameters=43_955_712,
        gflops=267.0,
    ),
    # table 8; "updated baseline" is trained in stages, the other rows at once
    "mask_rcnn_resnext101_32x8d_fpn_180k": Preset(
        {"backbone": "resnext101_32x8d", **_RESNEXT, "total_steps": 180_000, "learning_rate_drops": (12 / 18, 16 / 18)},
        ("8: updated baseline", "8: e2e training: 41.7 box, 37.6 mask AP", "8: ImageNet-5k: 42.7 box, 38.6 mask AP"),
        {"box": 40.5, "mask": 37.0},
        parameters=107_427_760,
        gflops=531.4,
    ),
    "mask_rcnn_resnext101_32x8d_fpn_260k": Preset(
        {"backbone": "resnext101_32x8d", **_AUGMENTED},
        ("8: train-time augm.",),
        {"box": 43.5, "mask": 39.2},
        parameters=107_427_760,
        gflops=531.4,
    ),
    "mask_rcnn_resnext152_32x8d_fpn": Preset(
        {"backbone": "resnext152_32x8d", **_AUGMENTED},
        ("8: deeper, X-152-FPN",),
        {"box": 44.1, "mask": 39.7},
        parameters=140_916_656,
        gflops=702.2,
    ),
    "mask_rcnn_resnext152_32x8d_fpn_nl": Preset(
        {"backbone": "resnext152_32x8d", "non_local_blocks": (0, 0, 1, 0), **_AUGMENTED},
        ("8: Non-local, X-152-FPN-NL", "8: test-time augm.: 47.3 box, 41.8 mask AP"),
        {"box": 45.0, "mask": 40.3},
        parameters=143_016_368,
        gflops=712.3,
    ),
    # not in the paper
    "mask_rcnn_resnet18_fpn": Preset({"backbone": "resnet18"}, parameters=31_317_936, gflops=212.4),
    "mask_rcnn_resnet34_fpn": Preset({"backbone": "resnet34"}, parameters=41_418_672, gflops=252.1),
    "mask_rcnn_resnet152_fpn": Preset({"backbone": "resnet152"}, parameters=78_880_688, gflops=426.4),
    "mask_rcnn_resnext50_32x4d_fpn": Preset(
        {"backbone": "resnext50_32x4d", **_RESNEXT}, parameters=43_799_984, gflops=270.4
    ),
    "mask_rcnn_resnext101_32x4d_fpn": Preset(
        {"backbone": "resnext101_32x4d", **_RESNEXT}, parameters=62_879_152, gflops=350.5
    ),
    "mask_rcnn_resnext101_64x4d_fpn": Preset(
        {"backbone": "resnext101_64x4d", **_RESNEXT}, parameters=102_091_696, gflops=511.0
    ),
    "mask_rcnn_resnet50_dc5": Preset(
        {"backbone": "resnet50", "features": "dc5", **_ONE_LEVEL},
        twins=(_D2_MASK + "R_50_DC5_3x", _D2_MASK + "R_50_DC5_1x"),
        parameters=172_353_516,
        gflops=528.5,
    ),
    "mask_rcnn_resnet101_dc5": Preset(
        {"backbone": "resnet101", "features": "dc5", **_ONE_LEVEL},
        twins=(_D2_MASK + "R_101_DC5_3x",),
        parameters=191_293_420,
        gflops=608.0,
    ),
    "faster_rcnn_resnet50_fpn": Preset(
        {"backbone": "resnet50", "mask_head": "none"},
        twins=(_D2_BOX + "R_50_FPN_3x", _D2_BOX + "R_50_FPN_1x", "torchvision/fasterrcnn_resnet50_fpn_coco"),
        parameters=41_699_936,
        gflops=215.9,
    ),
    "faster_rcnn_resnext101_32x8d_fpn": Preset(
        {"backbone": "resnext101_32x8d", **_RESNEXT, "mask_head": "none"},
        twins=(_D2_BOX + "X_101_32x8d_FPN_3x",),
        parameters=104_784_480,
        gflops=480.0,
    ),
    # group norm, for training from random weights at full size
    "mask_rcnn_resnet50_fpn_gn": Preset(
        {"backbone": "resnet50", **_GROUP_NORM, "freeze_at": 0},
        twins=("detectron2/Misc/mask_rcnn_R_50_FPN_3x_gn", "detectron2/Misc/scratch_mask_rcnn_R_50_FPN_3x_gn"),
        parameters=45_649_840,
        gflops=381.9,
    ),
    # for a CPU
    "mask_rcnn_narrow_fpn": Preset(_NARROW, parameters=3_124_336),
    "mask_rcnn_narrow_c4": Preset(
        {**_NARROW, **_C4, "rpn_pre_nms_topk_train": 500, "rpn_pre_nms_topk_test": 300}, parameters=3_238_060
    ),
    "mask_rcnn_narrow_c5": Preset({**_NARROW, "features": "c5", "size_divisor": 1}, parameters=8_214_700),
    "faster_rcnn_narrow_fpn": Preset({**_NARROW, "mask_head": "none"}, parameters=3_071_360),
    "keypoint_rcnn_narrow_fpn": Preset({**_NARROW, **_NARROW_KEYPOINTS, "mask_head": "none"}, parameters=3_232_397),
    "keypoint_mask_rcnn_narrow_fpn": Preset({**_NARROW, **_NARROW_KEYPOINTS}, parameters=3_285_373),
}


def find_preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def preset_config(name: str, **overrides: Any) -> MaskRCNNConfig:
    """The config of a preset.

    Args:
        name: a key of `PRESETS`.
        **overrides: config fields that replace the preset's. What the preset says goes with its own value only: its
            class names with its `num_classes`, its scale jitter with its `image_min_side` and `train_min_sides`, the
            widths of a narrow network with its kind of backbone.

    Raises:
        ValueError: no such preset or field.
    """
    fields = dict(find_preset(name).fields)
    if overrides.get("num_classes", fields.get("num_classes")) != fields.get("num_classes"):
        fields.pop("class_names", None)
    if {"image_min_side", "train_min_sides"} & set(overrides):
        fields = {name: value for name, value in fields.items() if name not in _EVERY_SIZE}
    if "backbone" in overrides:
        for field in replaced_by_backbone(fields.get("backbone", "resnet50"), overrides["backbone"]):
            fields.pop(field, None)
    return make_config({**fields, **overrides})
