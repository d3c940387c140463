"""Masks as pixels, to compare those of a dataset with."""

import numpy as np

from mrcnn_keras.data import rle


def masks_of(annotations):
    """bool (H, W) of each object."""
    return [rle.columns(mask, 0, annotations.size[1]).T.astype(bool) for mask in annotations.masks]


def block(size, x1, y1, x2, y2):
    """bool (H, W) with the pixels x1..x2 - 1, y1..y2 - 1."""
    mask = np.zeros(size, bool)
    mask[y1:y2, x1:x2] = True
    return mask
