"""matterport's `mask_rcnn_*.h5`, and Keras' own ImageNet ResNets: names, layouts, and settings left unsaid."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from mrcnn_keras.weights.systems.names import KERAS_CONV, KERAS_NORM, MAX_BLOCKS, STAGES, NameMap

NOT_WEIGHTS = re.compile(r"(predictions|probs|fc1000)/(kernel|bias)|.*\banchors\b.*")


def canonical(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """ "layer/kernel" for every dataset, whatever groups the file puts around it."""
    found = {}
    for path, value in tensors.items():
        parts = path.split(":")[0].split("/")
        if len(parts) >= 2 and not path.startswith("optimizer_weights"):
            found["/".join(parts[-2:])] = value
    return found


def name_map() -> NameMap:
    """The names of matterport's layers."""
    modules = {"conv1": "backbone/stem", "bn_conv1": "backbone/stem/norm"}
    for stage in STAGES:
        for block in range(26):  # blocks are letters
            ours, theirs = f"backbone/res{stage}_{block}/", f"{stage}{chr(97 + block)}_branch"
            for branch, conv in (("2a", "conv1"), ("2b", "conv2"), ("2c", "conv3"), ("1", "shortcut")):
                modules[f"res{theirs}{branch}"] = ours + conv
                modules[f"bn{theirs}{branch}"] = f"{ours}{conv}/norm"
        modules[f"fpn_p{stage}"] = f"fpn/output{stage}"
        modules[f"fpn_c{stage}p{stage}"] = f"fpn/lateral{stage}"
    for i in (1, 2, 3, 4):
        modules |= {f"mrcnn_mask_conv{i}": f"mask_head/conv{i}", f"mrcnn_mask_bn{i}": f"mask_head/conv{i}/norm"}
    return NameMap(modules | _HEADS, "/", KERAS_CONV, KERAS_NORM)


_HEADS = {
    "rpn_conv_shared": "rpn_head/conv",
    "rpn_class_raw": "rpn_head/objectness",
    "rpn_bbox_pred": "rpn_head/deltas",
    "mrcnn_class_conv1": "box_head/fc1",
    "mrcnn_class_bn1": "box_head/fc1/norm",
    "mrcnn_class_conv2": "box_head/fc2",
    "mrcnn_class_bn2": "box_head/fc2/norm",
    "mrcnn_class_logits": "box_head/classifier",
    "mrcnn_bbox_fc": "box_head/regressor",
    "mrcnn_mask_deconv": "mask_head/deconv",
    "mrcnn_mask": "mask_head/predictor",
}


def keras_name_map() -> NameMap:
    """The names of `keras.applications`' ResNet-50, -101 and -152."""
    modules = {"conv1_conv": "backbone/stem", "conv1_bn": "backbone/stem/norm"}
    for stage in STAGES:
        for block in range(MAX_BLOCKS):
            theirs, ours = f"conv{stage}_block{block + 1}_", f"backbone/res{stage}_{block}/"
            for i, conv in enumerate(("shortcut", "conv1", "conv2", "conv3")):
                modules |= {f"{theirs}{i}_conv": ours + conv, f"{theirs}{i}_bn": f"{ours}{conv}/norm"}
    return NameMap(modules, "/", KERAS_CONV, KERAS_NORM)


def to_ours(path: str, value: np.ndarray) -> np.ndarray:
    """One of matterport's tensors as our variable has it.

    The RPN's two scores an anchor become the difference that their softmax depends on.
    """
    if path.startswith("rpn_head/objectness/"):
        pairs = value.reshape(*value.shape[:-1], -1, 2)
        return pairs[..., 1] - pairs[..., 0]
    if path.startswith("rpn_head/deltas/"):
        return _as_xy(value)
    if path.startswith("box_head/classifier/"):
        return np.roll(value, -1, axis=-1)
    if path.startswith("box_head/regressor/"):
        return _as_xy(value[..., 4:])
    if path == "box_head/fc1/kernel":
        return value.reshape(1, 1, -1, value.shape[-1])
    if path == "mask_head/deconv/kernel":
        return value.transpose(0, 1, 3, 2)
    if path == "mask_head/predictor/kernel":
        return value[0, 0, :, 1:]
    return value[1:] if path == "mask_head/predictor/bias" else value


def _as_xy(value: np.ndarray) -> np.ndarray:
    """(dy, dx, dh, dw) -> (dx, dy, dw, dh) on the last axis."""
    return value.reshape(*value.shape[:-1], -1, 4)[..., [1, 0, 3, 2]].reshape(value.shape)


def keras_to_ours(path: str, value: np.ndarray) -> np.ndarray:
    """One of Keras' tensors as our variable has it: its networks take BGR."""
    return value[:, :, ::-1] if path == "backbone/stem/kernel" else value


def unread_settings(fields: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """What matterport's code does with such a model and its file does not say; arguments as of Detectron2's."""
    return {
        "image_min_side": 800,
        "image_max_side": 1024,
        "resize": "matterport",
        "square_padding": True,
        "pixel_mean": (123.7, 116.8, 103.9),
        "pixel_std": (1.0, 1.0, 1.0),
        "stride_in_1x1": True,
        "stem_pool": "same",
        "norm_epsilon": 1e-3,
        "anchor_ratios": (2.0, 1.0, 0.5),
        "rpn_delta_weights": (10.0, 10.0, 5.0, 5.0),
        "rpn_by_level": False,
        "rpn_pre_nms_topk_train": 6000,
        "rpn_pre_nms_topk_test": 6000,
        "rpn_post_nms_topk_train": 2000,
        "box_inclusive": True,
        "roi_op": "crop_and_resize",
        "roi_level_rounding": "nearest",
        "roi_batch_size": 200,
        "roi_positive_fraction": 0.33,
        "nms_threshold": 0.3,
        "best_class_only": True,
    }


def keras_settings(fields: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """What `keras.applications` does with its ResNets and their files do not say."""
    return {
        "pixel_mean": (123.68, 116.779, 103.939),
        "pixel_std": (1.0, 1.0, 1.0),
        "stride_in_1x1": True,
        "norm_epsilon": 1.001e-5,
    }
