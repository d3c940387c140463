"""Convolution in groups of channels, for training on a CPU (Xie et al., CVPR 2017)."""

import tensorflow as tf


def grouped_conv2d(inputs: tf.Tensor, kernel: tf.Tensor, strides: int = 1, padding: str = "SAME") -> tf.Tensor:
    """A grouped convolution with a gradient where TensorFlow's own has none: one convolution for each group.

    Dense convolutions between blocks of several groups, their kernels zero off the diagonal, are no faster
    (`benchmarks/grouped_conv.py`).

    Args:
        inputs: (B, H, W, G * c).
        kernel: (k, k, c, F), F a multiple of the number of groups G.
        strides: 1 or more.
        padding: "SAME" or "VALID", as `tf.nn.conv2d`.

    Returns: (B, H', W', F).
    """
    groups = inputs.shape[3] // kernel.shape[2]
    pairs = zip(tf.split(inputs, groups, axis=3), tf.split(kernel, groups, axis=3), strict=True)
    return tf.concat([tf.nn.conv2d(part, own, strides, padding) for part, own in pairs], axis=3)
