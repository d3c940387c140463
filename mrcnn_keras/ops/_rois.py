"""The RoIs of one call of the fallback, ordered and cut into chunks of equal length."""

from dataclasses import dataclass

import tensorflow as tf

from mrcnn_keras.ops._geometry import Axis, make_axis, num_taps, sample_window
from mrcnn_keras.ops._spec import Spec

# What is added to the gradient table at once: floats, and pairs of a RoI and a tap, at most. Much, since TensorFlow
# copies the table each time; then less, so that little is computed for nothing.
_BLOCKS = ((1 << 24, 8192), (1 << 21, 512))


@dataclass(frozen=True)
class Rois:
    """R RoIs on maps that lie end to end in one table of cells; every tensor is (R,)."""

    rows: Axis
    columns: Axis
    offset: tf.Tensor  # first cell of the RoI's map in the table
    width: tf.Tensor  # cells in one row of that map
    row_trips: tf.Tensor  # what the loop over the RoI's cells or samples needs on each axis
    column_trips: tf.Tensor

    def trips(self) -> tf.Tensor:
        """Turns of the loop for each RoI."""
        return self.row_trips * self.column_trips

    def apply(self, function) -> "Rois":
        """The RoIs with `function` applied to every tensor."""
        rest = (self.offset, self.width, self.row_trips, self.column_trips)
        return Rois(self.rows.apply(function), self.columns.apply(function), *(function(t) for t in rest))


def make_rois(map_shapes, boxes, image_index, level, spec: Spec) -> Rois:
    """Geometry of boxes (R, 4) on the maps of the given shapes; indices out of range are moved into it.

    Returns: R + 1 RoIs; the last is empty and fills up chunks.
    """
    boxes = tf.pad(boxes, [[0, 1], [0, 0]])
    image_index, level = (tf.pad(t, [[0, 1]]) for t in (image_index, level))
    level = tf.clip_by_value(level, 0, len(map_shapes) - 1)
    image_index = tf.clip_by_value(image_index, 0, tf.maximum(map_shapes[0][0] - 1, 0))
    starts = tf.cumsum(tf.stack([tf.reduce_prod(s[:3]) for s in map_shapes]), exclusive=True)
    size = tf.gather(tf.stack([s[1:3] for s in map_shapes]), level)
    scale = tf.gather(tf.constant(spec.scales, tf.float32), level)
    offset = tf.gather(starts, level) + image_index * size[:, 0] * size[:, 1]

    axes = []
    for i, bins in enumerate(spec.output_size):
        extent = tf.cast(size[:, i], tf.float32)
        low, high = boxes[:, 1 - i], boxes[:, 3 - i]
        axes.append(make_axis(low, high, scale, extent, bins, spec))
    count = num_taps if spec.reduce == "average" else lambda axis: sample_window(axis)[1]
    row_trips = tf.pad(count(axes[0])[:-1], [[0, 1]])
    return Rois(*axes, offset, size[:, 1], row_trips, count(axes[1]))


@dataclass(frozen=True)
class Chunks:
    """RoIs in the order of their loops' lengths, padded with empty ones to a whole number of chunks."""

    rois: Rois
    order: tf.Tensor  # (R,) the caller's row of each sorted RoI
    length: int | tf.Tensor
    number: tf.Tensor

    def take(self, chunk: tf.Tensor) -> Rois:
        """The RoIs of one chunk."""
        return self.rois.apply(lambda t: tf.slice(t, [chunk * self.length], [self.length]))

    def restore(self, pooled: tf.Tensor) -> tf.Tensor:
        """(number, length, ...) results in the caller's order, (R, ...)."""
        flat = tf.reshape(pooled, tf.concat([[self.number * self.length], tf.shape(pooled)[2:]], axis=0))
        return tf.gather(flat, tf.argsort(self.order))


def make_chunks(rois: Rois, longest: int) -> Chunks:
    """Chunks of at most `longest` RoIs; the length is a Python int, as XLA needs it, where the number of RoIs is."""
    total = tf.shape(rois.width)[0] - 1
    static = rois.width.shape[0]
    length = tf.clip_by_value(total, 1, longest) if static is None else max(1, min(static - 1, longest))
    number = tf.maximum((total + length - 1) // length, 1)
    order = tf.argsort(rois.trips()[:-1], stable=True)
    padded = tf.pad(order, [[0, number * length - total]], constant_values=total)
    return Chunks(rois.apply(lambda t: tf.gather(t, padded)), order, length, number)


def over_trips(rois: Rois, body, state: tf.Tensor) -> tf.Tensor:
    """`state` passed through `body` for blocks of all (RoI, turn of its loop) pairs, in the order of the RoIs.

    body(some, trip, valid, state) gets the RoI rows and turns of one block, and False where there is no pair left.
    """
    if rois.width.shape[0] == 1:  # no RoI but the empty one
        return state
    ends = tf.cumsum(rois.trips())
    total = tf.reduce_max(tf.pad(ends, [[0, 1]]))
    size = state.shape[-1] * rois.rows.bins * rois.columns.bins
    begin = 0
    # XLA needs blocks of one length: large ones for as long as they are full, smaller ones for the rest.
    for elements, pairs in _BLOCKS:
        block = max(1, min(elements // size, pairs))

        def more(begin, _, full=block if pairs == _BLOCKS[0][1] else 0):
            return begin + full < total

        def step(begin, state, block=block):
            pair = begin + tf.range(block)
            some = tf.searchsorted(ends, tf.minimum(pair, total - 1), side="right")
            trip = pair - tf.gather(ends - rois.trips(), some)
            return begin + block, body(some, trip, pair < total, state)

        begin, state = tf.while_loop(more, step, (begin, state), parallel_iterations=1)
    return state
