"""Convolution, normalisation and ReLU as one layer, with the normalisation folded in wherever it is constant."""

import keras
import tensorflow as tf

from .norm import BatchNorm, make_norm


@keras.saving.register_keras_serializable("mrcnn_keras")
class ConvNorm(keras.layers.Layer):
    """2-D convolution with symmetric zero padding, then a norm, then a ReLU.

    A batch norm that does not use the batch's own statistics (frozen, or at inference) is folded into the kernel and
    bias: the gradient of the kernel is unchanged and a pass over the activations is saved.

    Args:
        filters: output channels.
        kernel_size: odd side of the kernel.
        strides, dilation, groups: as in any convolution.
        norm: "none" (then there is a bias), "frozen", "batch", "sync_batch" or "group".
        relu: whether a ReLU follows.
        kernel_initializer: any Keras initializer.
        norm_momentum, norm_epsilon, norm_groups: arguments of the norm.

    Inputs and returns: (B, H, W, C) and (B, ceil(H / strides), ceil(W / strides), filters).
    """

    def __init__(
        self,
        filters,
        kernel_size=1,
        strides=1,
        dilation=1,
        groups=1,
        norm="none",
        relu=False,
        kernel_initializer="msra",
        norm_momentum=0.9,
        norm_epsilon=1e-5,
        norm_groups=32,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.dilation = dilation
        self.groups = groups
        self.norm_kind = norm
        self.relu = relu
        self.kernel_initializer = conv_initializer(kernel_initializer)
        self.norm_momentum = norm_momentum
        self.norm_epsilon = norm_epsilon
        self.norm_groups = norm_groups
        self.norm = make_norm(norm, norm_momentum, norm_epsilon, norm_groups)

    def build(self, input_shape):
        shape = (self.kernel_size, self.kernel_size, input_shape[-1] // self.groups, self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = None
        if self.norm is None:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        else:
            self.norm.build(self.compute_output_shape(input_shape))
        self.built = True

    def call(self, inputs, training=None):
        if isinstance(self.norm, BatchNorm) and not self.norm.uses_batch(training):
            scale, shift = self.norm.scale_and_shift()
            outputs = self._convolve(inputs, self.kernel * tf.cast(scale, self.kernel.dtype))
            outputs = tf.nn.bias_add(outputs, tf.cast(shift, outputs.dtype))
        else:
            outputs = self._convolve(inputs, self.kernel)
            if self.norm is None:
                outputs = tf.nn.bias_add(outputs, self.bias)
            else:
                outputs = self.norm(outputs, training=training)
        return tf.nn.relu(outputs) if self.relu else outputs

    def _convolve(self, inputs, kernel):
        kernel = tf.convert_to_tensor(kernel, inputs.dtype)
        pad = self.dilation * (self.kernel_size - 1) // 2
        padding = [[0, 0], [pad, pad], [pad, pad], [0, 0]] if pad else "VALID"
        if pad and self.strides == 1:
            padding = "SAME"
        return tf.nn.conv2d(inputs, kernel, self.strides, padding, dilations=self.dilation)

    def compute_output_shape(self, input_shape):
        sides = (None if side is None else (side - 1) // self.strides + 1 for side in input_shape[1:3])
        return (input_shape[0], *sides, self.filters)

    def get_config(self):
        names = "filters kernel_size strides dilation groups relu norm_momentum norm_epsilon norm_groups".split()
        own = {name: getattr(self, name) for name in names}
        own["norm"] = self.norm_kind
        own["kernel_initializer"] = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), **own}


def conv_initializer(identifier) -> keras.initializers.Initializer:
    """A Keras initializer; the names "msra" and "xavier" are those of Detectron's convolutions.

    "msra" is He's normal by the outputs, "xavier" a uniform one with variance 1 / inputs.
    """
    if identifier == "msra":
        return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")
    if identifier == "xavier":
        return keras.initializers.VarianceScaling(1.0, mode="fan_in", distribution="uniform")
    return keras.initializers.get(identifier)
