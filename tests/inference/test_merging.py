"""Thresholds and suppression outside the network."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras.inference.merging import Merging


def merging(count, **fields):
    return Merging(**{"thresholds": np.zeros(count, np.float32), "max_detections": 5, "nms_threshold": 0.5, **fields})


def test_the_networks_suppression_and_this_one_agree():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 80, (200, 4, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, corners.shape).astype(np.float32)], axis=-1)
    scores = rng.uniform(size=(200, 4)).astype(np.float32)
    found = merging(4, thresholds=np.full(4, 0.3, np.float32), max_detections=30)(boxes, scores)
    expected = tf.image.combined_non_max_suppression(
        boxes[None], scores[None], 30, 30, 0.5, 0.3, clip_boxes=False
    )  # fmt: skip
    for ours, theirs in zip(found, expected):
        np.testing.assert_array_equal(ours, theirs[0])


def test_soft_nms_decays_scores_by_the_overlap():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60]], np.float32)[:, None]
    scores = np.array([[0.9], [0.8], [0.5]], np.float32)
    found_boxes, found_scores, class_ids = merging(1, soft_nms_sigma=0.5)(boxes, scores)
    decayed = 0.8 * np.exp(-(0.5**2) / 0.5)
    np.testing.assert_allclose(found_scores[:3], sorted([0.9, decayed, 0.5], reverse=True), rtol=1e-5)
    assert class_ids.tolist() == [0, 0, 0, -1, -1] and not found_boxes[3:].any()
    with pytest.raises(ValueError, match="soft_nms_sigma=nan"):
        merging(1, soft_nms_sigma=float("nan"))


def test_nothing_found_is_padding():
    boxes, scores, class_ids = merging(2)(np.zeros((0, 1, 4), np.float32), np.zeros((0, 2), np.float32))
    assert boxes.shape == (5, 4) and not scores.any() and (class_ids == -1).all()
