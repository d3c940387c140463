"""RoIPool and RoIWarp: values and gradients of both implementations against plain loops in NumPy."""

import functools
import types

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras import ops

OPERATIONS = {"pool": ops.multilevel_roi_pool, "warp": ops.multilevel_roi_warp}
METHODS = [*OPERATIONS]

# Edges half way between cells of stride 4, on both sides of 0; and boxes much larger than the image.
HALVES = [[2, 6, 10, 14], [-2, -6, 2, 6], [-10, -14, -2, -6], [1.9999999, 6.0000005, 29.999998, 34.000004]]
HUGE = [[-400, -300, 400, 300], [3, -700, 60, 200], [40, 30, 900, 31]]


@pytest.fixture(scope="module")
def rois(pyramid):
    """The shared pyramid, with boxes that are hard to quantise, on level 0 and on others."""
    p = pyramid
    extra = np.array([*HALVES, *HUGE, *HUGE], np.float32)
    level = np.array([0] * len(HALVES) + [2] * len(HUGE) + [1, 3, 4], np.int32)
    return types.SimpleNamespace(
        maps=p.maps,
        boxes=np.concatenate([p.boxes, extra]),
        image_index=np.concatenate([p.image_index, np.arange(len(extra), dtype=np.int32) % 3]),
        level=np.concatenate([p.level, level]),
        scales=p.scales,
        upstream=p.upstream,
    )


def pool(method, p, implementation, dtype=tf.float32, **options):
    """Values, and the gradients of the maps for a fixed upstream gradient."""
    maps = [tf.cast(m, dtype) for m in p.maps]
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled = OPERATIONS[method](
            maps, p.boxes, p.image_index, p.level, scales=p.scales, implementation=implementation, **options
        )
    return pooled, tape.gradient(pooled, maps, tf.cast(p.upstream(pooled.shape), dtype))


@pytest.fixture(scope="module")
def expected(rois, oracles):
    """The same from the oracles, computed once for both implementations."""

    @functools.cache
    def compute(method, **options):
        upstream = rois.upstream((len(rois.boxes), *options["output_size"], rois.maps[0].shape[-1]))
        tensors = (rois.maps, rois.boxes, rois.image_index, rois.level, upstream)
        return oracles[method](*tensors, scales=rois.scales, **options)

    return compute


def check(found, expected, rtol, atol):
    (pooled, gradients), (values, map_gradients) = found, expected
    np.testing.assert_allclose(tf.cast(pooled, tf.float32), values, rtol=rtol, atol=atol)
    for gradient, wanted in zip(gradients, map_gradients, strict=True):
        np.testing.assert_allclose(tf.cast(gradient, tf.float32), wanted, rtol=rtol, atol=max(atol, 1e-5))


@pytest.mark.parametrize("output_size", [(7, 3), (2, 5)])
def test_pool_equals_plain_loops(rois, expected, implementation, output_size):
    options = {"output_size": output_size}
    check(pool("pool", rois, implementation, **options), expected("pool", **options), rtol=1e-6, atol=0)


FAST = [(0, True, "average"), (2, False, "max")]
SLOW = [(0, False, "max"), (2, True, "max"), (2, False, "average"), (0, True, "max")]
CASES = FAST + [pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]


@pytest.mark.parametrize(("sampling_ratio", "aligned", "reduce"), CASES)
def test_warp_equals_plain_loops(rois, expected, implementation, sampling_ratio, aligned, reduce):
    options = {"output_size": (4, 3), "sampling_ratio": sampling_ratio, "aligned": aligned, "reduce": reduce}
    check(pool("warp", rois, implementation, **options), expected("warp", **options), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [tf.bfloat16, pytest.param(tf.float16, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("method", "options"),
    [("pool", {}), *(("warp", {"sampling_ratio": 1, "aligned": True, "reduce": r}) for r in ("average", "max"))],
)
def test_sixteen_bit_maps(rois, oracles, implementation, dtype, method, options):
    options = {"output_size": (3, 2)} | options
    found = pool(method, rois, implementation, dtype, **options)
    assert found[0].dtype == dtype and all(g.dtype == dtype for g in found[1])
    rounded = [tf.cast(tf.cast(m, dtype), tf.float32).numpy() for m in rois.maps]
    upstream = tf.cast(tf.cast(rois.upstream(found[0].shape), dtype), tf.float32).numpy()
    tensors = (rounded, rois.boxes, rois.image_index, rois.level, upstream)
    wanted = oracles[method](*tensors, scales=rois.scales, **options)
    # Sums are float32 and rounded once; the largest of cells is not rounded at all.
    check(found, wanted, rtol=2**-8 if dtype == tf.bfloat16 else 2**-11, atol=0 if method == "pool" else 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "reduce"), [("pool", "max"), ("warp", "max")])
def test_numeric_gradient(compiled_only, method, reduce):
    # Whole numbers, all different: no two samples are so near that a small step swaps the largest.
    small = np.random.default_rng(3).permutation(4 * 5).reshape(1, 4, 5, 1).astype(np.float32)
    boxes = [[0.5, 0.25, 3.5, 2.75], [-1.0, 1.0, 2.0, 4.0]]
    options = {"output_size": 2, "implementation": "compiled"}
    if method == "warp":
        options |= {"reduce": reduce, "sampling_ratio": 2}

    def pooled(features):
        return OPERATIONS[method]([features], boxes, [0, 0], [0, 0], scales=[1.0], **options)

    theoretical, numeric = tf.test.compute_gradient(pooled, [tf.constant(small)], delta=0.125)
    np.testing.assert_allclose(theoretical[0], numeric[0], atol=1e-3)


def test_the_first_of_equal_cells_gets_the_gradient(implementation):
    features = tf.ones((1, 4, 6, 2))
    with tf.GradientTape() as tape:
        tape.watch(features)
        pooled = ops.multilevel_roi_pool(
            [features], [[1, 1, 4, 2]], [0], [0], scales=[1.0], output_size=(1, 2), implementation=implementation
        )
    wanted = np.zeros((1, 4, 6, 2), np.float32)
    wanted[0, 1, [1, 3]] = 1
    np.testing.assert_array_equal(tape.gradient(pooled, features), wanted)


def test_an_infinite_cell_is_the_largest_and_spoils_no_other(implementation):
    features = np.full((1, 3, 4, 1), -np.inf, np.float32)
    features[0, 1] = [[-2], [np.inf], [3], [-5]]
    pooled = ops.multilevel_roi_pool(
        [features], [[0, 1, 3, 1]], [0], [0], scales=[1.0], output_size=(1, 4), implementation=implementation
    )
    np.testing.assert_array_equal(pooled[0, 0, :, 0], [-2, np.inf, 3, -5])


def test_empty_and_reversed_boxes_are_one_cell(implementation):
    features = np.arange(1, 65, dtype=np.float32).reshape(1, 8, 8, 1)
    boxes = [[4, 4, 4, 4], [6, 1, 2, 7], [6, 5, 2, 1], [9, 9, 12, 12]]
    options = {"scales": [1.0], "output_size": 1, "implementation": implementation}
    pooled = ops.multilevel_roi_pool([features], boxes, [0] * 4, [0] * 4, **options)
    np.testing.assert_array_equal(tf.squeeze(pooled), [37, 63, 47, 0])
    warped = ops.multilevel_roi_warp([features], boxes, [0] * 4, [0] * 4, sampling_ratio=1, **options)
    np.testing.assert_allclose(tf.squeeze(warped), [37, 39, 47, 0], atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1.0, pytest.param(8.0, marks=pytest.mark.slow)])
def test_gigantic_boxes_take_no_longer_than_the_map(implementation, method, scale):
    features = tf.ones((1, 6, 6, 2))
    boxes = [[-4e6, -4e6, 4e6, 4e6], [0, 0, 5e8, 6], [-3e38, -3e38, 3e38, 3e38], [-3e38, 3e38, 3e38, -3e38]]
    reduces = [{"reduce": "average"}, {"reduce": "max"}] if method == "warp" else [{}]
    for reduce in reduces:
        pooled = OPERATIONS[method](
            [features], boxes, [0] * 4, [0] * 4, scales=[scale], implementation=implementation, **reduce
        )
        assert np.isfinite(pooled).all() and np.max(pooled) <= 1
        if method == "pool":  # the middle bin across holds the whole map, and of the second box the first
            columns = [[0, 0, 0, 1, 0, 0, 0], [1] + [0] * 6, [0, 0, 0, 1, 0, 0, 0], [0] * 7]
            np.testing.assert_array_equal(tf.reduce_max(pooled, axis=(1, 3)), columns)


@pytest.mark.parametrize("method", METHODS)
def test_no_rois(pyramid, implementation, method):
    p = types.SimpleNamespace(**vars(pyramid) | {"boxes": np.zeros((0, 4), np.float32), "image_index": [], "level": []})
    pooled, gradients = pool(method, p, implementation)
    assert pooled.shape == (0, 7, 7, 5)
    for gradient, m in zip(gradients, p.maps, strict=True):
        np.testing.assert_array_equal(gradient, np.zeros_like(m))


@pytest.mark.parametrize("method", METHODS)
def test_unknown_shapes_in_a_graph(rois, implementation, method):
    p = rois
    index_spec = tf.TensorSpec((None,), tf.int32)
    maps_spec = [tf.TensorSpec((None, None, None, 5))] * 5

    @tf.function(input_signature=[maps_spec, tf.TensorSpec((None, 4)), index_spec, index_spec])
    def pooled(maps, boxes, image_index, level):
        arguments = (maps, boxes, image_index, level)
        return OPERATIONS[method](*arguments, scales=p.scales, implementation=implementation)

    assert pooled.get_concrete_function().output_shapes.as_list() == [None, 7, 7, 5]
    eager, _ = pool(method, p, implementation)
    np.testing.assert_allclose(pooled(p.maps, p.boxes, p.image_index, p.level), eager, atol=1e-6)
    assert pooled(p.maps, p.boxes[:1], p.image_index[:1], p.level[:1]).shape == (1, 7, 7, 5)


@pytest.mark.parametrize("method", METHODS)
def test_wrong_arguments_are_named(method):
    call = functools.partial(OPERATIONS[method], [tf.zeros((1, 6, 6, 3))], [[0, 0, 3, 3]], [0])
    with pytest.raises(ValueError, match="output_size must be .* got 0"):
        call([0], scales=[1.0], output_size=0)
    with pytest.raises(ValueError, match=r"scales must have one number for each of the 1 feature maps"):
        call([0], scales=[1.0, 0.5])
    with pytest.raises(tf.errors.InvalidArgumentError, match="(?s)level must be >= 0 and below.*5"):
        call([5], scales=[1.0])
