"""The fallback's pooling of the largest sample or cell: the loop visits samples, and the gradient goes to the one
that won."""

import tensorflow as tf

from mrcnn_keras.ops._geometry import Axis, sample_window
from mrcnn_keras.ops._rois import Chunks, Rois, over_trips


def forward(table: tf.Tensor, chunks: Chunks) -> tuple[tf.Tensor, tf.Tensor]:
    """Largest bilinear sample of every bin.

    Returns: (chunks, RoIs in a chunk, P, P, C) values in the table's dtype; the trips of the loop that found them,
    int32, -1 where a sample outside the map (which is 0) is larger than all within.
    """
    shape = (None, chunks.rois.rows.bins, chunks.rois.columns.bins, table.shape[-1])

    def pool(chunk, values, winners):
        best, winner = _largest(table, chunks.take(chunk), (chunks.length, *shape[1:]))
        return chunk + 1, values.write(chunk, tf.cast(best, table.dtype)), winners.write(chunk, winner)

    arrays = [tf.TensorArray(dtype, chunks.number, element_shape=shape) for dtype in (table.dtype, tf.int32)]
    loop = tf.while_loop(lambda chunk, *_: chunk < chunks.number, pool, (0, *arrays), parallel_iterations=1)
    return loop[1].stack(), loop[2].stack()


def backward(total: tf.Tensor, upstream: tf.Tensor, winner: tf.Tensor, rois: Rois) -> tf.Tensor:
    """`total` (cells, C) float32 plus the upstream gradient (R, P, P, C) given to the winning samples' cells."""
    channels = total.shape[-1]

    def spread(some, trip, valid, total):
        won = valid[:, None, None, None] & (tf.gather(winner, some) == trip[:, None, None, None])
        won = tf.where(won, tf.cast(tf.gather(upstream, some), tf.float32), 0.0)
        for cell, weight in _corners(rois.apply(lambda t: tf.gather(t, some)), trip)[0]:
            parts = tf.reshape(weight[..., None] * won, (-1, channels))
            total = tf.tensor_scatter_nd_add(total, tf.reshape(cell, (-1, 1)), parts)
        return total

    return over_trips(rois, spread, total)


def _largest(table, rois: Rois, shape):
    def compare(trip, best, winner, inside):
        corners, valid = _corners(rois, trip)
        value = sum(weight[..., None] * tf.cast(tf.gather(table, cell), tf.float32) for cell, weight in corners)
        better = valid[..., None] & (value > best)
        inside += tf.cast(valid, tf.float32)
        return trip + 1, tf.where(better, value, best), tf.where(better, trip, winner), inside

    start = (0, tf.fill(shape, float("-inf")), tf.fill(shape, -1), tf.zeros(shape[:-1]))
    last = tf.reduce_max(rois.trips())
    _, best, winner, inside = tf.while_loop(lambda trip, *_: trip < last, compare, start, parallel_iterations=1)
    samples = (rois.rows.samples * rois.columns.samples)[:, None, None]
    zero = ((inside < samples)[..., None] & (best < 0.0)) | (samples == 0.0)[..., None]
    return tf.where(zero, 0.0, best), tf.where(zero, -1, winner)


def _corners(rois: Rois, trip):
    """The four (cell, weight) of one sample of every bin, each (RoIs, P, P), and whether the sample counts; one where
    the samples are cells."""
    across = tf.maximum(rois.column_trips, 1)
    rows, row_valid = _neighbours(rois.rows, trip // across)
    columns, column_valid = _neighbours(rois.columns, trip % across)
    valid = (trip < rois.trips())[:, None, None] & row_valid[:, :, None] & column_valid[:, None, :]
    corners = []
    for row, row_weight in rows:
        first = (rois.offset[:, None] + row * rois.width[:, None])[:, :, None]
        for column, column_weight in columns:
            weight = row_weight[:, :, None] * column_weight[:, None, :]
            corners.append((first + column[:, None, :], tf.where(valid, weight, 0.0)))
    return corners, valid


def _neighbours(axis: Axis, index):
    first, _ = sample_window(axis)
    at, valid = axis.positions((first + tf.cast(index, tf.float32)[:, None])[:, :, None])
    at, valid = at[:, :, 0], valid[:, :, 0]
    if axis.whole:
        return [(tf.cast(at, tf.int32), tf.ones_like(at))], valid
    low = tf.floor(at)
    high = tf.minimum(low + 1.0, axis.extent[:, None] - 1.0)
    pairs = ((low, 1.0 - (at - low)), (high, at - low))
    return [(tf.cast(cell, tf.int32), weight) for cell, weight in pairs], valid
