"""What is kept in memory of a COCO annotation file."""

import json
import os
import pathlib
from array import array
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from mrcnn_keras.data.class_names import check_wanted, listed
from mrcnn_keras.data.json_stream import iterate_sections
from mrcnn_keras.data.keypoints import COCO_PERSON, KeypointSet


class CocoIndex:
    """What is kept of the JSON file: images, categories and the place of each annotation."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.names, self.image_ids, self.sizes = [], [], []
        self._categories: list[dict] = []
        self._owners, self._places, self._labels = [], array("q"), []
        sections = {"images": self._add_image, "categories": self._add_category, "annotations": self._add_annotation}
        for key, element, offset, length in iterate_sections(path, set(sections)):
            try:
                sections[key](element, offset, length)
            except KeyError as error:
                fault = f"field {error} is missing in {json.dumps(element)[:80]} of {key!r}"
                raise ValueError(f"annotation file {path}: {fault}") from None
        for name, ids in (("images", self.image_ids), ("categories", [one["id"] for one in self._categories])):
            if not ids:
                raise ValueError(f"annotation file {path} has no {name!r}")
            if len(set(ids)) < len(ids):
                twice = next(one for one, count in Counter(ids).items() if count > 1)
                raise ValueError(f"annotation file {path}: id {twice!r} comes twice in {name!r}")

    def classes(self, wanted: Sequence[str] | None = None) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Category ids and their names: all in ascending order of the ids, or those of the wanted names in that order.

        Raises:
            ValueError: a wanted name is not there, or there is none.
        """
        named = sorted((one["id"], one["name"]) for one in self._categories)
        if wanted is None:
            return tuple(number for number, _ in named), tuple(name for _, name in named)
        check_wanted(wanted)
        id_of = {name: number for number, name in reversed(named)}
        for name in wanted:
            if name not in id_of:
                there = listed(list(id_of)[::-1])
                raise ValueError(f"annotation file {self.path} has no category {name!r}; it has {there}")
        return tuple(id_of[name] for name in wanted), tuple(wanted)

    def keypoints(self, categories: Collection[int]) -> tuple[KeypointSet | None, list[str]]:
        """The keypoints that those of the categories have which have any, and faults in their description.

        None where no category has keypoints, where they have different ones, or with a fault.
        """
        having = [one for one in self._categories if one["id"] in categories and one["keypoints"]]
        names = {tuple(map(str, one["keypoints"])) for one in having}
        if len(names) != 1:
            return None, []
        try:
            return keypoint_set(having[0]), []
        except ValueError as error:
            return None, [str(error)]

    def keypoint_categories(self) -> frozenset[int]:
        """Ids of the categories that have keypoints."""
        return frozenset(one["id"] for one in self._categories if one["keypoints"])

    def faults(self, wanted: Collection[int]) -> list[str]:
        """Annotations of unknown images or categories; they are taken out, and those of categories not wanted."""
        images, known = set(self.image_ids), {one["id"] for one in self._categories}
        faults, keep = [], []
        for row, (owner, (annotation_id, category)) in enumerate(zip(self._owners, self._labels, strict=True)):
            if owner not in images:
                faults.append(f"annotation {annotation_id} belongs to image id {owner!r}, which is not in 'images'")
            elif category not in known:
                faults.append(f"annotation {annotation_id} has category_id {category!r}, which is not in 'categories'")
            elif category in wanted:
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
        return group_by_image(self._owners, self.image_ids, self._places)

    def _add_image(self, image: dict, offset: int, length: int) -> None:
        self.image_ids.append(image["id"])
        self.names.append(image["file_name"])
        size = image.get("height"), image.get("width")
        self.sizes.append(size if all(isinstance(side, int) and side > 0 for side in size) else None)

    def _add_category(self, category: dict, offset: int, length: int) -> None:
        kept = {"id": category["id"], "name": str(category["name"])}
        self._categories.append({**kept, **{key: category.get(key) for key in ("keypoints", "skeleton", "sigmas")}})

    def _add_annotation(self, annotation: dict, offset: int, length: int) -> None:
        self._owners.append(annotation["image_id"])
        self._labels.append((annotation.get("id", "without id"), annotation["category_id"]))
        self._places.extend((offset, length))


def keypoint_set(category: dict) -> KeypointSet:
    """What a category of a COCO file says of its keypoints, of which it lists some.

    Raises:
        ValueError: its names, skeleton and sigmas do not fit each other.
    """
    try:
        names = tuple(map(str, category["keypoints"]))
        limbs = tuple((int(a) - 1, int(b) - 1) for a, b in category.get("skeleton") or ())
        sigmas = category.get("sigmas") or (COCO_PERSON.sigmas if names == COCO_PERSON.names else ())
        return KeypointSet(names, skeleton=limbs, sigmas=tuple(sigmas))
    except (TypeError, ValueError) as error:
        message = f"category {category['name']!r} has unusable keypoints (indices from 1 on): {error}"
        raise ValueError(message) from None


def group_by_image(owners: Sequence, image_ids: Sequence, places: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Places of annotations sorted by image, and where each image's begin; those of unknown images are left out.

    Args:
        owners: N image ids, one an annotation.
        image_ids: M ids; of an id that comes twice, the last has the annotations.
        places: 2 N whole numbers: offset and length in the file, in bytes.

    Returns:
        int64 (M + 1,) starts and int64 (N, 2) offsets and lengths.
    """
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    rows = np.array([row_of.get(owner, -1) for owner in owners], np.int64)
    order = np.argsort(rows, kind="stable")[np.count_nonzero(rows < 0) :]
    starts = np.searchsorted(rows[order], np.arange(len(image_ids) + 1))
    return starts, np.asarray(places, np.int64).reshape(-1, 2)[order]
