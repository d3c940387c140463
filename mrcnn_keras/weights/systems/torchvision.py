"""torchvision's checkpoints: names, layouts, and the settings that its files leave unsaid."""

import re
from collections.abc import Mapping
from typing import Any

from mrcnn_keras.weights.systems.layouts import Layout, torch_layout
from mrcnn_keras.weights.systems.names import MAX_BLOCKS, MAX_CONVS, STAGES, NameMap

NOT_WEIGHTS = re.compile(r"(.*\.)?num_batches_tracked|fc\.(weight|bias)")
BODY = "backbone.body."

# Names before torchvision 0.13 -> today's.
_OLD_NAMES = (
    (re.compile(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$"), r"\1.0.\2"),
    (re.compile(r"^rpn\.head\.conv\.(weight|bias)$"), r"rpn.head.conv.0.0.\1"),
)
_OLD_MASK = re.compile(r"^roi_heads\.mask_head\.mask_fcn(\d+)\.(weight|bias)$")


def prefix_of(names: Mapping[str, Any]) -> str | None:
    """ "backbone.body." for a detector, "" for a classifier's file, None: not torchvision's."""
    for prefix in (BODY, ""):
        if f"{prefix}conv1.weight" in names and f"{prefix}layer1.0.conv1.weight" in names:
            return prefix
    return None


def canonical(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors under the names that torchvision uses today."""
    return {_modern(name): value for name, value in tensors.items()}


def _modern(name: str) -> str:
    for old, new in _OLD_NAMES:
        name = old.sub(new, name)
    return _OLD_MASK.sub(lambda found: f"roi_heads.mask_head.{int(found[1]) - 1}.0.{found[2]}", name)


def name_map(prefix: str, fc_index: int | None = None) -> NameMap:
    """The names of torchvision's modules.

    Args:
        prefix: of the ResNet's modules.
        fc_index: place of the fully connected layer in the box head of version 2; None for version 1.
    """
    modules = {f"{prefix}conv1": "backbone/stem", f"{prefix}bn1": "backbone/stem/norm"}
    for stage in STAGES:
        for block in range(MAX_BLOCKS):
            theirs, ours = f"{prefix}layer{stage - 1}.{block}.", f"backbone/res{stage}_{block}/"
            for i in (1, 2, 3):
                modules |= {f"{theirs}conv{i}": f"{ours}conv{i}", f"{theirs}bn{i}": f"{ours}conv{i}/norm"}
            modules |= {f"{theirs}downsample.0": f"{ours}shortcut", f"{theirs}downsample.1": f"{ours}shortcut/norm"}
        for kind, name in (("inner", "lateral"), ("layer", "output")):
            modules |= _pair(f"backbone.fpn.{kind}_blocks.{stage - 2}", f"fpn/{name}{stage}")
    for i in range(MAX_CONVS):
        modules |= _pair(f"rpn.head.conv.{i}", f"rpn_head/conv{i + 1}" if i else "rpn_head/conv")
        modules |= _pair(f"roi_heads.mask_head.{i}", f"mask_head/conv{i + 1}")
        modules[f"roi_heads.keypoint_head.{2 * i}"] = f"keypoint_head/conv{i + 1}"
        if fc_index is not None and i < fc_index:
            modules |= _pair(f"roi_heads.box_head.{i}", f"box_head/conv{i + 1}")
    if fc_index is None:
        modules |= {"roi_heads.box_head.fc6": "box_head/fc1", "roi_heads.box_head.fc7": "box_head/fc2"}
    else:
        modules[f"roi_heads.box_head.{fc_index}"] = "box_head/fc1"
    return NameMap(modules | _SINGLE)


def _pair(theirs: str, ours: str) -> dict[str, str]:
    """A convolution and its norm in one of torchvision's sequences."""
    return {f"{theirs}.0": ours, f"{theirs}.1": f"{ours}/norm"}


_SINGLE = {
    "rpn.head.cls_logits": "rpn_head/objectness",
    "rpn.head.bbox_pred": "rpn_head/deltas",
    "roi_heads.box_predictor.cls_score": "box_head/classifier",
    "roi_heads.box_predictor.bbox_pred": "box_head/regressor",
    "roi_heads.mask_predictor.conv5_mask": "mask_head/deconv",
    "roi_heads.mask_predictor.mask_fcn_logits": "mask_head/predictor",
    "roi_heads.keypoint_predictor.kps_score_lowres": "keypoint_head/deconv",
}


def fc_index(names: Mapping[str, Any]) -> int | None:
    """Place of the fully connected layer in the box head of version 2; None for version 1 and for a bare ResNet."""
    places = [re.fullmatch(r"roi_heads\.box_head\.(\d+)\.weight", name) for name in names]
    return next((int(found[1]) for found in places if found), None)


def layout(path: str, cells: int) -> Layout:
    """The layout of the tensor for one of our variables; see `torch_layout`."""
    return torch_layout(path, bgr=False, background_first=True, cells=cells)


def unread_settings(fields: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """What torchvision does with such a model and its file does not say; arguments as of Detectron2's."""
    settings = {
        "pixel_mean": (123.675, 116.28, 103.53),
        "pixel_std": (58.395, 57.12, 57.375),
        "stride_in_1x1": False,
    }
    if "num_classes" not in fields:
        return settings
    counted = any(name.endswith("num_batches_tracked") for name in tensors)
    learnt = counted or fields.get("fpn_norm", "none") != "none"
    return settings | {
        "norm_epsilon": 1e-5 if learnt else 0.0,
        "resize": "torchvision",
        "anchor_rounding": True,
        "rpn_min_size": 1e-3,
        "rpn_pre_nms_topk_train": 2000,
        "rpn_post_nms_topk_train": 2000,
        "roi_sampling_ratio": 2,
        "roi_aligned": False,
        "roi_level_rounding": "down+",
        "rpn_smooth_l1_beta": 1.0 / 9.0,
        "box_smooth_l1_beta": 1.0 / 9.0,
        "detection_min_size": 1e-2,
        "mask_paste": "padded",
        "keypoint_score": "logit",
    }
