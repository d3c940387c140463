"""Config fields read off the paths and shapes of a model's weights."""

import math
import re
from collections.abc import Mapping
from typing import Any

from mrcnn_keras.config import BACKBONES
from mrcnn_keras.weights.readers.limits import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]


def read_architecture(shapes: Shapes, learnt_norms: str = "batch", backbone_is_learnt: bool = False) -> dict[str, Any]:
    """The config fields that a checkpoint's own tensors determine.

    Args:
        shapes: of every tensor, by the path of our variable and in our layout (`box_head/fc1/kernel` is (inputs,
            outputs) in any order of inputs).
        learnt_norms: what a batch norm outside the backbone is called in the config.
        backbone_is_learnt: whether the backbone's batch norms are such too; otherwise they are frozen.

    Returns:
        Fields of `MaskRCNNConfig`; for a bare ResNet those of the backbone only.

    Raises:
        CheckpointError: there is no ResNet in it, or parts that cannot belong together.
    """
    fields = _backbone(shapes, learnt_norms if backbone_is_learnt else "frozen")
    if "rpn_head/conv/kernel" not in shapes:
        if any(path.startswith(("box_head/", "mask_head/")) for path in shapes):
            raise CheckpointError("it has heads and no region proposal network")
        return fields
    if "box_head/classifier/kernel" not in shapes:
        raise CheckpointError("it is a region proposal network without a box head")
    fields |= _features(shapes, learnt_norms)
    fields |= _rpn(shapes)
    fields |= _box_head(shapes, fields, learnt_norms)
    fields |= _mask_head(shapes, fields, learnt_norms)
    return fields | _keypoint_head(shapes)


def _backbone(shapes: Shapes, batch_norm: str) -> dict[str, Any]:
    kernel = shapes.get("backbone/res2_0/conv2/kernel")
    if kernel is None or "backbone/stem/kernel" not in shapes:
        raise CheckpointError("it has no ResNet")
    basic = "backbone/res2_0/conv3/kernel" not in shapes
    counts = tuple(_count(shapes, rf"(?:backbone|res5_head)/res{stage}_(\d+)/conv1/kernel") for stage in (2, 3, 4, 5))
    groups = kernel[3] // kernel[2]
    width = kernel[3] // groups
    name = _backbone_name(counts, groups, width, basic)
    return {
        "backbone": name,
        "backbone_blocks": () if BACKBONES[name].blocks == counts else counts,
        "stem_channels": shapes["backbone/stem/kernel"][3],
        "res2_channels": kernel[3] if basic else shapes["backbone/res2_0/conv3/kernel"][3],
        "num_groups": groups,
        "width_per_group": width,
        "backbone_norm": _norm(shapes, "backbone/stem", batch_norm),
        "norm_bias": "backbone/stem/bias" in shapes and "backbone/stem/norm/gamma" in shapes,
    }


def _backbone_name(counts: tuple[int, ...], groups: int, width: int, basic: bool) -> str:
    """The backbone that is most like it: all the same, or the same blocks, or the same kind of block."""
    own = (counts, groups, width)
    alike = {name: (b.blocks, b.num_groups, b.width_per_group) for name, b in BACKBONES.items() if b.basic == basic}
    same_blocks = [name for name, (blocks, *_) in alike.items() if blocks == counts]
    default = "resnet18" if basic else "resnet50"
    return next((name for name, other in alike.items() if other == own), (same_blocks or [default])[0])


def _features(shapes: Shapes, learnt_norms: str) -> dict[str, Any]:
    if "fpn/lateral2/kernel" in shapes:
        norm = _norm(shapes, "fpn/lateral2", learnt_norms)
        return {"features": "fpn", "fpn_channels": shapes["fpn/lateral2/kernel"][3], "fpn_norm": norm}
    return {"features": "c4" if "res5_head/res5_0/conv1/kernel" in shapes else "dc5"}


def _rpn(shapes: Shapes) -> dict[str, Any]:
    found = {"rpn_convs": 1 + _count(shapes, r"rpn_head/conv([2-9])/kernel", first=2)}
    channels = shapes["rpn_head/conv/kernel"]
    if channels[2] != channels[3]:
        found["rpn_channels"] = channels[3]
    return found


def _box_head(shapes: Shapes, fields: dict[str, Any], learnt_norms: str) -> dict[str, Any]:
    classes = shapes["box_head/classifier/kernel"][1] - 1
    found = {
        "num_classes": classes,
        "box_class_agnostic": shapes["box_head/regressor/kernel"][1] == 4 and classes > 1,
    }
    convs, fcs = (_count(shapes, rf"box_head/{kind}(\d+)/kernel", first=1) for kind in ("conv", "fc"))
    if fields["features"] == "c4" and not convs + fcs:
        return found | {"box_head": "res5", "box_pool_size": 14, "res5_stride": 2}
    if not fcs:
        raise CheckpointError("its box head has no fully connected layer")
    found["box_head"] = f"{convs}conv{fcs}fc" if convs else f"{fcs}fc"
    found["box_head_dim"] = shapes["box_head/fc1/kernel"][-1]
    found["fc_norm"] = _norm(shapes, "box_head/fc1", learnt_norms)
    if convs:
        found["box_head_conv_dim"] = shapes["box_head/conv1/kernel"][3]
        found["head_norm"] = _norm(shapes, "box_head/conv1", learnt_norms)
    inputs = shapes["box_head/fc1/kernel"][-2]
    found["box_pool_size"] = math.isqrt(inputs // _fc_channels(shapes, fields, convs))
    if found["box_pool_size"] ** 2 * _fc_channels(shapes, fields, convs) != inputs:
        raise CheckpointError(f"its box head's first fully connected layer takes {inputs} numbers: not a square map")
    return found


def _fc_channels(shapes: Shapes, fields: dict[str, Any], convs: int) -> int:
    """Channels of the map that the first fully connected layer takes."""
    if convs:
        return shapes[f"box_head/conv{convs}/kernel"][3]
    return fields.get("fpn_channels") or fields["res2_channels"] * (4 if fields["features"] == "c4" else 8)


def _mask_head(shapes: Shapes, fields: dict[str, Any], learnt_norms: str) -> dict[str, Any]:
    if "mask_head/predictor/kernel" not in shapes:
        return {"mask_head": "none"}
    found = {
        "mask_head": "fcn",
        "mask_head_convs": _count(shapes, r"mask_head/conv(\d+)/kernel", first=1),
        "mask_head_dim": shapes["mask_head/deconv/kernel"][3],
        "mask_class_agnostic": shapes["mask_head/predictor/kernel"][1] == 1 and fields["num_classes"] > 1,
    }
    if found["mask_head_convs"] and fields.get("head_norm", "none") == "none":
        found["head_norm"] = _norm(shapes, "mask_head/conv1", learnt_norms)
    return found


def _keypoint_head(shapes: Shapes) -> dict[str, Any]:
    if "keypoint_head/deconv/kernel" not in shapes:
        return {}
    return {
        "num_keypoints": shapes["keypoint_head/deconv/kernel"][2],
        "keypoint_head_dim": shapes["keypoint_head/conv1/kernel"][3],
        "keypoint_head_convs": _count(shapes, r"keypoint_head/conv(\d+)/kernel", first=1),
    }


def _norm(shapes: Shapes, layer: str, batch_norm: str) -> str:
    if f"{layer}/norm/gamma" not in shapes:
        return "none"
    return batch_norm if f"{layer}/norm/moving_mean" in shapes else "group"


def _count(shapes: Shapes, pattern: str, first: int = 0) -> int:
    """How many numbers from `first` on, without a gap, the pattern finds."""
    numbers = {int(found[1]) for found in map(re.compile(pattern).fullmatch, shapes) if found}
    count = 0
    while first + count in numbers:
        count += 1
    return count
