"""The procedural dataset: repeatable, honest masks, no hopeless objects."""

import numpy as np
import pytest

from mrcnn_keras.data import ShapesDataset
from mrcnn_keras.data.rle import columns


def _masks(annotations):
    return np.array([columns(mask, 0, annotations.size[1]).T.astype(bool) for mask in annotations.masks])


def test_an_image_depends_on_seed_and_index_alone():
    first, again, other = ShapesDataset(5, seed=3), ShapesDataset(50, seed=3), ShapesDataset(5, seed=4)
    for index in (4, 0):
        np.testing.assert_array_equal(first.load_image(index), again.load_image(index))
        assert not np.array_equal(first.load_image(index), other.load_image(index))
    np.testing.assert_array_equal(first.load_annotations(2).boxes, again.load_annotations(2).boxes)


def test_masks_are_visible_disjoint_parts_and_all_classes_occur():
    dataset, seen = ShapesDataset(40, seed=1, size=(96, 160)), set()
    for index in range(40):
        image, annotations = dataset.load(index)
        masks = _masks(annotations)
        assert image.shape == (96, 160, 3) and 1 <= len(annotations) <= 5
        assert masks.sum(axis=0).max() <= 1
        assert masks.sum(axis=(1, 2)).min() >= 40
        seen |= set(annotations.class_ids.tolist())
    assert seen == {0, 1, 2}


def test_objects_do_occlude_each_other():
    # A circle fills pi/4 of its box; well below that, something covers it.
    dataset = ShapesDataset(60, seed=2)
    filled = []
    for index in range(60):
        annotations = dataset.load_annotations(index).take(dataset.load_annotations(index).class_ids == 0)
        filled += (annotations.areas / np.prod(annotations.boxes[:, 2:] - annotations.boxes[:, :2], axis=1)).tolist()
    assert min(filled) < 0.7 and abs(np.median(filled) - np.pi / 4) < 0.05


def test_caller_may_change_the_image():
    dataset = ShapesDataset(1)
    dataset.load_image(0)[:] = 0
    assert dataset.load_image(0).any()


def test_wrong_arguments_and_indices():
    with pytest.raises(ValueError, match="max_objects=0"):
        ShapesDataset(3, max_objects=0)
    with pytest.raises(ValueError, match=r"size=\(16, 16\)"):
        ShapesDataset(3, size=(16, 16))
    with pytest.raises(IndexError):
        ShapesDataset(3).load_image(3)
