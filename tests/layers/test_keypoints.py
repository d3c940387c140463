"""Keypoints against a plain NumPy statement of what they should be."""

import math

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras import losses
from mrcnn_keras.layers.keypoints import KeypointDecoder, cubic_weights, decode_keypoints


def cubic(x, a=-0.75):
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def resized(values, length):
    """One row of values at `length` places, edges repeated."""
    out = []
    for i in range(length):
        source = (i + 0.5) * len(values) / length - 0.5
        first = math.floor(source)
        taps = range(first - 1, first + 3)
        out.append(sum(values[min(max(t, 0), len(values) - 1)] * cubic(source - t) for t in taps))
    return np.array(out)


@pytest.mark.parametrize("length", [1, 3, 7, 8, 19])
def test_cubic_weights(length):
    values = np.random.default_rng(length).normal(size=7)
    np.testing.assert_allclose(cubic_weights(length, 7).numpy() @ values, resized(values, length), atol=1e-5)


@pytest.mark.parametrize("roi", [(3.0, 5.0, 40.2, 77.9), (10.0, 10.0, 10.3, 30.0), (0.0, 0.0, 8.0, 8.0)])
def test_a_keypoint_is_the_centre_of_the_pixel_with_the_largest_value(roi):
    logits = np.random.default_rng(1).normal(size=(8, 8, 2)).astype(np.float32) * 4
    width, height = max(roi[2] - roi[0], 1), max(roi[3] - roi[1], 1)
    columns, rows = math.ceil(np.float32(width)), math.ceil(np.float32(height))
    for kind in ("softmax", "logit"):
        found = decode_keypoints(tf.constant(logits), tf.constant(roi), kind).numpy()
        for j in range(2):
            across = np.stack([resized(row, columns) for row in logits[..., j]])
            full = np.stack([resized(column, rows) for column in across.T]).T
            y, x = np.unravel_index(full.argmax(), full.shape)
            place = roi[0] + (x + 0.5) * width / columns, roi[1] + (y + 0.5) * height / rows
            np.testing.assert_allclose(found[j, :2], place, rtol=1e-4)
            score = full.max() if kind == "logit" else 1 / np.exp(logits[..., j] - full.max()).sum()
            assert found[j, 2] == pytest.approx(score, rel=1e-3)


def test_decoder_puts_keypoints_at_their_detections():
    logits = np.random.default_rng(2).normal(size=(4, 6, 6, 3)).astype(np.float32)
    rois = np.array([[0, 0, 9, 9], [5, 5, 30, 20], [2, 2, 8, 20], [0, 0, 9, 9]], np.float32)
    class_ids = tf.constant([[0, -1, -1], [1, 0, -1]])
    rows, classes, images = tf.constant([0, 3, 4, 0]), tf.constant([0, 1, 0, -1]), np.zeros((2, 32, 32, 3))
    found = KeypointDecoder()(logits, rois, rows, classes, class_ids, images).numpy()
    assert found.shape == (2, 3, 3, 3) and not found[0, 1:].any() and not found[1, 2].any()
    np.testing.assert_allclose(found[1, 1], decode_keypoints(tf.constant(logits[2]), rois[2]), rtol=1e-5)


def test_targets_are_cells_of_the_roi_and_only_visible_points_inside_count():
    points = [[10, 20, 2], [30, 40, 1], [29.9, 20, 0], [9.9, 25, 2], [20, 30, 1]]
    cell, valid = losses.keypoint_targets(tf.constant([points], tf.float32), tf.constant([[10.0, 20, 30, 40]]), 4)
    assert valid.numpy().tolist() == [[True, True, False, False, True]]
    assert cell.numpy()[0][[0, 1, 4]].tolist() == [0, 15, 10]  # the far corner belongs to the last cell


def test_loss_is_the_mean_over_visible_keypoints():
    logits = np.random.default_rng(3).normal(size=(2, 3, 3, 2)).astype(np.float32)
    cell, valid = np.array([[4, 0], [8, 1]]), np.array([[True, False], [True, True]])
    log_probs = [
        logits[r, :, :, j].ravel()[cell[r, j]] - np.log(np.exp(logits[r, :, :, j]).sum())
        for r, j in zip(*np.nonzero(valid))
    ]
    loss = losses.keypoint_loss(tf.constant(logits), tf.constant(cell), tf.constant(valid))
    assert float(loss) == pytest.approx(-np.mean(log_probs), rel=1e-5)
    nothing = losses.keypoint_loss(tf.constant(logits), tf.constant(cell), tf.zeros((2, 2), tf.bool))
    assert float(nothing) == 0.0


@pytest.mark.parametrize("score", ["softmax", "logit"])
def test_xla_decodes_the_same(score):
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(4, 6, 6, 3)).astype(np.float32)
    rois = np.array([[0, 0, 9.4, 9], [5, 5, 30, 20.2], [2, 2, 8, 28], [3, 0, 3.2, 9]], np.float32)
    class_ids, images = tf.constant([[0, 1], [1, -1]]), tf.zeros((2, 28, 32, 3))
    given = logits, rois, tf.constant([0, 1, 2, 3]), tf.constant([0, 1, 1, -1]), class_ids, images
    layer = KeypointDecoder(score)
    compiled = tf.function(layer, jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(*given), layer(*given), rtol=1e-4)
