"""From a row of the paper's tables to what has to be trained and tested, as plain values that a file can keep."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from _paper import Row, Table
from _paper_models import MODELS, NARROW, SCENES
from _paper_tables import TABLES

from mrcnn_keras.config import MaskRCNNConfig
from mrcnn_keras.presets import preset_config
from mrcnn_keras.training.named_schedules import SCHEDULES
from mrcnn_keras.weights.zoo import lookup

SCALES = ("tiny", "small", "full")
TINY_STEPS = 150  # of the paper's 160k
TEST_IMAGES = {"tiny": 40, "small": 200}
UNLABELLED_IMAGES = {"tiny": 60, "small": 600}
# The steps that a row's are compared with: those of the tables' first schedules.
_USUAL_STEPS = {"keypoint": SCHEDULES["keypoint"].steps, "cityscapes": SCHEDULES["cityscapes"].steps}
_TRAINING_SIDES = "train_min_sides", "min_side_sampling"


class MissingWeights(ValueError):
    """A row starts from weights that nobody has published, and that were not given."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large, and with what.

    Attributes:
        name: one of `SCALES`: drawn scenes with very few steps, drawn scenes, or the paper's data.
        steps: of each training; None: the table's.
        settings: further config fields of all trainings.
        weights: "full": what stands for "imagenet": that, a path or an id, or "none".
        imagenet5k: "full": path or id of weights for backbones whose ImageNet-5k weights are not public.
        folders: "full": of "coco", "cityscapes" and the images without labels, "unlabelled".
    """

    name: str = "tiny"
    steps: int | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: str = "imagenet"
    imagenet5k: str | None = None
    folders: Mapping[str, str] = dataclasses.field(default_factory=dict)


def recipe(table: Table, row: Row, scale: Scale, seed: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """What to train and how to test it.

    Args:
        table, row: of `TABLES`; not of another system.
        scale: the scale.
        seed: of the training.

    Returns: the training and the test. Rows with equal trainings share one.

    Raises:
        MissingWeights: ImageNet-5k weights that nobody has published are needed and not given.
        ValueError: the scale's settings are not valid.
    """
    make = _full_training if scale.name == "full" else _drawn_training
    training = make(table, row, scale, seed)
    if row.distilled:
        teacher = make(table, dataclasses.replace(row, distilled=False), scale, seed)
        training["distilled"] = {"teacher": teacher, **_unlabelled(scale)}
    return plain(training), plain(_test(table, row, scale))


def all_rows(table: Table) -> Iterator[tuple[int, Row]]:
    """The rows of a table that are trained here, with their numbers from 1."""
    return ((number, row) for number, row in enumerate(table.rows, start=1) if row.model)


def key(training: Mapping[str, Any]) -> str:
    """A short name of a training, the same for the same training."""
    return hashlib.sha256(json.dumps(training, sort_keys=True).encode()).hexdigest()[:12]


def prerequisites(training: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The trainings whose weights or labels this one needs."""
    needed = [training.get("start"), (training.get("distilled") or {}).get("teacher")]
    return [one for one in needed if one]


def plain(value: Any) -> Any:
    """As a JSON file has it."""
    return json.loads(json.dumps(value))


def schedule_of(table: Table, row: Row) -> str:
    """The name of a row's schedule."""
    return row.schedule or table.schedule


def _drawn_training(table: Table, row: Row, scale: Scale, seed: int) -> dict[str, Any]:
    schedule = SCHEDULES[schedule_of(table, row)]
    scenes, model = SCENES[table.scenes], MODELS[row.model]
    fields = {**NARROW, **model.fields, **scenes.fields, **_drawn_fields(schedule, scenes), **row.fields}
    fields["training_stages"] = row.stages if row.compares_stages else "end_to_end"
    base = TINY_STEPS if scale.name == "tiny" else table.steps
    usual = next((steps for kind, steps in _USUAL_STEPS.items() if table.schedule.startswith(kind)), 160_000)
    training = {
        "scale": scale.name,
        "preset": model.narrow,
        "fields": _changed(model.narrow, _replaced(fields, scale.settings)),
        "schedule": schedule_of(table, row),
        "steps": scale.steps or round(base * schedule.steps / usual),
        "data": [scenes.kind, dict(scenes.train)],
        "seed": seed,
    }
    if row.weights in _DRAWN_STARTS:
        start_scenes, part, factor = _DRAWN_STARTS[row.weights]
        instead = dataclasses.replace(table, scenes=start_scenes, schedule="paper")
        plainly = Row("", {}, _START_MODELS.get(row.model, row.model))
        start = _drawn_training(instead, plainly, scale, seed)
        training["start"] = {**start, "steps": factor * start["steps"]}
        training["start_part"] = part
    return training


# What stands for weights on drawn scenes: scenes to learn from, the part that is taken, and how much longer to train.
_DRAWN_STARTS = {"imagenet5k": ("shapes", "backbone", 2), "coco": ("city classes of COCO", "classes", 1)}
# Deeper networks take the blocks that they have in common with the one that was trained.
_START_MODELS = {"X-152-FPN": "X-101-FPN", "X-152-FPN-NL": "X-101-FPN"}


def _drawn_fields(schedule: Any, scenes: Any) -> dict[str, Any]:
    """What a schedule says beside its length, with its sizes in proportion."""
    fields = {"nms_threshold": schedule.fields["nms_threshold"]}
    sides = schedule.fields.get("train_min_sides")
    if sides:
        side = scenes.fields.get("image_min_side", NARROW["image_min_side"])
        fields |= {"train_min_sides": (round(side * sides[0] / sides[1]), side), "min_side_sampling": "range"}
    return fields


def _full_training(table: Table, row: Row, scale: Scale, seed: int) -> dict[str, Any]:
    preset = MODELS[row.model].preset
    fields = {**row.fields, "training_stages": row.stages, **scale.settings}
    data = "cityscapes" if table.test == "cityscapes" else "persons" if "person" in row.model else "coco"
    training = {
        "scale": "full",
        "preset": preset,
        "fields": _changed(preset, fields, SCHEDULES[schedule_of(table, row)].fields),
        "schedule": schedule_of(table, row),
        "steps": scale.steps,
        "data": [data, scale.folders.get("cityscapes" if data == "cityscapes" else "coco")],
        "seed": seed,
        "weights": scale.weights,
    }
    if row.weights == "coco":
        trained = next(row for row in TABLES["2a"].rows if row.model == "R-50-FPN")
        training |= {"weights": None, "start_part": "classes"}
        training["start"] = _full_training(TABLES["2a"], trained, scale, seed)
    elif row.weights == "imagenet5k":
        training["weights"] = _imagenet5k(preset, scale)
    return training


def _imagenet5k(preset: str, scale: Scale) -> str:
    try:
        return lookup.imagenet_5k(preset_config(preset).backbone)
    except ValueError as error:
        if scale.imagenet5k:
            return scale.imagenet5k
        raise MissingWeights(f"--imagenet5k: {error}") from None


def full_config(training: Mapping[str, Any], devices: int = 8, **names: Any) -> MaskRCNNConfig:
    """The config of a training at full scale.

    Args:
        training: of `recipe`.
        devices: GPUs.
        **names: further fields: classes and keypoints of the data.
    """
    return preset_config(training["preset"], **full_fields(training, devices), **names)


def full_fields(training: Mapping[str, Any], devices: int) -> dict[str, Any]:
    """The config fields of a training at full scale beside its preset's; see `full_config`."""
    schedule = SCHEDULES[training["schedule"]]
    fields = {**schedule.config_fields(schedule.images_per_replica * devices), "seed": training["seed"]}
    if training["steps"]:
        fields["total_steps"] = training["steps"]
    return _replaced(fields, training["fields"])


def _test(table: Table, row: Row, scale: Scale) -> dict[str, Any]:
    test = {"of": table.test, "tta": row.tta}
    if scale.name == "full":
        return test
    scenes = SCENES[table.scenes]
    arguments = scenes.test_dev if table.test == "test-dev" else scenes.minival
    return {**test, "data": [scenes.kind, dict(arguments)], "images": TEST_IMAGES[scale.name]}


def _unlabelled(scale: Scale) -> dict[str, Any]:
    if scale.name == "full":
        return {"folder": scale.folders.get("unlabelled")}
    return {"images": UNLABELLED_IMAGES[scale.name]}


def _replaced(fields: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with other settings; a size among these takes the place of all that is said of sizes in training."""
    dropped = _TRAINING_SIDES if {"train_min_sides", "image_min_side"} & set(settings) else ()
    return {**{name: value for name, value in fields.items() if name not in dropped}, **settings}


def _changed(preset: str, fields: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The fields that change the preset, or the preset with those `before`: the same model is the same training."""
    before = before or {}
    own, changed = preset_config(preset, **before), preset_config(preset, **_replaced(before, fields))
    return {name: getattr(changed, name) for name in fields if getattr(changed, name) != getattr(own, name)}
