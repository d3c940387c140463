"""RoIAlign, RoIWarp and RoIPool in stock TensorFlow operations: XLA compiles them, TensorFlow Serving loads them.

The maps are laid end to end as one table of cells, and the RoIs are worked through in chunks. A loop visits the cells
("taps") that the bins of a chunk need, one tap of every bin at a time, so memory stays near the size of the output.
RoIs are sorted by their number of taps first, so that a few long boxes do not make everyone's loop long. The gradient
lists all (RoI, tap) pairs and adds them into the table block by block.
"""

import functools
from collections.abc import Sequence

import tensorflow as tf

from mrcnn_keras.ops import _fallback_max as largest
from mrcnn_keras.ops._geometry import taps
from mrcnn_keras.ops._rois import Chunks, Rois, make_chunks, make_rois, over_trips
from mrcnn_keras.ops._spec import Spec
from mrcnn_keras.ops._tracing import compiling_with_xla
from mrcnn_keras.ops.gradients import call_with_gradient

# One (chunk, P, P, C) float32 tensor of the forward loop: half a MiB, for the processor's cache.
_CHUNK_ELEMENTS = 1 << 17
# Taps of every bin in one turn of that loop.
_TAPS = 6


@tf.autograph.experimental.do_not_convert
def roi_align_tensorflow(feature_maps: Sequence, boxes, image_index, level, spec: Spec) -> tf.Tensor:
    """Same arguments, values and gradients as the compiled operation; see `multilevel_roi_align`."""
    boxes, image_index, level = (tf.stop_gradient(t) for t in (boxes, image_index, level))
    if compiling_with_xla():  # which needs the sizes of this call
        return _roi_align(tuple(feature_maps), boxes, image_index, level, spec, call_with_gradient)
    channels = feature_maps[0].shape[-1]
    pooled = _as_function(spec, channels)(tuple(feature_maps), boxes, image_index, level)
    return tf.ensure_shape(pooled, (boxes.shape[0], *spec.output_size, channels))


@functools.lru_cache(maxsize=64)
def _as_function(spec, channels):
    """The operation as a function that is traced once for all models, as tracing it takes long."""

    def pool(feature_maps, *rois):  # retracing is reduced by forgetting sizes, and the channels must be known
        feature_maps = [tf.ensure_shape(m, (None, None, None, channels)) for m in feature_maps]
        return _roi_align(feature_maps, *rois, spec, _call_with_lasting_gradient)

    return tf.function(pool, reduce_retracing=True, autograph=False)


def _call_with_lasting_gradient(function, *inputs):
    """Like `call_with_gradient`, but a SavedModel can hold the gradient; it lasts, as the graph around it does."""
    return tf.custom_gradient(function)(*inputs)


def _roi_align(feature_maps, boxes, image_index, level, spec, call):
    with tf.control_dependencies(_checks(feature_maps, boxes, image_index, level)):
        boxes = tf.identity(boxes)
    shapes = [tf.shape(m) for m in feature_maps]
    dtype, channels = feature_maps[0].dtype, feature_maps[0].shape[-1]
    rois = make_rois(shapes, boxes, image_index, level, spec)
    chunks = make_chunks(rois, max(1, _CHUNK_ELEMENTS // (spec.output_size[0] * spec.output_size[1] * channels)))

    def pool(*maps):
        table = _table(maps)
        if spec.reduce == "max":
            pooled, winner = (chunks.restore(t) for t in largest.forward(table, chunks))
        else:
            pooled, winner = chunks.restore(_forward(table, chunks)), None

        def gradient(upstream):
            total = tf.zeros(tf.shape(table), tf.float32)
            if winner is None:
                total = _backward(total, upstream, rois)
            else:
                total = largest.backward(total, upstream, winner, rois)
            return _split(tf.cast(total, dtype), shapes)

        return pooled, gradient

    return tf.ensure_shape(call(pool, *feature_maps), (boxes.shape[0], *spec.output_size, channels))


def _checks(feature_maps, boxes, image_index, level):
    # XLA drops assertions: everything after this keeps its indices in range by itself.
    batches = tf.stack([tf.shape(m)[0] for m in feature_maps])
    batch, levels = batches[0], len(feature_maps)
    finite = tf.reduce_all(tf.math.is_finite(boxes), axis=-1)
    return [
        _require(batches == batch, batches, ["batch size must be that of map 0,", batch, "feature map"]),
        _require(finite, boxes, ["boxes must be finite, RoI row"]),
        _require(_in_range(image_index, batch), image_index, ["image_index must be >= 0 and below", batch, "RoI row"]),
        _require(_in_range(level, levels), level, ["level must be >= 0 and below", levels, "RoI row"]),
    ]


def _in_range(index, limit):
    return (index >= 0) & (index < limit)


def _require(good, values, message):
    # argmin finds the first offender; where there is none it finds the padding.
    row = tf.argmin(tf.cast(tf.concat([good, [False]], axis=0), tf.int32), output_type=tf.int32)
    value = tf.gather(tf.concat([values, tf.zeros((1, *values.shape[1:]), values.dtype)], axis=0), row)
    return tf.debugging.Assert(tf.reduce_all(good), ["RoiAlign:", *message, row, "has", value])


def _table(maps):
    cells = [tf.reshape(m, (-1, m.shape[-1])) for m in maps]
    return cells[0] if len(cells) == 1 else tf.concat(cells, axis=0)


def _split(table, shapes):
    if len(shapes) == 1:
        return [tf.reshape(table, shapes[0])]
    sizes = [tf.reduce_prod(s[:3]) for s in shapes]
    return [tf.reshape(part, s) for part, s in zip(tf.split(table, sizes), shapes, strict=True)]


def _forward(table, chunks: Chunks):
    """Sum of weighted cells, (chunks, RoIs in a chunk, P, P, C) in the table's dtype."""
    shape = (None, chunks.rois.rows.bins, chunks.rois.columns.bins, table.shape[-1])

    def pool(chunk, results):
        rois = chunks.take(chunk)
        last = tf.reduce_max(rois.trips())

        def add(trip, total):
            trips = tf.repeat(trip + tf.range(_TAPS)[None, :], chunks.length, axis=0)
            cells, weights = _taps(rois, trips)
            # (1, taps) x (taps, C) for each bin: one pass over what was gathered instead of two for every tap.
            cells = tf.cast(tf.gather(table, cells), tf.float32)
            return trip + _TAPS, total + tf.squeeze(tf.matmul(weights[..., None, :], cells), axis=-2)

        start = (0, tf.zeros((chunks.length, *shape[1:])))
        _, total = tf.while_loop(lambda trip, _: trip < last, add, start, parallel_iterations=1)
        return chunk + 1, results.write(chunk, tf.cast(total, table.dtype))

    results = tf.TensorArray(table.dtype, chunks.number, element_shape=shape)
    _, results = tf.while_loop(lambda chunk, _: chunk < chunks.number, pool, (0, results), parallel_iterations=1)
    return results.stack()


def _backward(total, upstream, rois: Rois):
    """`total` (cells, C) float32 plus the upstream gradient (R, P, P, C) carried back to the cells."""
    channels = total.shape[-1]

    def spread(some, trip, valid, total):
        cells, weights = _taps(rois.apply(lambda t: tf.gather(t, some)), trip[:, None])
        weights = tf.where(valid[:, None, None, None], weights, 0.0)
        parts = weights * tf.cast(tf.gather(upstream, some), tf.float32)
        return tf.tensor_scatter_nd_add(total, tf.reshape(cells, (-1, 1)), tf.reshape(parts, (-1, channels)))

    return over_trips(rois, spread, total)


def _taps(rois: Rois, trips):
    """Cells in the table and weights of the taps `trips` (RoIs, K) of every bin, (RoIs, P, P, K); a RoI that does not
    have so many weighs 0."""
    across = tf.maximum(rois.column_trips, 1)[:, None]
    rows, row_weights = taps(rois.rows, trips // across)
    columns, column_weights = taps(rois.columns, trips % across)
    row_weights = tf.where((trips < rois.trips()[:, None])[:, None, :], row_weights, 0.0)
    rows = rois.offset[:, None, None] + rows * rois.width[:, None, None]
    return rows[:, :, None, :] + columns[:, None, :, :], row_weights[:, :, None, :] * column_weights[:, None, :, :]
