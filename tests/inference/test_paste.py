import tracemalloc

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mrcnn_keras.inference import paste_mask_rles, paste_masks


def slow_paste(prob, box, size, threshold):
    """One pixel at a time: what Detectron2's grid sampling amounts to."""
    x1, y1, x2, y2 = box.astype(float)
    cells = len(prob)

    def value(row, column):
        return prob[row, column] if 0 <= row < cells and 0 <= column < cells else 0.0

    mask = np.zeros(size, bool)
    for y in range(size[0]):
        for x in range(size[1]):
            v = (y + 0.5 - y1) / (y2 - y1) * cells - 0.5
            u = (x + 0.5 - x1) / (x2 - x1) * cells - 0.5
            row, column = int(np.floor(v)), int(np.floor(u))
            mask[y, x] = threshold <= sum(
                value(row + i, column + j) * abs(1 - i - (v - row)) * abs(1 - j - (u - column))
                for i in (0, 1)
                for j in (0, 1)
            )
    return mask


def blobs(count, seed=0):
    """Smooth random masks, each touching some of its borders."""
    waves = np.random.default_rng(seed).normal(size=(count, 4, 4))
    basis = np.cos(np.outer(np.linspace(0, np.pi, 28), np.arange(4)))
    return (1 / (1 + np.exp(-3 * (basis @ waves @ basis.T)))).astype(np.float32)


BOXES = np.array(
    [[3.2, 4.7, 30.1, 21.3], [0, 0, 40, 24], [11, 3, 14.5, 4.2], [-7.5, 5, 60, 40], [39.5, 1, 40, 23]], "f"
)
SIZE = (24, 40)


@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_every_pixel_is_the_thresholded_bilinear_interpolation(threshold):
    probs = blobs(len(BOXES))
    expected = [slow_paste(prob, box, SIZE, threshold) for prob, box in zip(probs, BOXES, strict=True)]
    np.testing.assert_array_equal(paste_masks(probs, BOXES, SIZE, threshold), expected)


def test_run_lengths_are_those_of_the_bitmaps():
    full, outside, empty = [0, 0, 40, 24], [50, 50, 60, 60], [5, 5, 5, 9]
    boxes = np.concatenate([BOXES, [full, outside, empty]]).astype("f")
    probs = blobs(len(boxes), seed=1)
    probs = np.concatenate([probs, np.ones((1, 28, 28), "f")])
    boxes = np.concatenate([boxes, np.array([[-30, -30, 80, 80]], "f")])  # all of the image, to its last pixel
    bitmaps = paste_masks(probs, boxes, SIZE)
    assert bitmaps[-1].all() and not bitmaps[-2].any() and not bitmaps[-3].any()
    expected = [mask_utils.encode(np.asfortranarray(mask, np.uint8)) for mask in bitmaps]
    assert paste_mask_rles(probs, boxes, SIZE) == expected


@pytest.mark.parametrize("rule", ["exact", "padded"])
def test_masks_of_a_large_photo(rule):
    """Large enough for masks whose memory is taken as it is written, and for products in several pieces."""
    size, corner = (900, 1601), [[0, 0], [700, 300], [1500.5, 2.25], [250, 850]]
    boxes = np.concatenate([corner, np.add(corner, [[1601, 900], [513, 77], [90, 897], [1, 49]])], axis=1)
    probs = blobs(4, seed=2)
    masks = paste_masks(probs, boxes, size, rule=rule)
    assert masks.shape == (4, *size) and masks.dtype == bool
    rles = paste_mask_rles(probs, boxes, size, rule=rule)
    assert rles == [mask_utils.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
    assert not masks[1, :290].any() and masks[1].any()
    if rule == "exact":
        corner = slow_paste(probs[1], boxes[1] - [700, 300, 700, 300], (78, 514), 0.5)
        np.testing.assert_array_equal(masks[1, 300:378, 700:1214], corner)
    masks[0] = True  # the user's to write, and no other mask's memory
    assert masks[0].all() and not masks[1, :290].any()


def test_run_lengths_need_no_array_of_the_images_size():
    size, boxes = (4000, 6000), np.array([[100, 100, 900, 700]], "f")
    paste_mask_rles(blobs(1), boxes, size)  # imports
    tracemalloc.start()
    try:
        paste_mask_rles(blobs(1), boxes, size)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * 800 * 600  # bytes; the image has 24 million pixels


def test_no_masks():
    assert paste_masks(np.zeros((0, 28, 28)), np.zeros((0, 4)), SIZE).shape == (0, *SIZE)
    assert paste_mask_rles(np.zeros((0, 28, 28)), np.zeros((0, 4)), SIZE) == []


def test_arrays_that_do_not_belong_together():
    with pytest.raises(ValueError, match=r"\(2, 28, 28\) and \(3, 4\)"):
        paste_masks(np.zeros((2, 28, 28)), np.zeros((3, 4)), SIZE)


@pytest.mark.shared
@pytest.mark.parametrize("case", ["d2_mask_r50_fpn", "d2_mask_r50_c4", "d2_mask_x101_fpn"])
def test_pixels_are_those_of_detectron2(shared_dir, case):
    with np.load(shared_dir / "parity" / case / "expected.npz") as stored:
        size = stored["image_rgb"].shape[:2]
        expected = np.unpackbits(stored["masks_packed"], axis=-1, count=size[1]).astype(bool)
        masks = paste_masks(stored["mask_probs"], stored["boxes"], size)
    np.testing.assert_array_equal(masks, expected)
