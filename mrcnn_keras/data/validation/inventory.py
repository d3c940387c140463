"""What an annotation file lists: images, categories and where its annotations are; checks across the whole file."""

import os
from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

import numpy as np

from mrcnn_keras.data.coco_index import group_by_image
from mrcnn_keras.data.json_stream import iterate_sections
from mrcnn_keras.data.validation.categories import Category, check_categories
from mrcnn_keras.data.validation.findings import FindingLog, Note, make_finding


class ImageEntry(NamedTuple):
    """An image as the annotation file lists it; what is missing or unusable is None. Size: (height, width)."""

    id: Any
    name: str | None
    size: tuple[int, int] | None


# Where an annotation belongs that names no image.
_NOWHERE = object()


class Inventory:
    """One pass through an annotation file, in memory that does not grow with the segmentations.

    Args:
        path: the file.
        log: takes what is wrong with the lists.
        watch: called now and then with the place in the file that has been reached, in bytes.

    Attributes:
        images: in the file's order.
        categories: by id.
        shared_ids: ids of several images; the last of them has the annotations.

    Raises:
        ValueError: the file is not COCO JSON.
    """

    def __init__(self, path: str | os.PathLike, log: FindingLog, watch: Callable[[int], None]):
        self.path, self._log = path, log
        self.images: list[ImageEntry] = []
        self.shared_ids: set[Hashable] = set()
        self._names: dict[Hashable, str | None] = {}
        self._owners, self._ids, self._places = [], [], array("q")
        categories: list[dict] = []
        add = {"images": self._add_image, "annotations": self._add_annotation}
        for number, (key, element, offset, length) in enumerate(iterate_sections(path, {*add, "categories"})):
            if key == "categories":
                categories.append(element)
            else:
                add[key](element, offset, length)
            if number % 1024 == 0:
                watch(offset)
        watch(os.path.getsize(path))
        self.categories: dict[Hashable, Category]
        self.categories, notes = check_categories(categories)
        self._note(*notes)
        self._check_sections(categories)
        self._check_images()
        self._check_annotations()
        self.starts, self.places = group_by_image(self._owners, [image.id for image in self.images], self._places)
        self._owners, self._ids, self._places = [], [], array("q")

    def _add_image(self, image: dict, offset: int, length: int) -> None:
        image_id, name = image.get("id"), image.get("file_name")
        where = f"entry {len(self.images)} of 'images'"
        if image_id is None or not isinstance(image_id, Hashable):
            kind = "missing_field" if image_id is None else "malformed_field"
            self._note(Note(kind, f"{where} has id {image_id!r:.60}"))
            image_id = None
        if not isinstance(name, str) or not name:
            kind = "malformed_field" if name else "missing_field"
            self._note(Note(kind, f"{where} has file_name {name!r:.60}"), image_id=image_id)
            name = None
        size = image.get("height"), image.get("width")
        if not all(isinstance(side, int) and side > 0 for side in size):
            found = f"{where} has height {size[0]!r:.20} and width {size[1]!r:.20}"
            self._note(Note("missing_size", found), file=name, image_id=image_id)
            size = None
        self.images.append(ImageEntry(image_id, name, size))
        if image_id is not None:
            if image_id in self._names:
                self.shared_ids.add(image_id)
            self._names[image_id] = name

    def _add_annotation(self, annotation: dict, offset: int, length: int) -> None:
        owner, annotation_id = annotation.get("image_id"), annotation.get("id")
        if not isinstance(annotation_id, Hashable):
            self._note(Note("malformed_field", f"an annotation has id {annotation_id!r:.60}"))
            annotation_id = None
        if owner is None or not isinstance(owner, Hashable):
            kind = "missing_field" if owner is None else "malformed_field"
            self._note(Note(kind, f"an annotation has image_id {owner!r:.60}"), annotation_id=annotation_id)
            owner = _NOWHERE
        self._owners.append(owner)
        self._ids.append(annotation_id)
        self._places.extend((offset, length))

    def _check_sections(self, categories: list[dict]) -> None:
        for name, entries in (("images", self.images), ("categories", categories), ("annotations", self._ids)):
            if not entries:
                self._note(Note("broken_file", f"{name!r} is missing or has no entries"))

    def _check_images(self) -> None:
        for image_id in self.shared_ids:
            note = Note("duplicate_image_id", f"image id {image_id!r} comes more than once in 'images'")
            self._note(note, file=self._names[image_id], image_id=image_id)
        for row in _repeated(image.name for image in self.images):
            image = self.images[row]
            self._note(Note("repeated_image_file", "the file is in 'images' twice"), file=image.name, image_id=image.id)

    def _check_annotations(self) -> None:
        for owner, annotation_id in zip(self._owners, self._ids, strict=True):
            if owner is not _NOWHERE and owner not in self._names:
                note = Note("unknown_image", f"image_id {owner!r} is not in 'images'")
                self._note(note, image_id=owner, annotation_id=annotation_id)
        for row in _repeated(self._ids):
            annotation_id = self._ids[row]
            owner = None if self._owners[row] is _NOWHERE else self._owners[row]
            note = Note("duplicate_annotation_id", f"annotation id {annotation_id!r} comes twice")
            self._note(note, file=self._names.get(owner), image_id=owner, annotation_id=annotation_id)

    def _note(self, *notes: Note, file: str | None = None, image_id: Any = None, annotation_id: Any = None) -> None:
        file = file or os.path.basename(self.path)
        self._log.add(make_finding(note, file, image_id, annotation_id) for note in notes)

    def places_of(self, row: int) -> np.ndarray:
        """Where the annotations of image `row` lie in the file: int64 (N, 2) offsets and lengths in bytes."""
        return self.places[self.starts[row] : self.starts[row + 1]]


def _repeated(values: Iterable[Hashable]) -> list[int]:
    """Rows of the values that have come before, None apart."""
    values = list(values)
    counts = Counter(values)
    if len(counts) == len(values):
        return []
    seen, rows = {None}, []
    for row, value in enumerate(values):
        if value in seen and value is not None:
            rows.append(row)
        seen.add(value)
    return rows
