"""Random changes of a photo's colours."""

import math

import numpy as np

# What red, green and blue add to the brightness of a pixel (ITU-R BT.601).
_GREY = np.array([0.299, 0.587, 0.114])
# Brightness and two axes of colour; turning the plane of the two changes the hue alone.
_TO_YIQ = np.array([_GREY, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def drawn_factors(strengths: tuple[float, float, float, float], uniform: np.ndarray) -> np.ndarray:
    """Factors for `jitter_color` from uniform numbers.

    Args:
        strengths: of brightness, contrast and saturation, >= 0: how far the factor may be from 1, yet not below 0; of
            the hue, in [0, 0.5]: how much of the colour circle it may be turned either way.
        uniform: (4,) in [0, 1).

    Returns: float64 (4,): three factors and the turn.
    """
    drawn = np.asarray(strengths) * (2 * np.asarray(uniform) - 1)
    return np.maximum(drawn + (1, 1, 1, 0), (0, 0, 0, -0.5))


def jitter_color(image: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Brightness, contrast, saturation and hue changed, in this order, with one rounding at the end.

    Args:
        image: uint8 (H, W, 3) RGB.
        factors: (4,) of brightness (0 is black), contrast (0 is the mean grey everywhere) and saturation (0 is a grey
            photo), and the turn of the hue in circles; (1, 1, 1, 0) changes nothing.

    Returns: uint8 (H, W, 3).
    """
    from PIL import Image

    matrix = color_matrix(factors, image.reshape(-1, 3).mean(axis=0))
    return np.asarray(Image.fromarray(image).convert("RGB", tuple(matrix.ravel().tolist())))


def color_matrix(factors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """What `jitter_color` does to a photo of this mean RGB, as (3, 4): new = matrix[:, :3] @ old + matrix[:, 3]."""
    brightness, contrast, saturation, turn = factors
    angle = 2 * math.pi * turn
    turned = np.array([[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]])
    hue = np.linalg.inv(_TO_YIQ) @ turned @ _TO_YIQ
    grey = np.ones((3, 1)) * _GREY
    colour = hue @ (saturation * np.eye(3) + (1 - saturation) * grey)
    mean_grey = np.full((3, 1), brightness * (_GREY @ mean))
    return np.hstack([brightness * contrast * colour, (1 - contrast) * mean_grey])
