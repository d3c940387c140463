import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras.heads.box import BoxHead
from mrcnn_keras.heads.mask import MaskHead, MaskPredictor, Upsample2x
from mrcnn_keras.heads.rpn import RPNHead


def test_rpn_outputs_follow_the_anchors_order():
    head = RPNHead(channels=4, num_anchors=3)
    features = [tf.random.stateless_normal((2, 4, 6, 8), [0, 1]), tf.random.stateless_normal((2, 2, 3, 8), [0, 2])]
    logits, deltas = head(features)
    assert [tuple(level.shape) for level in logits] == [(2, 72), (2, 18)]
    assert [tuple(level.shape) for level in deltas] == [(2, 72, 4), (2, 18, 4)]
    maps = head.objectness(head.conv(features[0]))
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
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_predictor_is_the_1x1_convolution_of_the_class():
    layer = MaskPredictor(7)
    x = tf.random.stateless_normal((4, 3, 3, 5), [1, 2])
    classes = tf.constant([6, 0, 3, 3])
    layer.build(x.shape)
    layer.bias.assign(np.arange(7.0))
    every = tf.einsum("rhwc,ck->rhwk", x, layer.kernel.value) + layer.bias.value
    expected = tf.stack([every[i, :, :, c] for i, c in enumerate(classes)])
    np.testing.assert_allclose(layer(x, classes), expected, atol=1e-5)


def test_class_agnostic_masks_do_not_depend_on_the_class():
    x = tf.random.stateless_normal((2, 14, 14, 3), [1, 2])
    x = tf.concat([x[:1], x[:1]], axis=0)
    head = MaskHead(9, channels=4, num_convs=1, class_agnostic=True)
    masks = head(x, tf.constant([2, 7]))
    assert masks.shape == (2, 28, 28)
    np.testing.assert_array_equal(masks[0], masks[1])
