"""RoIAlign and RoIWarp by `tf.image.crop_and_resize`: for graphs that are served, without the compiled operation.

The samples of all bins of a RoI lie on one regular grid, which crop_and_resize can read. RoIs of a map with equally
many samples in a bin are cropped together, so many at a time that memory stays bounded, and the samples of each bin
are averaged. Two to three times as fast as the fallback. It has no gradient, and crop_and_resize rounds coordinates to
some 1e-5 of a cell.
"""

from collections.abc import Sequence

import tensorflow as tf

from mrcnn_keras.ops._geometry import Axis, make_axis
from mrcnn_keras.ops._onnx import by_level
from mrcnn_keras.ops._spec import Spec

# Samples and channels cropped at once: 32 MiB of float32.
_ELEMENTS = 1 << 23


def can_crop(spec: Spec) -> bool:
    """Whether the values can be had this way: averages of bilinear samples."""
    return spec.reduce == "average" and spec.method != "pool"


def roi_align_cropped(feature_maps: Sequence[tf.Tensor], boxes, image_index, level, spec: Spec) -> tf.Tensor:
    """Same arguments and values as the compiled operation, without gradients; see `multilevel_roi_align`.

    Boxes must be finite and indices in range, which is not checked. Memory is that of the samples of the largest box,
    so boxes should be clipped to their image.
    """

    def pool(index: int, rows: tf.Tensor) -> tf.Tensor:
        place = tf.gather(boxes, rows), tf.gather(image_index, rows)
        return _pool_level(feature_maps[index], *place, spec.scales[index], spec)

    pooled = by_level(feature_maps, level, pool)
    return tf.ensure_shape(tf.stop_gradient(pooled), (boxes.shape[0], *spec.output_size, feature_maps[0].shape[-1]))


def _pool_level(feature, boxes, image_index, scale, spec):
    # Samples up to a cell outside the map count as its border; crop_and_resize gives 0 beyond that.
    grown = tf.cast(feature, tf.float32)
    for side in (1, 2):  # as tf.pad does with "SYMMETRIC", which is slow
        first, last = (tf.gather(grown, [place], axis=side) for place in (0, tf.shape(grown)[side] - 1))
        grown = tf.concat([first, grown, last], axis=side)
    sides = tf.cast(tf.shape(feature)[1:3], tf.float32)
    axes = [
        make_axis(boxes[:, 1 - i], boxes[:, 3 - i], scale, sides[i] + tf.zeros_like(boxes[:, 0]), bins, spec)
        for i, bins in enumerate(spec.output_size)
    ]
    counts = tf.stack([tf.cast(axis.samples, tf.int32) for axis in axes], axis=1)
    key = tf.cast(counts[:, 0], tf.int64) * 2**31 + tf.cast(counts[:, 1], tf.int64)
    order = tf.argsort(key, stable=True)
    key = tf.gather(key, order)
    total, shape = tf.shape(key)[0], (None, *spec.output_size, feature.shape[-1])

    def crop(begin, number, results):
        of_bin = tf.maximum(tf.gather(counts, order[begin]), 1)
        most = tf.maximum(1, _ELEMENTS // (tf.reduce_prod(of_bin * spec.output_size) * feature.shape[-1]))
        end = tf.minimum(tf.searchsorted(key, key[begin, None], side="right")[0], begin + most)
        rows = order[begin:end]
        some = [axis.apply(lambda t: tf.gather(t, rows)) for axis in axes]
        values = _crop(grown, some, tf.gather(image_index, rows), of_bin)
        return end, number + 1, results.write(number, tf.cast(values, feature.dtype))

    results = tf.TensorArray(feature.dtype, 0, dynamic_size=True, infer_shape=False, element_shape=shape)
    start = (0, 0, results)
    _, _, results = tf.while_loop(lambda begin, *_: begin < total, crop, start, parallel_iterations=1)
    # Without RoIs there is no result, and TensorFlow cannot tell the size of one.
    pooled = tf.cond(total > 0, results.concat, lambda: tf.zeros((0, *shape[1:]), feature.dtype))
    return tf.gather(pooled, tf.argsort(order))


def _crop(grown, axes: list[Axis], image_index, of_bin):
    """The averages of RoIs that all have `of_bin` (2,) samples on each side of a bin: (R, rows, columns, C)."""
    last = tf.cast(tf.shape(grown)[1:3], tf.float32) - 1.0
    ends = []
    for i, axis in enumerate(axes):
        step, samples = axis.steps(), tf.cast(axis.bins * of_bin[i], tf.float32)
        ends.append([(axis.start + 1.0 + place * step) / last[i] for place in (0.5, samples - 0.5)])
    (top, bottom), (left, right) = ends
    bins = [axis.bins for axis in axes]
    crops = tf.image.crop_and_resize(grown, tf.stack([top, left, bottom, right], axis=1), image_index, bins * of_bin)
    number, channels = tf.shape(image_index)[0], grown.shape[-1]
    # Columns, then rows: TensorFlow is quick at averages over one inner dimension.
    mean = tf.reduce_mean(tf.reshape(crops, [number * bins[0] * of_bin[0] * bins[1], of_bin[1], channels]), axis=1)
    mean = tf.reduce_mean(tf.reshape(mean, [number * bins[0], of_bin[0], bins[1] * channels]), axis=1)
    there = (axes[0].samples > 0) & (axes[1].samples > 0)
    return tf.where(there[:, None, None, None], tf.reshape(mean, [number, *bins, channels]), 0.0)
