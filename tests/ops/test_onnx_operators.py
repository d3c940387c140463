"""RoI pooling and suppression in ONNX Runtime against their values in TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras import ops
from mrcnn_keras.layers.suppression import suppress

pytest.importorskip("tf2onnx")
runtime = pytest.importorskip("onnxruntime")

SCALES = (0.25, 0.125)
POOLING = {
    "align": (ops.multilevel_roi_align, {"sampling_ratio": 2}),
    "align, samples by size": (ops.multilevel_roi_align, {"sampling_ratio": 0}),
    "align, Detectron1": (ops.multilevel_roi_align, {"sampling_ratio": 0, "aligned": False}),
    "align, largest": (ops.multilevel_roi_align, {"sampling_ratio": 2, "reduce": "max"}),
    "warp": (ops.multilevel_roi_warp, {"sampling_ratio": 0}),
    "warp, largest, not aligned": (ops.multilevel_roi_warp, {"sampling_ratio": 3, "reduce": "max", "aligned": False}),
    "pool": (ops.multilevel_roi_pool, {}),
}


def in_onnx(function, **inputs):
    """What a function of arrays returns when ONNX Runtime runs it; all sides may vary but the last of a map."""
    from mrcnn_keras.serving.onnx_file import convert

    specs = [
        tf.TensorSpec([None] * (value.ndim - 1) + [value.shape[-1] if value.ndim > 1 else None], value.dtype, name)
        for name, value in inputs.items()
    ]
    proto = convert(tf.function(function, autograph=False), specs)
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def random_rois(rng, count):
    """Boxes of an 80 x 64 image, from within a pixel to larger than the image and partly outside."""
    corner, size = rng.uniform(-10, 70, (count, 2)), np.exp(rng.uniform(-1, 5, (count, 2)))
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


@pytest.mark.parametrize("name", POOLING)
def test_pooling(name):
    pool, options = POOLING[name]
    rng = np.random.default_rng(0)
    inputs = {
        "fine": rng.normal(size=(2, 16, 20, 3)).astype(np.float32),
        "coarse": rng.normal(size=(2, 8, 10, 3)).astype(np.float32),
        "boxes": random_rois(rng, 60),
        "image_index": rng.integers(0, 2, 60).astype(np.int32),
        "level": rng.integers(0, 2, 60).astype(np.int32),
    }

    def both_sizes(fine, coarse, boxes, image_index, level):
        place = [fine, coarse], boxes, image_index, level
        last_only = [coarse], boxes, image_index, tf.zeros_like(level)
        return {
            "pyramid": pool(*place, scales=SCALES, output_size=(3, 5), **options),
            "one map": pool(*last_only, scales=SCALES[1:], output_size=2, **options),
        }

    expected, found = both_sizes(*inputs.values()), in_onnx(both_sizes, **inputs)
    for key, value in expected.items():
        assert np.abs(value).max() > 0.5
        np.testing.assert_allclose(found[key], value, atol=1e-4, err_msg=key)


def test_a_level_without_rois():
    rng = np.random.default_rng(0)
    inputs = {"fine": rng.normal(size=(1, 8, 8, 2)).astype(np.float32), "boxes": random_rois(rng, 4)}

    def pool(fine, boxes):
        index = tf.zeros(tf.shape(boxes)[:1], tf.int32)
        maps = [fine, fine[:, ::2, ::2]]
        return {"pooled": ops.multilevel_roi_align(maps, boxes, index, index, scales=SCALES, output_size=2)}

    np.testing.assert_allclose(in_onnx(pool, **inputs)["pooled"], pool(*inputs.values())["pooled"], atol=1e-5)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("most", [5, 100])
def test_suppression(shared, most):
    rng = np.random.default_rng(most)
    scores = rng.permutation(2 * 40 * 3).reshape(2, 40, 3).astype(np.float32) / 240
    scores[1, :, 0] = 0.0  # a group without a box that scores enough
    boxes = rng.uniform(0, 40, (2, 40, 1 if shared else 3, 4)).astype(np.float32)
    boxes[..., 2:] += boxes[..., :2]
    scores[0, 3] = -np.inf

    def best(boxes, scores):
        names = ("best", "best_scores", "groups", "number")
        return dict(zip(names, suppress(boxes, tf.ensure_shape(scores, [None, None, 3]), most, 0.3, 0.1)))

    expected, found = best(boxes, scores), in_onnx(best, boxes=boxes, scores=scores)
    assert 0 < expected["number"].numpy().max() < 2 * 120
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=1e-6, err_msg=key)


def test_placeholders_are_for_tracing_only():
    boxes = np.array([[0, 0, 8, 8]], np.float32)
    arguments = [np.ones((1, 4, 4, 2), np.float32)], boxes, [0], [0]
    with ops.tracing_for_onnx():
        assert ops.is_tracing_for_onnx()
    assert not ops.is_tracing_for_onnx()
    pooled = ops.multilevel_roi_align(*arguments, scales=[0.25], output_size=2)
    np.testing.assert_allclose(pooled, np.ones((1, 2, 2, 2)), atol=1e-6)
