"""RoIAlign over a feature pyramid (section 3, "RoIAlign")."""

import keras
import tensorflow as tf

from .. import boxes as box_ops
from .. import ops


@keras.saving.register_keras_serializable("mrcnn_keras")
class RoIAlignLayer(keras.layers.Layer):
    """Cuts a fixed-size feature map out of the level that fits each RoI's size.

    Args:
        output_size: bins a side.
        strides: pixels a cell of each level.
        sampling_ratio: samples a bin and side; 0 for as many as the bin has cells, rounded up.
        aligned: half-pixel offset; False gives the older convention of Detectron.
        canonical_size: side of the RoI that takes its features from the third level.

    Inputs: list of (B, H, W, C) maps, rois (R, 4) float32 xyxy in input pixels, image_index (R,) int32.
    Returns: (R, output_size, output_size, C) of the maps' dtype.
    """

    def __init__(
        self, output_size=7, strides=(4, 8, 16, 32), sampling_ratio=2, aligned=True, canonical_size=224.0, **kwargs
    ):
        super().__init__(**kwargs)
        self.output_size = output_size
        self.strides = tuple(strides)
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned
        self.canonical_size = canonical_size
        self.built = True

    def call(self, features, rois, image_index):
        rois = tf.cast(rois, tf.float32)
        return ops.multilevel_roi_align(
            features,
            rois,
            image_index,
            box_ops.fpn_level(rois, len(self.strides), self.canonical_size),
            scales=[1.0 / stride for stride in self.strides],
            output_size=self.output_size,
            sampling_ratio=self.sampling_ratio,
            aligned=self.aligned,
        )

    def compute_output_spec(self, features, rois, image_index):
        shape = (rois.shape[0], self.output_size, self.output_size, features[0].shape[-1])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        names = ("output_size", "strides", "sampling_ratio", "aligned", "canonical_size")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
