"""Resizing as the reference systems do it."""

import numpy as np
import pytest

from mrcnn_keras.data.resizing import resize_like


def photo(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("rule", "size", "expected"),
    [
        ("detectron2", (480, 640), (800, 1067)),
        ("torchvision", (480, 640), (800, 1066)),
        ("detectron2", (300, 1200), (333, 1333)),
        ("torchvision", (300, 1200), (333, 1333)),
        ("matterport", (480, 640), (768, 1024)),
        ("matterport", (900, 1000), (900, 1000)),  # never shrunk to the short side
        ("matterport", (444, 2048), (222, 1024)),
    ],
)
def test_sizes(rule, size, expected):
    sides = (800, 1024) if rule == "matterport" else (800, 1333)
    assert resize_like(rule, photo(*size), *sides).shape[:2] == expected


def test_torchvision_interpolates_between_pixel_centres_without_rounding():
    image = np.repeat(np.array([[0, 100], [50, 250]], np.uint8)[:, :, None], 3, axis=2)
    found = resize_like("torchvision", image, 4, 8)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, :, 0], [0, 25, 75, 100])
    np.testing.assert_allclose(found[:, 0, 0], [0, 12.5, 37.5, 50])
    np.testing.assert_allclose(found[1, 1, 0], (0.75 * 0 + 0.25 * 100) * 0.75 + (0.75 * 50 + 0.25 * 250) * 0.25)


def test_torchvision_shrinks_without_antialiasing():
    image = photo(40, 60)
    found = resize_like("torchvision", image, 10, 15)  # by four: between the middle two pixels of each four
    expected = image.astype(np.float32).reshape(10, 4, 15, 4, 3)[:, 1:3, :, 1:3].mean(axis=(1, 3))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_matterport_cuts_grey_levels_down():
    image = np.full((4, 4, 3), 200, np.uint8)
    image[::2] = 201
    found = resize_like("matterport", image, 2, 2)
    assert found.dtype == np.uint8 and (found == 200).all()  # 200.5
