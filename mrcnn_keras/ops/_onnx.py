"""RoIAlign, RoIWarp, RoIPool and non-maximum suppression as operators of ONNX.

In a graph that is traced to become an ONNX file they stand as placeholders, which cannot run and which the export
replaces by the operators they name.
"""

import contextlib
import contextvars
import json
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from mrcnn_keras.ops._geometry import quantised_interval
from mrcnn_keras.ops._spec import Spec

ONNX_PLACEHOLDER = "PyFuncStateless"

_tracing = contextvars.ContextVar("tracing_for_onnx", default=False)


@contextlib.contextmanager
def tracing_for_onnx() -> Iterator[None]:
    """Within the block, what is traced is to become an ONNX file."""
    before = _tracing.set(True)
    try:
        yield
    finally:
        _tracing.reset(before)


def is_tracing_for_onnx() -> bool:
    """Whether the graph that is being traced is to become an ONNX file."""
    return _tracing.get()


def onnx_operator(token: str) -> tuple[str, dict]:
    """Name and attributes of the ONNX operator that a placeholder with this token stands for."""
    operator = json.loads(token)
    return operator["name"], operator["attributes"]


def by_level(feature_maps: Sequence[tf.Tensor], level: tf.Tensor, pool: Callable[..., tf.Tensor]) -> tf.Tensor:
    """Work through RoIs level by level.

    Args:
        feature_maps: N maps.
        level: (R,) int32 in [0, N), the map of each RoI.
        pool: given a map's number and the rows (K,) int32 of its RoIs, a result (K, ...) for them.

    Returns: (R, ...) in the order of the RoIs.
    """
    rows = [tf.cast(tf.where(level == index)[:, 0], tf.int32) for index in range(len(feature_maps))]
    pooled = [pool(index, row) for index, row in enumerate(rows)]
    # Put back in the order of the RoIs by sorting the rows: a scatter would have a gradient that depends on threads.
    order = tf.argsort(tf.concat(rows, axis=0), stable=True)
    return tf.gather(tf.concat(pooled, axis=0), order)


def roi_align_onnx(feature_maps: Sequence[tf.Tensor], boxes, image_index, level, spec: Spec) -> tf.Tensor:
    """Same arguments and values as the compiled operation, without gradients; see `multilevel_roi_align`.

    ONNX has no operator for `reduce="max"` with `sampling_ratio=0`, but for RoIPool.
    """

    def pool(index: int, rows: tf.Tensor) -> tf.Tensor:
        some = tf.gather(boxes, rows), tf.gather(image_index, rows)
        return _pool_level(feature_maps[index], *some, spec.scales[index], spec)

    if len(feature_maps) == 1:
        return _pool_level(feature_maps[0], boxes, image_index, spec.scales[0], spec)
    return by_level(feature_maps, level, pool)


def non_max_suppression_onnx(boxes, scores, most: int, iou_threshold: float, score_threshold: float) -> tf.Tensor:
    """Which boxes stay when of those that overlap too much only the best does.

    Args:
        boxes: (G, N, 4) float32 xyxy of G groups that are worked through one by one.
        scores: (G, N) float32.
        most: boxes kept a group.
        iou_threshold: a box that overlaps a better one by more than this is dropped.
        score_threshold: boxes must score more than this.

    Returns: (G, N) bool.
    """
    limits = (
        tf.constant([most], tf.int64),
        tf.constant([iou_threshold]),
        tf.constant([max(score_threshold, tf.float32.min)]),
    )
    inputs = (boxes, scores[:, None, :], *limits)
    selected = _operator("NonMaxSuppression", inputs, tf.int64, (None, 3))
    cells = tf.gather(tf.cast(selected, tf.int32), [0, 2], axis=1)
    return tf.scatter_nd(cells, tf.ones(tf.shape(cells)[:1], tf.int32), tf.shape(scores)) > 0


def _pool_level(feature, boxes, image_index, scale, spec):
    rows, columns = spec.output_size
    maps = tf.transpose(feature, [0, 3, 1, 2])
    if spec.method == "pool":
        rois = tf.concat([tf.cast(image_index, tf.float32)[:, None], boxes], axis=1)
        shape = {"pooled_shape": [rows, columns], "spatial_scale": scale}
        pooled = _operator("MaxRoiPool", (maps, rois), tf.float32, (None, feature.shape[3], rows, columns), **shape)
        return tf.transpose(pooled, [0, 2, 3, 1])
    if spec.method == "warp":
        boxes, scale = _quantised(boxes * scale), 1.0
    # The largest sample of a bin is the largest of as many smaller bins with one sample each.
    parts = spec.sampling_ratio if spec.reduce == "max" else 1
    pooled = _operator(
        "RoiAlign",
        (maps, boxes, tf.cast(image_index, tf.int64)),
        tf.float32,
        (None, feature.shape[3], rows * parts, columns * parts),
        mode="avg",
        output_height=rows * parts,
        output_width=columns * parts,
        sampling_ratio=spec.sampling_ratio // parts,
        spatial_scale=scale,
        coordinate_transformation_mode="half_pixel" if spec.aligned else "output_half_pixel",
    )
    pooled = tf.transpose(pooled, [0, 2, 3, 1])
    return tf.nn.max_pool2d(pooled, parts, parts, "VALID") if parts > 1 else pooled


def _quantised(boxes):
    starts, sizes = quantised_interval(boxes[:, :2], boxes[:, 2:])
    return tf.concat([starts, starts + sizes], axis=1)


def _operator(name, inputs, dtype, shape, **attributes):
    token = json.dumps({"name": name, "attributes": attributes})
    (output,) = tf.raw_ops.PyFuncStateless(input=inputs, token=token, Tout=[dtype])
    return tf.ensure_shape(output, shape)
