"""The public checkpoints of torchvision, Keras and matterport.

Looked up in torchvision 0.29's weight enums (AP on COCO val2017, sizes in MiB), in Keras' applications/resnet.py, and
in matterport's mrcnn/config.py and utils.py.
"""

import re
from typing import Any

from . import class_names as names
from .pretrained import PretrainedModel

_TORCHVISION = "https://download.pytorch.org/models/"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
_MATTERPORT = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/"

# Torchvision runs its first models with an epsilon of 0 in their frozen norms, but not the legacy one.
_LEGACY = {"norm_epsilon": 1e-5}


def _torchvision(
    name: str,
    file: str,
    mebibytes: float,
    ap: dict[str, float],
    class_names: tuple[str, ...],
    settings: dict[str, Any],
) -> PretrainedModel:
    return PretrainedModel(
        id=f"torchvision/{name}",
        url=_TORCHVISION + file,
        system="torchvision",
        size=round(mebibytes * 2**20),
        digest=re.search(r"-([0-9a-f]{8})\.pth$", file)[1],
        ap=ap,
        class_names=class_names,
        licence="BSD-3-Clause",
        settings=dict(settings),
    )


def _backbone(name: str, file: str, mebibytes: float) -> PretrainedModel:
    """An ImageNet model; "_v2" is torchvision's name for its second training."""
    return _torchvision(name, file, mebibytes, {}, (), {})


def _keras(name: str, md5: str, size: int) -> PretrainedModel:
    return PretrainedModel(
        id=f"imagenet/{name}",
        url=f"{_KERAS}{name}_weights_tf_dim_ordering_tf_kernels_notop.h5",
        system="keras",
        size=size,
        digest=md5,
        ap={},
        class_names=(),
        licence="MIT",
        settings={},
    )


MODELS: tuple[PretrainedModel, ...] = (
    _torchvision(
        "maskrcnn_resnet50_fpn_coco", "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", 169.84,
        {"box": 37.9, "mask": 34.6}, names.COCO_BY_ID, {},
    ),
    _torchvision(
        "maskrcnn_resnet50_fpn_v2_coco", "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth", 177.219,
        {"box": 47.4, "mask": 41.8}, names.COCO_BY_ID, {},
    ),
    _torchvision(
        "fasterrcnn_resnet50_fpn_coco", "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", 159.743,
        {"box": 37.0}, names.COCO_BY_ID, {},
    ),
    _torchvision(
        "fasterrcnn_resnet50_fpn_v2_coco", "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth", 167.104,
        {"box": 46.7}, names.COCO_BY_ID, {},
    ),
    _torchvision(
        "keypointrcnn_resnet50_fpn_coco", "keypointrcnn_resnet50_fpn_coco-fc266e95.pth", 226.054,
        {"box": 54.6, "keypoints": 65.0}, names.PERSON, {},
    ),
    _torchvision(
        "keypointrcnn_resnet50_fpn_coco_legacy", "keypointrcnn_resnet50_fpn_coco-9f466800.pth", 226.054,
        {"box": 50.6, "keypoints": 61.1}, names.PERSON, _LEGACY,
    ),
    _backbone("resnet18", "resnet18-f37072fd.pth", 44.661),
    _backbone("resnet34", "resnet34-b627a593.pth", 83.275),
    _backbone("resnet50", "resnet50-0676ba61.pth", 97.781),
    _backbone("resnet50_v2", "resnet50-11ad3fa6.pth", 97.79),
    _backbone("resnet101", "resnet101-63fe2227.pth", 170.511),
    _backbone("resnet101_v2", "resnet101-cd907fc2.pth", 170.53),
    _backbone("resnet152", "resnet152-394f9c45.pth", 230.434),
    _backbone("resnet152_v2", "resnet152-f82ba261.pth", 230.474),
    _backbone("resnext50_32x4d", "resnext50_32x4d-7cdf4587.pth", 95.789),
    _backbone("resnext50_32x4d_v2", "resnext50_32x4d-1a0047aa.pth", 95.833),
    _backbone("resnext101_32x8d", "resnext101_32x8d-8ba56ff5.pth", 339.586),
    _backbone("resnext101_32x8d_v2", "resnext101_32x8d-110c445d.pth", 339.673),
    _backbone("resnext101_64x4d", "resnext101_64x4d-173b62eb.pth", 319.318),
    _keras("resnet50", "4d473c1dd8becc155b73f8504c6f6626", 94765736),
    _keras("resnet101", "88cf7a10940856eca736dc7b7e228a21", 171446536),
    _keras("resnet152", "ee4c566cf9a93f14d82f913c2dc6dd0c", 234698864),
    PretrainedModel(
        id="matterport/mask_rcnn_coco",
        url=f"{_MATTERPORT}mask_rcnn_coco.h5",
        system="matterport",
        size=257557808,
        digest=None,
        ap={},
        class_names=names.COCO,
        licence="MIT",
        settings={},
    ),
)  # fmt: skip
