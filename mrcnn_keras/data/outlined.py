"""Datasets whose objects are outlines held in memory, as annotation tools write them."""

import dataclasses
import pathlib
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from mrcnn_keras.data.annotations import Annotations, make_annotations
from mrcnn_keras.data.class_names import check_wanted, listed
from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.images import read_image
from mrcnn_keras.data.outlines import Outline, united_rle


@dataclasses.dataclass
class OutlinedObject:
    """One object: its id, its class's name and the outlines that make it up together."""

    id: Hashable
    label: str
    outlines: list[Outline]


@dataclasses.dataclass
class OutlinedImage:
    """One image: its name for messages, the files it and its objects come from, (height, width) and objects."""

    name: str
    file: pathlib.Path
    annotation_file: pathlib.Path
    size: tuple[int, int]
    objects: list[OutlinedObject]


class OutlinedDataset(Dataset):
    """Base of datasets that read all outlines when they are made and draw the masks of an image when it is loaded.

    An object that covers no pixel is left out and listed as dropped; one wholly outside its image is a fault.

    Attributes:
        outline_word: what messages call one outline.
    """

    outline_word = "outline"

    def __len__(self) -> int:
        return len(self._images)

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        return read_image(self._images[index].file)

    def load_annotations(self, index: int) -> Annotations:
        """Objects of image `index`, with masks; their ids are places in the annotation file."""
        image = self._images[index]
        drawn, notes = [], []
        for one in image.objects:
            place = f"{self.outline_word} {one.id} of image {image.name!r} in {image.annotation_file}"
            try:
                mask = united_rle(one.outlines, *image.size)
            except ValueError as error:
                if not self.skip_broken:
                    raise ValueError(f"{place}: {error}") from error
                notes.append(("skipped", f"{place}: {error}"))
                continue
            if mask is None:
                notes.append(("dropped", f"{place}: it covers no pixel"))
            else:
                drawn.append((self._class_of[one.label], mask, one.id))
        self._faults.add(index, "annotations", notes)
        class_ids, masks, ids = zip(*drawn) if drawn else ((), (), ())
        return make_annotations(image.size, class_ids, rles=masks, ids=ids)

    def image_name(self, index: int) -> str:
        """The image as the annotation file calls it."""
        return self._images[index].name

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width) from the image's header."""
        return self._images[index].size

    def _set(self, images: list[OutlinedImage], class_names: Sequence[str]) -> None:
        """Takes the images; objects of other classes than these are left out."""
        self.class_names = tuple(class_names)
        self._class_of = {name: number for number, name in enumerate(self.class_names)}
        for image in images:
            image.objects = [one for one in image.objects if one.label in self._class_of]
        self._images = images


def chosen_classes(there: Iterable[str], wanted: Sequence[str] | None, place: str) -> tuple[str, ...]:
    """Names of classes 0..K-1: those wanted, or else all that are there.

    Raises:
        ValueError: there is none, or none of those wanted; or those wanted are no list of different names.
    """
    there = tuple(there)
    if wanted is None:
        if not there:
            raise ValueError(f"{place} has no object that names a class; pass classes= to use its images as negatives")
        return there
    check_wanted(wanted)
    if there and not set(wanted) & set(there):
        raise ValueError(f"{place} has no object of classes={list(wanted)!r}; it has {listed(there)}")
    return tuple(wanted)
