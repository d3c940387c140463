"""Outlines of annotation tools: exact masks, cut off at the image's edge."""

import io

import numpy as np
import pytest
from PIL import Image

from mrcnn_keras.data import rle
from mrcnn_keras.data.outlines import Bitmap, ellipse, polygon, rectangle, united_rle

_HEIGHT, _WIDTH = 31, 47


def _mask(outline):
    return rle.columns(outline.rle(_HEIGHT, _WIDTH), 0, _WIDTH).T.astype(bool)


@pytest.mark.parametrize(
    ("centre", "radii", "turn"),
    [
        ((20, 15), (6, 6), 0.0),
        ((20.5, 15.5), (0.4, 0.4), 0.0),  # one pixel, just around its centre
        ((22.3, 14.1), (11.7, 4.2), 0.6),
        ((22.3, 14.1), (4.2, 11.7), -2.5),
        ((-3, 33), (30, 9), -0.5),  # partly outside
        ((20, 15), (400, 300), 1.0),  # around the whole image
    ],
)
def test_an_ellipse_covers_the_pixels_whose_centre_it_holds(centre, radii, turn):
    y, x = np.mgrid[:_HEIGHT, :_WIDTH] + 0.5
    # Along and across the first axis, which was turned from x towards y.
    along = (x - centre[0]) * np.cos(turn) + (y - centre[1]) * np.sin(turn)
    across = (y - centre[1]) * np.cos(turn) - (x - centre[0]) * np.sin(turn)
    expected = (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1
    assert expected.any()
    outline = ellipse(centre, radii, turn)
    np.testing.assert_array_equal(_mask(outline), expected)
    left, top, right, bottom = outline.bounds()
    rows, cols = np.nonzero(expected)
    assert left <= cols.min() + 0.5 and cols.max() + 0.5 <= right
    assert top <= rows.min() + 0.5 and rows.max() + 0.5 <= bottom


def test_bounds_of_a_turned_ellipse_touch_it():
    assert ellipse((10, 20), (5, 2), np.pi / 2).bounds() == pytest.approx((8, 15, 12, 25))


def test_a_rectangle_covers_the_pixels_between_its_corners_whatever_their_order():
    expected = np.zeros((_HEIGHT, _WIDTH), bool)
    expected[7:12, 5:15] = True
    for corners in ((5, 7, 15, 12), (15, 12, 5, 7), (5, 12, 15, 7)):
        np.testing.assert_array_equal(_mask(rectangle(*corners)), expected)


def test_what_lies_outside_is_cut_off():
    expected = np.zeros((_HEIGHT, _WIDTH), bool)
    expected[20:, :9] = True
    np.testing.assert_array_equal(_mask(rectangle(-12, 20, 9, 60)), expected)
    np.testing.assert_array_equal(_mask(polygon([(-12, 20), (9, 20), (9, 60), (-12, 60)])), expected)


@pytest.mark.parametrize(("left", "top"), [(3, 4), (-2, -3), (44, 28), (-2, 28)])
def test_a_bitmap_lies_where_its_corner_is(left, top):
    small = np.random.default_rng(0).random((6, 7)) < 0.5
    file = io.BytesIO()
    Image.fromarray(small).save(file, "PNG")
    expected = np.zeros((_HEIGHT + 20, _WIDTH + 20), bool)
    expected[10 + top : 16 + top, 10 + left : 17 + left] = small
    found = _mask(Bitmap(file.getvalue(), left, top, (6, 7)))
    np.testing.assert_array_equal(found, expected[10:-10, 10:-10])
    assert found.any()


def test_parts_are_united_and_nothing_is_none():
    parts = [rectangle(2, 2, 8, 8), rectangle(6, 2, 12, 4)]
    assert rle.areas([united_rle(parts, _HEIGHT, _WIDTH)]) == [36 + 4 * 2]
    assert united_rle([ellipse((5, 5), (0.3, 0.3))], _HEIGHT, _WIDTH) is None  # between four pixels' centres
    with pytest.raises(ValueError, match=r"\[50.0, 2.0, 60.0, 8.0\], wholly outside the 47x31 image"):
        united_rle([parts[0], rectangle(50, 2, 60, 8)], _HEIGHT, _WIDTH)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: polygon([(1, 2), (3, 4)]), "2 points.*three or more"),
        (lambda: rectangle(3, 2, 3, 9), "0 wide and 7 high"),
        (lambda: ellipse((1, 1), (3, 0)), "radius must be above 0, got 0"),
    ],
)
def test_outlines_without_area_say_why(make, message):
    with pytest.raises(ValueError, match=message):
        make()
