import dataclasses
import json

import pytest

from mrcnn_keras.config import MaskRCNNConfig, make_config
from mrcnn_keras.presets import PRESETS, preset_config


def test_dictionary_round_trip_through_json():
    sizes = ((8, 12), (16, 24), (32, 48), (64, 96), (128, 256))
    config = MaskRCNNConfig(num_classes=3, class_names=("a", "b", "c"), anchor_sizes=sizes)
    assert make_config(json.loads(json.dumps(config.to_dict()))) == config


def test_replace_keeps_the_rest():
    config = MaskRCNNConfig(num_classes=3).replace(image_min_side=400)
    assert (config.num_classes, config.image_min_side) == (3, 400)


def test_unknown_field_names_the_near_one():
    with pytest.raises(ValueError, match="image_min_sid.*image_min_side"):
        make_config({"image_min_sid": 3})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_classes", 0),
        ("num_classes", 2.5),
        ("image_min_side", -1),
        ("size_divisor", 16),
        ("backbone", "resnet51"),
        ("features", "c9"),
        ("backbone_norm", "layer"),
        ("nms_threshold", 1.5),
        ("rpn_iou_thresholds", (0.7, 0.3)),
        ("anchor_sizes", (32, 64)),
        ("backbone_blocks", (3, 4)),
        ("pixel_std", (1.0, 0.0, 1.0)),
        ("learning_rate_drops", (1.5,)),
        ("class_names", ("one",)),
        ("weight_decay", float("nan")),
        ("mask_head", "mlp5"),
        ("color_jitter", (0.4, 0.4, 0.4)),
        ("color_jitter", (0.4, -0.1, 0.4, 0.1)),
        ("color_jitter", (0.4, 0.4, 0.4, 0.6)),
        ("scale_jitter", (2.0, 0.1)),
        ("scale_jitter", (0.0, 2.0)),
        ("scale_jitter", (1.0,)),
        ("scale_jitter", (0.1, float("inf"))),
        ("crop_size", (1024,)),
        ("crop_size", (0, 64)),
        ("crop_size", (64.5, 64)),
        ("min_side_sampling", "random"),
        ("tta_scales", 1.5),
        ("tta_scales", ("1",)),
    ],
)
def test_bad_values_are_refused_by_name_and_value(field, value):
    with pytest.raises(ValueError, match=field):
        MaskRCNNConfig(**{field: value})


@pytest.mark.parametrize("sides", [(), (640,), (800, 640), (640, 672, 704)])
def test_a_range_of_short_sides_needs_its_two_ends(sides):
    with pytest.raises(ValueError, match=r"train_min_sides=\(.*min_side_sampling='range'"):
        MaskRCNNConfig(train_min_sides=sides, min_side_sampling="range")


def test_a_model_saved_before_there_were_random_changes_has_none():
    fields = MaskRCNNConfig(num_classes=3).to_dict()
    for name in ("color_jitter", "scale_jitter", "crop_size", "min_side_sampling"):
        del fields[name]
    config = make_config(fields)
    assert (config.color_jitter, config.scale_jitter, config.min_side_sampling) == ((0.0,) * 4, (), "choice")


def test_config_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        MaskRCNNConfig().num_classes = 3


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_config_with_overrides(name):
    assert preset_config(name, num_classes=5).num_classes == 5


def test_unknown_preset_lists_the_known():
    with pytest.raises(ValueError, match="mask_rcnn_resnet50_fpn"):
        preset_config("resnet50")


def test_gradient_checkpointing_and_batch_statistics():
    with pytest.raises(ValueError, match="count each batch twice in the statistics of backbone_norm='sync_batch'"):
        MaskRCNNConfig(gradient_checkpointing=True, backbone_norm="sync_batch")
