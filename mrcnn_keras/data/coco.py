"""Datasets in the COCO format: a folder of images and one JSON file."""

import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from mrcnn_keras.data import rle
from mrcnn_keras.data.annotations import Annotations, make_annotations
from mrcnn_keras.data.coco_index import CocoIndex
from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.files import checked_folder
from mrcnn_keras.data.images import image_file_size, read_image
from mrcnn_keras.data.json_stream import read_elements
from mrcnn_keras.data.keypoints import check_points


class CocoDataset(Dataset):
    """Images and instance annotations in the COCO format.

    Segmentations may be polygons or RLE, compressed or not; crowds are kept and marked. The annotations stay in the
    file and are read image by image, so memory does not grow with them. Classes 0..K-1 are the categories by ascending
    id; `category_ids` leads back. Images without annotations are kept.

    Where a category lists "keypoints", `keypoints` is its set and the annotations carry them, moved by half a pixel to
    continuous coordinates; objects without, such as crowds and those of other categories, have theirs not labelled.
    Categories with different keypoints cannot be mixed: then none are read; choose some with `classes`. A category may
    list "sigmas" beside them; COCO's own 17 have COCO's.

    Args:
        image_dir: folder that the file names in the JSON start from.
        annotation_file: JSON file with "images", "annotations" and "categories".
        skip_broken: list missing images and broken annotations in `report()` instead of raising.
        classes: names of the categories to keep, such as `("person",)`; classes 0..K-1 are then in this order. All
            images stay, also those left without an object. None: all categories.

    Raises:
        ValueError: the file is not COCO JSON or lacks one of `classes`, or (unless `skip_broken`) an image file is
            missing or an annotation names an image or a category that is not there. The message names the file and the
            annotation.
    """

    def __init__(
        self,
        image_dir: str | os.PathLike,
        annotation_file: str | os.PathLike,
        skip_broken: bool = False,
        classes: Sequence[str] | None = None,
    ):
        self.image_dir, self.annotation_file = checked_folder(image_dir, "image_dir"), pathlib.Path(annotation_file)
        self.skip_broken = skip_broken
        index = CocoIndex(self.annotation_file)
        self._category_ids, self.class_names = index.classes(classes)
        self._class_of = {category: number for number, category in enumerate(self._category_ids)}
        self.keypoints, faults = index.keypoints(self._category_ids)
        self._keypoint_categories = index.keypoint_categories()
        faults += index.faults(self._class_of) + index.remove_missing_images(self.image_dir)
        self._faults.settle([f"annotation file {annotation_file}: {one}" for one in faults], skip_broken)
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
                record = _record(annotation, size, self._class_of, masks_wanted)
                records.append({**record, "keypoints": self._points(annotation)})
            except ValueError as error:
                name = annotation.get("id", "without id")
                message = f"annotation {name} of image {self._names[index]!r} in {self.annotation_file}: {error}"
                if not self.skip_broken:
                    raise ValueError(message) from error
                notes.append(("skipped", message))
        self._faults.add(index, "annotations", notes)
        columns = {name: [record[name] for record in records] for name in _RECORD_FIELDS}
        masks = [record["mask"] for record in records] if masks_wanted or not records else None
        points = None if self.keypoints is None else [record["keypoints"] for record in records]
        if points == []:
            points = np.zeros((0, len(self.keypoints), 3))
        return make_annotations(size, **columns, rles=masks, keypoints=points)

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

    def _count_keypoints(self, index: int) -> int:
        return sum(_labelled(one) for one in self._read(index) if one["category_id"] in self._keypoint_categories)

    def _points(self, annotation: dict) -> np.ndarray | None:
        if self.keypoints is None:
            return None
        given = annotation.get("keypoints") if annotation["category_id"] in self._keypoint_categories else None
        return checked_points(given, len(self.keypoints))

    def _read(self, index: int) -> list[dict]:
        return read_elements(self.annotation_file, self._places[self._starts[index] : self._starts[index + 1]])


_RECORD_FIELDS = ("class_ids", "boxes", "is_crowd", "ids", "areas")


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
        x, y, width, height = checked_bbox(bbox)
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


def checked_points(values: list | None, count: int) -> np.ndarray:
    """The keypoints of a COCO annotation in continuous coordinates; COCO counts from the centre of the first pixel.

    Args:
        values: `[x1, y1, v1, ...]`; None or empty: none is labelled.
        count: J, how many its category has.

    Returns:
        (J, 3) x, y in pixels, visibility.

    Raises:
        ValueError: not 3 J numbers, a visibility other than 0, 1, 2, or a labelled keypoint that is not finite.
    """
    if not values:
        return np.zeros((count, 3))
    if not isinstance(values, list) or not all(isinstance(value, (int, float)) for value in values):
        raise ValueError(f"keypoints must be a list of numbers [x1, y1, v1, ...], got {values!r:.60}")
    if len(values) != 3 * count:
        raise ValueError(f"keypoints has {len(values)} numbers; {count} keypoints need {3 * count}: x, y, visibility")
    points = np.array(values, float).reshape(-1, 3)
    check_points(points)
    return points + (0.5, 0.5, 0)


def _labelled(annotation: dict) -> int:
    # Broken ones are found out when they are loaded.
    values = annotation.get("keypoints")
    values = values[2::3] if isinstance(values, list) and not annotation.get("iscrowd") else []
    return sum(isinstance(value, (int, float)) and value > 0 for value in values)


def checked_bbox(bbox: Sequence) -> list[float]:
    """The `bbox` of a COCO annotation, [x, y, width, height]; ValueError where it is not four finite numbers."""
    ok = isinstance(bbox, list) and len(bbox) == 4
    if not ok or not all(isinstance(value, (int, float)) and math.isfinite(value) for value in bbox):
        raise ValueError(f"bbox must be 4 numbers [x, y, width, height], got {bbox!r}")
    return bbox
