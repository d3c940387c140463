"""Detections in the image's frame, as torchvision and matterport put them there."""

import numpy as np

from mrcnn_keras.inference.paste import paste_mask_rles, paste_masks
from mrcnn_keras.inference.postprocess import to_detections
from mrcnn_keras.inference.preprocess import prepare_images


def outputs(boxes, **more):
    count = len(boxes)
    boxes = np.array(boxes, np.float32)[None]
    return {"boxes": boxes, "scores": np.ones((1, count)), "class_ids": np.zeros((1, count), int), **more}


def test_square_padding_centres_the_image_and_detections_come_back():
    image = np.full((40, 100, 3), 255, np.uint8)
    batch, sizes = prepare_images([image], 100, 100, resize="matterport", square=True)
    assert batch["images"].shape == (1, 100, 100, 3)
    assert batch["images"][0, 30:70].all() and not batch["images"][0, :30].any() and not batch["images"][0, 70:].any()
    found = to_detections(outputs([[10, 40, 30, 60]]), batch["image_sizes"], sizes, ["thing"], square_side=100)
    np.testing.assert_allclose(found[0].boxes, [[10, 10, 30, 30]])


def test_inclusive_boxes_are_scaled_between_first_and_last_pixel_and_rounded():
    whole = outputs([[0, 0, 50, 50], [10.2, 0, 20.2, 50]])
    (found,) = to_detections(whole, [[50, 50]], [[100, 200]], ["thing"], inclusive=True)
    np.testing.assert_array_equal(found.boxes[0], [0, 0, 200, 100])
    last = [round(10.2 * 199 / 49), 0, round(19.2 * 199 / 49) + 1, 100]
    np.testing.assert_array_equal(found.boxes[1], last)


def test_keypoints_follow_the_image():
    points = np.array([[[[20.0, 40.0, 0.7]]]], np.float32)
    (found,) = to_detections(outputs([[10, 30, 40, 60]], keypoints=points), [[50, 100]], [[100, 300]], ["person"])
    np.testing.assert_allclose(found.keypoints, [[[60, 80, 0.7]]])


def test_padded_paste_grows_the_box_by_a_cell_and_rounds_it():
    # A full mask of 4 cells over 8 pixels: with its border of zeros 6 cells over 12 pixels, from 8 to 20 inclusive.
    masks = paste_masks(np.ones((1, 4, 4)), np.array([[10.0, 10, 18, 18]]), (30, 30), rule="padded")
    rows = np.flatnonzero(masks[0].any(axis=1))
    source = (np.arange(13) + 0.5) * 6 / 13 - 0.5  # 13 pixels
    inside = np.interp(source, [0, 1, 4, 5], [0, 1, 1, 0]) >= 0.5
    assert rows.tolist() == (8 + np.flatnonzero(inside)).tolist()


def test_padded_paste_at_the_border_and_as_run_lengths():
    from pycocotools import mask as mask_utils

    probs = np.random.default_rng(0).uniform(size=(4, 28, 28))
    boxes = np.array([[-3, -5, 20, 20], [25, 25, 60, 60], [5, 5, 5.2, 5.3], [100, 100, 120, 120]], np.float32)
    masks = paste_masks(probs, boxes, (40, 50), rule="padded")
    rles = paste_mask_rles(probs, boxes, (40, 50), rule="padded")
    assert masks[:2].any(axis=(1, 2)).all() and not masks[3].any()
    for mask, rle in zip(masks, rles):
        np.testing.assert_array_equal(mask_utils.decode(rle).astype(bool), mask)
