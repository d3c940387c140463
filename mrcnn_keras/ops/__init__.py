"""Python face of the RoIAlign operation, compiled or in stock TensorFlow."""

from mrcnn_keras.ops._choice import use_implementation
from mrcnn_keras.ops._status import Status, status
from mrcnn_keras.ops.roi_align import multilevel_roi_align

__all__ = ["Status", "multilevel_roi_align", "status", "use_implementation"]
