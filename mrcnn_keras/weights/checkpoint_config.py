"""The config that goes with a checkpoint, and what in a config the weights depend on."""

from collections.abc import Mapping
from typing import Any

from mrcnn_keras.config import MaskRCNNConfig, make_config, replaced_by_backbone
from mrcnn_keras.data.keypoints import COCO_PERSON
from mrcnn_keras.weights.systems.interpret import Interpreted
from mrcnn_keras.weights.zoo.class_names import COCO, COCO_BY_ID, PERSON

# What the names and shapes of the weights depend on, beside the sides of maps that are flattened.
_SHAPING = (
    "num_classes features stem_channels block_counts backbone_widths basic_blocks non_local_blocks backbone_norm "
    "fpn_norm head_norm fc_norm norm_bias fpn_channels anchor_sizes_by_level anchor_ratios rpn_channels rpn_convs "
    "box_head box_head_dim box_head_conv_dim box_class_agnostic mask_head mask_head_dim mask_head_convs mask_head_fcs "
    "mask_head_fc_dim mask_loss mask_class_agnostic num_keypoints keypoint_head_dim keypoint_head_convs"
).split()
_KEYPOINTS = ("keypoint_names", "keypoint_skeleton", "keypoint_flip", "keypoint_sigmas")


def architecture_differences(a: MaskRCNNConfig, b: MaskRCNNConfig) -> list[str]:
    """The fields for which the weights of a model of one config are not those of a model of the other."""
    first, second = _architecture(a), _architecture(b)
    return [name for name in {**first, **second} if first.get(name) != second.get(name)]


def _architecture(config: MaskRCNNConfig) -> dict[str, Any]:
    sides = {"box_pool_size": config.box_head != "res5", "mask_pool_size": config.mask_head == "mlp"}
    values = {name: getattr(config, name) for name in (*_SHAPING, *(name for name, counts in sides.items() if counts))}
    return values | {"training_stages": config.rpn_has_features}


def config_of(
    source: Interpreted, class_names: tuple[str, ...], settings: Mapping[str, Any], overrides: Mapping[str, Any]
) -> MaskRCNNConfig:
    """The config of a checkpoint.

    Args:
        source: the checkpoint.
        class_names: of its classes; empty where nobody knows.
        settings: fields that the publisher states; they win over what was guessed from the file.
        overrides: fields that the user sets.

    Raises:
        ValueError: a field that does not exist or a value out of range.
    """
    fields = {**source.fields, **settings}
    if class_names and len(class_names) == fields.get("num_classes"):
        fields["class_names"] = tuple(class_names)
    if "class_names" in overrides and "num_classes" not in overrides:
        overrides = {**overrides, "num_classes": len(overrides["class_names"])}
    if overrides.get("num_classes", fields.get("num_classes")) != fields.get("num_classes"):
        fields.pop("class_names", None)
    if fields.get("num_keypoints") == len(COCO_PERSON) and fields.get("class_names") == PERSON:
        fields = {"keypoint_names": COCO_PERSON.names, "keypoint_skeleton": COCO_PERSON.skeleton, **fields}
    if overrides.get("num_keypoints", fields.get("num_keypoints")) != fields.get("num_keypoints"):
        fields = {name: value for name, value in fields.items() if name not in _KEYPOINTS}
    if "backbone" in overrides:
        for name in replaced_by_backbone(fields.get("backbone"), overrides["backbone"]):
            fields.pop(name, None)
    if "image_min_side" in overrides:
        fields.pop("train_min_sides", None)
    return make_config({**fields, **overrides})


def known_class_names(source: Interpreted) -> tuple[str, ...]:
    """Class names that go with a number of classes in a system's public models; empty where there are none."""
    count = source.fields.get("num_classes")
    if source.fields.get("num_keypoints") == 17 and count == 1:
        return PERSON
    known = {
        ("detectron2", 80): COCO,
        ("matterport", 80): COCO,
        ("torchvision", 90): COCO_BY_ID,
    }
    return known.get((source.system, count), ())


def settings_for(config: MaskRCNNConfig, source: Interpreted, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a preset has to take over for a checkpoint's weights to mean what they meant."""
    conventions = {**source.conventions, **settings}
    if not source.whole:
        return {**conventions, "norm_bias": source.architecture["norm_bias"]}
    if source.architecture["features"] == config.features:
        pooled = ("box_pool_size", "res5_stride") if config.box_head == "res5" else ()
        return {**{name: source.fields[name] for name in pooled if name in source.fields}, **conventions}
    return {name: value for name, value in conventions.items() if name in _OF_THE_BACKBONE}


_OF_THE_BACKBONE = ("pixel_mean", "pixel_std", "stride_in_1x1", "stem_pool", "norm_epsilon")
