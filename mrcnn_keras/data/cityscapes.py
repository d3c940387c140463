"""The Cityscapes dataset, as it comes out of its archives."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from mrcnn_keras.data.annotations import Annotations, make_annotations
from mrcnn_keras.data.cityscapes_labels import NO_OBJECT, UNKNOWN, class_table, draw_instance_ids, instance_labels
from mrcnn_keras.data.images import read_labels
from mrcnn_keras.data.label_images import LabelImageDataset, objects_of

SPLITS = ("train", "val", "test")
_IMAGE_SUFFIX = "_leftImg8bit.png"
# The first that is there is read.
_LABEL_SUFFIXES = ("_gtFine_instanceIds.png", "_gtFine_polygons.json")


class CityscapesDataset(LabelImageDataset):
    """Cityscapes' fine annotations of its 8 classes with instances, in the folders of the official archives.

    Photos are `leftImg8bit/<split>/<city>/*_leftImg8bit.png`. The objects of each are read from
    `gtFine/<split>/<city>/*_gtFine_instanceIds.png` or, where that is absent, drawn from `*_gtFine_polygons.json` by
    cityscapesscripts. An id of 1000 or more is an object; the bare id of a label is a group, which is a crowd here.
    Caravans, trailers and what else the evaluation ignores are no objects.

    The labels of "test" are not public: its photos are there to detect on, always without annotations.

    Needs the extra: `pip install mrcnn-keras[cityscapes]`.

    Args:
        root: folder that holds `leftImg8bit` and `gtFine`.
        split: "train", "val" or "test", or several of them, such as `("train", "val")`.
        skip_broken: list photos without a label file, and broken files, in `report()` instead of raising.

    Raises:
        ImportError: cityscapesscripts is not installed.
        ValueError: the split is unknown, has no folder or no photo, or (unless `skip_broken`) a photo has no label
            file or a broken header.
    """

    def __init__(self, root: str | os.PathLike, split: str | Sequence[str] = "train", skip_broken: bool = False):
        labels = instance_labels()
        self.class_names = tuple(label.name for label in labels)
        self._category_ids = tuple(label.id for label in labels)
        self._class_of = class_table()
        pairs, faults = [], []
        for one in dict.fromkeys([split] if isinstance(split, str) else split):
            found, missing = _find(pathlib.Path(root), one)
            pairs += found
            faults += missing
        nothing = f"no photo <city>/*{_IMAGE_SUFFIX} with labels for split={split!r} in root={str(root)!r}"
        super().__init__(pairs, faults, skip_broken, nothing)

    def load_annotations(self, index: int) -> Annotations:
        """Objects and groups of image `index`, by ascending instance id, which is their id; groups are crowds."""
        if not self.has_labels(index):
            return make_annotations(self._sizes[index], [], rles=[])
        labels = self.instance_ids(index)
        classes = self._class_of.take(labels, mode="clip")
        values, rles = objects_of(np.where(classes > NO_OBJECT, labels, 0))
        is_crowd = [value < 1000 for value in values]
        return make_annotations(labels.shape, self._class_of[values], rles=rles, ids=values, is_crowd=is_crowd)

    def has_labels(self, index: int) -> bool:
        """Whether image `index` has annotations at all, which those of the split "test" have not."""
        return self._pairs[index][1] is not None

    def instance_ids(self, index: int) -> np.ndarray:
        """Cityscapes' own label of each pixel: int32 (H, W), 1000 * label id + number, or the label id alone.

        Raises:
            ValueError: the label file is broken, of another size than the photo, or has an id of no label; or the image
                has no labels.
        """
        image_path, path = self._pairs[index]
        if path is None:
            raise ValueError(f"image {image_path} has no labels: those of the test split are not public")
        labels = draw_instance_ids(path, self._sizes[index]) if path.suffix == ".json" else read_labels(path)
        self._check_size(index, path, labels.shape)
        unknown = labels[self._class_of.take(labels, mode="clip") == UNKNOWN]
        if unknown.size:
            raise ValueError(f"{path}: instance id {unknown[0]} is neither a label id nor 1000 * label id + number")
        return labels

    def instance_ids_file(self, index: int, folder: str | os.PathLike) -> pathlib.Path:
        """The PNG of the instance ids of image `index`: the dataset's own or, drawn from polygons, one in `folder`."""
        path = self._pairs[index][1]
        if path is not None and path.suffix == ".png":
            return path
        from PIL import Image

        labels = self.instance_ids(index)
        drawn = pathlib.Path(folder) / path.name.replace(_LABEL_SUFFIXES[1], _LABEL_SUFFIXES[0])
        Image.fromarray(labels.astype(np.uint16)).save(drawn)
        return drawn

    def image_id(self, index: int) -> str:
        """City, sequence and frame, such as "frankfurt_000000_000294"."""
        return self.image_name(index).removesuffix(_IMAGE_SUFFIX)

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Cityscapes' label id of each class: 24, 25, 26, 27, 28, 31, 32, 33."""
        return self._category_ids


def _find(root: pathlib.Path, split: str) -> tuple[list[tuple], list[str]]:
    """The photos of a split with their label files, and a fault for each without."""
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: expected 'train', 'val' or 'test', or several of them")
    folder = root / "leftImg8bit" / split
    if not folder.is_dir():
        layout = f"leftImg8bit/{split}/<city>/*{_IMAGE_SUFFIX} and gtFine/{split}/<city>/*{_LABEL_SUFFIXES[0]}"
        raise ValueError(f"{folder} is not a folder; root={str(root)!r} must hold {layout}")
    pairs, faults = [], []
    for image in sorted(folder.glob(f"*/*{_IMAGE_SUFFIX}")):
        city, name = root / "gtFine" / split / image.parent.name, image.name.removesuffix(_IMAGE_SUFFIX)
        candidates = [city / (name + suffix) for suffix in _LABEL_SUFFIXES]
        found = [path for path in candidates if path.is_file()]
        if split == "test":
            pairs.append((image, None))
        elif found:
            pairs.append((image, found[0]))
        else:
            faults.append(f"image {image} has no labels: neither {candidates[0]} nor {candidates[1].name} is there")
    return pairs, faults
