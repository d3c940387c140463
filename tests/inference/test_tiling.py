"""Large images in tiles, with a detector that finds every bright region of what it is shown."""

import dataclasses

import numpy as np
import pytest
from skimage import measure

from mrcnn_keras.data import rle
from mrcnn_keras.inference import Detections, Tiles
from mrcnn_keras.inference.tiling import detect_in_tiles

SIZE, OVERLAP = 128, 40
# x, y, width, height: tiny, at tiles' borders, in their corners, longer than a tile, nearly the whole image, odd.
OBJECTS = [
    (3, 4, 6, 5), (84, 10, 20, 30), (120, 120, 15, 15), (170, 90, 9, 41), (300, 20, 39, 39), (400, 30, 70, 45),
    (30, 200, 140, 60), (500, 120, 31, 300), (60, 320, 380, 90), (440, 440, 12, 12), (590, 440, 11, 12),
]  # fmt: skip


def picture(size=(452, 601)):
    image = np.zeros((*size, 3), np.uint8)
    for x, y, width, height in OBJECTS:
        image[y : y + height, x : x + width] = 255
    return image


def find(images, seen=None):
    found = []
    for image in images:
        if seen is not None:
            seen.append(image.shape[:2])
        regions = measure.regionprops(measure.label(image[..., 0] > 127))
        boxes = np.array([[r.bbox[1], r.bbox[0], r.bbox[3], r.bbox[2]] for r in regions], np.float32).reshape(-1, 4)
        masks = [rle.encode(measure.label(image[..., 0] > 127) == r.label) for r in regions]
        corner = np.array([[[x1, y1, 0.5]] for x1, y1, _, _ in boxes], np.float32).reshape(-1, 1, 3)
        scores = np.linspace(0.9, 0.5, len(boxes))
        found.append(Detections(boxes, scores, np.zeros(len(boxes)), ("thing",), rles=masks, size=image.shape[:2],
                                keypoints=corner))  # fmt: skip
    return found


@pytest.fixture(scope="module")
def found():
    return detect_in_tiles(find, picture(), Tiles(SIZE, OVERLAP), 0.5, "bitmap", at_once=3)


def test_every_object_is_found_once_and_whole(found):
    expected = np.array([(x, y, x + w, y + h) for x, y, w, h in OBJECTS], np.float32)
    assert len(found) == len(OBJECTS)
    distance = np.abs(found.boxes[:, None] - expected).max(axis=-1)
    assert sorted(distance.argmin(axis=1)) == list(range(len(OBJECTS)))
    sides = (expected[:, 2:] - expected[:, :2]).max(axis=1)
    assert (distance.min(axis=0) <= np.where(sides < 0.375 * OVERLAP, 0, np.maximum(2, 0.1 * sides))).all()
    assert (np.diff(found.scores) <= 0).all()


def test_masks_and_keypoints_lie_where_the_objects_do(found):
    image = picture()[..., 0] > 0
    assert found.masks.shape == (len(OBJECTS), *image.shape)
    for mask, box, points in zip(found.masks, found.boxes, found.keypoints):
        x1, y1, x2, y2 = box.round().astype(int)
        assert (mask & image).sum() / (mask | (image & _inside(box, image.shape))).sum() > 0.9
        np.testing.assert_allclose(points[0, :2], (x1, y1), atol=8)
    assert (found.masks.any(axis=0) == image).mean() > 0.98


def _inside(box, shape):
    x1, y1, x2, y2 = box.round().astype(int)
    inside = np.zeros(shape, bool)
    inside[y1:y2, x1:x2] = True
    return inside


def test_run_lengths_are_the_bitmaps(found):
    same = detect_in_tiles(find, picture(), Tiles(SIZE, OVERLAP), 0.5, "rle")
    assert same.masks is None
    np.testing.assert_array_equal(same.to_masks(), found.masks)


def test_a_small_image_is_one_tile():
    seen = []
    found = detect_in_tiles(lambda images: find(images, seen), picture()[:100, :100], Tiles(128, 32), 0.5, None)
    assert seen == [(100, 100)] and len(found) == 2 and not found.has_masks


def test_tiles_cover_the_image_at_every_scale():
    seen = []
    detect_in_tiles(lambda images: find(images, seen), picture(), Tiles(SIZE, OVERLAP), 0.5, None)
    # 452 x 601 in 5 x 7, 226 x 301 in 3 x 3, 113 x 151 in 1 x 2, 57 x 76 in one
    assert len(seen) == 35 + 9 + 2 + 1 and max(max(size) for size in seen) == SIZE


def test_an_image_without_objects():
    found = detect_in_tiles(find, np.zeros((300, 200, 3), np.uint8), Tiles(SIZE, OVERLAP), 0.5, "bitmap")
    assert len(found) == 0 and found.size == (300, 200)


def test_mistakes_are_named():
    for arguments in ((-1,), (1,), (64.0,), (64, 64), (64, 0), (800, 15), (64, 16.0)):
        with pytest.raises(ValueError, match="expected"):
            Tiles(*arguments)
    with pytest.raises(ValueError, match="tiles='8'"):
        Tiles.of("8")
    assert Tiles.of(True).filled(800) == Tiles(800, 200) and Tiles.of(np.int64(64)) == Tiles(64)


@pytest.mark.parametrize(("size", "overlap", "side"), [(800, 100, 70), (800, 64, 40), (512, 64, 44), (400, 32, 20)])
def test_objects_on_a_seam_are_found_with_small_overlaps_too(size, overlap, side):
    image, left = np.zeros((size, 2 * size - overlap, 3), np.uint8), size - overlap // 2 - side // 2
    image[200 : 200 + side, left : left + side] = 255
    found = detect_in_tiles(find, image, Tiles(size, overlap), 0.5, None)
    np.testing.assert_allclose(found.boxes, [[left, 200, left + side, 200 + side]], atol=2)  # maybe at half the size


def test_objects_whose_centre_two_tiles_see_differently_are_found():
    image = np.zeros((SIZE, 2 * SIZE - OVERLAP, 3), np.uint8)
    image[50:70, SIZE - OVERLAP // 2 - 10 : SIZE - OVERLAP // 2 + 10] = 255
    shifts = iter((0.5, -0.5))  # the left tile sees it farther right, the right one farther left

    def unsure(images):
        return [dataclasses.replace(one, boxes=one.boxes + [next(shifts, 0), 0] * 2) for one in find(images)]

    assert len(detect_in_tiles(unsure, image, Tiles(SIZE, OVERLAP), 0.5, None)) == 1


def test_what_one_tile_keeps_together_stays():
    boxes = np.array([[10, 10, 50, 50], [12, 10, 52, 50]], np.float32)  # as Soft-NMS leaves them
    both = Detections(boxes, np.array([0.9, 0.6]), np.zeros(2), ("thing",), size=(100, 100))
    found = detect_in_tiles(lambda images: [both for _ in images], picture()[:100, :100], Tiles(128, 32), 0.5, None)
    np.testing.assert_array_equal(found.boxes, boxes)


@pytest.mark.slow
def test_every_object_of_a_very_large_picture_is_found_once():
    rng, height, width = np.random.default_rng(0), 4500, 6000
    image, taken, planted = np.zeros((height, width, 3), np.uint8), np.zeros((height // 4, width // 4), bool), []
    for side in np.sort(np.exp(rng.uniform(np.log(8), np.log(1000), 1500)))[::-1].astype(int):
        w, h = side, max(6, int(side * rng.uniform(0.4, 1)))
        x, y = rng.integers(0, width - w), rng.integers(0, height - h)
        around = slice(max(0, y // 4 - 4), (y + h) // 4 + 5), slice(max(0, x // 4 - 4), (x + w) // 4 + 5)
        if not taken[around].any():
            taken[around] = True
            image[y : y + h, x : x + w] = 255
            planted.append((x, y, x + w, y + h))
    assert len(planted) > 200
    found = detect_in_tiles(find, image, Tiles.of(True).filled(800), 0.5, "rle", at_once=4)
    distance = np.abs(found.boxes[:, None] - np.array(planted, np.float32)).max(axis=-1)
    assert sorted(distance.argmin(axis=1)) == list(range(len(planted)))
    sides = np.array([max(x2 - x1, y2 - y1) for x1, y1, x2, y2 in planted])
    assert (distance.min(axis=0) <= 0.05 * sides).all()
