"""The architectures of the paper's tables and the drawn scenes that small ones learn from."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from _paper import Model

from mrcnn_keras import demo

# Every training on drawn scenes.
NARROW: dict[str, Any] = {
    **demo.SETTINGS,
    "batch_size": 4,
    "roi_batch_size": 32,
    "roi_positive_fraction": 0.5,
    "mask_head_fc_dim": 256,
    "tta_scales": (0.75, 1.0, 1.25),
}
_HALF_WIDTH = {"stem_channels": 16, "res2_channels": 32, "width_per_group": 16}
_ONE_LEVEL = {
    "anchor_sizes": (24, 40, 64, 96),
    "rpn_pre_nms_topk_train": 400,
    "rpn_pre_nms_topk_test": 200,
    "rpn_post_nms_topk_train": 200,
    "rpn_post_nms_topk_test": 60,
}
_DEEP = {**_HALF_WIDTH, "backbone_blocks": (2, 2, 8, 2)}
_GROUPS = {"num_groups": 8, "width_per_group": 4}
_DEEPER = {**_DEEP, **_GROUPS, "backbone_blocks": (2, 3, 10, 2)}
_FPN, _C4, _BOXES = "mask_rcnn_narrow_fpn", "mask_rcnn_narrow_c4", "faster_rcnn_narrow_fpn"
_KEYPOINTS, _BOTH = "keypoint_rcnn_narrow_fpn", "keypoint_mask_rcnn_narrow_fpn"

MODELS: dict[str, Model] = {
    "R-50-C4": Model("mask_rcnn_resnet50_c4", _C4, {**_ONE_LEVEL, **_HALF_WIDTH}),
    "R-101-C4": Model("mask_rcnn_resnet101_c4", _C4, {**_ONE_LEVEL, **_DEEP}),
    "R-50-C5": Model(
        "mask_rcnn_resnet50_c5", "mask_rcnn_narrow_c5", {**_ONE_LEVEL, "box_head_dim": 256, "mask_head_dim": 64}
    ),
    "R-50-FPN": Model("mask_rcnn_resnet50_fpn", _FPN, _HALF_WIDTH),
    "R-101-FPN": Model("mask_rcnn_resnet101_fpn", _FPN, _DEEP),
    "X-101-FPN": Model("mask_rcnn_resnext101_32x8d_fpn", _FPN, {**_DEEP, **_GROUPS}),
    "X-152-FPN": Model("mask_rcnn_resnext152_32x8d_fpn", _FPN, _DEEPER),
    "X-152-FPN-NL": Model("mask_rcnn_resnext152_32x8d_fpn_nl", _FPN, {**_DEEPER, "non_local_blocks": (0, 0, 1, 0)}),
    "R-101-FPN, boxes": Model("faster_rcnn_resnet101_fpn", _BOXES, _DEEP),
    "R-50-FPN, Cityscapes": Model("mask_rcnn_resnet50_fpn_cityscapes", _FPN, _HALF_WIDTH),
    "persons, boxes": Model("person_faster_rcnn_resnet50_fpn", _BOXES),
    "persons, masks": Model("person_mask_rcnn_resnet50_fpn", _FPN),
    "persons, keypoints": Model("keypoint_rcnn_resnet50_fpn", _KEYPOINTS),
    "persons, keypoints & masks": Model("keypoint_mask_rcnn_resnet50_fpn", _BOTH),
    "persons, keypoints, R-101-FPN": Model("keypoint_rcnn_resnet101_fpn", _KEYPOINTS, _DEEP),
    "persons, keypoints, X-101-FPN": Model("keypoint_rcnn_resnext101_32x8d_fpn", _KEYPOINTS, {**_DEEP, **_GROUPS}),
}


@dataclasses.dataclass(frozen=True)
class Scenes:
    """One kind of drawn scenes.

    Attributes:
        kind: "thin" shapes, "shapes", "stick" figures, or "city": a Cityscapes folder of thin shapes.
        train, minival, test_dev: arguments of the datasets. Images to test on are larger where COCO's bounds of small,
            medium and large objects, 32 and 96 pixels, are to fall among their objects; the network shrinks them.
        fields: config fields of models of them.
    """

    kind: str
    train: Mapping[str, Any]
    minival: Mapping[str, Any]
    test_dev: Mapping[str, Any]
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_SMALL = {"size": (128, 128)}
_LARGE = {
    "size": (192, 192),
    "max_objects": 3,
    "radius": (0.16, 0.34),
    "thickness": 2.0,
    "shapes": ("star5", "ring", "cross", "bar", "crescent"),
}
_PEOPLE = {"size": (384, 384)}
CITY_CLASSES = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")

SCENES: dict[str, Scenes] = {
    # Everywhere masks are hard.
    "thin": Scenes("thin", _SMALL, _SMALL, {"size": (320, 320), "radius": (0.1, 0.32)}),
    # Where RoI layers are compared: objects of some cells of the features; their place can be seen, their detail not.
    "large": Scenes(
        "thin",
        _LARGE,
        _LARGE,
        _LARGE,
        {"image_min_side": 192, "image_max_side": 192, "anchor_sizes": (40, 64, 96, 128)},
    ),
    "stick": Scenes("stick", _SMALL, _PEOPLE, _PEOPLE),
    # In place of ImageNet-5k.
    "shapes": Scenes("shapes", _SMALL, _SMALL, _SMALL),
    # In place of Cityscapes, and of COCO's seven classes that Cityscapes has, too.
    "city": Scenes("city", _SMALL, _SMALL, _SMALL),
    "city classes of COCO": Scenes(
        "thin", {**_SMALL, "names": tuple(name for name in CITY_CLASSES if name != "rider")}, _SMALL, _SMALL
    ),
}
