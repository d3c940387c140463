import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras import losses


@pytest.mark.parametrize(
    ("beta", "expected"), [(0.0, [2.0, 0.5, 0.0]), (1.0, [1.5, 0.125, 0.0]), (0.5, [1.75, 0.25, 0.0])]
)
def test_smooth_l1(beta, expected):
    np.testing.assert_allclose(losses.smooth_l1(tf.constant([2.0, -0.5, 0.0]), beta), expected)


def test_classification_loss_ignores_rows_and_averages_the_rest():
    logits = tf.constant([[2.0, 0, 0], [0, 0, 0], [9, 9, -50]])
    loss = losses.classification_loss(logits, tf.constant([0, 2, -1]))
    assert float(loss) == pytest.approx((-np.log(np.exp(2) / (np.exp(2) + 2)) + np.log(3)) / 2, rel=1e-5)


def test_losses_of_nothing_are_zero():
    nothing = tf.constant([-1, -1])
    assert float(losses.classification_loss(tf.ones((2, 3)), nothing)) == 0
    assert float(losses.box_loss(tf.ones((2, 8)), tf.ones((2, 4)), nothing, 2, 1.0)) == 0
    assert float(losses.mask_loss(tf.ones((2, 4, 4)), tf.ones((2, 4, 4)), nothing >= 0)) == 0


@pytest.mark.parametrize("agnostic", [False, True])
def test_box_loss_takes_the_boxes_of_the_right_class(agnostic):
    deltas = np.zeros((3, 4 if agnostic else 8), np.float32)
    deltas[0, -4:] = 1.0  # an object of class 1; row 1 is background and row 2 counts for nothing
    deltas[1] = 100.0
    deltas[2] = np.nan
    loss = losses.box_loss(tf.constant(deltas), tf.zeros((3, 4)), tf.constant([1, 2, -1]), 2, 0.0)
    assert float(loss) == pytest.approx(4 / 2)


def soft_disc(side):
    grid = (np.arange(side) + 0.5) / side - 0.5
    return (255 * (grid[:, None] ** 2 + grid[None] ** 2 < 0.2)).astype(np.uint8)


def test_mask_target_of_the_objects_own_box_is_its_mask():
    masks = tf.constant(soft_disc(28)[None])
    box = tf.constant([[10.0, 20, 66, 76]])
    np.testing.assert_array_equal(losses.mask_targets(masks, box, box, 28)[0] * 255, masks[0])


def test_mask_target_of_a_shifted_roi_is_the_intersection():
    masks = tf.constant(np.full((1, 28, 28), 255, np.uint8))
    target = losses.mask_targets(masks, tf.constant([[0.0, 0, 56, 56]]), tf.constant([[28.0, -28, 84, 28]]), 28)[0]
    expected = np.zeros((28, 28))
    expected[14:, :14] = 1
    np.testing.assert_array_equal(target, expected)


def test_mask_target_far_away_or_empty_is_zero_and_finite():
    masks = tf.constant(np.full((2, 8, 8), 255, np.uint8))
    rois = tf.constant([[500.0, 500, 600, 600], [0, 0, 0, 0]])
    target = losses.mask_targets(masks, tf.constant([[0.0, 0, 8, 8], [0, 0, 0, 0]]), rois, 28)
    assert not target[0].numpy().any() and np.isfinite(target).all()


def test_mask_loss_averages_over_objects_and_pixels():
    logits = tf.constant(np.stack([np.full((4, 4), 3.0), np.full((4, 4), 99.0)]).astype(np.float32))
    loss = losses.mask_loss(logits, tf.ones((2, 4, 4)), tf.constant([True, False]))
    assert float(loss) == pytest.approx(np.log1p(np.exp(-3.0)), rel=1e-5)


def test_competing_masks_are_cross_entropy_over_the_classes_and_the_background():
    logits = tf.random.stateless_normal((3, 2, 2, 5), [1, 2])  # four classes, the background last
    own = tf.constant([3, 0, 2])
    targets = tf.cast(tf.random.stateless_uniform((3, 2, 2), [3, 4]) > 0.5, tf.float32)
    log_probs = tf.nn.log_softmax(logits)
    pair = tf.stack([tf.gather(log_probs, own, axis=3, batch_dims=1), log_probs[..., 4]], axis=-1)
    labels = tf.where(targets > 0, own[:, None, None], 4)
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)[:2]
    found = losses.competing_mask_loss(pair, targets, tf.constant([True, True, False]))
    assert float(found) == pytest.approx(float(tf.reduce_mean(expected)), rel=1e-5)
