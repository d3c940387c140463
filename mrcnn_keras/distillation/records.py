"""Detections as records of a COCO annotation file, before it is known which of them are kept."""

import json
import os
import pathlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn_keras.data import Annotations, Dataset, make_annotations, rle

_PIXEL_DIGITS = 2
_LEAST_SIDE = 0.1  # pixels


class Unlabelled(Dataset):
    """Images of a dataset without its annotations, with the classes and keypoints of another; broken ones are skipped.

    Args:
        images: the dataset.
        like: the other.
    """

    skip_broken = True

    def __init__(self, images: Dataset, like: Dataset):
        self._images, self._categories = images, tuple(like.category_ids)
        self.class_names, self.keypoints = tuple(like.class_names), like.keypoints

    def __len__(self) -> int:
        return len(self._images)

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        return self._images.load_image(index)

    def load_annotations(self, index: int) -> Annotations:
        """No object."""
        return make_annotations(self.image_size(index), [], boxes=[])

    def image_name(self, index: int) -> str:
        """What the dataset calls the image."""
        return self._images.image_name(index)

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self._images.image_size(index)

    def stamp(self, index: int) -> list[int] | None:
        """Another one is another photo of the same name; None where the dataset does not say."""
        return self._images.stamp(index) if hasattr(self._images, "stamp") else None

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Those of the other dataset."""
        return self._categories


def as_record(name: str, found: Any, category_ids: Sequence[int]) -> dict[str, Any]:
    """An image with all that a model has found in it; of keypoints, the third number is the score.

    Args:
        name: of the file.
        found: `Detections`.
        category_ids: of each class.
    """
    height, width = (int(side) for side in found.size)
    objects = []
    for one in found.to_coco(None, category_ids):
        del one["image_id"]
        area = round(rle.annotation_area(one), _PIXEL_DIGITS)
        if min(one["bbox"][2:]) >= _LEAST_SIDE and area > 0:
            objects.append({**one, "bbox": [round(side, _PIXEL_DIGITS) for side in one["bbox"]], "area": area})
    return {"file_name": name, "height": height, "width": width, "objects": objects}


def origin(model: Any, folder: Any, labelled: Dataset, options: Mapping[str, Any]) -> dict[str, Any]:
    """What records depend on: the model's weights and settings, the photos' folder, the classes, and how it detects."""
    checksum = 0
    for weight in model.get_weights() if hasattr(model, "get_weights") else ():
        checksum = zlib.crc32(np.ascontiguousarray(weight), checksum)
    config = getattr(model, "config", None)
    points = () if labelled.keypoints is None else labelled.keypoints.names
    return {
        "weights": checksum,
        "config": config.to_dict() if hasattr(config, "to_dict") else None,
        "images": None if folder is None else os.path.realpath(folder),
        "classes": [list(pair) for pair in zip(labelled.category_ids, labelled.class_names)],
        "keypoints": list(points),
        "options": {name: repr(value) for name, value in sorted(options.items())},
    }


def with_visibility(values: Sequence[float], least: float, size: tuple[int, int]) -> dict[str, Any]:
    """The fields of an annotation that hold its keypoints.

    Args:
        values: x, y, score of each in turn, as COCO counts pixels.
        least: score from which on a keypoint is visible (2); others, and those outside of the image, are not labelled
            (0).
        size: (height, width) of the image.
    """
    points = np.asarray(values, float).reshape(-1, 3)
    inside = ((points[:, :2] >= -0.5) & (points[:, :2] <= np.array(size[::-1]) - 0.5)).all(axis=1)
    shown = inside & (points[:, 2] >= least)
    rows = np.where(shown[:, None], np.column_stack([points[:, :2].round(_PIXEL_DIGITS), np.full(len(points), 2)]), 0)
    return {"keypoints": [int(one) if one == int(one) else one for one in rows.ravel().tolist()],
            "num_keypoints": int(shown.sum())}  # fmt: skip


def write_annotations(
    path: str | os.PathLike,
    records: Iterable[Mapping[str, Any]],
    finish: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any] | None],
    categories: Sequence[Mapping[str, Any]],
    info: Mapping[str, Any],
) -> None:
    """Write a COCO annotation file, one record after the other; it appears when it is whole.

    Args:
        path: of the file; its folder is made if need be.
        records: of `as_record`.
        finish: gives for a record and one of its objects the fields of the annotation, or None to leave it out.
        categories, info: of the file.
    """
    path, images, number = pathlib.Path(path), [], 0
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    with open(beside, "w") as file:
        file.write(f'{{"info": {json.dumps(info)},\n"categories": {json.dumps(categories)},\n"annotations": [')
        for image_id, record in enumerate(records, start=1):
            images.append({"id": image_id, **{name: record[name] for name in ("file_name", "height", "width")}})
            for fields in (finish(record, one) for one in record["objects"]):
                if fields is not None:
                    number += 1
                    file.write(",\n" if number > 1 else "\n")
                    file.write(json.dumps({"id": number, "image_id": image_id, "iscrowd": 0, **fields}))
        file.write(f'\n],\n"images": {json.dumps(images)}}}\n')
        file.flush()
        os.fsync(file.fileno())  # before the detections are deleted
    beside.replace(path)
