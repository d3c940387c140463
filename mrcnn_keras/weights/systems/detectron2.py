"""Detectron2's checkpoints: names, layouts, and the settings that its files leave unsaid."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mrcnn_keras.weights.systems.layouts import Layout, torch_layout
from mrcnn_keras.weights.systems.names import MAX_BLOCKS, MAX_CONVS, STAGES, NameMap, with_norms

# Constants, counters and copies of settings; nothing to be learnt from them.
NOT_WEIGHTS = re.compile(
    r"(.*\.)?(num_batches_tracked|cell_anchors\.\d+|pixel_mean|pixel_std)"
    r"|(stem\.|backbone\.)?(fc|fc1000|pred|linear)\.(weight|bias)"
)
PREFIXES = ("backbone.bottom_up.", "backbone.", "")


def prefix_of(names: Iterable[str]) -> str | None:
    """What stands before "stem.conv1." in the names: tells a pyramid's body from a bare one; None: not Detectron2's."""
    for name in names:
        for prefix in PREFIXES:
            if name == f"{prefix}stem.conv1.weight":
                return prefix
    return None


def name_map(prefix: str, many_rpn_convs: bool = False) -> NameMap:
    """The names of Detectron2's modules.

    Args:
        prefix: of the backbone's.
        many_rpn_convs: an RPN of several convolutions counts them from 0 on; a single one has no number.
    """
    pairs = [(f"{prefix}stem.conv1", "backbone/stem")]
    convs = ("conv1", "conv2", "conv3", "shortcut")
    for block in range(MAX_BLOCKS):
        for conv in convs:
            pairs += [(f"{prefix}res{s}.{block}.{conv}", f"backbone/res{s}_{block}/{conv}") for s in STAGES]
            pairs.append((f"roi_heads.res5.{block}.{conv}", f"res5_head/res5_{block}/{conv}"))
    for kind in ("lateral", "output"):
        pairs += [(f"backbone.fpn_{kind}{stage}", f"fpn/{kind}{stage}") for stage in STAGES]
    for i in range(1, MAX_CONVS + 1):
        pairs += [
            (f"roi_heads.box_head.conv{i}", f"box_head/conv{i}"),
            (f"roi_heads.box_head.fc{i}", f"box_head/fc{i}"),
            (f"roi_heads.mask_head.mask_fcn{i}", f"mask_head/conv{i}"),
            (f"roi_heads.keypoint_head.conv_fcn{i}", f"keypoint_head/conv{i}"),
        ]
    pairs += _SINGLE
    pairs.append((f"{_RPN}conv.conv0" if many_rpn_convs else f"{_RPN}conv", "rpn_head/conv"))
    return NameMap(with_norms(pairs))


_RPN = "proposal_generator.rpn_head."
_SINGLE = (
    (f"{_RPN}conv.conv1", "rpn_head/conv2"),
    (f"{_RPN}conv.conv2", "rpn_head/conv3"),
    (f"{_RPN}objectness_logits", "rpn_head/objectness"),
    (f"{_RPN}anchor_deltas", "rpn_head/deltas"),
    ("roi_heads.box_predictor.cls_score", "box_head/classifier"),
    ("roi_heads.box_predictor.bbox_pred", "box_head/regressor"),
    ("roi_heads.mask_head.deconv", "mask_head/deconv"),
    ("roi_heads.mask_head.predictor", "mask_head/predictor"),
    ("roi_heads.keypoint_head.score_lowres", "keypoint_head/deconv"),
)


def layout(path: str, cells: int) -> Layout:
    """The layout of the tensor for one of our variables; see `torch_layout`."""
    return torch_layout(path, bgr=True, background_first=False, cells=cells)


def has_many_rpn_convs(names: Iterable[str]) -> bool:
    """Whether the RPN's convolutions are numbered."""
    return any(name.startswith(f"{_RPN}conv.conv0.") for name in names)


def unread_settings(fields: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """What Detectron2 does with such a model and its file does not say.

    Args:
        fields: the architecture, as `read_architecture` found it.
        tensors: of the file.
    """
    wide = fields["num_groups"] > 1
    deep = tuple(fields["backbone_blocks"] or ()) == (3, 8, 36, 3) or fields["backbone"] == "resnet152"
    learnt = fields.get("fpn_norm", "none") != "none" or fields.get("head_norm", "none") != "none"
    group = fields["backbone_norm"] == "group"
    large_jitter = fields.get("rpn_convs", 1) > 1  # the later baselines keep the stride in the 1x1
    settings = {
        "pixel_mean": (123.675, 116.28, 103.53),
        "pixel_std": (58.395, 57.12, 57.375) if wide and not deep else (1.0, 1.0, 1.0),
        "stride_in_1x1": large_jitter or not (wide or deep or learnt or group),
        "roi_sampling_ratio": 0,
        "roi_aligned": True,
        "rpn_smooth_l1_beta": 0.0,
        "box_smooth_l1_beta": 0.5 if fields.get("num_keypoints") else 0.0,
    }
    if fields.get("num_keypoints"):
        settings |= {"rpn_post_nms_topk_train": 1500}
    if fields.get("features", "fpn") != "fpn":
        settings |= {
            "size_divisor": 1,
            "rpn_pre_nms_topk_train": 12000,
            "rpn_pre_nms_topk_test": 6000,
            "rpn_post_nms_topk_train": 2000,
        }
    return settings | _pixels(tensors)


def _pixels(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Pixel statistics, where an older file carries them; BGR."""
    found = {}
    for name in ("pixel_mean", "pixel_std"):
        value = tensors.get(name)
        if value is not None and getattr(value, "size", 0) == 3:
            found[name] = tuple(float(v) for v in value.reshape(3)[::-1])
    return found
