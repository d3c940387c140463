"""RoIAlign where graphs leave the process; and the same bits in every run."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras import ops


def op_types(concrete):
    """Types of all operations of a function and of those it calls."""
    graph = concrete.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return {node.op for node in nodes}


def test_saved_model_has_stock_operations_only(tmp_path):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 2)), tf.TensorSpec((None, 4))])
        def __call__(self, features, boxes):
            zeros = tf.zeros(tf.shape(boxes)[:1], tf.int32)
            return ops.multilevel_roi_align([features], boxes, zeros, zeros, scales=[0.5], output_size=2)

    module = Module()
    with ops.use_implementation("tensorflow"):
        tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    assert not any("MrcnnKeras" in name for name in op_types(loaded.signatures["serving_default"]))
    features, boxes = tf.random.normal((1, 6, 6, 2), seed=1), tf.constant([[1.0, 2.0, 9.0, 10.0]])
    np.testing.assert_allclose(loaded(features, boxes), module(features, boxes), atol=1e-6)


@pytest.mark.slow
def test_saved_model_traced_while_saving_has_stock_operations_only(tmp_path):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 6, 6, 2))])
        def __call__(self, features):
            return ops.multilevel_roi_align([features], [[0, 0, 4, 4]], [0], [0], scales=[0.5])

    tf.saved_model.save(Module(), str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    assert not any("MrcnnKeras" in name for name in op_types(loaded.signatures["serving_default"]))


def test_graph_with_the_operation_goes_through_a_graph_def(implementation):
    boxes = np.array([[0, 0, 5, 5], [1, 2, 6, 4]], np.float32)

    @tf.function(input_signature=[tf.TensorSpec((1, 6, 6, 3))])
    def pooled(features):
        return ops.multilevel_roi_align(
            [features], boxes, [0, 0], [0, 0], scales=[1.0], output_size=(2, 3), implementation=implementation
        )

    concrete = pooled.get_concrete_function()
    definition = concrete.graph.as_graph_def()

    def rebuild(features):
        (name,) = [node.name for node in definition.node if node.op == "Placeholder" and "features" in node.name]
        return tf.graph_util.import_graph_def(definition, {name: features}, [concrete.outputs[0].name])

    again = tf.compat.v1.wrap_function(rebuild, [tf.TensorSpec((1, 6, 6, 3))])
    features = tf.random.normal((1, 6, 6, 3), seed=4)
    np.testing.assert_array_equal(again(features)[0], pooled(features))


def test_same_bits_in_every_run(pyramid, implementation):
    p = pyramid
    maps = [tf.constant(m) for m in p.maps]

    def run():
        with tf.GradientTape() as tape:
            tape.watch(maps)
            pooled = ops.multilevel_roi_align(
                maps, p.boxes, p.image_index, p.level, scales=p.scales, implementation=implementation
            )
        return [pooled, *tape.gradient(pooled, maps, pooled)]

    first = run()
    for _ in range(3):
        for found, wanted in zip(run(), first, strict=True):
            np.testing.assert_array_equal(found, wanted)
