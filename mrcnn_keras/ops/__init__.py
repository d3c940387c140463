"""Python face of the operations RoIAlign, RoIWarp, RoIPool and 3x3 convolution, compiled or in stock TensorFlow."""

from mrcnn_keras.ops._choice import use_implementation
from mrcnn_keras.ops._onnx import (
    ONNX_PLACEHOLDER,
    by_level,
    is_tracing_for_onnx,
    non_max_suppression_onnx,
    onnx_operator,
    tracing_for_onnx,
)
from mrcnn_keras.ops._status import Status, status
from mrcnn_keras.ops._tracing import compiling_with_xla
from mrcnn_keras.ops.conv3x3 import conv3x3
from mrcnn_keras.ops.gradients import call_and_recompute, call_with_gradient
from mrcnn_keras.ops.roi_align import multilevel_roi_align
from mrcnn_keras.ops.roi_pool import multilevel_roi_pool, multilevel_roi_warp

__all__ = [
    "ONNX_PLACEHOLDER",
    "Status",
    "by_level",
    "call_and_recompute",
    "call_with_gradient",
    "compiling_with_xla",
    "conv3x3",
    "is_tracing_for_onnx",
    "multilevel_roi_align",
    "multilevel_roi_pool",
    "multilevel_roi_warp",
    "non_max_suppression_onnx",
    "onnx_operator",
    "status",
    "tracing_for_onnx",
    "use_implementation",
]
