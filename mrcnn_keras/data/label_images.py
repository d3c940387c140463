"""Photos beside images whose pixel values number the objects: what such datasets share."""

import pathlib
from collections.abc import Sequence

import numpy as np

from mrcnn_keras.data import rle
from mrcnn_keras.data.dataset import Dataset
from mrcnn_keras.data.images import image_file_size, read_image


class LabelImageDataset(Dataset):
    """The base of datasets that keep each photo in a file and its objects in another.

    Args:
        pairs: (photo, file of its objects) each; the second may be None.
        faults: what was wrong with files that made no pair.
        skip_broken: list faults and photos with a broken header in `report()` instead of raising.
        nothing: message for the case that no pair remains.

    Raises:
        ValueError: no pair remains, or (unless `skip_broken`) there is a fault or a photo with a broken header.
    """

    def __init__(self, pairs: Sequence[tuple], faults: Sequence[str], skip_broken: bool, nothing: str):
        self.skip_broken = skip_broken
        faults = list(faults)
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
            raise ValueError(nothing)

    def __len__(self) -> int:
        return len(self._pairs)

    def load_image(self, index: int) -> np.ndarray:
        """RGB uint8 (H, W, 3)."""
        return read_image(self._pairs[index][0])

    def image_name(self, index: int) -> str:
        """File name of the photo."""
        return self._pairs[index][0].name

    def image_size(self, index: int) -> tuple[int, int]:
        """(height, width) from the file's header."""
        return self._sizes[index]

    def _check_size(self, index: int, mask_path: pathlib.Path, size: tuple[int, int]) -> None:
        if size != self._sizes[index]:
            image = f"image {self._pairs[index][0]} is {self._sizes[index]}"
            raise ValueError(f"mask {mask_path} is (height, width) = {size}, {image}")


def objects_of(labels: np.ndarray) -> tuple[list[int], list[dict]]:
    """The values of a label image (H, W) but 0, ascending, and the mask of each as compressed COCO RLE."""
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
