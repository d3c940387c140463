import numpy as np
import tensorflow as tf

from mrcnn_keras.layers.roi_align import RoIAlignLayer, crop_and_resize


def test_samples_lie_on_the_corners_of_the_roi():
    # A ramp is sampled exactly: the value at cell (y, x) is x + 100 y.
    y, x = np.mgrid[:5, :9].astype(np.float32)
    ramp = tf.constant((x + 100 * y)[None, :, :, None])
    rois = tf.constant([[0.0, 0.0, 32.0, 16.0], [8.0, 4.0, 24.0, 12.0]])  # of a 33 x 17 input: a cell is 4 pixels
    crops = crop_and_resize([ramp], rois, [0, 0], tf.zeros(2, tf.int32), 3, tf.constant([17, 33]))
    np.testing.assert_allclose(crops[0, :, :, 0], [[0, 4, 8], [200, 204, 208], [400, 404, 408]], atol=1e-4)
    np.testing.assert_allclose(crops[1, :, :, 0], [[102, 104, 106], [202, 204, 206], [302, 304, 306]], atol=1e-4)


def test_rois_of_several_levels_and_images_keep_their_order():
    maps = [tf.reshape(tf.constant([1.0, 2.0]), (2, 1, 1, 1)) * tf.ones((2, s, s, 1)) * 10.0**i
            for i, s in enumerate((16, 8, 4, 2))]  # fmt: skip
    sides = np.array([500.0, 40.0, 230.0, 900.0, 100.0], np.float32)
    rois = np.stack([np.zeros(5), np.zeros(5), sides, sides], axis=1).astype(np.float32)
    layer = RoIAlignLayer(2, operator="crop_and_resize", level_rounding="nearest")
    pooled = layer(maps, rois, np.array([0, 1, 1, 0, 0]), tf.zeros((2, 1024, 1024, 3)))
    # log2(side / 224) + 4, to the nearest: 5.2, 1.5, 4.04, 6, 2.8 -> levels 5, 2, 4, 5, 3
    np.testing.assert_allclose(pooled[:, 0, 0, 0], [1000, 2, 200, 1000, 10])


def test_gradient_reaches_the_level_a_roi_lies_on():
    maps = [tf.Variable(tf.ones((1, 8, 8, 1))), tf.Variable(tf.ones((1, 4, 4, 1)))]
    with tf.GradientTape() as tape:
        rois = tf.constant([[0.0, 0.0, 15.0, 15.0]])
        crops = crop_and_resize([m.value() for m in maps], rois, [0], tf.constant([1]), 2, tf.constant([32, 32]))
        total = tf.reduce_sum(crops)
    gradients = tape.gradient(total, maps)
    assert float(tf.reduce_sum(tf.abs(tf.convert_to_tensor(gradients[0])))) == 0.0
    assert float(tf.reduce_sum(tf.convert_to_tensor(gradients[1]))) == 4.0
