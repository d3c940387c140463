"""RoIAlignLayer: each operator is the operation of its name, with the layer's arguments."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras import ops
from mrcnn_keras.layers.roi_align import OPERATORS, RoIAlignLayer

ROIS = np.array([[3, 5, 29.5, 27], [-4, 0, 10, 60], [0, 0, 64, 64], [20, 8, 47, 21]], np.float32)
IMAGE_INDEX = np.array([0, 1, 1, 0], np.int32)
ARGUMENTS = {
    "output_size": 3,
    "strides": (4, 8),
    "sampling_ratio": 1,
    "aligned": False,
    "canonical_size": 64.0,
    "level_rounding": "nearest",
    "reduce": "max",
}


@pytest.fixture(scope="module")
def inputs():
    """Two levels of two images, RoIs and the images."""
    rng = np.random.default_rng(5)
    maps = [tf.constant(rng.normal(size=(2, s, s, 3)), tf.float32) for s in (16, 8)]
    return maps, ROIS, IMAGE_INDEX, tf.zeros((2, 64, 64, 3))


@pytest.mark.parametrize("reduce", ["average", "max"])
@pytest.mark.parametrize("operator", ["align", "warp", "pool"])
def test_operator_is_the_operation_of_its_name(inputs, operator, reduce):
    layer = RoIAlignLayer(**ARGUMENTS | {"operator": operator, "reduce": reduce})
    operation = getattr(ops, f"multilevel_roi_{operator}")
    options = {} if operator == "pool" else {"sampling_ratio": 1, "aligned": False, "reduce": reduce}
    level = layer._level(tf.constant(ROIS))
    assert set(level.numpy()) == {0, 1}
    wanted = operation(inputs[0], ROIS, IMAGE_INDEX, level, scales=[1 / 4, 1 / 8], output_size=3, **options)
    np.testing.assert_array_equal(layer(*inputs), wanted)


@pytest.mark.parametrize("operator", OPERATORS)
def test_saved_layer_does_the_same(inputs, operator):
    layer = RoIAlignLayer(**ARGUMENTS | {"operator": operator})
    saved = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    other = keras.saving.deserialize_keras_object(saved)
    assert all(getattr(other, name) == value for name, value in ARGUMENTS.items())
    np.testing.assert_array_equal(other(*inputs), layer(*inputs))


def test_unknown_operator():
    with pytest.raises(ValueError, match="operator must be one of align, warp, pool, crop_and_resize, got 'crop'"):
        RoIAlignLayer(operator="crop")
