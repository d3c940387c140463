"""Values and gradients of both implementations against plain loops in NumPy."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras import ops


def pool(p, implementation, dtype=tf.float32, **options):
    """Values, and the gradients of the maps for a fixed upstream gradient."""
    maps = [tf.cast(m, dtype) for m in p.maps]
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled = ops.multilevel_roi_align(
            maps, p.boxes, p.image_index, p.level, scales=p.scales, implementation=implementation, **options
        )
    return pooled, tape.gradient(pooled, maps, tf.cast(p.upstream(pooled.shape), dtype))


@pytest.fixture(scope="module")
def expected(pyramid, oracle):
    """The same from the oracle, computed once for both implementations."""

    @functools.cache
    def compute(**options):
        p = pyramid
        options = {"scales": p.scales, "sampling_ratio": 0, "aligned": True, "reduce": "average"} | options
        upstream = p.upstream((len(p.boxes), *options["output_size"], p.maps[0].shape[-1]))
        return oracle(p.maps, p.boxes, p.image_index, p.level, upstream, **options)

    return compute


# The defaults, and every option once with another value; then the other combinations.
FAST = [(0, True, "average"), (2, False, "max"), (3, True, "average")]
ALL = [(ratio, aligned, reduce) for ratio in (0, 2) for aligned in (True, False) for reduce in ("average", "max")]
CASES = FAST + [pytest.param(*case, marks=pytest.mark.slow) for case in ALL if case not in FAST]


@pytest.mark.parametrize(("sampling_ratio", "aligned", "reduce"), CASES)
def test_equals_plain_loops(pyramid, expected, implementation, sampling_ratio, aligned, reduce):
    options = {"output_size": (7, 3), "sampling_ratio": sampling_ratio, "aligned": aligned, "reduce": reduce}
    pooled, gradients = pool(pyramid, implementation, **options)
    values, map_gradients = expected(**options)
    np.testing.assert_allclose(pooled, values, rtol=0, atol=1e-5)
    for found, wanted in zip(gradients, map_gradients, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "step", "reduce"),
    [
        (tf.bfloat16, 2**-8, "average"),
        pytest.param(tf.bfloat16, 2**-8, "max", marks=pytest.mark.slow),
        pytest.param(tf.float16, 2**-11, "average", marks=pytest.mark.slow),
    ],
)
def test_sixteen_bit_maps_are_summed_in_float32(pyramid, oracle, implementation, dtype, step, reduce):
    options = {"output_size": (3, 3), "sampling_ratio": 0, "aligned": True, "reduce": reduce}
    pooled, gradients = pool(pyramid, implementation, dtype, **options)
    assert pooled.dtype == dtype and all(g.dtype == dtype for g in gradients)
    p = pyramid
    maps = [tf.cast(tf.cast(m, dtype), tf.float32).numpy() for m in p.maps]
    upstream = tf.cast(tf.cast(p.upstream(pooled.shape), dtype), tf.float32).numpy()
    values, map_gradients = oracle(maps, p.boxes, p.image_index, p.level, upstream, scales=p.scales, **options)
    # One rounding of an exact sum, not one for each sample.
    np.testing.assert_allclose(tf.cast(pooled, tf.float32), values, rtol=step, atol=1e-5)
    for found, wanted in zip(gradients, map_gradients, strict=True):
        np.testing.assert_allclose(tf.cast(found, tf.float32), wanted, rtol=step, atol=1e-5)


@pytest.mark.slow
def test_numeric_gradient(compiled_only):
    rng = np.random.default_rng(3)
    # Whole numbers, all different: no two samples are so near that a small step swaps the largest.
    small = rng.permutation(3 * 4).reshape(1, 3, 4, 1).astype(np.float32)
    boxes = [[0.5, 0.25, 3.5, 2.75], [-1.0, 1.0, 2.0, 4.0]]

    def pooled(features):
        return ops.multilevel_roi_align(
            [features], boxes, [0, 0], [0, 0], scales=[1.0], output_size=2, implementation="compiled"
        )

    theoretical, numeric = tf.test.compute_gradient(pooled, [tf.constant(small)], delta=0.125)
    np.testing.assert_allclose(theoretical[0], numeric[0], atol=1e-3)


def test_no_rois(pyramid, implementation):
    p = pyramid
    maps = [tf.constant(m) for m in p.maps]
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled = ops.multilevel_roi_align(
            maps, np.zeros((0, 4), np.float32), [], [], scales=p.scales, implementation=implementation
        )
    assert pooled.shape == (0, 7, 7, 5)
    for gradient, m in zip(tape.gradient(pooled, maps), p.maps, strict=True):
        np.testing.assert_array_equal(gradient, np.zeros_like(m))


def test_gradients_stop_at_the_boxes(pyramid, implementation):
    p = pyramid
    boxes = tf.constant(p.boxes)
    with tf.GradientTape() as tape:
        tape.watch(boxes)
        pooled = ops.multilevel_roi_align(
            p.maps, boxes, p.image_index, p.level, scales=p.scales, implementation=implementation
        )
    assert tape.gradient(pooled, boxes) is None


def test_no_samples_give_zero_and_reversed_boxes_no_samples(implementation):
    features = tf.ones((1, 8, 8, 3))
    boxes = [[4, 4, 4, 4], [6, 1, 2, 7], [2, 6, 6, 1], [1, 1, 6, 6]]
    pooled = ops.multilevel_roi_align(
        [features], boxes, [0] * 4, [0] * 4, scales=[1.0], output_size=2, implementation=implementation
    )
    np.testing.assert_allclose(tf.reduce_max(pooled, axis=(1, 2, 3)), [0, 0, 0, 1])


def test_gigantic_boxes_take_no_longer_than_the_map(implementation):
    features = tf.ones((1, 6, 6, 2))
    boxes = [[-4e6, -4e6, 4e6, 4e6], [0, 0, 5e8, 6]]
    for reduce in ("average", "max"):
        pooled = ops.multilevel_roi_align(
            [features], boxes, [0, 0], [0, 0], scales=[1.0], reduce=reduce, implementation=implementation
        )
        assert np.isfinite(pooled).all() and np.max(pooled) <= 1


def test_unknown_shapes_in_a_graph(pyramid, implementation):
    p = pyramid
    map_spec = tf.TensorSpec((None, None, None, 5))
    index_spec = tf.TensorSpec((None,), tf.int32)

    @tf.function(input_signature=[[map_spec] * 5, tf.TensorSpec((None, 4)), index_spec, index_spec])
    def pooled(maps, boxes, image_index, level):
        return ops.multilevel_roi_align(maps, boxes, image_index, level, scales=p.scales, implementation=implementation)

    assert pooled.get_concrete_function().output_shapes.as_list() == [None, 7, 7, 5]
    eager = ops.multilevel_roi_align(
        p.maps, p.boxes, p.image_index, p.level, scales=p.scales, implementation=implementation
    )
    np.testing.assert_allclose(pooled(p.maps, p.boxes, p.image_index, p.level), eager, atol=1e-6)
    assert pooled(p.maps, p.boxes[:1], p.image_index[:1], p.level[:1]).shape == (1, 7, 7, 5)
