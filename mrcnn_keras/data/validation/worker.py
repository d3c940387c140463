"""Checks of some images with their annotations: the part of the work that is done in parallel."""

import dataclasses
import pathlib
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mrcnn_keras.data.json_stream import read_elements
from mrcnn_keras.data.validation.annotation_checks import Measured, check_annotation
from mrcnn_keras.data.validation.categories import Category
from mrcnn_keras.data.validation.findings import Finding, Note, make_finding
from mrcnn_keras.data.validation.image_checks import check_image
from mrcnn_keras.data.validation.inventory import ImageEntry
from mrcnn_keras.data.validation.statistics import Tally


class Task(NamedTuple):
    """An image, where its annotations lie in the file, and whether it may have none."""

    image: ImageEntry
    places: np.ndarray
    may_be_empty: bool


@dataclasses.dataclass(frozen=True)
class Worker:
    """Checks images of one dataset, wherever it is called: it is small and can be pickled."""

    image_dir: pathlib.Path
    annotation_file: pathlib.Path
    categories: Mapping[Hashable, Category]

    def __call__(self, tasks: Sequence[Task]) -> tuple[list[Finding], Tally]:
        """What is wrong with some images and their annotations, and their counts."""
        findings, tally = [], Tally()
        for task in tasks:
            findings += self._check(task, tally)
        return findings, tally

    def _check(self, task: Task, tally: Tally) -> list[Finding]:
        image, (actual, notes) = task.image, self._check_file(task.image)
        file = image.name or self.annotation_file.name
        findings = [make_finding(note, file, image.id) for note in notes]
        annotations = read_elements(self.annotation_file, task.places)
        if not annotations and not task.may_be_empty:
            findings.append(make_finding(Note("image_without_annotations", "no object"), file, image.id))
        measured: list[Measured] = []
        for annotation in annotations:
            one, notes = self._check_annotation(annotation, image.size or actual)
            findings += [make_finding(note, file, image.id, annotation.get("id")) for note in notes]
            measured.append(one)
        for row, first in _repeated(measured):
            found = f"it has the class and the box of annotation {annotations[first].get('id')}"
            note = Note("duplicate_annotation", found)
            findings.append(make_finding(note, file, image.id, annotations[row].get("id")))
        tally.add_image(actual or image.size, measured)
        return findings

    def _check_file(self, image: ImageEntry) -> tuple[tuple[int, int] | None, list[Note]]:
        return (None, []) if image.name is None else check_image(self.image_dir / image.name, image.size)

    def _check_annotation(self, annotation: dict, size: tuple[int, int] | None) -> tuple[Measured, list[Note]]:
        try:
            return check_annotation(annotation, size, self.categories)
        except OverflowError:
            return Measured(None, False, None, None, True), [Note("malformed_field", "a number has hundreds of digits")]


def _repeated(annotations: Sequence[Measured]) -> list[tuple[int, int]]:
    """Rows of annotations that repeat an earlier one, each with the row of that."""
    first: dict[tuple, int] = {}
    rows = []
    for row, one in enumerate(annotations):
        if one.box is not None and one.category_id is not None:
            key = one.category_id, one.is_crowd, *np.round(one.box, 2).tolist()
            if first.setdefault(key, row) != row:
                rows.append((row, first[key]))
    return rows
