"""Datasets in the COCO format: a folder of images and one JSON file."""

import json
import math
import os
import pathlib
from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mrcnn_keras.data import rle
from mrcnn_keras.data.annotations import Annotations, make_annotations
from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.images import image_file_size, read_image
from mrcnn_keras.data.json_stream import iterate_sections


class CocoDataset(Dataset):
    """Images and instance annotations in the COCO format.

    Segmentations may be polygons or RLE, compressed or not; crowds are kept and marked. The annotations stay in the
    file and are read image by image, so memory does not grow with them. Classes 0..K-1 are the categories by ascending
    id; `category_ids` leads back. Images without annotations are kept.

    Args:
        image_dir: folder that the file names in the JSON start from.
        annotation_file: JSON file with "images", "annotations" and "categories".
        skip_broken: list missing images and broken annotations in `report()` instead of raising.

    Raises:
        ValueError: the file is not COCO JSON, or (unless `skip_broken`) an image file is missing or an annotation names
            an image or a category that is not there. The message names the file and the annotation.
    """

    def __init__(self, image_dir: str | os.PathLike, annotation_file: str | os.PathLike, skip_broken: bool = False):
        self.image_dir, self.annotation_file = pathlib.Path(image_dir), pathlib.Path(annotation_file)
        self.skip_broken = skip_broken
        if not self.image_dir.is_dir():
            raise ValueError(f"image_dir={str(image_dir)!r} is not a folder")
        index = _Index(self.annotation_file)
        self._category_ids, self.class_names = index.classes()
        self._class_of = {category: number for number, category in enumerate(self._category_ids)}
        faults = index.faults(set(self._class_of)) + index.remove_missing_images(self.image_dir)
        if faults and not skip_broken:
            more = f" (and {len(faults) - 1} more such faults)" if len(faults) > 1 else ""
            raise ValueError(f"annotation file {annotation_file}: {faults[0]}{more}; pass skip_broken=True to go on")
        self._faults.add(None, "index", [("skipped", f"annotation file {annotation_file}: {one}") for one in faults])
        self._names, self._ids, self._sizes = index.names, index.image_ids, index.sizes
        self._starts, self._places = index.by_image()

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Category id in the annotation file of each class."""
        return self._category_ids

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        return read_image(self.image_dir / self._names[index])

    def load_annotations(self, index: int) -> Annotations:
        """Objects of image `index` as the file has them, crowds included; ids are the file's annotation ids."""
        size = self.image_size(index)
        records, notes = [], []
        annotations = self._read(index)
        masks_wanted = any(annotation.get("segmentation") for annotation in annotations)
        for annotation in annotations:
            try:
                records.append(_record(annotation, size, self._class_of, masks_wanted))
            except ValueError as error:
                name = annotation.get("id", "without id")
                message = f"annotation {name} of image {self._names[index]!r} in {self.annotation_file}: {error}"
                if not self.skip_broken:
                    raise ValueError(message) from error
                notes.append(("skipped", message))
        self._faults.add(index, "annotations", notes)
        columns = {name: [record[name] for record in records] for name in _RECORD_FIELDS}
        masks = [record["mask"] for record in records] if masks_wanted or not records else None
        return make_annotations(size, **columns, rles=masks)

    def image_id(self, index: int):
        """The id of the image in the annotation file."""
        return self._ids[index]

    def image_name(self, index: int) -> str:
        """File name of the image."""
        return self._names[index]

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width) as the annotation file says, else from the image's header."""
        if self._sizes[index] is None:
            self._sizes[index] = image_file_size(self.image_dir / self._names[index])
        return self._sizes[index]

    def _read(self, index: int) -> list[dict]:
        places = self._places[self._starts[index] : self._starts[index + 1]]
        if not len(places):
            return []
        with open(self.annotation_file, "rb") as file:
            pieces = []
            for offset, length in places.tolist():
                file.seek(offset)
                pieces.append(file.read(length))
        try:
            return [json.loads(piece.decode("utf-8")) for piece in pieces]
        except ValueError:
            raise ValueError(f"annotation file {self.annotation_file} changed since it was opened") from None


_RECORD_FIELDS = ("class_ids", "boxes", "is_crowd", "ids", "areas")


class _Index:
    """What is kept of the JSON file: images, categories and the place of each annotation."""

    def __init__(self, path: pathlib.Path):
        self.names, self.image_ids, self.sizes = [], [], []
        self._category_ids, self._category_names = [], []
        self._owners, self._places, self._labels = [], array("q"), []
        sections = {"images": self._add_image, "categories": self._add_category, "annotations": self._add_annotation}
        for key, element, offset, length in iterate_sections(path, set(sections)):
            try:
                sections[key](element, offset, length)
            except KeyError as error:
                fault = f"field {error} is missing in {json.dumps(element)[:80]} of {key!r}"
                raise ValueError(f"annotation file {path}: {fault}") from None
        for name, ids in (("images", self.image_ids), ("categories", self._category_ids)):
            if not ids:
                raise ValueError(f"annotation file {path} has no {name!r}")
            if len(set(ids)) < len(ids):
                twice = next(one for one, count in Counter(ids).items() if count > 1)
                raise ValueError(f"annotation file {path}: id {twice!r} comes twice in {name!r}")

    def classes(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Category ids in ascending order and their names."""
        pairs = sorted(zip(self._category_ids, self._category_names, strict=True))
        return tuple(number for number, _ in pairs), tuple(name for _, name in pairs)

    def faults(self, categories: set[int]) -> list[str]:
        """Annotations of unknown images or categories; they are taken out."""
        images, faults, keep = set(self.image_ids), [], []
        for row, (owner, (annotation_id, category)) in enumerate(zip(self._owners, self._labels, strict=True)):
            if owner not in images:
                faults.append(f"annotation {annotation_id} belongs to image id {owner!r}, which is not in 'images'")
            elif category not in categories:
                faults.append(f"annotation {annotation_id} has category_id {category!r}, which is not in 'categories'")
            else:
                keep.append(row)
        self._owners = [self._owners[row] for row in keep]
        self._places = np.array(self._places, np.int64).reshape(-1, 2)[keep]
        self._labels = []
        return faults

    def remove_missing_images(self, folder: pathlib.Path) -> list[str]:
        """Takes out images whose file is not there, with their annotations."""
        present: dict[pathlib.Path, set[str]] = {}
        keep, faults = [], []
        for row, name in enumerate(self.names):
            path = folder / name
            if path.parent not in present:
                present[path.parent] = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
            if path.name in present[path.parent]:
                keep.append(row)
            else:
                faults.append(f"image file {path} does not exist")
        self.names, self.image_ids, self.sizes = (
            [values[row] for row in keep] for values in (self.names, self.image_ids, self.sizes)
        )
        return faults

    def by_image(self) -> tuple[np.ndarray, np.ndarray]:
        """Places of the annotations sorted by image, and where each image's begin."""
        row_of = {image_id: row for row, image_id in enumerate(self.image_ids)}
        rows = np.array([row_of.get(owner, -1) for owner in self._owners], np.int64)
        order = np.argsort(rows, kind="stable")[np.count_nonzero(rows < 0) :]
        starts = np.searchsorted(rows[order], np.arange(len(self.image_ids) + 1))
        return starts, self._places.reshape(-1, 2)[order]

    def _add_image(self, image: dict, offset: int, length: int) -> None:
        self.image_ids.append(image["id"])
        self.names.append(image["file_name"])
        size = image.get("height"), image.get("width")
        self.sizes.append(size if all(isinstance(side, int) and side > 0 for side in size) else None)

    def _add_category(self, category: dict, offset: int, length: int) -> None:
        self._category_ids.append(category["id"])
        self._category_names.append(str(category["name"]))

    def _add_annotation(self, annotation: dict, offset: int, length: int) -> None:
        self._owners.append(annotation["image_id"])
        self._labels.append((annotation.get("id", "without id"), annotation["category_id"]))
        self._places.extend((offset, length))


def _record(annotation: dict, size: tuple[int, int], class_of: dict[int, int], mask_wanted: bool) -> dict:
    """The fields of one annotation, checked."""
    segmentation, bbox, mask = annotation.get("segmentation"), annotation.get("bbox"), None
    if segmentation:
        mask = rle.from_segmentation(segmentation, *size)
    elif mask_wanted:
        raise ValueError("it has no segmentation, others of the image do")
    elif bbox is None:
        raise ValueError("it has neither a segmentation nor a bbox")
    if bbox is None:
        box = rle.boxes([mask])[0]
    else:
        x, y, width, height = _numbers(bbox, 4)
        box = np.array([x, y, x + width, y + height], np.float32)
    area = annotation.get("area")
    if not isinstance(area, (int, float)):
        area = rle.areas([mask])[0] if mask is not None else (box[2] - box[0]) * (box[3] - box[1])
    return {
        "class_ids": class_of[annotation["category_id"]],
        "boxes": box,
        "mask": mask,
        "is_crowd": bool(annotation.get("iscrowd", 0)),
        "ids": annotation.get("id"),
        "areas": area,
    }


def _numbers(values: Sequence, count: int) -> list[float]:
    ok = isinstance(values, list) and len(values) == count
    if not ok or not all(isinstance(value, (int, float)) and math.isfinite(value) for value in values):
        raise ValueError(f"bbox must be {count} numbers [x, y, width, height], got {values!r}")
    return values
