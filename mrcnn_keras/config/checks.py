"""What a config's fields may be."""

import math
import numbers
import re
from collections.abc import Sequence
from typing import Any

from mrcnn_keras.config.backbones import BACKBONES

NORMS = ("none", "frozen", "batch", "sync_batch", "group")


def check(config: Any) -> None:
    """Whether the fields of a `MaskRCNNConfig` are in their ranges and go together.

    Raises:
        ValueError: with the field, the value given and what was expected.
    """
    _check_choices(config)
    _check_ranges(config)
    _check_image(config)
    sides = config.train_min_sides
    if config.min_side_sampling == "range" and not (len(sides) == 2 and 1 <= sides[0] <= sides[1]):
        raise ValueError(f"train_min_sides={sides}: min_side_sampling='range' needs the least and the most")
    check_jitter(config.color_jitter, config.scale_jitter, config.crop_size)
    _check_network(config)
    _check_keypoints(config)
    _check_training(config)


def check_jitter(color_jitter: Sequence[float], scale_jitter: Sequence[float], crop_size: Sequence[int]) -> None:
    """Whether the strengths of random changes in training are in their ranges.

    Raises:
        ValueError: with the argument, the value given and what was expected.
    """
    if len(color_jitter) != 4 or not all(value >= 0 for value in color_jitter) or color_jitter[3] > 0.5:
        expected = "four numbers from 0 up, for brightness, contrast, saturation and hue, the last at most 0.5"
        raise ValueError(f"color_jitter={color_jitter}: expected {expected}")
    if scale_jitter and not (len(scale_jitter) == 2 and 0 < scale_jitter[0] <= scale_jitter[1] < math.inf):
        raise ValueError(f"scale_jitter={scale_jitter}: expected the least and the most scale, above 0, or ()")
    if len(crop_size) != 2 or not all(isinstance(side, int) and side > 0 for side in crop_size):
        raise ValueError(f"crop_size={crop_size}: expected (height, width), whole numbers from 1 up")


def head_layers(name: str) -> tuple[int, int] | None:
    """Convolutions and fully connected layers of a box head like "4conv1fc"; None for another name."""
    found = re.fullmatch(r"(?:([1-9])conv)?([1-9])fc", name)
    return found and (int(found[1] or 0), int(found[2]))


def _check_choices(config: Any) -> None:
    choices = {
        "backbone": tuple(BACKBONES),
        "features": ("fpn", "c4", "c5", "dc5"),
        "min_side_sampling": ("choice", "range"),
        "stem_pool": ("symmetric", "same"),
        "resize": ("detectron2", "torchvision", "matterport"),
        "backbone_norm": NORMS,
        "fpn_norm": NORMS,
        "head_norm": NORMS,
        "fc_norm": NORMS,
        "roi_op": ("align", "pool", "warp", "crop_and_resize"),
        "roi_reduce": ("average", "max"),
        "roi_level_rounding": ("down", "down+", "nearest"),
        "mask_head": ("fcn", "mlp", "none"),
        "mask_loss": ("sigmoid", "softmax"),
        "mask_paste": ("exact", "padded"),
        "keypoint_score": ("softmax", "logit"),
        "freeze_at": tuple(range(6)),
        "training_stages": ("end_to_end", "stage_wise", "alternating"),
        "stage_proposals": ("live", "stored"),
    }
    for name, allowed in choices.items():
        value = getattr(config, name)
        if value not in allowed:
            raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(repr, allowed))}")
    if config.box_head != "res5" and head_layers(config.box_head) is None:
        raise ValueError(f"box_head={config.box_head!r}: expected '2fc', '4conv1fc' or such, or 'res5'")
    if config.box_head == "res5" and config.features != "c4":
        raise ValueError(f"box_head='res5' needs features='c4', not {config.features!r}")


def _check_ranges(config: Any) -> None:
    at_least_one = (
        "num_classes image_min_side image_max_side size_divisor stem_channels fpn_channels norm_groups "
        "rpn_pre_nms_topk_train rpn_pre_nms_topk_test "
        "rpn_post_nms_topk_train rpn_post_nms_topk_test rpn_batch_size rpn_convs roi_batch_size box_head_dim "
        "box_head_conv_dim box_pool_size res5_stride mask_head_dim mask_head_fcs mask_head_fc_dim "
        "mask_pool_size keypoint_head_dim keypoint_pool_size max_detections gt_mask_size batch_size total_steps"
    ).split()
    from_zero = (
        "res2_channels num_groups width_per_group rpn_channels mask_head_convs num_keypoints keypoint_head_convs"
    ).split()
    for name in (*at_least_one, *from_zero):
        value, least = getattr(config, name), 0 if name in from_zero else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}={value!r}: expected a whole number from {least} up")
    fractions = (
        "rpn_nms_threshold rpn_positive_fraction roi_positive_fraction roi_iou_threshold score_threshold "
        "nms_threshold norm_momentum momentum"
    ).split()
    for name in fractions:
        if not 0.0 <= getattr(config, name) <= 1.0:
            raise ValueError(f"{name}={getattr(config, name)!r}: expected a number in [0, 1]")
    not_negative = (
        "rpn_smooth_l1_beta box_smooth_l1_beta roi_sampling_ratio base_learning_rate warmup_steps weight_decay "
        "gradient_clip_norm norm_epsilon rpn_min_size detection_min_size seed"
    ).split()
    for name in not_negative:
        if not getattr(config, name) >= 0:
            raise ValueError(f"{name}={getattr(config, name)!r}: expected a number from 0 up")


def _check_image(config: Any) -> None:
    if config.features == "fpn" and config.size_divisor % 32:
        raise ValueError(f"size_divisor={config.size_divisor}: a feature pyramid needs a multiple of 32")
    if config.image_max_side < config.image_min_side:
        raise ValueError(f"image_max_side={config.image_max_side} is under image_min_side={config.image_min_side}")
    for name in ("pixel_mean", "pixel_std"):
        if len(getattr(config, name)) != 3:
            raise ValueError(f"{name}={getattr(config, name)}: expected three numbers, for R, G and B")
    scales = config.tta_scales
    numeric = isinstance(scales, tuple) and all(isinstance(scale, numbers.Real) for scale in scales)
    if not numeric or not scales or not all(0 < scale < math.inf for scale in scales):
        raise ValueError(f"tta_scales={scales!r}: expected one or more numbers above 0, such as (0.75, 1.0, 1.25)")
    if config.square_padding and config.image_max_side % config.size_divisor:
        expected = f"a multiple of size_divisor={config.size_divisor}, since square_padding makes it the input's side"
        raise ValueError(f"image_max_side={config.image_max_side}: expected {expected}")
    if min(config.pixel_std) <= 0:
        raise ValueError(f"pixel_std={config.pixel_std}: expected numbers above 0")


def _check_network(config: Any) -> None:
    if config.class_names and len(config.class_names) != config.num_classes:
        raise ValueError(f"{len(config.class_names)} class_names given for num_classes={config.num_classes}")
    if config.backbone_blocks and len(config.backbone_blocks) != 4:
        raise ValueError(f"backbone_blocks={config.backbone_blocks}: expected four counts, for res2..res5")
    if config.basic_blocks and config.backbone_widths[1] != 1:
        raise ValueError(f"num_groups={config.num_groups}: the blocks of {config.backbone} have no groups")
    if config.gradient_checkpointing and config.backbone_norm in ("batch", "sync_batch"):
        raise ValueError(
            f"gradient_checkpointing=True would count each batch twice in the statistics of "
            f"backbone_norm={config.backbone_norm!r}: take 'frozen', 'group' or 'none'"
        )
    counts, most = config.non_local_blocks, _most_non_local(config)
    if len(counts) != 4 or not all(isinstance(n, int) and 0 <= n <= limit for n, limit in zip(counts, most)):
        raise ValueError(f"non_local_blocks={counts}: expected four numbers, for res2..res5, up to {most}")
    if len(config.anchor_sizes_by_level) != len(config.strides):
        raise ValueError(f"anchor_sizes={config.anchor_sizes}: expected {len(config.strides)}, one for each level")
    if len({len(sizes) for sizes in config.anchor_sizes_by_level}) != 1:
        raise ValueError(f"anchor_sizes={config.anchor_sizes}: expected as many sides for every level")


def _most_non_local(config: Any) -> tuple[int, ...]:
    """Blocks of each stage before which a non-local block can stand; with C4 features res5 is the head."""
    return (*config.block_counts[:3], 0) if config.features == "c4" else config.block_counts


def _check_keypoints(config: Any) -> None:
    count = config.num_keypoints
    for name in ("keypoint_names", "keypoint_flip", "keypoint_sigmas"):
        given = getattr(config, name)
        if given and len(given) != count:
            raise ValueError(f"{len(given)} {name} given for num_keypoints={count}")
    if any(not sigma > 0 for sigma in config.keypoint_sigmas):
        raise ValueError(f"keypoint_sigmas={config.keypoint_sigmas}: expected numbers above 0")
    flip = config.keypoint_flip
    if sorted(flip) != list(range(len(flip))) or any(flip[flip[index]] != index for index in flip):
        raise ValueError(f"keypoint_flip={flip}: expected each of 0..{count - 1} once, partners each other's index")
    for limb in config.keypoint_skeleton:
        if (
            not isinstance(limb, tuple)
            or len(limb) != 2
            or not all(isinstance(end, int) and 0 <= end < count for end in limb)
        ):
            raise ValueError(f"keypoint_skeleton has {limb!r}: expected two keypoints of 0..{count - 1}")


def _check_training(config: Any) -> None:
    low, high = config.rpn_iou_thresholds
    if not 0.0 <= low <= high <= 1.0:
        raise ValueError(f"rpn_iou_thresholds={config.rpn_iou_thresholds}: expected 0 <= low <= high <= 1")
    if any(not 0.0 < at < 1.0 for at in config.learning_rate_drops):
        raise ValueError(f"learning_rate_drops={config.learning_rate_drops}: expected fractions of the run in (0, 1)")
