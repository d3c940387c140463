"""The procedural people: repeatable, honest masks and keypoints, told apart by what can be seen."""

import numpy as np
import pytest

from mrcnn_keras.data import StickFiguresDataset
from mrcnn_keras.data.rle import columns


def _masks(annotations):
    return np.array([columns(mask, 0, annotations.size[1]).T.astype(bool) for mask in annotations.masks])


def _pixel(points):
    return np.floor(points[..., :2]).astype(int)


def test_an_image_depends_on_seed_and_index_alone():
    first, again, other = (StickFiguresDataset(n, seed=seed) for n, seed in ((5, 3), (50, 3), (5, 4)))
    for index in (4, 0):
        np.testing.assert_array_equal(first.load_image(index), again.load_image(index))
        assert not np.array_equal(first.load_image(index), other.load_image(index))
    np.testing.assert_array_equal(first.load_annotations(2).keypoints, again.load_annotations(2).keypoints)


@pytest.mark.parametrize("size", [(128, 128), (64, 64), (96, 160), (300, 200)])
def test_any_size_has_people_with_keypoints(size):
    dataset = StickFiguresDataset(12, seed=1, size=size)
    assert dataset.class_names == ("person",) and len(dataset.keypoints) == 13 == len(dataset.keypoints.sigmas)
    for index in range(12):
        image, annotations = dataset.load(index)
        masks = _masks(annotations)
        assert image.shape == (*size, 3) and image.dtype == np.uint8 and image.flags.c_contiguous
        assert 1 <= len(annotations) <= 3 and annotations.keypoints.shape == (len(annotations), 13, 3)
        assert masks.sum(axis=0).max() <= 1 and masks.sum(axis=(1, 2)).min() >= 40


def test_visibility_says_what_can_be_seen():
    dataset, seen = StickFiguresDataset(60, seed=2), []
    for index in range(60):
        annotations = dataset.load_annotations(index)
        masks = _masks(annotations)
        for row, points in enumerate(annotations.keypoints):
            seen += points[:, 2].tolist()
            x, y = _pixel(points[points[:, 2] == 2]).T
            assert masks[row, y, x].all()  # visible joints lie on the figure
            x, y = _pixel(points[points[:, 2] == 1]).T
            later = masks[row + 1 :].any(axis=0) if row + 1 < len(masks) else np.zeros(dataset.size, bool)
            assert later[y, x].all()  # hidden ones under a later figure
            assert ((points[:, :2] >= 0) & (points[:, :2] < 128)).all()  # those outside are zeros
    counts = np.bincount(np.array(seen, int), minlength=3) / len(seen)
    assert counts[2] > 0.7 and counts[1] > 0.02 and counts[0] > 0.01


def test_figures_fill_35_to_95_percent_of_the_image():
    dataset, heights = StickFiguresDataset(80, seed=3), []
    for index in range(80):
        points = dataset.load_annotations(index).keypoints
        complete = points[(points[..., 2] > 0).all(axis=1), :, :2]
        heights += np.ptp(complete[..., 1], axis=1).tolist()
    assert 0.25 * 128 < min(heights) < 0.4 * 128 and 0.75 * 128 < max(heights) < 0.95 * 128


def test_left_and_right_can_be_told_from_face_and_back():
    """The left shoulder is at the image's right of those with a face, and at its left of those with hair there."""
    dataset, front, brightness = StickFiguresDataset(80, seed=4), [], []
    names = dataset.keypoints.names
    head, left, right = (names.index(name) for name in ("head", "left_shoulder", "right_shoulder"))
    for index in range(80):
        image, annotations = dataset.load(index)
        for points in annotations.keypoints:
            if (points[[head, left, right], 2] == 2).all():
                x, y = _pixel(points[head])
                brightness.append(image[y, x].mean())
                front.append(points[left, 0] > points[right, 0])
    front, brightness = np.array(front), np.array(brightness)
    assert 0.5 < front.mean() < 0.8
    # Skin lies there in a face, hair at the back of a head; hands before it blur the picture a little.
    assert ((brightness > 100) == front).mean() > 0.9


def test_wrong_arguments_and_indices():
    with pytest.raises(ValueError, match="StickFiguresDataset needs .* sides >= 64, got .*size=\\(32, 64\\)"):
        StickFiguresDataset(3, size=(32, 64))
    with pytest.raises(ValueError, match="max_objects=0"):
        StickFiguresDataset(3, max_objects=0)
    with pytest.raises(IndexError):
        StickFiguresDataset(3).load_image(3)
