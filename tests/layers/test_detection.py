import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras.layers.detection import DetectionLayer, FlattenBoxes, FoundRows, MaskProbabilities

BACKGROUND = [0.0, 0.0, 9.0]


def detect(proposals, logits, deltas=None, size=(100.0, 100.0), **arguments):
    proposals = tf.constant(proposals, tf.float32)
    logits = tf.constant(logits, tf.float32)
    if deltas is None:
        deltas = tf.zeros((len(logits), 4 if arguments.get("class_agnostic") else 8))
    layer = DetectionLayer(num_classes=2, max_detections=4, **arguments)
    windows = tf.constant([[0.0, 0.0, size[1], size[0]]] * len(proposals))
    return [r.numpy() for r in layer(logits, deltas, proposals, windows)]


def test_suppression_is_class_by_class():
    box, near = [10, 10, 50, 50], [11, 10, 51, 50]
    boxes, scores, classes = detect([[box, near, near]], [[5.0, 0, 0], [4.0, 0, 0], [0, 4.5, 0]])
    assert classes[0].tolist() == [0, 1, -1, -1]
    np.testing.assert_allclose(boxes[0], [box, near, [0] * 4, [0] * 4])
    assert scores[0, 0] > scores[0, 1] > 0 == scores[0, 2]


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_deltas_of_the_class_move_the_box(class_agnostic):
    deltas = np.zeros((1, 4 if class_agnostic else 8), np.float32)
    deltas[0, -4] = 10.0  # one box width to the right, with the weight of 10
    boxes, _, classes = detect([[[10, 10, 30, 30]]], [[0, 9.0, 0]], deltas, class_agnostic=class_agnostic)
    assert classes[0, 0] == 1
    np.testing.assert_allclose(boxes[0, 0], [30, 10, 50, 30], atol=1e-4)


def test_background_padding_and_low_scores_are_not_detected():
    proposals = [[[10, 10, 30, 30], [0, 0, 0, 0], [50, 50, 60, 60]]]
    logits = [BACKGROUND, [9.0, 0, 0], [0.0, 0.0, 2.0]]
    boxes, _, classes = detect(proposals, logits, score_threshold=0.2)
    assert (classes == -1).all() and not boxes.any()


def test_boxes_are_clipped_and_only_the_best_kept():
    proposals = [[[20 * i, -5, 20 * i + 15, 200] for i in range(6)]]
    logits = [[float(i), 0, 0] for i in range(6)]
    boxes, scores, classes = detect(proposals, logits, size=(50.0, 90.0))
    assert (boxes[0, :, 1] == 0).all() and boxes[0, :, 3].max() == 50 and boxes[0, :, 2].max() <= 90
    assert (np.diff(scores[0]) <= 0).all() and classes.shape == (1, 4)


def test_small_detections_are_dropped():
    boxes, _, classes = detect([[[10, 10, 12, 40], [50, 50, 60, 60]]], [[5.0, 0, 0], [4.0, 0, 0]], min_size=3.0)
    assert classes[0].tolist() == [0, -1, -1, -1]
    np.testing.assert_allclose(boxes[0, 0], [50, 50, 60, 60])


def test_best_class_only_gives_a_proposal_one_detection_at_most():
    proposals, logits = [[[10, 10, 30, 30], [50, 50, 70, 70]]], [[2.0, 1.5, 0], [1.0, 0, 1.5]]
    assert (detect(proposals, logits)[2] >= 0).sum() == 4
    _, scores, classes = detect(proposals, logits, best_class_only=True)
    assert classes[0].tolist() == [0, -1, -1, -1]  # the second is background
    np.testing.assert_allclose(scores[0, 0], np.exp(2) / (np.exp(2) + np.exp(1.5) + 1), rtol=1e-5)


def test_found_rows_and_masks_return_to_their_places():
    boxes = tf.reshape(tf.range(24, dtype=tf.float32), (2, 3, 4))
    class_ids = tf.constant([[1, -1, -1], [0, 1, -1]])
    rois, image, classes, row = FoundRows(multiple=4)(boxes, class_ids)
    assert row.numpy()[:3].tolist() == [0, 3, 4] and image.numpy()[:3].tolist() == [0, 1, 1]
    assert classes.numpy().tolist() == [1, 0, 1, -1]
    np.testing.assert_array_equal(rois[1], boxes[1, 0])
    logits = tf.constant([1.0, 2.0, 3.0, 50.0])[:, None, None] * tf.ones((4, 2, 2))
    masks = MaskProbabilities()(logits, row, classes, class_ids).numpy()
    expected = np.array([[1 / (1 + np.exp(-1)), 0, 0], [1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-3)), 0]])
    np.testing.assert_allclose(masks[:, :, 0, 0], expected, rtol=1e-5)


def test_flatten_boxes_remembers_the_image():
    flat, image = FlattenBoxes()(tf.ones((2, 3, 4)))
    assert flat.shape == (6, 4) and image.numpy().tolist() == [0, 0, 0, 1, 1, 1]
