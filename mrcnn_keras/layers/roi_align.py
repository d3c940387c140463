"""Features of each RoI: RoIAlign over a pyramid (section 3, "RoIAlign"), or what it is compared with (table 2c)."""

import keras
import tensorflow as tf

from .. import boxes as box_ops
from .. import ops
from .float32 import Float32Layer

OPERATORS = ("align", "warp", "pool", "crop_and_resize")


@keras.saving.register_keras_serializable("mrcnn_keras")
class RoIAlignLayer(Float32Layer):
    """Cuts a fixed-size feature map out of the level that fits each RoI's size.

    Args:
        output_size: bins a side.
        strides: pixels a cell of each level.
        sampling_ratio: samples a bin and side of "align" and "warp"; 0 for as many as the bin has cells, rounded up.
        aligned: half-pixel offset of "align" and "warp"; False gives the older convention of Detectron.
        canonical_size: side of the RoI that takes its features from the third level.
        operator: "align"; "warp", RoIWarp, and "pool", RoIPool, which round the RoI to whole cells; or
            "crop_and_resize": matterport's, one sample a bin on a grid whose corners lie on the RoI's; RoIs are then
            inclusive and the image's last pixel is the map's last cell.
        level_rounding: of `boxes.fpn_level`.
        reduce: "average" or "max" of a bin's samples, of "align" and "warp".

    Inputs: list of (B, H, W, C) maps, rois (R, 4) float32 xyxy in input pixels, image_index (R,) int32 and images
    (B, H, W, 3), padded. Returns: (R, output_size, output_size, C) of the maps' dtype.
    """

    def __init__(
        self,
        output_size=7,
        strides=(4, 8, 16, 32),
        sampling_ratio=2,
        aligned=True,
        canonical_size=224.0,
        operator="align",
        level_rounding="down",
        reduce="average",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if operator not in OPERATORS:
            raise ValueError(f"operator must be one of {', '.join(OPERATORS)}, got {operator!r}")
        self.output_size = output_size
        self.strides = tuple(strides)
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned
        self.canonical_size = canonical_size
        self.operator = operator
        self.level_rounding = level_rounding
        self.reduce = reduce
        self.built = True

    def call(self, features, rois, image_index, images):
        rois, image_index = tf.cast(rois, tf.float32), tf.cast(image_index, tf.int32)
        level = self._level(rois)
        if self.operator == "crop_and_resize":
            return crop_and_resize(features, rois, image_index, level, self.output_size, tf.shape(images)[1:3])
        place = {"scales": [1.0 / stride for stride in self.strides], "output_size": self.output_size}
        if self.operator == "pool":
            return ops.multilevel_roi_pool(features, rois, image_index, level, **place)
        sample = ops.multilevel_roi_warp if self.operator == "warp" else ops.multilevel_roi_align
        samples = {"sampling_ratio": self.sampling_ratio, "aligned": self.aligned, "reduce": self.reduce}
        return sample(features, rois, image_index, level, **place, **samples)

    def _level(self, rois):
        if len(self.strides) == 1:
            return tf.zeros(tf.shape(rois)[:1], tf.int32)
        return box_ops.fpn_level(rois, len(self.strides), self.canonical_size, rounding=self.level_rounding)

    def compute_output_spec(self, features, rois, image_index, images):
        shape = (rois.shape[0], self.output_size, self.output_size, features[0].shape[-1])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        names = "output_size strides sampling_ratio aligned canonical_size operator level_rounding reduce".split()
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def crop_and_resize(features, rois, image_index, level, size: int, image_size: tf.Tensor) -> tf.Tensor:
    """`tf.image.crop_and_resize` of every RoI on its level.

    Args:
        features: maps (B, H, W, C).
        rois: (R, 4) float32 xyxy in input pixels, inclusive.
        image_index, level: (R,) int32.
        size: bins a side.
        image_size: (2,) int32 [height, width] of the padded input.

    Returns: (R, size, size, C).
    """
    last = tf.cast(image_size, tf.float32) - 1.0
    boxes = tf.gather(rois, [1, 0, 3, 2], axis=1) / tf.tile(last, [2])

    def crop(index: int, rows: tf.Tensor) -> tf.Tensor:
        place = tf.gather(boxes, rows), tf.gather(image_index, rows)
        return tf.image.crop_and_resize(features[index], *place, [size, size])

    return tf.cast(ops.by_level(features, level, crop), features[0].dtype)
