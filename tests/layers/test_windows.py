import numpy as np
import tensorflow as tf

from mrcnn_keras.layers.windows import ContinuousBoxes, ImageWindows, InclusiveBoxes

SIZES = tf.constant([[40.0, 60.0], [63.0, 20.0]])


def windows(**arguments):
    return [w.numpy().tolist() for w in ImageWindows(**arguments)(tf.zeros((2, 64, 96, 3)), SIZES)]


def test_images_at_the_top_left_hold_all_boxes():
    expected = [[0, 0, 60, 40], [0, 0, 20, 63]]
    assert windows() == [expected, expected]


def test_in_a_square_proposals_may_reach_into_the_padding_and_detections_not():
    proposals, detections = windows(square=True, inclusive=True)
    assert proposals == [[0, 0, 95, 63]] * 2
    assert detections == [[18, 12, 18 + 59, 12 + 39], [38, 0, 38 + 19, 0 + 62]]


def test_inclusive_boxes_and_back():
    boxes = tf.constant([[[1.0, 2.0, 5.0, 9.0], [0.0, 0.0, 0.0, 0.0]]])
    inner = InclusiveBoxes()(boxes)
    np.testing.assert_array_equal(inner[0, 0], [1, 2, 4, 8])
    back = ContinuousBoxes()(tf.where([[[True], [False]]], inner, 0.0), tf.constant([[3, -1]]))
    np.testing.assert_array_equal(back, boxes)
