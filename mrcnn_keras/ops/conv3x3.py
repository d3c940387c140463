"""The 3x3 convolution with stride 1, which is most of a Mask R-CNN's work."""

import tensorflow as tf

from mrcnn_keras.ops import _choice, _library
from mrcnn_keras.ops._onnx import is_tracing_for_onnx

CHANNEL_GROUP = 16  # numbers of channels that the compiled operation takes are multiples of it
_FLOATS = (tf.float32, tf.bfloat16, tf.float16)


def conv3x3(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor | None = None,
    relu: bool = False,
    implementation: str = "auto",
) -> tf.Tensor:
    """3x3 convolution with stride 1 and zero padding to the same size, bias and ReLU in the same pass.

    On a CPU the compiled operation computes it by Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, CVPR 2016)
    with a quarter of the multiplications; its rounding error is about twice that of TensorFlow's convolution. It
    computes in float32, to which 16-bit floats are cast and from which they are cast back. Every other case is
    TensorFlow's: a GPU, XLA, ONNX, a graph that is saved, numbers of channels that are no multiples of 16.

    Args:
        inputs: (B, H, W, C), B and H * W may be 0.
        kernel: (3, 3, C, K), of the inputs' dtype.
        bias: (K,), or None.
        relu: whether a ReLU follows.
        implementation: "auto" (see `use_implementation`), "compiled" or "tensorflow".

    Returns: (B, H, W, K) of the inputs' dtype.

    Raises:
        ValueError: shapes that do not fit, an unknown `implementation`, or "compiled" where the operation cannot be it.
        RuntimeError: "compiled" was asked for and the operation is not available.
    """
    inputs, kernel = tf.convert_to_tensor(inputs), tf.convert_to_tensor(kernel)
    _check(inputs, kernel, bias)
    suits = _suits(inputs, kernel)
    if implementation == "compiled" and not suits:
        raise ValueError(
            f'implementation="compiled" takes floats of 16 or 32 bits and multiples of {CHANNEL_GROUP} channels, got '
            f"{inputs.dtype.name} inputs {inputs.shape} and kernel {kernel.shape}"
        )
    if suits and not is_tracing_for_onnx() and _is_compiled(implementation):
        inputs, kernel, bias, dtype = _in_float32(inputs), _in_float32(kernel), _in_float32(bias), inputs.dtype
        return tf.cast(_library.conv3x3_compiled(inputs, kernel, bias, relu), dtype)
    outputs = tf.nn.conv2d(inputs, kernel, 1, "SAME")
    outputs = outputs if bias is None else tf.nn.bias_add(outputs, tf.cast(bias, outputs.dtype))
    return tf.nn.relu(outputs) if relu else outputs


def _suits(inputs, kernel) -> bool:
    channels = kernel.shape[2:]
    return inputs.dtype in _FLOATS and None not in channels and not any(c % CHANNEL_GROUP for c in channels)


def _in_float32(values: tf.Tensor | None) -> tf.Tensor | None:
    return None if values is None else tf.cast(values, tf.float32)


def _is_compiled(implementation) -> bool:
    if implementation != "compiled" and tf.config.list_physical_devices("GPU"):
        return False
    return _choice.resolve(implementation) == "compiled"


def _check(inputs, kernel, bias):
    if inputs.shape.rank != 4 or not kernel.shape.is_compatible_with((3, 3, inputs.shape[-1], None)):
        raise ValueError(f"expected inputs (B, H, W, C) and a kernel (3, 3, C, K), got {inputs.shape}, {kernel.shape}")
    if bias is not None and not tf.TensorShape(bias.shape).is_compatible_with(kernel.shape[3:]):
        raise ValueError(f"expected a bias ({kernel.shape[3]},), got {bias.shape}")
