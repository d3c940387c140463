import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras.layers import matching
from mrcnn_keras.layers.roi_sampler import PositiveRois, RoISampler

GT = tf.constant([[[0.0, 0, 10, 10], [20, 20, 40, 40], [0, 0, 0, 0]]])
VALID = tf.constant([[True, True, False]])


def test_labels_follow_the_thresholds():
    boxes = tf.constant([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 2], [50, 50, 60, 60], [0, 0, 0, 0]])
    index, label = matching.match(boxes, GT, VALID, (0.3, 0.7))
    assert label.numpy().tolist() == [[1, -1, 0, 0, 0]]
    assert index.numpy()[0, :3].tolist() == [0, 0, 0]


def test_every_object_gets_its_best_box_when_asked():
    boxes = tf.constant([[0.0, 0, 10, 4], [20, 20, 40, 23], [50, 50, 60, 60]])
    _, label = matching.match(boxes, GT, VALID, (0.3, 0.7))
    assert label.numpy().tolist() == [[-1, 0, 0]]
    _, label = matching.match(boxes, GT, VALID, (0.3, 0.7), allow_low_quality=True)
    assert label.numpy().tolist() == [[1, 1, 0]]


def test_image_without_objects_is_all_background():
    _, label = matching.match(tf.constant([[0.0, 0, 5, 5]]), GT, tf.zeros((1, 3), bool), (0.3, 0.7), True)
    assert label.numpy().tolist() == [[0]]


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"), [(50, 500, (16, 48)), (3, 500, (3, 61)), (50, 10, (16, 10))]
)
def test_sample_holds_the_ratio_and_fills_up_with_background(positives, negatives, expected):
    label = tf.constant([[1] * positives + [0] * negatives + [-1] * 20])
    p, vp, n, vn = matching.sample(label, 64, 0.25, tf.constant([1, 2]))
    chosen_p, chosen_n = p.numpy()[vp.numpy()], n.numpy()[vn.numpy()]
    assert (len(chosen_p), len(chosen_n)) == expected
    assert len(set(chosen_p)) == len(chosen_p) and len(set(chosen_n)) == len(chosen_n)
    assert (label.numpy()[0][chosen_p] == 1).all() and (label.numpy()[0][chosen_n] == 0).all()


def test_sample_varies_with_the_seed_and_repeats_with_it():
    label = tf.zeros((2, 300), tf.int32)
    draws = [matching.sample(label, 20, 0.5, tf.constant(seed))[2].numpy()[:, :20] for seed in ([1, 1], [1, 1], [1, 2])]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any() and (draws[0][0] != draws[0][1]).any()


@pytest.mark.parametrize(("keep", "length"), [([0, 0, 0], 4), ([1, 0, 1], 4), ([1] * 5, 8)])
def test_compact_rows_fill_to_a_multiple(keep, length):
    index, valid = matching.compact_rows(tf.constant(np.array(keep, bool)), 4)
    assert index.shape == (length,)
    assert index.numpy()[valid.numpy()].tolist() == np.flatnonzero(keep).tolist()


def sampled(proposals, gt_boxes, gt_classes, **arguments):
    layer = RoISampler(num_classes=5, **arguments)
    arrays = [np.asarray(a) for a in (proposals, gt_boxes, gt_classes)]
    return layer(*(tf.constant(a, d) for a, d in zip(arrays, (tf.float32, tf.float32, tf.int32))))


def test_roi_sampler_labels_rois_and_adds_the_ground_truth():
    proposals = [[[0, 0, 10, 9], [60, 60, 70, 70], [0, 0, 0, 0]]] * 2
    gt_boxes = [[[0, 0, 10, 10], [20, 20, 40, 40]], [[0, 0, 0, 0]] * 2]
    rois, image, classes, gt = (
        r.numpy() for r in sampled(proposals, gt_boxes, [[2, 4], [-1, -1]], batch_size=8, positive_fraction=0.5)
    )
    first = image == 0
    found = {tuple(roi): int(c) for roi, c in zip(rois[first], classes[first]) if c >= 0}
    assert found == {(0, 0, 10, 9): 2, (0, 0, 10, 10): 2, (20, 20, 40, 40): 4, (60, 60, 70, 70): 5}
    assert gt[first][classes[first] == 4].tolist() == [1]
    assert sorted(classes[~first][classes[~first] >= 0].tolist()) == [5, 5]
    order = classes[first][classes[first] >= 0] == 5
    assert (np.diff(order.astype(int)) >= 0).all()  # objects come before background


def test_roi_sampler_holds_its_size_and_ratio():
    rng = np.random.default_rng(0)
    near = np.array([0, 0, 50, 50]) + rng.uniform(-2, 2, (100, 4))
    far = np.array([100, 100, 150, 150]) + rng.uniform(-2, 2, (100, 4))
    result = sampled([np.concatenate([near, far])], [[[0, 0, 50, 50]]], [[1]], batch_size=32, positive_fraction=0.25)
    classes = result[2].numpy()
    assert (classes == 1).sum() == 8 and (classes == 5).sum() == 24 and len(classes) == 32


def test_positive_rois_keeps_objects_only():
    rois = tf.reshape(tf.range(24, dtype=tf.float32), (6, 4))
    classes = tf.constant([1, 3, -1, 0, 3, 2])
    kept = PositiveRois(num_classes=3, multiple=4)(rois, tf.range(6), classes, tf.range(6) * 10)
    assert kept[2].numpy().tolist() == [1, 0, 2, -1]
    assert kept[1].numpy().tolist()[:3] == [0, 3, 5] and kept[3].numpy().tolist()[:3] == [0, 30, 50]
