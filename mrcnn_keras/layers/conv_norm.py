"""Convolution, normalisation and ReLU as one layer, with the normalisation folded in wherever it is constant."""

import keras
import tensorflow as tf

from .. import ops
from .grouped_conv import grouped_conv2d
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
        norm_bias: whether the convolution has a bias under its norm too, as in matterport's networks.

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
        norm_bias=False,
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
        self.norm_bias = norm_bias
        self.norm = make_norm(norm, norm_momentum, norm_epsilon, norm_groups)

    def build(self, input_shape):
        shape = (self.kernel_size, self.kernel_size, input_shape[-1] // self.groups, self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = None
        if self.norm is None or self.norm_bias:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        if self.norm is not None:
            self.norm.build(self.compute_output_shape(input_shape))
        self.built = True

    def call(self, inputs, training=None):
        if isinstance(self.norm, BatchNorm) and not self.norm.uses_batch(training):
            scale, shift = self.norm.scale_and_shift()
            if self.bias is not None:
                shift += tf.cast(self.bias, shift.dtype) * scale
            kernel = tf.convert_to_tensor(self.kernel)
            kernel = kernel * tf.cast(scale, kernel.dtype)
            return self._convolve(inputs, kernel, shift, self.relu, training)
        if self.norm is None:
            return self._convolve(inputs, self.kernel, self.bias, self.relu, training)
        outputs = self.norm(self._convolve(inputs, self.kernel, self.bias, False, training), training=training)
        return tf.nn.relu(outputs) if self.relu else outputs

    def _convolve(self, inputs, kernel, bias, relu, training):
        kernel = tf.convert_to_tensor(kernel, inputs.dtype)
        bias = None if bias is None else tf.cast(bias, inputs.dtype)
        if (self.kernel_size, self.strides, self.dilation, self.groups) == (3, 1, 1, 1):
            return ops.conv3x3(inputs, kernel, bias, relu)
        outputs = self._convolve_otherwise(inputs, kernel, training)
        outputs = outputs if bias is None else tf.nn.bias_add(outputs, bias)
        return tf.nn.relu(outputs) if relu else outputs

    def _convolve_otherwise(self, inputs, kernel, training):
        pad = self.dilation * (self.kernel_size - 1) // 2
        padding = "SAME" if pad and self.strides == 1 else "VALID"
        paddings = [[0, 0], [pad, pad], [pad, pad], [0, 0]]
        if ops.is_tracing_for_onnx():  # ONNX Runtime does not choose the padding of dilated convolutions
            return tf.nn.conv2d(inputs, kernel, self.strides, paddings, dilations=self.dilation)
        if tf.config.list_physical_devices("GPU"):
            padding = paddings if pad and self.strides > 1 else padding
            return tf.nn.conv2d(inputs, kernel, self.strides, padding, dilations=self.dilation)
        if training and self.dilation > 1 and self.strides == 1:  # no such convolution has a gradient on the CPU
            return dilated_by_parts(inputs, kernel, self.dilation)
        if pad and self.strides > 1:  # the CPU's fast kernels cannot pad at both ends
            inputs = tf.pad(inputs, paddings)
        if training and self.groups > 1 and self.dilation == 1:  # nor has this one
            return grouped_conv2d(inputs, kernel, self.strides, padding)
        return tf.nn.conv2d(inputs, kernel, self.strides, padding, dilations=self.dilation)

    def compute_output_shape(self, input_shape):
        sides = (None if side is None else (side - 1) // self.strides + 1 for side in input_shape[1:3])
        return (input_shape[0], *sides, self.filters)

    def get_config(self):
        names = (
            "filters kernel_size strides dilation groups relu norm_momentum norm_epsilon norm_groups norm_bias".split()
        )
        own = {name: getattr(self, name) for name in names}
        own["norm"] = self.norm_kind
        own["kernel_initializer"] = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), **own}


def dilated_by_parts(inputs: tf.Tensor, kernel: tf.Tensor, dilation: int) -> tf.Tensor:
    """A dilated convolution, stride 1, zero padding to the same size, as dense ones on every `dilation`-th pixel.

    Args:
        inputs: (B, H, W, C).
        kernel: (k, k, C / groups, filters), k odd.
        dilation: 2 or more.

    Returns: (B, H, W, filters).
    """
    sides = tf.shape(inputs)[1:3]
    before = dilation * (kernel.shape[0] - 1) // 2
    after = before + (-(sides + 2 * before)) % dilation
    paddings = tf.stack([tf.fill([2], before), after], axis=1)
    parts = tf.space_to_batch(inputs, [dilation, dilation], paddings)
    grouped = inputs.shape[3] != kernel.shape[2]
    outputs = grouped_conv2d(parts, kernel, padding="VALID") if grouped else tf.nn.conv2d(parts, kernel, 1, "VALID")
    crops = tf.stack([tf.zeros([2], tf.int32), after - before], axis=1)
    outputs = tf.batch_to_space(outputs, [dilation, dilation], crops)
    return tf.ensure_shape(outputs, [*inputs.shape[:3], kernel.shape[3]])


def conv_initializer(identifier) -> keras.initializers.Initializer:
    """A Keras initializer; the names "msra" and "xavier" are those of Detectron's convolutions.

    "msra" is He's normal by the outputs, "xavier" a uniform one with variance 1 / inputs.
    """
    if identifier == "msra":
        return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")
    if identifier == "xavier":
        return keras.initializers.VarianceScaling(1.0, mode="fan_in", distribution="uniform")
    return keras.initializers.get(identifier)
