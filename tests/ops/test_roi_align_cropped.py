"""RoIAlign and RoIWarp by crop_and_resize: the values of the other implementations."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras import ops


def pool(p, implementation="cropped", method="align", maps=None, **options):
    function = getattr(ops, f"multilevel_roi_{method}")
    rois = p.boxes, p.image_index, p.level
    return function(maps or p.maps, *rois, scales=p.scales, implementation=implementation, **options)


@pytest.mark.parametrize("output_size", [(7, 3), 1, 14])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 3])
@pytest.mark.parametrize("aligned", [True, False])
def test_equals_plain_loops(pyramid, oracle, output_size, sampling_ratio, aligned):
    p, options = pyramid, {"sampling_ratio": sampling_ratio, "aligned": aligned}
    pooled = pool(p, output_size=output_size, **options)
    upstream = p.upstream(pooled.shape)
    size = output_size if isinstance(output_size, tuple) else (output_size, output_size)
    values, _ = oracle(
        p.maps,
        p.boxes,
        p.image_index,
        p.level,
        upstream,
        scales=p.scales,
        output_size=size,
        reduce="average",
        **options,
    )
    np.testing.assert_allclose(pooled, values, rtol=0, atol=5e-5)


def test_roi_warp_too(pyramid):
    found, expected = (pool(pyramid, name, "warp", output_size=5) for name in ("cropped", "tensorflow"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-5)


@pytest.mark.parametrize("method, options", [("align", {"reduce": "max"}), ("pool", {}), ("warp", {"reduce": "max"})])
def test_what_is_no_average_comes_from_the_fallback(pyramid, method, options):
    found, expected = (pool(pyramid, name, method, **options) for name in ("cropped", "tensorflow"))
    np.testing.assert_array_equal(found, expected)


def test_sixteen_bit_maps_and_many_boxes_with_the_same_counts(pyramid):
    p = pyramid
    maps = [tf.cast(m, tf.bfloat16) for m in p.maps]
    found, expected = (pool(p, name, maps=maps) for name in ("cropped", "tensorflow"))
    assert found.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(found, tf.float32), tf.cast(expected, tf.float32), atol=2e-2)
    features = tf.random.stateless_normal((1, 60, 60, 64), (0, 1))
    boxes = np.tile([[1, 2, 57, 50]], (200, 1)) + np.arange(200)[:, None] / 100  # more than are cropped at once
    found, expected = (
        ops.multilevel_roi_align([features], boxes, [0] * 200, [0] * 200, scales=[1.0], implementation=name)
        for name in ("cropped", "tensorflow")
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.slow
def test_in_a_graph_of_unknown_shapes_and_without_rois(pyramid):
    p = pyramid
    index = tf.TensorSpec((None,), tf.int32)

    @tf.function(input_signature=[[tf.TensorSpec((None, None, None, 5))] * 5, tf.TensorSpec((None, 4)), index, index])
    def pooled(maps, boxes, image_index, level):
        with ops.use_implementation("cropped"):
            return ops.multilevel_roi_align(maps, boxes, image_index, level, scales=p.scales)

    concrete = pooled.get_concrete_function()
    assert concrete.output_shapes.as_list() == [None, 7, 7, 5]
    names = {node.op for function in concrete.graph.as_graph_def().library.function for node in function.node_def}
    assert "CropAndResize" in names and not any(">" in name for name in names)
    np.testing.assert_allclose(pooled(p.maps, p.boxes, p.image_index, p.level), pool(p), atol=1e-6)
    assert pooled(p.maps, p.boxes[:0], p.image_index[:0], p.level[:0]).shape == (0, 7, 7, 5)
