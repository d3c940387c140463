"""The data of the recipes: drawn scenes, or COCO and Cityscapes."""

import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from _paper_models import CITY_CLASSES
from _recipes import key
from _scenes import Renamed, ThinShapesDataset

from mrcnn_keras.data import (
    CityscapesDataset,
    CocoDataset,
    Dataset,
    MixedDataset,
    ShapesDataset,
    StickFiguresDataset,
)

TRAIN_IMAGES, TRAIN_SEED = 20_000, 100
TEST_SEED, TEST_DEV_SEED, UNLABELLED_SEED = 7, 8, 50
CITY_IMAGES = 120  # few, as Cityscapes has few
_COUNTED = 200  # of drawn scenes, to know how many objects an image has
_DRAWN = {"thin": ThinShapesDataset, "shapes": ShapesDataset, "stick": StickFiguresDataset}


def training_set(training: Mapping[str, Any], out: pathlib.Path) -> Dataset:
    """What a training of `_recipes.recipe` learns from.

    Args:
        training: the training.
        out: folder of the run; the drawn Cityscapes is written there.
    """
    kind, given = training["data"]
    if training["scale"] == "full":
        if kind == "cityscapes":
            return CityscapesDataset(given, "train")
        images = coco(given, "train2017", kind == "persons")
        return images.with_keypoints() if kind == "persons" else images
    if kind == "city":
        return CityscapesDataset(drawn_city(out, given, CITY_IMAGES, "train", TRAIN_SEED), "train")
    # Every seed sees other scenes; all rows of a seed see the same.
    return drawn(kind, given, TRAIN_IMAGES, TRAIN_SEED + training["seed"])


def drawn(kind: str, arguments: Mapping[str, Any], count: int, seed: int) -> Dataset:
    """Drawn scenes of a kind; `names` among the arguments rename the classes, and leave out those without a name."""
    arguments, names = dict(arguments), arguments.get("names")
    if names is None:
        return _DRAWN[kind](count, seed, **arguments)
    del arguments["names"]
    shapes = [shape for shape, name in zip(ThinShapesDataset.every_shape, CITY_CLASSES, strict=True) if name in names]
    return Renamed(_DRAWN[kind](count, seed, shapes=shapes, **arguments), names)


def coco(folder: str | os.PathLike, part: str, persons: bool) -> Dataset:
    """A part of COCO 2017, or its persons with keypoints."""
    folder, kind = pathlib.Path(folder), "person_keypoints" if persons else "instances"
    return CocoDataset(folder / part, folder / "annotations" / f"{kind}_{part}.json")


def drawn_city(out: pathlib.Path, arguments: Mapping[str, Any], count: int, name: str, seed: int) -> pathlib.Path:
    """A folder in Cityscapes' layout, in which each of its classes is another shape; drawn unless it is there.

    Args:
        out: folder of the run.
        arguments: of the shapes.
        count: photos.
        name: of the folder; "train" has that split, others have "val".
        seed: of the scenes.
    """
    folder = out / f"drawn_city_{name}_{count}"
    if folder.is_dir():
        return folder
    scenes = ThinShapesDataset(count, seed, **arguments)
    with tempfile.TemporaryDirectory(dir=out) as made:
        part = pathlib.Path(made, "city")
        for index in range(count):
            _write_photo(part, "train" if name == "train" else "val", scenes, index)
        try:
            part.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    return folder


def _write_photo(root: pathlib.Path, split: str, scenes: Dataset, index: int) -> None:
    from PIL import Image
    from pycocotools import mask as mask_utils

    from mrcnn_keras.data.cityscapes_labels import label_ids

    ids, found = label_ids(CITY_CLASSES), scenes.load_annotations(index)
    labels, seen = np.zeros(found.size, np.uint16), dict.fromkeys(ids, 0)
    for class_id, rle in zip(found.class_ids, found.masks):
        label = ids[class_id]
        labels[mask_utils.decode(rle).astype(bool)] = 1000 * label + seen[label]
        seen[label] += 1
    name = f"drawn_{index:06}_000019"
    for part, ending, pixels in (("leftImg8bit", "leftImg8bit", scenes.load_image(index)),
                                 ("gtFine", "gtFine_instanceIds", labels)):  # fmt: skip
        folder = root / part / split / "drawn"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{name}_{ending}.png")


def with_distilled(training: Mapping[str, Any], images: Dataset, teacher: Any, out: pathlib.Path) -> Dataset:
    """The images, and in a ratio of 6 to 4 photos with what a model finds in them as their labels.

    Args:
        training: of `_recipes.recipe`, with "distilled".
        images: what people have labelled.
        teacher: the model.
        out: folder of the run; labels, and drawn photos, are written there.
    """
    from mrcnn_keras.distillation import distill

    given, labels = training["distilled"], out / "labels" / f"{key(training)}.json"
    counted, folder = images, given.get("folder")
    if folder is None:
        kind, arguments = training["data"]
        scenes = drawn(kind, arguments, given["images"], UNLABELLED_SEED + training["seed"])
        folder = labels.with_suffix("")
        _write_photos(scenes, folder)
        counted = images.subset(range(_COUNTED))
    if not labels.is_file():
        distill(teacher, folder, counted, labels, batch_size=4, verbose=False)
    return MixedDataset([images, CocoDataset(folder, labels)], (6, 4))


def _write_photos(scenes: Dataset, folder: pathlib.Path) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for index in range(len(scenes)):
        Image.fromarray(scenes.load_image(index)).save(folder / f"{index:06}.png")
