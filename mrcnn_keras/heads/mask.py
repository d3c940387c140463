"""The fully convolutional mask head (section 3, "Mask Representation"; figure 4, right)."""

import keras
import tensorflow as tf

from ..layers.conv_norm import ConvNorm, conv_initializer
from ..layers.normed import NormedLayer
from .mask_predictor import MaskPredictor, mask_classes, mask_spec


@keras.saving.register_keras_serializable("mrcnn_keras")
class MaskHead(NormedLayer):
    """3x3 convolutions, a 2x2 deconvolution with stride 2, and a 1x1 convolution to the masks.

    Args:
        num_classes: object classes.
        channels: of every hidden layer.
        num_convs: 3x3 convolutions.
        class_agnostic: one mask for all classes.
        kind: "sigmoid" or "softmax" masks, see `MaskPredictor`.
        norm, norm_momentum, norm_epsilon, norm_groups, norm_bias: of the 3x3 convolutions.

    Inputs: (R, P, P, C) and class_ids (R,) int32 (-1 is taken as 0). Returns: (R, 2P, 2P) float32 logits, or for
    "softmax" (R, 2P, 2P, 2) log-probabilities of the class and of the background.
    """

    def __init__(
        self,
        num_classes=80,
        channels=256,
        num_convs=4,
        class_agnostic=False,
        kind="sigmoid",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.channels = channels
        self.num_convs = num_convs
        self.class_agnostic = class_agnostic
        self.kind = kind
        every = self.norm_arguments
        self.convs = [ConvNorm(channels, 3, relu=True, name=f"conv{i + 1}", **every) for i in range(num_convs)]
        self.predictor = MaskPredictor(1 if class_agnostic else num_classes, kind, name="predictor")
        self.deconv = Upsample2x(channels, name="deconv")

    def build(self, inputs_shape, class_ids_shape=None):
        shape = inputs_shape
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        self.deconv.build(shape)
        self.predictor.build((None, None, None, self.channels))
        self.built = True

    def call(self, inputs, class_ids, training=None):
        outputs = inputs
        for conv in self.convs:
            outputs = conv(outputs, training=training)
        outputs = self.deconv(outputs)
        rows, columns, channels = 2 * outputs.shape[1], 2 * outputs.shape[2], outputs.shape[4]
        # The predictor looks at each cell alone, so the cells are put in order after it, when they are small.
        outputs = tf.reshape(outputs, [-1, rows, columns, channels])
        outputs = self.predictor(outputs, mask_classes(class_ids, self.class_agnostic))
        return tf.cast(side_by_side(outputs), tf.float32)

    def compute_output_spec(self, inputs, class_ids, training=None):
        rows, height, width = inputs.shape[:3]
        return mask_spec((rows, 2 * height, 2 * width), self.kind)

    def get_config(self):
        names = ("num_classes", "channels", "num_convs", "class_agnostic", "kind")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("mrcnn_keras")
class Upsample2x(keras.layers.Layer):
    """2x2 deconvolution with stride 2 and a ReLU, its outputs not yet laid side by side.

    With a stride equal to its side a deconvolution is one matrix product.

    Args:
        channels: outputs.

    Inputs and returns: (R, H, W, C) and (R, H, W, 4, channels), the 2x2 outputs of each cell row after row.
    """

    def __init__(self, channels=256, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, input_shape):
        inputs = input_shape[-1]
        shape = (2, 2, inputs, self.channels)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=conv_initializer("msra"))
        self.bias = self.add_weight(name="bias", shape=(self.channels,), initializer="zeros")
        self.built = True

    def call(self, inputs):
        height, width, depth = inputs.shape[1:]
        kernel = tf.convert_to_tensor(self.kernel, inputs.dtype)
        kernel = tf.reshape(tf.transpose(kernel, [2, 0, 1, 3]), [depth, 4 * self.channels])
        bias = tf.tile(tf.convert_to_tensor(self.bias, inputs.dtype), [4])
        outputs = tf.nn.relu(tf.nn.bias_add(tf.matmul(tf.reshape(inputs, [-1, depth]), kernel), bias))
        return tf.reshape(outputs, [-1, height, width, 4, self.channels])

    def compute_output_shape(self, input_shape):
        return (*input_shape[:3], 4, self.channels)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


def side_by_side(maps: tf.Tensor) -> tf.Tensor:
    """(R, 2H, 2W) or (R, 2H, 2W, C) with the numbers in the order of `Upsample2x` -> the same in that of pixels."""
    shape = maps.shape.as_list()
    blocks = tf.reshape(maps, [-1, shape[1] // 2, shape[2] // 2, 2, 2, *shape[3:]])
    blocks = tf.transpose(blocks, [0, 1, 3, 2, 4, *range(5, 2 + len(shape))])
    return tf.reshape(blocks, [-1, *shape[1:]])
