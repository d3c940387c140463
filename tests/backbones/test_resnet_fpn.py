import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras.backbones.fpn import FPN, add_upsampled
from mrcnn_keras.backbones.resnet import ResNet
from mrcnn_keras.layers.non_local import NonLocal

NARROW = {"block_counts": (1, 2, 1, 1), "stem_channels": 4, "res2_channels": 8, "width_per_group": 4}


@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_strides_and_widths(size):
    net = ResNet(**NARROW)
    features = net(tf.ones((2, *size, 3)))
    expected = [(2, -(-size[0] // s), -(-size[1] // s), c) for s, c in ((4, 8), (8, 16), (16, 32), (32, 64))]
    assert [tuple(f.shape) for f in features] == expected
    assert [tuple(s) for s in net.compute_output_shape((2, *size, 3))] == expected


@pytest.mark.parametrize(("freeze_at", "frozen"), [(0, set()), (2, {"stem", "res2_0"}), (5, None)])
def test_freezing_stops_at_the_stage(freeze_at, frozen):
    net = ResNet(**NARROW, freeze_at=freeze_at, norm="batch", name="net")
    net.build((None, 64, 64, 3))
    layers = {v.path.split("/")[1] for v in net.variables}
    trained = {v.path.split("/")[1] for v in net.trainable_variables}
    assert layers - trained == (layers if frozen is None else frozen)


def test_frozen_stage_keeps_its_statistics_in_training():
    net = ResNet(**NARROW, freeze_at=2, norm="batch")
    net.build((None, 64, 64, 3))
    net(tf.random.stateless_normal((2, 64, 64, 3), [1, 1]), training=True)
    moved = {v.path.split("/")[1] for v in net.variables if "moving_mean" in v.path and v.numpy().any()}
    assert "stem" not in moved and "res2_0" not in moved and "res3_0" in moved


def test_stride_place_changes_the_result_not_the_shape():
    x = tf.random.stateless_normal((1, 64, 64, 3), [1, 1])
    nets = [ResNet(**NARROW, stride_in_1x1=place) for place in (True, False)]
    outputs = []
    for net in nets:
        net.build((None, 64, 64, 3))
        net.set_weights(nets[0].get_weights())
        outputs.append(net(x)[-1])
    assert outputs[0].shape == outputs[1].shape
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3


def test_pyramid_has_five_levels_of_one_width():
    features = [tf.ones((1, 32 // s, 48 // s, 4 * s)) for s in (1, 2, 4, 8)]
    levels = FPN(6)(features)
    assert [tuple(p.shape) for p in levels] == [(1, 32 // s, 48 // s, 6) for s in (1, 2, 4, 8)] + [(1, 2, 3, 6)]
    np.testing.assert_array_equal(levels[4], levels[3][:, ::2, ::2])


def test_upsampling_repeats_every_cell_twice():
    coarse = tf.reshape(tf.range(6, dtype=tf.float32), (1, 2, 3, 1))
    total = add_upsampled(tf.ones((1, 4, 6, 1)), coarse)
    np.testing.assert_array_equal(total, 1 + np.repeat(np.repeat(coarse, 2, axis=1), 2, axis=2))


@pytest.mark.parametrize(("stem", "projected"), [(8, False), (4, True)])
def test_basic_blocks_are_two_3x3_convolutions(stem, projected):
    net = ResNet((1, 2, 1, 1), stem, 8, basic=True, norm="batch", name="net")
    features = net(tf.ones((1, 64, 64, 3)))
    assert [f.shape[1:] for f in features] == [(16, 16, 8), (8, 8, 16), (4, 4, 32), (2, 2, 64)]
    kernels = {v.path: v.shape for v in net.weights if v.path.endswith("/kernel")}
    assert kernels["net/res3_0/conv1/kernel"] == (3, 3, 8, 16) and kernels["net/res3_0/shortcut/kernel"][:2] == (1, 1)
    assert ("net/res2_0/shortcut/kernel" in kernels) == projected and "net/res3_1/shortcut/kernel" not in kernels
    assert not [path for path in kernels if "conv3" in path]


def test_non_local_blocks_change_nothing_at_first_and_then_see_everything():
    x = tf.random.stateless_normal((1, 64, 96, 3), [1, 1])
    net = ResNet((1, 2, 3, 1), **{k: v for k, v in NARROW.items() if k != "block_counts"}, non_local=(0, 1, 2, 0))
    names = [layer.name for stage in net.stages for layer in stage]
    assert names[1:4] == ["res3_0", "res3_non_local_0", "res3_1"]
    assert names[4:9] == ["res4_non_local_0", "res4_0", "res4_1", "res4_non_local_1", "res4_2"]
    block = next(layer for stage in net.stages for layer in stage if layer.name == "res3_non_local_0")
    cells = tf.random.stateless_normal((1, 8, 12, 16), [1, 2])
    net(x)
    np.testing.assert_array_equal(block(cells), cells)
    block.output_conv.kernel.assign(tf.random.stateless_normal(block.output_conv.kernel.shape, [3, 4]))
    with tf.GradientTape() as tape:
        tape.watch(cells)
        corner = tf.reduce_sum(block(cells)[0, 0, 0])
    assert np.abs(tape.gradient(corner, cells)[0, -1, -1]).sum() > 0


def test_non_local_block_is_attention():
    block = NonLocal(channels=3, subsample=False)
    x = tf.random.stateless_normal((2, 3, 4, 6), [1, 2])
    block(x)
    block.output_conv.kernel.assign(tf.random.stateless_normal((1, 1, 3, 6), [3, 4]))
    query, key, value = (tf.reshape(conv(x), (2, 12, 3)) for conv in (block.theta, block.phi, block.value))
    weights = tf.nn.softmax(tf.einsum("bqc,bkc->bqk", query, key) / np.sqrt(3.0))
    found = tf.reshape(tf.einsum("bqk,bkc->bqc", weights, value), (2, 3, 4, 3))
    np.testing.assert_allclose(block(x), x + block.output_conv(found), atol=1e-5)


def count_operations(graph, kinds):
    """How often a graph runs operations of some kinds, in the functions that it calls as well."""
    definition = graph.as_graph_def()
    functions = {function.signature.name: function.node_def for function in definition.library.function}

    def count(nodes):
        called = [functions[node.attr["f"].func.name] for node in nodes if node.op.endswith("PartitionedCall")]
        return sum(node.op in kinds for node in nodes) + sum(map(count, called))

    return count(definition.node)


@pytest.mark.parametrize("freeze_at", [0, 2])
def test_gradient_checkpointing_computes_trained_blocks_twice(freeze_at):
    inputs = tf.random.stateless_normal((1, 32, 32, 3), [1, 2])
    counts, gradients = [], []
    for checkpointing in (False, True):
        keras.utils.set_random_seed(0)
        layer = ResNet((1, 2), 8, 16, 1, 4, freeze_at=freeze_at, gradient_checkpointing=checkpointing)
        layer.build(inputs.shape)

        @tf.function
        def step(inputs, layer=layer):
            with tf.GradientTape() as tape:
                loss = tf.add_n([tf.reduce_sum(feature**2) for feature in layer(inputs, training=True)])
            return tape.gradient(loss, layer.trainable_variables)

        graph = step.get_concrete_function(inputs).graph
        counts.append(count_operations(graph, ("Conv2D", "MrcnnKeras>Conv3x3")))
        gradients.append(step(inputs))
    recomputed = 4 + 4 + 3 if freeze_at == 0 else 4 + 3  # a block's convolutions, its shortcut's among them
    assert counts[1] == counts[0] + recomputed
    for ours, wanted in zip(gradients[1], gradients[0], strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
