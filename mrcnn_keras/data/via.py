"""Annotations of the VGG Image Annotator (VIA), versions 1 and 2."""

import os
import pathlib
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from mrcnn_keras.data.class_names import check_wanted
from mrcnn_keras.data.files import checked_folder, find_image, last_part
from mrcnn_keras.data.images import image_file_size
from mrcnn_keras.data.outlined import OutlinedDataset, OutlinedImage, OutlinedObject, chosen_classes
from mrcnn_keras.data.via_file import options_of, read_via, regions_of
from mrcnn_keras.data.via_regions import class_attribute_of, class_of, outline_of

_URL_SCHEMES = ("http", "https", "ftp", "file")


class ViaDataset(OutlinedDataset):
    """Images annotated with the VGG Image Annotator: JSON of VIA 1, or of VIA 2 as annotations or whole project.

    Every polygon, rect, circle and ellipse is one object, and so is a polyline whose ends are no farther apart than a
    tenth of its length. Points and open polylines have no area: they are faults. VIA writes where the mouse was, in
    pixels from the image's corner; that is taken as it is, like the polygons of COCO, into which VIA exports the same
    numbers: a rect of x 5 and width 10 covers the pixels 5 to 14. What lies outside the image is cut off. Images
    without regions stay, as negatives.

    The class is the value of a region attribute: text, dropdown or radio, or the one ticked box of a checkbox. A
    project's options give the classes and their order, otherwise they are sorted. Give `classes` where two files must
    have the same: one may lack a class.

    Images are found in `image_dir` by their "filename", of a URL by its last part, whatever "size" says; EXIF
    orientation is applied, as today's browsers do.

    Args:
        image_dir: folder of the images.
        annotation_file: JSON that VIA saved.
        class_attribute: region attribute that holds the class. None: the only one there is; without any, all objects
            are of one class, the single one of `classes` or "object".
        skip_broken: list missing images and broken regions in `report()` instead of raising.
        classes: names of the classes to keep, in this order. None: all.

    Raises:
        ValueError: the file is not VIA's, there are several attributes to choose from, or (unless `skip_broken`) an
            image or a region cannot be used. The message names the file, the image and the region.
    """

    outline_word = "region"

    def __init__(
        self,
        image_dir: str | os.PathLike,
        annotation_file: str | os.PathLike,
        class_attribute: str | None = None,
        skip_broken: bool = False,
        classes: Sequence[str] | None = None,
    ):
        self.image_dir, self.annotation_file = checked_folder(image_dir, "image_dir"), pathlib.Path(annotation_file)
        self.skip_broken = skip_broken
        if classes is not None:
            check_wanted(classes)
        place = f"annotation file {self.annotation_file}"
        entries, declared = read_via(self.annotation_file)
        regions = [region for entry in entries.values() for _, region in regions_of(entry)]
        try:
            self.class_attribute = class_attribute_of(class_attribute, declared, regions)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
        self._options = options_of(declared.get(self.class_attribute))
        self._only_class = classes[0] if classes is not None and len(classes) == 1 else "object"
        images, faults = self._images_of(entries)
        self._faults.settle([f"{place}: {fault}" for fault in faults], skip_broken)
        if not images:
            raise ValueError(f"{place} has no image that can be used in image_dir={str(image_dir)!r}")
        there = self._options or sorted({one.label for image in images for one in image.objects})
        if not there and self.class_attribute is None:
            there = [self._only_class] if classes is None else []
        self._set(images, chosen_classes(there, classes, place))

    def _images_of(self, entries: dict[str, dict]) -> tuple[list[OutlinedImage], list[str]]:
        images, faults, taken = [], [], set()
        for key, entry in entries.items():
            try:
                path = self._file_of(key, entry)
                if path in taken:
                    raise ValueError(f"image {entry['filename']!r} comes twice; keep one of its entries")
                image = OutlinedImage(entry["filename"], path, self.annotation_file, image_file_size(path), [])
            except ValueError as error:
                faults.append(str(error))
                continue
            taken.add(path)
            images.append(image)
            for number, region in regions_of(entry):
                try:
                    image.objects.append(OutlinedObject(number, self._label(region), [outline_of(region)]))
                except ValueError as error:
                    faults.append(f"region {number} of image {image.name!r}: {error}")
        return images, faults

    def _label(self, region: dict) -> str:
        if self.class_attribute is None:
            return self._only_class
        return class_of(region, self.class_attribute, self._options)

    def _file_of(self, key: str, entry: dict) -> pathlib.Path:
        name = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            raise ValueError(f"entry {key!r:.60} has no 'filename'")
        if not isinstance(entry.get("regions") or [], (list, dict)):
            raise ValueError(f"'regions' of image {name!r} must be a list or an object, got {entry['regions']!r:.40}")
        if name.startswith("data:"):
            raise ValueError("an image is embedded as a data: URL; save it to a file and name that")
        is_url = urlsplit(name).scheme in _URL_SCHEMES
        path = find_image(self.image_dir, last_part(unquote(urlsplit(name).path)) if is_url else name)
        if path is None and is_url:
            raise ValueError(f"image {name!r} is a URL and there is no such file; download it into {self.image_dir}")
        if path is None:
            raise ValueError(f"image file {self.image_dir / name} does not exist")
        return path
