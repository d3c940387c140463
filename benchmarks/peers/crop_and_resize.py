"""`tf.image.crop_and_resize` sampling the points of RoIAlign; only a RoIAlign."""

import numpy as np
from comparison import work
from comparison.child import Work, serve
from comparison.pooling import tensorflow_cases


def roi_align(variant: str) -> Work:
    """Two samples on a side of each bin."""
    boxes = work.make_boxes(work.PROPOSALS)

    def make(size):
        return lambda features: pooled(features, boxes, 1 / work.STRIDE, size)

    return Work(tensorflow_cases({(size, 2): make(size) for size in work.POOLED}))


def pooled(features, boxes: np.ndarray, scale: float, size: int):
    """Sampling points as corners of the operation's grid, then the mean of each bin's.

    Args:
        features: (1, H, W, C).
        boxes: (R, 4) xyxy in pixels of the image.
        scale: cells of the map for a pixel.
        size: bins on a side.

    Returns: (R, size, size, C).
    """
    import tensorflow as tf

    height, width = features.shape[1:3]
    low, high = boxes[:, :2] * scale - 0.5, boxes[:, 2:] * scale - 0.5
    step = (high - low) / (2 * size)
    grid = np.array([width - 1, height - 1], np.float32)
    corners = np.concatenate([((low + step / 2) / grid)[:, ::-1], ((high - step / 2) / grid)[:, ::-1]], axis=1)
    crops = tf.image.crop_and_resize(features, corners, tf.zeros(len(boxes), tf.int32), (2 * size, 2 * size))
    return tf.nn.avg_pool2d(crops, 2, 2, "VALID")


def versions() -> dict[str, str]:
    """TensorFlow's."""
    import tensorflow as tf

    return {"tensorflow": tf.__version__}


if __name__ == "__main__":
    serve({"roi_align": roi_align}, versions)
