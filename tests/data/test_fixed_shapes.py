"""Batches of few shapes, as XLA needs them."""

import numpy as np
import pytest

from mrcnn_keras.data import ShapesDataset, make_annotations, training_batches

from .test_pipeline import _Blocks


class Crowds(ShapesDataset):
    """Images with 3, 30 and 100 objects, wide, high and square."""

    def image_size(self, index):
        return [(40, 80), (100, 60), (50, 50)][index % 3]

    def load_image(self, index):
        return np.full((*self.image_size(index), 3), 100, np.uint8)

    def load_annotations(self, index):
        count = [3, 30, 100][index % 3]
        return make_annotations(self.image_size(index), [0] * count, boxes=[[1, 2, 11, 22]] * count)


def shapes(dataset, **options):
    options = {"batch_size": 1, "min_side": (48, 60), "max_side": 100, "mask_size": 0, "fixed_shapes": True, **options}
    batches = training_batches(dataset, repeat=False, **options)
    return {int(one["image_index"][0]): (one["images"].shape[1:3], one["gt_boxes"].shape[1]) for one in batches}


def test_one_size_for_each_orientation_and_few_numbers_of_objects():
    assert shapes(Crowds(3)) == {0: ((64, 128), 8), 1: ((128, 64), 32), 2: ((128, 64), 128)}
    # The images themselves differ in size.
    assert {shape for shape, _ in shapes(_Blocks(12), drop_remainder=False).values()} == {(64, 128), (128, 64)}


def test_a_batch_of_both_orientations_holds_both():
    assert shapes(Crowds(2), batch_size=2) == {0: ((128, 128), 32)}


@pytest.mark.parametrize("options", [{}, {"scale_jitter": (0.5, 1.5), "crop_size": (64, 96)}])
def test_padding_changes_nothing_else(options):
    common = {"batch_size": 2, "min_side": (48, 60), "max_side": 100, "mask_size": 8, "repeat": False, **options}
    plain, fixed = (list(training_batches(_Blocks(8), fixed_shapes=value, **common)) for value in (False, True))
    for one, other in zip(plain, fixed, strict=True):
        height, width = one["images"].shape[1:3]
        np.testing.assert_array_equal(one["images"], other["images"][:, :height, :width])
        assert not np.any(other["images"][:, height:]) and not np.any(other["images"][:, :, width:])
        for name in ("image_sizes", "gt_boxes", "gt_class_ids", "gt_masks", "image_index"):
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
