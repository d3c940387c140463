"""A folder of photos beside a folder of instance masks, as in the Penn-Fudan pedestrian database."""

import os
import pathlib

from mrcnn_keras.data.annotations import Annotations, make_annotations
from mrcnn_keras.data.files import IMAGE_SUFFIXES, checked_folder, files_in
from mrcnn_keras.data.images import read_labels
from mrcnn_keras.data.label_images import LabelImageDataset, objects_of

# A lossy format would change the instance numbers.
_MASK_SUFFIXES = (".png", ".bmp", ".gif", ".tif", ".tiff")


class MaskFolderDataset(LabelImageDataset):
    """Photos of one class with a mask image each: pixel value 0 is background, every other value one object.

    The mask of `photo.jpg` is `photo.png` or `photo_mask.png` in `mask_dir` (any lossless format). An all-zero mask
    makes a photo a negative.

    Args:
        image_dir: folder of photos.
        mask_dir: folder of masks; may be the same folder when masks end in `_mask`.
        class_name: name of the class.
        skip_broken: list photos without a usable mask, and broken files, in `report()` instead of raising.

    Raises:
        ValueError: a folder is missing or has no usable photo, or (unless `skip_broken`) a photo has no mask.
    """

    def __init__(
        self,
        image_dir: str | os.PathLike,
        mask_dir: str | os.PathLike,
        class_name: str = "object",
        skip_broken: bool = False,
    ):
        self.class_names = (class_name,)
        images = files_in(checked_folder(image_dir, "image_dir"), IMAGE_SUFFIXES)
        masks = files_in(checked_folder(mask_dir, "mask_dir"), _MASK_SUFFIXES)
        pairs, faults = _match(images, masks)
        nothing = f"no photo with a mask in image_dir={str(image_dir)!r}, mask_dir={str(mask_dir)!r}"
        super().__init__(pairs, faults, skip_broken, nothing)

    def load_annotations(self, index: int) -> Annotations:
        """One object for each value of the mask image but 0; its id is that value."""
        mask_path = self._pairs[index][1]
        labels = read_labels(mask_path)
        self._check_size(index, mask_path, labels.shape)
        values, rles = objects_of(labels)
        return make_annotations(labels.shape, [0] * len(values), rles=rles, ids=values)


def _match(images: list[pathlib.Path], masks: list[pathlib.Path]) -> tuple[list[tuple], list[str]]:
    by_stem: dict[str, list[pathlib.Path]] = {}
    for mask in masks:
        by_stem.setdefault(mask.stem.removesuffix("_mask"), []).append(mask)
    mask_paths = {mask for mask in masks if mask.stem.endswith("_mask")}
    pairs, faults = [], []
    for image in (image for image in images if image not in mask_paths):
        found = [mask for mask in by_stem.get(image.stem, []) if mask != image]
        if len(found) == 1:
            pairs.append((image, found[0]))
        elif found:
            faults.append(f"image {image} has several masks: {', '.join(mask.name for mask in found)}")
        else:
            faults.append(f"image {image} has no mask {image.stem}.png or {image.stem}_mask.png (all zeros = negative)")
    return pairs, faults
