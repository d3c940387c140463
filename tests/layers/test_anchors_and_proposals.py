import numpy as np
import tensorflow as tf

from mrcnn_keras.layers.anchors import Anchors, cell_anchors
from mrcnn_keras.layers.proposal import ProposalLayer


def test_cell_anchors_have_the_asked_area_and_ratio():
    anchors = cell_anchors((32, 64), (0.5, 1.0, 2.0))
    width, height = anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]
    np.testing.assert_allclose(width * height, [32**2] * 3 + [64**2] * 3, rtol=1e-5)
    np.testing.assert_allclose(height / width, [0.5, 1, 2] * 2, rtol=1e-5)
    np.testing.assert_allclose(anchors[:, :2], -anchors[:, 2:])


def test_anchors_move_along_rows_first_by_the_stride():
    layer = Anchors(sizes=((8,), (16,)), ratios=(1.0,), strides=(4, 8))
    fine, coarse = layer([tf.zeros((1, 2, 3, 5)), tf.zeros((1, 1, 1, 5))], tf.zeros((1, 8, 12, 3)))
    centres = (fine[:, :2] + fine[:, 2:]) / 2
    np.testing.assert_allclose(centres, [[0, 0], [4, 0], [8, 0], [0, 4], [4, 4], [8, 4]])
    np.testing.assert_allclose(coarse, [[-8, -8, 8, 8]])


def test_rounded_anchors_are_whole_pixels_at_the_distance_of_the_cells():
    layer = Anchors(sizes=((32, 64),), ratios=(0.5, 2.0), strides=(64,), rounded=True)
    (anchors,) = layer([tf.zeros((1, 13, 2, 5))], tf.zeros((1, 800, 128, 3)))
    expected = [[-23, -11, 23, 11], [-45, -23, 45, 23], [-11, -23, 11, 23], [-23, -45, 23, 45]]
    np.testing.assert_array_equal(anchors[:4], expected)  # ratios outermost
    np.testing.assert_array_equal(anchors[8:9] - anchors[:1], [[0, 61, 0, 61]])  # 800 // 13


def propose(logits, anchors, size=(100.0, 100.0), **arguments):
    logits = [tf.constant(level, tf.float32) for level in logits]
    deltas = [tf.zeros((*level.shape, 4)) for level in logits]
    layer = ProposalLayer(**arguments)
    windows = tf.constant([[0.0, 0.0, size[1], size[0]]] * len(logits[0]))
    return layer(logits, deltas, [tf.constant(a, tf.float32) for a in anchors], windows)


def test_overlapping_proposals_are_suppressed_within_a_level_only():
    box, near, far = [10, 10, 50, 50], [11, 10, 51, 50], [60, 60, 90, 90]
    boxes, scores = propose([[[1.0, 2.0, 0.5]], [[1.5]]], [[box, near, far], [box]], post_nms_topk=5)
    np.testing.assert_allclose(boxes[0], [near, box, far, [0] * 4, [0] * 4])
    np.testing.assert_allclose(scores[0], [2.0, 1.5, 0.5, 0, 0])


def test_levels_together_are_suppressed_as_one():
    box = [10, 10, 50, 50]
    boxes, scores = propose([[[1.0]], [[1.5]]], [[box], [box]], post_nms_topk=2, by_level=False)
    np.testing.assert_allclose(boxes[0], [box, [0] * 4])
    np.testing.assert_allclose(scores[0], [1.5, 0])


def test_small_proposals_are_dropped():
    boxes, _ = propose([[[2.0, 1.0]]], [[[0, 0, 2.5, 30], [0, 0, 3.5, 30]]], post_nms_topk=2, min_size=3.0)
    np.testing.assert_allclose(boxes[0], [[0, 0, 3.5, 30], [0] * 4])


def test_delta_weights_scale_the_move():
    layer = ProposalLayer(post_nms_topk=1, delta_weights=(10.0, 10.0, 5.0, 5.0))
    anchors = [tf.constant([[0.0, 0.0, 20.0, 20.0]])]
    boxes, _ = layer([tf.ones((1, 1))], [tf.constant([[[10.0, 0, 0, 0]]])], anchors, tf.constant([[0.0, 0, 99, 99]]))
    np.testing.assert_allclose(boxes[0], [[20, 0, 40, 20]])


def test_proposals_are_clipped_and_empty_ones_dropped():
    boxes, _ = propose([[[1.0, 3.0]]], [[[-10, -10, 30, 300], [200, 200, 300, 300]]], post_nms_topk=2)
    np.testing.assert_allclose(boxes[0], [[0, 0, 30, 100], [0, 0, 0, 0]])


def test_top_k_before_and_after_suppression():
    anchors = [[10 * i, 0, 10 * i + 9, 9] for i in range(8)]
    boxes, scores = propose([[np.arange(8.0)]], [anchors], pre_nms_topk=5, post_nms_topk=3)
    np.testing.assert_allclose(scores[0], [7, 6, 5])
    boxes, scores = propose([[np.arange(8.0)]], [anchors], pre_nms_topk=2, post_nms_topk=3)
    assert np.count_nonzero(boxes[0, :, 2]) == 2


def test_not_a_number_is_no_proposal():
    boxes, _ = propose([[[np.nan, 1.0]]], [[[0, 0, 9, 9], [20, 20, 30, 30]]], post_nms_topk=2)
    np.testing.assert_allclose(boxes[0], [[20, 20, 30, 30], [0, 0, 0, 0]])


def test_images_of_a_batch_do_not_mix():
    anchors = [[0, 0, 10, 10], [20, 20, 40, 40]]
    boxes, _ = propose([[[5.0, 1.0], [1.0, 5.0]]], [anchors], post_nms_topk=1)
    np.testing.assert_allclose(boxes[:, 0], anchors)
