import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras.backbones.fpn import FPN, add_upsampled
from mrcnn_keras.backbones.resnet import ResNet

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
