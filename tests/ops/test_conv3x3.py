"""The 3x3 convolution against the sum that defines it, with gradients, on every instruction set."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_keras import ops

SHAPES = [
    (2, 13, 18, 32, 48),  # sides that no tile fits, a panel that is not full
    (1, 4, 8, 16, 16),  # whole tiles
    (1, 1, 1, 16, 32),
    (3, 2, 9, 64, 16),
    (5, 14, 14, 32, 32),
    (1, 61, 67, 16, 16),  # several blocks of tiles and chunks of sums
]
# Sizes of rounding errors, relative to the values' standard deviation: those measured, times ten.
TOLERANCE = 1e-4


def example(shape, seed=0):
    batch, height, width, channels, filters = shape
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(batch, height, width, channels)).astype(np.float32)
    kernel = (rng.normal(size=(3, 3, channels, filters)) / np.sqrt(9 * channels)).astype(np.float32)
    return inputs, kernel, rng.normal(size=filters).astype(np.float32)


def by_definition(inputs, kernel, bias, upstream=None):
    """Outputs in float64, and with an upstream gradient those of inputs, kernel and bias."""
    height, width = inputs.shape[1:3]
    inputs, kernel = inputs.astype(np.float64), kernel.astype(np.float64)
    padded = np.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
    outputs = np.zeros((*inputs.shape[:3], kernel.shape[3])) + bias
    padded_gradient, kernel_gradient = np.zeros_like(padded), np.zeros_like(kernel)
    for i, j in np.ndindex(3, 3):
        part = np.s_[:, i : i + height, j : j + width]
        outputs += padded[part] @ kernel[i, j]
        if upstream is not None:
            padded_gradient[part] += upstream @ kernel[i, j].T
            kernel_gradient[i, j] = np.einsum("bhwc,bhwk->ck", padded[part], upstream)
    if upstream is None:
        return outputs
    return outputs, padded_gradient[:, 1:-1, 1:-1], kernel_gradient, upstream.sum(axis=(0, 1, 2))


def assert_close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * (np.std(wanted) + 1e-3))


def values_and_gradients(inputs, kernel, bias, upstream, implementation):
    tensors = [tf.constant(t) for t in (inputs, kernel, bias)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = ops.conv3x3(*tensors, implementation=implementation)
    return outputs, *tape.gradient(outputs, tensors, upstream)


@pytest.mark.parametrize("implementation", ["compiled", "tensorflow"])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients(shape, implementation, request):
    if implementation == "compiled":
        request.getfixturevalue("compiled_only")
    inputs, kernel, bias = example(shape)
    upstream = np.random.default_rng(1).normal(size=(*shape[:3], shape[4])).astype(np.float32)
    found = values_and_gradients(inputs, kernel, bias, upstream, implementation)
    for one, wanted in zip(found, by_definition(inputs, kernel, bias, upstream), strict=True):
        assert_close(one, wanted)


@pytest.mark.parametrize("implementation", ["compiled", "tensorflow"])
def test_relu_and_its_gradient(implementation, request):
    if implementation == "compiled":
        request.getfixturevalue("compiled_only")
    inputs, kernel, bias = example((2, 7, 6, 16, 16))
    wanted = by_definition(inputs, kernel, bias)
    watched = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        outputs = ops.conv3x3(watched, kernel, bias, relu=True, implementation=implementation)
    assert_close(outputs, np.maximum(wanted, 0))
    passed = by_definition(inputs, kernel, bias, (np.asarray(outputs) > 0).astype(np.float64))
    assert_close(tape.gradient(outputs, watched), passed[1])


def test_nan_is_not_hidden_by_the_relu(compiled_only):
    inputs, kernel, bias = example((1, 6, 6, 16, 16))
    inputs[0, 2, 2, 3] = np.nan
    found = ops.conv3x3(inputs, kernel, bias, relu=True, implementation="compiled").numpy()
    assert np.isnan(found[0, 1:4, 1:4]).all()


@pytest.mark.parametrize("shape", [(0, 8, 8, 16, 32), (2, 0, 8, 16, 32)])
def test_nothing_in_nothing_out(shape, compiled_only):
    inputs, kernel, bias = example(shape)
    upstream = np.zeros((*shape[:3], shape[4]), np.float32)
    outputs, inputs_gradient, kernel_gradient, _ = values_and_gradients(inputs, kernel, bias, upstream, "compiled")
    assert outputs.shape == upstream.shape and inputs_gradient.shape == inputs.shape
    np.testing.assert_array_equal(kernel_gradient, np.zeros_like(kernel))


def test_rounding_is_near_tensorflows_own(compiled_only):
    inputs, kernel, bias = example((1, 32, 32, 256, 64))
    inputs = np.maximum(inputs, 0)
    wanted = by_definition(inputs, kernel, 0 * bias)
    ours, theirs = (
        np.sqrt(np.mean((ops.conv3x3(inputs, kernel, implementation=name) - wanted) ** 2))
        for name in ("compiled", "tensorflow")
    )
    assert ours < 4 * theirs


@pytest.mark.parametrize("channels", [(24, 32), (32, 8)])
def test_other_numbers_of_channels(channels, compiled_only):
    inputs, kernel, bias = example((1, 9, 9, *channels))
    assert_close(ops.conv3x3(inputs, kernel, bias), by_definition(inputs, kernel, bias))
    with pytest.raises(ValueError, match="takes floats of 16 or 32 bits and multiples of 16 channels, got float32"):
        ops.conv3x3(inputs, kernel, bias, implementation="compiled")
    with pytest.raises(tf.errors.InvalidArgumentError, match="channels must be a multiple of 16, got (24|8)"):
        compiled_only.mrcnn_keras_conv3x3(inputs=inputs, filter=kernel, bias=bias)


def test_bfloat16():
    inputs, kernel, bias = example((1, 9, 9, 16, 16))
    found = ops.conv3x3(tf.cast(inputs, tf.bfloat16), tf.cast(kernel, tf.bfloat16), bias)
    assert found.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(found, tf.float32), by_definition(inputs, kernel, bias), atol=0.1)


def test_graph_of_any_size_and_shapes_it_knows(compiled_only):
    convolve = tf.function(ops.conv3x3, input_signature=[tf.TensorSpec((None, None, None, 16)), *_specs(16, 48)])
    assert convolve.get_concrete_function().output_shapes.as_list() == [None, None, None, 48]
    for shape in [(1, 5, 9, 16, 48), (2, 8, 3, 16, 48)]:
        tensors = example(shape)
        assert_close(convolve(*tensors), by_definition(*tensors))


def _specs(channels, filters):
    return tf.TensorSpec((3, 3, channels, filters)), tf.TensorSpec((filters,))


def test_xla_and_saved_models_take_tensorflows_own(tmp_path):
    tensors = example((1, 6, 7, 16, 16))
    compiled = tf.function(ops.conv3x3, jit_compile=True)
    assert_close(compiled(*tensors), by_definition(*tensors))
    module = tf.Module()
    module.convolve = tf.function(ops.conv3x3, input_signature=[tf.TensorSpec((None, None, None, 16)), *_specs(16, 16)])
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path)).convolve.get_concrete_function()
    assert "Conv2D" in str(loaded.graph.as_graph_def()) and "MrcnnKeras" not in str(loaded.graph.as_graph_def())


@pytest.mark.parametrize(
    ("inputs", "kernel", "bias", "message"),
    [
        ((1, 4, 4, 16), (3, 3, 8, 16), None, r"a kernel \(3, 3, C, K\), got \(1, 4, 4, 16\), \(3, 3, 8, 16\)"),
        ((1, 4, 4, 16), (1, 1, 16, 16), None, r"got \(1, 4, 4, 16\), \(1, 1, 16, 16\)"),
        ((4, 4, 16), (3, 3, 16, 16), None, r"expected inputs \(B, H, W, C\)"),
        ((1, 4, 4, 16), (3, 3, 16, 32), (16,), r"expected a bias \(32,\), got \(16,\)"),
    ],
)
def test_shapes_that_do_not_fit(inputs, kernel, bias, message):
    with pytest.raises(ValueError, match=message):
        ops.conv3x3(np.zeros(inputs, "f4"), np.zeros(kernel, "f4"), None if bias is None else np.zeros(bias, "f4"))
