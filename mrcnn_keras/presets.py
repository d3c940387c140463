"""Architectures by name."""

from typing import Any

from .config import MaskRCNNConfig, make_config

# Training from random weights needs norms that learn: the paper's frozen ones only make sense over pretrained weights.
_FROM_SCRATCH = {"backbone_norm": "batch", "fpn_norm": "batch", "freeze_at": 0}

PRESETS: dict[str, dict[str, Any]] = {
    # the paper's models
    "mask_rcnn_resnet50_fpn": {"backbone": "resnet50"},
    "mask_rcnn_resnet101_fpn": {"backbone": "resnet101"},
    "faster_rcnn_resnet50_fpn": {"backbone": "resnet50", "mask_head": "none"},
    "faster_rcnn_resnet101_fpn": {"backbone": "resnet101", "mask_head": "none"},
    # group norm, for training from random weights at full size
    "mask_rcnn_resnet50_fpn_gn": {
        "backbone": "resnet50",
        "backbone_norm": "group",
        "fpn_norm": "group",
        "head_norm": "group",
        "box_head": "4conv1fc",
        "freeze_at": 0,
    },
    # narrow networks that learn from random weights on a CPU
    "mask_rcnn_narrow_fpn": {
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
    },
}


def preset_config(name: str, **overrides: Any) -> MaskRCNNConfig:
    """The config of a preset.

    Args:
        name: a key of `PRESETS`.
        **overrides: config fields that replace the preset's.

    Raises:
        ValueError: no such preset or field.
    """
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return make_config({**PRESETS[name], **overrides})
