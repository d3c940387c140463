"""Boxes: the one convention of this package and the pure functions on it.

A box is ``(x1, y1, x2, y2)``: float32, absolute pixels of the image at hand, continuous coordinates. The centre of the
top-left pixel is at (0.5, 0.5) and the width is ``x2 - x1``. Padding rows are zeros, with class -1 where there is one.
"""

import math

import tensorflow as tf

# Largest log-scale a regressor may ask for: one step from a 16 px anchor to a 1000 px object (Detectron).
MAX_LOG_SCALE = math.log(1000.0 / 16.0)


def area(boxes: tf.Tensor) -> tf.Tensor:
    """Area of each box.

    Args:
        boxes: (..., 4) float32 xyxy.

    Returns:
        (...) float32 in square pixels; 0 for a box whose corners are the wrong way round.
    """
    return tf.nn.relu(boxes[..., 2] - boxes[..., 0]) * tf.nn.relu(boxes[..., 3] - boxes[..., 1])


def pairwise_iou(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Intersection over union of every box with every other one.

    Args:
        boxes: (..., N, 4) float32 xyxy.
        others: (..., M, 4) float32 xyxy, same leading dimensions.

    Returns:
        (..., N, M) float32 in [0, 1]; 0 where both boxes are empty.
    """
    x1, y1, x2, y2 = (boxes[..., :, None, i] for i in range(4))
    u1, v1, u2, v2 = (others[..., None, :, i] for i in range(4))
    width = tf.nn.relu(tf.minimum(x2, u2) - tf.maximum(x1, u1))
    height = tf.nn.relu(tf.minimum(y2, v2) - tf.maximum(y1, v1))
    intersection = width * height
    union = area(boxes)[..., :, None] + area(others)[..., None, :] - intersection
    return tf.math.divide_no_nan(intersection, union)


def _centre_form(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    width = boxes[..., 2] - boxes[..., 0]
    height = boxes[..., 3] - boxes[..., 1]
    return boxes[..., 0] + 0.5 * width, boxes[..., 1] + 0.5 * height, width, height


def encode(boxes: tf.Tensor, anchors: tf.Tensor, weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)) -> tf.Tensor:
    """Regression targets that take each anchor to its box (R-CNN's parametrisation).

    Args:
        boxes: (..., 4) float32 xyxy, the targets.
        anchors: (..., 4) float32 xyxy, the starting boxes.
        weights: multipliers of (dx, dy, dw, dh).

    Returns:
        (..., 4) float32; zero where the box or the anchor is empty.
    """
    bx, by, bw, bh = _centre_form(boxes)
    ax, ay, aw, ah = _centre_form(anchors)
    usable = (bw > 0) & (bh > 0) & (aw > 0) & (ah > 0)
    aw, ah = tf.where(usable, aw, 1.0), tf.where(usable, ah, 1.0)
    bw, bh = tf.where(usable, bw, aw), tf.where(usable, bh, ah)
    wx, wy, ww, wh = weights
    deltas = [wx * (bx - ax) / aw, wy * (by - ay) / ah, ww * tf.math.log(bw / aw), wh * tf.math.log(bh / ah)]
    return tf.where(usable[..., None], tf.stack(deltas, axis=-1), 0.0)


def decode(deltas: tf.Tensor, anchors: tf.Tensor, weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)) -> tf.Tensor:
    """Move anchors by regression outputs; the inverse of `encode`.

    Args:
        deltas: (..., 4) float32 (dx, dy, dw, dh); dw and dh are clamped from above at ln(1000 / 16).
        anchors: (..., 4) float32 xyxy, broadcast against `deltas`.
        weights: the multipliers used by `encode`.

    Returns:
        (..., 4) float32 xyxy in the anchors' frame, not clipped.
    """
    ax, ay, aw, ah = _centre_form(anchors)
    dx, dy, dw, dh = (deltas[..., i] / weights[i] for i in range(4))
    cx, cy = dx * aw + ax, dy * ah + ay
    half_w = 0.5 * tf.exp(tf.minimum(dw, MAX_LOG_SCALE)) * aw
    half_h = 0.5 * tf.exp(tf.minimum(dh, MAX_LOG_SCALE)) * ah
    return tf.stack([cx - half_w, cy - half_h, cx + half_w, cy + half_h], axis=-1)


def clip(boxes: tf.Tensor, windows: tf.Tensor) -> tf.Tensor:
    """Cut boxes at the border of their image.

    Args:
        boxes: (B, ..., 4) float32 xyxy.
        windows: (B, 4) float32 xyxy, the part of the frame that may hold boxes.

    Returns:
        (B, ..., 4) float32 inside the windows.
    """
    middle = [1] * (boxes.shape.rank - 2)
    low = tf.reshape(tf.gather(windows, [0, 1, 0, 1], axis=1), [-1, *middle, 4])
    high = tf.reshape(tf.gather(windows, [2, 3, 2, 3], axis=1), [-1, *middle, 4])
    return tf.minimum(tf.maximum(boxes, low), high)


def has_sides(boxes: tf.Tensor, least: float) -> tf.Tensor:
    """Which boxes (..., 4) have both sides above zero and not under `least` pixels: (...) bool."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return tf.reduce_all((sides > 0) & (sides >= least), axis=-1)


def fpn_level(
    boxes: tf.Tensor,
    num_levels: int,
    canonical_size: float = 224.0,
    canonical_level: int = 4,
    min_level: int = 2,
    rounding: str = "down",
) -> tf.Tensor:
    """Pyramid level from which each RoI takes its features (FPN, equation 1).

    Args:
        boxes: (R, 4) float32 xyxy in input pixels.
        num_levels: how many levels there are, from `min_level` up.
        canonical_size: side of the RoI, in pixels, that belongs on `canonical_level`.
        canonical_level: 4 in the paper (an ImageNet-sized object on P4).
        min_level: the level of index 0.
        rounding: "down" as in the paper; "down+" with the small margin of torchvision, which moves a RoI just under a
            level's size up; "nearest" as matterport does.

    Returns:
        (R,) int32 index into the list of levels, 0 for `min_level`.
    """
    scale = tf.sqrt(area(boxes)) / canonical_size
    level = canonical_level + tf.math.log(scale + 1e-8) / math.log(2.0)
    level = tf.round(level) if rounding == "nearest" else tf.floor(level + (1e-6 if rounding == "down+" else 0.0))
    return tf.cast(tf.clip_by_value(level, min_level, min_level + num_levels - 1), tf.int32) - min_level
