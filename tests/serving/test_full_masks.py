"""Masks as large as the image, in the graph, against those of `detect`."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras.inference.paste import paste_masks
from mrcnn_keras.serving.full_masks import masks_of_image


@pytest.mark.parametrize("rule", ["exact", "padded"])
@pytest.mark.parametrize("size", [(60, 90), (7, 200)])
def test_they_are_those_of_detect(rule, size):
    rng = np.random.default_rng(0)
    height, width = size
    corners = rng.uniform(-5, 1.1, (20, 4)) * np.array([width, height, width, height])
    boxes = np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)
    boxes = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
    boxes[0] = (0, 0, width, height)
    boxes[1] = (3.2, 2.1, 3.2, 5.0)  # empty
    probs = rng.uniform(0, 1, (20, 14, 14)).astype(np.float32)
    found = masks_of_image(tf.constant(probs), tf.gather(boxes, [1, 0, 3, 2], axis=1), tf.constant(size), 0.5, rule)
    expected = paste_masks(probs, boxes, size, 0.5, rule)
    assert found.dtype == tf.uint8 and expected.any()
    assert (found.numpy() != expected).sum() <= 2  # pixels on the threshold, to rounding


def test_no_masks_of_no_objects():
    paste = tf.function(masks_of_image, autograph=False)
    found = paste(tf.zeros((0, 14, 14)), tf.zeros((0, 4)), tf.constant([5, 6]), 0.5, "exact")
    assert found.shape == (0, 5, 6)
