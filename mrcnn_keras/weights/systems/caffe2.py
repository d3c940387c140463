"""Detectron1's names ("res2_0_branch2a_w", "fc6_b", ...) in Detectron2's words.

Such files count the background as class 0, and most hold the scale and the bias of a frozen norm only.
"""

import re
from collections.abc import Mapping

import numpy as np

_FROZEN_EPSILON = 1e-5
# Constants of Caffe2's graphs, and the classifier of an ImageNet file.
_LEFT_OUT = re.compile(r"kps_score_[wb]|(fc1000|pred)_[wb]|.*_momentum|lr|weight_order")
_BRANCHES = {"1": "shortcut", "2a": "conv1", "2b": "conv2", "2c": "conv3"}
_LEAVES = {
    **{"w": "weight", "b": "bias", "bn_s": "norm.weight", "bn_b": "norm.bias", "gn_s": "norm.weight"},
    **{"gn_b": "norm.bias", "bn_gamma": "norm.weight", "bn_beta": "norm.bias"},
    **{"bn_rm": "norm.running_mean", "bn_running_mean": "norm.running_mean"},
    **{"bn_riv": "norm.running_var", "bn_running_var": "norm.running_var"},
}
_LEAF = re.compile(rf"_({'|'.join(sorted(_LEAVES, key=len, reverse=True))})$")
_RPN = "proposal_generator.rpn_head."

_MODULES = (
    (r"conv1|res_conv1", "backbone.bottom_up.stem.conv1"),
    (r"res(\d)_(\d+)_branch(1|2a|2b|2c)", "backbone.bottom_up.res{0}.{1}.{branch}"),
    (r"fpn_inner_res(\d)_\d+_sum(?:_lateral)?", "backbone.fpn_lateral{0}"),
    (r"fpn_res(\d)_\d+_sum", "backbone.fpn_output{0}"),
    (r"conv_rpn(?:_fpn\d)?", f"{_RPN}conv"),
    (r"rpn_cls_logits(?:_fpn\d)?", f"{_RPN}objectness_logits"),
    (r"rpn_bbox_pred(?:_fpn\d)?", f"{_RPN}anchor_deltas"),
    (r"head_conv(\d)", "roi_heads.box_head.conv{0}"),
    (r"fc6", "roi_heads.box_head.fc1"),
    (r"fc7", "roi_heads.box_head.fc2"),
    (r"cls_score", "roi_heads.box_predictor.cls_score"),
    (r"bbox_pred", "roi_heads.box_predictor.bbox_pred"),
    (r"_\[mask\]_fcn(\d)", "roi_heads.mask_head.mask_fcn{0}"),
    (r"conv5_mask", "roi_heads.mask_head.deconv"),
    (r"mask_fcn_logits", "roi_heads.mask_head.predictor"),
    (r"conv_fcn(\d)", "roi_heads.keypoint_head.conv_fcn{0}"),
    (r"kps_score_lowres", "roi_heads.keypoint_head.score_lowres"),
)
_COMPILED = tuple((re.compile(pattern), template) for pattern, template in _MODULES)


def is_caffe2(tensors: Mapping[str, np.ndarray]) -> bool:
    """Whether the names are those of Detectron1 and of Caffe2's ImageNet models."""
    return "conv1_w" in tensors and "res2_0_branch2a_w" in tensors


def as_detectron2(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors under Detectron2's names, with the background where Detectron2 has it and whole frozen norms.

    Names that are unknown are kept, to be listed as such.
    """
    found: dict[str, np.ndarray] = {}
    for name, value in tensors.items():
        if _LEFT_OUT.fullmatch(name):
            continue
        renamed = _renamed(name)
        found[renamed] = _moved(renamed, value)
        if name.endswith("_bn_s"):
            module = renamed.removesuffix("weight")
            found.setdefault(f"{module}running_mean", np.zeros_like(value))
            found.setdefault(f"{module}running_var", np.full_like(value, 1.0 - _FROZEN_EPSILON))
    return _without_conv_biases(_at_their_place(found))


def _renamed(name: str) -> str:
    leaf = _LEAF.search(name)
    module = name[: leaf.start()] if leaf else name
    for pattern, template in _COMPILED:
        match = pattern.fullmatch(module)
        if match and leaf:
            branch = _BRANCHES.get(match.groups()[-1] if match.groups() else "", "")
            return f"{template.format(*match.groups(), branch=branch)}.{_LEAVES[leaf[1]]}"
    return name


def _moved(name: str, value: np.ndarray) -> np.ndarray:
    if ".cls_score." in name:
        return np.roll(value, -1, axis=0)
    if ".bbox_pred." in name:
        return value[4:] if len(value) > 4 else value
    return value[1:] if ".mask_head.predictor." in name and len(value) > 1 else value


def _at_their_place(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A model without a pyramid has no "bottom_up", and with res5 in its head, that is where it goes."""
    if any(name.startswith("backbone.fpn_") for name in tensors):
        return tensors
    in_head = "roi_heads.box_predictor.cls_score.weight" in tensors and "roi_heads.box_head.fc1.weight" not in tensors
    moved = {}
    for name, value in tensors.items():
        name = name.replace("backbone.bottom_up.", "backbone.")
        moved[name.replace("backbone.res5.", "roi_heads.res5.") if in_head else name] = value
    return moved


def _without_conv_biases(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Some files have biases under norms, which Detectron2 leaves out."""

    def is_under_norm(name: str) -> bool:
        return name.endswith(".bias") and f"{name.removesuffix('bias')}norm.weight" in tensors

    return {name: value for name, value in tensors.items() if not is_under_norm(name)}
