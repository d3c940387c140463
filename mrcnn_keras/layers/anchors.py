"""Anchors of the region proposal network (Ren et al., NIPS 2015; one scale a level as in FPN)."""

import keras
import numpy as np
import tensorflow as tf

from .float32 import Float32Layer


@keras.saving.register_keras_serializable("mrcnn_keras")
class Anchors(Float32Layer):
    """Anchor boxes of every cell of every level.

    Args:
        sizes: for each level, the sides in pixels (the square root of the anchor's area).
        ratios: height / width.
        strides: pixels between neighbouring cells, for each level.
        rounded: torchvision's rules: corners in whole pixels, ratios outermost, and the distance of two cells is the
            padded image's side over the map's, rounded down.

    Inputs: list of feature maps (B, H, W, C), one a level, and images (B, H, W, 3), padded. Returns: list of
    (H * W * A, 4) float32 xyxy, row by row over the cells, the A anchors of a cell together, sizes outermost.
    """

    def __init__(self, sizes=((32,), (64,), (128,), (256,), (512,)), ratios=(0.5, 1.0, 2.0),
                 strides=(4, 8, 16, 32, 64), rounded=False, **kwargs):  # fmt: skip
        super().__init__(**kwargs)
        self.sizes = tuple(tuple(level) for level in sizes)
        self.ratios = tuple(ratios)
        self.strides = tuple(strides)
        self.rounded = rounded
        if len(self.sizes) != len(self.strides):
            raise ValueError(f"anchor sizes for {len(self.sizes)} levels, strides for {len(self.strides)}")
        self.built = True

    def call(self, features, images):
        return [
            grid_anchors(*self._grid(feature, images, stride), self._cell_anchors(sizes))
            for feature, stride, sizes in zip(features, self.strides, self.sizes, strict=True)
        ]

    def _grid(self, feature, images, stride):
        """Cells of a map and the distance between them, each (2,), vertical first."""
        cells = tf.shape(feature)[1:3]
        return cells, tf.shape(images)[1:3] // cells if self.rounded else tf.constant([stride, stride])

    def _cell_anchors(self, sizes):
        anchors = cell_anchors(sizes, self.ratios)
        if not self.rounded:
            return anchors
        return np.round(anchors.reshape(len(sizes), len(self.ratios), 4).transpose(1, 0, 2).reshape(-1, 4))

    def compute_output_spec(self, features, images):
        per_cell = len(self.ratios)
        specs = []
        for feature, sizes in zip(features, self.sizes, strict=True):
            height, width = feature.shape[1:3]
            count = None if height is None or width is None else height * width * per_cell * len(sizes)
            specs.append(keras.KerasTensor((count, 4), dtype="float32"))
        return specs

    def get_config(self):
        return {**super().get_config(), "sizes": self.sizes, "ratios": self.ratios, "strides": self.strides,
                "rounded": self.rounded}  # fmt: skip


def cell_anchors(sizes: tuple[float, ...], ratios: tuple[float, ...]) -> np.ndarray:
    """Anchors around the origin: (len(sizes) * len(ratios), 4) float32 xyxy, not rounded."""
    anchors = []
    for size in sizes:
        for ratio in ratios:
            width = np.sqrt(size**2 / ratio)
            height = ratio * width
            anchors.append((-width / 2, -height / 2, width / 2, height / 2))
    return np.array(anchors, np.float32)


def grid_anchors(cells: tf.Tensor, strides: tf.Tensor, anchors: np.ndarray) -> tf.Tensor:
    """`anchors` (A, 4) moved to the corner of every cell: (H * W * A, 4).

    Args:
        cells: (2,) int32, H and W.
        strides: (2,) int32 pixels from one cell to the next, vertically and horizontally.
        anchors: (A, 4) float32 xyxy around the origin.
    """
    y, x = (tf.range(tf.cast(cells[i], tf.float32)) * tf.cast(strides[i], tf.float32) for i in (0, 1))
    grid_y, grid_x = tf.meshgrid(y, x, indexing="ij")
    shifts = tf.reshape(tf.stack([grid_x, grid_y, grid_x, grid_y], axis=-1), [-1, 1, 4])
    return tf.reshape(shifts + anchors, [-1, 4])
