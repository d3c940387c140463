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


@pytest.mark.parametrize("compiled", [False, True])
def test_boxes_with_scores_far_below_zero_are_kept_too(compiled):
    """Logits of proposals: all that are not suppressed come back, in the order of a plain loop."""
    rng = np.random.default_rng(4)
    boxes, _ = crowded(2, 80, 3, 3, seed=4)
    scores = rng.uniform(-12, 3, (2, 80, 3)).astype(np.float32)
    scores[0, :50, 1] = float("-inf")
    run = tf.function(suppress, jit_compile=compiled, autograph=False)
    found = [value.numpy() for value in run(tf.constant(boxes), tf.constant(scores), 200, 0.3)]
    for image in range(2):
        expected = sorted((one for group in range(3) for one in greedy(boxes, scores, image, group)), reverse=True)
        assert found[3][image] == len(expected) > 40 and expected[-1][0] < -5
        np.testing.assert_allclose(found[1][image, : len(expected)], [score for score, *_ in expected])
        np.testing.assert_allclose(found[0][image, : len(expected)], [box for *_, box in expected])
        assert not found[0][image, len(expected) :].any() and not found[1][image, len(expected) :].any()


def greedy(boxes, scores, image, group):
    """(score, group, box) of a group's boxes that no better one overlaps by more than 0.3."""
    kept = []
    for row in np.argsort(-scores[image, :, group]):
        box, score = boxes[image, row, group], scores[image, row, group]
        if np.isfinite(score) and all(iou(box, other) <= 0.3 for *_, other in kept):
            kept.append((float(score), group, box.tolist()))
    return kept


def iou(box, other):
    width, height = (min(box[i + 2], other[i + 2]) - max(box[i], other[i]) for i in (0, 1))
    shared = max(width, 0) * max(height, 0)
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (box, other)]
    return shared / (sum(areas) - shared)
