"""Convolution in groups of channels, with the gradient that TensorFlow has no CPU kernel for (Xie et al., CVPR 2017).

Values, and the gradient of the inputs (a convolution with the kernel turned round), use TensorFlow's own grouped
convolution. The gradient of the kernel is that of dense convolutions between blocks of neighbouring groups, of which
the blocks on the diagonal are kept: some work for nothing, but far fewer and better filled operations than one for each
group.
"""

import tensorflow as tf

# Channels of a dense block: where a group has fewer, several make one.
_BLOCK = 32


def grouped_conv2d(inputs: tf.Tensor, kernel: tf.Tensor, strides: int = 1, pad: int = 0) -> tf.Tensor:
    """A grouped convolution that can be trained on a CPU.

    Args:
        inputs: (B, H, W, G * c).
        kernel: (k, k, c, F), F a multiple of the number of groups G.
        strides: 1 or more.
        pad: zeros on each side, below k.

    Returns: (B, (H + 2 * pad - k) // strides + 1, the same of W, F).
    """

    @tf.custom_gradient
    def convolve(inputs, kernel):
        def gradient(upstream):
            kernel_gradient = _kernel_gradient(inputs, kernel, upstream, strides, pad)
            return _input_gradient(inputs, kernel, upstream, strides, pad), kernel_gradient

        return tf.nn.conv2d(inputs, kernel, strides, _padding(pad)), gradient

    return convolve(inputs, kernel)


def _padding(pad):
    return [[0, 0], [pad, pad], [pad, pad], [0, 0]]


def _input_gradient(inputs, kernel, upstream, strides, pad):
    side, _, channels, filters = kernel.shape
    groups = inputs.shape[-1] // channels
    turned = tf.reshape(kernel[::-1, ::-1], [side, side, channels, groups, filters // groups])
    turned = tf.reshape(tf.transpose(turned, [0, 1, 4, 3, 2]), [side, side, filters // groups, groups * channels])
    if strides > 1:
        upstream = _spread(upstream, strides, tf.shape(inputs)[1:3] + 2 * pad - side + 1)
    return tf.nn.conv2d(upstream, turned, 1, _padding(side - 1 - pad))


def _spread(values, strides, size):
    """Values with zeros between them, `strides` apart, on a map of `size` [height, width]."""
    batch, height, width, channels = tf.unstack(tf.shape(values))
    spaced = tf.pad(
        tf.reshape(values, [batch, height, 1, width, 1, channels]),
        [[0, 0], [0, 0], [0, strides - 1], [0, 0], [0, strides - 1], [0, 0]],
    )
    spaced = tf.reshape(spaced, [batch, height * strides, width * strides, channels])
    return tf.ensure_shape(spaced[:, : size[0], : size[1]], [None, None, None, values.shape[-1]])


def _kernel_gradient(inputs, kernel, upstream, strides, pad):
    side, _, channels, filters = kernel.shape
    groups = inputs.shape[-1] // channels
    together = max(n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n * channels <= _BLOCK))
    blocks = groups // together
    parts = []
    for block, above in zip(tf.split(inputs, blocks, axis=3), tf.split(upstream, blocks, axis=3), strict=True):
        dense = tf.raw_ops.Conv2DBackpropFilter(
            input=block,
            filter_sizes=[side, side, together * channels, above.shape[3]],
            out_backprop=above,
            strides=[1, strides, strides, 1],
            padding="EXPLICIT",
            explicit_paddings=[0, 0, pad, pad, pad, pad, 0, 0],
        )
        dense = tf.reshape(dense, [side, side, together, channels, together, filters // groups])
        diagonal = [dense[:, :, i, :, i] for i in range(together)]
        parts.append(tf.concat(diagonal, axis=-1))
    return tf.concat(parts, axis=-1)
