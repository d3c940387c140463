"""Values and gradients of both implementations against plain loops in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras import ops


def pool(p, implementation, **options):
    """Values and the gradients of the maps for a fixed upstream gradient."""
    dtype = options.pop("dtype", tf.float32)
    maps = [tf.cast(m, dtype) for m in p.maps]
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled = ops.multilevel_roi_align(
            maps, p.boxes, p.image_index, p.level, scales=p.scales, implementation=implementation, **options
        )
    return pooled, tape.gradient(pooled, maps, tf.cast(p.upstream(pooled.shape), dtype))


def expected(p, oracle, **options):
    options = {"scales": p.scales, "aligned": True, "sampling_ratio": 0, "reduce": "average"} | options
    values = oracle(p.maps, p.boxes, p.image_index, p.level, **options)
    upstream = p.upstream(values.shape)
    return values, oracle(p.maps, p.boxes, p.image_index, p.level, upstream, **options)


@pytest.mark.parametrize("reduce", ["average", "max"])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
def test_equals_plain_loops(pyramid, oracle, implementation, sampling_ratio, aligned, reduce):
    options = {"output_size": (7, 3), "sampling_ratio": sampling_ratio, "aligned": aligned, "reduce": reduce}
    pooled, gradients = pool(pyramid, implementation, **options)
    values, map_gradients = expected(pyramid, oracle, **options)
    np.testing.assert_allclose(pooled, values, rtol=0, atol=1e-5)
    for found, wanted in zip(gradients, map_gradients, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
