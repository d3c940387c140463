"""A folder of photos beside a folder of instance masks, as in the Penn-Fudan pedestrian database."""

import os
import pathlib

import numpy as np

from mrcnn_keras.data import rle
from mrcnn_keras.data.annotations import Annotations, make_annotations
from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.files import IMAGE_SUFFIXES, checked_folder, files_in
from mrcnn_keras.data.images import image_file_size, read_image, read_labels

# A lossy format would change the instance numbers.
_MASK_SUFFIXES = (".png", ".bmp", ".gif", ".tif", ".tiff")


class MaskFolderDataset(Dataset):
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
        self.class_names, self.skip_broken = (class_name,), skip_broken
        images = files_in(checked_folder(image_dir, "image_dir"), IMAGE_SUFFIXES)
        masks = files_in(checked_folder(mask_dir, "mask_dir"), _MASK_SUFFIXES)
        pairs, faults = _match(images, masks)
        self._pairs, self._sizes = [], []
        for pair in pairs:
            try:
                size = image_file_size(pair[0])
            except ValueError as error:
                faults.append(str(error))
                continue
            self._pairs.append(pair)
            self._sizes.append(size)
        self._faults.settle(faults, skip_broken)
        if not self._pairs:
            raise ValueError(f"no photo with a mask in image_dir={str(image_dir)!r}, mask_dir={str(mask_dir)!r}")

    def __len__(self) -> int:
        return len(self._pairs)

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        return read_image(self._pairs[index][0])

    def load_annotations(self, index: int) -> Annotations:
        """One object for each value of the mask image but 0; its id is that value."""
        image_path, mask_path = self._pairs[index]
        labels = read_labels(mask_path)
        if labels.shape != self._sizes[index]:
            raise ValueError(
                f"mask {mask_path} is (height, width) = {labels.shape}, image {image_path} is {self._sizes[index]}"
            )
        values, rles = _instances(labels)
        return make_annotations(labels.shape, [0] * len(values), rles=rles, ids=values)

    def image_name(self, index: int) -> str:
        """File name of the photo."""
        return self._pairs[index][0].name

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width) from the file's header."""
        return self._sizes[index]


def _instances(labels: np.ndarray) -> tuple[list[int], list[dict]]:
    # Only the columns an instance reaches are looked at for its mask.
    rows, cols = np.nonzero(labels)
    values, inverse = np.unique(labels[rows, cols], return_inverse=True)
    first = np.full(len(values), labels.shape[1])
    last = np.zeros(len(values), np.int64)
    np.minimum.at(first, inverse, cols)
    np.maximum.at(last, inverse, cols + 1)
    ids = values.tolist()
    spans = zip(ids, first.tolist(), last.tolist(), strict=True)
    return ids, [rle.encode_label(labels, value, start, stop) for value, start, stop in spans]


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
