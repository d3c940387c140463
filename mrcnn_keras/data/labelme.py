"""Annotations of LabelMe: a folder with a JSON file for each image."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from mrcnn_keras.data.files import IMAGE_SUFFIXES, checked_folder, files_in, find_image, last_part, read_json
from mrcnn_keras.data.images import image_file_size, read_image
from mrcnn_keras.data.labelme_shapes import decoded, objects_of
from mrcnn_keras.data.outlined import OutlinedDataset, OutlinedImage, chosen_classes


class LabelMeDataset(OutlinedDataset):
    """Images annotated with LabelMe.

    Shapes may be a polygon, rectangle, oriented rectangle, circle or mask; points, lines and line strips have no area
    and are faults. Shapes with the same label and the same `group_id` are one object; shapes that LabelMe labels
    `__ignore__` or `_background_` are none. Coordinates are taken as they are, like the polygons of COCO: a rectangle
    from 5 to 15 covers the pixels 5 to 14. What lies outside the image is cut off.

    The image is `imagePath`, relative to its JSON file or to `image_dir`, or else a file of that name in there; where
    there is none, the image embedded as `imageData`. EXIF orientation is applied, as LabelMe does. A JSON file without
    shapes makes its image a negative.

    Args:
        folder: folder of the JSON files; those in folders below it are not looked at.
        image_dir: folder that `imagePath` starts from. None: that of the JSON files.
        skip_broken: list broken files and shapes in `report()` instead of raising.
        classes: names of the classes to keep, in this order. None: all labels, sorted. Give them where two folders
            must have the same classes: one may lack a label.
        negatives: take images of `image_dir` (or `folder`) without a JSON file as images without objects. LabelMe
            writes no file for an image that nobody marked or that nobody looked at, so the default leaves them out.

    Raises:
        ValueError: there is no JSON file, or (unless `skip_broken`) one or its image cannot be used, or they disagree
            on the image's size. The message names the file and the shape.
    """

    outline_word = "shape"

    def __init__(
        self,
        folder: str | os.PathLike,
        image_dir: str | os.PathLike | None = None,
        skip_broken: bool = False,
        classes: Sequence[str] | None = None,
        negatives: bool = False,
    ):
        self.skip_broken = skip_broken
        self.folder = checked_folder(folder, "folder")
        self.image_dir = self.folder if image_dir is None else checked_folder(image_dir, "image_dir")
        self._taken: dict[pathlib.Path, pathlib.Path] = {}
        images, faults = [], []
        for path in files_in(self.folder, (".json",)):
            try:
                image, shape_faults = self._read(path)
                images.append(image)
                faults += [f"annotation file {path}: {fault}" for fault in shape_faults]
            except ValueError as error:
                faults.append(str(error))
        if not images and not faults:
            raise ValueError(f"folder={str(folder)!r} has no JSON file")
        images += self._without_file(faults) if negatives else []
        self._faults.settle(faults, skip_broken)
        if not images:
            raise ValueError(f"folder={str(folder)!r} has no image that can be used: {faults[0]}")
        labels = sorted({one.label for image in images for one in image.objects})
        self._set(images, chosen_classes(labels, classes, f"folder {folder}"))

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3), from the image's file or embedded in the JSON file."""
        file = self._images[index].file
        is_embedded = file.suffix.lower() == ".json"
        return read_image(_embedded(read_json(file)) if is_embedded else file)

    def _read(self, path: pathlib.Path) -> tuple[OutlinedImage, list[str]]:
        content = read_json(path)
        if not isinstance(content.get("shapes"), list):
            raise ValueError(f"annotation file {path} is not of LabelMe: it has no list 'shapes'")
        name = content.get("imagePath")
        found = find_image(self.image_dir, name) if isinstance(name, str) and name else None
        if found and self._taken.setdefault(found.resolve(), path) != path:
            other = self._taken[found.resolve()]
            raise ValueError(f"annotation file {path} is for the same image as {other}: {found}")
        try:
            size = image_file_size(found or _embedded(content))
        except ValueError as error:
            missing = "" if found else f"its image {name!r} is not in {self.image_dir}, nor can imageData be used: "
            raise ValueError(f"annotation file {path}: {missing}{error}") from error
        _check_size(path, content, found or "the embedded image", size)
        objects, faults = objects_of(content["shapes"])
        return OutlinedImage(last_part(name or path.name), found or path, path, size, objects), faults

    def _without_file(self, faults: list[str]) -> list[OutlinedImage]:
        images, annotated = [], {path.stem for path in files_in(self.folder, (".json",))}
        for path in files_in(self.image_dir, IMAGE_SUFFIXES):
            if path.resolve() not in self._taken and path.stem not in annotated:
                try:
                    images.append(OutlinedImage(path.name, path, path, image_file_size(path), []))
                except ValueError as error:
                    faults.append(str(error))
        return images


def _embedded(content: dict) -> bytes:
    if not content.get("imageData"):
        raise ValueError("it is empty")
    return decoded(content["imageData"], "it")


def _check_size(path: pathlib.Path, content: dict, image: pathlib.Path | str, size: tuple[int, int]) -> None:
    stated = content.get("imageHeight"), content.get("imageWidth")
    if any(one is not None and one != side for one, side in zip(stated, size)):
        remedy = "annotate the image anew, or remove its EXIF orientation if height and width are exchanged"
        raise ValueError(
            f"annotation file {path} says (imageHeight, imageWidth) = {stated}, but {image} is {size}; {remedy}"
        )
