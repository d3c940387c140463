import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras.layers.conv_norm import ConvNorm, dilated_by_parts
from mrcnn_keras.layers.norm import BatchNorm, make_norm


def randomise(layer, seed=0):
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])


def plain(layer, x):
    """The same arithmetic without folding."""
    pad = layer.dilation * (layer.kernel_size - 1) // 2
    x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    y = tf.nn.conv2d(x, layer.kernel, layer.strides, "VALID", dilations=layer.dilation)
    n = layer.norm
    return (y - n.moving_mean) / tf.sqrt(n.moving_variance + n.epsilon) * n.gamma + n.beta


@pytest.mark.parametrize(("size", "strides", "dilation"), [(1, 1, 1), (3, 1, 1), (3, 2, 1), (7, 2, 1), (3, 1, 2)])
def test_folded_norm_equals_convolution_then_norm_with_the_same_gradient(size, strides, dilation):
    x = tf.random.stateless_normal((2, 9, 12, 3), [1, 2])
    layer = ConvNorm(5, size, strides, dilation, norm="frozen")
    layer(x)
    randomise(layer)
    with tf.GradientTape(persistent=True) as tape:
        ours, theirs = layer(x, training=True), plain(layer, x)
        loss, expected = tf.reduce_sum(ours**2), tf.reduce_sum(theirs**2)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)
    assert ours.shape == layer.compute_output_shape(x.shape)
    a, b = tape.gradient(loss, layer.kernel.value), tape.gradient(expected, layer.kernel.value)
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max())


def test_frozen_norm_trains_nothing_but_the_kernel():
    layer = ConvNorm(4, 3, norm="frozen")
    layer.build((None, 8, 8, 3))
    assert [v.name for v in layer.trainable_variables] == ["kernel"]
    layer.trainable = True
    assert [v.name for v in layer.trainable_variables] == ["kernel"]


def test_batch_norm_learns_statistics_then_inference_uses_them():
    x = 3.0 + 2.0 * tf.random.stateless_normal((8, 6, 6, 4), [0, 1])
    layer = BatchNorm(momentum=0.5)
    trained = layer(x, training=True)
    np.testing.assert_allclose(tf.reduce_mean(trained, [0, 1, 2]), np.zeros(4), atol=1e-4)
    for _ in range(20):
        layer(x, training=True)
    np.testing.assert_allclose(layer(x, training=False), trained, atol=0.02)


def test_synchronised_norm_on_one_replica_equals_the_plain_one():
    x = tf.random.stateless_normal((4, 6, 6, 4), [0, 1])
    plain, synchronised = BatchNorm(), BatchNorm(synchronized=True)
    np.testing.assert_allclose(plain(x, training=True), synchronised(x, training=True), atol=1e-4)


TWO_REPLICAS = """
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from mrcnn_keras.layers.norm import BatchNorm
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layer = BatchNorm(synchronized=True)
    layer.build((None, None, None, 1))
inputs = strategy.experimental_distribute_values_from_function(
    lambda context: tf.fill((2, 2, 2, 1), float(context.replica_id_in_sync_group))
)
run = tf.function(lambda x: strategy.run(lambda y: layer(y, training=True), (x,)))
zeros, ones = run(inputs).values
np.testing.assert_allclose(zeros, -np.ones((2, 2, 2, 1)), atol=1e-3)
np.testing.assert_allclose(ones, np.ones((2, 2, 2, 1)), atol=1e-3)
np.testing.assert_allclose(layer.moving_mean.numpy(), [0.05], atol=1e-6)
"""


@pytest.mark.slow
def test_synchronised_norm_sees_all_replicas():
    subprocess.run([sys.executable, "-c", TWO_REPLICAS], check=True, timeout=120)


def test_overflowing_batch_leaves_the_statistics_finite():
    layer = BatchNorm()
    layer(tf.constant(np.inf, shape=(2, 4, 4, 3)), training=True)
    assert np.isfinite(layer.get_weights()).all()


def test_group_norm_and_no_norm():
    x = tf.random.stateless_normal((2, 8, 8, 6), [3, 4])
    group = ConvNorm(8, 3, norm="group", norm_groups=4, relu=True)
    assert (group(x).numpy() >= 0).all() and group.bias is None
    assert ConvNorm(8, 3)(x).shape == (2, 8, 8, 8)


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="'layer'"):
        make_norm("layer", 0.9, 1e-5, 32)


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 3)])
@pytest.mark.parametrize("dilation", [2, 3])
def test_dilated_convolution_by_parts_and_its_gradient(size, dilation):
    x = tf.Variable(tf.random.stateless_normal((2, *size, 3), [0, 1]))
    kernel = tf.Variable(tf.random.stateless_normal((3, 3, 3, 4), [0, 2]))
    expected = tf.nn.conv2d(x, kernel, 1, "SAME", dilations=dilation)
    with tf.GradientTape() as tape:
        found = dilated_by_parts(x, kernel, dilation)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # The convolution is linear in both: <gradient, step> is the change of the sum.
    gx, gk = tape.gradient(found, [x, kernel])
    step = tf.random.stateless_normal(kernel.shape, [0, 3])
    change = tf.reduce_sum(tf.nn.conv2d(x, step, 1, "SAME", dilations=dilation))
    assert float(tf.reduce_sum(gk * step)) == pytest.approx(float(change), rel=1e-3, abs=1e-3)
    step = tf.random.stateless_normal(x.shape, [0, 4])
    change = tf.reduce_sum(tf.nn.conv2d(step, kernel, 1, "SAME", dilations=dilation))
    assert float(tf.reduce_sum(gx * step)) == pytest.approx(float(change), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(("groups", "width"), [(4, 3), (8, 16), (5, 1), (2, 40)])
@pytest.mark.parametrize(("strides", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_grouped_convolution_trains_as_its_groups_one_by_one(groups, width, strides, dilation):
    layer = ConvNorm(2 * groups, 3, strides, dilation, groups)
    x = tf.random.stateless_normal((2, 7, 10, groups * width), [0, 1])
    layer.build(x.shape)
    randomise(layer)

    def one_by_one(x, kernel):
        parts = zip(tf.split(x, groups, 3), tf.split(kernel, groups, 3))
        if dilation > 1:
            outputs = [dilated_by_parts(part, own, dilation) for part, own in parts]
        else:
            outputs = [tf.nn.conv2d(part, own, strides, [[0, 0], [1, 1], [1, 1], [0, 0]]) for part, own in parts]
        return tf.concat(outputs, 3) + layer.bias

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        found, wanted = layer(x, training=True), one_by_one(x, layer.kernel.value)
        ours, theirs = tf.reduce_sum(tf.sin(found)), tf.reduce_sum(tf.sin(wanted))
    np.testing.assert_allclose(layer(x, training=False), found, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    sources = [x, layer.kernel.value]
    for a, b in zip(tape.gradient(ours, sources), tape.gradient(theirs, sources)):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max())
