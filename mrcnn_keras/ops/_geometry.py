"""Where RoIAlign, RoIWarp and RoIPool sample, as tensors: the arithmetic of one axis, shared by the fallback's values
and gradients."""

from dataclasses import dataclass

import tensorflow as tf

from mrcnn_keras.ops._spec import Spec

# At most 4 adaptive samples are within one cell of a cell (their spacing is over 0.5); the rest is room for rounding.
_CANDIDATES = 7
# Differences of quantised edges within this bound are finite.
_BOUND = 1e30


@dataclass(frozen=True)
class Axis:
    """One axis (rows or columns) of R RoIs cut into bins; the tensors are (R,) float32."""

    start: tf.Tensor  # first edge, in cells
    bin_size: tf.Tensor  # cells in one bin, negative for a reversed box
    samples: tf.Tensor  # samples in one bin, a whole number >= 0; 1 where they are whole cells
    extent: tf.Tensor  # cells in the map
    bins: int
    adaptive: bool
    whole: bool  # whether a bin's samples are the cells of the map that it touches, and are numbered as those

    def apply(self, function) -> "Axis":
        """The axis with `function` applied to every tensor."""
        fields = (self.start, self.bin_size, self.samples, self.extent)
        return Axis(*(function(t) for t in fields), self.bins, self.adaptive, self.whole)

    def bin_starts(self) -> tf.Tensor:
        """First edge of every bin, (R, bins)."""
        return self.start[:, None] + tf.range(self.bins, dtype=tf.float32) * self.bin_size[:, None]

    def cells(self) -> tuple[tf.Tensor, tf.Tensor]:
        """First cell of the map that every bin touches, and the end of them, (R, bins); for whole cells."""
        bins = tf.range(self.bins, dtype=tf.float32)
        first = tf.floor(bins * self.bin_size[:, None]) + self.start[:, None]
        end = tf.math.ceil((bins + 1.0) * self.bin_size[:, None]) + self.start[:, None]
        extent = self.extent[:, None]
        return tf.clip_by_value(first, 0.0, extent), tf.clip_by_value(end, 0.0, extent)

    def steps(self) -> tf.Tensor:
        """Distance of two samples, (R,); 1 where there is no sample."""
        return tf.where(self.samples > 0, self.bin_size / tf.maximum(self.samples, 1.0), 1.0)

    def positions(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Samples `index` (R, bins, K) of every bin, float32: their positions clamped into the map, and whether they
        count, that is, lie in the map grown by one cell."""
        samples, extent = self.samples[:, None, None], self.extent[:, None, None]
        if self.whole:
            return tf.clip_by_value(index, 0.0, extent - 1.0), index < self.cells()[1][:, :, None]
        within = (index + 0.5) * self.bin_size[:, None, None] / tf.maximum(samples, 1.0)
        at = self.bin_starts()[:, :, None] + within
        valid = (at >= -1.0) & (at <= extent) & (index < samples)
        return tf.clip_by_value(at, 0.0, extent - 1.0), valid


def make_axis(low, high, scale, extent, bins: int, spec: Spec) -> Axis:
    """Axis of RoIs from `low` to `high` (image pixels) on maps of `extent` cells, all (R,) float32."""
    start, size = _interval(low * scale, high * scale, spec)
    # Division by a constant would be rewritten as a product with its rounded inverse, and ceil() would then see
    # 3.0000002 for a box of 21 cells in 7 bins; no optimizer may assume that a number equals itself.
    bin_size = size / tf.where(size == size, float(bins), size)
    whole = spec.method == "pool"
    if whole or spec.sampling_ratio > 0:
        samples = tf.where(size == size, 1.0 if whole else float(spec.sampling_ratio), size)
    else:
        samples = tf.maximum(tf.math.ceil(bin_size), 0.0)
    return Axis(start, bin_size, samples, extent, bins, spec.sampling_ratio <= 0, whole)


def _interval(low, high, spec):
    # First edge and size of RoIs whose edges are given in cells.
    offset = 0.5 if spec.aligned else 0.0
    if spec.method == "align":
        start = low - offset
        size = high - offset - start
        return start, size if spec.aligned else tf.maximum(size, 1.0)
    first, size = quantised_interval(low, high)
    return first - offset, size


def quantised_interval(low: tf.Tensor, high: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """First cell and number of cells of RoIs from `low` to `high`, in cells, rounded as by RoIPool."""
    first = _quantise(low)
    return first, tf.maximum(_quantise(high) - first + 1.0, 1.0)


def _quantise(position):
    # Halves away from zero, as roundf; tf.round takes them to the even number.
    position = tf.clip_by_value(position, -_BOUND, _BOUND)
    below = tf.floor(tf.abs(position))
    return tf.sign(position) * tf.where(tf.abs(position) - below < 0.5, below, below + 1.0)


def num_taps(axis: Axis) -> tf.Tensor:
    """Cells to visit in each bin so that the weighted mean of the bin's samples is complete, (R,) int32."""
    if not axis.adaptive:
        return tf.cast(2.0 * axis.samples, tf.int32)
    first, last = _cell_range(axis)
    return tf.where(axis.samples > 0, tf.reduce_max(tf.cast(last - first, tf.int32), axis=1) + 1, 0)


def taps(axis: Axis, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Taps `index` ((R, K) int32) of every bin.

    Adaptive samples are less than a cell apart, so a tap is a cell and carries the weights of all the samples around
    it; a given number of samples may lie far apart, and a tap is one of the two neighbours of a sample.

    Returns: cells (R, bins, K) int32 in the map; weights (R, bins, K) float32, divided by the number of samples.
    """
    cell, weight = _adaptive_taps(axis, index) if axis.adaptive else _sample_taps(axis, index)
    return tf.cast(cell, tf.int32), weight / tf.maximum(axis.samples, 1.0)[:, None, None]


def sample_window(axis: Axis) -> tuple[tf.Tensor, tf.Tensor]:
    """First sample of every bin (R, bins) float32, and the number per bin (R,) int32, that can touch the map."""
    if axis.whole:
        first, end = axis.cells()
        return first, tf.reduce_max(tf.cast(end - first, tf.int32), axis=1)
    if not axis.adaptive:
        return tf.zeros((tf.shape(axis.start)[0], axis.bins)), tf.cast(axis.samples, tf.int32)
    starts, steps, samples = axis.bin_starts(), axis.steps()[:, None], axis.samples[:, None]
    first = tf.clip_by_value(tf.floor((-1.0 - starts) / steps - 0.5), 0.0, samples)
    end = tf.clip_by_value(tf.math.ceil((axis.extent[:, None] - starts) / steps + 0.5), 0.0, samples)
    return first, tf.reduce_max(tf.cast(tf.maximum(end - first, 0.0), tf.int32), axis=1)


def _cell_range(axis):
    # First and last cell that a bin's samples touch; samples left of the map count as being in cell 0.
    ends = tf.stack([tf.zeros_like(axis.samples), tf.maximum(axis.samples - 1.0, 0.0)], axis=-1)
    at, _ = axis.positions(tf.repeat(ends[:, None, :], axis.bins, axis=1))
    first, last = tf.unstack(tf.floor(at), axis=-1)
    return first, tf.minimum(last + 1.0, axis.extent[:, None] - 1.0)


def _adaptive_taps(axis, index):
    first, last = (t[:, :, None] for t in _cell_range(axis))
    cell = first + tf.cast(index, tf.float32)[:, None, :]
    nearest = tf.math.ceil((cell - 1.0 - axis.bin_starts()[:, :, None]) / axis.steps()[:, None, None] - 0.5) - 1.0
    nearest = tf.clip_by_value(nearest, 0.0, tf.maximum(axis.samples - 1.0, 0.0)[:, None, None])
    shape = tf.concat([tf.shape(cell), [_CANDIDATES]], axis=0)
    candidates = nearest[..., None] + tf.range(_CANDIDATES, dtype=tf.float32)
    at, valid = axis.positions(tf.reshape(candidates, tf.concat([shape[:2], [-1]], axis=0)))
    hat = tf.maximum(1.0 - tf.abs(tf.reshape(at, shape) - cell[..., None]), 0.0)
    weight = tf.reduce_sum(tf.where(tf.reshape(valid, shape), hat, 0.0), axis=-1)
    return tf.minimum(cell, last), tf.where(cell <= last, weight, 0.0)


def _sample_taps(axis, index):
    sample = tf.repeat(tf.cast(index // 2, tf.float32)[:, None, :], axis.bins, axis=1)
    at, valid = axis.positions(sample)
    low = tf.floor(at)
    upper = (index % 2 == 1)[:, None, :]
    weight = tf.where(upper, at - low, 1.0 - (at - low))
    cell = tf.minimum(tf.where(upper, low + 1.0, low), axis.extent[:, None, None] - 1.0)
    return cell, tf.where(valid, weight, 0.0)
