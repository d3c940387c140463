"""Anchors of the region proposal network (Ren et al., NIPS 2015; one scale a level as in FPN)."""

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable("mrcnn_keras")
class Anchors(keras.layers.Layer):
    """Anchor boxes of every cell of every level.

    Args:
        sizes: for each level, the sides in pixels (the square root of the anchor's area).
        ratios: height / width.
        strides: pixels between neighbouring cells, for each level.

    Inputs: list of feature maps (B, H, W, C), one a level. Returns: list of (H * W * A, 4) float32 xyxy, row by row
    over the cells, the A anchors of a cell together, sizes outermost.
    """

    def __init__(self, sizes=((32,), (64,), (128,), (256,), (512,)), ratios=(0.5, 1.0, 2.0),
                 strides=(4, 8, 16, 32, 64), **kwargs):  # fmt: skip
        super().__init__(**kwargs)
        self.sizes = tuple(tuple(level) for level in sizes)
        self.ratios = tuple(ratios)
        self.strides = tuple(strides)
        if len(self.sizes) != len(self.strides):
            raise ValueError(f"anchor sizes for {len(self.sizes)} levels, strides for {len(self.strides)}")
        self.built = True

    def call(self, features):
        return [
            grid_anchors(tf.shape(feature)[1], tf.shape(feature)[2], stride, cell_anchors(sizes, self.ratios))
            for feature, stride, sizes in zip(features, self.strides, self.sizes, strict=True)
        ]

    def compute_output_spec(self, features):
        per_cell = len(self.ratios)
        specs = []
        for feature, sizes in zip(features, self.sizes, strict=True):
            height, width = feature.shape[1:3]
            count = None if height is None or width is None else height * width * per_cell * len(sizes)
            specs.append(keras.KerasTensor((count, 4), dtype="float32"))
        return specs

    def get_config(self):
        return {**super().get_config(), "sizes": self.sizes, "ratios": self.ratios, "strides": self.strides}


def cell_anchors(sizes: tuple[float, ...], ratios: tuple[float, ...]) -> np.ndarray:
    """Anchors around the origin: (len(sizes) * len(ratios), 4) float32 xyxy, not rounded."""
    anchors = []
    for size in sizes:
        for ratio in ratios:
            width = np.sqrt(size**2 / ratio)
            height = ratio * width
            anchors.append((-width / 2, -height / 2, width / 2, height / 2))
    return np.array(anchors, np.float32)


def grid_anchors(height, width, stride: int, anchors: np.ndarray) -> tf.Tensor:
    """`anchors` (A, 4) moved to the corner of each of height x width cells: (height * width * A, 4)."""
    x = tf.range(width, dtype=tf.float32) * stride
    y = tf.range(height, dtype=tf.float32) * stride
    grid_y, grid_x = tf.meshgrid(y, x, indexing="ij")
    shifts = tf.reshape(tf.stack([grid_x, grid_y, grid_x, grid_y], axis=-1), [-1, 1, 4])
    return tf.reshape(shifts + anchors, [-1, 4])
