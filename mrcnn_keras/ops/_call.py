"""One call of the operation: its tensors checked, and passed to the implementation that runs."""

from collections.abc import Sequence

import tensorflow as tf

from mrcnn_keras.ops import _choice, _library
from mrcnn_keras.ops._cropped import can_crop, roi_align_cropped
from mrcnn_keras.ops._fallback import roi_align_tensorflow
from mrcnn_keras.ops._onnx import is_tracing_for_onnx, roi_align_onnx
from mrcnn_keras.ops._spec import Spec

_DTYPES = (tf.float32, tf.bfloat16, tf.float16)


def call(feature_maps: Sequence, boxes, image_index, level, spec: Spec, implementation: str) -> tf.Tensor:
    """Arguments, values and errors of `multilevel_roi_align`, for any method."""
    maps = [tf.convert_to_tensor(m) for m in feature_maps]
    boxes = tf.convert_to_tensor(boxes, tf.float32)
    image_index, level = (tf.cast(tf.convert_to_tensor(t), tf.int32) for t in (image_index, level))
    _check_maps(maps, spec)
    _check_rois(boxes, image_index, level)
    boxes = tf.ensure_shape(boxes, (None, 4))
    image_index, level = (tf.ensure_shape(t, boxes.shape[:1]) for t in (image_index, level))
    if is_tracing_for_onnx():
        return roi_align_onnx(maps, boxes, image_index, level, spec)
    name = _choice.resolve(implementation)
    if name == "cropped" and can_crop(spec):
        return roi_align_cropped(maps, boxes, image_index, level, spec)
    if name != "compiled":
        return roi_align_tensorflow(maps, boxes, image_index, level, spec)
    return _library.roi_align_compiled(maps, boxes, image_index, level, spec)


def _check_maps(maps, spec):
    if not maps:
        raise ValueError("feature_maps must hold at least one map, got an empty list")
    if len(spec.scales) != len(maps):
        raise ValueError(f"scales must have one number for each of the {len(maps)} feature maps, got {spec.scales}")
    for i, m in enumerate(maps):
        if m.dtype not in _DTYPES or m.dtype != maps[0].dtype:
            names = [t.dtype.name for t in maps]
            raise ValueError(f"feature maps must share one of the dtypes float32, bfloat16, float16, got {names}")
        if m.shape.rank != 4:
            raise ValueError(f"feature map {i} must be (batch, height, width, channels), got shape {m.shape}")
        if m.shape[-1] is None or m.shape[-1] != maps[0].shape[-1]:
            raise ValueError(f"feature map {i} must have the channels of map 0, got {m.shape} and {maps[0].shape}")
        if not m.shape[:1].is_compatible_with(maps[0].shape[:1]):
            raise ValueError(f"feature map {i} must have the batch size of map 0, got {m.shape} and {maps[0].shape}")
        if 0 in (m.shape[1], m.shape[2]):
            raise ValueError(f"feature map {i} must have cells, got shape {m.shape}")


def _check_rois(boxes, image_index, level):
    if not boxes.shape.is_compatible_with((None, 4)):
        raise ValueError(f"boxes must be (R, 4), got shape {boxes.shape}")
    for name, index in (("image_index", image_index), ("level", level)):
        if not index.shape.is_compatible_with(boxes.shape[:1]):
            raise ValueError(f"{name} must be (R,) with R of the boxes {boxes.shape}, got shape {index.shape}")
