"""Run-length masks: every way in gives the same mask, and crops agree with brute force."""

import numpy as np
import pytest

from mrcnn_keras.data import rle


def _blob(height=23, width=31, seed=0):
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    mask[3:17, 5:26] = rng.random((14, 21)) < 0.6
    mask[:, 11] = True  # a full column, so that a run crosses from one column to the next
    mask[:, 12] = True
    return mask


def _uncompressed(mask):
    flat = mask.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    counts = np.diff(np.concatenate([[0], edges, [flat.size]]))
    return {"size": list(mask.shape), "counts": counts.tolist()}


def _decode(encoded):
    height, width = encoded["size"]
    return rle.columns(encoded, 0, width).T.astype(bool)


@pytest.mark.parametrize("seed", range(5))
def test_columns_give_back_what_was_encoded(seed):
    mask = _blob(seed=seed)
    np.testing.assert_array_equal(_decode(rle.encode(mask)), mask)
    np.testing.assert_array_equal(rle.columns(rle.encode(mask), 4, 13).T.astype(bool), mask[:, 4:13])


def test_long_runs_and_empty_and_full_masks():
    for mask in (np.zeros((700, 900), bool), np.ones((700, 900), bool), np.tri(700, 900, dtype=bool)):
        np.testing.assert_array_equal(_decode(rle.encode(mask)), mask)


def test_compressed_string_and_uncompressed_counts_are_the_same_mask():
    mask = _blob()
    compressed = rle.encode(mask)
    as_text = {"size": list(mask.shape), "counts": compressed["counts"].decode()}
    for segmentation in (compressed, as_text, _uncompressed(mask)):
        np.testing.assert_array_equal(_decode(rle.from_segmentation(segmentation, *mask.shape)), mask)


def test_label_images_give_the_same_mask_as_whole_masks():
    labels = np.zeros((20, 30), np.int32)
    labels[2:9, 0:7] = 4
    labels[15:20, 10:13] = 5  # ends in the last row, so that its last run ends where the next column begins
    labels[:, 25:30] = 9
    for value in (4, 5, 9):
        cols = np.flatnonzero((labels == value).any(axis=0))
        found = rle.encode_label(labels, value, cols[0], cols[-1] + 1)
        np.testing.assert_array_equal(_decode(found), labels == value)


def test_spans_of_columns_give_the_same_mask_as_whole_masks():
    first, last = np.array([3, 0, 0, 7, 9, 0, 2]), np.array([9, 9, 4, 5, 9, 0, 9])
    mask = np.zeros((9, 7), bool)
    for column in range(7):
        mask[first[column] : last[column], column] = True
    found = rle.from_spans(first, last, 9)
    np.testing.assert_array_equal(_decode(found), mask)
    np.testing.assert_array_equal(rle.boxes([found]), [[0, 0, 7, 9]])


def test_a_union_covers_what_any_of_its_masks_covers():
    masks = [_blob(seed=1), _blob(seed=2), np.zeros((23, 31), bool)]
    np.testing.assert_array_equal(_decode(rle.union([rle.encode(mask) for mask in masks])), masks[0] | masks[1])
    np.testing.assert_array_equal(_decode(rle.union([rle.encode(masks[0])])), masks[0])


def test_polygons_in_several_parts_are_united():
    found = _decode(rle.from_segmentation([[2, 2, 8, 2, 8, 8, 2, 8], [12, 2, 16, 2, 16, 6, 12, 6]], 20, 20))
    assert found[4, 4] and found[4, 14] and not found[4, 10]
    assert found.sum() == 6 * 6 + 4 * 4


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4]], "4 numbers"),
        ([[1, 2, 3, 4, 5, 6, 7]], "7 numbers"),
        ([[1, 2, 3, 4, 5, float("nan")]], "not finite"),
        ([[1, 2, 3, 4, 5, 1e9]], "far outside"),
        ([["a", "b"]], "flat list"),
        ([[[1, 2], [3, 4], [5, 6]]], "flat list"),
        ([], "no polygon"),
        ({"size": [20, 21], "counts": [420]}, "RLE size"),
        ({"size": [20, 20], "counts": [399]}, "fill"),
        ({"size": [20, 20], "counts": [-1, 401]}, "fill"),
        ({"size": [20, 20], "counts": "zzzz"}, "damaged"),
        ({"size": [20, 20], "counts": "é"}, "damaged"),
        ({"size": [20, 20], "counts": ""}, "damaged"),
        ({"size": [20, 20], "counts": "11"}, "fill"),
        ({"counts": [400]}, "fields"),
    ],
)
def test_broken_segmentations_are_errors_that_say_why(segmentation, message):
    with pytest.raises(ValueError, match=message):
        rle.from_segmentation(segmentation, 20, 20)


def test_boxes_end_behind_the_last_pixel():
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    np.testing.assert_array_equal(rle.boxes([rle.encode(mask)]), [[3, 2, 9, 5]])
    np.testing.assert_array_equal(rle.areas([rle.encode(mask)]), [18])
    assert rle.boxes([]).shape == (0, 4) and rle.areas([]).shape == (0,)


def _brute_force(mask, box, size):
    # Every pixel and cell is an interval; a cell's value is the mean over the pixels it overlaps, by overlap.
    def weights(start, stop, pixels):
        edges = np.linspace(start, stop, size + 1)
        low = np.maximum(edges[:-1, None], np.arange(pixels)[None])
        high = np.minimum(edges[1:, None], np.arange(1, pixels + 1)[None])
        return np.maximum(high - low, 0) / (edges[1] - edges[0])

    rows, cols = weights(box[1], box[3], mask.shape[0]), weights(box[0], box[2], mask.shape[1])
    return rows @ mask @ cols.T * 255


@pytest.mark.parametrize("size", [1, 7, 28, 112])
@pytest.mark.parametrize("box", [(5, 0, 26, 23), (5.3, 2.7, 25.9, 17.2), (11.2, 3.1, 11.9, 3.6), (0, 0, 31, 23)])
def test_coverage_is_the_exact_area_average(box, size):
    mask = _blob()
    found = rle.coverage(rle.encode(mask), np.array(box), size)
    assert found.dtype == np.uint8 and found.shape == (size, size)
    np.testing.assert_allclose(found.astype(float), _brute_force(mask, box, size), atol=0.51)


def test_box_around_what_a_mask_covers_of_a_box():
    mask = np.zeros((20, 30), bool)
    mask[4:9, 6:12] = True
    mask[15, 25] = True
    encoded = rle.encode(mask)
    for box, expected in [
        ((0, 0, 30, 20), (6, 4, 26, 16)),
        ((0, 0, 20, 20), (6, 4, 12, 9)),
        ((8, 0, 20, 6), (8, 4, 12, 6)),
        ((7.25, 0, 10.5, 5.5), (7.25, 4, 10.5, 5.5)),  # the box's own edge where it cuts a pixel
        ((13, 0, 24, 20), (0, 0, 0, 0)),
        ((5, 5, 5, 9), (0, 0, 0, 0)),
    ]:
        found = rle.box_inside(encoded, np.array(box, np.float32))
        assert found.dtype == np.float32 and found.tolist() == list(expected), box
