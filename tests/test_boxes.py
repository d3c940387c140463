import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras import boxes as box_ops


def random_boxes(count, seed=0, side=300):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, side, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(side / 30, side, (count, 2))], axis=1).astype(np.float32)


def test_iou_of_known_boxes():
    a = tf.constant([[0.0, 0, 10, 10], [0, 0, 0, 0]])
    b = tf.constant([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 0, 0]])
    np.testing.assert_allclose(box_ops.pairwise_iou(a, b), [[1, 1 / 3, 0, 0], [0, 0, 0, 0]], atol=1e-6)


def test_iou_keeps_leading_dimensions_and_broadcasts_shared_boxes():
    anchors = random_boxes(7)
    others = random_boxes(6, seed=1).reshape(2, 3, 4)
    iou = box_ops.pairwise_iou(tf.constant(anchors), tf.constant(others))
    assert iou.shape == (2, 7, 3)
    np.testing.assert_allclose(iou[1], box_ops.pairwise_iou(tf.constant(anchors), tf.constant(others[1])))


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)])
def test_decode_undoes_encode(weights):
    anchors, targets = random_boxes(50), random_boxes(50, seed=1)
    deltas = box_ops.encode(tf.constant(targets), tf.constant(anchors), weights)
    np.testing.assert_allclose(box_ops.decode(deltas, anchors, weights), targets, atol=2e-3)


def test_encode_of_padding_is_zero_and_finite():
    padding = tf.zeros((2, 4))
    assert not box_ops.encode(padding, tf.constant(random_boxes(2))).numpy().any()
    assert not box_ops.encode(tf.constant(random_boxes(2)), padding).numpy().any()


def test_decode_limits_growth():
    grown = box_ops.decode(tf.constant([[0.0, 0, 50, 50]]), tf.constant([[0.0, 0, 16, 16]]))
    np.testing.assert_allclose(grown, [[-492, -492, 508, 508]], rtol=1e-4)


def test_clip_uses_each_image_its_own_size():
    boxes = tf.constant([[[-5.0, -5, 50, 50]], [[-5, -5, 50, 50]]])
    clipped = box_ops.clip(boxes, tf.constant([[0.0, 0.0, 30.0, 20.0], [0.0, 0.0, 100.0, 100.0]]))
    np.testing.assert_array_equal(clipped, [[[0, 0, 30, 20]], [[0, 0, 50, 50]]])


@pytest.mark.parametrize(
    ("side", "level"), [(1, 0), (111, 0), (112, 1), (223, 1), (224, 2), (447, 2), (448, 3), (5000, 3)]
)
def test_fpn_level_follows_the_paper(side, level):
    assert box_ops.fpn_level(tf.constant([[0.0, 0, side, side]]), 4).numpy().tolist() == [level]


def test_fpn_level_of_an_empty_box_is_the_finest():
    assert box_ops.fpn_level(tf.zeros((1, 4)), 4).numpy().tolist() == [0]
