"""The length, rates and image sizes of the paper's and Detectron2's trainings, by name; free of TensorFlow."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

_EVERY_SIZE = {"train_min_sides": (640, 800), "min_side_sampling": "range"}
_SIX_SIZES = (640, 672, 704, 736, 768, 800)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """One schedule.

    Attributes:
        title: where it is from.
        steps: of `images` images each.
        drops: steps at which the learning rate is divided by 10.
        images: in a step.
        images_per_replica: in a step, of each of `images / images_per_replica` devices.
        fields: further fields of `MaskRCNNConfig`.
    """

    title: str
    steps: int
    drops: tuple[int, ...]
    images: int = 16
    images_per_replica: int = 2
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def config_fields(self, images_per_step: int) -> dict[str, Any]:
        """Fields of `MaskRCNNConfig` for a training with other batches; it sees as many images, at a rate that
        follows the batch (`base_learning_rate` is that for 16 images).

        Args:
            images_per_step: all devices together.
        """
        drops = tuple(drop / self.steps for drop in self.drops)
        steps = math.ceil(self.steps * self.images / images_per_step)
        return {"batch_size": images_per_step, "total_steps": steps, "learning_rate_drops": drops, **self.fields}


_COCO = {"image_min_side": 800, "image_max_side": 1333}
# Appendix B: 0.3 is what everything before the updated baseline has but the keypoints, which section 5 gives 0.5.
_ORIGINAL, _UPDATED = {**_COCO, "nms_threshold": 0.3}, {**_COCO, "nms_threshold": 0.5}
_PERSONS = {**_UPDATED, **_EVERY_SIZE}
_CITY = {
    "image_min_side": 1024,
    "image_max_side": 2048,
    "train_min_sides": (800, 1024),
    "min_side_sampling": "range",
    "nms_threshold": 0.3,
}
_DETECTRON2 = {**_COCO, "train_min_sides": _SIX_SIZES}
# ResNeXt trains with one image on each of 8 GPUs, and as many steps (section 3.1); table 8 is about ResNeXt only.
_RESNEXT = 8, 1
SCHEDULES: dict[str, Schedule] = {
    "paper": Schedule("section 3.1", 160_000, (120_000,), fields=_ORIGINAL),
    "paper_resnext": Schedule("section 3.1, ResNeXt", 160_000, (120_000,), *_RESNEXT, _ORIGINAL),
    "updated": Schedule("appendix B, updated baseline of ResNeXt", 180_000, (120_000, 160_000), *_RESNEXT, _UPDATED),
    "augmented": Schedule(
        "appendix B, train-time augmentation of ResNeXt",
        260_000,
        (200_000, 240_000),
        *_RESNEXT,
        {**_UPDATED, **_EVERY_SIZE},
    ),
    "keypoint": Schedule("section 5", 90_000, (60_000, 80_000), fields=_PERSONS),
    "keypoint_updated": Schedule("appendix B, keypoints", 130_000, (100_000, 120_000), fields=_PERSONS),
    "keypoint_updated_resnext": Schedule(
        "appendix B, keypoints with ResNeXt", 130_000, (100_000, 120_000), *_RESNEXT, _PERSONS
    ),
    "1x": Schedule("Detectron2", 90_000, (60_000, 80_000), fields=_DETECTRON2),
    "2x": Schedule("Detectron2", 180_000, (120_000, 160_000), fields=_DETECTRON2),
    "3x": Schedule("Detectron2", 270_000, (210_000, 250_000), fields=_DETECTRON2),
    "cityscapes": Schedule("appendix A", 24_000, (18_000,), 8, 1, _CITY),
    "cityscapes_from_coco": Schedule("appendix A, from COCO weights", 4_000, (3_000,), 8, 1, _CITY),
}
