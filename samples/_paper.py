"""The words in which the recipes of the paper's tables are written."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Model:
    """An architecture of the paper and what stands for it on drawn scenes.

    Attributes:
        preset: of the paper's.
        narrow: preset of the small one.
        fields: config fields of the small one.
    """

    preset: str
    narrow: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: as in the paper.
        paper: the paper's numbers in percent, by column.
        model: a name of `MODELS`; None: another system, which is not trained here.
        fields: config fields of the row, at any scale.
        schedule: a name of `SCHEDULES`; None: the table's.
        weights: what the training starts from: "imagenet", "imagenet5k", or "coco" for a model trained on COCO.
        stages: the config field `training_stages` in the paper.
        compares_stages: keep `stages` on drawn scenes, too; else these are trained end to end.
        distilled: trained on what the model of the row before finds in images without labels, too.
        tta: tested with test-time augmentation.
    """

    name: str
    paper: Mapping[str, float]
    model: str | None = None
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    schedule: str | None = None
    weights: str = "imagenet"
    stages: str = "stage_wise"
    compares_stages: bool = False
    distilled: bool = False
    tta: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        title: what is compared.
        schedule: of its rows, a name of `SCHEDULES`.
        test: "minival", "test-dev" or "cityscapes", what the paper's numbers are of.
        scenes: a name of `SCENES`, the drawn stand-in for the data.
        steps: of a training on drawn scenes that is long enough to compare rows.
        rows: from top to bottom.
    """

    title: str
    schedule: str
    test: str
    scenes: str
    steps: int
    rows: tuple[Row, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that a row of the paper has, like "mask AP75", in the order of the fullest rows."""
        fullest = sorted(self.rows, key=lambda row: -len(row.paper))
        return tuple(dict.fromkeys(column for row in fullest for column in row.paper))


def masks(*numbers: float | None) -> dict[str, float]:
    """Mask AP, AP50, AP75 and, where there are six, APs, APm and APl; None where the paper has none."""
    return _numbers("mask", ("AP", "AP50", "AP75", "APs", "APm", "APl"), numbers)


def boxes(*numbers: float | None) -> dict[str, float]:
    """The same for boxes."""
    return _numbers("box", ("AP", "AP50", "AP75", "APs", "APm", "APl"), numbers)


def keypoints(*numbers: float | None) -> dict[str, float]:
    """Keypoint AP, AP50, AP75, APm and APl."""
    return _numbers("keypoint", ("AP", "AP50", "AP75", "APm", "APl"), numbers)


CITY_COLUMNS = ("AP [val]", "AP", "AP50", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")


def city(*numbers: float | None) -> dict[str, float]:
    """Table 7's columns."""
    return {name: number for name, number in zip(CITY_COLUMNS, numbers, strict=True) if number is not None}


def _numbers(kind: str, names: tuple[str, ...], numbers: tuple[float | None, ...]) -> dict[str, float]:
    return {f"{kind} {name}": number for name, number in zip(names, numbers) if number is not None}
