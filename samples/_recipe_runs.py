"""Trainings and tests of the recipes; they run in processes of their own, which import TensorFlow."""

import contextlib
import functools
import math
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

from _paper_models import CITY_CLASSES
from _recipe_data import (
    TEST_DEV_SEED,
    TEST_SEED,
    coco,
    drawn,
    drawn_city,
    training_set,
    with_distilled,
)
from _recipes import full_fields, key

from mrcnn_keras import demo
from mrcnn_keras.commands.quiet import import_tensorflow
from mrcnn_keras.presets import preset_config

_KINDS = {"bbox": "box", "segm": "mask", "keypoints": "keypoint"}


def limit_threads(threads: int) -> None:
    """Leave the other cores to the other processes."""
    import_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def model_file(out: pathlib.Path, training: Mapping[str, Any]) -> pathlib.Path:
    """Where the model of a training is kept."""
    return out / "models" / f"{key(training)}.keras"


def train_and_test(training: dict[str, Any], tests: list[dict[str, Any]], out: pathlib.Path) -> dict[str, Any]:
    """Train a model, if that has not been done, and test it.

    Args:
        training, tests: of `_recipes.recipe`.
        out: folder of the run, with the models of the trainings that this one needs.

    Returns: "seconds" that the training took, None if it had been done before; and "tests": for each its metrics by
    column, like "mask AP75", each in 0..1, and its seconds.
    """
    import_tensorflow()
    started, path, seconds = time.monotonic(), model_file(out, training), None
    if path.is_file():
        model = _load(training, path)
    else:
        model = (_train_full if training["scale"] == "full" else _train_drawn)(training, out)
        path.parent.mkdir(exist_ok=True)
        model.save(path.with_suffix(".new.keras"))
        path.with_suffix(".new.keras").replace(path)
        seconds = time.monotonic() - started
    done = []
    for test in tests:
        started = time.monotonic()
        metrics = (_test_full if training["scale"] == "full" else _test_drawn)(model, training, test, out)
        done.append((metrics, time.monotonic() - started))
    return {"seconds": seconds, "tests": done}


def _load(training: Mapping[str, Any], path: pathlib.Path) -> Any:
    from mrcnn_keras.model import MaskRCNN

    with _devices(training)[0]:
        return MaskRCNN.load(path)


def _devices(training: Mapping[str, Any]) -> tuple[Any, int]:
    """A context for making a model, and how many devices it is made for: at full scale all GPUs."""
    if training["scale"] == "full":
        from mrcnn_keras.training import make_strategy

        strategy = make_strategy()
        if strategy.num_replicas_in_sync > 1:
            return strategy.scope(), strategy.num_replicas_in_sync
    return contextlib.nullcontext(), 1


# ---- training ----


def _train_drawn(training: Mapping[str, Any], out: pathlib.Path) -> Any:
    from mrcnn_keras.commands.models import new_config
    from mrcnn_keras.model import MaskRCNN

    images = training_set(training, out)
    config = new_config(training["preset"], {**training["fields"], "seed": training["seed"]}, images)
    start = training.get("start")
    if start and training["start_part"] == "classes":
        model = MaskRCNN.from_pretrained(model_file(out, start), class_map="names", **config.to_dict())
    else:
        model = MaskRCNN(config)
        if start:
            _take_backbone(model, MaskRCNN.load(model_file(out, start)))
    if training.get("distilled"):
        images = with_distilled(training, images, _teacher(training, out), out)
    model.compile(demo.make_optimizer(config, training["steps"]))
    model.fit(images, steps_per_epoch=training["steps"], verbose=0, workers=1)
    return model


def _take_backbone(model: Any, other: Any) -> None:
    """Copy the weights of the backbone that both have in the same shape."""
    theirs = {weight.path: weight for weight in other.weights if weight.path.startswith("backbone/")}
    same = [(weight, theirs[weight.path]) for weight in model.weights
            if weight.path in theirs and weight.shape == theirs[weight.path].shape]  # fmt: skip
    if not same:
        raise ValueError("the backbones have no weight in common")
    for weight, value in same:
        weight.assign(value)


def _train_full(training: Mapping[str, Any], out: pathlib.Path) -> Any:
    from mrcnn_keras.data.dataset import names_of
    from mrcnn_keras.model import MaskRCNN
    from mrcnn_keras.training import Checkpoints

    images = training_set(training, out)
    scope, devices = _devices(training)
    fields = {**names_of(images, "keypoint" in training["preset"]), **full_fields(training, devices)}
    with scope:
        if training.get("start"):
            config = preset_config(training["preset"], **fields)
            start = model_file(out, training["start"])
            model = MaskRCNN.from_pretrained(start, class_map="names", **config.to_dict())
        else:
            weights = None if training["weights"] == "none" else training["weights"]
            model = MaskRCNN.from_preset(training["preset"], weights, **fields)
        model.compile(total_steps=model.config.total_steps)
    if training.get("distilled"):
        images = with_distilled(training, images, _teacher(training, out), out)
    # States of an interrupted training, from which it goes on.
    states = Checkpoints(out / "states" / key(training))
    model.fit(images, steps_per_epoch=model.config.total_steps, verbose=2, workers=8, callbacks=[states])
    return model


def _teacher(training: Mapping[str, Any], out: pathlib.Path) -> Any:
    """The model that labels photos for a training; on one device."""
    from mrcnn_keras.model import MaskRCNN

    return MaskRCNN.load(model_file(out, training["distilled"]["teacher"]))


# ---- tests ----


def _test_drawn(
    model: Any, training: Mapping[str, Any], test: Mapping[str, Any], out: pathlib.Path
) -> dict[str, float]:
    from mrcnn_keras.data import CityscapesDataset
    from mrcnn_keras.evaluation import evaluate_coco

    kind, arguments = test["data"]
    if kind == "city":
        seeds = {"val": TEST_SEED, "test": TEST_DEV_SEED}
        sets = [CityscapesDataset(drawn_city(out, arguments, test["images"], name, seed), "val")
                for name, seed in seeds.items()]  # fmt: skip
        return _city_columns(model, *sets, test["tta"])
    seed = TEST_DEV_SEED if test["of"] == "test-dev" else TEST_SEED
    images = drawn(kind, arguments, test["images"], seed)
    return _coco_columns(evaluate_coco(model, images, batch_size=4, verbose=False, tta=test["tta"] or None))


def _test_full(model: Any, training: Mapping[str, Any], test: Mapping[str, Any], out: pathlib.Path) -> dict[str, float]:
    """Metrics on the labels that are public; what the benchmarks' servers measure is written for them."""
    from mrcnn_keras.data import CityscapesDataset
    from mrcnn_keras.evaluation import evaluate_coco, write_cityscapes_results, write_coco_results

    kind, folder = training["data"]
    tta, results = test["tta"] or None, out / "for_the_server" / f"{test['of']}_{key(training)}"
    how = {"verbose": False, "detect_options": {"tta": tta}}
    if kind == "cityscapes":
        if pathlib.Path(folder, "leftImg8bit", "test").is_dir():
            images = CityscapesDataset(folder, "test")
            _write_once(results, functools.partial(write_cityscapes_results, model, images, **how))
        validation = CityscapesDataset(folder, "val")
        return _city_columns(model, validation, None, test["tta"])
    listing = pathlib.Path(folder, "annotations", "image_info_test-dev2017.json")
    if test["of"] == "test-dev" and listing.is_file():
        from mrcnn_keras.data import CocoDataset

        classes = ["person"] if kind == "persons" else None
        images = CocoDataset(pathlib.Path(folder, "test2017"), listing, classes=classes)
        _write_once(results, functools.partial(write_coco_results, model, images, **how))
    return _coco_columns(evaluate_coco(model, coco(folder, "val2017", kind == "persons"), verbose=False, tta=tta))


def _write_once(folder: pathlib.Path, write: Callable[[pathlib.Path], Any]) -> None:
    """Have a folder written, unless it is there; it appears when it is whole."""
    if folder.is_dir():
        return
    beside = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)  # of a run that was stopped
    write(beside)
    beside.rename(folder)


def _coco_columns(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Metrics by column, like "mask AP75"."""
    return {f"{_KINDS[kind]} {name}": value for kind, values in metrics.items() for name, value in values.items()}


def _city_columns(model: Any, validation: Any, test: Any, tta: bool) -> dict[str, float]:
    """Table 7's columns; where there is no test set with labels, all of them on the validation set."""
    from mrcnn_keras.evaluation import evaluate_cityscapes

    first, *rest = (evaluate_cityscapes(model, images, batch_size=4, verbose=False, tta=tta or None)
                    for images in (validation, test) if images is not None)  # fmt: skip
    last = rest[0] if rest else first
    columns = {"AP [val]": first["AP"], "AP": last["AP"], "AP50": last["AP50"]}
    return columns | {name: last["classes"].get(name, {}).get("AP", math.nan) for name in CITY_CLASSES}
