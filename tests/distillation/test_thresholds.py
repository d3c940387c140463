"""How many detections become labels."""

import math

import numpy as np
import pytest

from mrcnn_keras.data import ShapesDataset, StickFiguresDataset
from mrcnn_keras.distillation import choose_thresholds, count_objects


def kept(scores, thresholds):
    return [int(np.count_nonzero(np.asarray(one) >= least)) for one, least in zip(scores, thresholds)]


def test_as_many_objects_an_image_as_in_the_labelled_set():
    scores = [np.linspace(0, 1, 101), np.linspace(0.3, 0.9, 50)[::-1]]
    thresholds = choose_thresholds(scores, 20, [15, 8], 10)  # 1.5 and 0.8 an image
    assert kept(scores, thresholds) == [30, 16]
    assert thresholds[0] == pytest.approx(0.71)


@pytest.mark.parametrize(
    ("scores", "wanted", "expected"),
    [
        ([0.9, 0.5, 0.5, 0.5, 0.1], 3, 4),  # four are nearer to three than one is
        ([0.9, 0.5, 0.5, 0.5, 0.1], 2, 1),
        ([0.9, 0.5, 0.5, 0.1], 2, 1),  # as near: the surer
        ([0.5, 0.5, 0.5, 0.5], 1, 0),
        ([0.9, 0.2], 5, 2),  # fewer than wanted
        ([0.9, 0.2], 0, 0),  # a class without labels
        ([], 3, 0),
    ],
)
def test_ties_and_too_few(scores, wanted, expected):
    thresholds = choose_thresholds([scores], 10, [wanted], 10)
    assert kept([scores], thresholds) == [expected]


def test_rare_classes_and_few_photos():
    # 0.4 objects are none, 0.6 are one.
    assert kept([[0.9], [0.9, 0.8]], choose_thresholds([[0.9], [0.9, 0.8]], 2, [20, 30], 100)) == [0, 1]
    assert kept([[0.9] * 3], choose_thresholds([[0.9] * 3], 1, [50], 10)) == [3]
    assert choose_thresholds([[0.5]], 0, [3], 3)[0] == math.inf


def test_mistakes():
    with pytest.raises(ValueError, match="no labelled images"):
        choose_thresholds([[0.5]], 1, [1], 0)
    with pytest.raises(ValueError, match="scores of 2 classes"):
        choose_thresholds([[0.5], []], 1, [1], 1)


def test_counts_of_a_dataset():
    shapes = ShapesDataset(5, seed=2, size=(64, 64))
    counts = count_objects(shapes)
    found = np.concatenate([shapes.load_annotations(i).class_ids for i in range(5)])
    assert counts.images == 5 and counts.objects.tolist() == np.bincount(found, minlength=3).tolist()
    assert counts.keypoints.tolist() == [0, 0, 0]
    people = StickFiguresDataset(3, seed=2, size=(64, 64))
    labelled = sum(int((people.load_annotations(i).keypoints[..., 2] > 0).sum()) for i in range(3))
    assert count_objects(people).keypoints.tolist() == [labelled]
