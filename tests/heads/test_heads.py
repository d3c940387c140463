import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras.heads.box import BoxHead
from mrcnn_keras.heads.keypoint import KeypointHead
from mrcnn_keras.heads.mask import MaskHead, Upsample2x, side_by_side
from mrcnn_keras.heads.mask_mlp import MaskMLPHead
from mrcnn_keras.heads.mask_predictor import MaskPredictor
from mrcnn_keras.heads.res5 import Res5Head
from mrcnn_keras.heads.rpn import RPNHead


def test_rpn_outputs_follow_the_anchors_order():
    head = RPNHead(channels=4, num_anchors=3)
    features = [tf.random.stateless_normal((2, 4, 6, 8), [0, 1]), tf.random.stateless_normal((2, 2, 3, 8), [0, 2])]
    logits, deltas = head(features)
    assert [tuple(level.shape) for level in logits] == [(2, 72), (2, 18)]
    assert [tuple(level.shape) for level in deltas] == [(2, 72, 4), (2, 18, 4)]
    maps = head.objectness(head.convs[0](features[0]))
    np.testing.assert_allclose(logits[0][1, 3 * (6 * 2 + 5) + 2], maps[1, 2, 5, 2], rtol=1e-5)


@pytest.mark.parametrize(("agnostic", "outputs"), [(False, 20), (True, 4)])
@pytest.mark.parametrize("convs", [0, 2])
def test_box_head_shapes(agnostic, outputs, convs):
    head = BoxHead(5, num_convs=convs, conv_channels=6, num_fcs=1, fc_units=8, class_agnostic=agnostic, norm="group",
                   norm_groups=2)  # fmt: skip
    logits, deltas = head(tf.ones((3, 7, 7, 4)))
    assert logits.shape == (3, 6) and deltas.shape == (3, outputs)


def test_upsampling_is_the_transposed_convolution():
    layer = Upsample2x(5)
    x = tf.random.stateless_normal((2, 3, 4, 6), [1, 2])
    layer.build(x.shape)
    kernel = tf.transpose(layer.kernel.value, [0, 1, 3, 2])
    expected = tf.nn.relu(tf.nn.conv2d_transpose(x, kernel, (2, 6, 8, 5), 2))
    np.testing.assert_allclose(side_by_side(tf.reshape(layer(x), (2, 6, 8, 5))), expected, atol=1e-5)
    one_map = tf.reshape(layer(x)[..., 3], (2, 6, 8))
    np.testing.assert_allclose(side_by_side(one_map), expected[..., 3], atol=1e-5)


def test_predictor_is_the_1x1_convolution_of_the_class():
    layer = MaskPredictor(7)
    x = tf.random.stateless_normal((4, 3, 3, 5), [1, 2])
    classes = tf.constant([6, 0, 3, 3])
    layer.build(x.shape)
    layer.bias.assign(np.arange(7.0))
    every = tf.einsum("rhwc,ck->rhwk", x, layer.kernel.value) + layer.bias.value
    expected = tf.stack([every[i, :, :, c] for i, c in enumerate(classes)])
    np.testing.assert_allclose(layer(x, classes), expected, atol=1e-5)


def test_softmax_masks_are_the_probabilities_of_the_class_and_the_background():
    layer = MaskPredictor(3, "softmax")
    x = tf.random.stateless_normal((4, 2, 2, 5), [1, 2])
    layer.build(x.shape)
    layer.kernel.assign(tf.random.stateless_normal((5, 4), [3, 4]))
    layer.bias.assign([0.5, -1.0, 0.0, 2.0])
    every = tf.nn.softmax(tf.einsum("rhwc,ck->rhwk", x, layer.kernel.value) + layer.bias.value)
    found = tf.exp(layer(x, tf.constant([2, 0, 1, 1])))
    expected = [tf.stack([every[i, ..., c], every[i, ..., 3]], axis=-1) for i, c in enumerate([2, 0, 1, 1])]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_mlp_masks_are_those_of_the_class(kind):
    head = MaskMLPHead(3, units=6, num_fcs=2, kind=kind)
    x = tf.random.stateless_normal((2, 4, 4, 5), [1, 2])
    classes = tf.constant([2, -1])
    assert head(x, classes).shape == ((2, 8, 8) if kind == "sigmoid" else (2, 8, 8, 2))
    head.predictor.kernel.assign(tf.random.stateless_normal(head.predictor.kernel.shape, [5, 6]))
    hidden = tf.reshape(x, [2, -1])
    for layer in (*head.fcs, head.predictor):
        hidden = layer(hidden)
    maps = tf.reshape(hidden, [2, 8, 8, -1])
    if kind == "sigmoid":
        expected = [maps[0, ..., 2], maps[1, ..., 0]]
    else:
        maps = tf.nn.log_softmax(maps)
        expected = [tf.stack([maps[0, ..., 2], maps[0, ..., 3]], -1), tf.stack([maps[1, ..., 0], maps[1, ..., 3]], -1)]
    np.testing.assert_allclose(head(x, classes), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
@pytest.mark.parametrize("make", [MaskHead, MaskMLPHead])
def test_agnostic_heads_of_every_kind_do_not_depend_on_the_class(make, kind):
    x = tf.tile(tf.random.stateless_normal((1, 4, 4, 3), [1, 2]), [2, 1, 1, 1])
    masks = make(9, 4, 1, class_agnostic=True, kind=kind)(x, tf.constant([2, 7]))
    np.testing.assert_array_equal(masks[0], masks[1])


def test_mean_pooled_box_head_has_no_hidden_layer():
    head = BoxHead(5, num_fcs=0, pool="mean")
    x = tf.random.stateless_normal((3, 7, 7, 4), [0, 1])
    logits, deltas = head(x)
    assert logits.shape == (3, 6) and deltas.shape == (3, 20) and len(head.weights) == 4
    np.testing.assert_allclose(logits, head.classifier(tf.reduce_mean(x, axis=[1, 2])), rtol=1e-5)


def test_norms_of_fully_connected_layers():
    head = BoxHead(2, num_fcs=1, fc_units=8, fc_norm="batch", norm_bias=True)
    x = tf.random.stateless_normal((16, 2, 2, 4), [0, 1])
    head(x)
    norm = head.fcs[0].norm
    norm.moving_mean.assign(np.linspace(-1, 1, 8))
    norm.beta.assign(np.full(8, 0.25))
    head.fcs[0].bias.assign(np.linspace(0, 2, 8))
    hidden = tf.reshape(x, [16, 16]) @ tf.reshape(head.fcs[0].kernel, [16, 8]) + np.linspace(0, 2, 8)
    hidden = tf.nn.relu((hidden - np.linspace(-1, 1, 8)) / np.sqrt(1 + 1e-5) + 0.25)
    np.testing.assert_allclose(head(x)[0], head.classifier(hidden), atol=1e-4)
    assert {w.path.split("/", 1)[1] for w in head.fcs[0].weights} >= {"fc1/kernel", "fc1/bias", "fc1/norm/gamma"}


def test_two_rpn_convolutions():
    head = RPNHead(channels=4, num_anchors=3, num_convs=2)
    x = tf.random.stateless_normal((1, 4, 6, 8), [0, 1])
    logits, _ = head([x])
    maps = head.objectness(head.convs[1](head.convs[0](x)))
    np.testing.assert_allclose(logits[0], tf.reshape(maps, [1, -1]), rtol=1e-5)


def test_keypoint_head_quadruples_the_sides():
    head = KeypointHead(5, channels=8, num_convs=2)
    x = tf.random.stateless_normal((2, 14, 14, 4), [0, 1])
    maps = head(x)
    assert maps.shape == (2, 56, 56, 5) and maps.dtype == tf.float32
    half = head.deconv(head.convs[1](head.convs[0](x)))
    np.testing.assert_allclose(maps[:, 2, 2], 0.75**2 * half[:, 1, 1] + 0.75 * 0.25 * (half[:, 0, 1] + half[:, 1, 0])
                               + 0.25**2 * half[:, 0, 0], atol=1e-5)  # fmt: skip


@pytest.mark.parametrize("strides", [1, 2])
def test_res5_head(strides):
    head = Res5Head(2, res2_channels=8, width_per_group=4, strides=strides, norm="batch")
    assert head(tf.ones((3, 14, 14, 32))).shape == (3, 14 // strides, 14 // strides, 64)
