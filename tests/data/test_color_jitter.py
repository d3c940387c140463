"""Brightness, contrast, saturation and hue, each for itself and together."""

import numpy as np
import pytest

from mrcnn_keras.data.color_jitter import drawn_factors, jitter_color

_PHOTO = np.random.default_rng(0).integers(40, 160, (7, 9, 3), np.uint8)
_GREY = _PHOTO.astype(float) @ (0.299, 0.587, 0.114)


def _changed(**factors):
    values = {"brightness": 1, "contrast": 1, "saturation": 1, "turn": 0, **factors}
    return jitter_color(_PHOTO, np.array(list(values.values()), float))


def test_factors_of_one_change_nothing():
    np.testing.assert_array_equal(_changed(), _PHOTO)


def test_brightness_multiplies_and_stops_at_white():
    np.testing.assert_allclose(_changed(brightness=0.5), _PHOTO / 2, atol=0.51)
    np.testing.assert_allclose(_changed(brightness=2.5), np.minimum(_PHOTO * 2.5, 255), atol=0.51)


def test_contrast_moves_away_from_the_mean_grey():
    np.testing.assert_allclose(_changed(contrast=0), np.full(_PHOTO.shape, _GREY.mean()), atol=0.51)
    np.testing.assert_allclose(_changed(contrast=1.2), 1.2 * _PHOTO - 0.2 * _GREY.mean(), atol=0.51)
    both = np.clip(0.5 * (1.2 * _PHOTO - 0.2 * _GREY.mean()), 0, 255)
    np.testing.assert_allclose(_changed(brightness=0.5, contrast=1.2), both, atol=0.51)


def test_saturation_moves_away_from_grey():
    np.testing.assert_allclose(_changed(saturation=0), np.repeat(_GREY[..., None], 3, 2), atol=0.51)
    expected = np.clip(1.5 * _PHOTO - 0.5 * _GREY[..., None], 0, 255)
    np.testing.assert_allclose(_changed(saturation=1.5), expected, atol=0.51)


def test_hue_turns_colours_and_keeps_their_brightness():
    red = np.zeros((2, 2, 3), np.uint8) + np.array([160, 90, 90], np.uint8)
    turned = {turn: jitter_color(red, np.array([1, 1, 1, turn]))[0, 0].astype(int) for turn in (1 / 3, 0.5, -1 / 3)}
    assert {turn: int(colour.argmax()) for turn, colour in turned.items() if turn != 0.5} in (
        {1 / 3: 1, -1 / 3: 2},
        {1 / 3: 2, -1 / 3: 1},
    )
    assert turned[0.5].argmin() == 0
    for colour in turned.values():
        assert abs(colour @ (0.299, 0.587, 0.114) - red[0, 0] @ (0.299, 0.587, 0.114)) < 1
    grey = np.full((2, 2, 3), 77, np.uint8)
    np.testing.assert_array_equal(jitter_color(grey, np.array([1, 1, 1.7, 0.3])), grey)


def test_the_photo_itself_is_not_changed():
    photo = _PHOTO.copy()
    jitter_color(photo, np.array([2.0, 0.5, 0, 0.2]))
    np.testing.assert_array_equal(photo, _PHOTO)


@pytest.mark.parametrize(
    ("strengths", "least", "most"),
    [((0.4, 0.3, 0.2, 0.1), (0.6, 0.7, 0.8, -0.1), (1.4, 1.3, 1.2, 0.1)), ((2, 2, 2, 0.5), (0,) * 3 + (-0.5,), None)],
)
def test_factors_fill_their_range(strengths, least, most):
    np.testing.assert_allclose(drawn_factors(strengths, np.zeros(4)), least)
    np.testing.assert_allclose(drawn_factors(strengths, np.full(4, 0.5)), (1, 1, 1, 0))
    if most:
        np.testing.assert_allclose(drawn_factors(strengths, np.ones(4)), most)
