"""Keypoints in training batches: resized, mirrored and padded with their image."""

import numpy as np
import pytest

from mrcnn_keras.data import (
    Dataset,
    KeypointSet,
    ShapesDataset,
    StickFiguresDataset,
    make_annotations,
    training_batches,
    validation_batches,
)

_SIZES = {"min_side": 60, "max_side": 200, "mask_size": 0, "num_keypoints": 3}
_POINTS = np.array([[[4, 10, 2], [20.5, 12, 1], [7, 30, 2]], [[0, 0, 0], [33, 5, 2], [0, 0, 0]]], float)


class _Hands(Dataset):
    """Images 40 x 80 with two objects; the second has one of its keypoints labelled."""

    keypoints = KeypointSet(("left_hand", "right_hand", "head"))

    def __init__(self, count, objects=2):
        self.count, self.objects = count, objects

    def __len__(self):
        return self.count

    def load_image(self, index):
        return np.full((40, 80, 3), np.arange(80)[:, None], np.uint8)

    def load_annotations(self, index):
        boxes = [[1, 1, 60, 39]] * self.objects
        return make_annotations((40, 80), [0] * self.objects, boxes=boxes, keypoints=_POINTS[: self.objects])


def _arrays(batches, count=None):
    taken = batches if count is None else batches.take(count)
    return [{name: value.numpy() for name, value in batch.items()} for batch in taken]


def test_keypoints_scale_with_the_image_and_padding_is_zero():
    (batch,) = _arrays(validation_batches(_Hands(2), batch_size=2, **_SIZES))
    assert batch["gt_keypoints"].shape == (2, 8, 3, 3) and batch["gt_keypoints"].dtype == np.float32
    expected = _POINTS * [1.5, 1.5, 1]
    for image in batch["gt_keypoints"]:
        np.testing.assert_allclose(image[:2], expected)
        assert not image[2:].any()


def test_batches_know_their_keypoints_beforehand():
    spec = validation_batches(_Hands(2), batch_size=2, **_SIZES).element_spec
    assert spec["gt_keypoints"].shape.as_list() == [None, None, 3, 3] and spec["gt_keypoints"].dtype.name == "float32"
    assert list(spec)[-1] == "image_index"
    without = validation_batches(_Hands(2), batch_size=2, **{**_SIZES, "num_keypoints": 0}).element_spec
    assert "gt_keypoints" not in without


def test_a_mirrored_image_swaps_left_and_right():
    batches = training_batches(_Hands(8), batch_size=8, repeat=False, flip=True, seed=3, **_SIZES)
    (batch,) = _arrays(batches)
    expected = _POINTS * [1.5, 1.5, 1]
    mirrored = expected[:, [1, 0, 2]]
    mirrored[..., 0] = np.where(mirrored[..., 2] > 0, 120 - mirrored[..., 0], 0)
    flips = batch["images"][:, 0, 0, 0] > 40  # the images grow lighter to the right
    assert 0 < flips.sum() < 8
    for flip, points in zip(flips, batch["gt_keypoints"], strict=True):
        np.testing.assert_allclose(points[:2], mirrored if flip else expected)


def test_drawn_joints_stay_on_their_pixels_when_mirrored():
    """Undoing the swap and the mirroring leads back to the joints of the image as it was."""
    dataset = StickFiguresDataset(12, seed=2, size=(64, 64))
    options = {"batch_size": 12, "min_side": 64, "max_side": 64, "mask_size": 0, "num_keypoints": 13}
    plain = _arrays(validation_batches(dataset, **options))[0]
    other = _arrays(training_batches(dataset, shuffle=False, repeat=False, seed=5, **options))[0]
    flipped = 0
    for image, seen, points, found in zip(*([b[n][i] for i in range(12)] for n in ("images", "gt_keypoints")
                                            for b in (plain, other))):  # fmt: skip
        if np.array_equal(image, seen):
            np.testing.assert_array_equal(points, found)
            continue
        flipped += 1
        np.testing.assert_array_equal(image[:, ::-1], seen)
        back = found[:, list(dataset.keypoints.flip)]
        np.testing.assert_array_equal(back[..., 2], points[..., 2])
        labelled = points[..., 2] > 0
        np.testing.assert_allclose(64 - back[labelled][:, 0], points[labelled][:, 0], atol=1e-4)
        np.testing.assert_allclose(back[labelled][:, 1], points[labelled][:, 1])
    assert 0 < flipped < 12


def test_dropped_objects_take_their_keypoints_along():
    class OneOutside(_Hands):
        def load_annotations(self, index):
            boxes = [[90, 1, 99, 39], [1, 1, 60, 39]]
            return make_annotations((40, 80), [0, 0], boxes=boxes, keypoints=_POINTS)

    (batch,) = _arrays(validation_batches(OneOutside(1), batch_size=1, **_SIZES))
    np.testing.assert_allclose(batch["gt_keypoints"][0, 0], _POINTS[1] * [1.5, 1.5, 1])
    assert not batch["gt_keypoints"][0, 1:].any()


def test_images_without_objects():
    (batch,) = _arrays(validation_batches(_Hands(2, objects=0), batch_size=2, **_SIZES))
    assert batch["gt_keypoints"].shape == (2, 8, 3, 3) and not batch["gt_keypoints"].any()


@pytest.mark.parametrize(
    ("dataset", "count", "message"),
    [
        (_Hands(2), 17, "num_keypoints=17, but the dataset's objects have 3 keypoints"),
        (ShapesDataset(2), 17, "num_keypoints=17, but the dataset's objects have no keypoints"),
    ],
)
def test_another_number_of_keypoints_is_an_error(dataset, count, message):
    with pytest.raises(ValueError, match=message):
        training_batches(dataset, batch_size=1, **{**_SIZES, "num_keypoints": count})
