"""The data of the recipes: drawn scenes, or COCO and Cityscapes."""

import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from _paper_models import CITY_CLASSES
from _scenes import Renamed, ThinShapesDataset

from mrcnn_keras.data import (
    CityscapesDataset,
    CocoDataset,
    Dataset,
    ShapesDataset,
    StickFiguresDataset,
    image_file_size,
    make_annotations,
    read_image,
)

TRAIN_IMAGES, TRAIN_SEED = 20_000, 100
TEST_SEED, TEST_DEV_SEED, UNLABELLED_SEED = 7, 8, 50
CITY_IMAGES = 120  # few, as Cityscapes has few
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


def unlabelled(training: Mapping[str, Any]) -> Dataset:
    """Images without labels for data distillation."""
    given = training["distilled"]
    if training["scale"] == "full":
        return ImageFolder(given["folder"])
    kind, arguments = training["data"]
    return drawn(kind, arguments, given["images"], UNLABELLED_SEED + training["seed"])


class ImageFolder(Dataset):
    """The JPEG files of a folder, without annotations.

    Args:
        folder: such as COCO's unlabeled2017.

    Raises:
        ValueError: there are none.
    """

    def __init__(self, folder: str | os.PathLike):
        self.paths = sorted(pathlib.Path(folder).glob("*.jpg"))
        if not self.paths:
            raise ValueError(f"no .jpg files in {os.fspath(folder)!r}")

    def __len__(self) -> int:
        return len(self.paths)

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        return read_image(self.paths[index])

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width) in pixels."""
        return image_file_size(self.paths[index])


class Distilled(Dataset):
    """Images with what a model has found in them as their labels (Radosavovic et al., 2017).

    Args:
        images: a dataset; its own annotations are not looked at.
        found: `Detections` of each of its images that has any, by index.
        like: the dataset whose class names and keypoints the labels have.
    """

    def __init__(self, images: Dataset, found: Mapping[int, Any], like: Dataset):
        self.images, self.indices, self.found = images, sorted(found), found
        self.class_names, self.keypoints = like.class_names, like.keypoints

    def __len__(self) -> int:
        return len(self.indices)

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        return self.images.load_image(self.indices[index])

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.images.image_size(self.indices[index])

    def load_annotations(self, index: int) -> Any:
        """What was found; every keypoint counts as visible."""
        found = self.found[self.indices[index]]
        points = found.keypoints
        if points is not None:
            points = np.concatenate([points[..., :2], np.full_like(points[..., :1], 2)], axis=-1)
        return make_annotations(found.size, found.class_ids, boxes=found.boxes, keypoints=points)


class Mixed(Dataset):
    """Two datasets, of which the second is repeated or cut until it is a part of all.

    Args:
        first, second: with the same classes and keypoints.
        share: of the second among all images, between 0 and 1.
    """

    def __init__(self, first: Dataset, second: Dataset, share: float = 0.4):
        self.first, self.second = first, second
        self.class_names, self.keypoints = first.class_names, first.keypoints
        self._extra = round(len(first) * share / (1 - share))

    def __len__(self) -> int:
        return len(self.first) + self._extra

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        return self._of(Dataset.load_image.__name__, index)

    def load_annotations(self, index: int) -> Any:
        """The objects."""
        return self._of(Dataset.load_annotations.__name__, index)

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self._of(Dataset.image_size.__name__, index)

    def _of(self, method: str, index: int) -> Any:
        count = len(self.first)
        where, place = (self.first, index) if index < count else (self.second, (index - count) % len(self.second))
        return getattr(where, method)(place)


def best_labels(found: Sequence[Any], objects_per_image: float) -> dict[int, Any]:
    """The detections to train on: the best of all, as many an image as people have marked.

    Args:
        found: `Detections` of each image.
        objects_per_image: of the labelled data.

    Returns: those of each image that has any, by index.
    """
    scores = np.sort(np.concatenate([one.scores for one in found]))[::-1]
    wanted = min(len(scores), max(1, round(objects_per_image * len(found))))
    if not len(scores):
        raise ValueError("the teacher has found nothing in the images without labels")
    kept = {index: one[one.scores >= scores[wanted - 1]] for index, one in enumerate(found)}
    return {index: one for index, one in kept.items() if len(one)}
