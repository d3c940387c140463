"""Suppression as XLA compiles it, against TensorFlow's own operation."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras.layers.suppression import suppress


def crowded(batch, count, groups, boxes_of, seed=0):
    """Boxes of a few objects with jitter, so that most are suppressed, and scores that all differ."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 60, (batch, 1, 1, 2)) + 12 * rng.integers(0, 4, (batch, count, boxes_of, 2))
    centres += rng.normal(0, 2, centres.shape)
    sides = rng.uniform(6, 14, (batch, count, boxes_of, 2))
    scores = rng.permutation(batch * count * groups).reshape(batch, count, groups) / (batch * count * groups)
    return np.concatenate([centres - sides / 2, centres + sides / 2], -1).astype("f"), scores.astype("f")


@pytest.mark.parametrize(
    ("groups", "boxes_of", "most", "threshold"),
    [(1, 1, 20, float("-inf")), (5, 5, 30, 0.3), (4, 1, 30, 0.9), (3, 3, 500, 0.05), (2, 2, 10, 1.0)],
)
def test_xla_keeps_what_tensorflow_keeps(groups, boxes_of, most, threshold):
    boxes, scores = crowded(2, 60, groups, boxes_of)
    boxes[0, 7] = boxes[0, 3]  # equal boxes, and one without area
    boxes[1, 5, :, 2] = boxes[1, 5, :, 0]
    expected = suppress(tf.constant(boxes), tf.constant(scores), most, 0.4, threshold)
    compiled = tf.function(suppress, jit_compile=True, autograph=False)
    found = compiled(tf.constant(boxes), tf.constant(scores), most, 0.4, threshold)
    assert (found[3].numpy() < most).all() or most <= 30
    for one, other in zip(expected, found, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_padding_scores_of_minus_infinity_are_never_kept():
    boxes, scores = crowded(1, 12, 2, 2)
    scores[0, 4:, 1] = float("-inf")
    compiled = tf.function(suppress, jit_compile=True, autograph=False)
    kept = compiled(tf.constant(boxes), tf.constant(scores), 24, 1.0)
    assert int(kept[3][0]) == 16 and np.isfinite(kept[1]).all() and (kept[2].numpy() == 1).sum() == 4
