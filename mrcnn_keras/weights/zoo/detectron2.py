"""Detectron2's model zoo and the backbones it starts from.

Looked up in its model_zoo.py, MODEL_ZOO.md (AP on COCO val2017; its "License" section), the README of
Detectron1-Comparisons, and the configs. Left out: Cascade, RetinaNet, RPN, Fast R-CNN, panoptic, deformable and
RegNet models, and `mask_rcnn_R_50_FPN_1x_cls_agnostic`, of which only the config is public.
"""

import re
from typing import Any

from . import class_names as names
from .pretrained import PretrainedModel

_ADDRESS = "https://dl.fbaipublicfiles.com/detectron2/"
_OLD_ADDRESS = "https://dl.fbaipublicfiles.com/detectron/ImageNetPretrained/"
_LICENCE = "CC BY-SA 3.0"

# What the configs set, in the names and the colour order (R, G, B) of MaskRCNNConfig.
_IMAGENET_STD = {"pixel_std": (58.395, 57.12, 57.375)}
_SYNC = {"backbone_norm": "sync_batch", "fpn_norm": "sync_batch", "head_norm": "sync_batch"}
_SCRATCH = {"freeze_at": 0}
_DETECTRON1 = {
    "roi_aligned": False,
    "roi_sampling_ratio": 2,
    "rpn_smooth_l1_beta": 0.1111,
    "box_smooth_l1_beta": 1.0,
}
_NO_JITTER = {"train_min_sides": (800,)}

_Row = tuple[str, str, tuple[float, ...], dict[str, Any], int | None]


def _family(
    prefix: str,
    tasks: tuple[str, ...],
    class_names: tuple[str, ...],
    settings: dict[str, Any],
    *rows: _Row,
) -> tuple[PretrainedModel, ...]:
    """Models of one kind.

    Args:
        prefix: start of their configs' paths.
        tasks: what the APs in a row are of.
        class_names, settings: of all of them.
        *rows: end of the config's path, file, APs, more settings, megabytes.
    """
    return tuple(
        PretrainedModel(
            id=f"detectron2/{prefix}{name}",
            url=f"{_ADDRESS}{prefix}{name}/{file}",
            system="detectron2",
            size=megabytes and megabytes * 10**6,
            digest=re.search(r"_([0-9a-f]{6})\.pkl$", file)[1],
            ap=dict(zip(tasks, ap)),
            class_names=class_names,
            licence=_LICENCE,
            settings={**settings, **more},
        )
        for name, file, ap, more, megabytes in rows
    )


def _backbone(name: str, url: str, settings: dict[str, Any], size: int | None = None) -> PretrainedModel:
    id = f"detectron2/ImageNetPretrained/{name}"
    return PretrainedModel(id, url, "detectron2", size, None, {}, (), _LICENCE, dict(settings))


# Megabytes: as downloads were seen to report them; models of one architecture have as many weights.
MODELS: tuple[PretrainedModel, ...] = (
    *_family(
        "COCO-Detection/faster_rcnn_", ("box",), names.COCO, {},
        ("R_50_C4_1x", "137257644/model_final_721ade.pkl", (35.7,), {}, None),
        ("R_50_DC5_1x", "137847829/model_final_51d356.pkl", (37.3,), {}, None),
        ("R_50_FPN_1x", "137257794/model_final_b275ba.pkl", (37.9,), {}, 167),
        ("R_50_C4_3x", "137849393/model_final_f97cb7.pkl", (38.4,), {}, None),
        ("R_50_DC5_3x", "137849425/model_final_68d202.pkl", (39.0,), {}, None),
        ("R_50_FPN_3x", "137849458/model_final_280758.pkl", (40.2,), {}, 167),
        ("R_101_C4_3x", "138204752/model_final_298dad.pkl", (41.1,), {}, None),
        ("R_101_DC5_3x", "138204841/model_final_3e0943.pkl", (40.6,), {}, None),
        ("R_101_FPN_3x", "137851257/model_final_f6e8b1.pkl", (42.0,), {}, 243),
        ("X_101_32x8d_FPN_3x", "139173657/model_final_68b088.pkl", (43.0,), {}, None),
    ),
    *_family(
        "COCO-InstanceSegmentation/mask_rcnn_", ("box", "mask"), names.COCO, {},
        ("R_50_C4_1x", "137259246/model_final_9243eb.pkl", (36.8, 32.2), {}, None),
        ("R_50_DC5_1x", "137260150/model_final_4f86c3.pkl", (38.3, 34.2), {}, None),
        ("R_50_FPN_1x", "137260431/model_final_a54504.pkl", (38.6, 35.2), {}, 178),
        ("R_50_C4_3x", "137849525/model_final_4ce675.pkl", (39.8, 34.4), {}, None),
        ("R_50_DC5_3x", "137849551/model_final_84107b.pkl", (40.0, 35.9), {}, None),
        ("R_50_FPN_3x", "137849600/model_final_f10217.pkl", (41.0, 37.2), {}, 178),
        ("R_101_C4_3x", "138363239/model_final_a2914c.pkl", (42.6, 36.7), {}, None),
        ("R_101_DC5_3x", "138363294/model_final_0464b7.pkl", (41.9, 37.3), {}, None),
        ("R_101_FPN_3x", "138205316/model_final_a3ec72.pkl", (42.9, 38.6), {}, 254),
        ("X_101_32x8d_FPN_3x", "139653917/model_final_2d9806.pkl", (44.3, 39.5), {}, None),
    ),
    # Large-scale jitter. The APs are from the list in Supervisely's Detectron2 app, which lacks those after 200 epochs.
    *_family(
        "new_baselines/mask_rcnn_", ("box", "mask"), names.COCO, {**_SYNC, **_SCRATCH, "stride_in_1x1": True},
        ("R_50_FPN_100ep_LSJ", "42047764/model_final_bb69de.pkl", (44.6, 40.3), {}, None),
        ("R_50_FPN_200ep_LSJ", "42047638/model_final_89a8d3.pkl", (), {}, None),
        ("R_50_FPN_400ep_LSJ", "42019571/model_final_14d201.pkl", (47.4, 42.5), {}, None),
        ("R_101_FPN_100ep_LSJ", "42025812/model_final_4f7b58.pkl", (46.4, 41.6), {}, None),
        ("R_101_FPN_200ep_LSJ", "42131867/model_final_0bb7ae.pkl", (), {}, None),
        ("R_101_FPN_400ep_LSJ", "42073830/model_final_f96b26.pkl", (48.9, 43.7), {}, None),
    ),
    *_family(
        "COCO-Keypoints/keypoint_rcnn_", ("box", "keypoints"), names.PERSON, {},
        ("R_50_FPN_1x", "137261548/model_final_04e291.pkl", (53.6, 64.0), {}, 237),
        ("R_50_FPN_3x", "137849621/model_final_a6e10b.pkl", (55.4, 65.5), {}, 237),
        ("R_101_FPN_3x", "138363331/model_final_997cc7.pkl", (56.4, 66.1), {}, None),
        ("X_101_32x8d_FPN_3x", "139686956/model_final_5ad38f.pkl", (57.3, 66.0), {}, None),
    ),
    *_family(
        "LVISv0.5-InstanceSegmentation/mask_rcnn_", ("box", "mask"), (),
        {"score_threshold": 0.0001, "max_detections": 300},
        ("R_50_FPN_1x", "144219072/model_final_571f7c.pkl", (23.6, 24.4), {}, None),
        ("R_101_FPN_1x", "144219035/model_final_824ab5.pkl", (25.6, 25.9), {}, None),
        ("X_101_32x8d_FPN_1x", "144219108/model_final_5e3439.pkl", (26.7, 27.1), {}, None),
    ),
    *_family(
        "Cityscapes/mask_rcnn_", ("mask",), names.CITYSCAPES,
        {"image_min_side": 1024, "image_max_side": 2048, "train_min_sides": tuple(range(800, 1025, 32))},
        ("R_50_FPN", "142423278/model_final_af9cf5.pkl", (36.5,), {}, None),
    ),
    *_family(
        "PascalVOC-Detection/faster_rcnn_", ("box",), names.VOC,
        {"train_min_sides": tuple(range(480, 801, 32))},
        ("R_50_C4", "142202221/model_final_b1acc2.pkl", (51.9,), {}, None),
    ),
    *_family(
        "Misc/", ("box", "mask"), names.COCO, {},
        ("mask_rcnn_R_50_FPN_3x_gn", "138602888/model_final_dc5d9e.pkl", (42.6, 38.6), {}, None),
        ("mask_rcnn_R_50_FPN_3x_syncbn", "169527823/model_final_3b3c51.pkl", (41.9, 37.8), _SYNC, None),
        ("scratch_mask_rcnn_R_50_FPN_3x_gn", "138602908/model_final_01ca85.pkl", (39.9, 36.6), _SCRATCH, None),
        ("scratch_mask_rcnn_R_50_FPN_9x_gn", "183808979/model_final_da7b4c.pkl", (43.7, 39.6),
         {**_SCRATCH, **_IMAGENET_STD}, None),
        ("scratch_mask_rcnn_R_50_FPN_9x_syncbn", "184226666/model_final_5ce33e.pkl", (43.6, 39.3),
         {**_SYNC, **_SCRATCH, **_IMAGENET_STD}, None),
    ),
    *_family(
        "Detectron1-Comparisons/", ("box", "mask"), names.COCO, {**_DETECTRON1, **_NO_JITTER},
        ("faster_rcnn_R_50_FPN_noaug_1x", "137781054/model_final_7ab50c.pkl", (36.9,), {}, 167),
        ("mask_rcnn_R_50_FPN_noaug_1x", "137781281/model_final_62ca52.pkl", (37.8, 34.9), {}, 178),
    ),
    *_family(
        "Detectron1-Comparisons/keypoint_rcnn_", ("box", "keypoints"), names.PERSON, _DETECTRON1,
        ("R_50_FPN_1x", "137781195/model_final_cce136.pkl", (53.1, 64.2), {}, 237),
    ),
    _backbone("MSRA/R-50", f"{_ADDRESS}ImageNetPretrained/MSRA/R-50.pkl", {}),
    _backbone("MSRA/R-101", f"{_ADDRESS}ImageNetPretrained/MSRA/R-101.pkl", {}),
    _backbone("FAIR/R-50-GN", f"{_OLD_ADDRESS}47261647/R-50-GN.pkl", {}),
    _backbone("FAIR/R-101-GN", f"{_OLD_ADDRESS}47592356/R-101-GN.pkl", {}),
    _backbone("FAIR/X-101-32x8d", f"{_ADDRESS}ImageNetPretrained/FAIR/X-101-32x8d.pkl", {}),
    # Trained on the 5k classes of appendix B; the ResNeXt-101 of table 8 was never published.
    _backbone("FAIR/X-152-32x8d-IN5k", f"{_OLD_ADDRESS}25093814/X-152-32x8d-IN5k.pkl", {}),
    # Converted from torchvision (the file says so): unlike the others its first kernel takes R, G, B.
    _backbone("torchvision/R-50", f"{_ADDRESS}ImageNetPretrained/torchvision/R-50.pkl", {}, 102 * 10**6),
)  # fmt: skip
